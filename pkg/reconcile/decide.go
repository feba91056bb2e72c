package reconcile

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// Decide says what to do next to the server in.Self.
func Decide(in Input) Plan {
	if in.alone() {
		return in.closingAlone()
	}
	if !in.Known {
		if in.Leases.Used && in.Mine.Closed() && MayBeOpen(in.Remembers, in.Self) {
			return Plan{}.because(ReasonAlone)
		}
		return Plan{}.because(ReasonBusAway)
	}
	if r, frozen := Frozen(in.Record, in.Remembers); frozen {
		p := Plan{}.because(r)
		p.Frozen = true
		return p
	}
	if !in.Record.Exists() {
		return in.legacy()
	}
	rec := in.Record
	if e := in.stranger(rec.Active, rec.Passive, rec.From, rec.To); e != "" {
		return Plan{}.because(reasonStranger(e))
	}
	switch rec.Phase {
	case cluster.PhaseRevoked:
		return in.revoked()
	case cluster.PhaseSwitching:
		return in.switching()
	case cluster.PhaseOpening, cluster.PhaseSteady:
		return in.assigned()
	}
	return Plan{}.because(reasonPhase(rec.Phase))
}

// Frozen reports whether the record must not be obeyed beside the remembered
// one: it is gone, older, or another one under the same number.
func Frozen(record, remembers cluster.Assignment) (cluster.Reason, bool) {
	switch {
	case !remembers.Exists(), safeguard.Off(safeguard.OlderRefused):
		return cluster.Reason{}, false
	case !record.Exists():
		return ReasonRecordGone, true
	case record.Order().Before(remembers.Order()):
		return reasonOlder(record.Order(), remembers.Order()), true
	case record.Order() == remembers.Order() && !record.SameRoles(remembers):
		return reasonConflict(record.Order()), true
	}
	return cluster.Reason{}, false
}

// MayBeOpen reports whether the record allows e to be open.
func MayBeOpen(rec cluster.Assignment, e cluster.Endpoint) bool {
	switch rec.Phase {
	case cluster.PhaseSteady, cluster.PhaseOpening:
		return rec.Active == e
	case cluster.PhaseSwitching:
		return rec.From == e
	}
	return false
}

// Wants reports whether the record now still wants the step that was decided
// under the record then. It is asked again just before each step that cannot
// be undone.
func Wants(k Kind, e cluster.Endpoint, then, now cluster.Assignment) bool {
	if k == CloseAlone || k == QueueAlone {
		return true
	}
	if now.Order().Before(then.Order()) {
		return false
	}
	switch k {
	case Close, QueueClose:
		return !MayBeOpen(now, e) && (now.Phase != cluster.PhaseSwitching || now.From != e)
	case Open:
		return now.Epoch == then.Epoch && now.Active == e &&
			(now.Phase == cluster.PhaseSteady || now.Phase == cluster.PhaseOpening)
	}
	return now.Order() == then.Order() && now.SameRoles(then)
}

// revoked: nobody may be open; the old active is closed, the new one drained.
func (in *Input) revoked() Plan {
	p, ok := in.closing(Close, in.Self == in.Record.From, whyRevoked)
	if !ok || in.Self != in.Record.To {
		return p
	}
	ch := in.Mine.Channel()
	if in.Memory.Ready == in.Record.Order() && !in.receives(ch) {
		p.Deed = cluster.DeedDrained
		return p
	}
	p.Deed = cluster.DeedNone
	return p.with(step(Drain, in.Record.Target, whyDrain))
}

// switching: the old active is closed without killing what writes, the new one
// catches up with it.
func (in *Input) switching() Plan {
	rec := in.Record
	switch in.Self {
	case rec.From:
		if in.Memory.Refused == rec.Order() {
			p := Plan{}.because(ReasonRefused)
			p.Deed = cluster.DeedRefused
			return p
		}
		p, _ := in.closing(CloseGently, true, whySwitching)
		return p
	case rec.To:
		p, ok := in.closing(Close, false, whyPassive)
		if !ok {
			return p
		}
		if in.Memory.Ready == rec.Order() {
			p.Deed = cluster.DeedCaughtUp
			return p
		}
		target, closed := in.peerClosedAt(rec.Order())
		if !closed {
			return p.because(ReasonWaitClose)
		}
		p.Deed = cluster.DeedNone
		return p.with(step(CatchUp, listed(in.Mine.Server, target), whySwitching))
	}
	p, _ := in.closing(Close, false, whyPassive)
	return p
}

// assigned: the active is to be open, the other closed and, once that is
// steady, replicating.
func (in *Input) assigned() Plan {
	rec := in.Record
	if rec.Active == "" || rec.Active == rec.Passive {
		return Plan{}.because(ReasonMalformed)
	}
	if in.Self == rec.Active {
		target := ""
		if rec.To == in.Self {
			target = rec.Target
		}
		p, ok := in.opening(target)
		if !ok || rec.Phase != cluster.PhaseSteady {
			return p
		}
		return in.tend(in.awaiting(in.repairActive(p)), true)
	}
	unproven := rec.From == in.Self && rec.Proof != cluster.ProofFenced
	why := whyPassive
	if unproven {
		why = whyUnproven
	}
	p, ok := in.closing(Close, unproven, why)
	if safeguard.Off(safeguard.PassiveClosed) {
		p, ok = Plan{}, true
	}
	// The epoch row of an active that is given the role back may itself wait for the passive.
	if !ok || rec.Phase != cluster.PhaseSteady && !rec.Waits {
		return p
	}
	return in.tend(in.acknowledging(in.repairPassive(p)), false)
}

// closing brings the server to closed. With ack it is closed in full, kills
// included, once per order even when it is found closed already: only that ends
// the session of an agent that was paused before opening it. The plan is
// complete unless ok.
func (in *Input) closing(k Kind, ack bool, why cluster.Reason) (p Plan, ok bool) {
	acked := !ack || in.closedAlready(in.Memory.Closed) || safeguard.Off(safeguard.FullClosing)
	if k == Close && !in.Mine.Answers() && in.Mine.Cause != cluster.CauseNone {
		p = in.unreachable()
		if in.Memory.Spare && !in.Memory.Queued && (!acked || !in.Mine.Closed()) {
			p = p.with(step(QueueClose, "", whyHung))
		}
		return p, false
	}
	if wait, busy := in.waiting(); busy {
		return wait, false
	}
	switch {
	case in.Mine.Closed() && acked:
		p.Deed, p.Closed = cluster.DeedClosed, in.Mine.Began >= in.OrderTick
		return p, true
	case in.Mine.Closed() && in.foreignClose():
		if in.Mine.PosBegan < in.ReportsTick {
			return p.with(step(Read, "", why)), false
		}
		p.Deed, p.Closed = cluster.DeedClosed, true
		return p, true
	}
	return p.with(step(k, "", why)), false
}

// closedAlready reports whether o acknowledges the closing that the record
// demands: the very order of a switchover, any of the epoch otherwise.
func (in *Input) closedAlready(o cluster.Order) bool {
	if in.Record.Phase == cluster.PhaseSwitching {
		return o == in.Record.Order()
	}
	return in.Record.Epoch != 0 && o.Epoch == in.Record.Epoch
}

func (in *Input) foreignClose() bool {
	for _, r := range in.MyReports {
		if in.closedAlready(r.Closed) {
			return true
		}
	}
	return false
}

// opening brings the active to open. The plan is complete unless ok.
func (in *Input) opening(target string) (p Plan, ok bool) {
	if wait, busy := in.waiting(); busy {
		return wait, false
	}
	if in.Mine.Open() {
		if in.Mine.Began < in.OrderTick {
			return p.with(step(Read, "", whyActive)), false
		}
		p.Deed, p.Opened = cluster.DeedOpen, true
		return p, true
	}
	if in.Theirs.Began == 0 && in.Theirs.Cause == cluster.CauseNone {
		return p.because(ReasonPeerTrying), false
	}
	if in.Theirs.Open() && !in.Theirs.Lost && in.Theirs.lives() {
		p.AskPeer = in.Theirs.Began < in.OrderTick // it may be gone since: a connection that is not used does not tell
		return p.because(ReasonPeerOpen), false
	}
	if target != "" {
		has, err := applied(in.Mine.Server, target)
		switch {
		case err != nil:
			return p.because(reasonPosition(err)), false
		case !has && in.Mine.PosBegan < in.OrderTick:
			return p.with(step(Read, "", whyActive)), false
		case !has:
			return p.because(ReasonNotAppliedYet), false
		}
	}
	switch {
	case in.Record.Forced() && in.pullsFromLost(in.Mine.Channel()):
		p = p.with(step(StopIO, "", whyUnverified))
	case in.HoldsOfLost(in.Mine.Server), in.Record.Exists() && in.Memory.Behind == in.Record.Order():
		return p.with(step(Drain, target, whyUnverified)), false
	}
	if why, lost := in.lostTail(p); lost {
		return why, false
	}
	if r, must := in.mustWait(); must {
		return p.because(r), false
	}
	return p.with(step(Open, target, whyActive)), false
}

// mustWait is why a server that could be opened is not opened yet.
func (in *Input) mustWait() (cluster.Reason, bool) {
	rec := in.Record
	switch left := in.Memory.ShutAt + ReopenAfter - in.Now; {
	case in.shut() && left > 0:
		return reasonShut(left), true
	case in.Leases.Used && in.Leases.Granted != rec.Epoch:
		return ReasonNoGrant, true
	case in.Leases.Used && rec.Phase == cluster.PhaseOpening && rec.Proof == cluster.ProofLease && !in.Leases.LockOver:
		return ReasonNoLock, true
	}
	return cluster.Reason{}, false
}

// shut reports whether somebody else closed the server under this record or the one
// before it: to be closed for a switchover that is taken back it takes a record between.
func (in *Input) shut() bool {
	was, is := in.Memory.Shut, in.Record.Order()
	return was.Epoch == is.Epoch && was.Version <= is.Version && is.Version <= was.Version+1
}

// HoldsOfLost reports whether the server that takes over from a lost one may still
// receive from it, or is applying what it has received: a restart since it was drained
// starts the threads again, and another agent may have stopped the one of them. Nothing is
// waited for where the risk of a force was taken.
func (in *Input) HoldsOfLost(s cluster.Server) bool {
	switch ch := s.Channel; {
	case in.Record.Forced():
		return false
	case in.pullsFromLost(ch):
		return true
	case !in.takesOverFrom(ch) || ch.SQL != cluster.ThreadYes || safeguard.Off(safeguard.Drain) || safeguard.Off(safeguard.LateArrivals):
		return false
	default:
		all, err := applied(s, ch.Received)
		return err == nil && !all
	}
}

// takesOverFrom reports whether ch is the channel to a lost server whose role this one takes.
func (in *Input) takesOverFrom(ch cluster.Channel) bool {
	return in.Record.Phase == cluster.PhaseOpening && !in.Record.Planned() && ch.Source == in.Peer
}

func (in *Input) pullsFromLost(ch cluster.Channel) bool {
	return in.takesOverFrom(ch) && in.receives(ch)
}

// receives reports whether the channel receives or may do so at any moment.
func (in *Input) receives(ch cluster.Channel) bool {
	return ch.Configured && ch.IO != cluster.ThreadNo && !in.Memory.Stopping
}

// waiting returns the plan for a server that cannot be worked on now.
func (in *Input) waiting() (Plan, bool) {
	switch {
	case in.Mine.Cause != cluster.CauseNone:
		return in.unreachable(), true
	case !in.Memory.Connected:
		return Plan{}.because(ReasonConnecting), true
	case in.Mine.Began == 0, in.Mine.Server.ReadOnly == cluster.Unknown:
		return Plan{}.because(ReasonReading).with(step(Read, "", ReasonReading)), true
	}
	return Plan{}, false
}

// unreachable: said at once when the port refuses or the closing order is
// queued, otherwise after as many attempts as configured.
func (in *Input) unreachable() Plan {
	p := Plan{}.because(reasonUnreachable(in.Mine.Cause))
	p.Deed = cluster.DeedWorking
	switch c := in.Mine.Cause; {
	case c == cluster.CauseRefused, c == cluster.CauseEnded, c == cluster.CauseStopped, in.Memory.Queued, in.Mine.Failures >= in.Tries:
		p.Deed = cluster.DeedUnreachable
	}
	return p
}

// peerClosedAt returns what the peer had committed when it was closed under
// order: the union of what the agents report.
func (in *Input) peerClosedAt(order cluster.Order) (string, bool) {
	found, target := false, ""
	for _, r := range in.PeerReports {
		if r.Closed != order {
			continue
		}
		union, err := join(in.Mine.Server.Flavor, target, r.Executed)
		if err != nil {
			continue
		}
		found, target = true, union
	}
	return target, found
}
