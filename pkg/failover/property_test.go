package failover

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// TestInvariants feeds random facts and checks the package's invariants on
// every change that is decided.
func TestInvariants(t *testing.T) {
	seen := map[string]int{}
	unseen := func() []string {
		return slices.DeleteFunc([]string{"first-start", "failover", "promote", "opened", "switchover", "commit", "roll-back", "give-back", "rebuild",
			"eligible", "fail-back", "override"}, func(rule string) bool { return seen[rule] > 0 })
	}
	// Some rules are come to in a few of a hundred schedules.
	for range 5 {
		if rapid.Check(t, func(t *rapid.T) { randomFacts(t, seen) }); len(unseen()) == 0 {
			break
		}
	}
	for _, rule := range unseen() {
		t.Errorf("no schedule came to rule %s: the search is blind", rule)
	}
	t.Log(seen)
}

// randomFacts is one schedule; what it came to is counted in seen.
func randomFacts(t *rapid.T, seen map[string]int) {
	w := newWorld()
	w.policy.FailoverBlock = time.Duration(rapid.IntRange(0, 3).Draw(t, "block")) * time.Second
	w.policy.Unfenced = rapid.SampledFrom([]Unfenced{UnfencedAuto, UnfencedWait, UnfencedRisk}).Draw(t, "unfenced")
	w.policy.Failback = rapid.SampledFrom([]Failback{FailbackFollow, FailbackAuto, FailbackManual}).Draw(t, "failback")
	w.policy.FailbackAfter = time.Duration(rapid.IntRange(0, 4).Draw(t, "failback_after")) * time.Second
	node := rapid.SampledFrom([]cluster.Endpoint{"a:1", "b:1"})
	ro := map[bool][2]string{false: {"0", "1"}, true: {"1", "0"}}[rapid.Bool().Draw(t, "the other is open")]
	_ = w.observe("a:1", "", map[string]string{"ro": ro[0], "exec": "0-1-10", "id": "1", "source": "b", "io": "Yes", "sql": "Yes"})
	_ = w.observe("b:1", "", map[string]string{"ro": ro[1], "exec": "0-1-10", "id": "2", "source": "a", "io": "Yes", "sql": "Yes"})
	if rapid.Bool().Draw(t, "away from home") {
		w.view.Snapshot.Assignment = cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: "b:1", Passive: "a:1", Eligible: []cluster.Endpoint{"a:1"}}
		_ = w.report("a:1", map[string]string{"deed": "closed"})
		_ = w.report("b:1", map[string]string{"deed": "open"})
	}
	highest := cluster.Epoch(0)
	for range rapid.IntRange(10, 120).Draw(t, "steps") {
		act(t, w, node)
		before := w.view.Snapshot.Assignment.Clone()
		reports := w.view.Snapshot.Reports
		was := w.view.Snapshot.Request
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
		if err := mayReturn(before, next, was, w); d.Rule == "fail-back" && err != nil {
			t.Fatalf("fail-back: %v\nbefore %+v\nafter  %+v", err, before, next)
		}
		if next.Epoch < highest {
			t.Fatalf("rule %s: epoch %d after %d", d.Rule, next.Epoch, highest)
		}
		highest = next.Epoch
	}
}

// act changes one fact, drawn so that whole stories happen often enough.
func act(t *rapid.T, w *world, nodes *rapid.Generator[cluster.Endpoint]) {
	node := nodes.Draw(t, "node")
	other := w.policy.Pair.Other(node)
	rec := w.view.Snapshot.Assignment
	switch rapid.IntRange(0, 22).Draw(t, "act") {
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
	case 16:
		_ = w.observe(node, "", map[string]string{"users": rapid.SampledFrom([]string{"", "app", "app,batch", "root"}).Draw(t, "users")})
	case 17:
		if w.view.Snapshot.Request == nil || w.view.Snapshot.Request.State.Ended() {
			line := []string{"override", string(node.Host())}
			if rapid.Bool().Draw(t, "force") {
				line = append(line, "force")
			}
			_ = w.line(line)
		}
	case 18:
		if rapid.IntRange(0, 3).Draw(t, "pause") == 0 {
			_ = w.line([]string{"pause"})
		} else {
			_ = w.line([]string{"resume"})
		}
	case 19:
		// A row as the agent writes it, or one that the record knows nothing of.
		epoch := rec.Epoch + cluster.Epoch(rapid.IntRange(0, 9).Draw(t, "ahead")/9)
		if rec.Active != "" && epoch > 0 {
			_ = w.observe(rec.Active, "", map[string]string{"mark": fmt.Sprintf("%d,%s", epoch, rec.Active.Host())})
		}
	case 20, 21, 22:
		// Both are well for a while, and a client is on either.
		_ = w.line([]string{"resume"})
		for range rapid.IntRange(1, 8).Draw(t, "samples") {
			w.now += time.Second
			for _, n := range w.policy.Pair.Members() {
				ro := "1"
				if n == rec.Active {
					ro = "0"
				}
				_ = w.observe(n, "", map[string]string{"users": "app", "exec": "0-1-12", "io": "Yes", "sql": "Yes", "delay": "0", "ro": ro, "source": string(w.policy.Pair.Other(n).Host())})
				_ = w.report(n, nil)
			}
			w.decide()
		}
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
	if next.Proof == cluster.ProofOperator && before.Cause != cluster.CauseOverride && before.Cause != cluster.CauseForced {
		return fmt.Errorf("an operator's word in place of a proof where none was asked for it")
	}
	if next.Proof.IsRisk() && next.Proof != cluster.ProofOperator && w.policy.Unfenced == UnfencedWait && w.last.Rule == "promote" {
		return fmt.Errorf("a risk was taken under unfenced=wait")
	}
	if w.last.Rule == "give-back" {
		return nil
	}
	if ready := reports[next.Active]["agent"].Ready; before.Cause != cluster.CauseForced && !atLeast(ready, before.Order()) {
		return fmt.Errorf("%s is opened without having applied everything under %s", next.Active, before.Order())
	}
	return nil
}

// mayReturn checks what must hold at the moment at which a fail-back begins.
func mayReturn(before, next cluster.Assignment, request *cluster.Request, w *world) error {
	snap, primary := w.view.Snapshot, w.policy.Pair.Primary
	passive := snap.Observations[primary]["m"]
	switch {
	case w.policy.Failback == FailbackManual:
		return fmt.Errorf("failback=manual")
	case snap.Pause != nil:
		return fmt.Errorf("during a pause")
	case request != nil && !request.State.Ended():
		return fmt.Errorf("beside a request that is %s", request.State)
	case before.Blocked && w.policy.FailoverBlock > 0:
		return fmt.Errorf("while failover_block holds")
	case before.Phase != cluster.PhaseSteady || before.Active == primary || !before.IsEligible(primary):
		return fmt.Errorf("not from a steady record with an eligible primary host")
	case next.Phase != cluster.PhaseSwitching || next.To != primary || next.Epoch != before.Epoch || next.Cause != cluster.CauseFailback || next.Actor != "identify me":
		return fmt.Errorf("not a planned change to the primary host by identify")
	case !passive.Answered() || !passive.Server.Channel.Replicates(before.Active) || passive.Server.Channel.Delay > WholeLag:
		return fmt.Errorf("to a server that is not well: %+v", passive)
	case w.policy.Failback == FailbackFollow && len(passive.Server.Users) == 0:
		return fmt.Errorf("without a client")
	}
	return nil
}
