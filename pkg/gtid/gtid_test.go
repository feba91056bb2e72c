package gtid

import (
	"math"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4350f323-7565-4e59-8763-4b1b83a0ce0e"
)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
}

func mustParse(t tester, f cluster.Flavor, text string) Set {
	t.Helper()
	s, err := Parse(f, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParsePrintsCanonically(t *testing.T) {
	for _, c := range []struct {
		name   string
		flavor cluster.Flavor
		text   string
		want   string
	}{
		{"nothing", cluster.MySQL, "", ""},
		{"blanks only", cluster.MySQL, " \r\n\t", ""},
		{"commas only", cluster.MariaDB, " ,, ", ""},
		{"one transaction", cluster.MySQL, uuidA + ":5", uuidA + ":5"},
		{"a run of one", cluster.MySQL, uuidA + ":5-5", uuidA + ":5"},
		{"upper case", cluster.MySQL, strings.ToUpper(uuidA) + ":1-5", uuidA + ":1-5"},
		{"line breaks as the server prints them", cluster.MySQL, uuidB + ":1-3,\n" + uuidA + ":1-5:7", uuidA + ":1-5:7," + uuidB + ":1-3"},
		{"blanks around everything", cluster.MySQL, " " + uuidA + " : 1 - 5 : 7 ", uuidA + ":1-5:7"},
		{"touching and overlapping runs join", cluster.MySQL, uuidA + ":6-9:1-5:4-7:11", uuidA + ":1-9:11"},
		{"one uuid twice", cluster.MySQL, uuidA + ":1-3," + uuidA + ":4", uuidA + ":1-4"},
		{"tags", cluster.MySQL, uuidA + ":1-3:zeta:5:Alpha:1-2:7", uuidA + ":1-3:alpha:1-2:7:zeta:5"},
		{"only a tag", cluster.MySQL, uuidA + ":_x9:1", uuidA + ":_x9:1"},
		{"a tag that comes back", cluster.MySQL, uuidA + ":a:1:b:1:a:2", uuidA + ":a:1-2:b:1"},
		{"the highest number", cluster.MySQL, uuidA + ":1-9223372036854775806", uuidA + ":1-9223372036854775806"},
		{"a joined pair of lists, the first empty", cluster.MariaDB, ",0-1-5", "0-1-5"},
		{"several servers in one domain", cluster.MariaDB, "0-2-34,0-1-34,1-1-1", "0-1-34,0-2-34,1-1-1"},
		{"the highest of one server counts", cluster.MariaDB, "0-1-5,0-1-7,0-1-6", "0-1-7"},
		{"sequence number 0 is before everything", cluster.MariaDB, "0-1-0", ""},
		{"leading zeros", cluster.MariaDB, "00-01-007", "0-1-7"},
		{"the largest parts", cluster.MariaDB, "4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, c.flavor, c.text)
			if got := s.String(); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if s.IsEmpty() != (c.want == "") || (s.Flavor() == "") != s.IsEmpty() {
				t.Errorf("IsEmpty %v, Flavor %q", s.IsEmpty(), s.Flavor())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		flavor     cluster.Flavor
		text, want string
	}{
		{cluster.MySQL, "0-1-5", "no server uuid"},
		{cluster.MySQL, uuidA, "no transaction numbers"},
		{cluster.MySQL, uuidA + ":", "a number is missing"},
		{cluster.MySQL, uuidA + ":1-", "a number is missing"},
		{cluster.MySQL, uuidA + ":-1", "neither a number nor a tag"},
		{cluster.MySQL, uuidA + ":0", "begin at 1"},
		{cluster.MySQL, uuidA + ":0-5", "begin at 1"},
		{cluster.MySQL, uuidA + ":5-3", "runs backwards"},
		{cluster.MySQL, uuidA + ":1-2-3", `"2-3" is not a number`},
		{cluster.MySQL, uuidA + ":9223372036854775807", "above 9223372036854775806"},
		{cluster.MySQL, uuidA + ":99999999999999999999", "64 bits"},
		{cluster.MySQL, uuidA + ":+5", "neither a number nor a tag"},
		{cluster.MySQL, uuidA + ":1:tag", `tag "tag" has no numbers`},
		{cluster.MySQL, uuidA + ":a:b:1", `tag "a" has no numbers`},
		{cluster.MySQL, uuidA + ":ta-g:1", "neither a number nor a tag"},
		{cluster.MySQL, uuidA + ":\u212a:1", "neither a number nor a tag"},
		{cluster.MySQL, uuidA + ":" + strings.Repeat("a", 33) + ":1", "neither a number nor a tag"},
		{cluster.MySQL, strings.ReplaceAll(uuidA, "-", "") + ":1", "no server uuid"},
		{cluster.MySQL, "x" + uuidA[1:] + ":1", "no server uuid"},
		{cluster.MySQL, uuidA + ":1;" + uuidB + ":1", "not a number"},
		{cluster.MariaDB, uuidA + ":1-5", "want domain-server-number"},
		{cluster.MariaDB, "0-1", "want domain-server-number"},
		{cluster.MariaDB, "0-1-2-3", "want domain-server-number"},
		{cluster.MariaDB, "0--1-2", "want domain-server-number"},
		{cluster.MariaDB, "0-1-", "sequence number: a number is missing"},
		{cluster.MariaDB, "0-x-1", `server id: "x" is not a number`},
		{cluster.MariaDB, "0 -1-1", `domain: "0 " is not a number`},
		{cluster.MariaDB, "4294967296-1-1", "domain: \"4294967296\" does not fit in 32 bits"},
		{cluster.MariaDB, "0-1-18446744073709551616", "64 bits"},
		{"postgres", "0-1-1", `flavour "postgres"`},
		{cluster.MariaDB, strings.Repeat("x", 5000), "..."},
	} {
		s, err := Parse(c.flavor, c.text)
		if err == nil {
			t.Errorf("Parse(%s, %q) gave %q, want an error with %q", c.flavor, c.text, s, c.want)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("Parse(%s, %q): %v\nwant %q in it", c.flavor, c.text, err, c.want)
		}
		if !s.IsEmpty() {
			t.Errorf("Parse(%s, %q) gave %q beside the error", c.flavor, c.text, s)
		}
	}
}

func TestMySQLArithmetic(t *testing.T) {
	for _, c := range []struct {
		name, s, o, union, minus string
		contains                 bool
		missing                  uint64
	}{
		{"equal", uuidA + ":1-5", uuidA + ":1-5", uuidA + ":1-5", "", true, 0},
		{"behind", uuidA + ":1-9", uuidA + ":1-5", uuidA + ":1-9", uuidA + ":6-9", true, 4},
		{"ahead", uuidA + ":1-5", uuidA + ":1-9", uuidA + ":1-9", "", false, 0},
		{"a hole", uuidA + ":1-9", uuidA + ":1-3:5-9", uuidA + ":1-9", uuidA + ":4", true, 1},
		{"a run across two", uuidA + ":1-3:5-9", uuidA + ":3-5", uuidA + ":1-9", uuidA + ":1-2:6-9", false, 6},
		{"the beginning is lacking", uuidA + ":3-9", uuidA + ":1-5", uuidA + ":1-9", uuidA + ":6-9", false, 4},
		{"the end is lacking", uuidA + ":1-5", uuidA + ":3-9", uuidA + ":1-9", uuidA + ":1-2", false, 2},
		{"errant", uuidA + ":1-5," + uuidB + ":1", uuidA + ":1-5", uuidA + ":1-5," + uuidB + ":1", uuidB + ":1", true, 1},
		{"a tag is not the bare uuid", uuidA + ":t:1-5", uuidA + ":1-5", uuidA + ":1-5:t:1-5", uuidA + ":t:1-5", false, 5},
		{"many cuts", uuidA + ":1-20", uuidA + ":2:4:6-8:30", uuidA + ":1-20:30", uuidA + ":1:3:5:9-20", false, 15},
		{"at the top", uuidA + ":1-9223372036854775806", uuidA + ":9223372036854775806", uuidA + ":1-9223372036854775806", uuidA + ":1-9223372036854775805", true, 9223372036854775805},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, cluster.MySQL, c.s, c.o, c.union, c.minus, c.contains, c.missing)
		})
	}
}

func TestMariaDBArithmetic(t *testing.T) {
	for _, c := range []struct {
		name, s, o, union, minus string
		contains                 bool
		missing                  uint64
	}{
		{"behind", "0-1-9", "0-1-5", "0-1-9", "0-1-9", true, 4},
		{"another server went on", "0-1-5,0-2-9", "0-1-5", "0-1-5,0-2-9", "0-2-9", true, 4},
		{"two servers, one distance", "0-1-9,0-2-8", "0-3-5", "0-1-9,0-2-8,0-3-5", "0-1-9,0-2-8", false, 4},
		{"a higher number of another server is no containment", "0-1-100", "0-2-90", "0-1-100,0-2-90", "0-1-100", false, 10},
		{"a stranger's transaction below", "0-1-34,0-2-35", "0-1-40", "0-1-40,0-2-35", "0-2-35", false, 1},
		{"more entries than the distance", "0-1-6,0-2-4,0-3-3", "0-4-5", "0-1-6,0-2-4,0-3-3,0-4-5", "0-1-6,0-2-4,0-3-3", false, 3},
		{"domains stand apart", "0-1-5,1-1-5", "0-1-5", "0-1-5,1-1-5", "1-1-5", true, 5},
		{"at the top", "0-1-18446744073709551615,1-1-18446744073709551615", "2-1-1", "0-1-18446744073709551615,1-1-18446744073709551615,2-1-1", "0-1-18446744073709551615,1-1-18446744073709551615", false, math.MaxUint64},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, cluster.MariaDB, c.s, c.o, c.union, c.minus, c.contains, c.missing)
		})
	}
}

func check(t *testing.T, f cluster.Flavor, sText, oText, union, minus string, contains bool, missing uint64) {
	t.Helper()
	s, o := mustParse(t, f, sText), mustParse(t, f, oText)
	if got := s.Contains(o); got != contains {
		t.Errorf("Contains: got %v", got)
	}
	if got := s.Union(o).String(); got != union {
		t.Errorf("Union: got %q", got)
	}
	if got := s.Minus(o).String(); got != minus {
		t.Errorf("Minus: got %q", got)
	}
	if n, exact := s.Missing(o); n != missing || exact != (f == cluster.MySQL || minus == "") {
		t.Errorf("Missing: got %d, %v", n, exact)
	}
	if s.String() != sText || o.String() != oText {
		t.Errorf("arithmetic changed its operands: %s, %s", s, o)
	}
}

func TestMissingIsCapped(t *testing.T) {
	s := mustParse(t, cluster.MySQL, uuidA+":1-9223372036854775806:a:1-9223372036854775806:b:1-9223372036854775806")
	if n, exact := s.Missing(Set{}); n != math.MaxUint64 || !exact {
		t.Errorf("got %d, %v", n, exact)
	}
}

func TestFlavoursDoNotMix(t *testing.T) {
	m, d := mustParse(t, cluster.MySQL, uuidA+":1"), mustParse(t, cluster.MariaDB, "0-1-1")
	if m.Contains(d) || d.Contains(m) {
		t.Error("a set contains one of the other flavour")
	}
	if !m.Union(d).Equal(m) || !m.Minus(d).Equal(m) {
		t.Error("union or difference with the other flavour changed the set")
	}
	var empty Set
	if !m.Contains(empty) || !d.Contains(empty) || !empty.Contains(empty) || empty.Contains(d) {
		t.Error("containment with the empty set")
	}
	if !empty.Union(m).Equal(m) || !d.Union(empty).Equal(d) || !empty.Minus(d).IsEmpty() || !d.Minus(d).Equal(empty) {
		t.Error("arithmetic with the empty set")
	}
	if n, exact := empty.Missing(d); n != 0 || !exact {
		t.Error("the empty set has transactions that are missing")
	}
}

func TestWithoutOriginAndHighest(t *testing.T) {
	m := mustParse(t, cluster.MySQL, uuidA+":1-3:t:1,"+uuidB+":1")
	if got := m.WithoutOrigin(strings.ToUpper(uuidA)).String(); got != uuidB+":1" {
		t.Errorf("got %s", got)
	}
	d := mustParse(t, cluster.MariaDB, "0-1-3,0-11-4,1-1-9")
	if got := d.WithoutOrigin("1").String(); got != "0-11-4" {
		t.Errorf("got %s", got)
	}
	if got := d.WithoutOrigin("").String(); got != d.String() {
		t.Errorf("got %s", got)
	}
	if got := d.Highest().String(); got != "0-11-4,1-1-9" {
		t.Errorf("got %s", got)
	}
	if got := mustParse(t, cluster.MariaDB, "0-1-9,0-2-4").Highest().String(); got != "0-1-9" {
		t.Errorf("got %s", got)
	}
	if !m.Highest().Equal(m) {
		t.Errorf("got %s", m.Highest())
	}
}

func TestCommon(t *testing.T) {
	for _, c := range []struct {
		name       string
		flavor     cluster.Flavor
		a, b, want string
	}{
		{"what both have", cluster.MySQL, uuidA + ":1-5:9," + uuidB + ":1-3", uuidA + ":4-9", uuidA + ":4-5:9"},
		{"tags are apart", cluster.MySQL, uuidA + ":x:1-5", uuidA + ":1-5", ""},
		{"nothing", cluster.MySQL, uuidA + ":1", "", ""},
		{"the lower number of each server", cluster.MariaDB, "0-1-14,0-2-5,1-1-1", "0-1-9,0-2-20", "0-1-9,0-2-5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := mustParse(t, c.flavor, c.a), mustParse(t, c.flavor, c.b)
			if got := a.Common(b); got.String() != c.want || !got.Equal(b.Common(a)) {
				t.Errorf("%s, the other way round %s, want %s", got, b.Common(a), c.want)
			}
		})
	}
	if got := mustParse(t, cluster.MariaDB, "0-1-1").Common(mustParse(t, cluster.MySQL, uuidA+":1")); !got.IsEmpty() {
		t.Errorf("two flavours have %s in common", got)
	}
}

func TestWithoutForgotten(t *testing.T) {
	for _, c := range []struct{ set, now, want string }{
		{"0-1-8", "0-2-20", ""},                  // set up anew from a server that is beyond it
		{"0-1-8,0-2-9", "0-2-20", "0-2-9"},       // what it lists is left
		{"0-1-8", "0-2-7", "0-1-8"},              // it is not beyond it
		{"0-1-8", "0-1-7,0-2-20", "0-1-8"},       // it lists that origin, and has lost one
		{"0-1-8,5-1-3", "0-2-20,5-2-2", "5-1-3"}, // each domain for itself
		{"0-1-8", "", "0-1-8"},                   // nothing is known
		{"", "0-2-20", ""},
	} {
		if got := mustParse(t, cluster.MariaDB, c.set).WithoutForgotten(mustParse(t, cluster.MariaDB, c.now)).String(); got != c.want {
			t.Errorf("%q without what %q forgot: %q, want %q", c.set, c.now, got, c.want)
		}
	}
	const mine = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
	if got := mustParse(t, cluster.MySQL, mine).WithoutForgotten(mustParse(t, cluster.MySQL, "3e11fa47-71ca-11e1-9e33-c80aa9429563:1-9")).String(); got != mine {
		t.Errorf("of MySQL: %q", got)
	}
}
