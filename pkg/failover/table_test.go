package failover

import (
	"slices"
	"testing"
)

// A table is shared by copies of a State: none may see what another one puts.
func TestATableIsReplacedAndNeverChanged(t *testing.T) {
	var all table[int]
	a, b, c := voice{"a:1", "m"}, voice{"a:1", "n"}, voice{"b:1", "m"}
	for _, k := range []voice{c, a, b} {
		all.put(k, 1)
	}
	before, want := all, slices.Clone(all)
	all.put(b, 2)
	all.put(voice{"c:1", "m"}, 3)
	full, kept := all, slices.Clone(all)
	all.keep(func(k voice) bool { return k != a })
	if !slices.Equal(before, want) || !slices.Equal(full, kept) {
		t.Errorf("the copies are %v and %v, want %v and %v", before, full, want, kept)
	}
	if got, known := all.get(b); got != 2 || !known {
		t.Errorf("%v holds %d, %v", b, got, known)
	}
	if _, known := all.get(a); known || len(all) != 3 {
		t.Errorf("%v is still there: %v", a, all)
	}
	if !slices.IsSortedFunc(all, func(x, y row[int]) int { return x.voice.compare(y.voice) }) {
		t.Errorf("%v is not sorted", all)
	}
}
