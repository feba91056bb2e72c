package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// world is an engine whose coroutines must all be gone after its Close.
func world(t testing.TB) *engine.Engine {
	t.Helper()
	before := runtime.NumGoroutine()
	e := engine.New(1)
	t.Cleanup(func() {
		e.Close()
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines before, %d after Close", before, after)
		}
	})
	return e
}

// drain lets everything happen.
func drain(e *engine.Engine) {
	for e.Step() {
	}
}

// log is what happened, in order.
type log []string

func (l *log) add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

func (l *log) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*l, want) {
		t.Errorf("got  %q\nwant %q", []string(*l), want)
	}
}

func surfaced(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// chatter is a world of processes that wake, call, cancel, pause and kill each other.
func chatter(seed uint64, last int) string { return chatterIn(engine.New(seed), last) }

func chatterIn(e *engine.Engine, last int) string {
	defer e.Close()
	trace := e.Record(last)
	const n = 50
	procs := make([]*engine.Process, n)
	signals := make([]sched.Signal, n)
	for i := range procs {
		p := e.Process(fmt.Sprintf("p%d", i), engine.Clock{Offset: e.Between(0, time.Hour), Drift: int64(i) - 25})
		procs[i], signals[i] = p, p.Runtime().NewSignal()
	}
	for i, p := range procs {
		rt := p.Runtime()
		for worker := range 3 {
			p.Go(func() {
				defer signals[(i+1)%n].Set()
				for round := 0; ; round++ {
					ctx, cancel := rt.Timeout(background, rt.Rand(20*time.Millisecond))
					switch e.Rand().IntN(6) {
					case 0:
						if worker == 0 {
							signals[i].Wait(ctx, rt.Rand(10*time.Millisecond))
						}
					case 1:
						signals[e.Rand().IntN(n)].Set()
					case 2:
						_, err := engine.Call(p, ctx, func(done func(int, error)) {
							e.After(e.Between(0, 30*time.Millisecond), func() { done(round, nil) })
						})
						e.Note(p.Name(), fmt.Sprint("call: ", err))
					case 3:
						rt.Go(func() { _ = sched.Sleep(ctx, rt, rt.Rand(time.Millisecond)) })
					case 4:
						_ = sched.Sleep(ctx, rt, rt.Rand(time.Millisecond))
						cancel()
					case 5:
						other := procs[e.Rand().IntN(n)]
						other.Pause()
						e.After(e.Between(0, 10*time.Millisecond), other.Resume)
						if e.Chance(200) {
							other.Kill()
						}
						_ = sched.Sleep(ctx, rt, time.Microsecond)
					}
					_ = sched.Sleep(background, rt, rt.Rand(time.Millisecond))
				}
			})
		}
	}
	e.Until(1200 * time.Millisecond)
	return trace.String() + e.String()
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	one, again, other := chatter(7, 0), chatter(7, 0), chatter(8, 0)
	if one != again {
		t.Error("two runs of one seed differ")
	}
	if one == other {
		t.Error("two seeds give the same")
	}
	if lines := strings.Count(one, "\n"); lines < 10_000 || !strings.Contains(one, "p3/1") || !strings.Contains(one, "dies") {
		t.Errorf("only %d lines:\n%.2000s", lines, one)
	}
	// A short trace is the end of the long one.
	short := chatter(7, 100)
	if !strings.HasSuffix(one, short) || strings.Count(short, "\n") < 100 || strings.Count(short, "\n") > 200 {
		t.Errorf("the last 100:\n%s", short)
	}
}

func TestAWorldDoesNotShowWhatWasLeftToIt(t *testing.T) {
	var s engine.Spare
	defer s.Close()
	for seed := uint64(8); seed >= 7; seed-- {
		if chatterIn(s.New(seed), 0) != chatter(seed, 0) {
			t.Errorf("seed %d is another world after others", seed)
		}
	}
}

func TestLeft(t *testing.T) {
	var s engine.Spare
	defer s.Close()
	take := func() (first, second *[]string) {
		e := s.New(1)
		defer e.Close()
		h := e.Network(engine.Link{}, engine.Link{}).Host("h")
		return engine.Left[[]string](h), engine.Left[[]string](h)
	}
	first, second := take()
	if first == second {
		t.Fatal("one world has the same twice")
	}
	*first = append(*first, "left")
	if again, other := take(); again != first || other != second || len(*again) != 1 {
		t.Error("the next world has others")
	}
}

func TestEventsOfOneInstantComeInTheOrderOfTheirMaking(t *testing.T) {
	e := world(t)
	var l log
	at := e.Now() + time.Second
	e.At(at, func() {
		l.add("first")
		e.After(0, func() { l.add("made in the instant") })
		e.At(0, func() { l.add("for the past") })
	})
	e.At(at+1, func() { l.add("a nanosecond later") })
	e.At(at, func() { l.add("second") })
	p := e.Process("p", engine.Clock{})
	p.Go(func() {
		rt := p.Runtime()
		_ = sched.Sleep(background, rt, time.Second)
		l.add("third")
		rt.Go(func() { l.add("beside") })
		l.add("before what it began")
	})
	e.At(at-1, func() { e.At(at, func() { l.add("fourth") }) })
	e.Until(at)
	l.want(t, "first", "second", "third", "before what it began", "fourth",
		"made in the instant", "for the past", "beside")
	if e.Now() != at {
		t.Errorf("it is %s", e.Now())
	}
	drain(e)
	if e.Now() != at+1 {
		t.Errorf("it is %s at the end", e.Now())
	}
}

// The queue against a list that is sorted anew each time.
func TestEventsComeInOrderWhateverIsTakenAway(t *testing.T) {
	for seed := range uint64(200) {
		e := engine.New(seed)
		var got, want []time.Duration
		p := e.Process("p", engine.Clock{})
		rt := p.Runtime()
		for range 40 {
			at := e.Now() + e.Between(1, 1000)
			if e.Chance(2) {
				want = append(want, at)
				e.At(at, func() { got = append(got, e.Now()) })
				continue
			}
			// One that waits and is woken before its time takes its event away.
			end, called := e.Between(1, 1000), e.Between(0, 2000)
			want = append(want, e.Now()+min(end, called), e.Now()+called)
			s := rt.NewSignal()
			p.Go(func() {
				s.Wait(background, end)
				got = append(got, e.Now())
			})
			e.After(called, func() { s.Set(); got = append(got, e.Now()) })
		}
		drain(e)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d:\n got %v\nwant %v", seed, got, want)
		}
		e.Close()
	}
}

func TestAWaitThatEndsTwoWaysAtOnceLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		event func(s sched.Signal, cancel func()) // at the very instant of the limit, made before the wait
		want  string
	}{
		{"set before its time", func(s sched.Signal, _ func()) { s.Set() }, "late, set, late"},
		{"cancelled and set", func(s sched.Signal, cancel func()) { cancel(); s.Set() }, "ended, set, late"},
		{"set and cancelled", func(s sched.Signal, cancel func()) { s.Set(); cancel() }, "ended, set, late"},
		{"twice set", func(s sched.Signal, _ func()) { s.Set(); s.Set() }, "late, set, late"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := world(t)
			p := e.Process("p", engine.Clock{})
			rt := p.Runtime()
			s := rt.NewSignal()
			ctx, cancel := rt.Cancel(background)
			e.After(time.Second, func() { c.event(s, cancel) })
			names := map[sched.Woken]string{sched.Set: "set", sched.Late: "late", sched.Ended: "ended"}
			var got []string
			p.Go(func() {
				got = append(got, names[s.Wait(ctx, time.Second)])
				got = append(got, names[s.Wait(background, 0)])
				got = append(got, names[s.Wait(background, time.Second)])
			})
			drain(e)
			if strings.Join(got, ", ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
	t.Run("set an instant before its time", func(t *testing.T) {
		e := world(t)
		p := e.Process("p", engine.Clock{})
		s := p.Runtime().NewSignal()
		e.After(time.Second-1, s.Set)
		var l log
		p.Go(func() {
			l.add("%d", s.Wait(background, time.Second))
			l.add("%d", s.Wait(background, time.Minute))
		})
		drain(e)
		l.want(t, "0", "1")
		if want := time.Second + time.Second - 1 + time.Minute; e.Now() != want {
			t.Errorf("it is %s: an old timer ended a new wait", e.Now())
		}
	})
}

func TestAWaitThatIsOverLeavesNothingBehind(t *testing.T) {
	e := world(t)
	p := e.Process("p", engine.Clock{})
	s := p.Runtime().NewSignal()
	for _, end := range []func(){s.Set, func() {}, p.Kill} {
		p.Go(func() {
			ctx, cancel := p.Runtime().Timeout(background, time.Second)
			defer cancel()
			s.Wait(ctx, time.Hour)
		})
		e.After(time.Millisecond, end)
		drain(e)
	}
	if e.Now() != 2*time.Second+2*time.Millisecond {
		t.Errorf("it is %s: a timer was left", e.Now())
	}
}

func TestAPausedProcessKeepsWhatComes(t *testing.T) {
	e := world(t)
	var l log
	p := e.Process("p", engine.Clock{})
	rt := p.Runtime()
	s := rt.NewSignal()
	p.Go(func() {
		for {
			l.add("woken %d at %s", s.Wait(background, 10*time.Second), e.Now())
		}
	})
	p.Go(func() {
		_ = sched.Sleep(background, rt, 2*time.Second)
		l.add("slept until %s", e.Now())
	})
	e.After(time.Second, p.Pause)
	e.After(3*time.Second, func() {
		s.Set()
		p.Go(func() { l.add("begun") })
		p.Post(func() { l.add("posted") })
		p.After(time.Second, func() { l.add("after") })
	})
	e.After(5*time.Second, func() { p.Resume(); p.Post(func() { l.add("posted at the resumption") }); p.Pause() })
	e.Until(7 * time.Second)
	l.want(t)
	p.Resume()
	e.Until(8 * time.Second)
	l.want(t, "slept until 7s", "woken 0 at 7s", "begun", "posted", "after", "posted at the resumption")
	if p.Paused() {
		t.Error("it is still paused")
	}
}

func TestAContextThatEndsDuringAPauseGoesBeforeASet(t *testing.T) {
	e := world(t)
	var l log
	p := e.Process("p", engine.Clock{})
	rt := p.Runtime()
	s := rt.NewSignal()
	p.Go(func() {
		ctx, cancel := rt.Timeout(background, 3*time.Second)
		defer cancel()
		l.add("%d", s.Wait(ctx, forEver))
		l.add("%d", s.Wait(background, 0))
	})
	e.After(time.Second, p.Pause)
	e.After(2*time.Second, s.Set)
	e.After(4*time.Second, p.Resume)
	drain(e)
	l.want(t, "2", "0")
}

func TestKill(t *testing.T) {
	type the struct {
		e  *engine.Engine
		p  *engine.Process
		rt sched.Runtime
		l  log
	}
	for _, c := range []struct {
		name string
		do   func(x *the)
		want []string
	}{
		{"of one that waits", func(x *the) {
			x.p.Go(func() {
				defer x.l.add("deferred")
				_ = sched.Sleep(background, x.rt, time.Hour)
				x.l.add("goes on")
			})
			x.e.After(time.Second, func() { x.p.Kill(); x.l.add("dead") })
		}, []string{"deferred", "dead"}},
		{"of one that has not begun", func(x *the) {
			x.p.Go(func() { defer x.l.add("deferred"); x.l.add("begun") })
			x.p.Kill()
		}, nil},
		{"of one that was woken in this instant", func(x *the) {
			s := x.rt.NewSignal()
			x.p.Go(func() { s.Wait(background, forEver); x.l.add("goes on") })
			x.e.After(time.Second, func() { s.Set(); x.p.Kill() })
		}, nil},
		{"while it is paused", func(x *the) {
			s := x.rt.NewSignal()
			x.p.Go(func() { s.Wait(background, forEver); x.l.add("goes on") })
			x.p.After(2*time.Second, func() { x.l.add("after") })
			x.e.After(time.Second, x.p.Pause)
			x.e.After(3*time.Second, func() { s.Set(); x.p.Kill(); x.p.Resume() })
		}, nil},
		{"by itself", func(x *the) {
			x.p.Go(func() { defer x.l.add("another"); _ = sched.Sleep(background, x.rt, time.Hour) })
			x.p.Go(func() {
				defer x.l.add("deferred")
				_ = sched.Sleep(background, x.rt, time.Second)
				x.p.Kill()
				x.l.add("goes on")
			})
		}, []string{"another", "deferred"}},
		{"by its own call", func(x *the) {
			x.p.Go(func() {
				defer x.l.add("deferred")
				_, _ = engine.Call(x.p, background, func(done func(int, error)) {
					x.p.Kill()
					x.l.add("the engine goes on")
					done(1, nil)
				})
				x.l.add("answered")
			})
		}, []string{"the engine goes on", "deferred"}},
		{"by another process", func(x *the) {
			q := x.e.Process("q", engine.Clock{})
			x.p.Go(func() { defer x.l.add("deferred"); _ = sched.Sleep(background, x.rt, time.Hour) })
			q.Go(func() {
				_ = sched.Sleep(background, q.Runtime(), time.Second)
				x.p.Kill()
				x.l.add("the other goes on")
				_ = sched.Sleep(background, q.Runtime(), time.Second)
				x.l.add("and on")
			})
		}, []string{"deferred", "the other goes on", "and on"}},
		{"the newest first", func(x *the) {
			for i := range 3 {
				x.p.Go(func() { defer x.l.add("%d", i); _ = sched.Sleep(background, x.rt, time.Hour) })
			}
			x.e.After(time.Second, x.p.Kill)
		}, []string{"2", "1", "0"}},
		{"with deferred waits, sets and beginnings", func(x *the) {
			s := x.rt.NewSignal()
			x.p.Go(func() { s.Wait(background, forEver); x.l.add("woken") })
			x.p.Go(func() {
				defer func() { x.l.add("the first defer, alive %t", x.p.Alive()) }()
				defer func() {
					_ = sched.Sleep(background, x.rt, time.Second)
					x.l.add("waited")
				}()
				defer func() {
					s.Set()
					x.rt.Go(func() { x.l.add("begun") })
					x.p.Post(func() { x.l.add("posted") })
					x.p.After(1, func() { x.l.add("after") })
					x.p.Kill()
					x.l.add("the last defer")
				}()
				ctx, cancel := x.rt.Timeout(background, time.Hour)
				defer cancel()
				_, _ = engine.Call(x.p, ctx, func(func(int, error)) {})
			})
			x.e.After(time.Second, x.p.Kill)
		}, []string{"the last defer", "the first defer, alive false"}},
		{"of each other while they unwind", func(x *the) {
			q := x.e.Process("q", engine.Clock{})
			for _, p := range []*engine.Process{x.p, q} {
				for i := range 2 {
					p.Go(func() {
						defer func() { x.l.add("%s %d", p.Name(), i); q.Kill(); x.p.Kill() }()
						_ = sched.Sleep(background, p.Runtime(), time.Hour)
					})
				}
			}
			x.e.After(time.Second, x.p.Kill)
		}, []string{"p 1", "q 1", "q 0", "p 0"}},
		{"of a group that is waited for", func(x *the) {
			x.p.Go(func() {
				g := sched.NewGroup(x.rt)
				g.Go(func() { _ = sched.Sleep(background, x.rt, time.Hour) })
				defer g.Wait()
				defer x.l.add("deferred")
				g.Wait()
			})
			x.e.After(time.Second, x.p.Kill)
		}, []string{"deferred"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := world(t)
			p := e.Process("p", engine.Clock{})
			x := &the{e: e, p: p, rt: p.Runtime()}
			c.do(x)
			e.Until(2 * time.Hour)
			x.l.want(t, c.want...)
		})
	}
}

func TestAPanicSurfacesWithItsStack(t *testing.T) {
	e := world(t)
	p := e.Process("agent", engine.Clock{})
	broken := errors.New("broken")
	p.Go(func() { _ = sched.Sleep(background, p.Runtime(), time.Hour) })
	p.Go(func() {
		_ = sched.Sleep(background, p.Runtime(), time.Second)
		stumble(broken)
	})
	got, ok := surfaced(func() { drain(e) }).(*engine.Panic)
	if !ok || got.Process != "agent" || got.Value != broken {
		t.Fatalf("%v", got)
	}
	if !strings.Contains(string(got.Stack), "engine_test.stumble") || !strings.Contains(got.Error(), "agent panics: broken") {
		t.Errorf("%v", got)
	}
	if v := surfaced(p.Kill); v != nil || p.Alive() {
		t.Errorf("killing it from the engine afterwards: %v", v)
	}
}

func stumble(err error) { panic(err) }

func TestAPanicOfWhatWasDeferredSurfacesFromCloseAfterAllHaveEnded(t *testing.T) {
	before := runtime.NumGoroutine()
	e := engine.New(1)
	ended := 0
	for i := range 4 {
		p := e.Process(fmt.Sprint(i), engine.Clock{})
		for range 3 {
			p.Go(func() {
				defer func() {
					ended++
					if i == 1 {
						panic("in a defer")
					}
				}()
				_ = sched.Sleep(background, p.Runtime(), time.Hour)
			})
		}
	}
	e.Until(2 * time.Second)
	got, ok := surfaced(e.Close).(*engine.Panic)
	if !ok || got.Process != "1" || ended != 12 || runtime.NumGoroutine() > before {
		t.Errorf("%v, %d ended, %d goroutines, %d before", got, ended, runtime.NumGoroutine(), before)
	}
	if e.Step() {
		t.Error("something happens after Close")
	}
}

func TestMisuseIsLoud(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e *engine.Engine, p *engine.Process)
		want string
	}{
		{"a wait in the engine", func(e *engine.Engine, p *engine.Process) {
			p.Runtime().NewSignal().Wait(background, 0)
		}, "no coroutine of it"},
		{"a wait of another process", func(e *engine.Engine, p *engine.Process) {
			q := e.Process("q", engine.Clock{})
			q.Go(func() { p.Runtime().NewSignal().Wait(background, 0) })
		}, "no coroutine of it"},
		{"a wait within a call", func(e *engine.Engine, p *engine.Process) {
			p.Go(func() {
				_, _ = engine.Call(p, background, func(func(int, error)) { p.Runtime().NewSignal().Wait(background, 0) })
			})
		}, "no coroutine of it"},
		{"a context of another making", func(e *engine.Engine, p *engine.Process) {
			p.Go(func() {
				ctx, cancel := p.Runtime().Cancel(background)
				defer cancel()
				ctx, stop := context.WithCancel(ctx)
				defer stop()
				p.Runtime().NewSignal().Wait(ctx, 0)
			})
		}, "not of its Runtime"},
		{"two who wait for one signal", func(e *engine.Engine, p *engine.Process) {
			s := p.Runtime().NewSignal()
			for range 2 {
				p.Go(func() { s.Wait(background, forEver) })
			}
		}, "two loops"},
		{"a loop that waits for nothing", func(e *engine.Engine, p *engine.Process) {
			p.Go(func() {
				for {
					_ = sched.Sleep(background, p.Runtime(), 0)
				}
			})
		}, "waits for nothing"},
		{"a clock below zero", func(e *engine.Engine, p *engine.Process) {
			e.Process("q", engine.Clock{Offset: -time.Second})
		}, "no clock"},
		{"a clock that would fall", func(e *engine.Engine, p *engine.Process) {
			p.Pause()
			e.Until(3 * time.Second)
			p.Lag(2*time.Second + 1)
		}, "would fall"},
		{"a clock that falls as it runs", func(e *engine.Engine, p *engine.Process) { p.Lag(1) }, "would fall"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := world(t)
			p := e.Process("p", engine.Clock{})
			got := fmt.Sprint(surfaced(func() { c.do(e, p); drain(e) }))
			if !strings.Contains(got, c.want) {
				t.Errorf("%s", got)
			}
		})
	}
}

func TestAClockNeverFallsAndATimerNeverComesEarly(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		e := engine.New(1)
		clock := engine.Clock{Offset: time.Duration(r.Int64N(int64(24 * time.Hour))), Drift: r.Int64N(1000) - 500}
		if r.IntN(10) == 0 {
			clock.Drift = r.Int64N(1_999_999) - 999_999
		}
		e.Until(time.Duration(r.Int64N(int64(1000 * time.Hour))))
		p := e.Process("p", clock)
		d := time.Duration(r.Int64N(int64(time.Duration(1) << (10 + r.IntN(36)))))
		p.Go(func() {
			began := p.Now()
			_ = sched.Sleep(background, p.Runtime(), d)
			if took := p.Now() - began; took < d || clock.Drift <= 0 && took != d || took > d+2 {
				t.Errorf("%+v at %s: %d took %d", clock, e.Now(), d, took)
			}
		})
		for before := p.Now(); e.Step(); before = p.Now() {
			if p.Now() < before {
				t.Errorf("%+v falls from %d to %d", clock, before, p.Now())
			}
		}
		began, seen := e.Now(), p.Now()
		e.Until(began + time.Hour)
		want := time.Hour + time.Hour/1_000_000*time.Duration(clock.Drift)
		if got := p.Now() - seen; got < want-1 || got > want+1 {
			t.Errorf("%+v: an hour is %s, want %s", clock, got, want)
		}
		e.Close()
	}
}

func TestALeapEndsWaitsSoonerAndALagLater(t *testing.T) {
	for _, drift := range []int64{0, 200_000, -200_000} {
		e := world(t)
		var l log
		p := e.Process("p", engine.Clock{Drift: drift})
		began := p.Now()
		rt := p.Runtime()
		for _, d := range []time.Duration{20 * time.Second, 5 * time.Second} {
			p.Go(func() {
				_ = sched.Sleep(background, rt, d)
				l.add("slept %s", (p.Now() - began).Round(time.Microsecond))
			})
		}
		p.Go(func() {
			ctx, cancel := rt.Timeout(background, 10*time.Second)
			defer cancel()
			_, err := engine.Call(p, ctx, func(func(int, error)) {})
			l.add("call %s, %v", (p.Now() - began).Round(time.Microsecond), err)
		})
		p.After(15*time.Second, func() { l.add("after %s", (p.Now() - began).Round(time.Microsecond)) })
		e.At(1*time.Second+1, func() { p.Leap(7 * time.Second) })
		e.At(2*time.Second, p.Pause)
		e.At(62*time.Second, func() { p.Lag(60 * time.Second * time.Duration(1_000_000+drift) / 1_000_000); p.Resume() })
		drain(e)
		l.want(t, "slept 7s", "call 10s, context deadline exceeded", "after 15s", "slept 20s")
		if t.Failed() {
			t.Fatalf("with drift %d", drift)
		}
	}
}

func TestCall(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		begin func(e *engine.Engine, p *engine.Process, done func(int, error))
		want  string
	}{
		{"answered at once", func(_ *engine.Engine, _ *engine.Process, done func(int, error)) { done(1, nil) }, "1 <nil> 0s"},
		{"answered later", func(e *engine.Engine, _ *engine.Process, done func(int, error)) {
			e.After(time.Second, func() { done(2, broken) })
		}, "2 broken 1s"},
		{"answered twice", func(e *engine.Engine, _ *engine.Process, done func(int, error)) {
			e.After(time.Second, func() { done(1, nil); done(2, broken) })
			e.After(3*time.Second, func() { done(3, nil) })
		}, "1 <nil> 1s"},
		{"lost", func(*engine.Engine, *engine.Process, func(int, error)) {}, "0 context deadline exceeded 2s"},
		{"too late", func(e *engine.Engine, _ *engine.Process, done func(int, error)) {
			e.After(2*time.Second+1, func() { done(1, nil) })
		}, "0 context deadline exceeded 2s"},
		{"answered in the last instant", func(e *engine.Engine, _ *engine.Process, done func(int, error)) {
			e.After(2*time.Second-1, func() { done(1, nil) })
		}, "1 <nil> 1.999999999s"},
		{"answered in a pause before its time is over", func(e *engine.Engine, p *engine.Process, done func(int, error)) {
			p.Pause()
			e.After(time.Second, func() { done(1, nil) })
			e.After(5*time.Second, p.Resume)
		}, "1 <nil> 5s"},
		{"answered in a pause after its time was over", func(e *engine.Engine, p *engine.Process, done func(int, error)) {
			p.Pause()
			e.After(3*time.Second, func() { done(1, nil) })
			e.After(5*time.Second, p.Resume)
		}, "0 context deadline exceeded 5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := world(t)
			p := e.Process("p", engine.Clock{})
			var l log
			p.Go(func() {
				ctx, cancel := p.Runtime().Timeout(background, 2*time.Second)
				defer cancel()
				began := e.Now()
				v, err := engine.Call(p, ctx, func(done func(int, error)) { c.begin(e, p, done) })
				l.add("%d %v %s", v, err, e.Now()-began)
				// A late answer to the first must not answer the second.
				v, err = engine.Call(p, background, func(done func(int, error)) {
					e.After(10*time.Second, func() { done(77, nil) })
				})
				l.add("then %d %v", v, err)
				ended, cancel := p.Runtime().Cancel(background)
				cancel()
				_, err = engine.Call(p, ended, func(done func(int, error)) { l.add("begun") })
				l.add("then %v", err)
			})
			drain(e)
			l.want(t, c.want, "then 77 <nil>", "then context canceled")
		})
	}
}

func TestATraceIsFreeWhenItIsOff(t *testing.T) {
	e := world(t)
	if e.Recording() {
		t.Error("it records by itself")
	}
	p := e.Process("p", engine.Clock{})
	s := p.Runtime().NewSignal()
	p.Go(func() {
		for {
			s.Wait(background, time.Hour)
		}
	})
	drainReady := func() { e.Until(e.Now() + time.Millisecond) }
	drainReady()
	if n := testing.AllocsPerRun(1000, func() {
		e.Note("p", "a text")
		s.Set()
		drainReady()
	}); n != 0 {
		t.Errorf("%v allocations for a Set and a Wait", n)
	}
}
