package failover

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// steadyPair is a well pair on which an agent reports, decided on twice.
func steadyPair(tb testing.TB) *world {
	w := newWorld()
	w.view.Snapshot.Assignment = cluster.Assignment{Epoch: 7, Version: 3, Phase: cluster.PhaseSteady, Active: "a:1", Passive: "b:1",
		From: "b:1", To: "a:1", Eligible: []cluster.Endpoint{"b:1"}, Durability: cluster.Async}
	for _, err := range []error{
		w.observe("a:1", "", map[string]string{"ro": "0", "exec": "0-1-10,0-2-9", "id": "1", "source": "b", "io": "Yes", "sql": "Yes"}),
		w.observe("b:1", "", map[string]string{"ro": "1", "exec": "0-1-10,0-2-9", "id": "2", "source": "a", "io": "Yes", "sql": "Yes"}),
		w.report("a:1", map[string]string{"deed": "open"}),
		w.report("b:1", map[string]string{"deed": "closed"}),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	w.view.Desk = &Desk{}
	w.decide()
	if d := w.decide(); d.Rule != "hold" || len(d.Verdict.Blockers) > 0 {
		tb.Fatalf("rule %s, blockers %v", d.Rule, d.Verdict.Blockers)
	}
	return w
}

func BenchmarkDecide(b *testing.B) {
	w := steadyPair(b)
	b.ReportAllocs()
	for b.Loop() {
		w.now += time.Millisecond
		w.state, w.last = Decide(w.state, w.view, w.policy, w.now)
	}
}
