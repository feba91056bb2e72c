package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfRows are of what becomes of rows.
var storiesOfRows = []story{
	{"the old active acknowledges after the new one", async, "I1a", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
		h.write(jb)
		h.write(ja)
	}},
	{"the late answer is to a row that the new active has", async, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
		h.write(jb)
		h.write(ja, jb)
	}},
	{"the new active acknowledges after the old one did", async, "", func(h *history) {
		h.write(ja, jb)
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
		h.write(jb)
	}},
	{"the active acknowledges beside a server that a person opened", async, "", func(h *history) {
		h.console(jb)
		h.write(jb)
		h.write(ja)
	}},
	{"the old active acknowledges before the new one does", async, "", func(h *history) {
		h.revoke(ja, jb)
		h.Judge.violation = nil // of a failover for nothing
		h.close(ja)
		h.promote(cluster.ProofFenced)
		h.write(ja)
		h.open(jb)
		h.write(jb)
	}},
	{"the old active of a risk acknowledges", async, "", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskSilent)
		h.write(jb)
		h.write(ja)
		h.close(ja)
		h.loses(ja, 1)
		h.final(func(f *FinalFacts) {
			f.Servers[0] = FinalServer{Up: true, SQL: true, Quarantined: true, Reason: "errant"}
			f.Servers[1].IO = false
		})
	}},

	{"the old active of a risk acknowledges while it is closed", async, "", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskSilent)
		h.write(jb)
		h.Open(h.t, ja, false, ByAgent)
		h.g.has[ja][9] = true
		h.Acked(h.t, ja, 9)
	}},
	{"the old active of a risk acknowledges after it was closed", async, "I1a", func(h *history) {
		h.Trouble(0)
		h.failover(ja, jb, cluster.RiskSilent)
		h.write(jb)
		h.close(ja)
		h.write(ja)
	}},

	{"the old active acknowledges what is to wait for nobody any more", async, "I1a", func(h *history) {
		h.muted()
		h.write(ja)
	}},
	{"the old active acknowledges nothing until it is started, by its option file open", restarts, "I1a", func(h *history) {
		h.muted()
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
	}},
	{"the old active acknowledges again once a person has opened it", async, "", func(h *history) {
		h.muted()
		h.die(ja)
		h.console(ja)
		h.write(ja)
	}},
	{"the old active has its last row acknowledged by the new one, and is closed", async, "", func(h *history) {
		h.muted()
		h.write(ja, jb)
		h.close(ja)
		h.final(nil)
	}},

	{"a switchover loses an acknowledged row", async, "I2", func(h *history) {
		h.write(ja)
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
	}},
	{"a failover loses a row that was never received", async, "", func(h *history) {
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
		h.final(nil)
	}},
	{"a failover loses a row that was received", async, "I2", func(h *history) {
		n := h.write(ja)
		h.Received(h.tick(), jb, n)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a failover loses a row that a crash had destroyed", async, "", func(h *history) {
		n := h.write(ja)
		h.Received(h.tick(), jb, n)
		h.RelayLost(h.tick(), jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a crash destroys nothing that was applied", async, "I2", func(h *history) {
		n := h.write(ja, jb)
		h.RelayLost(h.tick(), jb)
		h.die(ja)
		delete(h.g.has[jb], n)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a failover leaves behind what a view told of", strict, "I2", func(h *history) {
		h.g.known = 1
		h.die(ja)
		h.revoke(ja, jb)
		h.promote(cluster.RiskRefused)
	}},
	{"a failover leaves behind what a view told of when the old active came back", strict, "", func(h *history) {
		h.Trouble(0)
		h.revoke(ja, jb)
		h.g.known = 1
		h.close(ja)
		h.promote(cluster.RiskHung)
	}},
	{"a failover leaves behind what no view told of", strict, "", func(h *history) {
		h.g.known = 0
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"an override leaves behind what a view told of", strict, "", func(h *history) {
		h.g.known = 1
		h.die(ja)
		h.override(ja, jb, causeOverride)
		h.promote(cluster.ProofOperator)
		h.open(jb)
	}},
	{"an override leaves behind what was received", async, "", func(h *history) {
		n := h.write(ja)
		h.Received(h.tick(), jb, n)
		h.die(ja)
		h.override(ja, jb, causeOverride)
		h.promote(cluster.ProofOperator)
		h.open(jb)
	}},
	{"a row of an active that its option file opened is missing at the end", Promise{RestartsOpen: true}, "I2", func(h *history) {
		h.die(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		n := h.write(ja)
		delete(h.g.has[ja], n)
		h.final(nil)
	}},
	{"a failover loses a row that waited for who takes over", async, "I2", func(h *history) {
		h.durable(true, jb)
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a failover loses a row that waited and that a crash had destroyed", async, "", func(h *history) {
		h.durable(true, jb)
		h.Received(h.tick(), jb, h.write(ja))
		h.RelayLost(h.tick(), jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"a failover loses a row that waited for nobody, and who takes over was to have it", async, "I2", func(h *history) {
		h.durable(false, jb)
		h.write(ja)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"who may take over lacks a row, and no commit waits", async, "I2", func(h *history) {
		h.durable(false)
		h.write(ja)
		h.eligible(jb)
	}},
	{"who may take over lacks a row of before commits waited", async, "I2", func(h *history) {
		h.durable(true)
		h.write(ja)
		h.eligible(jb)
	}},
	{"who may take over lacks a row that the active acknowledged, opened by its option file just now", restarts, "", func(h *history) {
		h.bootedActive(0)
	}},
	{"who may take over lacks a row that the active acknowledged, opened by its option file seconds ago", restarts, "I2", func(h *history) {
		h.bootedActive(unseen)
	}},
	{"who may take over has lost a row that it had received, by a start just now", async, "", func(h *history) {
		h.restartedPassive(0)
	}},
	{"who may take over has lost a row that it had received, by a start seconds ago", async, "I2", func(h *history) {
		h.restartedPassive(unseen)
	}},
	{"who may take over has received all of before commits waited", async, "", func(h *history) {
		h.durable(true)
		h.Received(h.tick(), jb, h.write(ja))
		h.eligible(jb)
	}},

	{"a row is missing at the end", async, "I2", func(h *history) {
		n := h.write(ja)
		delete(h.g.has[ja], n)
		h.final(nil)
	}},

	{"opened without what was recorded as received", async, "I2", func(h *history) {
		h.die(ja)
		h.g.lacks = map[cluster.Endpoint]string{jb: "1-7"}
		h.recorded("1-7")
		h.open(jb)
	}},
	{"opened with it", async, "", func(h *history) {
		h.die(ja)
		h.g.lacks = map[cluster.Endpoint]string{ja: "1-7"}
		h.recorded("1-7")
		h.open(jb)
	}},
	{"what was received is not recorded", async, "I2", func(h *history) {
		h.g.shown = true
		h.die(ja)
		h.recorded("")
	}},
	{"it was not shown", async, "", func(h *history) {
		h.die(ja)
		h.recorded("")
	}},

	{"who is to take over is made to throw away what it has received", async, "I2", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Discarded(h.tick(), jb)
	}},
	{"it is long after a person had stopped both threads", async, "I2", func(h *history) {
		h.Halted(h.tick(), jb, false)
		h.die(ja)
		h.revoke(ja, jb)
		h.t += underWay
		h.Discarded(h.tick(), jb)
	}},
	{"a person stops the receiving thread while the applying one, which stood, is being started", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Halted(h.tick(), jb, true)
		h.Discarded(h.tick(), jb)
	}},
	{"a person had stopped the receiving thread before", async, "I2", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Halted(h.tick(), jb, true)
		h.t += underWay
		h.Discarded(h.tick(), jb)
	}},
	{"a person stops both threads at once", async, "I2", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Halted(h.tick(), jb, false)
		h.Discarded(h.tick(), jb)
	}},
	{"it was being done when the role was taken, after a person had stopped both threads", async, "", func(h *history) {
		h.Halted(h.tick(), jb, false)
		h.die(ja)
		h.revoke(ja, jb)
		h.Discarded(h.tick(), jb)
	}},
	{"by a record to which Redis was set back, of whose successor no agent has heard, after a person had stopped both threads", async, "", func(h *history) {
		h.Halted(h.tick(), jb, false)
		h.die(ja)
		h.revoke(ja, jb)
		h.RedisFault(h.tick(), false)
		h.t += underWay
		h.Discarded(h.tick(), jb)
	}},
	{"by a record to which Redis was set back, and an agent has heard of its successor", async, "I2", func(h *history) {
		h.Halted(h.tick(), jb, false)
		h.die(ja)
		h.revoke(ja, jb)
		h.RedisFault(h.tick(), false)
		h.Obeys(h.tick(), "agent", h.rec)
		h.t += underWay
		h.Discarded(h.tick(), jb)
	}},
	{"Redis was set back, and nobody had stopped a thread", async, "I2", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.RedisFault(h.tick(), false)
		h.Discarded(h.tick(), jb)
	}},
	{"the passive is, and its source is there", async, "", func(h *history) { h.Discarded(h.tick(), jb) }},
	{"the passive is after a person has stopped both threads, and takes over", async, "", func(h *history) {
		h.Received(h.tick(), jb, h.write(ja))
		h.Halted(h.tick(), jb, false)
		h.Discarded(h.tick(), jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"the passive is by itself, and takes over", async, "I2", func(h *history) {
		h.Received(h.tick(), jb, h.write(ja))
		h.Discarded(h.tick(), jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"the passive is after a person has stopped both threads, and again by itself, and takes over", async, "I2", func(h *history) {
		h.Halted(h.tick(), jb, false)
		h.Discarded(h.tick(), jb)
		h.Received(h.tick(), jb, h.write(ja))
		h.Discarded(h.tick(), jb)
		h.die(ja)
		h.failover(ja, jb, cluster.RiskRefused)
	}},
	{"opened again with rows of the time for which it started open as the active", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Open(h.tick(), jb, true, ByBoot)
		h.steady()
		h.write(jb)
		h.loses(jb, 1)
		h.close(jb)
		h.open(jb)
	}},
	{"a planned change leaves what the old active wrote, opened by its option file, before it was closed again", restarts, "", func(h *history) {
		h.strayAtCommit(0)
	}},
	{"a planned change leaves what the old active wrote, opened by its option file, and closed long ago", restarts, "I2", func(h *history) {
		h.strayAtCommit(underWay)
	}},
	{"the active of a planned change starts open and lacks a row", Promise{MaxLoss: -1, RestartsOpen: true}, "I2", func(h *history) {
		h.write(ja)
		h.switching()
		h.close(ja)
		h.commit()
		h.Open(h.tick(), jb, true, ByBoot)
		h.steady()
	}},

	{"taken over by who cannot apply what it received after its option file had opened it", restarts, "", func(h *history) {
		h.g.stuck = true
		h.barred(1, 0)
	}},
	{"taken over by who has yet to apply what it received after its option file had opened it", restarts, "", func(h *history) {
		h.g.has[jb][h.applying()] = true
		h.final(nil)
	}},
	{"taken over by who never applies what it received after its option file had opened it", restarts, "I2", func(h *history) {
		h.applying()
		h.final(nil)
	}},
	{"taken over by who is still applying at the end what it received after its option file had opened it", restarts, "", func(h *history) {
		h.applying()
		h.applied(jb, 1)
		h.final(nil)
	}},
	{"taken over by who has stopped applying at the end what it received after its option file had opened it", restarts, "I2", func(h *history) {
		h.applying()
		h.applied(jb, 1)
		h.loses(ja, 1)
		h.final(func(f *FinalFacts) {
			f.Servers = [2]FinalServer{{Up: true, Quarantined: true, Reason: "so"}, {Up: true, Open: true}}
		})
	}},
	{"taken over by who cannot apply beside its own rows what it received after its option file had opened it", restarts, "", func(h *history) {
		h.applying()
		h.loses(jb, 1)
		h.g.stuck = true
		h.final(nil)
	}},
	{"taken over by who has written nothing and cannot apply what it received after its option file had opened it", restarts, "I2", func(h *history) {
		h.applying()
		h.g.stuck = true
		h.final(nil)
	}},
	{"taken over by who crashes before it has applied what it received after its option file had opened it", restarts, "", func(h *history) {
		h.applying()
		h.RelayLost(h.tick(), jb)
		h.final(nil)
	}},
	{"taken over by who has yet to apply what it received before its option file opened it", restarts, "I2", func(h *history) {
		h.Received(h.tick(), jb, h.write(ja))
		h.applying()
	}},
	{"taken over by who has yet to apply what it received after its option file had opened it long ago", restarts, "I2", func(h *history) {
		h.barred(0, unseen)
	}},
	{"taken over by who has yet to apply what it received after its option file had opened it, and lost something else", restarts, "I2", func(h *history) {
		h.applying()
		h.loses(jb, 1)
		h.g.stuck = true
		delete(h.g.has[jb], h.write(jb))
		h.final(nil)
	}},
	{"opened by an agent without what it received after its option file had opened it", restarts, "I2", func(h *history) {
		h.Trouble(h.tick())
		h.revoke(ja, jb)
		h.Open(h.tick(), jb, true, ByBoot)
		h.Started(h.t, jb)
		h.Received(h.tick(), jb, h.write(ja))
		h.close(ja)
		h.close(jb)
		h.promote(cluster.ProofFenced)
		h.open(jb)
	}},
	{"taken over by force by who never applies what it received after its option file had opened it", restarts, "", func(h *history) {
		h.override(ja, jb, causeForced)
		h.Open(h.tick(), jb, true, ByBoot)
		h.Started(h.t, jb)
		h.Received(h.tick(), jb, h.write(ja))
		h.close(ja)
		h.promote(cluster.ProofFenced)
		h.steady()
		h.final(nil)
	}},
	{"the active of a planned change has yet to apply what it received after its option file had opened it", restarts, "I2", func(h *history) {
		h.switching()
		h.Open(h.tick(), jb, true, ByBoot)
		h.Started(h.t, jb)
		h.Received(h.tick(), jb, h.write(ja))
		h.close(ja)
		h.commit()
	}},
	{"taken over by who cannot apply what it received after its option file had opened it, and wrote nothing", restarts, "I2", func(h *history) {
		h.g.stuck = true
		h.barred(0, 0)
	}},
	{"taken over by who cannot apply what it received by itself since its start", Promise{MaxLoss: -1, AutoReplicate: true}, "", func(h *history) {
		h.g.stuck = true
		h.startedBarred(0)
	}},
	{"taken over by who cannot apply what it received by itself since a start long ago", Promise{MaxLoss: -1, AutoReplicate: true}, "I2", func(h *history) {
		h.g.stuck = true
		h.startedBarred(unseen)
	}},
	{"taken over by who cannot apply what it was told to receive since its start", async, "I2", func(h *history) {
		h.g.stuck = true
		h.startedBarred(0)
	}},
	{"taken over by who cannot apply what it received before its option file opened it", restarts, "I2", func(h *history) {
		h.g.stuck = true
		h.Received(h.tick(), jb, h.write(ja))
		h.barred(1, 0)
	}},
	{"taken over by who cannot apply what it received after its option file had opened it long ago", restarts, "I2", func(h *history) {
		h.g.stuck = true
		h.barred(1, unseen)
	}},

	{"acknowledged by an old active that its option file opened after the other was named", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.commit()
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
		h.open(jb)
	}},
	{"acknowledged by an old active that its option file opened and nobody has noticed", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
		h.switching()
		h.close(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
		h.commit()
		h.open(jb)
	}},
	{"acknowledged by an old active that its option file opened, received, and nobody has noticed", restarts, "I2", func(h *history) {
		h.switching()
		h.close(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.Received(h.tick(), jb, h.write(ja))
		h.commit()
		h.open(jb)
	}},
	{"acknowledged by the active before its option file opened it, and nobody has noticed", restarts, "I2", func(h *history) {
		h.write(ja)
		h.switching()
		h.close(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.commit()
		h.open(jb)
	}},
	{"what an old active wrote by its option file and kept when the role came back is lost", restarts, "I2", func(h *history) {
		h.strayKept()
		h.open(ja)
		h.steady()
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
	}},
	{"what who takes over wrote before by its option file is lost", restarts, "I2", func(h *history) {
		h.astray(1)
		h.promote(cluster.RiskRefused)
		h.open(jb)
		h.steady()
		h.switching()
		h.close(jb)
		h.commit()
		h.open(ja)
	}},
	{"what an old active wrote by its option file, and both had as the round ended, is lost", restarts, "I2", func(h *history) {
		h.Open(h.tick(), jb, true, ByBoot)
		h.write(jb)
		h.g.has[ja][h.row] = true
		h.close(jb)
		h.Again(h.tick(), h.rec, false)
		delete(h.g.has[ja], h.row)
		h.final(nil)
	}},
	{"what an old active wrote by its option file is lost with it", restarts, "", func(h *history) {
		h.strayKept()
		delete(h.g.has[ja], h.row)
		h.open(ja)
		h.steady()
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
	}},
	{"acknowledged by an old active that its option file opened before the other was named", Promise{MaxLoss: -1, RestartsOpen: true}, "I2", func(h *history) {
		h.switching()
		h.close(ja)
		h.Open(h.tick(), ja, true, ByBoot)
		h.write(ja)
		h.Open(h.tick(), ja, false, ByAgent)
		h.commit()
		h.open(jb)
	}},
	{"a loss that a view tells of an old active that was started meanwhile", Promise{MaxLoss: 0}, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Started(h.tick(), ja)
		h.g.known = 2
		h.promote(cluster.RiskHung)
	}},
	{"a loss that a view tells of an old active that was started before", Promise{MaxLoss: 0}, "I2", func(h *history) {
		h.die(ja)
		h.Started(h.tick(), ja)
		h.revoke(ja, jb)
		h.g.known = 2
		h.promote(cluster.RiskHung)
	}},
}
