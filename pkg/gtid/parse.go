package gtid

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// maxMySQL is the highest transaction number of MySQL: GNO_END, 2^63-1, is never used.
const maxMySQL = 1<<63 - 2

// Parse reads the text of a position as a server of that flavour prints it.
// Blanks and line breaks around its parts and empty parts between commas are
// accepted, as the servers do; anything else that is not a position is an error.
//
// MySQL: "uuid:1-5:7:tag:1-3,uuid:1". MariaDB: "domain-server-seq" joined by
// commas, any number of them per domain; of several for one domain and server
// the highest counts.
func Parse(f cluster.Flavor, text string) (Set, error) {
	var runs []run
	var highest []entry
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		var err error
		switch f {
		case cluster.MySQL:
			runs, err = parseMySQL(runs, part)
		case cluster.MariaDB:
			highest, err = parseMariaDB(highest, part)
		default:
			err = fmt.Errorf("flavour %q is neither %s nor %s", string(f), cluster.MySQL, cluster.MariaDB)
		}
		if err != nil {
			return Set{}, fmt.Errorf("parse gtid %s: %w", quote(part), err)
		}
	}
	return build(f, runs, highest), nil
}

func parseMySQL(runs []run, part string) ([]run, error) {
	name, rest, _ := strings.Cut(part, ":")
	uuid := strings.ToLower(strings.TrimSpace(name))
	if !isUUID(uuid) {
		return nil, fmt.Errorf("%s is no server uuid", quote(uuid))
	}
	tag, pending := "", true
	first := len(runs)
	if len(name) == len(part) {
		return nil, errors.New("no transaction numbers after the uuid")
	}
	for field := range strings.SplitSeq(rest, ":") {
		field = strings.TrimSpace(field)
		if field != "" && (field[0] < '0' || field[0] > '9') {
			if tag != "" && pending {
				return nil, fmt.Errorf("tag %s has no numbers", quote(tag))
			}
			if !isTag(field) {
				return nil, fmt.Errorf("%s is neither a number nor a tag", quote(field))
			}
			tag, pending = strings.ToLower(field), true
			continue
		}
		iv, err := parseInterval(field)
		if err != nil {
			return nil, err
		}
		pending = false
		if n := len(runs); n > first && runs[n-1].tag == tag {
			runs[n-1].ivs = append(runs[n-1].ivs, iv)
		} else {
			runs = append(runs, run{uuid, tag, intervals{iv}})
		}
	}
	if pending {
		return nil, fmt.Errorf("tag %s has no numbers", quote(tag))
	}
	for i := range runs[first:] {
		runs[first+i].ivs = normalise(runs[first+i].ivs)
	}
	return runs, nil
}

func parseInterval(text string) (interval, error) {
	from, to, isRange := strings.Cut(text, "-")
	lo, err := parseNumber(from)
	if err != nil || !isRange {
		return interval{lo, lo}, err
	}
	hi, err := parseNumber(to)
	if err == nil && hi < lo {
		err = fmt.Errorf("range %s runs backwards", quote(text))
	}
	return interval{lo, hi}, err
}

func parseNumber(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	n, err := parseDigits(text, 64)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, errors.New("transaction number 0: numbers begin at 1")
	case n > maxMySQL:
		return 0, fmt.Errorf("transaction number %d is above %d", n, uint64(maxMySQL))
	}
	return n, nil
}

func parseMariaDB(highest []entry, part string) ([]entry, error) {
	first, rest, _ := strings.Cut(part, "-")
	second, third, found := strings.Cut(rest, "-")
	if !found || strings.Contains(third, "-") {
		return nil, errors.New("want domain-server-number")
	}
	domain, err := parseDigits(first, 32)
	if err != nil {
		return nil, fmt.Errorf("domain: %w", err)
	}
	server, err := parseDigits(second, 32)
	if err != nil {
		return nil, fmt.Errorf("server id: %w", err)
	}
	seq, err := parseDigits(third, 64)
	if err != nil {
		return nil, fmt.Errorf("sequence number: %w", err)
	}
	if seq == 0 {
		// 0 stands before the first transaction of a domain.
		return highest, nil
	}
	return append(highest, entry{uint32(domain), uint32(server), seq}), nil
}

func parseDigits(text string, bits int) (uint64, error) {
	if text == "" {
		return 0, errors.New("a number is missing")
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%s is not a number", quote(text))
		}
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s does not fit in %d bits", quote(text), bits)
	}
	return n, nil
}

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range []byte(text) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// isTag: a tag of MySQL 8.3 and later has up to 32 letters, digits and
// underscores and begins with none of the digits.
func isTag(text string) bool {
	if text == "" || len(text) > 32 || text[0] >= '0' && text[0] <= '9' {
		return false
	}
	for _, c := range []byte(text) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// quote keeps an error short when the text is a whole page.
func quote(text string) string {
	if len(text) > 80 {
		text = text[:77] + "..."
	}
	return strconv.Quote(text)
}
