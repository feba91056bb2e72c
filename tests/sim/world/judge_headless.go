package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// beforeLong is how long a pair may be without anybody who takes writes: twice what it takes.
func (j *Judge) beforeLong() time.Duration { return 2 * (j.p.Silence + toReplace) }

// toReplace is how long a failover takes at most, in what was run, once a death is believed.
const toReplace = 700 * time.Millisecond

// Headless tells that the active e is dead since then, that nobody takes writes, and
// that nothing else is wrong now.
func (j *Judge) Headless(now time.Duration, e cluster.Endpoint, since time.Duration) {
	if j.lost || len(j.foreign) > 0 || j.m[0].halted || j.m[1].halted || now-since < j.beforeLong() {
		return
	}
	j.fail(now, "L3", "%s is dead since %s, and %s does not take over under %s %s", e, since, j.other(e), j.record.Order(), j.record.Phase)
}
