package gtid

import (
	"cmp"
	"math"
	"slices"
)

// interval is a run of transaction numbers, both ends included. With an
// exclusive end, the highest numbers would overflow.
type interval struct{ lo, hi uint64 }

// intervals are sorted, and between two neighbours at least one number is missing.
type intervals []interval

func normalise(in intervals) intervals {
	if len(in) <= 1 {
		return in
	}
	slices.SortFunc(in, func(a, b interval) int { return cmp.Compare(a.lo, b.lo) })
	out := make(intervals, 0, len(in))
	for _, iv := range in {
		if n := len(out); n > 0 && (iv.lo <= out[n-1].hi || iv.lo-1 == out[n-1].hi) {
			out[n-1].hi = max(out[n-1].hi, iv.hi)
			continue
		}
		out = append(out, iv)
	}
	return out
}

func (a intervals) contains(b intervals) bool {
	i := 0
	for _, want := range b {
		for i < len(a) && a[i].hi < want.lo {
			i++
		}
		if i == len(a) || a[i].lo > want.lo || a[i].hi < want.hi {
			return false
		}
	}
	return true
}

func (a intervals) union(b intervals) intervals {
	return normalise(slices.Concat(a, b))
}

func (a intervals) minus(b intervals) intervals {
	var out intervals
	i := 0
	for _, left := range a {
		for i < len(b) && b[i].hi < left.lo {
			i++
		}
		rest := true
		for j := i; j < len(b) && b[j].lo <= left.hi; j++ {
			if b[j].lo > left.lo {
				out = append(out, interval{left.lo, b[j].lo - 1})
			}
			if b[j].hi >= left.hi {
				rest = false
				break
			}
			left.lo = b[j].hi + 1
		}
		if rest {
			out = append(out, left)
		}
	}
	return out
}

func (a intervals) count() uint64 {
	var n uint64
	for _, iv := range a {
		n = addCapped(n, addCapped(iv.hi-iv.lo, 1))
	}
	return n
}

func addCapped(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
