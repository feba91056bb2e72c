package gtid

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// realMySQL starts a server of its own out of the private root that
// "scripts/servers fetch mysql" makes, or that MMM_MYSQL_ROOT names.
func realMySQL(t *testing.T) func(sql string) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	root := os.Getenv("MMM_MYSQL_ROOT")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(cache, "mmm-manager", "mysql")
	}
	loader, _ := filepath.Glob(filepath.Join(root, "usr/lib/*/ld*.so.*"))
	_, client := exec.LookPath("mariadb")
	if len(loader) == 0 || client != nil {
		text := fmt.Sprintf("MySQL is missing in %s (scripts/servers fetch mysql), or the client mariadb", root)
		if os.Getenv("CI") == "true" && os.Getenv("MMM_WITHOUT_MYSQL") != "1" {
			t.Fatal(text)
		}
		t.Skip("NOT TESTED: " + text)
	}
	dir, err := os.MkdirTemp("", "gtid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	args := []string{"--library-path", filepath.Dir(loader[0]), filepath.Join(root, "usr/sbin/mysqld"), "--no-defaults",
		"--basedir=" + filepath.Join(root, "usr"), "--lc-messages-dir=" + filepath.Join(root, "usr/share/mysql"), "--mysqlx=OFF",
		"--secure-file-priv=NULL", "--datadir=" + filepath.Join(dir, "data"), "--innodb-buffer-pool-size=8M", "--innodb-redo-log-capacity=8M"}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	if out, err := exec.Command(loader[0], slices.Concat(args, []string{"--initialize-insecure"})...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	socket := filepath.Join(dir, "s")
	return serve(t, socket, exec.Command(loader[0], slices.Concat(args, []string{"--socket=" + socket, "--skip-networking",
		"--performance-schema=OFF", "--server-id=1", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--pid-file=" + filepath.Join(dir, "pid")})...))
}

func TestSetsBehaveLikeMySQLsOwn(t *testing.T) {
	query := realMySQL(t)
	subset := 0
	rapid.Check(t, func(t *rapid.T) {
		textA, textB := text(t, cluster.MySQL, "a"), text(t, cluster.MySQL, "b")
		a, b := mustParse(t, cluster.MySQL, textA), mustParse(t, cluster.MySQL, textB)
		if rapid.Bool().Draw(t, "related") {
			// Two random sets are seldom within one another.
			textB = a.Minus(b).String()
			b = mustParse(t, cluster.MySQL, textB)
		}
		rows := query(fmt.Sprintf("SET @a = '%s', @b = '%s'; SELECT GTID_SUBSET(@b, @a), GTID_SUBTRACT(@a, @b), GTID_SUBTRACT(@b, @a), "+
			"GTID_SUBTRACT(CONCAT(@a, ',', @b), ''), GTID_SUBTRACT(@a, '')", textA, textB))
		cells := strings.Split(strings.ReplaceAll(rows[0], `\n`, ""), "\t")
		if len(cells) != 5 {
			t.Fatalf("answer %q", rows)
		}
		if contains := a.Contains(b); contains != (cells[0] == "1") {
			t.Fatalf("%q contains %q: %v, the server says %s", textA, textB, contains, cells[0])
		} else if contains {
			subset++
		}
		for i, got := range []Set{a.Minus(b), b.Minus(a), a.Union(b), a} {
			if !got.Equal(mustParse(t, cluster.MySQL, cells[i+1])) {
				t.Fatalf("result %d of %q and %q: %q, the server says %q", i, textA, textB, got, cells[i+1])
			}
		}
	})
	if subset == 0 {
		t.Error("no set was within another: the comparison was never tried")
	}
}
