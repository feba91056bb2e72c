package reconcile_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// A worker that is busy closing its server for longer than FreshFor takes no
// sample meanwhile; one that has no answer says so with a cause. So the last
// word of a server without a cause holds, however old it is.
func TestAnOpenPeerThatIsBeingClosedDoesNotBecomeUnknownByAge(t *testing.T) {
	in := given(onActive, mineRO(cluster.Yes), theirsRO(cluster.No), phase(cluster.PhaseOpening, b, a),
		proof(cluster.RiskRefused), func(in *input) { in.Theirs.At = in.Now - reconcile.FreshFor - time.Second })
	if p := reconcile.Decide(in); p.Has(reconcile.Open) {
		t.Errorf("opened beside a server whose last answer was read_only=0: %+v", p)
	}
}
