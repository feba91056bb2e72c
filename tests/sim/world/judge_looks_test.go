package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfLooks are of what monitors see.
var storiesOfLooks = []story{
	{"one of three monitors loses the active", Promise{MaxLoss: -1, Monitors: 3}, "I6", func(h *history) {
		h.Trouble(0)
		h.Looked(h.tick(), "m1", ja, false)
		h.Looked(h.tick(), "m2", ja, true)
		h.Looked(h.tick(), "m3", ja, true)
		h.failover(ja, jb, cluster.RiskSilent)
	}},
	{"two of three monitors lose the active", Promise{MaxLoss: -1, Monitors: 3}, "", func(h *history) {
		h.Trouble(0)
		h.Looked(h.tick(), "m1", ja, false)
		h.Looked(h.tick(), "m2", ja, false)
		h.Looked(h.tick(), "m2", ja, true)
		h.Looked(h.tick(), "m3", ja, true)
		h.failover(ja, jb, cluster.RiskSilent)
	}},
	{"the monitors that had its answers have said nothing since", Promise{MaxLoss: -1, Monitors: 3}, "", func(h *history) {
		h.Trouble(0)
		h.Looked(h.tick(), "m2", ja, true)
		h.Looked(h.tick(), "m3", ja, true)
		h.t += newAnswer
		h.failover(ja, jb, cluster.RiskSilent)
	}},
	{"they see the passive alone", Promise{MaxLoss: -1, Monitors: 3}, "", func(h *history) {
		h.Trouble(0)
		h.Looked(h.tick(), "m2", jb, true)
		h.Looked(h.tick(), "m3", jb, true)
		h.failover(ja, jb, cluster.RiskSilent)
	}},
}
