package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfRecord are of changes of the record.
var storiesOfRecord = []story{
	{"the record goes back by itself", async, "I3", func(h *history) {
		old := h.rec
		h.switching()
		h.rec = old
		h.eligible(jb)
	}},
	{"the record goes on after Redis was set back", async, "", func(h *history) {
		old := h.rec
		h.switching()
		h.RedisFault(h.tick(), false)
		h.rec = old
		h.eligible(jb)
	}},
	{"a script lowers the epoch", async, "I3", func(h *history) {
		h.RedisFault(h.tick(), false)
		next := h.rec
		next.Epoch--
		h.change("steady", next)
	}},
	{"two actives in one epoch", async, "I3", func(h *history) {
		next := h.rec
		next.Version++
		next.Active, next.Passive = jb, ja
		h.open(jb)
		h.Judge.violation = nil
		h.change("promoted", next)
	}},
	{"an epoch row falls", async, "I3", func(h *history) {
		h.Row(h.tick(), jb, cluster.Mark{Epoch: 6, Active: jb})
		h.Row(h.tick(), jb, cluster.Mark{Epoch: 5, Active: ja})
	}},
	{"an epoch row falls by what a forced override has left to be applied", async, "", func(h *history) {
		h.forcedRow(1)
	}},
	{"an epoch row falls after a forced override that has left nothing", async, "I3", func(h *history) {
		h.forcedRow(0)
	}},
	{"an epoch row falls by that of an opening that failed, to which a server that has just started replicates by itself", Promise{MaxLoss: -1, AutoReplicate: true}, "", func(h *history) {
		h.rowOfAnOpeningThatFailed()
	}},
	{"an epoch row falls by that of an opening that failed, and an agent started replication", async, "I3", func(h *history) {
		h.rowOfAnOpeningThatFailed()
	}},
	{"an epoch row is older than another server's", async, "", func(h *history) {
		h.Row(h.tick(), jb, cluster.Mark{Epoch: 6, Active: jb})
		h.Row(h.tick(), ja, cluster.Mark{Epoch: 5, Active: ja})
		h.Row(h.tick(), ja, cluster.Mark{Epoch: 6, Active: jb})
	}},
	{"the rows name two actives of one epoch", async, "I3", func(h *history) {
		h.Row(h.tick(), jb, cluster.Mark{Epoch: 6, Active: jb})
		h.Row(h.tick(), ja, cluster.Mark{Epoch: 6, Active: ja})
	}},
	{"an agent obeys an older record", async, "I3", func(h *history) {
		h.RedisFault(h.tick(), true)
		newer := h.rec
		newer.Version++
		h.Obeys(h.tick(), "1", newer)
		h.Obeys(h.tick(), "1", h.rec)
	}},
	{"another agent obeys the older record", async, "", func(h *history) {
		newer := h.rec
		newer.Version++
		h.Obeys(h.tick(), "1", newer)
		h.Obeys(h.tick(), "2", h.rec)
		h.Obeys(h.tick(), "2", h.rec)
	}},
	{"an agent obeys two actives of one epoch", async, "I3", func(h *history) {
		h.Obeys(h.tick(), "1", h.rec)
		h.rec.Version++
		h.rec.Active = jb
		h.Obeys(h.tick(), "1", h.rec)
	}},
	{"a token is given twice", async, "I3", func(h *history) {
		h.leads("1")
		h.leads("2")
		h.Leads(h.tick(), "3", h.tokens)
	}},
	{"a token is given twice after Redis lost it", async, "", func(h *history) {
		h.leads("1")
		h.leads("2")
		h.Leads(h.tick(), "2", h.tokens)
		h.RedisFault(h.tick(), false)
		h.Leads(h.tick(), "3", 1)
	}},

	{"who leads changes the record", async, "", func(h *history) {
		h.leads("1")
		h.leads("2")
		h.asks("2")
		h.eligible(jb)
	}},
	{"who led before changes the record", async, "I3", func(h *history) {
		h.leads("1")
		h.asks("1")
		h.leads("2")
		h.eligible(jb)
	}},
	{"who led before asked for the same", async, "", func(h *history) {
		h.leads("1")
		h.asks("1")
		h.leads("2")
		h.asks("2")
		h.eligible(jb)
	}},
	{"one of two masters is changed by its leader", async, "", func(h *history) {
		h.leads("1")
		h.RedisFault(h.tick(), true)
		h.leads("2")
		h.asks("1")
		h.eligible(jb)
	}},
	{"the record is changed as if it were another", async, "I3", func(h *history) {
		h.RedisFault(h.tick(), false)
		next := h.rec.Clone()
		next.Version += 2
		h.change("eligible", next)
	}},
	{"and in a later epoch", async, "I3", func(h *history) {
		h.RedisFault(h.tick(), false)
		next := h.rec.Clone()
		next.Epoch, next.Version = next.Epoch+1, 2
		h.change("steady", next)
	}},
	{"an override leaps", async, "", func(h *history) {
		h.change("revoked", cluster.Assignment{Epoch: h.rec.Epoch + 1000, Version: 1, Phase: cluster.PhaseRevoked, From: ja, To: jb, Cause: causeForced})
	}},

	{"a failover to who is not eligible", async, "I4", func(h *history) {
		h.die(ja)
		h.rec.Eligible = nil
		h.revoke(ja, jb)
	}},
	{"an override to who is not eligible", async, "", func(h *history) {
		h.die(ja)
		h.rec.Eligible = nil
		h.override(ja, jb, causeOverride)
	}},

	{"the lease over while the old active is open", leasing, "I7", func(h *history) {
		h.Trouble(0)
		h.revoke(ja, jb)
		h.promote(cluster.ProofLease)
	}},
	{"the lease over and the old active has closed itself", leasing, "", func(h *history) {
		h.Trouble(0)
		h.revoke(ja, jb)
		h.close(ja)
		h.promote(cluster.ProofLease)
		h.open(jb)
	}},
	{"the old active opens under a lease after the lease was over", leasing, "I1b", func(h *history) {
		h.Trouble(0)
		h.Stalled(0)
		h.revoke(ja, jb)
		h.close(ja)
		h.promote(cluster.ProofLease)
		h.open(jb)
		h.open(ja)
	}},
	{"the lease over, and its option file has opened the old active since", Promise{MaxLoss: -1, Leases: true, RestartsOpen: true}, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Open(h.tick(), ja, true, ByBoot)
		h.promote(cluster.ProofLease)
		h.open(jb)
	}},
	{"the lease over, and its option file opened the old active long before", Promise{MaxLoss: -1, Leases: true, RestartsOpen: true}, "I7", func(h *history) {
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.revoke(ja, jb)
		h.promote(cluster.ProofLease)
	}},
	{"the lease over, and the agent of the old active overslept", leasing, "", func(h *history) {
		h.Trouble(0)
		h.Overslept(0)
		h.failover(ja, jb, cluster.ProofLease)
	}},
	{"the lease over in one of two Redis masters while hosts are cut off", leasing, "", func(h *history) {
		h.Trouble(0)
		h.Stalled(0)
		h.RedisFault(0, true)
		h.failover(ja, jb, cluster.ProofLease)
	}},
	{"the lease over in one of two Redis masters", leasing, "I7", func(h *history) {
		h.Trouble(0)
		h.RedisFault(0, true)
		h.failover(ja, jb, cluster.ProofLease)
	}},

	{"a failover for nothing", async, "I6", func(h *history) { h.revoke(ja, jb) }},
	{"a failover since a table is locked", async, "I6", func(h *history) {
		h.Disturbed(h.tick())
		h.revoke(ja, jb)
	}},
	{"a failover for nothing after Redis lost something", async, "I10", func(h *history) {
		h.RedisFault(h.tick(), false)
		h.revoke(ja, jb)
	}},
	{"the role goes on the other way when an opening fails", async, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.revoke(jb, ja)
		h.promote(cluster.ProofFenced)
		h.open(ja)
	}},

	{"a proof while the old active is open", async, "I7", func(h *history) {
		h.Trouble(0)
		h.revoke(ja, jb)
		h.promote(cluster.ProofFenced)
	}},
	{"a proof, and its option file has opened the old active since", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Open(h.tick(), ja, true, ByBoot)
		h.promote(cluster.ProofFenced)
		h.open(jb)
	}},
	{"a proof, and its option file opened the old active long before", Promise{MaxLoss: -1, RestartsOpen: true}, "I7", func(h *history) {
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.revoke(ja, jb)
		h.promote(cluster.ProofFenced)
	}},
	{"no proof", async, "I7", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.ProofNone)
	}},

	{"a second failover while blocked", blocking, "I9", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.eligible(ja)
		h.die(jb)
		h.revoke(jb, ja)
	}},
	{"a second failover by an operator while blocked", blocking, "", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.die(jb)
		h.override(jb, ja, causeOverride)
	}},
	{"a second failover after the block", blocking, "", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.eligible(ja)
		h.t += time.Second
		h.unblock()
		h.die(jb)
		h.failover(jb, ja, cluster.RiskRefused)
	}},
	{"a failover after a switchover that ended the block", blocking, "", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.eligible(ja)
		h.switching()
		h.close(jb)
		h.commit()
		h.open(ja)
		h.steady()
		h.eligible(jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a block that is lifted at once", blocking, "I9", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.unblock()
	}},
	{"a failover that leaves no block", blocking, "I9", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Judge.p.FailoverBlock = 0
		next := h.rec
		next.Version++
		next.Phase, next.Active, next.Passive, next.Proof = cluster.PhaseOpening, jb, ja, cluster.RiskRefused
		h.Judge.p.FailoverBlock = time.Second
		h.change("promoted", next)
	}},

	{"an empty Redis elects another", async, "I10", func(h *history) {
		h.RedisFault(h.tick(), false)
		h.close(ja)
		next := h.rec
		next.Active, next.Passive = jb, ja
		h.rebuild(next, 6)
	}},
	{"one of two empty masters names another", async, "", func(h *history) {
		h.RedisFault(h.tick(), true)
		next := h.rec
		next.Active, next.Passive, next.Proof = jb, ja, ""
		h.rebuild(next, 6)
	}},
	{"an empty Redis is filled with what was", async, "", func(h *history) {
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, 6)
	}},
	{"an empty Redis is filled with what was decided and not yet done", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, 7)
	}},
	{"what was decided and not yet done is lost with its proof", async, "", func(h *history) {
		h.switching()
		old := h.rec
		h.close(ja)
		h.commit()
		h.RedisFault(h.tick(), false)
		old.Phase = cluster.PhaseSteady
		h.rebuild(old, 6)
		h.open(ja)
	}},
	{"an older record is filled with what was, which had no proof yet", async, "", func(h *history) {
		old := h.rec
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.switching()
		next := h.rec
		h.RedisFault(h.tick(), false)
		next.Phase = cluster.PhaseSteady
		next.Epoch, next.Version, next.Cause = 7, 1, "rebuilt"
		h.rec = cluster.Assignment{Epoch: 6, Version: 1, Phase: cluster.PhaseRevoked, From: old.Active, To: old.Passive}
		h.change("rebuilt", next)
	}},
	{"what was decided and not yet done is lost", async, "", func(h *history) {
		old := h.rec
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
		h.RedisFault(h.tick(), false)
		h.rebuild(old, 7)
	}},

	{"a change without an event", async, "I14", func(h *history) {
		next := h.rec
		next.Version++
		h.Changed(h.tick(), h.rec, next, cluster.Event{})
	}},
	{"an event without a change", async, "I14", func(h *history) { h.change("steady", h.rec) }},
	{"an event without an actor", async, "I14", func(h *history) {
		next := h.rec
		next.Version++
		h.Changed(h.tick(), h.rec, next, cluster.Event{Kind: "steady", Assignment: next, Reason: "so"})
	}},
	{"an event of another change", async, "I14", func(h *history) {
		next := h.rec
		next.Version++
		h.Changed(h.tick(), h.rec, next, cluster.Event{Kind: "steady", Assignment: h.rec, Reason: "so", Actor: "me"})
	}},
}
