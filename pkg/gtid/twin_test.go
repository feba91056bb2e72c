package gtid

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// twin is the dumb version of a set: each transaction by its full name.
type twin map[string]bool

func (a twin) contains(b twin) bool {
	for name := range b {
		if !a[name] {
			return false
		}
	}
	return true
}

func (a twin) union(b twin) twin {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (a twin) minus(b twin) twin {
	out := twin{}
	for name := range a {
		if !b[name] {
			out[name] = true
		}
	}
	return out
}

// twinOf lists the transactions of s.
func twinOf(t *rapid.T, s Set) twin {
	out := twin{}
	for _, r := range s.runs {
		for i, iv := range r.ivs {
			if iv.lo > iv.hi || i > 0 && iv.lo-1 <= r.ivs[i-1].hi {
				t.Fatalf("runs of %s are not in canonical form", s)
			}
			for n := iv.lo; n <= iv.hi; n++ {
				out[fmt.Sprint(r.uuid, r.tag, n)] = true
			}
		}
	}
	for _, e := range s.highest {
		for n := uint64(1); n <= e.seq; n++ {
			out[fmt.Sprint(e.domain, "-", e.server, "-", n)] = true
		}
	}
	return out
}

// text draws the text of a position, in no canonical form at all.
func text(t *rapid.T, f cluster.Flavor, label string) string {
	var out string
	for range rapid.IntRange(0, 5).Draw(t, label+" parts") {
		if out != "" {
			out += rapid.SampledFrom([]string{",", ", ", ",\n"}).Draw(t, "comma")
		}
		if f == cluster.MariaDB {
			out += fmt.Sprintf("%d-%d-%d", rapid.IntRange(0, 1).Draw(t, "domain"),
				rapid.IntRange(1, 3).Draw(t, "server"), rapid.IntRange(0, 12).Draw(t, "seq"))
			continue
		}
		out += rapid.SampledFrom([]string{uuidA, uuidB}).Draw(t, "uuid")
		out += rapid.SampledFrom([]string{"", ":t", ":u"}).Draw(t, "tag")
		// The same small sets at the bottom and at the very top of the number range.
		base := rapid.SampledFrom([]uint64{1, maxMySQL - 30}).Draw(t, "base")
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			lo := base + uint64(rapid.IntRange(0, 25).Draw(t, "lo"))
			hi := lo + uint64(rapid.IntRange(0, 5).Draw(t, "length"))
			out += fmt.Sprintf(":%d-%d", lo, hi)
		}
	}
	return out
}

func TestSetsBehaveLikeMapsOfTransactions(t *testing.T) {
	for _, f := range []cluster.Flavor{cluster.MySQL, cluster.MariaDB} {
		t.Run(string(f), rapid.MakeCheck(func(t *rapid.T) {
			textA, textB := text(t, f, "a"), text(t, f, "b")
			a, errA := Parse(f, textA)
			b, errB := Parse(f, textB)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			ta, tb := twinOf(t, a), twinOf(t, b)
			if got, want := a.Contains(b), ta.contains(tb); got != want {
				t.Fatalf("%s contains %s: %v, want %v", a, b, got, want)
			}
			// Two random sets are seldom within one another; one run may well be.
			if f == cluster.MySQL {
				lo := uint64(rapid.IntRange(1, 26).Draw(t, "lo"))
				run := mustParse(t, f, fmt.Sprintf("%s:%d-%d", uuidA, lo, lo+uint64(rapid.IntRange(0, 3).Draw(t, "length"))))
				if a.Contains(run) != ta.contains(twinOf(t, run)) {
					t.Fatalf("%s contains %s: %v", a, run, a.Contains(run))
				}
			}
			if got := twinOf(t, a.Union(b)); !maps.Equal(got, ta.union(tb)) {
				t.Fatalf("%s union %s = %s", a, b, a.Union(b))
			}
			if !a.Union(b).Equal(b.Union(a)) || a.Union(b).String() != b.Union(a).String() {
				t.Fatalf("%s union %s depends on the order", a, b)
			}
			n, exact := a.Missing(b)
			minus, want := a.Minus(b), ta.minus(tb)
			if f == cluster.MySQL {
				if !maps.Equal(twinOf(t, minus), want) {
					t.Fatalf("%s minus %s = %s", a, b, minus)
				}
				if !exact || n != uint64(len(want)) {
					t.Fatalf("%s lacks %d of %s, want %d", b, n, a, len(want))
				}
			}
			if (n == 0) != a.subsetOf(b) || minus.IsEmpty() != a.subsetOf(b) {
				t.Fatalf("%s within %s: missing %d, minus %s", a, b, n, minus)
			}
			if !b.Union(minus).Contains(a) {
				t.Fatalf("%s plus %s does not make up for %s", b, minus, a)
			}
			again, err := Parse(f, a.String())
			if err != nil || !again.Equal(a) || again.String() != a.String() {
				t.Fatalf("%q reads back as %q, %v", a, again, err)
			}
			if !maps.Equal(twinOf(t, a), ta) || !maps.Equal(twinOf(t, b), tb) {
				t.Fatal("arithmetic changed its operands")
			}
		}))
	}
}

func (s Set) subsetOf(o Set) bool { return o.Contains(s) }

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", ",", uuidA + ":1-5:7", uuidA + ":tag:1-3:9,\n" + uuidB + ":1", uuidA + ":9223372036854775806",
		uuidA + ":5-3", uuidA + ":t", "0-1-5,0-2-7,1-1-18446744073709551615", "0-1", "4294967296-1-1",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, mysql bool) {
		flavor := cluster.MariaDB
		if mysql {
			flavor = cluster.MySQL
		}
		s, err := Parse(flavor, text)
		if err != nil {
			return
		}
		again, err := Parse(flavor, s.String())
		if err != nil || !again.Equal(s) || again.String() != s.String() {
			t.Fatalf("%q prints as %q, which reads back as %q, %v", text, s, again, err)
		}
		if !s.Contains(again) || !s.Minus(again).IsEmpty() || !s.Union(again).Equal(s) {
			t.Fatalf("%q is not equal to itself", s)
		}
	})
}
