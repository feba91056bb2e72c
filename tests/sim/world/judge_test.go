package world

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestJudge(t *testing.T) {
	async := Promise{MaxLoss: -1}
	leasing := Promise{MaxLoss: -1, Leases: true}
	blocking := Promise{MaxLoss: -1, FailoverBlock: time.Second}
	strict := Promise{MaxLoss: 0}
	restarts := Promise{MaxLoss: -1, RestartsOpen: true}
	for _, c := range []struct {
		name    string
		promise Promise
		want    string // the invariant; empty: all are kept
		tell    func(h *history)
	}{
		{"a failover with a proof", async, "", func(h *history) {
			h.write(ja, jb)
			h.die(ja)
			h.failover(ja, jb, cluster.ProofFenced)
			h.write(jb, ja)
			h.final(nil)
		}},
		{"a switchover", async, "", func(h *history) {
			h.write(ja, jb)
			h.switching()
			h.close(ja)
			h.commit()
			h.open(jb)
			h.steady()
			h.write(jb, ja)
			h.final(nil)
		}},

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
		{"a row is missing at the end", async, "I2", func(h *history) {
			n := h.write(ja)
			delete(h.g.has[ja], n)
			h.final(nil)
		}},

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

		{"nobody takes over for long", Promise{MaxLoss: -1, Silence: time.Second}, "L3", func(h *history) {
			h.die(ja)
			h.Headless(h.t+2*(time.Second+toReplace), ja, h.t)
		}},
		{"nobody takes over yet", Promise{MaxLoss: -1, Silence: time.Second}, "", func(h *history) {
			h.die(ja)
			h.Headless(h.t+2*(time.Second+toReplace)-1, ja, h.t)
		}},
		{"nobody takes over where a person has written", Promise{MaxLoss: -1, Silence: time.Second}, "", func(h *history) {
			h.Interfered(h.tick(), 9)
			h.die(ja)
			h.Headless(h.t+time.Minute, ja, h.t)
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
		{"the role is given back beside a server that is open by another Redis", async, "", func(h *history) {
			h.RedisFault(h.tick(), true)
			h.die(ja)
			h.failover(ja, jb, cluster.RiskRefused)
			h.change("given back", cluster.Assignment{Epoch: h.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseOpening, Active: ja, Passive: jb,
				From: jb, To: ja, Cause: "the old active is back", Proof: cluster.ProofGone})
			h.open(ja)
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
		{"the active of a planned change starts open and lacks a row", Promise{MaxLoss: -1, RestartsOpen: true}, "I2", func(h *history) {
			h.write(ja)
			h.switching()
			h.close(ja)
			h.commit()
			h.Open(h.tick(), jb, true, ByBoot)
			h.steady()
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
		{"taken over by who cannot apply what it received before its option file opened it", restarts, "I2", func(h *history) {
			h.g.stuck = true
			h.Received(h.tick(), jb, h.write(ja))
			h.barred(1, 0)
		}},
		{"taken over by who cannot apply what it received after its option file had opened it long ago", restarts, "I2", func(h *history) {
			h.g.stuck = true
			h.barred(1, unseen)
		}},
		{"opened with what a person wrote just now", async, "", func(h *history) {
			h.die(ja)
			h.Interfered(h.tick(), 99)
			h.loses(jb, 1)
			h.applied(jb, 1)
			h.failover(ja, jb, cluster.RiskRefused)
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

		{"the active is closed at the end", async, "L1", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[0].Open = false })
		}},
		{"the passive is open at the end", async, "I5", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[1].Open = true })
		}},
		{"only the passive is open at the end", async, "I5", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[0].Open, f.Servers[1].Open = false, true })
		}},
		{"a server is down at the end", async, "I5", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[1].Up = false })
		}},
		{"the passive lets the application in at the end", Promise{Blocks: true}, "I5", func(h *history) { h.final(nil) }},
		{"the passive keeps the application out at the end", Promise{Blocks: true}, "", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[1].Locked = true })
		}},
		{"the active keeps the application out at the end", Promise{Blocks: true}, "L1", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[0].Locked, f.Servers[1].Locked = true, true })
		}},
		{"the active keeps the application out after disk and Redis have lost why", Promise{Blocks: true}, "", func(h *history) {
			h.Forgets(h.tick())
			h.RedisFault(h.tick(), false)
			h.final(func(f *FinalFacts) { f.Servers[0].Locked, f.Servers[1].Locked = true, true })
		}},
		{"the active keeps the application out after a disk failed", Promise{Blocks: true}, "L1", func(h *history) {
			h.Forgets(h.tick())
			h.final(func(f *FinalFacts) { f.Servers[0].Locked, f.Servers[1].Locked = true, true })
		}},
		{"nobody is active at the end", async, "L1", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.loses(ja, 1)
			h.loses(jb, 1)
			h.final(nil)
		}},
		{"nobody is active at the end since both have rows after a risk", async, "", func(h *history) {
			h.Trouble(0)
			h.failover(ja, jb, cluster.RiskHung)
			h.close(ja)
			h.die(jb)
			h.override(jb, ja, causeOverride)
			h.loses(ja, 1)
			h.loses(jb, 1)
			h.final(nil)
		}},
		{"the passive does not replicate at the end", async, "L2", func(h *history) {
			h.final(func(f *FinalFacts) { f.Servers[1].IO = false })
		}},
		{"the passive is in quarantine for nothing", async, "L2", func(h *history) {
			h.final(func(f *FinalFacts) {
				f.Servers[1] = FinalServer{Up: true, Quarantined: true, Reason: "errant"}
				f.Servers[0].IO = false
			})
		}},
		{"the passive is in quarantine for an epoch row that the active lacks", async, "", func(h *history) {
			h.g.extra[jb] = [2]int{0, 1}
			h.final(func(f *FinalFacts) {
				f.Servers[1] = FinalServer{Up: true, Quarantined: true, Reason: "errant"}
				f.Servers[0].IO = false
			})
		}},
		{"the passive is in quarantine without a reason", async, "L2", func(h *history) {
			h.loses(jb, 1)
			h.final(func(f *FinalFacts) {
				f.Servers[1] = FinalServer{Up: true, Quarantined: true}
				f.Servers[0].IO = false
			})
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
		{"acknowledged by an old active that its option file opened before the other was named", Promise{MaxLoss: -1, RestartsOpen: true}, "I2", func(h *history) {
			h.switching()
			h.close(ja)
			h.Open(h.tick(), ja, true, ByBoot)
			h.write(ja)
			h.Open(h.tick(), ja, false, ByAgent)
			h.commit()
			h.open(jb)
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

		{"held at the end for a row that a person wrote to one server", async, "", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Interfered(h.tick(), 99)
			h.g.has[jb][99] = true
			h.final(nil)
		}},
		{"held at the end though the row of a person is on both servers", async, "L1", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Interfered(h.tick(), 99)
			h.g.has[ja][99], h.g.has[jb][99] = true, true
			h.final(nil)
		}},
		{"held at the end for a row of a person without a word", async, "L1", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Interfered(h.tick(), 99)
			h.g.has[jb][99] = true
			h.final(func(f *FinalFacts) { f.Verdict = "" })
		}},
		{"held at the end for a candidate whose applier a person stopped", async, "", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Halted(h.tick(), jb, false)
			h.final(func(f *FinalFacts) { f.Servers[1].SQL = false })
		}},
		{"held at the end for a candidate that nobody stopped", async, "L1", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Halted(h.tick(), ja, false)
			h.final(func(f *FinalFacts) { f.Servers[1].SQL = false })
		}},
		{"held at the end for a candidate that replicates again", async, "L1", func(h *history) {
			h.die(ja)
			h.revoke(ja, jb)
			h.Halted(h.tick(), jb, false)
			h.final(nil)
		}},

		{"a failover for nothing", async, "I6", func(h *history) { h.revoke(ja, jb) }},
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
		{"the active replicates from a passive that has just started open", Promise{MaxLoss: -1, RestartsOpen: true}, "", func(h *history) {
			h.Open(h.tick(), jb, true, ByBoot)
			h.loses(jb, 1)
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
		{"a paused opener wakes after a proof", async, "I1b", func(h *history) {
			h.die(ja)
			h.Stalled(h.tick())
			h.failover(ja, jb, cluster.ProofFenced)
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

		{"made to replicate with rows of its own", async, "I8", func(h *history) {
			h.loses(jb, 1)
			h.Threads(h.tick(), jb, ja)
		}},
		{"made to replicate from a passive with rows of its own", async, "I8", func(h *history) {
			h.loses(jb, 1)
			h.Threads(h.tick(), ja, jb)
		}},
		{"made to replicate what a person wrote just now", async, "", func(h *history) {
			h.Interfered(h.tick(), 99)
			h.loses(jb, 1)
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
		{"not in quarantine at the end with rows of its own", async, "I8", func(h *history) {
			h.loses(jb, 1)
			h.final(nil)
		}},
		{"in quarantine at the end and replicating", async, "I8", func(h *history) {
			h.loses(jb, 1)
			h.final(func(f *FinalFacts) { f.Servers[1].Quarantined, f.Servers[1].Reason = true, "errant" })
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

		{"an agent closes the active for nothing", async, "I13", func(h *history) { h.close(ja) }},
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
	} {
		t.Run(c.name, func(t *testing.T) {
			h := begin(c.promise)
			c.tell(h)
			switch v := h.Violation(); {
			case v == nil && c.want != "":
				t.Errorf("broke nothing, want %s", c.want)
			case v != nil && v.Invariant != c.want:
				t.Errorf("%s, want %q", v, c.want)
			}
		})
	}
}

func TestJudgeFirstStart(t *testing.T) {
	for _, c := range []struct {
		name string
		open []cluster.Endpoint
		pick cluster.Endpoint
		how  cluster.Proof
		want string
	}{
		{"closed servers", nil, ja, cluster.ProofGone, ""},
		{"the open one", []cluster.Endpoint{jb}, jb, cluster.ProofGone, ""},
		{"both open", []cluster.Endpoint{ja, jb}, ja, cluster.RiskBothOpen, ""},
		{"both open and nobody says so", []cluster.Endpoint{ja, jb}, ja, cluster.ProofGone, "I7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := begin(Promise{MaxLoss: -1})
			h.Judge = NewJudge(h.Judge.p, h.g)
			h.rec = cluster.Assignment{}
			h.Begin(h.rec, c.open...)
			h.t += time.Second
			next := cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: c.pick, To: c.pick,
				Passive: h.other(c.pick), Cause: "first start", Proof: c.how}
			h.change("first start", next)
			if len(c.open) == 2 {
				h.close(h.other(c.pick))
			}
			h.open(c.pick)
			h.eligible(h.other(c.pick))
			h.write(c.pick, h.other(c.pick))
			h.final(nil)
			got := ""
			if v := h.Violation(); v != nil {
				got = v.Invariant
			}
			if got != c.want {
				t.Errorf("%v, want %q", h.Violation(), c.want)
			}
		})
	}
}

// A server that was open before there was a record is the agents' once it is named.
func TestJudgeAdopts(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	h.Judge = NewJudge(h.Judge.p, h.g)
	h.rec = cluster.Assignment{}
	h.Begin(h.rec, jb)
	h.change("first start", cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: jb, To: jb,
		Passive: ja, Cause: "first start", Proof: cluster.ProofGone, Eligible: []cluster.Endpoint{ja}})
	h.open(ja)
	if v := h.Violation(); v == nil || v.Invariant != "I1b" {
		t.Errorf("%v, want I1b", v)
	}
}

// A first start that Redis lost counts once an agent has obeyed it.
func TestJudgeSecondFirstStart(t *testing.T) {
	for _, heard := range []bool{false, true} {
		h := begin(Promise{MaxLoss: -1})
		h.Judge = NewJudge(h.Judge.p, h.g)
		h.rec = cluster.Assignment{}
		h.Begin(h.rec)
		first := cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: jb, To: jb,
			Passive: ja, Cause: "first start", Proof: cluster.ProofGone}
		h.change("first start", first)
		if heard {
			h.Obeys(h.tick(), "1", first)
		}
		h.RedisFault(h.tick(), false)
		h.rec = cluster.Assignment{}
		first.Active, first.To, first.Passive = ja, ja, jb
		h.change("first start", first)
		v := h.Violation()
		if heard != (v != nil) || v != nil && v.Invariant != "I10" {
			t.Errorf("heard: %v: %v", heard, v)
		}
	}
}

func TestJudgeKeepsTheFirst(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	h.close(ja)
	h.open(jb)
	if v := h.Violation(); v == nil || v.Invariant != "I13" || v.At != time.Millisecond {
		t.Errorf("%v, want I13 at 1ms", v)
	}
}

func TestJudgeCounts(t *testing.T) {
	h := begin(Promise{MaxLoss: -1, FailoverBlock: time.Second})
	h.write(ja)
	h.die(ja)
	h.failover(ja, jb, cluster.RiskHung)
	h.eligible(ja)
	h.t += time.Second
	h.unblock()
	h.switching()
	h.close(jb)
	h.commit()
	h.open(ja)
	h.steady()
	h.die(ja)
	h.override(ja, jb, causeOverride)
	h.promote(cluster.ProofOperator)
	h.override(jb, ja, causeForced)
	h.promote(cluster.ProofOperator)
	want := map[Counter]uint32{SawOverridden: 1, SawOverriddenForced: 1, SawRowsLost: 1, SawFailoverHung: 1, SawBlocked: 1, SawUnblocked: 1,
		SawEligibleAgain: 1, SawSwitchoverDone: 1, SawClosedByCrash: 2}
	for c := range countersEnd {
		if h.Seen[c] != want[c] {
			t.Errorf("%s: %d times, want %d", c, h.Seen[c], want[c])
		}
	}
	if v := h.Violation(); v != nil {
		t.Error(v)
	}
}

func TestCounters(t *testing.T) {
	var one, all Counters
	one.Count(SawRebuilt)
	all.Add(&one)
	all.Add(&one)
	if all[SawRebuilt] != 2 || len(all.Zero()) != int(countersEnd)-1 {
		t.Errorf("counted %d, %d are zero", all[SawRebuilt], len(all.Zero()))
	}
	names := map[string]bool{}
	for c := range countersEnd {
		if c.String() == "" || names[c.String()] {
			t.Errorf("counter %d has the name %q", int(c), c)
		}
		names[c.String()] = true
	}
	lines := strings.Split(strings.TrimSuffix(all.String(), "\n"), "\n")
	if len(lines) != int(countersEnd) {
		t.Fatalf("%d lines", len(lines))
	}
	for c, line := range lines {
		if strings.HasPrefix(line, "!") != (Counter(c) != SawRebuilt) || !strings.HasSuffix(line, Counter(c).String()) {
			t.Errorf("line %d: %q", c, line)
		}
	}
}

// A fact that breaks nothing must cost nothing: there are millions of them.
func TestJudgeAllocatesNothing(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	n := h.write(ja, jb)
	h.Obeys(0, "1", h.rec)
	h.Row(0, ja, cluster.Mark{Epoch: 5, Active: ja})
	got := testing.AllocsPerRun(100, func() {
		h.Open(h.t, ja, false, ByDeath)
		h.Open(h.t, ja, true, ByAgent)
		h.Acked(h.t, ja, n)
		h.Received(h.t, jb, n)
		h.Obeys(h.t, "1", h.rec)
		h.Row(h.t, ja, cluster.Mark{Epoch: 5, Active: ja})
		h.Leads(h.t, "1", 1)
		h.Threads(h.t, jb, ja)
	})
	if got != 0 || h.Violation() != nil {
		t.Errorf("%v allocations, %v", got, h.Violation())
	}
}
