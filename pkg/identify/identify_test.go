package identify_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	sign                          = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
	hostA, hostB cluster.Endpoint = "10.0.0.1:3306", "10.0.0.2:3306"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a Redis with one pair whose servers the test plays.
type lab struct {
	t     *testing.T
	redis *miniredis.Miniredis
	bus   *redisbus.Bus
	seq   uint64
	began time.Time
	wakes []sched.Signal
	wg    sync.WaitGroup
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, redis: miniredis.RunT(t), began: time.Now()}
	l.bus = l.newBus()
	if err := l.bus.PublishPair(t.Context(), pair()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.wg.Wait)
	return l
}

func (l *lab) newBus() *redisbus.Bus {
	b := redisbus.New(redisbus.Options{Addr: l.redis.Addr(), Topic: "topic", Name: "test"})
	l.t.Cleanup(func() { _ = b.Close() })
	return b
}

func pair() cluster.Pair {
	return cluster.Pair{Tag: "t", UniqSign: sign, Primary: hostA, Secondary: hostB, ServiceMode: cluster.ActivePassive}
}

func policy() failover.Policy {
	return failover.Policy{Pair: pair(), Interval: time.Second, ConnectTimeout: time.Second, TryTimes: 2,
		Unfenced: failover.UnfencedAuto, MaxLoss: -1}
}

// start runs an identify on bus until the returned function is called, or the test ends.
func (l *lab) start(id string, bus identify.Bus, probe identify.Prober) (stop func()) {
	wake := sched.Real().NewSignal()
	l.wakes = append(l.wakes, wake)
	ctx, cancel := context.WithCancel(l.t.Context())
	s := identify.New(identify.Options{Policy: policy(), ID: id, Bus: bus, Wake: wake, Probe: probe, Logger: zerolog.Nop()})
	ended := make(chan struct{})
	l.wg.Go(func() { defer close(ended); s.Run(ctx) })
	stop = func() { cancel(); <-ended }
	l.t.Cleanup(stop)
	return stop
}

func (l *lab) wake() {
	for _, w := range l.wakes {
		w.Set()
	}
}

// see publishes that both servers are well and a is open.
func (l *lab) see() {
	l.seq++
	ms := time.Since(l.began).Milliseconds() + 1
	server := cluster.Server{Flavor: cluster.MariaDB, GTIDMode: true, Executed: "0-1-10"}
	a, b := server, server
	a.Identity, a.ReadOnly, a.Sessions = "1", cluster.No, 3
	a.Channel = cluster.Channel{Configured: true, GTID: true, Source: hostB, IO: cluster.ThreadYes, SQL: cluster.ThreadYes}
	b.Identity, b.ReadOnly = "2", cluster.Yes
	b.Channel = a.Channel
	b.Channel.Source = hostA
	for node, s := range map[cluster.Endpoint]cluster.Server{hostA: a, hostB: b} {
		o := cluster.Observation{Monitor: "m", Run: "r", Seq: l.seq, Node: node, BeganMS: ms, EndedMS: ms, LastGoodMS: ms, Server: s}
		if _, err := l.bus.PublishObservation(l.t.Context(), sign, o, nil, time.Minute, true); err != nil {
			l.t.Fatal(err)
		}
	}
	l.wake()
}

// until waits for the record to satisfy ok.
func (l *lab) until(what string, ok func(cluster.Assignment) bool) cluster.Assignment {
	l.t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := l.bus.Assignment(l.t.Context(), sign)
		if err == nil && ok(a) {
			return a
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			l.t.Fatalf("waited in vain for %s: record %+v, error %v", what, a, err)
		}
	}
}

func TestTwoOfThemMakeOneAssignmentAndTheOtherTakesOver(t *testing.T) {
	l := newLab(t)
	stop := map[string]func(){"one": l.start("one", l.newBus(), nil), "two": l.start("two", l.newBus(), nil)}
	l.see()
	a := l.until("the first assignment", func(a cluster.Assignment) bool { return len(a.Eligible) == 1 })
	if a.Epoch != 1 || a.Active != hostA || a.Version != 2 {
		t.Fatalf("first assignment %+v", a)
	}
	first := l.leader(func(cluster.Leader) bool { return true })
	stop[first.ID]()
	next := l.leader(func(now cluster.Leader) bool { return now.ID != first.ID })
	if next.Token <= first.Token {
		t.Fatalf("the lease went from %+v to %+v: the token must grow", first, next)
	}
}

// leader waits for a leader that satisfies ok.
func (l *lab) leader(ok func(cluster.Leader) bool) cluster.Leader {
	l.t.Helper()
	var found cluster.Leader
	l.until("another leader", func(cluster.Assignment) bool {
		l.wake()
		snap, err := l.bus.Snapshot(l.t.Context(), sign)
		found = snap.Leader
		return err == nil && found.ID != "" && ok(found)
	})
	return found
}

// deafBus carries transitions out and loses the answer.
type deafBus struct {
	identify.Bus
	lose atomic.Int32
}

func (b *deafBus) Transition(ctx context.Context, u cluster.UniqSign, id string, token uint64, t cluster.Transition) (cluster.Assignment, error) {
	a, err := b.Bus.Transition(ctx, u, id, token, t)
	if b.lose.Add(-1) >= 0 {
		return cluster.Assignment{}, errors.New("the answer was lost")
	}
	return a, err
}

func TestAChangeWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	l := newLab(t)
	bus := &deafBus{Bus: l.newBus()}
	bus.lose.Store(2)
	l.start("one", bus, nil)
	l.see()
	a := l.until("the passive to be eligible", func(a cluster.Assignment) bool { return len(a.Eligible) == 1 })
	if a.Epoch != 1 || a.Version != 2 {
		t.Fatalf("assignment %s after lost answers, want 1.2", a.Order())
	}
	events, err := l.bus.Events(t.Context(), sign, 10)
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v; want the first start and the eligible", len(events), err)
	}
}

func TestRedisThatComesBackEmptyIsRebuiltWithOneMore(t *testing.T) {
	l := newLab(t)
	l.start("one", l.newBus(), nil)
	l.see()
	l.until("the first assignment", func(a cluster.Assignment) bool { return a.Epoch == 1 })
	l.redis.FlushAll()
	if err := l.bus.PublishPair(t.Context(), pair()); err != nil {
		t.Fatal(err)
	}
	l.see()
	a := l.until("the rebuilt assignment", func(a cluster.Assignment) bool { return a.Exists() })
	if a.Epoch != 2 || a.Active != hostA {
		t.Fatalf("rebuilt as %+v", a)
	}
}

func TestServersThatOnlyThePredecessorWatchesAreProbed(t *testing.T) {
	l := newLab(t)
	for node, ro := range map[cluster.Endpoint]string{hostA: "0", hostB: "1"} {
		l.redis.HSet("mysql-"+string(sign)+"-"+string(node)+"-check", "ping", "1", "repl_check", "OK", "read_only", ro,
			"delay_sec", "-1", "conn_nums", "1", "last_check", "1700000000")
	}
	var probed atomic.Int32
	l.start("one", l.newBus(), func(_ context.Context, node cluster.Endpoint) (cluster.Server, error) {
		probed.Add(1)
		s := cluster.Server{Flavor: cluster.MariaDB, GTIDMode: true, Executed: "0-1-10", Identity: "1", ReadOnly: cluster.TriOf(node == hostB)}
		if node == hostB {
			s.Executed, s.Identity = "0-2-11", "2" // diverged: only a probe can know
		}
		return s, nil
	})
	deadline := time.Now().Add(8 * time.Second)
	for time.Now().Before(deadline) {
		snap, err := l.bus.Snapshot(t.Context(), sign)
		if err != nil {
			t.Fatal(err)
		}
		if snap.Assignment.Exists() {
			t.Fatalf("elected %s of a diverged pair", snap.Assignment.Active)
		}
		if snap.Verdict != nil && snap.Verdict.Reason.Code == failover.Divergent {
			return
		}
	}
	t.Fatalf("the divergence was not told; %d probes", probed.Load())
}
