package failover

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// proof is how it is known, or why it is accepted, that the old active takes no
// more writes; empty with a reason while neither holds.
func (s *situation) proof(from, to *member) (cluster.Proof, cluster.Reason) {
	if s.closed(from) || safeguard.Off(safeguard.ClosedFirst) {
		return cluster.ProofFenced, cluster.Reason{}
	}
	if is, forced := s.overridden(); is {
		return s.operatorProof(from, forced)
	}
	if s.endedClosed(from) {
		return cluster.ProofEnded, cluster.Reason{}
	}
	muted := s.muted(from, to)
	if from.life == alive || from.life == limping {
		if left := FenceGrace - (s.now - s.st.phaseIn); !muted || left > 0 {
			s.again(left)
			return "", why(WaitProof, "%s is back and is being closed", from.node)
		}
	}
	if muted {
		return cluster.ProofAcks, cluster.Reason{}
	}
	if s.leaseOver(to) {
		return cluster.ProofLease, cluster.Reason{}
	}
	return s.risk(from, to)
}

// risk is what is accepted, as unfenced says, where nothing proves that m takes no
// more writes; empty with a reason while nothing is. Receiver replicates from it.
func (s *situation) risk(m, receiver *member) (cluster.Proof, cluster.Reason) {
	risk := cluster.RiskSilent
	switch {
	case m.cause == cluster.CauseEnded || m.cause == cluster.CauseStopped:
		risk = cluster.RiskEnded
	case m.cause == cluster.CauseRefused || m.cause == cluster.CauseReset:
		risk = cluster.RiskRefused
	case m.cause.Hung():
		risk = cluster.RiskHung
	}
	if s.p.Unfenced == UnfencedWait {
		if left, waits := s.leaseRuns(m, receiver); waits {
			return "", left
		}
		return "", why(WaitProof, "%s cannot be proved closed, and unfenced=wait", m.node)
	}
	since := s.now - s.st.phaseIn
	tried, ok := m.report(func(r cluster.Report) bool {
		return atLeast(r.Order, s.rec.Order()) && (r.Queued || r.Deed == cluster.DeedUnreachable && !refusedBy(r.Cause))
	})
	if s.p.Unfenced != UnfencedRisk {
		if r, reached := s.reached(m); reached {
			return "", why(WaitProof, "agent %s gets answers from %s: it is closed first", r.Agent, m.node)
		}
		if m.life == unseen && !ok {
			return "", why(WaitProof, "nobody looks at %s: %s", m.node, orUnseen(m))
		}
	}
	grace := FenceGrace
	if risk == cluster.RiskRefused || risk == cluster.RiskEnded {
		grace = RefusedGrace
	}
	if !ok && since < grace {
		s.again(grace - since)
		return "", why(WaitClose, "%s is being closed", m.node)
	}
	if ok && tried.Queued && risk == cluster.RiskSilent {
		risk = cluster.RiskHung
	}
	if risk == cluster.RiskHung && !tried.Queued {
		risk = cluster.RiskHungUnasked
	}
	if s.p.Unfenced == UnfencedRisk || risk != cluster.RiskSilent {
		return risk, cluster.Reason{}
	}
	if left, waits := s.leaseRuns(m, receiver); waits {
		return "", left
	}
	if s.stoodStill(m, receiver) {
		return cluster.RiskSilent, cluster.Reason{}
	}
	if left := SilentWait - since; left > 0 {
		s.again(left)
		return "", why(WaitProof, "%s is silent: waiting %s for it or for its replica to tell more", m.node, round(left))
	}
	return cluster.RiskWaited, cluster.Reason{}
}

// reached is the report of an agent that lives and gets answers from m under the
// order in force: m is alive whatever the monitors see, and may be open.
func (s *situation) reached(m *member) (cluster.Report, bool) {
	return m.report(func(r cluster.Report) bool {
		if !atLeast(r.Order, s.rec.Order()) || r.Queued || s.silentFor(m.node, r.Agent) > AgentAway {
			return false
		}
		if r.Cause == cluster.CauseNone {
			return r.Deed == cluster.DeedWorking || r.Deed == cluster.DeedFailed
		}
		return refusedBy(r.Cause)
	})
}

// refusedBy reports whether c is an answer of the server that lets the agent do
// nothing: it was reached, and may be open.
func refusedBy(c cluster.Cause) bool {
	return c != cluster.CauseNone && !c.MayBeDead() && c != cluster.CauseUnreachable
}

// stoodStill reports whether the replica received nothing for two heartbeat
// periods, where heartbeats are frequent enough to say something.
func (s *situation) stoodStill(from, to *member) bool {
	var known bool
	var still time.Duration // until every monitor that can tell has seen it for long enough
	for name, o := range s.v.Snapshot.Observations[to.node] {
		period := time.Duration(o.Server.Channel.HeartbeatPeriodMS) * time.Millisecond
		w, ok := s.st.witness.get(voice{to.node, name})
		if !ok || period <= 0 || 2*period > SilentWait {
			continue
		}
		still = max(still, 2*period-(s.now-w.stillSince))
		known = true
	}
	s.again(still)
	return known && still <= 0
}

// rulePromote names the drained server active.
func rulePromote(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	proof, _ := s.proof(from, to)
	if proof != "" {
		switch proof {
		case cluster.ProofFenced:
			s.st.mark("closed", "", s.now)
		case cluster.ProofOperator:
			s.st.mark("not closed", proof.Words(), s.now)
		default:
			s.st.mark("closed", proof.Words(), s.now)
		}
	}
	ready, drained := s.drained(to)
	if drained {
		s.st.mark("drained", "", s.now)
	}
	if proof == "" || !drained {
		return Decision{}, false
	}
	if _, ok := s.promotable(from, to, ready); !ok {
		return Decision{}, false
	}
	have := s.parse(to, ready.Executed)
	if s.wroteSince(from, have) {
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Version++
	next.Phase, next.Active, next.Passive = cluster.PhaseOpening, to.node, from.node
	next.Proof, next.Target, next.Waits = proof, have.String(), false
	is, _ := s.overridden()
	next.Blocked = s.p.FailoverBlock > 0 && !is
	s.tellLoss(&next, from, to, have)
	because := why(ActiveDead, "%s takes over from %s (%s)", to.node, from.node, proof.Words())
	if is {
		because.Text = s.rec.Reason + "; " + because.Text
	}
	return s.change("promoted", next, because, true), true
}

// rowsSayClosed reports whether the epoch rows tell that to was not opened since
// from was: an opening writes its row first. What to holds alone is then errant.
func (s *situation) rowsSayClosed(from, to *member) bool {
	last, other := from.server.Mark, to.server.Mark
	return s.rec.EpochTable != "" && from.known && to.known && last.Epoch > 0 && other.Epoch > 0 &&
		last.Active == from.node && !(other.Active == to.node && other.Epoch > last.Epoch)
}

// openedByRows reports whether an epoch row tells that to was opened in the epoch in
// which it is to take over: Redis has gone back behind that.
func (s *situation) openedByRows(from, to *member) bool {
	for _, m := range []*member{from, to} {
		if row := m.server.Mark; m.known && row.Active == to.node && row.Epoch >= s.rec.Epoch && row.Epoch.Credible() {
			return true
		}
	}
	return false
}

// wroteSince reports whether the old active of a record that was rebuilt is there,
// closed, and has more than the other and than what was left behind on it: it has been
// active since what is remembered, and gets the role back.
func (s *situation) wroteSince(from *member, have gtid.Set) bool {
	closed, ok := from.closedUnder(s.rec.Order())
	return ok && s.rec.Cause == causeRebuilt && from.life == alive && !s.namedLast(from, s.member(s.p.Pair.Other(from.node))) &&
		!have.Union(s.leftBefore(from)).Contains(s.parse(from, closed.Executed))
}

// drained is the report that the new active has applied what it received; where
// that failed under a forced override, what it has is enough.
func (s *situation) drained(to *member) (cluster.Report, bool) {
	ready, ok := to.readyUnder(s.rec.Order())
	if _, forced := s.overridden(); !ok && forced {
		if ready, ok = to.saying(s.rec.Order(), cluster.DeedFailed); ok {
			ready.Executed = to.server.Executed
		}
	}
	return ready, ok
}

// promotable is the last look at the drained server before it is named active.
func (s *situation) promotable(from, to *member, ready cluster.Report) (cluster.Reason, bool) {
	if to.life == dead {
		return why(CandidateDown, "%s died while it was taking over", to.node), false
	}
	if is, _ := s.overridden(); is {
		return s.unreadable(to)
	}
	if e := s.errant(from, to); !e.IsEmpty() && !s.wasNamed(from, to, e) && !s.givenBack(to, e) {
		return why(Errant, "%s has transactions of its own that %s never had: %s", to.node, from.node, short(e.String())), false
	}
	have := s.parse(to, ready.Executed)
	if target := s.owed(to); !have.Contains(target) {
		return why(WaitDrain, "%s has not applied all it received: %s is missing", to.node, short(target.Minus(have).String())), false
	}
	// Whoever was opened in this epoch before has the role: what that cost is lost already.
	if r, ok := s.tooMuchLost(from, to, have.Union(s.leftBefore(from))); !ok && !s.openedByRows(from, to) {
		return r, false
	}
	return s.unreadable(from, to)
}

// leftBefore is what the opening that was remembered, and begins again, has left behind on
// from already.
func (s *situation) leftBefore(from *member) gtid.Set {
	if s.rec.Phase != cluster.PhaseRevoked {
		return gtid.Set{}
	}
	return s.parse(from, s.rec.Left)
}

// wasNamed reports whether all of own are of the time in which to had the role: its
// record was lost after it was opened, or Redis has gone back behind that, and no row
// names the other since.
func (s *situation) wasNamed(from, to *member, own gtid.Set) bool {
	return (s.rec.Cause == causeRebuilt || s.openedByRows(from, to)) && s.namedLast(from, to) && own.WithoutOrigin(to.server.Identity).IsEmpty()
}

// givenBack reports whether the record demands all of own of to, which had the role before
// and gets it back as it is: from a server that was not opened, or under a record that was lost.
func (s *situation) givenBack(to *member, own gtid.Set) bool {
	back := s.rec.Cause == causeRebuilt || s.rec.Cause == causeOpeningFailed || strings.HasPrefix(s.rec.Cause, causeOpeningLost)
	return back && s.parse(to, s.rec.Target).Contains(own)
}

// namedLast reports whether the epoch rows of both tell that nobody was opened since
// to was.
func (s *situation) namedLast(from, to *member) bool {
	row := to.server.Mark
	return row.Active == to.node && row.Epoch >= from.server.Mark.Epoch
}

// owed is everything that m was ever seen to have received: to be applied
// before it is opened, and not to be thrown away for another.
func (s *situation) owed(m *member) gtid.Set {
	if safeguard.Off(safeguard.RecordedTarget) {
		return m.received
	}
	return s.parse(m, s.rec.Target).Union(m.received)
}

// ruleGiveBack returns the role when nobody else is left to take it.
func ruleGiveBack(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	target, ok := s.returning(from, to)
	if !ok {
		return Decision{}, false
	}
	proof, _ := s.unopened(to, from)
	if proof == "" {
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Epoch, next.Version = s.rec.Epoch+1, 1
	next.Phase, next.Active, next.Passive, next.Waits = cluster.PhaseOpening, from.node, to.node, false
	next.From, next.To, next.Target = to.node, from.node, target
	next.Loss, next.Left, next.Estimated = "", "", false // who holds it goes on
	next.Proof, next.Cause = proof, "the old active is back, the other cannot take over"
	return s.change("given back", next, why(NobodyLeft, "%s is back and %s cannot take over: %s is active again", from.node, to.node, from.node), true), true
}

// returning reports whether the old active, closed, may have the role back from the server
// that was to take over, and with what.
func (s *situation) returning(from, to *member) (target string, ok bool) {
	closed, ok := from.closedUnder(s.rec.Order())
	_, failed := to.saying(s.rec.Order(), cluster.DeedFailed)
	if ready, drained := to.readyUnder(s.rec.Order()); drained {
		_, able := s.promotable(from, to, ready)
		failed = failed || !able || s.wroteSince(from, s.parse(to, ready.Executed))
	}
	if !ok || from.life != alive || to.life != dead && !failed || s.openedByRows(from, to) {
		return "", false
	}
	// Who was active before is not always known to these: to may have been open since, and be so.
	if override, _ := s.overridden(); override || s.rec.Cause == causeRebuilt {
		_, shut := to.closedUnder(s.rec.Order())
		if !shut || to.life != alive || !s.errant(from, to).IsEmpty() && !s.rowsSayClosed(from, to) {
			return "", false
		}
	}
	lacks := to.executed.Minus(s.errant(from, to)).Union(s.owed(to)).Minus(s.parse(from, closed.Executed))
	return closed.Executed, lacks.IsEmpty() && from.fault == ""
}

// unopened is the proof that to, which was never given the role, takes no writes, or the
// risk that is accepted for it: it may have been started open, and was seen so.
func (s *situation) unopened(to, from *member) (cluster.Proof, cluster.Reason) {
	_, closed := to.closedUnder(s.rec.Order())
	if closed || to.server.ReadOnly != cluster.No {
		return cluster.ProofGone, cluster.Reason{}
	}
	if to.life == alive || to.life == limping {
		if left := FenceGrace - (s.now - s.st.phaseIn); left > 0 {
			s.again(left)
			return "", why(WaitProof, "%s is open and is being closed", to.node)
		}
	}
	return s.risk(to, from)
}

func ruleRevoked(s *situation) (Decision, bool) {
	d, _ := s.waitRevoked()
	s.endLate(&d)
	return d, true
}

func (s *situation) waitRevoked() (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	_, proofReason := s.proof(from, to)
	ready, drained := s.drained(to)
	switch {
	case to.life == dead && !drained:
		if _, ok := s.returning(from, to); ok {
			_, no := s.unopened(to, from)
			return hold(no)
		}
		return hold(why(NobodyLeft, "nobody could take over: %s is dead too (%s); %s", to.node, to.reason.Text, s.backed(from)))
	case !drained:
		if r, ok := to.saying(s.rec.Order(), cluster.DeedFailed); ok {
			return hold(why(DrainFailed, "%s cannot take over: %s", to.node, r.Reason))
		}
		if !to.hasAgent() {
			return hold(to.noAgent())
		}
		return hold(why(WaitDrain, "%s is applying what it received before it is opened", to.node))
	}
	if r, ok := s.promotable(from, to, ready); !ok {
		return hold(r)
	}
	if s.wroteSince(from, s.parse(to, ready.Executed)) {
		return hold(why(Divergent, "%s was active since, and %s has transactions of its own: a person must decide (mmmctl failover)", from.node, to.node))
	}
	return hold(proofReason)
}

func (s *situation) backed(from *member) string {
	if to := s.member(s.rec.To); s.openedByRows(from, to) {
		return fmt.Sprintf("an epoch row tells that it was opened, which Redis has forgotten: %s is waited for, or a person decides (mmmctl failover)", to.node)
	}
	if from.life == alive && s.rec.Cause == causeRebuilt {
		return fmt.Sprintf("%s is back, and %s may have been open: %s is waited for, or a person decides (mmmctl failover)", from.node, s.rec.To, s.rec.To)
	}
	if from.life == alive {
		return fmt.Sprintf("%s is back, waiting until it is closed and compared", from.node)
	}
	return fmt.Sprintf("waiting for one of them to come back: %s", orUnseen(from))
}

// ruleOpened ends a change of role.
func ruleOpened(s *situation) (Decision, bool) {
	active := s.member(s.rec.Active)
	order := s.rec.Order()
	_, reported := active.openedUnder(order)
	legacy := s.predecessors()
	if !reported && !(legacy && active.life == alive && active.server.ReadOnly == cluster.No) {
		return Decision{}, false
	}
	s.st.mark("opened", "", s.now)
	next := s.rec.Clone()
	next.Version++
	next.Phase = cluster.PhaseSteady
	d := s.change("steady", next, why(Steady, "%s is open", active.node), false)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	d.Transition.Event.Steps = s.st.timeline()
	s.endRequest(&d, cluster.RequestDone, fmt.Sprintf("%s is active", active.node))
	s.st.marks = nil
	return d, true
}

// Causes of an assignment that takes the role back from a server before it was open.
const (
	causeOpeningLost   = cluster.CauseDeath + "the server to be opened died: "
	causeOpeningFailed = "the server could not be opened"
)

// ruleOpeningLost takes the role back from a server that died before anybody saw
// it open, or cannot be opened, when the other is closed and has everything that
// was demanded of it: the change goes on as a failover, with all its checks.
func ruleOpeningLost(s *situation) (Decision, bool) {
	active, other := s.member(s.rec.Active), s.member(s.rec.Passive)
	closed, ok := other.closedUnder(s.rec.Order())
	if !ok || other.life != alive || s.rec.Cause == causeRebuilt {
		return Decision{}, false
	}
	if _, opened := active.openedUnder(s.rec.Order()); opened {
		return Decision{}, false
	}
	cause, because := causeOpeningLost+string(active.cause), active.reason
	switch {
	case active.life == dead && s.sampledSince(active, other):
	case s.cannotBeOpened(active):
		cause, because = causeOpeningFailed, s.openingFails(active)
		because.Text += ": the role goes back to " + string(other.node)
	default:
		return Decision{}, false
	}
	target := s.parse(other, s.rec.Target).Union(active.received)
	if !s.parse(other, closed.Executed).Contains(target.Union(active.executed)) || other.fault != "" || active.fault != "" {
		return Decision{}, false
	}
	next := cluster.Assignment{Epoch: s.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked,
		From: active.node, To: other.node, Target: target.Union(other.received).String(),
		Durability: s.rec.Durability, Cause: cause}
	d := s.change("revoked", next, because, false)
	s.endRequest(&d, cluster.RequestFailed, because.Text)
	return d, true
}

// cannotBeOpened reports whether the agents that reach the closed server have
// failed to open it for OpeningPatience. The role goes back for it once: when the
// other cannot be opened either, that is not for another change to mend.
func (s *situation) cannotBeOpened(active *member) bool {
	if is, _ := s.overridden(); is || s.rec.Cause == causeOpeningFailed || active.life != alive || active.server.ReadOnly != cluster.Yes {
		return false
	}
	if _, failed := active.saying(s.rec.Order(), cluster.DeedFailed); !failed {
		return false
	}
	left := OpeningPatience - (s.now - s.st.phaseIn)
	s.again(left)
	return left <= 0
}

func (s *situation) openingFails(active *member) cluster.Reason {
	said, _ := active.saying(s.rec.Order(), cluster.DeedFailed)
	return why(WaitOpen, "%s could not be opened yet: %s", active.node, said.Reason)
}

func ruleOpening(s *situation) (Decision, bool) {
	d, _ := s.waitOpening()
	s.endLate(&d)
	return d, true
}

func (s *situation) waitOpening() (Decision, bool) {
	active := s.member(s.rec.Active)
	switch {
	case active.life == dead:
		return hold(why(NobodyLeft, "%s was to be opened and is dead (%s); it is waited for: %s is not known to have everything", active.node, active.reason.Text, s.rec.Passive))
	case !active.hasAgent():
		return hold(active.noAgent())
	}
	if _, failed := active.saying(s.rec.Order(), cluster.DeedFailed); failed {
		return hold(s.openingFails(active))
	}
	return hold(why(WaitOpen, "%s is being opened", active.node))
}
