package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// strictly is a pair that promises semisync-strict, and an agent has seen to it that
// commits wait.
func (h *history) strictly() {
	h.promises(cluster.SemiSyncStrict, true)
	h.affirms(ja)
}

// promises has the record promise that, and commits wait or not.
func (h *history) promises(d cluster.Durability, waits bool) {
	next := h.rec.Clone()
	next.Version++
	next.Durability, next.Waits = d, waits
	h.change("durability", next)
}

// affirms has an agent see to it under the record that commits on e wait.
func (h *history) affirms(e cluster.Endpoint) {
	h.g.waits = true
	h.Affirmed(e, h.rec.Order())
}

// takesOver has b take over from a, which is dead, under the promise in force; its commits
// wait from the opening on or not.
func (h *history) takesOver(waits bool) {
	h.die(ja)
	h.change("revoked", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked,
		From: ja, To: jb, Cause: "failover: refused", Durability: h.rec.Durability, Waits: h.rec.Waits})
	h.promote(cluster.RiskRefused)
	h.g.waits = waits
	h.open(jb)
}

// storiesOfStrict are of what is acknowledged under semisync-strict.
var storiesOfStrict = []story{
	{"acknowledged under a strict promise, and not received", async, "I16", func(h *history) {
		h.strictly()
		h.write(ja)
	}},
	{"acknowledged under a strict promise, and received", async, "", func(h *history) {
		h.strictly()
		h.write(ja, jb)
	}},
	{"received, acknowledged, and destroyed by a crash between both", async, "", func(h *history) {
		h.strictly()
		h.g.has[ja][1] = true
		h.Received(h.tick(), jb, 1)
		h.RelayLost(h.tick(), jb)
		h.Acked(h.tick(), ja, 1)
	}},
	{"acknowledged under a strict promise before an agent has seen to it", async, "", func(h *history) {
		h.promises(cluster.SemiSyncStrict, true)
		h.write(ja)
	}},
	{"acknowledged under a strict promise that says that no commit waits", async, "", func(h *history) {
		h.promises(cluster.SemiSyncStrict, false)
		h.affirms(ja)
		h.write(ja)
	}},
	{"what an agent saw to before commits were to wait is no word on that", async, "", func(h *history) {
		before := h.rec.Order()
		h.promises(cluster.SemiSyncStrict, true)
		h.g.waits = true
		h.Affirmed(ja, before)
		h.write(ja)
	}},
	{"commits waited already when the promise became strict", async, "I16", func(h *history) {
		h.promises(cluster.SemiSync, true)
		since := h.rec.Order()
		h.promises(cluster.SemiSyncStrict, true)
		h.g.waits = true
		h.Affirmed(ja, since)
		h.write(ja)
	}},
	{"commits that had waited were let go, and waited for again, when the promise became strict", async, "", func(h *history) {
		h.promises(cluster.SemiSync, true)
		since := h.rec.Order()
		h.promises(cluster.SemiSync, false)
		h.promises(cluster.SemiSyncStrict, true)
		h.g.waits = true
		h.Affirmed(ja, since)
		h.write(ja)
	}},
	{"the record lets commits go under a strict promise", async, "I16", func(h *history) {
		h.strictly()
		h.promises(cluster.SemiSyncStrict, false)
		h.write(ja)
	}},
	{"acknowledged under semisync, whose commits wait", async, "", func(h *history) {
		h.promises(cluster.SemiSync, true)
		h.affirms(ja)
		h.write(ja)
	}},
	{"acknowledged since the record promises otherwise", async, "", func(h *history) {
		h.strictly()
		h.promises(cluster.SemiSync, true)
		h.write(ja)
	}},
	{"acknowledged by who has taken over, and not received", async, "I16", func(h *history) {
		h.strictly()
		h.takesOver(true)
		h.write(jb)
	}},
	{"acknowledged by who has taken over, and received", async, "", func(h *history) {
		h.strictly()
		h.takesOver(true)
		h.write(jb, ja)
	}},
	{"opened without waiting under a strict promise", async, "I16", func(h *history) {
		h.strictly()
		h.takesOver(false)
	}},
	{"opened without waiting under semisync", async, "", func(h *history) {
		h.promises(cluster.SemiSync, true)
		h.affirms(ja)
		h.takesOver(false)
	}},
	{"the active is started again and opened without waiting", async, "I16", func(h *history) {
		h.strictly()
		h.die(ja)
		h.g.waits = false
		h.open(ja)
	}},
	{"the active is started again, open by its option file, and acknowledges", restarts, "", func(h *history) {
		h.strictly()
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
	}},
	{"it does when an agent has seen to it again", restarts, "I16", func(h *history) {
		h.strictly()
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.affirms(ja)
		h.write(ja)
	}},
	{"it does when an agent had seen to it before the start", restarts, "", func(h *history) {
		h.strictly()
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.g.waits = false
		h.Affirmed(ja, h.rec.Order())
		h.write(ja)
	}},
	{"it does though the record names it anew", restarts, "", func(h *history) {
		h.strictly()
		h.die(ja)
		h.RedisFault(h.tick(), false)
		h.Open(h.tick(), ja, true, ByBoot)
		h.rebuild(h.rec, h.rec.Epoch+1)
		h.write(ja)
	}},
	{"a person opens the passive and writes to it", async, "", func(h *history) {
		h.strictly()
		h.console(jb)
		h.write(jb)
	}},
	{"acknowledged by the old active of a risk", async, "I16", func(h *history) {
		h.strictly()
		h.Trouble(0)
		h.change("revoked", cluster.Assignment{Epoch: 6, Version: 1, Phase: cluster.PhaseRevoked, From: ja, To: jb, Cause: "failover: timeout", Durability: h.rec.Durability})
		h.promote(cluster.RiskSilent)
		h.write(ja)
	}},
	{"acknowledged by the old active of an override, which never came to wait", async, "", func(h *history) {
		h.promises(cluster.SemiSyncStrict, true)
		h.Trouble(0)
		h.change("revoked", cluster.Assignment{Epoch: 6, Version: 1, Phase: cluster.PhaseRevoked, From: ja, To: jb, Cause: causeForced, Durability: h.rec.Durability, Waits: true})
		h.promote(cluster.ProofOperator)
		h.g.waits = true
		h.open(jb)
		h.steady()
		h.affirms(jb)
		h.write(ja)
	}},
	{"let go by an agent that was away, by a record to which Redis was set back", async, "", func(h *history) {
		h.Obeys(h.tick(), "2", h.rec)
		h.strictly()
		h.RedisFault(h.tick(), false)
		h.write(ja)
		h.t += unheard
		h.write(ja)
	}},
	{"and once more after an agent has seen to it again", async, "I16", func(h *history) {
		h.Obeys(h.tick(), "2", h.rec)
		h.strictly()
		h.RedisFault(h.tick(), false)
		h.write(ja)
		h.t += unheard
		h.affirms(ja)
		h.write(ja)
	}},
	{"by an agent that was away and comes back later", async, "I16", func(h *history) {
		h.Obeys(h.tick(), "2", h.rec)
		h.strictly()
		h.RedisFault(h.tick(), false)
		h.t += unheard
		h.write(ja)
	}},
	{"by an agent that was there", async, "I16", func(h *history) {
		h.strictly()
		h.Obeys(h.tick(), "2", h.rec)
		h.RedisFault(h.tick(), false)
		h.write(ja)
	}},
	{"by an agent that was away, and Redis has lost nothing", async, "I16", func(h *history) {
		h.Obeys(h.tick(), "2", h.rec)
		h.strictly()
		h.write(ja)
	}},
	{"Redis forgot the record, and an agent's memory keeps the promise", async, "I16", func(h *history) {
		h.strictly()
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, h.rec.Epoch+1)
		h.write(ja)
	}},
	{"Redis forgot the record, and a disk that failed the promise", async, "", func(h *history) {
		h.strictly()
		h.Forgets(h.tick())
		h.RedisFault(h.tick(), false)
		h.write(ja)
	}},
	{"open when its leases are over, since commits wait, and acknowledges nothing", leasing, "", func(h *history) {
		h.g.waits = true
		h.Trouble(0)
		h.failover(ja, jb, cluster.ProofLease)
		h.write(jb)
		h.close(ja)
	}},
	{"open when its leases are over, since commits wait, and acknowledges", leasing, "I1a", func(h *history) {
		h.g.waits = true
		h.Trouble(0)
		h.failover(ja, jb, cluster.ProofLease)
		h.write(ja)
	}},
	{"another master of Redis may promise otherwise", async, "", func(h *history) {
		h.strictly()
		h.RedisFault(h.tick(), true)
		h.write(ja)
		h.affirms(ja)
		h.write(ja)
	}},
}
