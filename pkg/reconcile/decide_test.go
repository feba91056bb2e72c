package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

func maria(in *input) {
	for _, sample := range []*reconcile.Sample{&in.Mine, &in.Theirs} {
		sample.Server.Flavor, sample.Server.Executed = cluster.MariaDB, "0-1-10,0-2-3"
	}
}

func refusedPosition(in *input) {
	ch := &in.Mine.Server.Channel
	ch.IO, ch.SQL, ch.IOErrno, ch.IOError = cluster.ThreadNo, cluster.ThreadYes, 1236, "not in the binlog"
}

func outOfOrder(in *input) {
	ch := &in.Mine.Server.Channel
	ch.SQL, ch.SQLErrno, ch.SQLError = cluster.ThreadNo, 1950, "out-of-order sequence number"
}

func TestDecide(t *testing.T) {
	order := cluster.Order{Epoch: 5, Version: 3}
	own := u1 + ":1-10," + u2 + ":1-3"
	rows := []struct {
		name   string
		in     reconcile.Input
		steps  []reconcile.Kind
		deed   cluster.Deed
		reason string
		check  func(reconcile.Plan) bool
	}{
		{name: "a passive that is closed and replicates needs nothing",
			in: given(), deed: cluster.DeedClosed, check: func(p reconcile.Plan) bool { return p.Closed && p.Verified }},
		{name: "an active that is open needs nothing",
			in: given(onActive), deed: cluster.DeedOpen, check: func(p reconcile.Plan) bool { return p.Opened }},
		{name: "nothing is done while Redis is away",
			in: given(mineRO(cluster.No), func(in *input) { in.Known = false }), reason: "bus-away"},
		{name: "nothing is done when the record is gone",
			in: given(remembers(order), func(in *input) { in.Record = cluster.Assignment{} }), reason: "record-gone",
			check: func(p reconcile.Plan) bool { return p.Frozen }},
		{name: "the predecessor's mode is not obeyed when the record is gone",
			in: given(remembers(order), mode(b, a)), reason: "record-gone"},
		{name: "nothing is done when the record is of an older epoch",
			in: given(mineRO(cluster.No), remembers(cluster.Order{Epoch: 6, Version: 1})), reason: "record-older"},
		{name: "nothing is done when the record is of an older version",
			in: given(remembers(cluster.Order{Epoch: 5, Version: 4})), reason: "record-older"},
		{name: "nothing is done when the record says something else under the same number",
			in: given(remembers(order), phase(cluster.PhaseSteady, a, b)), reason: "record-conflict"},
		{name: "a higher epoch ends the freeze",
			in: given(mineRO(cluster.No), remembers(cluster.Order{Epoch: 4, Version: 9})), steps: kinds(reconcile.Close)},
		{name: "a record that names a stranger is refused",
			in: given(mineRO(cluster.No), func(in *input) { in.Record.Active = x }), reason: "stranger"},
		{name: "an unknown phase is not obeyed",
			in: given(mineRO(cluster.No), phase("melting", a, b)), reason: "phase"},
		{name: "a steady record without an active is not obeyed",
			in: given(mineRO(cluster.No), func(in *input) { in.Record.Active = "" }), reason: "malformed"},

		{name: "a passive found open is closed",
			in: given(mineRO(cluster.No)), steps: kinds(reconcile.Close)},
		{name: "a passive whose role went without a proof is closed in full though it is closed",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.RiskRefused)), steps: kinds(reconcile.Close)},
		{name: "it is closed in full once per epoch",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.RiskRefused),
				memory(func(m *reconcile.Memory) { m.Closed = cluster.Order{Epoch: 5, Version: 1} })), deed: cluster.DeedClosed},
		{name: "it is closed again when it was opened again",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.RiskRefused), mineRO(cluster.No),
				memory(func(m *reconcile.Memory) { m.Closed = cluster.Order{Epoch: 5, Version: 1} })), steps: kinds(reconcile.Close)},
		{name: "another agent's full closing is accepted after a reading of one's own",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.RiskRefused), func(in *input) {
				in.MyReports = []cluster.Report{{Closed: cluster.Order{Epoch: 5, Version: 1}}}
				in.ReportsTick = 15
			}), steps: kinds(reconcile.Read)},
		{name: "another agent's full closing is accepted",
			in: given(phase(cluster.PhaseSteady, b, a), proof(cluster.RiskRefused), func(in *input) {
				in.MyReports = []cluster.Report{{Closed: cluster.Order{Epoch: 5, Version: 1}}}
				in.ReportsTick = 5
			}), deed: cluster.DeedClosed},
		{name: "an unreachable passive is reported after the configured attempts",
			in: given(fails(cluster.CauseConnectTimeout, 3)), deed: cluster.DeedUnreachable, reason: "unreachable"},
		{name: "an unreachable passive is tried first",
			in: given(fails(cluster.CauseConnectTimeout, 2)), deed: cluster.DeedWorking, reason: "unreachable"},
		{name: "a refusing passive is reported at once",
			in: given(fails(cluster.CauseRefused, 1)), deed: cluster.DeedUnreachable, reason: "unreachable"},

		{name: "the revoked server is closed in full though it is closed",
			in: given(phase(cluster.PhaseRevoked, b, a)), steps: kinds(reconcile.Close)},
		{name: "the revoked server that hangs gets the order queued",
			in:   given(phase(cluster.PhaseRevoked, b, a), fails(cluster.CauseAnswerTimeout, 1)),
			deed: cluster.DeedWorking, reason: "unreachable", steps: kinds(reconcile.QueueClose)},
		{name: "the order is queued once",
			in: given(phase(cluster.PhaseRevoked, b, a), fails(cluster.CauseAnswerTimeout, 1),
				memory(func(m *reconcile.Memory) { m.Queued = true })), deed: cluster.DeedUnreachable, reason: "unreachable"},
		{name: "nothing is queued without an open connection",
			in: given(phase(cluster.PhaseRevoked, b, a), fails(cluster.CauseAnswerTimeout, 1),
				memory(func(m *reconcile.Memory) { m.Spare = false })), deed: cluster.DeedWorking, reason: "unreachable"},
		{name: "the new server is drained",
			in: given(phase(cluster.PhaseRevoked, a, b)), steps: kinds(reconcile.Drain)},
		{name: "the new server is closed before it is drained",
			in: given(phase(cluster.PhaseRevoked, a, b), mineRO(cluster.No)), steps: kinds(reconcile.Close)},
		{name: "the new server is drained once",
			in: given(phase(cluster.PhaseRevoked, a, b), threads(cluster.ThreadNo, cluster.ThreadYes),
				memory(func(m *reconcile.Memory) { m.Ready = order })), deed: cluster.DeedDrained},
		{name: "it is drained again when it receives again",
			in:    given(phase(cluster.PhaseRevoked, a, b), memory(func(m *reconcile.Memory) { m.Ready = order })),
			steps: kinds(reconcile.Drain)},

		{name: "a switchover closes the old active gently",
			in: given(onActive, phase(cluster.PhaseSwitching, a, b)), steps: kinds(reconcile.CloseGently)},
		{name: "an earlier closing of the epoch does not count for a switchover",
			in: given(onActive, phase(cluster.PhaseSwitching, a, b), mineRO(cluster.Yes),
				memory(func(m *reconcile.Memory) { m.Closed = cluster.Order{Epoch: 5, Version: 1} })), steps: kinds(reconcile.CloseGently)},
		{name: "a refusal is not repeated for the same order",
			in:   given(onActive, phase(cluster.PhaseSwitching, a, b), memory(func(m *reconcile.Memory) { m.Refused = order })),
			deed: cluster.DeedRefused, reason: "refused"},
		{name: "the new server waits for the closing",
			in: given(phase(cluster.PhaseSwitching, a, b)), deed: cluster.DeedClosed, reason: "wait-close"},
		{name: "the new server catches up with what the closed one reports",
			in: given(phase(cluster.PhaseSwitching, a, b), func(in *input) {
				in.PeerReports = []cluster.Report{{Closed: order, Executed: u1 + ":1-12"}, {Closed: order, Executed: u1 + ":1-11"}}
			}), steps: kinds(reconcile.CatchUp),
			check: func(p reconcile.Plan) bool { return p.Steps[0].Target == u1+":1-12" }},
		{name: "a closing under another order does not count",
			in: given(phase(cluster.PhaseSwitching, a, b), func(in *input) {
				in.PeerReports = []cluster.Report{{Closed: cluster.Order{Epoch: 5, Version: 2}, Executed: u1 + ":1-12"}}
			}), deed: cluster.DeedClosed, reason: "wait-close"},

		{name: "the new active is opened",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"), drained), steps: kinds(reconcile.Open)},
		{name: "a new active that receives again from the lost one stops that, and applies it, before it is opened",
			in:    given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10")),
			steps: kinds(reconcile.Drain)},
		{name: "what it has received since is applied before it is opened, whoever stopped that",
			in:    given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"), drained, received(u1+":1-12")),
			steps: kinds(reconcile.Drain)},
		{name: "what its applying thread cannot apply holds up no opening",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"), drained, received(u1+":1-12"),
				threads(cluster.ThreadNo, cluster.ThreadNo)), steps: kinds(reconcile.Open)},
		{name: "what a drain that was broken off has not applied is applied before it is opened",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"), drained,
				func(in *input) { in.Memory.Behind = in.Record.Order() }), steps: kinds(reconcile.Drain)},
		{name: "an operator who forces it does not wait for what is still received",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"),
				func(in *input) { in.Record.Cause = cluster.CauseForced }), steps: kinds(reconcile.StopIO, reconcile.Open)},
		{name: "after a switchover the ring stays as it is",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-10"),
				func(in *input) { in.Record.Cause = cluster.CauseSwitchover }), steps: kinds(reconcile.Open)},
		{name: "the new active is not opened beside a server that was open and now refuses logins",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), theirsRO(cluster.No),
				peerFails(cluster.CauseTooMany, 3)), reason: "peer-open"},
		{name: "the new active is not opened before everything demanded is applied",
			in:     given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), target(u1+":1-11")),
			reason: "not-applied"},
		{name: "the new active is not opened beside an open server",
			in:     given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), theirsRO(cluster.No)),
			reason: "peer-open", check: func(p reconcile.Plan) bool { return !p.AskPeer }},
		{name: "a server that was open before the order came is asked whether it still answers",
			in:     given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), theirsRO(cluster.No), func(in *input) { in.OrderTick = 30 }),
			reason: "peer-open", check: func(p reconcile.Plan) bool { return p.AskPeer }},
		{name: "a server last seen open that does not answer holds nothing up",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), theirsRO(cluster.No),
				peerFails(cluster.CauseRefused, 1), drained), steps: kinds(reconcile.Open)},
		{name: "a server that was never tried yet is waited for",
			in:     given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), func(in *input) { in.Theirs = reconcile.Sample{} }),
			reason: "peer-trying"},
		{name: "a server whose connection just ended holds nothing up",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), mineRO(cluster.Yes), theirsRO(cluster.No),
				func(in *input) { in.Theirs.Lost = true }, drained), steps: kinds(reconcile.Open)},
		{name: "an active that came back closed is opened",
			in: given(onActive, mineRO(cluster.Yes)), steps: kinds(reconcile.Open)},
		{name: "being open is acknowledged only after a reading under the order",
			in: given(onActive, func(in *input) { in.OrderTick = 30 }), steps: kinds(reconcile.Read)},
		{name: "replication is left alone while opening",
			in: given(onActive, phase(cluster.PhaseOpening, b, a), threads(cluster.ThreadNo, cluster.ThreadNo)), deed: cluster.DeedOpen},

		{name: "a passive with both threads stopped is started",
			in: given(threads(cluster.ThreadNo, cluster.ThreadNo)), steps: kinds(reconcile.StartReplication), deed: cluster.DeedClosed},
		{name: "a passive that does not receive is made to",
			in: given(threads(cluster.ThreadNo, cluster.ThreadYes)), steps: kinds(reconcile.StartIO), deed: cluster.DeedClosed},
		{name: "a passive that does not apply is made to",
			in: given(threads(cluster.ThreadYes, cluster.ThreadNo)), steps: kinds(reconcile.StartSQL), deed: cluster.DeedClosed},
		{name: "a thread that stopped with an error is reported only",
			in:   given(threads(cluster.ThreadYes, cluster.ThreadNo), func(in *input) { in.Mine.Server.Channel.SQLErrno = 1062 }),
			deed: cluster.DeedClosed, reason: "sql-error"},
		{name: "nothing is started while the active is not seen",
			in:   given(threads(cluster.ThreadNo, cluster.ThreadNo), peerFails(cluster.CauseRefused, 1)),
			deed: cluster.DeedClosed, reason: "peer-unseen"},
		{name: "nothing is started on an old sample of the active",
			in:   given(threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.Theirs.At = in.Now - 4*time.Second }),
			deed: cluster.DeedClosed, reason: "peer-unseen"},
		{name: "nothing is started from a stranger",
			in:   given(threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.Mine.Server.Channel.Source = x }),
			deed: cluster.DeedClosed, reason: "source"},
		{name: "nothing is started right after a start that did not hold",
			in:   given(threads(cluster.ThreadNo, cluster.ThreadNo), memory(func(m *reconcile.Memory) { m.StartAfter = time.Hour })),
			deed: cluster.DeedClosed, reason: "start-later"},
		{name: "nothing is started while the pair is paused",
			in:   given(paused, threads(cluster.ThreadNo, cluster.ThreadNo)),
			deed: cluster.DeedClosed, reason: "paused"},
		{name: "nor read for the sake of starting",
			in:   given(paused, threads(cluster.ThreadYes, cluster.ThreadNo), func(in *input) { in.Mine.Began = 15 }),
			deed: cluster.DeedClosed, reason: "paused"},
		{name: "a pause is no reason where all is well", in: given(paused), deed: cluster.DeedClosed},
		{name: "a passive that is open is closed, pause or not",
			in: given(paused, mineRO(cluster.No)), steps: kinds(reconcile.Close)},
		{name: "the position is read before a start",
			in:    given(threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.Mine.Began = 15 }),
			steps: kinds(reconcile.Read), deed: cluster.DeedClosed},
		{name: "the position is read before a start under an order that is newer than it",
			in:    given(threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.OrderTick = 15 }),
			steps: kinds(reconcile.Read), deed: cluster.DeedClosed},
		{name: "a passive that needs purged logs is to be rebuilt",
			in: given(threads(cluster.ThreadNo, cluster.ThreadNo), executed(u1+":5-10"),
				func(in *input) { in.Theirs.Server.Purged = u1 + ":1-6" }), deed: cluster.DeedClosed, reason: "rebuild",
			check: func(p reconcile.Plan) bool { return strings.HasSuffix(p.Reason.Text, "missing: "+u1+":1-4") }},
		{name: "a copy with the active's own identity is not started",
			in: given(threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) {
				in.Mine.Server.Identity, in.Theirs.Server.Identity = strings.ToUpper(u1), u1
			}), deed: cluster.DeedClosed, reason: "cloned"},
		{name: "the active receives nothing from a copy with its own identity",
			in: given(onActive, threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) {
				in.Mine.Server.Identity, in.Theirs.Server.Identity = u1, u1
			}), deed: cluster.DeedOpen, reason: "cloned"},
		{name: "a passive that was emptied is not started",
			in: given(threads(cluster.ThreadNo, cluster.ThreadNo), executed(""), func(in *input) {
				in.Theirs.Server.Identity, in.Theirs.Server.Executed = u1, u1+":1-10,"+u2+":1"
			}), deed: cluster.DeedClosed, reason: "empty"},
		{name: "a passive that is new is started",
			in: given(threads(cluster.ThreadNo, cluster.ThreadNo), executed(""), func(in *input) {
				in.Theirs.Server.Identity = u1
			}), steps: kinds(reconcile.StartReplication), deed: cluster.DeedClosed},
		{name: "a refused position is told with the source's words",
			in: given(threads(cluster.ThreadNo, cluster.ThreadYes), func(in *input) {
				in.Memory.StartAfter = in.Now + time.Second
				in.Mine.Server.Channel.IOErrno, in.Mine.Server.Channel.IOError = 1236, "purged"
			}), deed: cluster.DeedClosed, reason: "position-refused"},

		{name: "what the active lacks is first a suspicion",
			in: given(executed(own), threads(cluster.ThreadNo, cluster.ThreadNo)), deed: cluster.DeedClosed, reason: "comparing",
			check: func(p reconcile.Plan) bool { return p.Suspect == u2+":1-3" && p.Errant == "" }},
		{name: "what the active seems to lack is nothing when the active was read first",
			in: given(executed(own), func(in *input) { in.Theirs.PosBegan, in.Theirs.PosEnded = 2, 3 }), deed: cluster.DeedClosed,
			check: func(p reconcile.Plan) bool { return p.AskPeer && p.Suspect == "" }},
		{name: "what the active still lacks puts the passive into quarantine",
			in:    given(executed(own), suspected(u2+":1-3", time.Second)),
			steps: kinds(reconcile.StopReplication), deed: cluster.DeedQuarantine, reason: "errant",
			check: func(p reconcile.Plan) bool { return p.Errant == u2+":1-3" }},
		{name: "quarantine stops nothing twice",
			in:   given(executed(own), suspected(u2+":1-3", time.Second), threads(cluster.ThreadNo, cluster.ThreadNo)),
			deed: cluster.DeedQuarantine, reason: "errant"},
		{name: "quarantine outlasts the active",
			in: given(executed(own), peerFails(cluster.CauseRefused, 1),
				memory(func(m *reconcile.Memory) { m.Errant = u2 + ":1-3" })), deed: cluster.DeedQuarantine, reason: "errant"},
		{name: "quarantine ends when the server was rebuilt",
			in: given(suspected(u2+":1-3", time.Second), threads(cluster.ThreadNo, cluster.ThreadNo),
				memory(func(m *reconcile.Memory) { m.Errant = u2 + ":1-3" })),
			steps: kinds(reconcile.StartReplication), deed: cluster.DeedClosed, check: func(p reconcile.Plan) bool { return p.Verified }},

		{name: "the active receives nothing from a server that is not seen",
			in:    given(onActive, peerFails(cluster.CauseRefused, 1)),
			steps: kinds(reconcile.StopIO), deed: cluster.DeedOpen, reason: "peer-unseen"},
		{name: "the active receives nothing from an open server",
			in:    given(onActive, theirsRO(cluster.No)),
			steps: kinds(reconcile.StopIO), deed: cluster.DeedOpen, reason: "peer-not-closed"},
		{name: "the active receives nothing from a server in quarantine",
			in:    given(onActive, suspected(u2+":1-3", time.Second), func(in *input) { in.Theirs.Server.Executed = own }),
			steps: kinds(reconcile.StopIO), deed: cluster.DeedOpen, reason: "peer-errant"},
		{name: "the active's stopped channel is started from a verified passive",
			in: given(onActive, asked, threads(cluster.ThreadNo, cluster.ThreadNo)), steps: kinds(reconcile.StartReplication), deed: cluster.DeedOpen},
		{name: "the active's stopped channel is left alone while the pair is paused",
			in: given(paused, onActive, threads(cluster.ThreadNo, cluster.ThreadYes)), deed: cluster.DeedOpen, reason: "paused"},
		{name: "the active receives nothing from an open server, pause or not",
			in:    given(paused, onActive, theirsRO(cluster.No)),
			steps: kinds(reconcile.StopIO), deed: cluster.DeedOpen, reason: "peer-not-closed"},
		{name: "the active's receiving thread is started from a verified passive",
			in: given(onActive, asked, threads(cluster.ThreadNo, cluster.ThreadYes)), steps: kinds(reconcile.StartIO), deed: cluster.DeedOpen},
		{name: "the active whose position the passive refuses goes on after what it has",
			in: given(onActive, asked, maria, refusedPosition), steps: kinds(reconcile.Reposition), deed: cluster.DeedOpen},
		{name: "it is tried again later",
			in: given(onActive, asked, maria, refusedPosition, memory(func(m *reconcile.Memory) { m.StartAfter = 2 * time.Hour })), deed: cluster.DeedOpen, reason: "position-refused",
			check: func(p reconcile.Plan) bool { return strings.Contains(p.Reason.Text, "the passive refuses") }},
		{name: "not while the pair is paused",
			in: given(paused, onActive, maria, refusedPosition), deed: cluster.DeedOpen, reason: "paused"},
		{name: "not while the passive has something that the active lacks",
			in: given(onActive, maria, refusedPosition, func(in *input) { in.Theirs.Server.Executed = "0-1-10,0-2-4" }), deed: cluster.DeedOpen, reason: "comparing"},
		{name: "not while the passive is open",
			in: given(onActive, maria, refusedPosition, theirsRO(cluster.No)), deed: cluster.DeedOpen, reason: "peer-not-closed"},
		{name: "not after another error of the receiving thread",
			in: given(onActive, asked, maria, refusedPosition, func(in *input) { in.Mine.Server.Channel.IOErrno = 1045 }), steps: kinds(reconcile.StartIO), deed: cluster.DeedOpen},
		{name: "the active that receives what it wrote under another server_id goes on after what it has",
			in: given(onActive, asked, maria, outOfOrder), steps: kinds(reconcile.Reposition), deed: cluster.DeedOpen},
		{name: "that is tried again later too",
			in: given(onActive, asked, maria, outOfOrder, memory(func(m *reconcile.Memory) { m.StartAfter = 2 * time.Hour })), deed: cluster.DeedOpen, reason: "position-refused",
			check: func(p reconcile.Plan) bool { return strings.Contains(p.Reason.Text, "error 1950") }},
		{name: "not while the passive has something that the active lacks, out of order or not",
			in: given(onActive, maria, outOfOrder, func(in *input) { in.Theirs.Server.Executed = "0-1-10,0-2-4" }), deed: cluster.DeedOpen, reason: "comparing"},
		{name: "another error of the active's applier is a person's",
			in: given(onActive, asked, maria, outOfOrder, func(in *input) { in.Mine.Server.Channel.SQLErrno = 1062 }), deed: cluster.DeedOpen, reason: "sql-error"},
		{name: "a passive that may not apply what it receives is a person's",
			in: given(maria, outOfOrder), deed: cluster.DeedClosed, reason: "sql-error"},
		{name: "a passive whose position the active refuses is only started",
			in: given(maria, refusedPosition), steps: kinds(reconcile.StartIO), deed: cluster.DeedClosed},
		{name: "the active's channel is not started from a suspicious passive",
			in:   given(onActive, threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.Theirs.Server.Executed = own }),
			deed: cluster.DeedOpen, reason: "comparing"},
		{name: "the active's channel is not started on a sample of the passive that is older than the order",
			in: given(onActive, threads(cluster.ThreadNo, cluster.ThreadNo), func(in *input) { in.OrderTick = 15 }), deed: cluster.DeedOpen, reason: "comparing",
			check: func(p reconcile.Plan) bool { return p.AskPeer }},
		{name: "the active's channel is not started on a sample of the passive from before it was seen stopped: that may have been open since",
			in: given(onActive, threads(cluster.ThreadNo, cluster.ThreadNo)), deed: cluster.DeedOpen, reason: "comparing",
			check: func(p reconcile.Plan) bool { return p.AskPeer }},
		{name: "the active's channel from elsewhere is left alone",
			in:   given(onActive, func(in *input) { in.Mine.Server.Channel.Source = x }),
			deed: cluster.DeedOpen, reason: "source"},

		{name: "without a record and a mode nothing is done",
			in: given(mode("", ""), mineRO(cluster.No)), reason: "no-record"},
		{name: "a mode that names a stranger is refused",
			in: given(mode(x, b), mineRO(cluster.No)), reason: "stranger"},
		{name: "the mode's passive is closed",
			in: given(mode(a, b), mineRO(cluster.No)), steps: kinds(reconcile.Close)},
		{name: "the mode's passive is not made to replicate while the pair is paused",
			in: given(paused, mode(a, b), threads(cluster.ThreadNo, cluster.ThreadNo)), deed: cluster.DeedClosed, reason: "paused"},
		{name: "the mode's active waits for the closing of the other",
			in: given(mode(b, a)), reason: "peer-open"},
		{name: "the mode's active catches up and is opened",
			in: given(mode(b, a), theirsRO(cluster.Yes)), steps: kinds(reconcile.CatchUp, reconcile.Open)},
		{name: "the mode's active is drained and opened when the other cannot be reached",
			in:    given(mode(b, a), peerFails(cluster.CauseConnectTimeout, 3)),
			steps: kinds(reconcile.Drain, reconcile.Open), check: func(p reconcile.Plan) bool { return p.Risk != "" }},
		{name: "the mode's active is not opened beside a live server that cannot be closed",
			in: given(mode(b, a), peerFails(cluster.CauseAccessDenied, 9)), reason: "peer-alive"},
		{name: "the other is tried as often as configured first",
			in: given(mode(b, a), peerFails(cluster.CauseConnectTimeout, 2)), reason: "peer-trying"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := reconcile.Decide(row.in)
			if diff := cmp.Diff(row.steps, kindsOf(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if p.Deed != row.deed {
				t.Errorf("deed = %q, want %q", p.Deed, row.deed)
			}
			if p.Reason.Code != row.reason {
				t.Errorf("reason = %q (%s), want %q", p.Reason.Code, p.Reason.Text, row.reason)
			}
			if row.check != nil && !row.check(p) {
				t.Errorf("unexpected plan %+v", p)
			}
		})
	}
}

func kinds(k ...reconcile.Kind) []reconcile.Kind { return k }

func kindsOf(p reconcile.Plan) []reconcile.Kind {
	var k []reconcile.Kind
	for _, s := range p.Steps {
		k = append(k, s.Kind)
	}
	return k
}

func TestWants(t *testing.T) {
	at := func(e cluster.Epoch, v uint64, p cluster.Phase, from, to cluster.Endpoint) cluster.Assignment {
		in := given(phase(p, from, to))
		in.Record.Epoch, in.Record.Version = e, v
		return in.Record
	}
	revoked := at(5, 1, cluster.PhaseRevoked, a, b)
	opening := at(5, 2, cluster.PhaseOpening, a, b)
	steady := at(5, 3, cluster.PhaseSteady, a, b)
	switching := at(5, 4, cluster.PhaseSwitching, b, a)
	rows := []struct {
		name      string
		kind      reconcile.Kind
		node      cluster.Endpoint
		then, now cluster.Assignment
		want      bool
	}{
		{"closing the old active is wanted through all phases of a failover", reconcile.Close, a, revoked, steady, true},
		{"closing a server that became active is not wanted", reconcile.Close, b, revoked, opening, false},
		{"killing on a server that is to be closed gently is not wanted", reconcile.Close, b, steady, switching, false},
		{"a gentle closing is wanted under its own order only", reconcile.CloseGently, b, switching, at(5, 5, cluster.PhaseSteady, a, b), false},
		{"opening is wanted when the version moved to steady", reconcile.Open, b, opening, steady, true},
		{"opening is not wanted in a new epoch", reconcile.Open, b, opening, at(6, 1, cluster.PhaseSteady, a, b), false},
		{"opening is not wanted when a switchover began", reconcile.Open, b, steady, switching, false},
		{"opening is not wanted when the record went back", reconcile.Open, b, steady, opening, false},
		{"opening is not wanted when the record is gone", reconcile.Open, b, steady, cluster.Assignment{}, false},
		{"starting replication is wanted under its own order only", reconcile.StartReplication, a, steady, switching, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := reconcile.Wants(row.kind, row.node, row.then, row.now); got != row.want {
				t.Errorf("Wants = %v, want %v", got, row.want)
			}
		})
	}
}
