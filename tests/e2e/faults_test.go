package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func TestActiveDies(t *testing.T) {
	for _, c := range []struct {
		name   string
		least  bool
		auto   bool
		strike func(*stage) error
		within time.Duration // from the fault to the first row on the other server
	}{
		{"by SIGKILL", false, false, func(s *stage) error { s.a.Kill(); return nil }, 3 * time.Second},
		{"by SIGKILL, replication starts with the server", false, true, func(s *stage) error { s.a.Kill(); return nil }, 3 * time.Second},
		{"by a clean stop", true, false, func(s *stage) error { return s.halt(s.a) }, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{leastGrants: c.least, pair: harness.PairOptions{AutoReplicate: c.auto}})
			w := s.write(2, 2*time.Millisecond)
			before := s.record()
			at := time.Now()
			s.must(c.strike(s))
			var ack harness.Ack
			s.await(c.within+10*time.Second, func(ctx context.Context) (err error) {
				ack, err = w.WaitAck(ctx, at, s.b.Addr())
				return err
			})
			took := ack.At.Sub(at)
			t.Logf("first row on the other server after %v", took)
			if took > c.within {
				t.Errorf("first row on the other server after %v, want at most %v", took, c.within)
			}
			change := s.moved(before, s.b)
			for _, name := range []string{harness.Seen, harness.Decided, harness.Closed, harness.Drained, harness.Opened} {
				if _, ok := change.Moment(name); !ok {
					t.Errorf("the audit trail does not say when it %s: %+v", name, change.Moments)
				}
			}
			s.shown("legacy", "active: "+string(s.b.Addr())+"(alive readonly: 0)", "+- passive: "+string(s.a.Addr())+"(dead")
			s.must(s.a.Start(s.short()))
			quarantine := s.rejoined(s.a, s.b)
			s.lossExplained(s.settle(s.b, w), quarantine)
			s.unmoved(time.Second, change.Record)
			if !quarantine {
				s.shown("legacy", "+- passive: "+string(s.a.Addr())+"(alive readonly: 1)")
			}
		})
	}
}

// A server that is being stopped takes the COMMIT of a transaction that was begun before, MySQL for seconds: not when
// the other one may be open.
func TestAServerThatIsStoppedCommitsNothingLate(t *testing.T) {
	s := raise(t, options{})
	w := s.write(2, 5*time.Millisecond)
	late := s.client(s.a, harness.AppUser)
	for _, statement := range []string{"BEGIN", "INSERT INTO entry (client, seq) VALUES (4711, 1)"} {
		_, err := late.ExecContext(s.short(), statement)
		s.must(err)
	}
	before := s.record()
	at := time.Now()
	halted := make(chan error, 1)
	go func() { halted <- s.halt(s.a) }()
	s.await(20*time.Second, func(ctx context.Context) error {
		_, err := w.WaitAck(ctx, at, s.b.Addr())
		return err
	})
	if _, err := late.ExecContext(s.short(), "COMMIT"); err == nil {
		t.Error("the old active has committed when the new one was open")
	}
	s.must(<-halted)
	change := s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	quarantine := s.rejoined(s.a, s.b)
	s.lossExplained(s.settle(s.b, w), quarantine)
	if quarantine {
		t.Error("the old active has what the new one lacks")
	}
	s.unmoved(time.Second, change.Record)
}

// A hung active is taken for dead after try_times x connect_timeout; when it
// wakes it closes itself before it takes rows again.
func TestActiveHangs(t *testing.T) {
	s := raise(t, options{bothOpenUntil: 500 * time.Millisecond})
	w := s.write(2, 2*time.Millisecond)
	// An application that knows no other server, with a long timeout: what it
	// asked for while the server hung is still in the socket when it wakes.
	stuck, err := lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{s.a.Addr()}, First: 100, Clients: 2, Every: 2 * time.Millisecond, Timeout: 20 * time.Second,
	})
	s.must(err)
	s.more(stuck, 20)
	before := s.record()
	at := time.Now()
	s.must(s.a.Process().Freeze())
	var ack harness.Ack
	s.await(15*time.Second, func(ctx context.Context) (err error) {
		ack, err = w.WaitAck(ctx, at, s.b.Addr())
		return err
	})
	took := ack.At.Sub(at)
	t.Logf("first row on the other server after %v", took)
	if took < time.Second {
		t.Errorf("taken for dead after %v: try_times=2 and connect_timeout=1 are not kept", took)
	}
	if took > 5*time.Second {
		t.Errorf("first row on the other server after %v", took)
	}
	change := s.moved(before, s.b)
	if !change.Record.Proof.IsRisk() {
		t.Errorf("proof for a hung server is %q, want a risk", change.Record.Proof)
	}
	woken := time.Now()
	s.must(s.a.Process().Thaw())
	s.closes(s.a)
	t.Logf("the woken server was closed within %v", time.Since(woken))
	quarantine := s.rejoined(s.a, s.b)
	stuck.Stop()
	late := 0
	for _, a := range stuck.Acks() {
		if a.At.After(woken) && a.Node == s.a.Addr() {
			late++
		}
	}
	t.Logf("rows that the woken server acknowledged: %d", late)
	if late > 50 {
		t.Errorf("the woken server acknowledged %d rows before it was closed", late)
	}
	s.lossExplained(s.settle(s.b, w, stuck), quarantine)
}

// The replica is connecting to the hung source when the verdict falls, as after a
// lost connection: a thread in that state takes up to 22 s to stop, for which nobody waits.
func TestActiveHangsWhileItsReplicaConnects(t *testing.T) {
	s := raise(t, options{bothOpenUntil: 500 * time.Millisecond})
	w := s.write(1, 5*time.Millisecond)
	s.more(w, 20)
	before := s.record()
	at := time.Now()
	s.must(s.a.Process().Freeze())
	s.must(s.b.Exec(s.short(), "STOP REPLICA IO_THREAD"))
	s.must(s.b.Exec(s.short(), "START REPLICA IO_THREAD"))
	var ack harness.Ack
	s.await(40*time.Second, func(ctx context.Context) (err error) {
		ack, err = w.WaitAck(ctx, at, s.b.Addr())
		return err
	})
	took := ack.At.Sub(at)
	t.Logf("first row on the other server after %v", took)
	if took < time.Second || took > 5*time.Second {
		t.Errorf("first row on the other server after %v, want 2 s and little more", took)
	}
	s.moved(before, s.b)
	s.must(s.a.Process().Thaw())
	s.closes(s.a)
	quarantine := s.rejoined(s.a, s.b)
	s.lossExplained(s.settle(s.b, w), quarantine)
}

// A hang that ends before the verdict changes nothing.
func TestActiveHangsShortly(t *testing.T) {
	s := raise(t, options{})
	w := s.write(1, 5*time.Millisecond)
	before := s.record()
	s.must(s.a.Process().Freeze())
	timer := time.NewTimer(700 * time.Millisecond)
	<-timer.C
	s.must(s.a.Process().Thaw())
	s.more(w, 20)
	s.unmoved(4*time.Second, before)
	s.more(w, 20)
	if tally := s.settle(s.a, w); len(tally.Lost) > 0 {
		t.Errorf("%d rows are lost", len(tally.Lost))
	}
}

func TestPassiveDies(t *testing.T) {
	for _, c := range []struct {
		name    string
		strike  func(*stage) error
		recover func(*stage) error
	}{
		{"by SIGKILL", func(s *stage) error { s.b.Kill(); return nil }, func(s *stage) error { return s.b.Start(s.short()) }},
		{"by a clean stop", func(s *stage) error { return s.halt(s.b) }, func(s *stage) error { return s.b.Start(s.short()) }},
		{"by a hang", func(s *stage) error { return s.b.Process().Freeze() }, func(s *stage) error { return s.b.Process().Thaw() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{})
			w := s.write(2, 5*time.Millisecond)
			before := s.record()
			s.must(c.strike(s))
			s.unmoved(3*time.Second, before)
			s.more(w, 50)
			if n := len(w.Unknown()); n > 0 {
				t.Errorf("the application lost its connection %d times while only the passive was away", n)
			}
			s.told("candidate-down")
			s.must(c.recover(s))
			s.whole(s.a)
			s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
			if tally := s.settle(s.a, w); len(tally.Lost) > 0 {
				t.Errorf("%d rows are lost", len(tally.Lost))
			}
			s.unmoved(time.Second, before)
		})
	}
}

// Both die, and both come back in either order; one of them is active in the end, and
// nothing is lost unreported.
func TestBothDie(t *testing.T) {
	for _, c := range []struct {
		name  string
		order func(*stage) []*harness.Server
	}{
		{"the active returns first", func(s *stage) []*harness.Server { return []*harness.Server{s.a, s.b} }},
		{"the passive returns first", func(s *stage) []*harness.Server { return []*harness.Server{s.b, s.a} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{})
			w := s.write(2, 5*time.Millisecond)
			before := s.record()
			s.b.Kill()
			s.a.Kill()
			s.await(10*time.Second, func(ctx context.Context) error {
				return harness.Until(ctx, "nobody is alive in mmm-status", func(ctx context.Context) (bool, string) {
					out, err := s.Tool(ctx, "mmm-status", "-o", "legacy")
					if err != nil {
						return false, err.Error()
					}
					return out.Code != 0, out.String()
				})
			})
			for _, server := range c.order(s) {
				s.must(server.Start(s.short()))
			}
			var active *harness.Server
			s.await(25*time.Second, func(ctx context.Context) error {
				return harness.Until(ctx, "one of both is open", func(ctx context.Context) (bool, string) {
					a := s.record()
					active = s.Pair.At(a.Active)
					if a.Phase != cluster.PhaseSteady || active == nil {
						return false, a.Reason
					}
					closed, err := active.ReadOnly(ctx)
					return err == nil && !closed, a.Reason
				})
			})
			record := s.record()
			t.Logf("%s is active in epoch %d (it was %s in epoch %d): %s", record.Active, record.Epoch, before.Active, before.Epoch, record.Reason)
			if record.Epoch > before.Epoch+2 {
				t.Errorf("epoch went from %d to %d: the roles flap", before.Epoch, record.Epoch)
			}
			s.more(w, 50)
			quarantine := s.rejoined(s.Pair.Other(active), active)
			s.lossExplained(s.settle(active, w), quarantine)
		})
	}
}

// Both hang, and both wake: nobody could take over, so the active goes on.
func TestBothHang(t *testing.T) {
	s := raise(t, options{})
	w := s.write(2, 5*time.Millisecond)
	before := s.record()
	s.must(s.b.Process().Freeze())
	s.must(s.a.Process().Freeze())
	s.told("candidate-down")
	s.unmoved(3*time.Second, before)
	s.must(s.a.Process().Thaw())
	s.must(s.b.Process().Thaw())
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	s.more(w, 50)
	if tally := s.settle(s.a, w); len(tally.Lost) > 0 {
		t.Errorf("%d rows are lost", len(tally.Lost))
	}
	s.unmoved(time.Second, before)
}

// Both are stopped cleanly, as for maintenance, the passive first, and the passive
// returns first: it lacks what was written meanwhile, so that the active is waited for.
func TestBothAreStopped(t *testing.T) {
	s := raise(t, options{})
	w := s.write(2, 5*time.Millisecond)
	s.must(s.halt(s.b))
	s.told("candidate-down")
	before := s.record()
	if before.IsEligible(s.b.Addr()) {
		t.Errorf("the passive is away and still eligible: %+v", before)
	}
	s.more(w, 50)
	s.must(s.halt(s.a))
	s.must(s.b.Start(s.short()))
	s.told("not-eligible")
	s.unmoved(5*time.Second, before)
	s.must(s.a.Start(s.short()))
	s.whole(s.a)
	s.await(25*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	s.more(w, 50)
	if tally := s.settle(s.a, w); len(tally.Lost) > 0 {
		t.Errorf("%d rows are lost", len(tally.Lost))
	}
	if after := s.record(); after.Active != s.a.Addr() || after.Epoch != before.Epoch {
		t.Errorf("the role moved: %+v", after)
	}
}
