package failover

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestWayOutNamesTheCommandOfABlockAndOfTheBreaker(t *testing.T) {
	snap := cluster.Snapshot{
		Assignment: cluster.Assignment{Epoch: 2, Version: 1, Phase: cluster.PhaseSteady, Active: "a:1", Passive: "b:1", Eligible: []cluster.Endpoint{"b:1"}},
		Observations: map[cluster.Endpoint]map[string]cluster.Observation{
			"a:1": {"m": {Cause: cluster.CauseConnectTimeout}}, "b:1": {"m": {}},
		},
	}
	for code, want := range map[string]string{
		Blocked: "mmmctl acknowledge --tag t lifts the block",
		Breaker: "goes on by itself when fewer pairs are silent",
	} {
		snap.Verdict = &cluster.Verdict{Held: true, Reason: cluster.Reason{Code: ActiveDead}, Blockers: []cluster.Reason{{Code: code}}}
		said := strings.Join(WayOut("t", snap), "\n")
		for _, w := range []string{want, "mmmctl failover --tag t --to b:1"} {
			if !strings.Contains(said, w) {
				t.Errorf("%s: no %q in\n%s", code, w, said)
			}
		}
		snap.Verdict.Blockers = nil
		if said := strings.Join(WayOut("t", snap), "\n"); strings.Contains(said, want) {
			t.Errorf("%s is named where it holds nothing:\n%s", code, said)
		}
	}
}
