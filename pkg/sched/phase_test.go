package sched

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// However many there are, no tenth of a second has many more than its share.
func TestPhasesAreSpread(t *testing.T) {
	for _, n := range []int{50, 100, 1000} {
		var tenths [10]int
		for i := range n {
			p := Phase(i)
			if p < 0 || p >= time.Second {
				t.Fatalf("phase %s", p)
			}
			tenths[p/(100*time.Millisecond)]++
		}
		for i, got := range tenths {
			if got > n/10+together+2 {
				t.Errorf("%d of %d in tenth %d", got, n, i)
			}
		}
	}
	for i := range together {
		if Phase(i) != 0 {
			t.Errorf("the %d. of few has phase %s", i, Phase(i))
		}
	}
}

func TestPhased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := Real()
		if Phased(rt, 3) != rt {
			t.Error("few are not left as they are")
		}
		const n = 20
		if got, want := Phased(rt, n).Now(), rt.Now()+Phase(n); got != want || Phase(n) == 0 {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestStartAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, want := range map[int]time.Duration{0: 0, together - 1: 0, together: startEach, 1000: 993 * startEach} {
			began := time.Now()
			if err := StartAfter(t.Context(), Real(), n); err != nil || time.Since(began) != want {
				t.Errorf("%d: %v after %s, want %s", n, err, time.Since(began), want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, n := range []int{0, 1000} {
			began := time.Now()
			if err := StartAfter(ctx, Real(), n); err == nil || time.Since(began) != 0 {
				t.Errorf("%d, not wanted any more: %v after %s", n, err, time.Since(began))
			}
		}
	})
}
