package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// The death of a daemon changes nothing; restarted, it takes over where it was
// and the next failover happens.
func TestDaemonDies(t *testing.T) {
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
		t.Run(name, func(t *testing.T) {
			s := raise(t, options{})
			w := s.write(1, 5*time.Millisecond)
			before := s.record()
			s.Daemon(name).Kill()
			s.unmoved(1500*time.Millisecond, before)
			s.must(s.Daemon(name).Start())
			s.unmoved(1500*time.Millisecond, before)
			s.await(15*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
			if n := len(w.Unknown()); n > 0 {
				t.Errorf("the application lost its connection %d times", n)
			}
			before = s.record()
			s.a.Kill()
			s.moved(before, s.b)
			s.more(w, 10)
			s.settle(s.b, w)
		})
	}
}

// A daemon that dies in the middle of a failover, at whatever moment, delays it.
func TestDaemonDiesDuringFailover(t *testing.T) {
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
		t.Run(name, func(t *testing.T) {
			s := raise(t, options{})
			from, to := s.a, s.b
			for range 2 {
				before := s.record()
				pause := time.NewTimer(time.Duration(rand.IntN(40)) * time.Millisecond)
				from.Kill()
				<-pause.C
				s.Daemon(name).Kill()
				s.must(s.Daemon(name).Start())
				after := s.open(to)
				if after.Epoch != before.Epoch+1 {
					t.Errorf("epoch went from %d to %d, want one step", before.Epoch, after.Epoch)
				}
				s.must(from.Start(s.short()))
				s.whole(to)
				s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, from) })
				from, to = to, from
			}
		})
	}
}

func TestRedisRestarts(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(fmt.Sprintf("empty=%v", empty), func(t *testing.T) {
			s := raise(t, options{})
			w := s.write(1, 5*time.Millisecond)
			before := s.record()
			s.Redis.Kill()
			s.more(w, 100)
			if empty {
				s.must(s.Redis.Forget())
			}
			s.must(s.Redis.Start(s.short()))
			s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
			after := s.whole(s.a)
			switch {
			case empty && after.Epoch <= before.Epoch:
				t.Errorf("epoch went from %d to %d: an empty Redis is rebuilt with one more", before.Epoch, after.Epoch)
			case !empty && after.Epoch != before.Epoch:
				t.Errorf("epoch went from %d to %d, want the same", before.Epoch, after.Epoch)
			}
			if n := len(w.Unknown()); n > 0 {
				t.Errorf("the application lost its connection %d times", n)
			}
			s.a.Kill()
			s.moved(after, s.b)
			s.settle(s.b, w)
		})
	}
}

// An active that dies while Redis is away: nothing moves until Redis is back,
// then it does. The same when Redis comes back empty.
func TestActiveDiesWhileRedisIsAway(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	s.Redis.Kill()
	s.a.Kill()
	s.must(harness.Holds(s.Context(), 2*time.Second, "nobody opens the other server", func(ctx context.Context) (bool, string) {
		closed, err := s.b.ReadOnly(ctx)
		return err == nil && closed, fmt.Sprintf("read_only %v, %v", closed, err)
	}))
	s.must(s.Redis.Start(s.short()))
	s.moved(before, s.b)
}

// Without an agent nothing is moved; when it comes, the failover happens.
func TestAgentIsAwayDuringFailover(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	s.Daemon(harness.Agent).Kill()
	s.a.Kill()
	s.must(harness.Holds(s.Context(), 4*time.Second, "nobody opens the other server", func(ctx context.Context) (bool, string) {
		closed, err := s.b.ReadOnly(ctx)
		return err == nil && closed, fmt.Sprintf("read_only %v, %v", closed, err)
	}))
	s.must(s.Daemon(harness.Agent).Start())
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	s.rejoined(s.a, s.b)
}

// The predecessor's users rely on its signals.
func TestSignals(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	for i, name := range []string{harness.Monitor, harness.Identify} {
		d := s.Daemon(name)
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			s.must(d.Signal(sig))
		}
		s.must(harness.Holds(s.Context(), 500*time.Millisecond, name+" ignores INT and TERM", func(context.Context) (bool, string) {
			return d.Running(), "it ended"
		}))
		if log := s.Log(harness.MainLog, 200); strings.Count(log, "TERM") < i+1 {
			t.Errorf("%s does not say in its log that it ignores TERM:\n%s", name, log)
		}
		s.await(5*time.Second, d.Quit)
		if code := d.ExitCode(); code != 0 {
			t.Errorf("%s ended by QUIT with %d, want 0", name, code)
		}
		s.must(d.Start())
	}
	agent := s.Daemon(harness.Agent)
	s.must(agent.Signal(syscall.SIGHUP))
	s.must(harness.Holds(s.Context(), 300*time.Millisecond, "the agent survives HUP", func(context.Context) (bool, string) {
		return agent.Running(), "it ended"
	}))
	s.await(5*time.Second, agent.Quit)
	if code := agent.ExitCode(); code != 0 {
		t.Errorf("mmm-agent ended by TERM with %d, want 0", code)
	}
	// Stopping a daemon leaves the servers as they are.
	closed, err := s.a.ReadOnly(s.short())
	s.must(err)
	if closed {
		t.Error("the active was closed by the end of the agent")
	}
	s.must(agent.Start())
	s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	if after := s.whole(s.a); after.Epoch != before.Epoch {
		t.Errorf("epoch went from %d to %d", before.Epoch, after.Epoch)
	}
}

// A reload takes a changed file, and keeps the old configuration when the new one is broken.
func TestReload(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"failover_block": "0"}})
	before := s.record()
	s.must(s.WriteFiles(harness.SiteOptions{Tag: map[string]string{"interval": "soon"}}))
	for _, d := range s.Daemons() {
		s.must(d.Signal(syscall.SIGHUP))
	}
	s.must(harness.Holds(s.Context(), time.Second, "daemons survive a broken file", func(context.Context) (bool, string) {
		for _, d := range s.Daemons() {
			if !d.Running() {
				return false, d.Name + " ended: " + d.Output(10)
			}
		}
		return true, ""
	}))
	s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	s.a.Kill()
	s.moved(before, s.b)
	if log := s.Log(harness.MainLog, 200); !strings.Contains(log, "interval") {
		t.Errorf("the monitor does not say which key is broken:\n%s", log)
	}
}

// Two of each: one epoch step, no flapping, and the other identify takes over.
func TestTwins(t *testing.T) {
	s := raise(t, options{})
	s.start(harness.Identify)
	s.start(harness.Agent)
	w := s.write(2, 5*time.Millisecond)
	for _, server := range []*harness.Server{s.a, s.b} {
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, "both agents report", func(ctx context.Context) (bool, string) {
				snap, err := s.Snapshot(ctx)
				return err == nil && len(snap.Reports[server.Addr()]) == 2, fmt.Sprintf("%d reports, %v", len(snap.Reports[server.Addr()]), err)
			})
		})
	}
	before := s.record()
	s.unmoved(2*time.Second, before)
	s.a.Kill()
	change := s.moved(before, s.b)
	s.more(w, 100)
	s.must(s.a.Start(s.short()))
	if s.rejoined(s.a, s.b) {
		s.settle(s.b, w)
		return // a valid ending, and no pair to go on with
	}
	unknown := len(w.Unknown())
	s.unmoved(3*time.Second, change.Record)
	s.more(w, 50)
	if n := len(w.Unknown()) - unknown; n > 0 {
		t.Errorf("the application lost its connection %d times after the failover: two agents must not kill its sessions again and again", n)
	}

	// The leader dies together with the active: the other identify does it.
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	snap, err := s.Snapshot(s.short())
	s.must(err)
	before = snap.Assignment
	first := s.Daemon(harness.Identify)
	first.Kill()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "some identify leads", func(ctx context.Context) (bool, string) {
			now, err := s.Snapshot(ctx)
			return err == nil && now.Leader.ID != "", "nobody leads"
		})
	})
	s.b.Kill()
	s.moved(before, s.a)
	s.settle(s.a, w)
}

// A leader that is frozen for longer than its lease does nothing when it wakes.
func TestFrozenLeaderIsLate(t *testing.T) {
	s := raise(t, options{})
	first := s.Daemon(harness.Identify)
	s.start(harness.Identify)
	before := s.record()
	leader := func() cluster.Leader {
		snap, err := s.Snapshot(s.short())
		s.must(err)
		return snap.Leader
	}
	old := leader()
	s.must(first.Freeze())
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the other identify leads", func(context.Context) (bool, string) {
			now := leader()
			return now.ID != "" && now.ID != old.ID, now.ID
		})
	})
	s.a.Kill()
	s.moved(before, s.b)
	after := s.record()
	s.must(first.Thaw())
	s.unmoved(2*time.Second, after)
	if now := leader(); now.ID == old.ID || now.Token <= old.Token {
		t.Errorf("leader %s with token %d after %s with %d", now.ID, now.Token, old.ID, old.Token)
	}
}
