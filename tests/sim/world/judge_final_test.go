package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// storiesOfFinal are of a pair after the heal.
var storiesOfFinal = []story{
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

	{"held at the end for a row that a person wrote to one server", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Interfered(h.tick(), 99)
		h.g.has[jb][99] = true
		h.final(nil)
	}},
	{"held at the end for a row of a person, and an acknowledged one is missing", async, "I2", func(h *history) {
		delete(h.g.has[ja], h.write(ja))
		h.die(ja)
		h.revoke(ja, jb)
		h.interferes(jb, 99)
		h.final(nil)
	}},
	{"held at the end for a row of a person, and one that the passive never had is there", async, "", func(h *history) {
		h.write(ja)
		h.die(ja)
		h.revoke(ja, jb)
		h.interferes(jb, 99)
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
	{"held at the end with rows of a person on either side", async, "", func(h *history) {
		h.apart()
		h.final(func(f *FinalFacts) { f.Verdict = "only a:3306 has this, only b:3306 has that" })
	}},
	{"held at the end with rows of a person on either side, and one of them is not named", async, "L1", func(h *history) {
		h.apart()
		h.final(func(f *FinalFacts) { f.Verdict = "only a:3306 has this" })
	}},
	{"held at the end with rows on either side, by option files that had both open", async, "", func(h *history) {
		h.rec = cluster.Assignment{}
		h.Begin(h.rec, ja, jb)
		h.loses(ja, 1)
		h.loses(jb, 1)
		h.final(func(f *FinalFacts) { f.Verdict = "only a:3306 has this, only b:3306 has that" })
	}},
	{"held at the end with rows on either side, by option files that opened one after the other", restarts, "", func(h *history) {
		h.revokedApart()
		h.Open(h.tick(), jb, true, ByBoot)
		h.write(jb)
		h.close(jb)
		h.final(nil)
	}},
	{"held at the end with rows on either side, which no option file had opened", restarts, "L1", func(h *history) {
		h.revokedApart()
		h.final(nil)
	}},
	{"held at the end with rows on either side that nobody explains", async, "L1", func(h *history) {
		h.rec = cluster.Assignment{}
		h.Begin(h.rec, ja)
		h.loses(ja, 1)
		h.loses(jb, 1)
		h.final(func(f *FinalFacts) { f.Verdict = "only a:3306 has this, only b:3306 has that" })
	}},
	{"held at the end for a row of a person, with a server open that an agent opened", async, "I5", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Interfered(h.tick(), 99)
		h.g.has[jb][99] = true
		h.final(func(f *FinalFacts) { f.Servers[0].Open = true })
	}},
	{"held at the end for a row of a person, with a server open that the person opened", async, "", func(h *history) {
		h.die(ja)
		h.revoke(ja, jb)
		h.Interfered(h.tick(), 99)
		h.g.has[jb][99] = true
		h.console(jb)
		h.final(func(f *FinalFacts) { f.Servers[1].Open = true })
	}},
	{"a first start names one of two with rows of a person", async, "I4", func(h *history) {
		h.apart()
		h.firstStart(cluster.ProofGone)
	}},
	{"a first start names the one of two with rows of a person that is in use, and the other is not seen", async, "", func(h *history) {
		h.apart()
		h.firstStart(cluster.RiskUnseen)
	}},
	{"a first start names one of two before anybody can have seen a person's row", async, "", func(h *history) {
		h.apart()
		h.Interfered(h.tick(), 98)
		h.firstStart(cluster.ProofGone)
	}},
	{"a first start names the one that has all rows of a person", async, "", func(h *history) {
		h.apart()
		h.g.has[ja][98] = true
		h.firstStart(cluster.ProofGone)
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

	{"not in quarantine at the end with rows of its own", async, "I8", func(h *history) {
		h.loses(jb, 1)
		h.final(nil)
	}},
	{"in quarantine at the end and replicating", async, "I8", func(h *history) {
		h.loses(jb, 1)
		h.final(func(f *FinalFacts) { f.Servers[1].Quarantined, f.Servers[1].Reason = true, "errant" })
	}},
}
