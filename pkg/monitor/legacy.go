package monitor

import (
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// legacy is the predecessor's check for the record o; nil when nothing is to be
// said to it. ping is 0 for a dead server only: a refused port, or silence that
// has lasted. A server that answers with an error has ping 1. Where our own
// network is at fault as likely as the server, the check is left to age.
func (w *Watch) legacy(o cluster.Observation, now time.Duration) *cluster.LegacyCheck {
	unknown := cluster.LegacyCheck{ReplCheck: "Error", ReadOnly: -1, DelaySec: -1, ConnNums: -1}
	switch {
	case o.Cause == cluster.CauseUnreachable:
		return nil
	case o.Cause.MayBeDead():
		dead := now >= w.markAt() || o.Cause == cluster.CauseRefused && w.pinned.link == 0
		if !dead {
			return nil
		}
		return &unknown
	case !o.Answered():
		unknown.Ping = true
		return &unknown
	case w.rec.full == 0:
		return nil
	}
	c := legacyOf(o.Server, w.set.Other)
	return &c
}

// legacyOf words a sample as the predecessor does: Error when the threads are
// not both Yes or the source is not the other member. Its read_only is 1, 0 or
// -1, its delay 0 for caught up and -1 for unknown.
func legacyOf(s cluster.Server, other cluster.Endpoint) cluster.LegacyCheck {
	c := cluster.LegacyCheck{Ping: true, ReadOnly: -1, DelaySec: -1, ConnNums: s.Sessions, ReplCheck: "Error"}
	switch s.ReadOnly {
	case cluster.Yes:
		c.ReadOnly = 1
	case cluster.No:
		c.ReadOnly = 0
	}
	if s.Channel.Configured && s.Channel.Delay >= 0 {
		c.DelaySec = s.Channel.Delay
	}
	if s.Channel.Replicates(other) && c.DelaySec >= 0 {
		c.ReplCheck = "OK"
		if c.DelaySec > 0 {
			c.ReplCheck = "Delay " + strconv.FormatInt(c.DelaySec, 10) + " Seconds"
		}
	}
	return c
}

// stamp dates c with the wall clock of this machine.
func stamp(c *cluster.LegacyCheck, wall func() time.Time) *cluster.LegacyCheck {
	if c == nil {
		return nil
	}
	dated := *c
	dated.LastCheck = wall().Unix()
	return &dated
}
