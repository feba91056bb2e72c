package reconcile_test

import (
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// leased: the server is open by leases, one of which keeps it and opens it.
func leased(in *input) {
	in.Leases = reconcile.Leases{Used: true, Keep: true, Granted: in.Record.Epoch}
}

// unkept: none of them keeps it any more.
func unkept(in *input) { in.Leases = reconcile.Leases{Used: true} }

func awayBus(in *input) {
	in.Known = false
	in.Remembers = in.Record
}

func shut(ago time.Duration) func(*input) {
	return func(in *input) { in.Memory.Shut, in.Memory.ShutAt = in.Record.Order(), in.Now-ago }
}

func TestLeases(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     input
		steps  []reconcile.Kind
		reason string
		deed   cluster.Deed
	}{
		{name: "a lease keeps the active open", in: given(onActive, leased), deed: cluster.DeedOpen},
		{name: "without one it is closed", in: given(onActive, unkept), steps: kinds(reconcile.CloseAlone)},
		{name: "while Redis is away", in: given(onActive, unkept, awayBus), steps: kinds(reconcile.CloseAlone)},
		{name: "a lease keeps it open while Redis is away", in: given(onActive, leased, awayBus), reason: "bus-away"},
		{name: "without one and frozen", in: given(onActive, unkept, remembers(cluster.Order{Epoch: 9})), steps: kinds(reconcile.CloseAlone)},
		{name: "a lease keeps it open while frozen", in: given(onActive, leased, remembers(cluster.Order{Epoch: 9})), reason: "record-older"},
		{name: "without one under a record that cannot be obeyed", in: given(onActive, unkept, func(in *input) { in.Record.Passive = x }), steps: kinds(reconcile.CloseAlone)},
		{name: "without one, in the middle of a switchover", in: given(onActive, phase(cluster.PhaseSwitching, a, b), unkept), steps: kinds(reconcile.CloseAlone)},
		{name: "without one, revoked", in: given(onActive, phase(cluster.PhaseRevoked, a, b), unkept), steps: kinds(reconcile.CloseAlone)},
		{name: "revoked with a lease the closing is acknowledged", in: given(onActive, phase(cluster.PhaseRevoked, a, b), leased), steps: kinds(reconcile.Close)},
		{name: "an open passive with nobody to ask", in: given(mineRO(cluster.No), unkept, awayBus), steps: kinds(reconcile.CloseAlone)},
		{name: "a closed one stays as it is", in: given(unkept, awayBus), reason: "bus-away"},
		{name: "closed without a lease", in: given(onActive, mineRO(cluster.Yes), unkept, awayBus), reason: "alone"},
		{name: "one that hangs gets the order queued", in: given(onActive, unkept, awayBus, fails(cluster.CauseAnswerTimeout, 1)),
			steps: kinds(reconcile.QueueAlone), reason: reconcile.CodeUnreachable, deed: cluster.DeedWorking},
		{name: "once", in: given(onActive, unkept, awayBus, fails(cluster.CauseAnswerTimeout, 1), memory(func(m *reconcile.Memory) { m.Queued = true })), reason: "bus-away"},
		{name: "not when it is closed", in: given(onActive, mineRO(cluster.Yes), unkept, fails(cluster.CauseAnswerTimeout, 1)), reason: reconcile.CodeUnreachable, deed: cluster.DeedWorking},
		{name: "pairs without leases stay as they are", in: given(onActive, awayBus), reason: "bus-away"},

		{name: "the grant opens the active", in: given(onActive, mineRO(cluster.Yes), leased), steps: kinds(reconcile.Open)},
		{name: "a lock does not", in: given(onActive, mineRO(cluster.Yes), leased, func(in *input) { in.Leases.Granted = 0 }), reason: "no-grant"},
		{name: "nor the grant of an older epoch", in: given(onActive, mineRO(cluster.Yes), leased, func(in *input) { in.Leases.Granted-- }), reason: "no-grant"},
		{name: "nor that of the epoch in a revoked one", in: given(onActive, phase(cluster.PhaseRevoked, b, a), mineRO(cluster.Yes), leased,
			memory(func(m *reconcile.Memory) { m.Ready = cluster.Order{Epoch: 5, Version: 3} }), drained), deed: cluster.DeedDrained},
		{name: "what is open stays open until its grant is renewed", in: given(onActive, leased, func(in *input) { in.Leases.Granted-- }), deed: cluster.DeedOpen},

		{name: "a proof by leases holds with the lock only",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), proof(cluster.ProofLease), drained, leased), reason: "no-lock"},
		{name: "and opens with it",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), proof(cluster.ProofLease), drained, leased,
				func(in *input) { in.Leases.LockOver = true }), steps: kinds(reconcile.Open)},
		{name: "another proof needs no lock",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), drained, leased), steps: kinds(reconcile.Open)},
		{name: "the one whose leases were over is closed in full all the same",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.ProofLease)), steps: kinds(reconcile.Close)},

		{name: "an active that somebody has just closed stays so", in: given(onActive, mineRO(cluster.Yes), shut(0)), reason: "shut"},
		{name: "almost for the whole time", in: given(onActive, mineRO(cluster.Yes), shut(reconcile.ReopenAfter-1)), reason: "shut"},
		{name: "and no longer", in: given(onActive, mineRO(cluster.Yes), shut(reconcile.ReopenAfter)), steps: kinds(reconcile.Open)},
		{name: "also under the next record", in: given(onActive, mineRO(cluster.Yes), shut(0), func(in *input) { in.Record.Version++ }), reason: "shut"},
		{name: "nor when a switchover was taken back", in: given(onActive, mineRO(cluster.Yes), shut(0), func(in *input) { in.Record.Version += 2 }), steps: kinds(reconcile.Open)},
		{name: "nor in another epoch", in: given(onActive, mineRO(cluster.Yes), shut(0), func(in *input) { in.Record.Epoch++ }), steps: kinds(reconcile.Open)},
		{name: "an open one is none", in: given(onActive, shut(0)), deed: cluster.DeedOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := reconcile.Decide(c.in)
			if !slices.Equal(kindsOf(p), c.steps) || p.Reason.Code != c.reason || p.Deed != c.deed {
				t.Errorf("steps %v, reason %q, deed %q; want %v, %q, %q", kindsOf(p), p.Reason.Code, p.Deed, c.steps, c.reason, c.deed)
			}
		})
	}
}

func TestThePersonIsToldHowLongAShutServerWaits(t *testing.T) {
	p := reconcile.Decide(given(onActive, mineRO(cluster.Yes), shut(1500*time.Millisecond)))
	if want := "was closed by somebody else: opened again in 4 s unless the record changes"; p.Reason.Text != want {
		t.Errorf("reason %q, want %q", p.Reason.Text, want)
	}
}

func TestClosingWithoutALeaseIsWantedByEveryRecord(t *testing.T) {
	now := given(onActive).Record
	for _, k := range kinds(reconcile.CloseAlone, reconcile.QueueAlone) {
		if !reconcile.Wants(k, a, now, now) || !reconcile.Wants(k, a, now, cluster.Assignment{}) {
			t.Errorf("%s is not wanted", k)
		}
	}
}
