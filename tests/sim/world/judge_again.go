package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Again tells that the pair is well under a record and both servers have the same, and that other
// faults are about to happen to it, leaps of clocks among them or not. It reports
// whether the promises hold anew: what had to be excused has come to its end. Two
// Redis masters never do, nor a record that is older than one that somebody may remember.
func (j *Judge) Again(now time.Duration, a cluster.Assignment, leaps bool) bool {
	if j.forked || a.Order() != j.top.Order() || a.Order().Before(j.newest) {
		return false
	}
	j.unnoted = j.unnoted || j.unwritten && j.lost
	if j.lost {
		j.lost, j.record, j.holder = false, a, a.Active
		j.actives[a.Epoch] = a.Active
		j.blocked, j.blockedAt = a.Blocked, now-j.p.FailoverBlock
	}
	if now-j.disturbed >= calmAgain {
		j.trouble, j.stalled = false, false
	}
	j.overslept, j.split, j.forgetful, j.foreign = false, false, false, nil
	j.p.Leaps = j.p.Leaps || leaps
	for i := range j.m {
		j.m[i].halted, j.m[i].risked = false, false
	}
	j.at(a.Active).how = ByAgent
	j.keeps(a.Active)
	j.lastOpen, j.settled = a.Active, max(j.settled, a.Epoch)
	return true
}
