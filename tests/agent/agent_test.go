package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func TestFailoverAndRejoin(t *testing.T) {
	s := prepare(t, programs)
	s.put(record(1, 1, cluster.PhaseOpening, s.b, s.a))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.put(record(1, 2, cluster.PhaseSteady, s.b, s.a))
	s.deed(s.b, cluster.Order{Epoch: 1, Version: 2}, cluster.DeedClosed)
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))

	s.a.Kill()
	s.report(s.a, "refused", func(r cluster.Report) bool { return r.Cause == cluster.CauseRefused })
	rec := record(2, 1, cluster.PhaseRevoked, s.a, s.b)
	rec.Proof = cluster.ProofNone
	s.put(rec)
	if r := s.deed(s.b, rec.Order(), cluster.DeedDrained); r.Ready != rec.Order() {
		t.Errorf("ready under %s", r.Ready)
	}
	if !s.closed(s.b) {
		t.Error("open while revoked")
	}
	rec = record(2, 2, cluster.PhaseOpening, s.a, s.b)
	rec.Proof = cluster.RiskRefused
	s.put(rec)
	r := s.deed(s.b, rec.Order(), cluster.DeedOpen)
	t.Logf("steps of the opening: %+v", r.Steps)
	rec = record(2, 3, cluster.PhaseSteady, s.a, s.b)
	rec.Proof = cluster.RiskRefused
	s.put(rec)

	s.must(s.a.Start(s.within(20 * time.Second)))
	s.deed(s.a, rec.Order(), cluster.DeedClosed)
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	if s.closed(s.b) || !s.closed(s.a) {
		t.Error("want the new active open and the old one closed")
	}
}

func TestSwitchoverThereAndBack(t *testing.T) {
	s := prepare(t, programs)
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
	from, to := s.a, s.b
	epoch, version := cluster.Epoch(1), uint64(2)
	for range 4 {
		sw := s.put(record(epoch, version, cluster.PhaseSwitching, from, to))
		ready := s.report(to, "caught up", func(r cluster.Report) bool { return r.Ready == sw.Order() })
		op := record(epoch+1, 1, cluster.PhaseOpening, from, to)
		op.Target = ready.Executed
		s.put(op)
		s.report(to, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
		if !s.closed(from) || s.closed(to) {
			t.Fatal("want the new active open and the old one closed")
		}
		s.put(record(epoch+1, 2, cluster.PhaseSteady, from, to))
		s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
		epoch, version = epoch+1, 3
		from, to = to, from
	}
}

func TestAHungActiveClosesItselfFirst(t *testing.T) {
	s := prepare(t, programs)
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.must(s.a.Process().Freeze())
	s.report(s.a, "hung", func(r cluster.Report) bool { return r.Cause == cluster.CauseAnswerTimeout })
	rec := s.put(record(2, 1, cluster.PhaseRevoked, s.a, s.b))
	s.report(s.a, "queued", func(r cluster.Report) bool { return r.Order == rec.Order() && r.Queued })
	s.deed(s.b, rec.Order(), cluster.DeedDrained)
	rec = record(2, 2, cluster.PhaseOpening, s.a, s.b)
	rec.Proof = cluster.RiskHung
	s.put(rec)
	s.deed(s.b, rec.Order(), cluster.DeedOpen)
	rec.Version, rec.Phase = 3, cluster.PhaseSteady
	s.put(rec)
	s.must(s.a.Process().Thaw())
	r := s.deed(s.a, rec.Order(), cluster.DeedClosed)
	if r.Closed.Epoch != 2 || r.Queued {
		t.Errorf("closed under %s, queued %v", r.Closed, r.Queued)
	}
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	if s.closed(s.b) || !s.closed(s.a) {
		t.Error("want the new active open and the old one closed")
	}
}

// An agent is paused between its check of the record and the opening, another
// one closes that server and opens the other: the first cannot open when it wakes.
func TestAPausedOpenerCannotOpen(t *testing.T) {
	s := prepare(t, failpoints)
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	paused := s.start("MMM_FAILPOINT=open.checked:stop")
	s.must(harness.Until(s.within(20*time.Second), "the first agent pauses itself", func(context.Context) (bool, string) {
		return paused.Stopped(), "it runs"
	}))
	if !s.closed(s.a) {
		t.Fatal("it paused after the opening")
	}
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)

	rec := s.put(record(2, 1, cluster.PhaseRevoked, s.a, s.b))
	s.report(s.a, "closed", func(r cluster.Report) bool { return r.Closed == rec.Order() })
	s.report(s.b, "drained", func(r cluster.Report) bool { return r.Ready == rec.Order() })
	op := s.put(record(2, 2, cluster.PhaseOpening, s.a, s.b))
	s.report(s.b, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
	st := s.put(record(2, 3, cluster.PhaseSteady, s.a, s.b))

	s.must(paused.Thaw())
	s.must(harness.Holds(s.within(10*time.Second), 3*time.Second, "the old active stays closed", func(context.Context) (bool, string) {
		return s.closed(s.a), "it is open"
	}))
	snap, err := s.Snapshot(s.within(time.Second))
	s.must(err)
	for id, r := range snap.Reports[s.a.Addr()] {
		if r.Order != st.Order() || r.Deed != cluster.DeedClosed {
			t.Errorf("%s reports %s under %s (%s)", id, r.Deed, r.Order, r.Reason)
		}
	}
	if s.closed(s.b) {
		t.Error("the new active is closed")
	}
	if !strings.Contains(s.Log("mmm-agent", 400), "step failed") {
		t.Error("the paused opening did not fail: it was not paused where it should")
	}
}

func TestTwoAgentsComeToRest(t *testing.T) {
	s := prepare(t, programs)
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	s.start()
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
	rec := s.put(record(2, 1, cluster.PhaseRevoked, s.a, s.b))
	both := func(server *harness.Server, what string, cond func(cluster.Report) bool) {
		s.must(harness.Until(s.within(15*time.Second), "both agents report "+what, func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			n, seen := 0, ""
			for _, r := range snap.Reports[server.Addr()] {
				seen += r.Agent + ": " + string(r.Deed) + " " + r.Reason + "; "
				if cond(r) {
					n++
				}
			}
			return err == nil && n == 2, seen
		}))
	}
	both(s.a, "closed", func(r cluster.Report) bool { return r.Closed == rec.Order() })
	both(s.b, "drained", func(r cluster.Report) bool { return r.Ready == rec.Order() })
	op := s.put(record(2, 2, cluster.PhaseOpening, s.a, s.b))
	both(s.b, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
	s.put(record(2, 3, cluster.PhaseSteady, s.a, s.b))
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	connections := func() string {
		n, err := s.a.Status(s.within(time.Second), "Connections")
		s.must(err)
		return n
	}
	before := connections()
	s.must(harness.Holds(s.within(10*time.Second), 3*time.Second, "nobody connects anew", func(context.Context) (bool, string) {
		now := connections()
		return now == before, "connections " + before + ", now " + now
	}))
}
