package sched_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const forEver = time.Duration(-1)

// inTime runs f with the real runtime over a clock that moves when all wait.
func inTime(t *testing.T, f func(t *testing.T, rt sched.Runtime)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, sched.Real()) })
}

func wantWoken(t *testing.T, got, want sched.Woken, began time.Time, after time.Duration) {
	t.Helper()
	if took := time.Since(began); got != want || took != after {
		t.Errorf("woken as %d after %s, want %d after %s", got, took, want, after)
	}
}

func TestNowIsAboveZeroAndGoesWithTheTime(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		first := rt.Now()
		if first <= 0 {
			t.Errorf("the first time is %s", first)
		}
		<-time.After(time.Minute)
		if now := rt.Now(); now-first != time.Minute {
			t.Errorf("a minute took %s", now-first)
		}
	})
}

func TestASetThatCameBeforeTheWaitCounts(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		for _, d := range []time.Duration{forEver, 0, time.Second} {
			// Several times: a select would draw between the two.
			for range 50 {
				s := rt.NewSignal()
				s.Set()
				began := time.Now()
				wantWoken(t, s.Wait(t.Context(), d), sched.Set, began, 0)
				wantWoken(t, s.Wait(t.Context(), 0), sched.Late, began, 0)
			}
		}
	})
}

func TestSeveralSetsAreOne(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		s := rt.NewSignal()
		for range 3 {
			s.Set()
		}
		began := time.Now()
		wantWoken(t, s.Wait(t.Context(), time.Second), sched.Set, began, 0)
		wantWoken(t, s.Wait(t.Context(), time.Second), sched.Late, began, time.Second)
		s.Set()
		wantWoken(t, s.Wait(t.Context(), time.Second), sched.Set, began, time.Second)
	})
}

func TestASetWakesWhoWaits(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		s := rt.NewSignal()
		for _, d := range []time.Duration{forEver, time.Hour} {
			began := time.Now()
			time.AfterFunc(3*time.Second, s.Set)
			wantWoken(t, s.Wait(t.Context(), d), sched.Set, began, 3*time.Second)
		}
	})
}

// The timer of an earlier wait must not end a later one.
func TestAWaitEndsAtItsOwnTime(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		s := rt.NewSignal()
		began := time.Now()
		s.Set()
		wantWoken(t, s.Wait(t.Context(), time.Second), sched.Set, began, 0)
		time.AfterFunc(500*time.Millisecond, s.Set)
		wantWoken(t, s.Wait(t.Context(), time.Second), sched.Set, began, 500*time.Millisecond)
		wantWoken(t, s.Wait(t.Context(), time.Minute), sched.Late, began, time.Minute+500*time.Millisecond)
		wantWoken(t, s.Wait(t.Context(), 0), sched.Late, began, time.Minute+500*time.Millisecond)
		time.AfterFunc(time.Hour, s.Set)
		wantWoken(t, s.Wait(t.Context(), forEver), sched.Set, began, time.Hour+time.Minute+500*time.Millisecond)
	})
}

func TestTheEndOfAContextEndsAWaitAndKeepsTheSet(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		s := rt.NewSignal()
		began := time.Now()
		ctx, cancel := rt.Timeout(t.Context(), time.Second)
		defer cancel()
		wantWoken(t, s.Wait(ctx, time.Minute), sched.Ended, began, time.Second)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("error %v", ctx.Err())
		}
		s.Set()
		wantWoken(t, s.Wait(ctx, forEver), sched.Ended, began, time.Second)
		wantWoken(t, s.Wait(t.Context(), forEver), sched.Set, began, time.Second)

		parent, cancel := rt.Cancel(t.Context())
		below, done := rt.Timeout(parent, time.Hour)
		defer done()
		time.AfterFunc(time.Second, cancel)
		wantWoken(t, s.Wait(below, forEver), sched.Ended, began, 2*time.Second)

		for range 50 {
			ctx, cancel := rt.Cancel(t.Context())
			rt.Go(func() { s.Set(); cancel() })
			synctest.Wait()
			wantWoken(t, s.Wait(ctx, forEver), sched.Ended, began, 2*time.Second)
			wantWoken(t, s.Wait(t.Context(), 0), sched.Set, began, 2*time.Second)
		}
	})
}

// Many set at once while one waits, on the machine's own clock: no Set is lost.
func TestNoSetIsLost(t *testing.T) {
	rt := sched.Real()
	s := rt.NewSignal()
	var given atomic.Int64
	g := sched.NewGroup(rt)
	const setters, each = 8, 500
	for range setters {
		g.Go(func() {
			for range each {
				given.Add(1)
				s.Set()
			}
		})
	}
	ctx, cancel := rt.Timeout(t.Context(), 20*time.Second)
	defer cancel()
	for seen := int64(0); seen < setters*each; seen = given.Load() {
		if woken := s.Wait(ctx, forEver); woken != sched.Set {
			t.Fatalf("woken as %d with %d of %d seen", woken, seen, setters*each)
		}
	}
	g.Wait()
}

func TestSleep(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		began := time.Now()
		ctx, cancel := rt.Timeout(t.Context(), time.Second)
		defer cancel()
		for _, c := range []struct {
			d, after time.Duration
			err      error
		}{{-time.Second, 0, nil}, {300 * time.Millisecond, 300 * time.Millisecond, nil},
			{time.Minute, time.Second, context.DeadlineExceeded}, {0, time.Second, context.DeadlineExceeded}} {
			if err := sched.Sleep(ctx, rt, c.d); !errors.Is(err, c.err) || time.Since(began) != c.after {
				t.Errorf("sleep of %s: %v at %s, want %v at %s", c.d, err, time.Since(began), c.err, c.after)
			}
		}
	})
}

func TestAGroupIsWaitedForToTheLast(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		g := sched.NewGroup(rt)
		g.Wait() // nobody
		began := time.Now()
		var mu sync.Mutex
		var ended []time.Duration
		for _, d := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
			g.Go(func() {
				_ = sched.Sleep(t.Context(), rt, d)
				if d == time.Second { // one may begin another
					g.Go(func() { _ = sched.Sleep(t.Context(), rt, 5*time.Second) })
				}
				mu.Lock()
				ended = append(ended, d)
				mu.Unlock()
			})
		}
		g.Wait()
		if took := time.Since(began); took != 6*time.Second || len(ended) != 3 || ended[0] != time.Second {
			t.Errorf("waited %s for %v", took, ended)
		}
		g.Go(func() { _ = sched.Sleep(t.Context(), rt, time.Second) })
		g.Wait()
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the second wait ended after %s", took)
		}
	})
}

func TestAResultIsWaitedForAndMayComeLater(t *testing.T) {
	inTime(t, func(t *testing.T, rt sched.Runtime) {
		began := time.Now()
		broken := errors.New("broken")
		r := sched.Begin(rt, func() (int, error) {
			_ = sched.Sleep(t.Context(), rt, 10*time.Second)
			return 7, broken
		})
		short, cancel := rt.Timeout(t.Context(), 2*time.Second)
		defer cancel()
		for _, c := range []struct {
			ctx      context.Context
			d, after time.Duration
			value    int
			err      error
		}{
			{t.Context(), 0, 0, 0, sched.ErrLate},
			{t.Context(), time.Second, time.Second, 0, sched.ErrLate},
			{short, forEver, 2 * time.Second, 0, context.DeadlineExceeded},
			{t.Context(), forEver, 10 * time.Second, 7, broken},
			{t.Context(), 0, 10 * time.Second, 7, broken},
			{t.Context(), forEver, 10 * time.Second, 7, broken},
			{short, forEver, 10 * time.Second, 7, broken}, // it is there, whatever has ended
		} {
			value, err := r.Get(c.ctx, c.d)
			if value != c.value || !errors.Is(err, c.err) || time.Since(began) != c.after {
				t.Errorf("%d, %v after %s; want %d, %v after %s", value, err, time.Since(began), c.value, c.err, c.after)
			}
		}
	})
}

func TestRand(t *testing.T) {
	rt := sched.Real()
	for _, n := range []time.Duration{-1, 0, 1} {
		if got := rt.Rand(n); got != 0 {
			t.Errorf("of %d: %d", n, got)
		}
	}
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := rt.Rand(4)
		if d < 0 || d >= 4 {
			t.Fatalf("%d is not below 4", d)
		}
		seen[d] = true
	}
	if len(seen) != 4 {
		t.Errorf("only %v were drawn", seen)
	}
}
