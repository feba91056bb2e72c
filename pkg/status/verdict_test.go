package status

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A verdict outlives its leader by half a minute, and is older than a pause that has just begun.
func TestAVerdictPromisesNothingThatNobodyWouldDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cluster.Snapshot)
		want   bool
	}{
		"all is well":        {func(*cluster.Snapshot) {}, true},
		"its leader is gone": {func(s *cluster.Snapshot) { s.Leader = cluster.Leader{} }, false},
		"a pause has begun":  {func(s *cluster.Snapshot) { s.Pause = &cluster.Pause{Actor: "dba@jump"} }, false},
		"something is amiss": {func(s *cluster.Snapshot) { s.Verdict.Blockers = []cluster.Reason{{Code: "not-eligible", Text: "no"}} }, false},
	} {
		r := sceneReport(t, func(_ *Subject, s *cluster.Snapshot) { c.change(s) })
		var tree strings.Builder
		if err := Tree(&tree, r, Style{}); err != nil {
			t.Fatal(err)
		}
		if got := r.Tags[0].Verdict.WouldFailOver; got != c.want || strings.Contains(tree.String(), "would fail over to") != c.want {
			t.Errorf("%s: would fail over: %v, want %v\n%s", name, got, c.want, tree.String())
		}
	}
}
