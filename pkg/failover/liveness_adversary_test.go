package failover

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// TestTheEndIsSteady lets anything happen, restarts of identify included, and
// then nothing bad any more: both servers answer, none with a transaction of its
// own, and the agent does what the record asks. However it began, somebody must be open in the end.
func TestTheEndIsSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.policy.FailoverBlock = time.Duration(rapid.IntRange(0, 3).Draw(t, "block")) * time.Second
		w.policy.Unfenced = rapid.SampledFrom([]Unfenced{UnfencedAuto, UnfencedWait, UnfencedRisk}).Draw(t, "unfenced")
		w.policy.Failback = rapid.SampledFrom([]Failback{FailbackFollow, FailbackAuto, FailbackManual}).Draw(t, "failback")
		w.policy.FailbackAfter = time.Duration(rapid.IntRange(0, 4).Draw(t, "failback_after")) * time.Second
		w.policy.MaxLoss = rapid.SampledFrom([]int64{-1, 0, 2}).Draw(t, "max_loss")
		node := rapid.SampledFrom([]cluster.Endpoint{"a:1", "b:1"})
		_ = w.observe("a:1", "", map[string]string{"ro": "0", "exec": "0-1-10", "id": "1", "source": "b", "io": "Yes", "sql": "Yes"})
		_ = w.observe("b:1", "", map[string]string{"ro": "1", "exec": "0-1-10", "id": "2", "source": "a", "io": "Yes", "sql": "Yes"})
		for range rapid.IntRange(5, 80).Draw(t, "steps") {
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				w.state = State{}
			}
			if rapid.IntRange(0, 29).Draw(t, "restore") == 0 && w.saved.Exists() {
				w.view.Snapshot.Assignment = w.saved.Clone()
			}
			act(t, w, node)
			w.decide()
		}
		if !heal(w) {
			rec := w.view.Snapshot.Assignment
			t.Fatalf("stuck in %s at %s (active %q) by rule %s: %s: %s", rec.Phase, rec.Order(), rec.Active,
				w.last.Rule, w.last.Verdict.Reason.Code, w.last.Verdict.Reason)
		}
	})
}

// heal plays a minute without faults and reports whether it ended in a steady
// pair whose active is open under the order in force.
func heal(w *world) bool {
	for range 120 {
		w.now += 500 * time.Millisecond
		rec := w.view.Snapshot.Assignment
		for _, n := range w.policy.Pair.Members() {
			other := w.policy.Pair.Other(n)
			exec := "0-1-30"
			if rec.Phase == cluster.PhaseRevoked && rec.To == n {
				exec = "0-1-13" // it receives nothing meanwhile
			}
			seen := map[string]string{"exec": exec, "ro": "1", "io": "Yes", "sql": "Yes", "delay": "0", "source": string(other.Host())}
			if rec.Active == n && rec.Phase != cluster.PhaseSwitching {
				seen["ro"] = "0"
			}
			_ = w.observe(n, cluster.CauseNone, seen)
			if w.obeys(n) {
				_ = w.report(n, map[string]string{"deed": "closed", "exec": exec})
				switch {
				case rec.Active == n && rec.Phase != cluster.PhaseSwitching:
					_ = w.report(n, map[string]string{"deed": "open"})
				case rec.To == n && rec.Phase == cluster.PhaseRevoked:
					_ = w.report(n, map[string]string{"deed": "drained"})
				case rec.To == n && rec.Phase == cluster.PhaseSwitching:
					_ = w.report(n, map[string]string{"deed": "caught_up"})
				}
			} else {
				was := w.view.Snapshot.Reports[n]["agent"]
				_ = w.report(n, nil)
				r := w.view.Snapshot.Reports[n]["agent"]
				r.Order, r.Remembers = was.Order, was.Remembers
				w.view.Snapshot.Reports[n]["agent"] = r
			}
		}
		for range 5 {
			w.decide()
		}
	}
	rec := w.view.Snapshot.Assignment
	r := w.view.Snapshot.Reports[rec.Active]["agent"]
	return rec.Phase == cluster.PhaseSteady && r.Deed == cluster.DeedOpen && r.Order.Epoch == rec.Epoch
}

// obeys reports whether the agent of n obeys the record: not an older one than
// it remembers, nor another one of the same number.
func (w *world) obeys(n cluster.Endpoint) bool {
	rec, mine := w.view.Snapshot.Assignment, w.view.Snapshot.Reports[n]["agent"].Remembers
	if !rec.Exists() {
		return false
	}
	return !mine.Exists() || mine.Order().Before(rec.Order()) || mine.Order() == rec.Order() &&
		mine.Phase == rec.Phase && mine.Active == rec.Active && mine.From == rec.From && mine.To == rec.To
}
