package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfOpenings are of openings and closings.
var storiesOfOpenings = []story{
	{"the passive is opened beside the active by its older epoch", async, "I1b", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
		h.open(ja)
	}},
	{"both open, the record says risk", async, "", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskHung)
		h.close(ja)
		h.final(nil)
	}},
	{"by the agent of another Redis, a server that has just started is opened again in a switchover", async, "", func(h *history) {
		h.Started(h.tick(), ja)
		h.openedByAnother(true)
	}},
	{"by the agent of another Redis, a server that was started seconds before", async, "I1b", func(h *history) {
		h.Started(h.tick(), ja)
		h.t += young
		h.openedByAnother(true)
	}},
	{"by an agent of the one Redis, a server that has just started", async, "I7", func(h *history) {
		h.Started(h.tick(), ja)
		h.openedByAnother(false)
	}},
	{"by the agent of another Redis, the old active again, with what it has received of the new one", async, "", func(h *history) {
		h.afterTheNext(ja)
	}},
	{"with two masters of Redis, the new active with what it has not applied", async, "I4", func(h *history) { h.afterTheNext(jb) }},
	{"the old active of a risk is opened again after it was closed", async, "I1b", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskHung)
		h.close(ja)
		h.open(ja)
	}},
	{"a person opens the passive", async, "", func(h *history) { h.console(jb) }},
	{"a person opened the passive, it was closed, and an agent opens it", async, "I1b", func(h *history) {
		h.console(jb)
		h.close(jb)
		h.open(jb)
	}},

	{"opened without its epoch row", async, "I7", func(h *history) {
		h.die(ja)
		h.recorded("")
		h.Obeys(h.t, "1", h.rec)
		h.openOnly(jb)
	}},
	{"opened with nobody's memory of it", async, "I7", func(h *history) {
		h.die(ja)
		h.recorded("")
		h.Row(h.t, jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.openOnly(jb)
	}},
	{"opened with nobody's memory of it while a disk fails", async, "", func(h *history) {
		h.die(ja)
		h.Forgets(h.t)
		h.recorded("")
		h.Row(h.t, jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.openOnly(jb)
	}},
	{"opened with both", async, "", func(h *history) {
		h.die(ja)
		h.recorded("")
		h.Obeys(h.t, "1", h.rec)
		h.Row(h.t, jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.openOnly(jb)
	}},

	{"the role is given back beside a server that is open by another Redis", async, "", func(h *history) {
		h.RedisFault(h.tick(), true)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.change("given back", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseOpening, Active: ja, Passive: jb,
			From: jb, To: ja, Cause: "the old active is back", Proof: cluster.ProofGone})
		h.open(ja)
	}},

	{"opened with something unapplied", async, "I4", func(h *history) {
		h.die(ja)
		h.applied(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened again while it replicates by itself", Promise{MaxLoss: -1, AutoReplicate: true}, "", func(h *history) {
		h.die(ja)
		h.applied(ja, 1)
		h.open(ja)
	}},
	{"opened first while it replicates by itself", Promise{MaxLoss: -1, AutoReplicate: true}, "I4", func(h *history) {
		h.die(ja)
		h.applied(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened first with what came since it was named and it cannot apply", Promise{MaxLoss: -1, AutoReplicate: true}, "", func(h *history) {
		lost := h.write(ja)
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
		h.Received(h.tick(), jb, lost)
		h.applied(jb, 1)
		h.g.stuck = true
		h.open(jb)
	}},
	{"opened first with what it had received before it was named", Promise{MaxLoss: -1, AutoReplicate: true}, "I4", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.applied(jb, 1)
		h.g.stuck = true
		h.promote(cluster.RiskRefused)
		h.open(jb)
	}},
	{"opened first with what came since it was named and it could apply", Promise{MaxLoss: -1, AutoReplicate: true}, "I4", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
		h.applied(jb, 1)
		h.open(jb)
	}},
	{"opened with what a person wrote just now", async, "", func(h *history) {
		h.die(ja)
		h.interferes(jb, 99)
		h.loses(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with what a person wrote long ago and the disk took just now", async, "", func(h *history) {
		h.interferes(jb, 99)
		h.t += unseen
		h.Landed(h.t, 99)
		h.die(ja)
		h.loses(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with what a person wrote just now and another row", async, "I4", func(h *history) {
		h.die(ja)
		h.interferes(jb, 99)
		h.loses(jb, 2)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with what a person wrote just now and what one wrote long ago", async, "I4", func(h *history) {
		h.interferes(jb, 98)
		h.t += unseen
		h.interferes(jb, 99)
		h.die(ja)
		h.loses(jb, 2)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with what a person wrote to the other just now unapplied", async, "", func(h *history) {
		h.interferes(ja, 99)
		h.applied(jb, 1)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with more unapplied than what a person wrote to the other just now", async, "I4", func(h *history) {
		h.interferes(ja, 99)
		h.applied(jb, 2)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened long after it was chosen with what a person wrote since", async, "", func(h *history) {
		h.Trouble(0)
		h.revoke(ja, jb)
		h.interferes(jb, 90)
		h.loses(jb, 1)
		h.t += 2 * unseen
		h.die(ja)
		h.promote(cluster.ProofFenced)
		h.open(jb)
	}},
	{"opened long after it was chosen with what a person wrote before", async, "I4", func(h *history) {
		h.Trouble(0)
		h.interferes(jb, 90)
		h.loses(jb, 1)
		h.t += 2 * unseen
		h.revoke(ja, jb)
		h.die(ja)
		h.promote(cluster.ProofFenced)
		h.open(jb)
	}},
	{"opened with what a person wrote long ago", async, "I4", func(h *history) {
		h.Interfered(h.tick(), 99)
		h.t += unseen
		h.die(ja)
		h.loses(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened again with what a person wrote to the other and it cannot apply", async, "", func(h *history) {
		h.Interfered(h.tick(), 99)
		h.Received(h.tick(), ja, 99)
		h.t += unseen
		h.applied(ja, 1)
		h.die(ja)
		h.open(ja)
	}},
	{"opened first with what a person wrote to the other and it cannot apply", async, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Interfered(h.tick(), 99)
		h.t += unseen
		h.applied(jb, 1)
		h.g.stuck = true
		h.open(jb)
	}},
	{"opened first with what a person wrote to the other and it could apply", async, "I4", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Interfered(h.tick(), 99)
		h.t += unseen
		h.applied(jb, 1)
		h.open(jb)
	}},
	{"opened again with more than what a person wrote to the other", async, "I4", func(h *history) {
		h.Interfered(h.tick(), 99)
		h.Received(h.tick(), ja, 99)
		h.t += unseen
		h.applied(ja, 2)
		h.die(ja)
		h.open(ja)
	}},
	{"opened first with what a person wrote to the other and it cannot apply", async, "I4", func(h *history) {
		h.Interfered(h.tick(), 99)
		h.Received(h.tick(), jb, 99)
		h.t += unseen
		h.applied(jb, 1)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"given back with rows of a time in which the option file opened it", restarts, "", func(h *history) {
		h.astray(1)
		h.giveBack()
		h.open(jb)
	}},
	{"given back with another row too", restarts, "I4", func(h *history) {
		h.row++
		h.g.has[jb][h.row] = true
		h.Acked(h.tick(), ja, h.row)
		h.astray(2)
		h.giveBack()
		h.open(jb)
	}},
	{"given back with rows of a time in which the option file of the other opened that", restarts, "I4", func(h *history) {
		h.astray(1)
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
		h.close(ja)
		delete(h.g.has[ja], h.row)
		h.g.has[jb][h.row] = true
		h.loses(jb, 2)
		h.giveBack()
		h.open(jb)
	}},
	{"given back with such rows, which Redis has lost, long after", restarts, "", func(h *history) {
		h.astray(1)
		h.giveBack()
		h.rebuiltAfterAll()
	}},
	{"given back with such rows and another, which Redis has lost", restarts, "I4", func(h *history) {
		h.row++
		h.g.has[jb][h.row] = true
		h.Acked(h.tick(), ja, h.row)
		h.astray(2)
		h.giveBack()
		h.rebuiltAfterAll()
	}},
	{"promoted with rows of a time in which the option file opened it, long after", restarts, "I4", func(h *history) {
		h.astray(1)
		h.t += unseen
		h.promote(cluster.RiskRefused)
		h.open(jb)
	}},
	{"promoted with rows of a time in which the option file opened it, just before", restarts, "", func(h *history) {
		h.astray(1)
		h.promote(cluster.RiskRefused)
		h.open(jb)
	}},
	{"given back when Redis has lost that the other took over opened by its option file", restarts, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Open(h.tick(), jb, true, ByBoot)
		h.promote(cluster.RiskRefused)
		h.close(jb)
		h.write(ja)
		h.forgottenAndGivenBack()
	}},
	{"given back when Redis has lost that the other took over", restarts, "I4", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
		h.open(jb)
		h.close(jb)
		h.write(ja)
		h.forgottenAndGivenBack()
	}},
	{"promoted with another row too", restarts, "I4", func(h *history) {
		h.row++
		h.g.has[jb][h.row] = true
		h.Acked(h.tick(), ja, h.row)
		h.astray(2)
		h.promote(cluster.RiskRefused)
		h.open(jb)
	}},
	{"promoted with rows of a time in which the option file opened it, seconds before", restarts, "I4", func(h *history) {
		h.astray(1)
		h.t += unseen
		h.promote(cluster.RiskRefused)
		h.open(jb)
	}},
	{"opened with something unapplied by a forced override", async, "", func(h *history) {
		h.die(ja)
		h.override(ja, jb, causeForced)
		h.promote(cluster.ProofOperator)
		h.applied(jb, 1)
		h.open(jb)
	}},
	{"opened with something unapplied by an override", async, "I4", func(h *history) {
		h.die(ja)
		h.override(ja, jb, causeOverride)
		h.promote(cluster.ProofOperator)
		h.applied(jb, 1)
		h.open(jb)
	}},
	{"opened with rows of its own", async, "I4", func(h *history) {
		h.die(ja)
		h.loses(jb, 1)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened with rows of its own by an override", async, "", func(h *history) {
		h.die(ja)
		h.loses(jb, 1)
		h.override(ja, jb, causeOverride)
		h.promote(cluster.ProofOperator)
		h.open(jb)
	}},
	{"the active is opened again, with rows that its replica lacks", async, "", func(h *history) {
		h.write(ja)
		h.loses(ja, 1)
		h.die(ja)
		h.open(ja)
	}},

	{"opened again with what came from a passive that started open", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.Open(h.tick(), ja, false, ByDeath)
		h.Open(h.tick(), jb, true, ByBoot)
		h.applied(ja, 1)
		h.Open(h.tick(), jb, false, ByAgent)
		h.open(ja)
	}},
	{"opened again with what came from a passive that was open long ago", Promise{MaxLoss: -1, RestartsOpen: true}, "I4", func(h *history) {
		h.Open(h.tick(), ja, false, ByDeath)
		h.Open(h.tick(), jb, true, ByBoot)
		h.applied(ja, 1)
		h.Open(h.tick(), jb, false, ByAgent)
		h.t += unseen
		h.open(ja)
	}},

	{"given back with what came from a server that started open, and opened late", restarts, "", func(h *history) {
		h.strayReceived(0)
		h.t += unseen
		h.open(ja)
	}},
	{"given back late with what came from a server that started open", restarts, "I4", func(h *history) {
		h.strayReceived(unseen)
		h.open(ja)
	}},
	{"given back late with what came from a server that started open and cannot be applied", restarts, "", func(h *history) {
		h.g.stuck = true
		h.strayReceived(unseen)
		h.Received(h.tick(), ja, h.row)
		h.open(ja)
	}},
	{"given back late with that and with what the other acknowledged before it started open", restarts, "I4", func(h *history) {
		h.g.stuck = true
		h.Received(h.tick(), ja, h.write(jb))
		h.strayReceived(unseen)
		h.open(ja)
	}},

	{"opened and never named", async, "I7", func(h *history) {
		h.die(ja)
		h.open(jb)
	}},
	{"opened after the other was named", async, "I7", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.open(ja)
	}},
	{"opened after the other was named in what Redis forgot", async, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.RedisFault(h.tick(), false)
		h.open(ja)
	}},
	{"opened after the other was named in what Redis forgot and an agent knows", async, "I7", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Obeys(h.tick(), "1", h.rec)
		h.Row(h.tick(), jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.RedisFault(h.tick(), false)
		h.open(ja)
	}},
	{"opened while the other's epoch row is being written, by what another Redis says", async, "", func(h *history) {
		h.t += young
		h.switching()
		h.close(ja)
		h.commit()
		h.Obeys(h.tick(), "1", h.rec)
		h.Row(h.tick(), jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.RedisFault(h.tick(), true)
		h.open(ja)
	}},
	{"opened long after the other's epoch row was written, whatever another Redis says", async, "I7", func(h *history) {
		h.t += young
		h.switching()
		h.close(ja)
		h.commit()
		h.Obeys(h.tick(), "1", h.rec)
		h.Row(h.tick(), jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
		h.RedisFault(h.tick(), true)
		h.t += underWay
		h.open(ja)
	}},
	{"opened after the other was named in what Redis forgot, and nobody went about opening it", async, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Obeys(h.tick(), "1", h.rec)
		h.RedisFault(h.tick(), false)
		h.open(ja)
	}},
	{"opened by another Redis before the other is", async, "", func(h *history) {
		h.RedisFault(h.tick(), true)
		h.switching()
		h.close(ja)
		h.commit()
		h.open(ja)
		h.open(jb)
	}},
	{"opened beside the other after one Redis was set back", async, "I1b", func(h *history) {
		h.RedisFault(h.tick(), false)
		h.switching()
		h.close(ja)
		h.commit()
		h.open(ja)
		h.open(jb)
	}},
	{"opened with what comes from an old active that starts open", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Open(h.tick(), ja, true, ByBoot)
		h.applied(jb, 1)
		h.open(jb)
	}},
	{"opened long after a person wrote to it, who came after the decision", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskSilent)
		h.row++
		h.Interfered(h.tick(), h.row)
		h.g.has[jb][h.row] = true
		h.loses(jb, 1)
		h.t += unseen
		h.console(ja)
		h.close(ja)
		h.open(jb)
	}},
	{"opened by a record that was rebuilt, with what a person wrote to it after the decision", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskSilent)
		h.writtenThen(jb)
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, 9)
		h.open(jb)
	}},
	{"opened by a record that was rebuilt, with what a person wrote to it before the decision", async, "I4", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.writtenThen(jb)
		h.promote(cluster.RiskSilent)
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, 9)
		h.open(jb)
	}},
	{"the active replicates from a passive that has just started open", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.Open(h.tick(), jb, true, ByBoot)
		h.loses(jb, 1)
		h.Threads(h.tick(), ja, jb)
	}},
	{"the active replicates from a passive that started open and has just been closed", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.Open(h.tick(), jb, true, ByBoot)
		h.loses(jb, 1)
		h.close(jb)
		h.Threads(h.tick(), ja, jb)
	}},
	{"the active replicates from a passive that started open and was closed before that was decided", Promise{MaxLoss: -1, RestartsOpen: true}, "I8", func(h *history) {
		h.Open(h.tick(), jb, true, ByBoot)
		h.loses(jb, 1)
		h.close(jb)
		h.t += underWay
		h.Threads(h.tick(), ja, jb)
	}},
	{"the active replicates from a passive that started open long ago", Promise{MaxLoss: -1, RestartsOpen: true}, "I8", func(h *history) {
		h.Open(h.tick(), jb, true, ByBoot)
		h.loses(jb, 1)
		h.t += unseen
		h.Threads(h.tick(), ja, jb)
	}},
	{"a paused opener that nobody reached wakes after a risk", async, "", func(h *history) {
		h.die(ja)
		h.Stalled(h.tick())
		h.failover(ja, jb, cluster.RiskSilent)
		h.open(ja)
		h.close(ja)
	}},
	{"opened by what another Redis says, and closed, and the active goes on", async, "", func(h *history) {
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.write(jb)
		h.RedisFault(h.tick(), true)
		h.Started(h.tick(), ja)
		h.open(ja)
		h.write(ja)
		h.close(ja)
		h.write(jb)
	}},
	{"a paused opener wakes after a proof", async, "I1b", func(h *history) {
		h.die(ja)
		h.Stalled(h.tick())
		h.failover(ja, jb, cluster.ProofFenced)
		h.open(ja)
	}},

	{"made to replicate with rows of its own", async, "I8", func(h *history) {
		h.loses(jb, 1)
		h.Threads(h.tick(), jb, ja)
	}},
	{"made to replicate from a passive with rows of its own", async, "I8", func(h *history) {
		h.loses(jb, 1)
		h.Threads(h.tick(), ja, jb)
	}},
	{"made to replicate what a person wrote just now", async, "", func(h *history) {
		h.interferes(jb, 99)
		h.loses(jb, 1)
		h.Threads(h.tick(), jb, ja)
	}},
	{"made to replicate what a person wrote just now and another row", async, "I8", func(h *history) {
		h.interferes(jb, 99)
		h.loses(jb, 2)
		h.Threads(h.tick(), jb, ja)
	}},
	{"made to replicate what a person wrote long ago", async, "I8", func(h *history) {
		h.interferes(jb, 99)
		h.loses(jb, 1)
		h.t += unseen
		h.Threads(h.tick(), jb, ja)
	}},
	{"made to replicate when it wakes after a risk", async, "", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskHung)
		h.loses(ja, 1)
		h.Threads(h.tick(), ja, jb)
	}},
	{"made to replicate after it was closed again", async, "I8", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskHung)
		h.close(ja)
		h.loses(ja, 1)
		h.Threads(h.tick(), ja, jb)
	}},
	{"made to replicate what it lacks", async, "", func(h *history) {
		h.loses(ja, 1)
		h.Threads(h.tick(), jb, ja)
	}},

	{"an agent closes the active for nothing", async, "I13", func(h *history) { h.close(ja) }},
	{"an active closes itself for want of a lease", leasing, "", func(h *history) {
		h.Trouble(h.tick())
		h.close(ja)
	}},
	{"an active with leases closes itself for nothing", leasing, "I13", func(h *history) { h.close(ja) }},
	{"an agent closes the active that was to be closed for a moment", async, "", func(h *history) {
		h.switching()
		next := h.rec
		next.Version++
		next.Phase, next.From, next.To = cluster.PhaseSteady, "", ""
		h.change("rolled back", next)
		h.close(ja)
		h.open(ja)
	}},
	{"an agent closes the active again, long after", async, "I13", func(h *history) {
		h.switching()
		next := h.rec
		next.Version++
		next.Phase, next.From, next.To = cluster.PhaseSteady, "", ""
		h.change("rolled back", next)
		h.close(ja)
		h.open(ja)
		h.t += underWay
		h.close(ja)
	}},
	{"two agents close the active that was to be closed for a moment", async, "", func(h *history) {
		h.switching()
		next := h.rec
		next.Version++
		next.Phase, next.From, next.To = cluster.PhaseSteady, "", ""
		h.change("rolled back", next)
		h.close(ja)
		h.open(ja)
		h.close(ja)
	}},

	{"a paused agent closes the active late", async, "", func(h *history) {
		h.Stalled(h.tick())
		h.close(ja)
	}},
}
