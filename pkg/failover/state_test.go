package failover

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestReportsOfTheLastAgentAreKept(t *testing.T) {
	w := newWorld()
	put := func(agent string, seq uint64) {
		if w.view.Snapshot.Reports["a:1"] == nil {
			w.view.Snapshot.Reports["a:1"] = map[string]cluster.Report{}
		}
		w.view.Snapshot.Reports["a:1"][agent] = cluster.Report{Agent: agent, Seq: seq}
	}
	put("old", 1)
	w.decide()
	w.now += 2 * time.Hour
	w.decide()
	if gone := w.state.Gone(w.view.Snapshot, time.Minute, w.now); len(gone) != 0 {
		t.Errorf("the only report of a:1 is gone: %v", gone)
	}
	if m := newSituation(&w.state, w.view, w.policy, w.now).m["a:1"]; m.hasAgent() {
		t.Error("an agent that said nothing for two hours counts as there")
	}
	put("new", 1)
	w.decide()
	gone := w.state.Gone(w.view.Snapshot, time.Minute, w.now)
	if len(gone) != 1 || gone[0].Agent != "old" || gone[0].Node != "a:1" {
		t.Errorf("gone is %v, want the old agent's report", gone)
	}
}
