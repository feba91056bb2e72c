package failover

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A passive that replicates is not told that nobody has seen it do so.
func TestAPassiveThatReplicatesIsNotYetCounted(t *testing.T) {
	s := &situation{rec: cluster.Assignment{Epoch: 2}}
	active, passive := &member{node: "a:1", life: alive}, &member{node: "b:1", life: alive, known: true}
	const unseen = "b:1 has not been seen replicating from a:1 in epoch 2, or not since it was away, and may lack what a:1 took: it waits for a:1, or for a person (mmmctl failover)"
	if got := s.notEligible(active, passive).Text; got != unseen {
		t.Errorf("it does not replicate: %q", got)
	}
	passive.server.Channel = cluster.Channel{Configured: true, Source: "a:1", IO: cluster.ThreadYes, SQL: cluster.ThreadYes}
	if got := s.notEligible(active, passive).Text; got != "b:1 replicates from a:1 and is not yet counted as caught up in epoch 2" {
		t.Errorf("it replicates: %q", got)
	}
	active.life = dead
	if got := s.notEligible(active, passive).Text; got != unseen {
		t.Errorf("the active is dead: %q", got)
	}
}
