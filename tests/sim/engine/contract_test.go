package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// The simulator's runtime and the machine's own must not differ in what the
// daemons' loops can see. Each case runs on both; run returns when all of f is over.
var runtimes = []struct {
	name string
	run  func(t *testing.T, f func(rt sched.Runtime))
}{
	{"real", func(t *testing.T, f func(rt sched.Runtime)) {
		synctest.Test(t, func(*testing.T) { f(sched.Real()) })
	}},
	{"simulated", func(t *testing.T, f func(rt sched.Runtime)) {
		e := engine.New(1)
		defer e.Close()
		over := false
		p := e.Process("p", engine.Clock{})
		p.Go(func() { f(p.Runtime()); over = true })
		for e.Step() {
		}
		if !over {
			t.Error("it waits for ever")
		}
	}},
	{"simulated with a clock of its own", func(t *testing.T, f func(rt sched.Runtime)) {
		e := engine.New(1)
		defer e.Close()
		over := false
		p := e.Process("p", engine.Clock{Offset: time.Hour, Drift: -731})
		p.Go(func() { f(p.Runtime()); over = true })
		for e.Step() {
		}
		if !over {
			t.Error("it waits for ever")
		}
	}},
}

func onBoth(t *testing.T, f func(t *testing.T, rt sched.Runtime)) {
	t.Helper()
	for _, r := range runtimes {
		t.Run(r.name, func(t *testing.T) { r.run(t, func(rt sched.Runtime) { f(t, rt) }) })
	}
}

var background = context.Background()

const forEver = time.Duration(-1)

// doing is one thing that a loop does.
type doing struct {
	kind  string // sleep, wait
	d     time.Duration
	limit time.Duration // of its context; none below zero
	// call says when after the beginning the context is cancelled; never below zero.
	call time.Duration
}

// done is what came of it.
type done struct {
	woken sched.Woken
	at    time.Duration
	err   string
}

// script is one loop and those who set its signal, at times after the beginning.
type script struct {
	loop []doing
	sets []time.Duration
}

func draw(r *rand.Rand) script {
	span := func() time.Duration { return time.Duration(r.Int64N(int64(10*time.Second))) + 1 }
	maybe := func() time.Duration {
		if r.IntN(2) == 0 {
			return -1
		}
		return span()
	}
	var s script
	for range r.IntN(12) {
		s.sets = append(s.sets, time.Duration(r.Int64N(int64(60*time.Second)))+1)
	}
	for range 1 + r.IntN(10) {
		switch r.IntN(3) {
		case 0:
			s.loop = append(s.loop, doing{kind: "sleep", d: span()})
		default:
			do := doing{kind: "wait", d: maybe(), limit: maybe(), call: maybe()}
			switch r.IntN(8) {
			case 0:
				do.d = 0
			case 1:
				do.limit = 0
			}
			if do.d < 0 && do.limit < 0 && do.call < 0 {
				do.d = span()
			}
			s.loop = append(s.loop, do)
		}
	}
	return s
}

// expect is what the documentation of pkg/sched says of a script in which no two
// things happen at once.
func (s script) expect() []done {
	sets := slices.Clone(s.sets)
	slices.Sort(sets)
	var now time.Duration
	var out []done
	for _, do := range s.loop {
		if do.kind == "sleep" {
			now += do.d
			out = append(out, done{woken: sched.Late, at: now})
			continue
		}
		if do.limit == 0 {
			out = append(out, done{sched.Ended, now, context.DeadlineExceeded.Error()})
			continue
		}
		const never = time.Duration(1 << 62)
		set, late, limit, called := never, never, never, never
		if len(sets) > 0 {
			set = max(now, sets[0])
		}
		if do.d >= 0 {
			late = now + do.d
		}
		if do.limit > 0 {
			limit = now + do.limit
		}
		if do.call > 0 {
			called = now + do.call
		}
		at := min(set, late, limit, called)
		switch at {
		case limit:
			out = append(out, done{sched.Ended, at, context.DeadlineExceeded.Error()})
		case called:
			out = append(out, done{sched.Ended, at, context.Canceled.Error()})
		case set:
			out = append(out, done{woken: sched.Set, at: at})
			for len(sets) > 0 && sets[0] <= at {
				sets = sets[1:]
			}
		default:
			out = append(out, done{woken: sched.Late, at: at})
		}
		now = at
	}
	return out
}

// play runs the script.
func (s script) play(rt sched.Runtime) []done {
	began := rt.Now()
	signal, g := rt.NewSignal(), sched.NewGroup(rt)
	for _, at := range s.sets {
		g.Go(func() { _ = sched.Sleep(background, rt, at); signal.Set() })
	}
	var out []done
	for _, do := range s.loop {
		if do.kind == "sleep" {
			_ = sched.Sleep(background, rt, do.d)
			out = append(out, done{woken: sched.Late, at: rt.Now() - began})
			continue
		}
		ctx, cancel := rt.Cancel(background)
		if do.call > 0 {
			g.Go(func() { _ = sched.Sleep(background, rt, do.call); cancel() })
		}
		if do.limit >= 0 {
			var end context.CancelFunc
			ctx, end = rt.Timeout(ctx, do.limit)
			defer end()
		}
		var was done
		was.woken = signal.Wait(ctx, do.d)
		was.at = rt.Now() - began
		if was.woken == sched.Ended {
			was.err = fmt.Sprint(ctx.Err())
		}
		out = append(out, was)
	}
	g.Wait()
	return out
}

func TestContractWaitsEndAsDocumented(t *testing.T) {
	const scripts = 300
	for seed := range uint64(scripts) {
		s := draw(rand.New(rand.NewPCG(seed, 2)))
		want := s.expect()
		for _, r := range runtimes {
			r.run(t, func(rt sched.Runtime) {
				if got := s.play(rt); !slices.Equal(got, want) {
					t.Errorf("script %d, %s: %+v\n got %v\nwant %v", seed, r.name, s, got, want)
				}
			})
		}
	}
}

func TestContractSetsBeforeAWaitAreOne(t *testing.T) {
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		s := rt.NewSignal()
		for range 3 {
			s.Set()
		}
		if got := s.Wait(background, 0); got != sched.Set {
			t.Errorf("the first wait: %d", got)
		}
		if got := s.Wait(background, time.Second); got != sched.Late {
			t.Errorf("the second wait: %d", got)
		}
	})
}

func TestContractASetThatIsReportedAsEndedIsNotLost(t *testing.T) {
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		for range 50 {
			s := rt.NewSignal()
			ctx, cancel := rt.Cancel(background)
			rt.Go(func() { _ = sched.Sleep(background, rt, time.Millisecond); s.Set(); cancel() })
			if got := s.Wait(ctx, forEver); got == sched.Set {
				continue // it was over before the end
			}
			if got := s.Wait(background, 0); got != sched.Set {
				t.Fatalf("after Ended: %d", got)
			}
		}
	})
}

func TestContractTheEndOfAContextEndsEveryWaitUnderIt(t *testing.T) {
	type key struct{}
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		began := rt.Now()
		parent, cancel := rt.Cancel(background)
		under, stop := rt.Timeout(context.WithValue(parent, key{}, 1), time.Hour)
		defer stop()
		beside, end := rt.Timeout(background, 3*time.Second)
		defer end()
		var mu sync.Mutex
		var woken []string
		g := sched.NewGroup(rt)
		wait := func(name string, ctx context.Context) {
			g.Go(func() {
				how := rt.NewSignal().Wait(ctx, forEver)
				mu.Lock()
				defer mu.Unlock()
				woken = append(woken, fmt.Sprint(name, " ", how, " ", ctx.Err(), " ", rt.Now()-began))
			})
		}
		wait("parent", parent)
		wait("under", under)
		wait("value", context.WithValue(under, key{}, 2))
		wait("beside", beside)
		wait("beside, with a value", context.WithValue(beside, key{}, 3))
		g.Go(func() { _ = sched.Sleep(background, rt, 2*time.Second); cancel(); cancel() })
		g.Wait()
		slices.Sort(woken)
		want := []string{
			"beside 2 context deadline exceeded 3s", "beside, with a value 2 context deadline exceeded 3s", "parent 2 context canceled 2s",
			"under 2 context canceled 2s", "value 2 context canceled 2s",
		}
		if !slices.Equal(woken, want) {
			t.Errorf("%q", woken)
		}
		// What is kept for the cleaning up does not end with its parent.
		kept, done := rt.Timeout(context.WithoutCancel(under), 5*time.Second)
		defer done()
		if how := rt.NewSignal().Wait(kept, forEver); how != sched.Ended || rt.Now()-began != 8*time.Second {
			t.Errorf("without cancel: %d at %s", how, rt.Now()-began)
		}
	})
}

func TestContractTheFirstErrorOfAContextStays(t *testing.T) {
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		at := func(d time.Duration) { _ = sched.Sleep(background, rt, d) }
		check := func(what string, ctx context.Context, want error) {
			t.Helper()
			if ctx.Err() != want {
				t.Errorf("%s: %v", what, ctx.Err())
			}
		}
		parent, cancel := rt.Cancel(background)
		early, stopEarly := rt.Timeout(parent, time.Second)
		late, stopLate := rt.Timeout(parent, 3*time.Second)
		shut, shutNow := rt.Timeout(parent, 3*time.Second)
		zero, stopZero := rt.Timeout(parent, 0)
		defer stopZero()
		check("at once", zero, context.DeadlineExceeded)
		at(time.Second + time.Millisecond)
		check("when it is over", early, context.DeadlineExceeded)
		shutNow()
		at(time.Second)
		cancel()
		stopEarly()
		check("cancelled after its time", early, context.DeadlineExceeded)
		check("cancelled before its time", late, context.Canceled)
		at(2 * time.Second)
		stopLate()
		check("cancelled, then its time", late, context.Canceled)
		check("cancelled by itself", shut, context.Canceled)
		below, stop := rt.Timeout(early, time.Hour)
		defer stop()
		check("below an ended one", below, context.DeadlineExceeded)
	})
}

func TestContractGroupAndResult(t *testing.T) {
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		began := rt.Now()
		g := sched.NewGroup(rt)
		for i := range 5 {
			g.Go(func() { _ = sched.Sleep(background, rt, time.Duration(i)*time.Second) })
		}
		r := sched.Begin(rt, func() (int, error) { return 7, sched.Sleep(background, rt, 2*time.Second) })
		if _, err := r.Get(background, time.Second); err != sched.ErrLate {
			t.Errorf("early: %v", err)
		}
		if v, err := r.Get(background, forEver); v != 7 || err != nil || rt.Now()-began != 2*time.Second {
			t.Errorf("%d, %v at %s", v, err, rt.Now()-began)
		}
		g.Wait()
		if took := rt.Now() - began; took != 4*time.Second {
			t.Errorf("the group took %s", took)
		}
	})
}

func TestWhatIsLentIsOverWhenItReturns(t *testing.T) {
	onBoth(t, func(t *testing.T, rt sched.Runtime) {
		began, did := rt.Now(), false
		rt.Lend(func() { did = sched.Sleep(background, rt, time.Second) == nil })
		if took := rt.Now() - began; !did || took != time.Second {
			t.Errorf("done is %v after %s, want a second", did, took)
		}
	})
}
