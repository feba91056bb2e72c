package mysql

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

// watched is a world with a monitor and a Redis on hosts of their own.
type watched struct {
	*world
	m         *engine.Process
	redis     *redis.Server
	connected func() // called when a connect has succeeded, before the monitor has it
	stop      func() // ends the monitor's run
	ended     bool
}

type slowNode struct {
	monitor.Node
	w *watched
}

func (n slowNode) Connect(ctx context.Context) (monitor.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err == nil {
		n.w.connected()
	}
	return c, err
}

func watch(t *testing.T, f cluster.Flavor) *watched {
	w := &watched{world: newWorld(t, f), connected: func() {}}
	w.redis = redis.NewServer(w.net.Host("r"), "u")
	w.m = w.net.Host("m").Process("monitor", engine.Clock{})
	servers := map[cluster.Endpoint]*Machine{w.a.Addr(): w.a, w.b.Addr(): w.b}
	m, err := monitor.New(monitor.Options{
		Tag: monitor.Tag{
			Pair:    cluster.Pair{Tag: "t", UniqSign: "u", Primary: w.a.Addr(), Secondary: w.b.Addr(), ServiceMode: cluster.ActivePassive},
			Monitor: "m", Legacy: true, Interval: 3 * time.Second, ConnectTimeout: time.Second, TryTimes: 2,
		},
		Run: "run", Bus: redis.NewBus(w.m, w.redis), Cause: mysqlnode.CauseOf, Denied: mysqlnode.Refused, Log: zerolog.Nop(),
		Open: func(e cluster.Endpoint) (monitor.Node, error) {
			return slowNode{NewNode(w.m, servers[e], NodeOptions{User: "mmm"}).ForMonitor(), w}, nil
		},
		Wall:    func() time.Time { return time.Unix(0, 0).Add(w.e.Now()) },
		Runtime: w.m.Runtime(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.m.Go(func() {
		ctx, cancel := w.m.Runtime().Cancel(context.Background())
		w.stop = cancel
		m.Run(ctx)
		w.ended = true
	})
	return w
}

// view is what Redis holds of a server; nothing when there is no record.
func (w *watched) view(m *Machine) cluster.Observation {
	return w.redis.Store().Snapshot(w.redis.Now()).Observations[m.Addr()]["m"]
}

// comes waits until the view of a server has a cause and returns after what time.
func (w *watched) comes(m *Machine, c cluster.Cause, within time.Duration) (took time.Duration) {
	w.Helper()
	began := w.e.Now()
	for w.e.Now() <= began+within {
		if v := w.view(m); v.Seq > 0 && v.Cause == c {
			return w.e.Now() - began
		}
		w.e.Step()
	}
	w.Fatalf("no record of %s has cause %q within %s: %+v", m.Addr(), c, within, w.view(m))
	return 0
}

func TestAMonitorSeesAHealthyPair(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := watch(t, f)
		w.after(10 * time.Second)
		a, b := w.view(w.a), w.view(w.b)
		if !a.Answered() || a.Server.ReadOnly != cluster.No || a.Server.Flavor != f || a.Seq < 4 || a.Seq > 6 {
			t.Errorf("%+v", a)
		}
		if ch := b.Server.Channel; !b.Answered() || b.Server.ReadOnly != cluster.Yes || !ch.Replicates(w.a.Addr()) {
			t.Errorf("%+v", b)
		}
		s := w.redis.Store().Snapshot(w.redis.Now())
		if s.Primary != w.a.Addr() || s.Secondary != w.b.Addr() {
			t.Errorf("the pair is %s, %s", s.Primary, s.Secondary)
		}
		for e, c := range s.Checks {
			if !c.Ping || c.ReplCheck != "OK" || c.LastCheck < 6 || c.LastCheck > 10 {
				t.Errorf("check of %s: %+v", e, c)
			}
		}
		if n, m := len(w.a.Sessions()), len(w.b.Sessions()); len(s.Checks) != 2 || n != 1 || m != 1 {
			t.Errorf("%d checks; %d and %d sessions", len(s.Checks), n, m)
		}
		w.m.Post(w.stop)
		w.leavesNothing()
	})
}

func (w *watched) leavesNothing() {
	w.Helper()
	w.after(time.Second)
	if n, m := len(w.a.Sessions()), len(w.b.Sessions()); !w.ended || n+m != 0 {
		w.Errorf("ended %v; %d and %d sessions stay", w.ended, n, m)
	}
}

// A connection that is made while the monitor ends is closed, whether the end
// comes before the news of it or after.
func TestAMonitorThatEndsWhileItConnectsLeavesNothing(t *testing.T) {
	for name, pause := range map[string]time.Duration{"just before": 0, "long before": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, cluster.MySQL)
			w.connected = func() {
				w.stop()
				if pause > 0 {
					_ = sched.Sleep(context.Background(), w.m.Runtime(), pause)
				}
			}
			w.leavesNothing()
		})
	}
}

func TestAMonitorTellsWhyAServerDoesNotAnswer(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := watch(t, f)
		w.after(10 * time.Second)

		w.a.Kill()
		took := w.comes(w.a, cluster.CauseRefused, 20*time.Millisecond)
		killed := w.view(w.a)
		w.after(20 * time.Millisecond)
		if b := w.view(w.b); !killed.Broken || b.BeganMS < killed.UnansweredMS || b.Server.Channel.IO != cluster.ThreadConnecting {
			t.Errorf("%+v; its replica %+v", killed, b)
		}
		t.Logf("killed: refused after %s", took)
		w.a.Start()
		w.comes(w.a, cluster.CauseNone, 300*time.Millisecond)
		w.after(time.Minute)

		w.a.Process().Pause()
		if took = w.comes(w.a, cluster.CauseAnswerTimeout, 2*time.Second); took < time.Second {
			t.Errorf("hung after %s", took)
		}
		w.after(2100*time.Millisecond - took)
		if v := w.view(w.a); v.Cause != cluster.CauseAnswerTimeout || v.SilentMS() < 2000 {
			t.Errorf("%+v", v)
		}
		w.after(time.Minute)
		w.a.Process().Resume()
		w.comes(w.a, cluster.CauseNone, 10*time.Millisecond)
		w.after(time.Minute)

		w.net.CutBoth(w.a.Host(), w.m.Host())
		w.comes(w.a, cluster.CauseConnectTimeout, 2*time.Second)
		w.after(time.Minute)
		if v := w.view(w.a); v.Cause != cluster.CauseConnectTimeout || v.SilentMS() < 60_000 || v.Broken {
			t.Errorf("%+v", v)
		}
		if v := w.view(w.b); !v.Answered() || v.Server.Channel.IO != cluster.ThreadYes {
			t.Errorf("the other member: %+v", v)
		}
		w.net.HealBoth(w.a.Host(), w.m.Host())
		w.comes(w.a, cluster.CauseNone, 2*time.Second)
	})
}

func TestAMonitorTellsARedisThatCameBackEmpty(t *testing.T) {
	w := watch(t, cluster.MariaDB)
	w.after(10 * time.Second)
	w.redis.Kill()
	w.after(time.Minute)
	w.redis.Store().Empty()
	w.redis.Start()
	w.after(2 * time.Second)
	s := w.redis.Store().Snapshot(w.redis.Now())
	if s.Primary != w.a.Addr() || len(s.Checks) != 2 || !w.view(w.a).Answered() || !w.view(w.b).Answered() {
		t.Errorf("%+v", s)
	}
}

// A pause of the monitor itself is no silence of the servers.
func TestAPausedMonitorBlamesNobody(t *testing.T) {
	w := watch(t, cluster.MySQL)
	w.after(10 * time.Second)
	for range 20 {
		w.m.Pause()
		w.after(time.Duration(w.e.Rand().Int64N(int64(10 * time.Second))))
		w.m.Resume()
		for end := w.e.Now() + 3*time.Second; w.e.Now() < end; w.e.Step() {
			for _, m := range []*Machine{w.a, w.b} {
				if v := w.view(m); v.Seq > 0 && !v.Answered() {
					t.Fatalf("%+v", v)
				}
			}
		}
	}
}

// The seed alone decides a world, also how a monitor ends that has several
// connections to close.
func TestAMonitoredWorldHappensAgain(t *testing.T) {
	play := func() string {
		w := watch(t, cluster.MariaDB)
		trace := w.e.Record(0)
		w.after(5 * time.Second)
		w.a.Process().Pause()
		w.after(1500 * time.Millisecond)
		w.m.Post(w.stop)
		w.after(2 * time.Second)
		if !w.ended {
			t.Error("it has not ended")
		}
		return trace.String()
	}
	first := play()
	for range 40 {
		if play() != first {
			t.Fatal("the same seed gave two worlds")
		}
	}
}
