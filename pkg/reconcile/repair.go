package reconcile

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// errPosition is the error by which a source refuses a position: ER_MASTER_FATAL_ERROR_READING_BINLOG.
const errPosition = 1236

// errOutOfOrder is the error by which MariaDB's applier refuses, in strict mode, a transaction that its
// own binary log has gone past: ER_GTID_STRICT_OUT_OF_ORDER.
const errOutOfOrder = 1950

// repairPassive: the closed passive replicates from the active when its
// transactions are a subset of the active's, and is put into quarantine when
// they are not.
func (in *Input) repairPassive(p Plan) Plan {
	if !in.Theirs.answersNow(in.Now) {
		p.Suspect = in.Memory.Suspect
		if in.Memory.Errant != "" {
			p.Deed = cluster.DeedQuarantine
			return p.because(reasonErrant(in.Memory.Errant))
		}
		return p.because(ReasonPeerUnseen)
	}
	c := in.compare(in.Mine, in.Theirs)
	p.Suspect, p.Verified = c.set, c.relation == subset
	ch := in.Mine.Channel()
	switch c.relation {
	case unreadable:
		return p.because(c.why)
	case unordered:
		p.AskPeer = true
		if ch.Replicates(in.Peer) && c.set == "" {
			return p
		}
		return p.because(ReasonComparing)
	case suspicious:
		return p.because(ReasonComparing)
	case errant:
		p.Errant, p.Deed = c.set, cluster.DeedQuarantine
		p = p.because(reasonErrant(c.set))
		if ch.Configured && !ch.Stopped() && !safeguard.Off(safeguard.Quarantine) {
			p = p.with(step(StopReplication, "", whyQuarantine))
		}
		return p
	}
	if why, no := Stranger(in.Mine.Server, in.Theirs.Server); no && !ch.Replicates(in.Peer) {
		return p.because(why)
	}
	if missing := Lost(in.Mine.Server, in.Theirs.Server); missing != "" && ch.Configured && ch.Source == in.Peer {
		return p.because(reasonRebuild(missing))
	}
	if !in.tells(&in.Mine) && in.startable(ch) {
		return p.with(step(Read, "", ReasonComparing))
	}
	if !in.takesOwnBack() {
		var lost string
		var sure bool
		if p, lost, sure = in.surelyLost(p); !sure {
			return p
		}
		if lost != "" {
			return p.because(reasonSkips(lost))
		}
	}
	return in.start(p)
}

// takesOwnBack reports whether the server may receive what it once wrote itself: one of MariaDB that
// acknowledges, with gtid_strict_mode, does not skip it.
func (in *Input) takesOwnBack() bool {
	return in.Mine.Server.Flavor == cluster.MariaDB && in.Record.Durability.Acknowledged()
}

// repairActive: the active receives from the passive only while the passive is
// seen, closed, and has nothing that the active lacks.
func (in *Input) repairActive(p Plan) Plan {
	ch := in.Mine.Channel()
	if !ch.Configured {
		return p
	}
	if ch.Source != in.Peer {
		return p.because(reasonSource(ch.Source))
	}
	distrust := func(r cluster.Reason) Plan {
		p = p.because(r)
		if in.receives(ch) {
			p = p.with(step(StopIO, "", whyUnverified))
		}
		return p
	}
	if in.Theirs.Began == 0 && in.Theirs.Cause == cluster.CauseNone {
		return p.because(ReasonPeerUnseen)
	}
	if !in.Theirs.answersNow(in.Now) {
		p.Suspect = in.Memory.Suspect
		return distrust(ReasonPeerUnseen)
	}
	if !in.Theirs.Closed() {
		return distrust(ReasonPeerNotClosed)
	}
	c := in.compare(in.Theirs, in.Mine)
	p.Suspect = c.set
	switch c.relation {
	case unreadable:
		return distrust(c.why)
	case errant:
		return distrust(cluster.Reason{Code: "peer-errant", Text: "the other server is in quarantine: " + c.set})
	case suspicious:
		return p.because(ReasonComparing)
	case unordered:
		if in.Theirs.PosBegan == 0 {
			p.AskPeer = true
			return p.because(ReasonComparing)
		}
		p = p.with(step(Read, "", ReasonComparing))
		if ch.Replicates(in.Peer) && c.set == "" {
			return p
		}
		return p.because(ReasonComparing)
	}
	if why, no := Stranger(in.Theirs.Server, in.Mine.Server); no && !ch.Replicates(in.Peer) {
		return p.because(why)
	}
	// A passive that has been open since it was read may have taken something.
	if in.startable(ch) && (!in.tells(&in.Theirs) || in.Theirs.PosBegan < in.Mine.PosBegan && !safeguard.Off(safeguard.ReadSinceStop)) {
		p.AskPeer = true
		return p.because(ReasonComparing)
	}
	if in.positionBehind(ch) {
		if in.Now < in.Memory.StartAfter {
			return p.because(reasonPositionOfActive(ch))
		}
		return p.with(step(Reposition, "", whyReposition))
	}
	return in.start(p)
}

// positionBehind reports whether MariaDB's channel of the active has stopped since its position is behind
// what the server wrote itself, as it is as long as that has not come back to it: a passive that was rebuilt
// from the active, or has purged its logs, does not know it, and an active whose server_id was changed does
// not know its own transactions when they come. The passive has nothing that the active lacks: whatever is
// left out, the active has it. Of a passive the same would say nothing of what the active's logs hold before
// its last transaction, since a position has but one number for each server.
func (in *Input) positionBehind(ch cluster.Channel) bool {
	if in.Mine.Server.Flavor != cluster.MariaDB || !ch.GTID || !in.startable(ch) {
		return false
	}
	return ch.IO == cluster.ThreadNo && ch.IOErrno == errPosition && ch.SQLErrno == 0 || ch.SQL == cluster.ThreadNo && ch.SQLErrno == errOutOfOrder
}

// tells reports whether s shows all that a closed server has: an agent that obeyed
// the order before may have opened it for a moment after an older sample.
func (in *Input) tells(s *Sample) bool { return s.positionCurrent() && s.PosBegan >= in.OrderTick }

// startable reports whether the channel is one that start would start.
func (in *Input) startable(ch cluster.Channel) bool {
	return !in.Paused && ch.Configured && ch.Source == in.Peer && (ch.IO == cluster.ThreadNo || ch.SQL != cluster.ThreadYes)
}

// start starts what is stopped of a channel whose two servers were compared.
func (in *Input) start(p Plan) Plan {
	ch := in.Mine.Channel()
	switch {
	case !ch.Configured:
		return p.because(ReasonNoChannel)
	case ch.Source != in.Peer:
		return p.because(reasonSource(ch.Source))
	case !in.Mine.Server.GTIDMode || !ch.GTID:
		return p.because(ReasonNoGTID)
	case ch.SQL != cluster.ThreadYes && ch.SQLErrno != 0:
		return p.because(reasonSQLError(ch.SQLErrno, ch.SQLError))
	case ch.Replicates(in.Peer):
		return p
	case ch.IO != cluster.ThreadNo && ch.SQL == cluster.ThreadYes:
		return p.because(ReasonSourceConnecting)
	case in.Paused:
		return p.because(ReasonPaused)
	case in.Now < in.Memory.StartAfter && ch.IO == cluster.ThreadNo && ch.IOErrno == errPosition:
		return p.because(reasonPositionRefused(ch.IOError))
	case in.Now < in.Memory.StartAfter:
		return p.because(ReasonStartLater)
	case ch.IO != cluster.ThreadNo:
		return p.with(step(StartSQL, "", whyVerified))
	case ch.SQL == cluster.ThreadYes:
		return p.with(step(StartIO, "", whyVerified))
	}
	return p.with(step(StartReplication, "", whyVerified))
}
