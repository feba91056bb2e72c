package world

import (
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// tells judges what a record tells of what a failover left behind.
func (j *Judge) tells(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	switch ev.Kind {
	case kindPromoted:
		if n, ok := j.viewedLoss(after); ok && n > 0 && after.Left == "" {
			j.fail(now, "I15", "%s names %s, which lacks %d transactions that were known of %s, and tells of none: %s", after.Order(), after.Active, n, after.From, after.Loss)
		}
	case kindLossKnown:
		j.Seen.Count(SawLossKnown)
		if !before.Estimated || after.Estimated {
			j.fail(now, "I15", "what was left behind on %s is made known again under %s", after.Passive, after.Order())
		}
		if n := j.god.Untold(after.Passive, after.Active, after.Left); n > j.smuggledOn(after.Passive, after.Active) {
			j.fail(now, "I15", "%s has %d transactions that %s lacks beside those that %s tells of: %s", after.Passive, n, after.Active, after.Order(), after.Left)
		}
	}
}

// smuggledOn counts what people have written to e and other lacks: at any time, that
// after the comparison included.
func (j *Judge) smuggledOn(e, other cluster.Endpoint) int {
	n := 0
	for _, f := range j.foreign {
		if j.god.Has(e, f.row) && !j.god.Has(other, f.row) {
			n++
		}
	}
	return n
}

// viewedLoss counts what an automatic failover leaves behind although a view told of
// it. It is not known where the old active has come back meanwhile: views of that may
// have crossed the decision.
func (j *Judge) viewedLoss(after cluster.Assignment) (int, bool) {
	if after.Phase != cluster.PhaseOpening || !strings.HasPrefix(after.Cause, causeDeath) || after.From == "" || after.From == after.Active {
		return 0, false
	}
	if m := j.at(after.From); m.closedAt > j.topAt || m.startedAt > j.topAt {
		return 0, false
	}
	return j.god.Known(after.From, after.Active)
}
