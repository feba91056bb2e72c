package failover

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// heard is when a numbered record was last seen to change, on our own clock.
type heard struct {
	run string
	seq uint64
	at  time.Duration
	// soonest is by how much our clock is ahead of that of the run, with the way here of the
	// view that came fastest, and before that of the stretch before the one begun at turned.
	soonest, before, turned time.Duration
}

// stretch is for how long the fastest view tells how late others are. A delay is told from
// a clock that stood still, as in a machine that was suspended, by its end.
const stretch = 10 * time.Second

// view is h after a view o was heard of at an instant of our clock.
func (h heard) view(o *cluster.Observation, at time.Duration) heard {
	ahead := at - milliseconds(o.EndedMS)
	switch {
	case h.run != o.Run:
		h.soonest, h.before, h.turned = ahead, ahead, at
	case at-h.turned >= stretch:
		h.soonest, h.before, h.turned = ahead, h.soonest, at
	default:
		h.soonest = min(h.soonest, ahead)
	}
	h.run, h.seq, h.at = o.Run, o.Seq, at
	return h
}

// ahead is by how much our clock is ahead of that of the view o, of which h was heard, or
// less. A view may have lain in a connection that was cut and tells then of what was.
func (h heard) ahead(o *cluster.Observation) time.Duration {
	return min(h.at-milliseconds(o.EndedMS), h.soonest, h.before)
}

// full is when the newest full sample of the view o began, or earlier.
func (h heard) full(o *cluster.Observation) time.Duration {
	return h.ahead(o) + milliseconds(o.FullMS)
}
