package failover

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ruleSwitchover begins what an operator asked for, or refuses it with the reason.
func ruleSwitchover(s *situation) (Decision, bool) {
	r := s.v.Snapshot.Request
	if r == nil || r.State != cluster.RequestFiled || r.Verb == cluster.VerbDurability {
		return Decision{}, false
	}
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	if no, ok := s.switchable(r, active, passive); !ok {
		return s.refuse("switchover", r, no)
	}
	asked := why(Steady, "%s asked for a switchover from %s to %s", r.Actor, active.node, passive.node)
	if r.Reason != "" {
		asked.Text += ": " + r.Reason
	}
	d := s.beginSwitch(cluster.CauseSwitchover, r.Actor, asked)
	q := *r
	q.State, q.Answer = cluster.RequestRunning, ""
	d.Transition.Request = &q
	return d, true
}

// beginSwitch starts a planned change of role to the passive.
func (s *situation) beginSwitch(cause, actor string, because cluster.Reason) Decision {
	next := s.rec.Clone()
	next.Version++
	next.Phase, next.From, next.To = cluster.PhaseSwitching, s.rec.Active, s.rec.Passive
	next.Target, next.Proof = "", cluster.ProofNone
	next.Loss, next.Left, next.Estimated = "", "", false
	next.Cause, next.Actor = cause, actor
	s.st.marks = nil
	s.st.mark("seen", "", s.now)
	s.st.mark("decided", "", s.now)
	return s.change("switching", next, because, false)
}

// switchable checks what must hold before a switchover is begun.
func (s *situation) switchable(r *cluster.Request, active, passive *member) (cluster.Reason, bool) {
	if r.Verb != cluster.VerbSwitchover {
		return why(SwitchRefused, "this version does not know the verb %q", r.Verb), false
	}
	switch {
	case r.To == active.node:
		return why(SwitchRefused, "%s is active already", r.To), false
	case r.To != "" && r.To != passive.node:
		return why(NotAMember, "%s is not a member of this pair: %s and %s are", r.To, active.node, passive.node), false
	}
	no, ok := s.movable(active, passive)
	if !ok && active.life == dead {
		no.Text += "; use " + OverrideCommand(s.p.Pair.Tag, passive.node)
	}
	return no, ok
}

// OverrideCommand is the command line by which an operator makes to active
// though the active is dead.
func OverrideCommand(tag cluster.Tag, to cluster.Endpoint) string {
	return fmt.Sprintf(`mmmctl failover --tag %s --to %s --reason "..."`, tag, to)
}

// movable checks what a planned change of role needs of the two servers.
func (s *situation) movable(active, passive *member) (cluster.Reason, bool) {
	switch {
	case active.life != alive:
		return why(Suspect, "%s, the active, does not answer: %s", active.node, orUnseen(active)), false
	case passive.life != alive:
		return why(CandidateDown, "%s does not answer: %s", passive.node, orUnseen(passive)), false
	}
	if no, ok := s.noGTID(active, passive); !ok {
		return no, false
	}
	if no, ok := s.unreadable(active, passive); !ok {
		return no, false
	}
	if q, ok := passive.quarantined(s.rec.Epoch); ok {
		return s.outOfQuarantine(q, passive, active), false
	}
	if e := s.errant(active, passive); !e.IsEmpty() {
		return why(Errant, "%s has transactions of its own that %s never had: %s", passive.node, active.node, short(e.String())), false
	}
	if !passive.replicates(active.node) {
		return why(NotReplicating, "%s does not replicate from %s", passive.node, active.node), false
	}
	if d := passive.server.Channel.Delay; d > MaxSwitchLag {
		return why(Lagging, "%s; a switchover is begun at %d or fewer", behind(passive).Text, MaxSwitchLag), false
	}
	for _, m := range []*member{active, passive} {
		if !m.hasAgent() {
			return m.noAgent(), false
		}
		if no, ok := m.granted(); !ok {
			return no, false
		}
	}
	return cluster.Reason{}, true
}

// behind says by how much a replica lags.
func behind(m *member) cluster.Reason {
	d := m.server.Channel.Delay
	if d < 0 {
		return why(Lagging, "how far %s is behind is not known", m.node)
	}
	return why(Lagging, "%s is %s behind", m.node, plural(d, "second"))
}

// ruleCommit is the point of no return of a switchover.
func ruleCommit(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	if !s.closed(from) {
		return Decision{}, false
	}
	s.st.mark("closed", "", s.now)
	ready, ok := to.readyUnder(s.rec.Order())
	if !ok {
		return Decision{}, false
	}
	s.st.mark("drained", "", s.now)
	// What a person has written to the closed server since is not in its report.
	want, have := from.executed, s.parse(to, ready.Executed)
	if from.fault != "" || to.fault != "" || !want.Contains(have) {
		return Decision{}, false
	}
	// Who was set up anew from a copy does not list every origin of what it has.
	if want = want.WithoutForgotten(have); !have.Contains(want) {
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Epoch, next.Version = s.rec.Epoch+1, 1
	next.Phase, next.Active, next.Passive = cluster.PhaseOpening, to.node, from.node
	next.Target, next.Proof, next.Eligible, next.Waits = want.String(), cluster.ProofFenced, nil, false
	next.Blocked = false
	return s.change("promoted", next, why(Steady, "%s is closed, %s has the same GTIDs and takes over", from.node, to.node), true), true
}

// ruleRollBack gives the role back to the old active before it is reopened.
func ruleRollBack(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	var no cluster.Reason
	timeout := requestTimeout(s.v.Snapshot.Request)
	left := timeout - (s.now - s.st.phaseIn)
	if r, ok := from.saying(s.rec.Order(), cluster.DeedRefused); ok {
		no = why(RolledBack, "%s was not closed: %s", from.node, r.Reason)
	} else if r, ok := from.saying(s.rec.Order(), cluster.DeedFailed); ok {
		no = why(RolledBack, "%s could not be closed: %s", from.node, r.Reason)
	} else if r, ok := to.saying(s.rec.Order(), cluster.DeedFailed); ok {
		no = why(RolledBack, "%s could not catch up: %s", to.node, r.Reason)
	} else if to.life == dead {
		no = why(RolledBack, "%s died meanwhile", to.node)
	} else if left <= 0 {
		no = why(RolledBack, "the deadline of %s passed: %s", timeout, s.switchWaits(from, to))
	} else {
		s.again(left)
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Version++
	next.Phase, next.Cause = cluster.PhaseSteady, s.rec.Cause+" rolled back"
	next.From, next.To = "", ""
	d := s.change("rolled back", next, no, false)
	s.endRequest(&d, cluster.RequestRolledBack, no.Text)
	s.st.marks = nil
	return d, true
}

func ruleSwitching(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.From), s.member(s.rec.To)
	return hold(why(WaitClose, "%s from %s to %s: %s", s.rec.Cause, from.node, to.node, s.switchWaits(from, to)))
}

func (s *situation) switchWaits(from, to *member) string {
	if _, ok := from.closedUnder(s.rec.Order()); !ok {
		return fmt.Sprintf("%s is not closed yet", from.node)
	}
	if !s.closed(from) {
		return fmt.Sprintf("%s was closed, does not answer since, and may have been started open again", from.node)
	}
	if _, ok := to.readyUnder(s.rec.Order()); !ok {
		return fmt.Sprintf("%s has not caught up yet", to.node)
	}
	return fmt.Sprintf("%s and %s do not have the same GTIDs", from.node, to.node)
}
