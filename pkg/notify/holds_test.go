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
