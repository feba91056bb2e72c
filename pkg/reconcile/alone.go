package reconcile

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// ReopenAfter is how long an active that somebody else has closed stays closed.
// That was an agent which obeys a newer record, or another Redis, or a person: the
// change of role that follows shows within it, and a mistake costs no more than it.
const ReopenAfter = 5 * time.Second

// alone reports whether the server may be open and no lease keeps it so, whatever
// the record says.
func (in *Input) alone() bool {
	if !in.Leases.Used || in.Leases.Keep || safeguard.Off(safeguard.LoneClosing) || in.Mine.Closed() || in.Mine.Began == 0 {
		return false
	}
	if in.Mine.Answers() {
		return in.Memory.Connected && in.Mine.Open()
	}
	return in.Memory.Spare && !in.Memory.Queued
}

// closingAlone closes a server that no lease keeps open. One that does not answer is
// to close itself first when it does.
func (in *Input) closingAlone() Plan {
	if in.Mine.Answers() {
		return Plan{}.with(step(CloseAlone, "", whyAlone))
	}
	return in.unreachable().with(step(QueueAlone, "", whyAlone))
}
