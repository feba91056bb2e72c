package mysql

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// world is two servers that replicate from each other, the first open, and an
// agent's process on a host of its own.
type world struct {
	*testing.T
	e    *engine.Engine
	net  *engine.Network
	a, b *Machine
	p    *engine.Process
}

func newWorld(t *testing.T, f cluster.Flavor) *world {
	e := engine.New(1)
	t.Cleanup(e.Close)
	ms := time.Millisecond
	n := e.Network(engine.Link{Low: ms, High: 2 * ms}, engine.Link{})
	w := &world{T: t, e: e, net: n}
	accounts := []cluster.Account{{User: "app", Host: "%"}}
	w.a = NewMachine(n.Host("a"), engine.Clock{}, Options{Addr: "a:3306", ID: 1, Flavor: f, AutoReplicate: true, Accounts: accounts})
	w.b = NewMachine(n.Host("b"), engine.Clock{}, Options{Addr: "b:3306", ID: 2, Flavor: f, AutoReplicate: true, ReadOnly: true, SuperReadOnly: true, Accounts: accounts})
	w.a.Replicate(w.b, LinkOptions{})
	w.b.Replicate(w.a, LinkOptions{Apply: func() time.Duration { return 3 * ms }})
	w.a.Start()
	w.b.Start()
	w.p = n.Host("c").Process("agent", engine.Clock{})
	return w
}

// runs has the agent do f, which must end within an hour.
func (w *world) runs(f func(ctx context.Context)) {
	w.Helper()
	ended := false
	w.p.Go(func() { f(context.Background()); ended = true })
	end := w.e.Now() + time.Hour
	for !ended && w.e.Now() < end && w.e.Step() {
	}
	if !ended {
		w.Fatal("it has not ended")
	}
}

// after lets some time pass.
func (w *world) after(d time.Duration) { w.e.Until(w.e.Now() + d) }

func (w *world) write(m *Machine, row uint64) {
	w.Helper()
	x := login(w.T, m.Server, Root)
	x.Write(m.Process().Now(), row, 0, func(o Outcome) {
		if o.Result != Acknowledged {
			w.Errorf("row %d: %+v", row, o)
		}
	})
	m.Hangup(m.Process().Now(), x)
}

func (w *world) node(m *Machine) *Node { return NewNode(w.p, m, NodeOptions{User: "mmm"}) }

func (w *world) dial(ctx context.Context, m *Machine) agent.Conn {
	w.Helper()
	c, err := w.node(m).Connect(ctx)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) is(what string, err error, cause cluster.Cause) {
	w.Helper()
	if got := mysqlnode.CauseOf(err); got != cause {
		w.Errorf("%s: cause %q, want %q: %v", what, got, cause, err)
	}
}

func TestTheWorldReplicates(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		channel := func(io, sql cluster.Thread, errno int) {
			t.Helper()
			if ch := w.b.Channel(0); ch.IO != io || ch.SQL != sql || ch.IOErrno != errno {
				t.Fatalf("IO %s %d, SQL %s; want IO %s %d, SQL %s", ch.IO, ch.IOErrno, ch.SQL, io, errno, sql)
			}
		}
		w.after(100 * time.Millisecond)
		channel("Yes", "Yes", 0)
		w.write(w.a, 1)
		w.after(time.Millisecond)
		w.a.Kill() // what is on its way still arrives
		w.after(10 * time.Millisecond)
		channel("Connecting", "Yes", ErrCannotConnect)
		if !w.b.Has(1) {
			t.Fatal("the row has not come")
		}
		w.a.Start()
		w.after(2 * time.Second)
		channel("Yes", "Yes", 0)
		before := w.b.Channel(0).Heartbeats
		w.after(10 * time.Second)
		if n := w.b.Channel(0).Heartbeats - before; n < 9 || n > 10 {
			t.Errorf("%d heartbeats in 10 s", n)
		}

		// A source that hangs is missed after a while, and found again.
		w.a.Process().Pause()
		w.after(3 * time.Second)
		channel("Yes", "Yes", 0)
		w.after(3 * time.Second)
		if io := w.b.Channel(0).IO; io != cluster.ThreadConnecting {
			t.Fatalf("IO %s", io)
		}
		w.a.Process().Resume()
		w.after(time.Minute)
		channel("Yes", "Yes", 0)

		w.a.PowerOff()
		w.after(time.Minute)
		if io := w.b.Channel(0).IO; io != cluster.ThreadConnecting {
			t.Fatalf("IO %s", io)
		}
		w.a.Start()
		w.after(time.Minute)
		w.write(w.a, 2)
		w.after(time.Second)
		channel("Yes", "Yes", 0)
		if !w.b.Has(2) || w.b.Count(1) != 1 {
			t.Errorf("rows %d %d", w.b.Count(1), w.b.Count(2))
		}
	})
}

func TestWhyAServerDoesNotAnswer(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		var open, spare, hung agent.Conn
		w.runs(func(ctx context.Context) { open, spare, hung = w.dial(ctx, w.a), w.dial(ctx, w.a), w.dial(ctx, w.a) })
		told := 0
		open.OnBroken(func() { told++ })

		w.a.Process().Pause()
		w.runs(func(ctx context.Context) {
			_, err := w.node(w.a).Connect(ctx)
			w.is("connect to a hung server", err, cluster.CauseAnswerTimeout)
			ctx, cancel := w.p.Runtime().Timeout(ctx, time.Second)
			defer cancel()
			w.is("ping a hung server", hung.Ping(ctx), cluster.CauseAnswerTimeout)
			w.is("ping once more", hung.Ping(context.Background()), cluster.CauseOther)
		})
		w.a.Process().Resume()
		w.after(time.Second)

		w.net.CutBoth(w.a.Host(), w.p.Host())
		w.runs(func(ctx context.Context) {
			_, err := w.node(w.a).Connect(ctx)
			w.is("connect to a silent host", err, cluster.CauseConnectTimeout)
		})
		w.net.HealBoth(w.a.Host(), w.p.Host())

		if told != 0 {
			t.Error("told of an end that was not")
		}
		w.a.Kill()
		w.runs(func(ctx context.Context) {
			_, err := w.node(w.a).Connect(ctx)
			w.is("connect to a dead server", err, cluster.CauseRefused)
			w.is("ping a dead server", spare.Ping(ctx), cluster.CauseReset)
		})
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestAHungServerIsClosedFirstWhenItWakes(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		var c agent.Conn
		w.runs(func(ctx context.Context) { c = w.dial(ctx, w.a) })
		w.a.Process().Pause()
		var done []error
		w.runs(func(ctx context.Context) {
			if err := c.QueueReadOnly(func(err error) { done = append(done, err) }); err != nil {
				t.Error(err)
			}
			if err := c.Ping(ctx); !errors.Is(err, mysqlnode.ErrInUse) {
				t.Errorf("a session with an order is used: %v", err)
			}
		})
		w.after(time.Minute)
		if !w.a.Open() || len(done) != 0 {
			t.Fatalf("open %v, done %v", w.a.Open(), done)
		}
		w.a.Process().Resume()
		w.after(10 * time.Millisecond)
		if w.a.Open() || len(done) != 1 || done[0] != nil {
			t.Errorf("open %v, done %v", w.a.Open(), done)
		}
	})
}

func TestALateOrderDoesNotOpen(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		var c agent.Conn
		w.runs(func(ctx context.Context) { c = w.dial(ctx, w.b) })
		var err error
		// The server stops after it has fixed the limit.
		w.p.Go(func() { err = c.SetWritable(context.Background()) })
		for !w.limited() && w.e.Step() {
		}
		w.b.Process().Pause()
		w.after(time.Minute)
		w.b.Process().Resume()
		w.after(time.Second)
		if w.b.Open() || !errors.Is(err, mysqlnode.ErrTooLate) {
			t.Errorf("open %v, %v", w.b.Open(), err)
		}
		w.runs(func(ctx context.Context) { err = c.SetWritable(ctx) })
		if !w.b.Open() || err != nil {
			t.Errorf("open %v, %v", w.b.Open(), err)
		}
	})
}

func (w *world) limited() bool {
	for _, x := range w.b.Server.Sessions() {
		if x.until > 0 {
			return true
		}
	}
	return false
}

func TestAnOrderThatWasGivenUpIsWithdrawn(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		x := login(t, w.a.Server, "app")
		x.LockTables(w.a.Process().Now(), func(Outcome) {})
		w.runs(func(ctx context.Context) {
			c := w.dial(ctx, w.a)
			if err := c.SetReadOnly(ctx, time.Millisecond); !errors.Is(err, agent.ErrLockWait) {
				t.Errorf("behind a lock: %v", err)
			}
			ctx, cancel := w.p.Runtime().Timeout(ctx, time.Second)
			defer cancel()
			w.is("close behind a lock", c.SetReadOnly(ctx, time.Minute), cluster.CauseAnswerTimeout)
		})
		x.UnlockTables(w.a.Process().Now())
		w.after(time.Hour)
		if !w.a.Open() {
			t.Error("the order was carried out after all")
		}
		if n := len(w.a.Server.Sessions()); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestAccountsAreLockedUnderSuperReadOnly(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		app := cluster.Account{User: "app", Host: "%"}
		w.runs(func(ctx context.Context) {
			c := w.dial(ctx, w.b)
			if err := c.LockAccounts(ctx, []cluster.Account{app}); err != nil {
				t.Fatal(err)
			}
			_, err := NewNode(w.p, w.b, NodeOptions{User: "app"}).Connect(ctx)
			w.is("log in by a locked account", err, cluster.CauseAccessDenied)
			all, err := c.Accounts(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ReleaseAccounts(ctx, all); err != nil {
				t.Fatal(err)
			}
			if _, err := NewNode(w.p, w.b, NodeOptions{User: "app"}).Connect(ctx); err != nil {
				t.Error(err)
			}
			if ro, super, err := c.ReadOnly(ctx); err != nil || ro != cluster.Yes || f == cluster.MySQL && super != cluster.Yes {
				t.Errorf("read_only %d %d, %v", ro, super, err)
			}
		})
	})
}

func TestAKilledSessionIsBroken(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		w.runs(func(ctx context.Context) {
			c, other := w.dial(ctx, w.a), w.dial(ctx, w.a)
			broken := w.p.Runtime().NewSignal()
			other.OnBroken(broken.Set)
			all, err := c.Sessions(ctx)
			if err != nil || len(all) != 1 || all[0].ID != other.ID() || all[0].Kind != agent.SessionOwnUser {
				t.Fatalf("%+v, %v", all, err)
			}
			for range 2 {
				if err := c.Kill(ctx, other.ID()); err != nil {
					t.Fatal(err)
				}
			}
			if broken.Wait(ctx, time.Second) != sched.Set {
				t.Error("not told")
			}
			w.is("ping a killed session", other.Ping(ctx), cluster.CauseReset)
		})
	})
}

func TestWaitingForTheApplier(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		w.after(time.Second)
		for row := range uint64(100) {
			w.write(w.a, row)
		}
		target := w.a.Observe(0, nil, "", "").Executed
		w.runs(func(ctx context.Context) {
			c := w.dial(ctx, w.b)
			if done, err := c.WaitApplied(ctx, target, 100*time.Millisecond); done || err != nil {
				t.Errorf("100 rows of 3 ms within 100 ms: %v, %v", done, err)
			}
			if done, err := c.WaitApplied(ctx, target, time.Minute); !done || err != nil {
				t.Errorf("%v, %v", done, err)
			}
		})
		for row := range uint64(100) {
			if w.b.Count(row) != 1 {
				t.Fatalf("row %d is there %d times", row, w.b.Count(row))
			}
		}
	})
}
