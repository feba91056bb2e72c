package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfLoss are of what a record tells of what a failover left behind.
var storiesOfLoss = []story{
	{"what a view showed is not told", async, "I15", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.g.known = 2
		h.promote(cluster.RiskRefused)
	}},
	{"the old active is back with what is not told", async, "I15", func(h *history) {
		h.uncompared()
		h.g.untold = 1
		h.lossKnown()
	}},
	{"the old active is back with what a person has written to it", async, "", func(h *history) {
		h.uncompared()
		h.interferes(ja, 900)
		h.g.untold = 1
		h.lossKnown()
	}},
	{"the old active is compared", async, "", func(h *history) {
		h.uncompared()
		h.lossKnown()
	}},
	{"the old active is compared twice", async, "I15", func(h *history) {
		h.uncompared()
		h.lossKnown()
		h.lossKnown()
	}},
	{"rows of a longer time than max_loss are left behind", Promise{MaxLoss: -1, MaxLossAge: time.Second}, "I2", func(h *history) {
		h.write(ja)
		h.t += 2 * time.Second
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.ProofFenced)
	}},
	{"rows of no longer time than max_loss are left behind", Promise{MaxLoss: -1, MaxLossAge: time.Second}, "", func(h *history) {
		h.write(ja)
		h.t += time.Second / 2
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.ProofFenced)
	}},
}

// uncompared is a failover whose old active has not been compared.
func (h *history) uncompared() {
	h.die(ja)
	h.failover(ja, jb, cluster.ProofFenced)
	h.rec.Estimated, h.rec.Loss = true, "at least"
}

// lossKnown compares the old active.
func (h *history) lossKnown() {
	next := h.rec.Clone()
	next.Version++
	next.Estimated, next.Loss = false, "so much"
	h.change("loss known", next)
}
