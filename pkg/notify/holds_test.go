package notify

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A dead active that nobody can follow is named, not the server it had the role from.
func TestAHoldNamesTheLastActive(t *testing.T) {
	snap := cluster.Snapshot{
		Assignment: cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady,
			Active: "10.0.21.7:3308", Passive: "10.0.21.5:3308", From: "10.0.21.5:3308", To: "10.0.21.7:3308"},
		Verdict: &cluster.Verdict{Tag: "mysql3308", Held: true, Reason: cluster.Reason{Code: "nobody-left", Text: "both are dead"}},
	}
	nobody, held := (&pair{}).holds(snap)
	for _, subject := range []string{nobody.subject, held.subject} {
		if !strings.Contains(subject, "10.0.21.7:3308") || strings.Contains(subject, "10.0.21.5:3308") {
			t.Errorf("subject %q", subject)
		}
	}
}

// The first blocker is what the verdict itself says already.
func TestAHoldGivesItsReasonOnce(t *testing.T) {
	block := cluster.Reason{Code: "failover-block", Text: "the last automatic failover was in epoch 8"}
	snap := cluster.Snapshot{
		Assignment: cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: "10.0.21.7:3308", Passive: "10.0.21.5:3308"},
		Verdict: &cluster.Verdict{Tag: "mysql3308", Held: true, Reason: cluster.Reason{Code: "active-dead", Text: "it is dead; held: " + block.Text},
			Blockers: []cluster.Reason{block, {Code: "paused", Text: "paused by eve"}}},
	}
	_, held := (&pair{}).holds(snap)
	if strings.Count(held.body, block.Text) != 1 || !strings.Contains(held.body, "also         paused by eve") || strings.Contains(held.body, "steady") {
		t.Errorf("the mail:\n%s", held.body)
	}
}
