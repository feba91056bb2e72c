package world

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestJudgeCounts(t *testing.T) {
	h := begin(Promise{MaxLoss: -1, FailoverBlock: time.Second})
	h.write(ja)
	h.die(ja)
	h.failover(ja, jb, cluster.RiskHung)
	h.eligible(ja)
	h.t += time.Second
	h.unblock()
	h.switching()
	h.close(jb)
	h.commit()
	h.open(ja)
	h.steady()
	h.die(ja)
	h.override(ja, jb, causeOverride)
	h.promote(cluster.ProofOperator)
	h.override(jb, ja, causeForced)
	h.promote(cluster.ProofOperator)
	want := map[Counter]uint32{SawOverridden: 1, SawOverriddenForced: 1, SawRowsLost: 1, SawFailoverHung: 1, SawBlocked: 1, SawUnblocked: 1,
		SawEligibleAgain: 1, SawSwitchoverDone: 1, SawClosedByCrash: 2}
	for c := range countersEnd {
		if h.Seen[c] != want[c] {
			t.Errorf("%s: %d times, want %d", c, h.Seen[c], want[c])
		}
	}
	if v := h.Violation(); v != nil {
		t.Error(v)
	}
}
