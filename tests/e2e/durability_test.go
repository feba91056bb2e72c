package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func promising(d cluster.Durability) options {
	return options{tag: map[string]string{"durability": string(d), "failover_block": "0"}}
}

// acknowledged waits until every commit on the active waits for the other server, which
// has all that was acknowledged before.
func (s *stage) acknowledged(active, passive *harness.Server) cluster.Assignment {
	s.Helper()
	return s.recorded(30*time.Second, "every commit waits for "+string(passive.Addr()), func(a cluster.Assignment) bool {
		return a.Phase == cluster.PhaseSteady && a.Active == active.Addr() && a.Waits && a.IsEligible(passive.Addr())
	})
}

// recorded waits until the record is as wanted.
func (s *stage) recorded(d time.Duration, what string, is func(cluster.Assignment) bool) (a cluster.Assignment) {
	s.Helper()
	s.await(d, func(ctx context.Context) error {
		return harness.Until(ctx, what, func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			a = snap.Assignment
			return err == nil && is(a), fmt.Sprintf("record %s %s active %s eligible %v waits %v (%v)", a.Order(), a.Phase, a.Active, a.Eligible, a.Waits, err)
		})
	})
	return a
}

// ackedAfter counts the rows that were acknowledged after that.
func ackedAfter(w *harness.Writer, at time.Time) (n int) {
	for _, a := range w.Acks() {
		if a.At.After(at) {
			n++
		}
	}
	return n
}

// With semisync no acknowledged row is lost however the active ends, twice in a row.
func TestSemiSyncLosesNothing(t *testing.T) {
	o := promising(cluster.SemiSync)
	o.bothOpenUntil = 5 * time.Second // the hung one wakes open, and acknowledges nothing
	s := raise(t, o)
	w := s.write(8, 8*time.Millisecond)
	writers, first := []*harness.Writer{w}, 100
	for _, strike := range []struct {
		name       string
		from, to   *harness.Server
		down, back func() error
	}{
		{"killed", s.a, s.b, func() error { s.a.Kill(); return nil }, func() error { return s.a.Start(s.short()) }},
		{"hung", s.b, s.a, func() error { return s.b.Process().Freeze() }, func() error { return s.b.Process().Thaw() }},
	} {
		before := s.acknowledged(strike.from, strike.to)
		// They know no other server, and wait for long.
		stuck, err := lab.StartWriter(harness.WriterOptions{
			Nodes: []cluster.Endpoint{strike.from.Addr()}, First: first, Clients: 4, Every: 8 * time.Millisecond, Timeout: 20 * time.Second,
		})
		s.must(err)
		first += 100
		s.more(stuck, 20)
		at := time.Now()
		s.must(strike.down())
		s.await(20*time.Second, func(ctx context.Context) error {
			_, err := w.WaitAck(ctx, at, strike.to.Addr())
			return err
		})
		change := s.moved(before, strike.to)
		t.Logf("%s: proof %q; loss %q", strike.name, change.Record.Proof, change.Record.Loss)
		held, err := strike.to.Rows(s.short())
		s.must(err)
		back := time.Now()
		s.must(strike.back())
		s.closes(strike.from)
		stuck.Stop()
		// Who held a connection all the time may still hear what the passive had received, and nothing else.
		told := 0
		for _, ack := range append(w.Acks(), stuck.Acks()...) {
			if ack.At.After(back) && ack.Node == strike.from.Addr() {
				told++
				if !held[ack.Row] {
					t.Errorf("%s: when it was back, the old active acknowledged row %v, which the other had not", strike.name, ack.Row)
				}
			}
		}
		t.Logf("%s: %d rows told by the old active when it was back", strike.name, told)
		writers = append(writers, stuck)
		if s.rejoined(strike.from, strike.to) {
			t.Logf("%s: the old active holds rows that nobody was told of", strike.name)
			break
		}
	}
	a := s.record()
	active := s.a
	if a.Active == s.b.Addr() {
		active = s.b
	}
	if tally := s.settle(active, writers...); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}

// With the passive away commits go on, and wait again when it is back.
func TestSemiSyncGoesOnWithoutThePassive(t *testing.T) {
	s := raise(t, promising(cluster.SemiSync))
	s.acknowledged(s.a, s.b)
	w := s.write(4, 5*time.Millisecond)
	s.more(w, 20)
	at := time.Now()
	s.b.Kill()
	s.recorded(10*time.Second, "commits wait no longer", func(a cluster.Assignment) bool { return !a.Waits })
	relaxed := time.Now()
	s.await(10*time.Second, func(ctx context.Context) error {
		ack, err := w.WaitAck(ctx, relaxed, s.a.Addr())
		t.Logf("a row %v after the passive was killed", ack.At.Sub(at))
		return err
	})
	out, err := s.Tool(s.short(), "mmmctl", "durability", "--tag", harness.ServiceTag)
	s.must(err)
	if out.Code != 0 || !strings.Contains(out.Stdout, "commits do not wait at present") {
		t.Errorf("mmmctl durability: %s", out)
	}
	s.must(s.b.Start(s.short()))
	s.acknowledged(s.a, s.b)
	if tally := s.settle(s.a, w); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}

// mmmctl durability changes a running pair: strict commits wait for a passive that is away.
func TestDurabilityIsChanged(t *testing.T) {
	s := raise(t, options{})
	w := s.write(2, 5*time.Millisecond)
	s.more(w, 10)
	out, err := s.Tool(s.short(), "mmmctl", "durability", "--tag", harness.ServiceTag, "--set", "semisync-strict", "--reason", "test")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl durability: %s", out)
	}
	s.acknowledged(s.a, s.b)
	s.b.Kill()
	s.recorded(10*time.Second, "the passive may not take over", func(a cluster.Assignment) bool { return !a.IsEligible(s.b.Addr()) })
	quiet := time.Now()
	s.must(harness.Holds(s.Context(), 3*time.Second, "commits wait", func(context.Context) (bool, string) {
		acks := ackedAfter(w, quiet.Add(500*time.Millisecond))
		return acks == 0, fmt.Sprintf("%d rows were acknowledged without the passive", acks)
	}))
	out, err = s.Tool(s.short(), "mmmctl", "durability", "--tag", harness.ServiceTag, "--set", "async")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl durability: %s", out)
	}
	at := time.Now()
	s.await(10*time.Second, func(ctx context.Context) error {
		_, err := w.WaitAck(ctx, at, s.a.Addr())
		return err
	})
	s.must(s.b.Start(s.short()))
	s.whole(s.a)
	s.settle(s.a, w)
}
