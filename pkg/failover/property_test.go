package failover

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// TestInvariants feeds random facts and checks the package's invariants on
// every change that is decided.
func TestInvariants(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.policy.FailoverBlock = time.Duration(rapid.IntRange(0, 3).Draw(t, "block")) * time.Second
		w.policy.Unfenced = rapid.SampledFrom([]Unfenced{UnfencedAuto, UnfencedWait, UnfencedRisk}).Draw(t, "unfenced")
		node := rapid.SampledFrom([]cluster.Endpoint{"a:1", "b:1"})
		_ = w.observe("a:1", "", map[string]string{"ro": "0", "exec": "0-1-10", "id": "1", "source": "b", "io": "Yes", "sql": "Yes"})
		_ = w.observe("b:1", "", map[string]string{"ro": "1", "exec": "0-1-10", "id": "2", "source": "a", "io": "Yes", "sql": "Yes"})
		highest := cluster.Epoch(0)
		for range rapid.IntRange(10, 120).Draw(t, "steps") {
			act(t, w, node)
			before := w.view.Snapshot.Assignment.Clone()
			reports := w.view.Snapshot.Reports
			again, first := Decide(w.state, w.view, w.policy, w.now)
			_ = again
			d := w.decide()
			if first.Rule != d.Rule {
				t.Fatalf("the same question was answered by %s and %s", first.Rule, d.Rule)
			}
			if d.Again <= 0 {
				t.Fatalf("rule %s asks to be called again after %s", d.Rule, d.Again)
			}
			if d.Verdict.Reason.Code == "" || d.Verdict.Reason.Text == "" {
				t.Fatalf("rule %s gives no reason", d.Rule)
			}
			if d.Transition == nil {
				continue
			}
			next := d.Transition.Next
			seen[d.Rule]++
			if err := lawful(before, next, reports, w); err != nil {
				t.Fatalf("rule %s: %v\nbefore %+v\nafter  %+v", d.Rule, err, before, next)
			}
			if next.Epoch < highest {
				t.Fatalf("rule %s: epoch %d after %d", d.Rule, next.Epoch, highest)
			}
			highest = next.Epoch
		}
	})
	for _, rule := range []string{"first-start", "failover", "promote", "opened", "switchover", "commit", "roll-back", "give-back", "rebuild", "eligible"} {
		if seen[rule] == 0 {
			t.Errorf("no schedule came to rule %s: the search is blind", rule)
		}
	}
	t.Log(seen)
}

// act changes one fact, drawn so that whole stories happen often enough.
func act(t *rapid.T, w *world, nodes *rapid.Generator[cluster.Endpoint]) {
	node := nodes.Draw(t, "node")
	other := w.policy.Pair.Other(node)
	rec := w.view.Snapshot.Assignment
	switch rapid.IntRange(0, 15).Draw(t, "act") {
	case 0:
		w.now += time.Duration(rapid.IntRange(1, 4000).Draw(t, "ms")) * time.Millisecond
	case 1, 2:
		_ = w.observe(node, "", map[string]string{"io": "Yes", "sql": "Yes", "delay": "0"})
	case 3:
		w.now += 2 * time.Second
		_ = w.observe("a:1", "", nil)
		_ = w.observe("b:1", "", nil)
	case 4, 5:
		_ = w.observe(node, cluster.CauseRefused, map[string]string{"broken": "yes"})
		_ = w.observe(other, "", map[string]string{"io": "Connecting"})
	case 6:
		cause := rapid.SampledFrom([]cluster.Cause{cluster.CauseAnswerTimeout, cluster.CauseConnectTimeout, cluster.CauseAccessDenied}).Draw(t, "cause")
		_ = w.observe(node, cause, nil)
	case 7:
		_ = w.observe(node, "", map[string]string{"exec": fmt.Sprintf("0-1-%d", rapid.IntRange(10, 13).Draw(t, "seq"))})
	case 8:
		_ = w.report(node, map[string]string{"deed": "closed", "exec": "0-1-12"})
	case 9:
		_ = w.report(node, map[string]string{"deed": "drained", "exec": "0-1-12"})
	case 10:
		_ = w.report(node, map[string]string{"deed": "open"})
	case 11:
		_ = w.report(node, map[string]string{"deed": rapid.SampledFrom([]string{"unreachable", "refused", "failed"}).Draw(t, "deed")})
	case 12:
		if w.view.Snapshot.Request == nil || w.view.Snapshot.Request.State.Ended() {
			_ = w.line([]string{"request", string(node.Host())})
		}
	case 13:
		if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
			w.view.Snapshot.Assignment = cluster.Assignment{}
		}
	case 14:
		w.saved = rec.Clone()
	case 15:
		// An obedient agent: does what the record asks.
		for _, n := range w.policy.Pair.Members() {
			switch {
			case rec.Active == n && rec.Phase != cluster.PhaseSwitching:
				_ = w.report(n, map[string]string{"deed": "open", "exec": "0-1-12"})
			case rec.To == n:
				_ = w.report(n, map[string]string{"deed": "drained", "exec": "0-1-12"})
			default:
				_ = w.report(n, map[string]string{"deed": "closed", "exec": "0-1-12"})
			}
		}
	}
}

// lawful checks one change of the record against the invariants of doc.go.
func lawful(before, next cluster.Assignment, reports map[cluster.Endpoint]map[string]cluster.Report, w *world) error {
	if !before.Order().Before(next.Order()) {
		return fmt.Errorf("order %s does not come after %s", next.Order(), before.Order())
	}
	if next.Active == "" != (next.Phase == cluster.PhaseRevoked) {
		return fmt.Errorf("active %q in phase %s", next.Active, next.Phase)
	}
	if next.Active != "" && next.Active == next.Passive {
		return fmt.Errorf("active and passive are the same")
	}
	moved := before.Exists() && next.Active != "" && before.Active != next.Active
	if !moved || w.last.Rule == "rebuild" {
		return nil
	}
	if len(reports) == 0 {
		return nil // the predecessor's agent: nothing can be proved
	}
	if next.Phase != cluster.PhaseOpening {
		return fmt.Errorf("the role moved from %q to %s in phase %s", before.Active, next.Active, next.Phase)
	}
	if before.Active != "" && before.Phase != cluster.PhaseSwitching {
		return fmt.Errorf("the role moved away from %s without revoking it", before.Active)
	}
	old := before.From
	if w.last.Rule == "give-back" {
		old = next.Active // To was never opened; the old active itself must have acknowledged
	}
	if closed := reports[old]["agent"].Closed; !next.Proof.IsRisk() && !atLeast(closed, before.Order()) {
		return fmt.Errorf("proof %q, but nobody acknowledged %s closed under %s", next.Proof, old, before.Order())
	}
	if next.Proof.IsRisk() && w.policy.Unfenced == UnfencedWait && w.last.Rule == "promote" {
		return fmt.Errorf("a risk was taken under unfenced=wait")
	}
	if w.last.Rule == "give-back" {
		return nil
	}
	if ready := reports[next.Active]["agent"].Ready; !atLeast(ready, before.Order()) {
		return fmt.Errorf("%s is opened without having applied everything under %s", next.Active, before.Order())
	}
	return nil
}
