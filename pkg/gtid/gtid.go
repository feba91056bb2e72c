package gtid

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Set is a set of transactions. The zero value is the empty set, which belongs
// to no flavour and works with both.
type Set struct {
	flavor  cluster.Flavor
	runs    []run   // MySQL: sorted by origin and tag, none empty
	highest []entry // MariaDB: sorted by domain and server, one each
}

// run is what a MySQL set has of one origin under one tag.
type run struct {
	uuid, tag string
	ivs       intervals
}

func (r run) compare(o run) int {
	return cmp.Or(cmp.Compare(r.uuid, o.uuid), cmp.Compare(r.tag, o.tag))
}

// entry is the highest sequence number of one server in one MariaDB domain.
type entry struct {
	domain, server uint32
	seq            uint64
}

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.domain, o.domain), cmp.Compare(e.server, o.server))
}

// IsEmpty reports whether there is no transaction in s.
func (s Set) IsEmpty() bool { return len(s.runs) == 0 && len(s.highest) == 0 }

// Flavor is the family whose text s was read from; empty for the empty set.
func (s Set) Flavor() cluster.Flavor { return s.flavor }

// Equal reports whether s and o are the same set.
func (s Set) Equal(o Set) bool {
	return s.flavor == o.flavor && slices.Equal(s.highest, o.highest) &&
		slices.EqualFunc(s.runs, o.runs, func(a, b run) bool {
			return a.compare(b) == 0 && slices.Equal(a.ivs, b.ivs)
		})
}

// String prints s in canonical form, without blanks: sorted, runs joined, lower
// case. Servers of its flavour accept it as a set to compare with or to wait for.
func (s Set) String() string {
	var b strings.Builder
	for i, r := range s.runs {
		switch {
		case i == 0:
			b.WriteString(r.uuid)
		case s.runs[i-1].uuid != r.uuid:
			b.WriteString("," + r.uuid)
		}
		if r.tag != "" {
			b.WriteString(":" + r.tag)
		}
		for _, iv := range r.ivs {
			b.WriteString(":" + strconv.FormatUint(iv.lo, 10))
			if iv.hi != iv.lo {
				b.WriteString("-" + strconv.FormatUint(iv.hi, 10))
			}
		}
	}
	for i, e := range s.highest {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e.String())
	}
	return b.String()
}

func (e entry) String() string {
	return strconv.FormatUint(uint64(e.domain), 10) + "-" +
		strconv.FormatUint(uint64(e.server), 10) + "-" + strconv.FormatUint(e.seq, 10)
}

// Contains reports whether every transaction of o is in s. A set never contains
// one of the other flavour, except the empty one.
func (s Set) Contains(o Set) bool {
	if o.IsEmpty() || s.is(o) {
		return true
	}
	if s.flavor != o.flavor {
		return false
	}
	for _, want := range o.runs {
		if !s.run(want).contains(want.ivs) {
			return false
		}
	}
	for _, want := range o.highest {
		if s.seq(want) < want.seq {
			return false
		}
	}
	return true
}

// is reports whether s and o come from one reading, and hence are equal; so may be those
// of two.
func (s Set) is(o Set) bool {
	return s.flavor == o.flavor && one(s.runs, o.runs) && one(s.highest, o.highest)
}

func one[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// run returns what s has of the origin and tag of like.
func (s Set) run(like run) intervals {
	if i, found := slices.BinarySearchFunc(s.runs, like, run.compare); found {
		return s.runs[i].ivs
	}
	return nil
}

// seq returns the highest number that s has of the domain and server of like, 0 for none.
func (s Set) seq(like entry) uint64 {
	if i, found := slices.BinarySearchFunc(s.highest, like, entry.compare); found {
		return s.highest[i].seq
	}
	return 0
}

// Union returns everything that is in s or in o; s when the flavours differ.
func (s Set) Union(o Set) Set {
	switch {
	case o.IsEmpty():
		return s
	case s.IsEmpty():
		return o
	case s.flavor != o.flavor:
		return s
	}
	// Positions grow: mostly one holds the other, and nothing has to be made.
	if s.Contains(o) {
		return s
	}
	if o.Contains(s) {
		return o
	}
	return build(s.flavor, slices.Concat(s.runs, o.runs), slices.Concat(s.highest, o.highest))
}

// Minus returns what is in s and not in o; s when the flavours differ. Of
// MariaDB, an entry that o lacks in part stays as it is.
func (s Set) Minus(o Set) Set {
	if s.IsEmpty() || o.IsEmpty() || s.flavor != o.flavor {
		return s
	}
	if s.is(o) {
		return Set{}
	}
	var runs []run
	for _, r := range s.runs {
		if left := r.ivs.minus(o.run(r)); len(left) > 0 {
			runs = append(runs, run{r.uuid, r.tag, left})
		}
	}
	var highest []entry
	for _, e := range s.highest {
		if o.seq(e) < e.seq {
			highest = append(highest, e)
		}
	}
	return of(s.flavor, runs, highest)
}

// WithoutOrigin returns s without the transactions that the server called
// identity committed first: its server_uuid on MySQL, its server_id on MariaDB.
func (s Set) WithoutOrigin(identity string) Set {
	if s.IsEmpty() {
		return s
	}
	identity = strings.ToLower(strings.TrimSpace(identity))
	var runs []run
	for _, r := range s.runs {
		if r.uuid != identity {
			runs = append(runs, r)
		}
	}
	var highest []entry
	for _, e := range s.highest {
		if strconv.FormatUint(uint64(e.server), 10) != identity {
			highest = append(highest, e)
		}
	}
	return of(s.flavor, runs, highest)
}

// WithoutForgotten returns s without what a server of MariaDB that was set up anew does not list any more:
// origins of which now has nothing, up to the highest number that it has in their domain. A
// copy of another server knows its position alone, and no origin but the last. What was lost
// in a crash stays: a binary log lists every origin that it ever had, and who received more has
// come further. Of MySQL, s is returned whole.
func (s Set) WithoutForgotten(now Set) Set {
	if !slices.ContainsFunc(s.highest, now.forgot) {
		return s
	}
	return of(s.flavor, s.runs, slices.DeleteFunc(slices.Clone(s.highest), now.forgot))
}

// forgot reports whether s lists nothing of the origin of e and is beyond it.
func (s Set) forgot(e entry) bool { return s.seq(e) == 0 && s.top(e.domain) >= e.seq }

// Missing counts the transactions of s that from lacks. Of MySQL the number is
// exact. Of MariaDB it is an estimate: sequence numbers go on through a domain,
// whoever commits, so that the distance of the highest ones is counted, and never
// less than one for each entry that from lacks.
func (s Set) Missing(from Set) (n uint64, exact bool) {
	lacking := s.Minus(from)
	for _, r := range lacking.runs {
		n = addCapped(n, r.ivs.count())
	}
	for i := 0; i < len(lacking.highest); {
		domain := lacking.highest[i].domain
		var top, entries uint64
		for ; i < len(lacking.highest) && lacking.highest[i].domain == domain; i++ {
			top = max(top, lacking.highest[i].seq)
			entries++
		}
		if known := from.top(domain); known < top {
			entries = max(entries, top-known)
		}
		n = addCapped(n, entries)
	}
	return n, len(lacking.highest) == 0
}

// top is the highest sequence number in one MariaDB domain, 0 for none.
func (s Set) top(domain uint32) uint64 {
	var top uint64
	for _, e := range s.highest {
		if e.domain == domain {
			top = max(top, e.seq)
		}
	}
	return top
}

// Highest returns the newest entry of each MariaDB domain alone: the form of
// gtid_binlog_pos, and the only one that gtid_slave_pos takes (error 1943
// otherwise). A MySQL set is returned whole.
func (s Set) Highest() Set {
	var highest []entry
	for _, e := range s.highest {
		last := len(highest) - 1
		switch {
		case last < 0 || highest[last].domain != e.domain:
			highest = append(highest, e)
		case highest[last].seq < e.seq:
			highest[last] = e
		}
	}
	return of(s.flavor, s.runs, highest)
}

// of is a set of parts that are in order.
func of(f cluster.Flavor, runs []run, highest []entry) Set {
	if len(runs) == 0 && len(highest) == 0 {
		return Set{}
	}
	return Set{f, runs, highest}
}

// build makes a set of parts in any order. The slices become its own, the
// intervals in them may be those of other sets.
func build(f cluster.Flavor, runs []run, highest []entry) Set {
	slices.SortStableFunc(runs, run.compare)
	one := runs[:0]
	for _, r := range runs {
		if n := len(one); n > 0 && one[n-1].compare(r) == 0 {
			one[n-1].ivs = one[n-1].ivs.union(r.ivs)
			continue
		}
		one = append(one, r)
	}
	slices.SortStableFunc(highest, entry.compare)
	top := highest[:0]
	for _, e := range highest {
		if n := len(top); n > 0 && top[n-1].compare(e) == 0 {
			top[n-1].seq = max(top[n-1].seq, e.seq)
			continue
		}
		top = append(top, e)
	}
	return of(f, one, top)
}

// Common returns what is in s and in o; empty when the flavours differ.
func (s Set) Common(o Set) Set {
	if s.flavor != o.flavor {
		return Set{}
	}
	var runs []run
	for _, r := range s.runs {
		if both := r.ivs.minus(r.ivs.minus(o.run(r))); len(both) > 0 {
			runs = append(runs, run{r.uuid, r.tag, both})
		}
	}
	var highest []entry
	for _, e := range s.highest {
		if e.seq = min(e.seq, o.seq(e)); e.seq > 0 {
			highest = append(highest, e)
		}
	}
	return of(s.flavor, runs, highest)
}
