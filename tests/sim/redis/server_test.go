package redis

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// world is one Redis and hosts around it, a millisecond apart.
type world struct {
	t     *testing.T
	e     *engine.Engine
	net   *engine.Network
	redis *Server
	hosts map[string]*engine.Host
}

func newWorld(t *testing.T) *world {
	e := engine.New(1)
	t.Cleanup(e.Close)
	way := engine.Link{Low: time.Millisecond, High: time.Millisecond}
	w := &world{t: t, e: e, net: e.Network(way, way), hosts: map[string]*engine.Host{}}
	w.redis = NewServer(w.host("redis"), sign)
	ok(t, w.redis.Store().PublishPair(pair))
	return w
}

func (w *world) host(name string) *engine.Host {
	if w.hosts[name] == nil {
		w.hosts[name] = w.net.Host(name)
	}
	return w.hosts[name]
}

// bus is the access of a new process on the host called name.
func (w *world) bus(name string) *Bus {
	return NewBus(w.host(name).Process(name, engine.Clock{}), w.redis)
}

// do runs f in b's process until it returns; it says how long that took.
func (w *world) do(b *Bus, f func(ctx context.Context)) time.Duration {
	w.t.Helper()
	began, ended := w.e.Now(), false
	b.p.Go(func() {
		f(context.Background())
		ended = true
	})
	for !ended {
		if w.e.Now() > began+time.Minute || !w.e.Step() {
			w.t.Fatal("the call does not return")
		}
	}
	return w.e.Now() - began
}

func (w *world) pass(d time.Duration) { w.e.Until(w.e.Now() + d) }

// ear is a process that listens.
type ear struct {
	bus   *Bus
	heard []redisbus.Wake
}

func (w *world) ear(name string, topic bool) *ear {
	x := &ear{bus: w.bus(name)}
	x.bus.p.Go(func() {
		x.bus.Subscribe(context.Background(), topic, func(w redisbus.Wake) { x.heard = append(x.heard, w) })
	})
	return x
}

// expect wants exactly the wake-ups of these kinds since the last time.
func (x *ear) expect(t *testing.T, kinds ...string) {
	t.Helper()
	var heard []string
	for _, w := range x.heard {
		heard = append(heard, w.Kind)
	}
	x.heard = nil
	if d := cmp.Diff(kinds, heard); d != "" {
		t.Errorf("wake-ups: want - heard +\n%s", d)
	}
}

func lead(w *world, b *Bus, id string) (token uint64, held bool, err error) {
	w.do(b, func(ctx context.Context) { token, held, _, err = b.Lead(ctx, sign, id, time.Hour) })
	return token, held, err
}

func TestACallThatIsNotAnswered(t *testing.T) {
	report := cluster.Report{Agent: "x", Node: nodeA}
	for _, c := range []struct {
		name  string
		fault func(w *world)
		err   error
		takes time.Duration
		done  bool // at once
		later func(w *world)
		after bool // done once that has happened
	}{
		{name: "refused", fault: func(w *world) { w.redis.Kill(); w.pass(time.Second) }, err: syscall.ECONNREFUSED, takes: 2 * time.Millisecond,
			later: func(w *world) { w.redis.Start() }},
		{name: "just killed", fault: func(w *world) { w.redis.Kill() }, err: syscall.ECONNRESET, takes: time.Millisecond,
			later: func(w *world) { w.redis.Start() }},
		{name: "answer lost", fault: func(w *world) { w.redis.CutAnswers(1) }, err: syscall.ECONNRESET, takes: 2 * time.Millisecond, done: true, after: true},
		{name: "paused", fault: func(w *world) { w.redis.Process().Pause() }, err: os.ErrDeadlineExceeded, takes: time.Second,
			later: func(w *world) { w.redis.Process().Resume() }, after: true},
		{name: "paused, then killed", fault: func(w *world) {
			w.redis.Process().Pause()
			w.e.After(10*time.Millisecond, w.redis.Kill)
		}, err: syscall.ECONNRESET, takes: 11 * time.Millisecond, later: func(w *world) { w.redis.Start() }},
		{name: "cut off before", fault: func(w *world) { w.net.Cut(w.host("a"), w.host("redis")) }, err: os.ErrDeadlineExceeded, takes: time.Second,
			later: func(w *world) { w.net.Heal(w.host("a"), w.host("redis")) }, after: true},
		{name: "cut off behind", fault: func(w *world) { w.net.Cut(w.host("redis"), w.host("a")) }, err: os.ErrDeadlineExceeded, takes: time.Second, done: true,
			later: func(w *world) { w.net.Heal(w.host("redis"), w.host("a")) }, after: true},
		{name: "host crashed", fault: func(w *world) { w.host("redis").Crash() }, err: os.ErrDeadlineExceeded, takes: time.Second,
			later: func(w *world) { w.host("redis").Boot(); w.redis.Start() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			b := w.bus("a")
			// The connection is there before.
			w.do(b, func(ctx context.Context) { must[string](t)(b.RunID(ctx)) })
			c.fault(w)
			var err error
			took := w.do(b, func(ctx context.Context) { err = b.SaveReport(ctx, sign, report, true) })
			wrapped, is := errors.AsType[*redisbus.Error](err)
			if !is || !errors.Is(err, c.err) || wrapped.Op != "save report of 10.0.21.5:3308 by x" || wrapped.Addr != "redis" {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if took != c.takes {
				t.Errorf("it took %s, want %s", took, c.takes)
			}
			done := func() bool { return len(w.redis.Store().Snapshot(w.redis.Now()).Reports) > 0 }
			if done() != c.done {
				t.Errorf("it was done: %v", done())
			}
			if c.later != nil {
				c.later(w)
			}
			w.pass(5 * time.Second)
			if done() != c.after {
				t.Errorf("later it was done: %v", done())
			}
			w.do(b, func(ctx context.Context) { ok(t, b.SaveReport(ctx, sign, report, true)) })
		})
	}
}

func TestARefusalIsNoFaultOfTheTransport(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	w.do(b, func(ctx context.Context) {
		_, err := b.Transition(ctx, sign, "one", 1, cluster.Transition{Next: steady(1, 0)})
		if _, transport := errors.AsType[*redisbus.Error](err); transport || !errors.Is(err, redisbus.ErrNotLeader) {
			t.Errorf("error %v", err)
		}
	})
}

func TestARedisThatCannotBeConnectedTo(t *testing.T) {
	w := newWorld(t)
	for door, want := range map[engine.Door]error{engine.Refusing: syscall.ECONNREFUSED, engine.Silent: os.ErrDeadlineExceeded} {
		w.redis.Door(door)
		b := w.bus("a")
		w.do(b, func(ctx context.Context) {
			if _, err := b.Snapshot(ctx, sign); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			w.redis.Door(engine.Open)
			must[cluster.Snapshot](t)(b.Snapshot(ctx, sign))
		})
	}
}

// The caller's own limit is told from Redis's silence.
func TestACallEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	w.redis.Process().Pause()
	took := w.do(b, func(ctx context.Context) {
		short, cancel := b.p.Runtime().Timeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := b.Snapshot(short, sign)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
	if took != 100*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

// A lease whose answer was lost is taken anew under a greater token.
func TestALeaderWhoseAnswerWasLostTakesTheLeaseAnew(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	if token, held, err := lead(w, b, "one"); token != 1 || !held || err != nil {
		t.Fatal(token, held, err)
	}
	w.redis.CutAnswers(1)
	if _, held, err := lead(w, b, "one"); held || err == nil {
		t.Fatal(held, err)
	}
	if token, held, err := lead(w, b, "one"); token != 2 || !held || err != nil {
		t.Error(token, held, err)
	}
	if token, held, err := lead(w, b, "one"); token != 2 || !held || err != nil {
		t.Error("renewed:", token, held, err)
	}
}

func TestARestartKeepsLosesOrTurnsBack(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	token, _, err := lead(w, b, "one")
	ok(t, err)
	write := func(epoch cluster.Epoch) {
		w.do(b, func(ctx context.Context) {
			must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token,
				cluster.Transition{Expect: w.redis.Store().Assignment().Order(), Next: steady(epoch, 0)}))
		})
	}
	read := func() (run string, s cluster.Snapshot) {
		w.do(b, func(ctx context.Context) {
			run = must[string](t)(b.RunID(ctx))
			s = must[cluster.Snapshot](t)(b.Snapshot(ctx, sign))
		})
		return run, s
	}
	write(1)
	old := w.redis.Store().Clone()
	write(2)
	write(3)
	runs := map[string]bool{}
	for _, c := range []struct {
		name string
		lose func()
		want cluster.Epoch
	}{
		{"kept", func() {}, 3},
		{"the last write lost", func() { w.redis.Store().LoseLast(1) }, 2},
		{"an old copy", func() { w.redis.Restore(old) }, 1},
		{"empty", func() { w.redis.Store().Empty() }, 0},
	} {
		w.redis.Kill()
		w.pass(time.Second)
		c.lose()
		w.redis.Start()
		run, s := read()
		if s.Assignment.Epoch != c.want || runs[run] || len(run) != 40 {
			t.Errorf("%s: epoch %d, run %s", c.name, s.Assignment.Epoch, run)
		}
		runs[run] = true
	}
}

func TestAListenerHearsWhatConcernsIt(t *testing.T) {
	w := newWorld(t)
	both, look := w.ear("b", true), w.ear("c", false)
	w.pass(10 * time.Millisecond)
	both.expect(t, redisbus.KindResubscribed)
	look.expect(t, redisbus.KindResubscribed)
	b := w.bus("a")
	token, _, err := lead(w, b, "one")
	ok(t, err)
	w.do(b, func(ctx context.Context) {
		request := cluster.Request{ID: "r", State: cluster.RequestDone}
		must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token, cluster.Transition{Next: steady(1, 0), Announce: true, Request: &request}))
	})
	w.pass(10 * time.Millisecond)
	if n := len(both.heard); n != 3 || both.heard[2].Message != "active: 10.0.21.5:3308, passive: 10.0.21.7:3308, uniqsign: "+string(sign)+", epoch: 1" {
		t.Error(both.heard)
	}
	both.expect(t, redisbus.KindAssignment, redisbus.KindRequest, redisbus.KindMessage)
	look.expect(t, redisbus.KindAssignment, redisbus.KindRequest)
	w.redis.Say("whatever")
	w.pass(10 * time.Second)
	both.expect(t, redisbus.KindMessage)
	look.expect(t)
}

func TestAListenerThatLostItsConnectionReadsAnew(t *testing.T) {
	for name, c := range map[string]struct{ begin, end func(w *world) }{
		"restart": {func(w *world) { w.redis.Kill() }, func(w *world) { w.redis.Start() }},
		"pause":   {func(w *world) { w.redis.Process().Pause() }, func(w *world) { w.redis.Process().Resume() }},
		"cut":     {func(w *world) { w.net.CutBoth(w.host("b"), w.host("redis")) }, func(w *world) { w.net.HealBoth(w.host("b"), w.host("redis")) }},
		"crash": {func(w *world) { w.host("redis").Crash() }, func(w *world) {
			w.host("redis").Boot()
			w.redis.Start()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			x := w.ear("b", false)
			w.pass(4 * time.Second)
			x.expect(t, redisbus.KindResubscribed)
			c.begin(w)
			w.pass(5 * time.Second)
			x.expect(t)
			c.end(w)
			w.pass(5 * time.Second)
			x.expect(t, redisbus.KindResubscribed)
			b := w.bus("a")
			w.do(b, func(ctx context.Context) {
				ok(t, b.SaveReport(ctx, sign, cluster.Report{Agent: "x", Node: nodeA}, true))
			})
			w.pass(time.Second)
			x.expect(t, redisbus.KindReport)
			if n := len(w.redis.listeners); n != 1 {
				t.Errorf("Redis has %d listeners", n)
			}
		})
	}
}

// The end of a connection is noticed at once, not at the next pulse.
func TestAListenerConnectsAnewAtOnce(t *testing.T) {
	w := newWorld(t)
	x := w.ear("b", false)
	w.pass(5500 * time.Millisecond)
	x.expect(t, redisbus.KindResubscribed)
	w.redis.Kill()
	w.redis.Start()
	w.pass(leastPause)
	x.expect(t, redisbus.KindResubscribed)
}

// A stop shorter than a pulse loses nothing and is not noticed.
func TestAShortCutDelaysWakeUps(t *testing.T) {
	w := newWorld(t)
	x := w.ear("b", false)
	w.pass(100 * time.Millisecond)
	x.expect(t, redisbus.KindResubscribed)
	w.net.Cut(w.host("redis"), w.host("b"))
	w.redis.p.Post(func() { w.redis.publish(w.redis.store.SetPause(cluster.Pause{Actor: "anna"})) })
	w.pass(300 * time.Millisecond)
	x.expect(t)
	w.net.Heal(w.host("redis"), w.host("b"))
	w.pass(5 * time.Second)
	x.expect(t, redisbus.KindPause)
}

func TestWakeUpsOfAKindBecomeOne(t *testing.T) {
	w := newWorld(t)
	x := w.ear("b", false)
	w.pass(100 * time.Millisecond)
	x.expect(t, redisbus.KindResubscribed)
	x.bus.p.Pause()
	b := w.bus("a")
	w.do(b, func(ctx context.Context) {
		for range 3 {
			ok(t, b.SaveReport(ctx, sign, cluster.Report{Agent: "x", Node: nodeA}, true))
			ok(t, b.SetPause(ctx, sign, cluster.Pause{Actor: "anna", SinceMS: 1}))
		}
	})
	x.expect(t)
	x.bus.p.Resume()
	w.pass(100 * time.Millisecond)
	x.expect(t, redisbus.KindReport, redisbus.KindPause)
	x.bus.p.Kill()
	w.do(b, func(ctx context.Context) { ok(t, b.SetPause(ctx, sign, cluster.Pause{})) })
	w.pass(time.Second)
	x.expect(t)
	if n := len(w.redis.listeners); n != 0 {
		t.Errorf("Redis has %d listeners", n)
	}
}

func TestTwoMastersServeTheirOwnClients(t *testing.T) {
	w := newWorld(t)
	b, x := w.bus("a"), w.ear("b", false)
	w.do(b, func(ctx context.Context) { ok(t, b.SetPause(ctx, sign, cluster.Pause{Actor: "anna"})) })
	w.pass(100 * time.Millisecond)
	x.expect(t, redisbus.KindResubscribed, redisbus.KindPause)
	second := w.redis.Fork(w.host("redis2"), 1)
	b.MoveTo(second)
	var runs [2]string
	w.do(b, func(ctx context.Context) {
		runs[0] = must[string](t)(b.RunID(ctx))
		if s := must[cluster.Snapshot](t)(b.Snapshot(ctx, sign)); s.Pause != nil || s.Primary != nodeA {
			t.Error("the second master holds", s)
		}
		ok(t, b.SaveReport(ctx, sign, cluster.Report{Agent: "x", Node: nodeA}, true))
	})
	w.pass(time.Second)
	x.expect(t)
	x.bus.MoveTo(second)
	w.do(x.bus, func(ctx context.Context) { runs[1] = must[string](t)(x.bus.RunID(ctx)) })
	w.pass(time.Second)
	x.expect(t, redisbus.KindResubscribed)
	if runs[0] != runs[1] || runs[0] == w.redis.runID() {
		t.Errorf("runs %v, the first master's is %s", runs, w.redis.runID())
	}
	if s := w.redis.Store().Snapshot(w.redis.Now()); s.Pause == nil || len(s.Reports) != 0 {
		t.Error("the first master holds", s)
	}
}

// Redis forgets what ended before its clock was set back.
func TestALeapOfRedissClock(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	if _, held, err := lead(w, b, "one"); !held || err != nil {
		t.Fatal(held, err)
	}
	w.redis.Leap(2 * time.Hour)
	w.redis.Leap(-2 * time.Hour)
	other := w.bus("b")
	if token, held, err := lead(w, other, "two"); token != 2 || !held || err != nil {
		t.Error(token, held, err)
	}
}

func TestTheAgentHearsWhomAMessageNames(t *testing.T) {
	w := newWorld(t)
	b := w.bus("a")
	var heard []agent.Wake
	b.p.Go(func() {
		AgentBus{b}.Listen(context.Background(), func(w agent.Wake) { heard = append(heard, w) })
	})
	w.pass(100 * time.Millisecond)
	text := "active: " + string(nodeB) + ", passive: " + string(nodeA) + ", uniqsign: " + string(sign)
	w.redis.Say("nonsense")
	w.pass(100 * time.Millisecond)
	w.redis.Say(text)
	w.pass(100 * time.Millisecond)
	want := []agent.Wake{{Kind: agent.WakeResubscribed},
		{UniqSign: sign, Kind: agent.WakeMessage, Message: text, Named: []cluster.Endpoint{nodeB, nodeA}}}
	if d := cmp.Diff(want, heard); d != "" {
		t.Error(d)
	}
}

// Both operators find nothing filed; whoever writes later finds the other's.
func TestTwoRequestsFiledAtOnce(t *testing.T) {
	w := newWorld(t)
	errs := map[string]error{}
	for _, id := range []string{"r1", "r2"} {
		b := w.bus(id)
		b.p.Go(func() {
			errs[id] = b.FileRequest(context.Background(), sign, cluster.Request{ID: id, Verb: cluster.VerbSwitchover, To: nodeB, Actor: "anna"})
		})
	}
	w.pass(time.Second)
	if len(errs) != 2 || errs["r1"] != nil || !errors.Is(errs["r2"], redisbus.ErrBusy) {
		t.Error(errs)
	}
	if r := w.redis.Store().Request(w.redis.Now()); r == nil || r.ID != "r1" || r.State != cluster.RequestFiled {
		t.Error(r)
	}
}

// A request that is begun between the reading and the writing of who withdraws
// it stays begun.
func TestARequestIsBegunWhileItIsWithdrawn(t *testing.T) {
	w := newWorld(t)
	leader, operator := w.bus("a"), w.bus("b")
	token, _, err := lead(w, leader, "one")
	ok(t, err)
	r := cluster.Request{ID: "r1", Verb: cluster.VerbSwitchover, To: nodeB, Actor: "anna"}
	w.do(operator, func(ctx context.Context) { ok(t, operator.FileRequest(ctx, sign, r)) })
	// The first answer is on its way back after 1 ms of 4.
	w.e.After(1500*time.Microsecond, func() {
		r.State = cluster.RequestRunning
		_, _, err := w.redis.store.Transition(w.redis.Now(), "one", token, cluster.Transition{Next: steady(1, 0), Request: &r}, 1)
		ok(t, err)
	})
	w.do(operator, func(ctx context.Context) {
		if taken, err := operator.WithdrawRequest(ctx, sign, "r1"); taken || err != nil {
			t.Error("withdrawn:", taken, err)
		}
	})
	if r := w.redis.Store().Request(w.redis.Now()); r == nil || r.State != cluster.RequestRunning {
		t.Error(r)
	}
}
