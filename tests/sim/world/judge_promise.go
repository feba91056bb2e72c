package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// Acknowledging is what a healed pair does for the writes that it acknowledges.
type Acknowledging struct {
	Record cluster.Assignment
	// Paused: an operator has paused the pair. Quarantined: its passive is rightly in quarantine.
	Paused, Quarantined bool
	// Unled: nobody leads, and nobody can: whoever has the lease is gone, and Redis, whose clock
	// was set back, keeps it for him.
	Unled bool
	// Waits: commits on the active wait for an acknowledgement.
	Waits bool
	// Receivers is how many servers acknowledge to the active; Passive reports whether its
	// passive does.
	Receivers int
	Passive   bool
}

// promising is since when a healed pair could keep what it promises, and since when it does;
// zero while it does not.
type promising struct{ since, kept time.Duration }

// toPromise is how long a pair that is well may take to keep its promise again: an agent could
// not have commits wait, so that they were let go and that is tried again much later;
// meanwhile a server was started, and all is seen in a sample or two.
const toPromise = failover.AwaitPatience + failover.AwaitAgain + failover.RelaxAfter + 8*time.Second

// Promises tells what a healed pair does for acknowledged writes. It reports whether nothing
// is waited for any more: the promise was kept for so long, or there is none that could be.
func (j *Judge) Promises(now time.Duration, a Acknowledging, long time.Duration) (done bool) {
	p := &j.promising
	broken := a.broken()
	switch {
	case !a.Record.Durability.Acknowledged() || a.Quarantined || a.Unled && broken != "":
		return true
	case a.Paused:
		*p = promising{}
		return false
	case p.since == 0:
		p.since = now
	}
	switch {
	case broken != "":
		p.kept = 0
		if now-p.since >= toPromise {
			j.fail(now, "L4", "%s is promised under %s, the pair is well since %s, and %s", a.Record.Durability, a.Record.Order(), p.since, broken)
		}
		return false
	case p.kept == 0:
		p.kept = now
	}
	if now-p.kept < long {
		return false
	}
	if p.kept != p.since {
		j.Seen.Count(SawPromiseBack)
	}
	return true
}

// broken is why acknowledged writes are not as safe as promised; empty when they are.
func (a Acknowledging) broken() string {
	switch r := a.Record; {
	case r.Phase != cluster.PhaseSteady:
		return "its phase is " + string(r.Phase)
	case !r.Waits:
		return "it says that no commit waits"
	case !r.IsEligible(r.Passive):
		return string(r.Passive) + " may not take over"
	case !a.Waits:
		return "commits on " + string(r.Active) + " do not wait"
	case !a.Passive:
		return string(r.Passive) + " does not acknowledge what it receives"
	case a.Receivers != 1:
		return "another server than " + string(r.Passive) + " acknowledges as well"
	}
	return ""
}
