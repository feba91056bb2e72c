package mysqlnode

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// version is what a server says it is.
type version struct {
	flavor cluster.Flavor
	number [3]int
	text   string
}

// newest are the newest releases that this program has been tried with.
var newest = map[cluster.Flavor][2]int{cluster.MySQL: {9, 7}, cluster.MariaDB: {11, 8}}

// warning says that a release is newer than what is known of its flavour.
func (v version) warning() string {
	known := newest[v.flavor]
	if v.number[0] <= known[0] {
		return ""
	}
	return fmt.Sprintf("%s %d.%d is newer than this program knows; it is treated like %d", flavorName(v.flavor), v.number[0], v.number[1], known[0])
}

func flavorName(f cluster.Flavor) string {
	if f == cluster.MariaDB {
		return "MariaDB"
	}
	return "MySQL"
}

// parseVersion reads VERSION() and version_comment.
func parseVersion(text, comment string) version {
	v := version{flavor: cluster.MySQL, text: text}
	if strings.Contains(strings.ToLower(text+" "+comment), "mariadb") {
		v.flavor = cluster.MariaDB
	}
	rest := text
	for i := range v.number {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		v.number[i], _ = strconv.Atoi(rest[:digits])
		rest = rest[digits:]
		if !strings.HasPrefix(rest, ".") {
			break
		}
		rest = rest[1:]
	}
	return v
}

// since reports whether v is the given release or a later one.
func (v version) since(major, minor, patch int) bool {
	for i, want := range [3]int{major, minor, patch} {
		if v.number[i] != want {
			return v.number[i] > want
		}
	}
	return true
}
