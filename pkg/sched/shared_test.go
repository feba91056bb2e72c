package sched

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sharing runs f with a shared runtime over a clock that moves when all wait, and ends what is idle after it.
func sharing(t *testing.T, f func(t *testing.T, rt shared)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rt := Shared(Real()).(shared)
		f(t, rt)
		for _, one := range rt.stacks.idle {
			one.stop()
		}
	})
}

func TestLendRunsItBeforeItReturns(t *testing.T) {
	sharing(t, func(t *testing.T, rt shared) {
		for n := range 100 {
			got := -1
			rt.Lend(func() {
				if Sleep(t.Context(), rt, time.Second) == nil {
					got = n
				}
			})
			if got != n {
				t.Fatalf("%d after what gives %d", got, n)
			}
		}
		if idle := len(rt.stacks.idle); idle != 1 {
			t.Errorf("one after the other has left %d stacks, want 1", idle)
		}
	})
}

func TestLentInLent(t *testing.T) {
	sharing(t, func(t *testing.T, rt shared) {
		var order []int
		rt.Lend(func() {
			order = append(order, 1)
			rt.Lend(func() { order = append(order, 2) })
			order = append(order, 3)
		})
		if len(order) != 3 || order[0] != 1 || order[1] != 2 || order[2] != 3 {
			t.Errorf("done in the order %v", order)
		}
	})
}

func TestWhatIsSharedRunsSideBySide(t *testing.T) {
	sharing(t, func(t *testing.T, rt shared) {
		const n = 3 * mostIdle
		for range 3 {
			began, all := time.Now(), NewGroup(rt)
			var mu sync.Mutex
			did := 0
			for range n {
				all.Go(func() {
					rt.Lend(func() {
						_ = Sleep(t.Context(), rt, time.Minute)
						mu.Lock()
						did++
						mu.Unlock()
					})
				})
			}
			all.Wait()
			if took := time.Since(began); did != n || took != time.Minute {
				t.Fatalf("%d of %d were done in %s", did, n, took)
			}
			if len(rt.stacks.idle) != mostIdle {
				t.Fatalf("%d stacks are idle, want %d", len(rt.stacks.idle), mostIdle)
			}
		}
	})
}

func TestAPanicInWhatIsLentIsTheCallers(t *testing.T) {
	sharing(t, func(t *testing.T, rt shared) {
		caught := func() (what any) {
			defer func() { what = recover() }()
			rt.Lend(func() { panic("no") })
			return nil
		}
		if got := caught(); got != "no" {
			t.Errorf("caught %v", got)
		}
		done := false
		if rt.Lend(func() { done = true }); !done {
			t.Error("nothing is lent after it")
		}
	})
}
