package mysql

import (
	"context"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// taken has a session of the agent's take a lock on a server.
func (w *world) taken(m *Machine, name string, idle time.Duration) (c agent.Conn) {
	w.Helper()
	w.runs(func(ctx context.Context) {
		c = w.dial(ctx, m)
		if l, err := c.TakeLock(ctx, name, idle); err != nil || l != (agent.Lock{Mine: true, Holder: c.ID()}) {
			w.Fatalf("%+v, %v", l, err)
		}
	})
	return c
}

func (w *world) held(m *Machine, c agent.Conn) {
	w.Helper()
	var id, want uint64
	if x := m.Holder("lock"); x != nil {
		id = x.ID()
	}
	if c != nil {
		want = c.ID()
	}
	if id != want {
		w.Fatalf("%s: session %d has the lock, want %d", w.e.Now(), id, want)
	}
}

func TestALockLastsWhileItsSessionIsAsked(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		first := w.taken(w.b, "lock", 9100*time.Millisecond) // which is 10 s
		told := 0
		first.OnBroken(func() { told++ })
		var second agent.Conn
		w.runs(func(ctx context.Context) {
			second = w.dial(ctx, w.b)
			if l, err := second.TakeLock(ctx, "another", 3*time.Second); err != nil || !l.Mine {
				t.Errorf("a second lock: %+v, %v", l, err)
			}
			for range 30 {
				if err := sched.Sleep(ctx, w.p.Runtime(), time.Second); err != nil {
					t.Fatal(err)
				}
				if err := first.Ping(ctx); err != nil {
					t.Fatal(err)
				}
				if l, err := second.TakeLock(ctx, "lock", time.Hour); err != nil || l.Mine || l.Holder != first.ID() {
					t.Fatalf("%+v, %v", l, err)
				}
			}
		})
		w.after(9900 * time.Millisecond)
		w.held(w.b, first)
		w.runs(func(ctx context.Context) {
			if l, err := second.TakeLock(ctx, "lock", time.Hour); err != nil || l.Idle < 8*time.Second || l.Idle > 9*time.Second {
				t.Errorf("%+v, %v", l, err)
			}
		})
		w.after(200 * time.Millisecond)
		w.held(w.b, nil)
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		w.runs(func(ctx context.Context) {
			w.is("ping", first.Ping(ctx), cluster.CauseReset)
			if l, err := second.TakeLock(ctx, "lock", time.Hour); err != nil || !l.Mine {
				t.Errorf("%+v, %v", l, err)
			}
		})
	})
}

func TestALockOfAClientThatIsCutOff(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		c := w.taken(w.b, "lock", 10*time.Second)
		told := 0
		c.OnBroken(func() { told++ })
		w.net.CutBoth(w.b.Host(), w.p.Host())
		w.after(9 * time.Second)
		w.held(w.b, c)
		w.after(2 * time.Second)
		w.held(w.b, nil)
		if told != 0 {
			t.Error("told over a way that is cut")
		}
		w.net.HealBoth(w.b.Host(), w.p.Host())
		w.after(time.Minute)
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestWhatEndsALock(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		for name, end := range map[string]func(c agent.Conn){
			"close":  func(c agent.Conn) { _ = c.Close() },
			"client": func(agent.Conn) { w.p.Kill() },
			"server": func(agent.Conn) { w.b.Kill(); w.b.Start() },
			"kill": func(c agent.Conn) {
				w.runs(func(ctx context.Context) {
					if err := w.dial(ctx, w.b).Kill(ctx, c.ID()); err != nil {
						t.Fatal(err)
					}
				})
			},
		} {
			t.Run(name, func(t *testing.T) {
				if !w.p.Alive() {
					w.p = w.net.Host("d").Process("agent", engine.Clock{})
				}
				c := w.taken(w.b, "lock", time.Hour)
				w.held(w.b, c)
				end(c)
				w.after(time.Second)
				w.held(w.b, nil)
			})
		}
	})
}

// The time begins when a statement has ended.
func TestASessionThatWaitsIsNotQuiet(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		a, m := login(t, s, "app"), login(t, s, "mmm")
		var got outcomes
		a.LockTables(now, got.of("lock"))
		m.TakeLock(now, "lock", 10*time.Second)
		m.SetReadOnly(now, time.Minute, got.err("close"))
		s.Advance(now + 59*time.Second)
		if s.Holder("lock") != m {
			t.Fatal("ended in a statement")
		}
		s.Advance(now + time.Minute)
		got.are(t, "lock acknowledged", "close Error 1205:")
		s.Advance(now + 69*time.Second)
		if due := s.Due(); due != now+70*time.Second || s.Holder("lock") != m {
			t.Errorf("due at %s", due-now)
		}
		s.Advance(now + 70*time.Second)
		if s.Holder("lock") != nil || !m.Ended() {
			t.Error("not ended")
		}
	})
}

func TestALockOnAServerThatWasStopped(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		w := newWorld(t, f)
		asked := w.taken(w.b, "another", 10*time.Second)
		quiet := w.taken(w.b, "lock", 10*time.Second)
		w.b.Process().Pause()
		w.after(20 * time.Second)
		w.held(w.b, quiet)
		w.p.Go(func() {
			if err := asked.Ping(context.Background()); err != nil {
				t.Errorf("a question that waited came too late: %v", err)
			}
		})
		w.after(time.Second)
		w.b.Process().Resume()
		w.after(time.Millisecond)
		if f == cluster.MySQL {
			w.held(w.b, quiet) // for the rest of its time
			w.after(10 * time.Second)
		}
		w.held(w.b, nil)
		if f == cluster.MariaDB && w.b.Holder("another") == nil {
			t.Error("a session whose client had asked has ended")
		}
	})
}
