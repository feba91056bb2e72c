package failover

import (
	"fmt"
	"slices"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// ruleEligible records that the passive was seen replicating from the active in
// this epoch: from now on it may be opened automatically.
func ruleEligible(s *situation) (Decision, bool) {
	passive, active := s.itself(s.member(s.rec.Passive)), s.itself(s.member(s.rec.Active))
	if passive.node == "" || s.rec.IsEligible(passive.node) || !passive.replicates(active.node) ||
		active.life != alive || !s.errant(active, passive).IsEmpty() {
		s.st.goal = goal{}
		return Decision{}, false
	}
	if s.rec.Durability.Acknowledged() {
		if !s.receivedAll(active, passive) {
			return Decision{}, false
		}
	} else if !s.caughtUp(active, passive) {
		return Decision{}, false
	}
	if _, quarantined := passive.saying(s.rec.Order(), cluster.DeedQuarantine); quarantined {
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Version++
	next.Eligible = append(slices.Clone(next.Eligible), passive.node)
	if !next.Estimated { // who holds what was left behind has been made whole; history keeps it
		next.Loss, next.Left = "", ""
	}
	text := fmt.Sprintf("%s replicates from %s and may take over", passive.node, active.node)
	for _, m := range []*member{passive, active} {
		if other := s.replaced(m); other != "" {
			text += fmt.Sprintf("; of %s: %s, it was compared", m.node, other)
		}
		if who := m.server.Who(); m.known && who != "" {
			if next.Known == nil {
				next.Known = map[cluster.Endpoint]string{}
			}
			next.Known[m.node] = who
			delete(next.Replaced, m.node)
		}
	}
	d := s.change("eligible", next, why(Steady, "%s", text), false)
	d.Transition.Next.Reason = s.rec.Reason
	d.Transition.Next.Actor = s.rec.Actor
	return d, true
}

// replaced says in words that another server is behind the address of m than the pair
// knew; empty when it is the same, or that is not known.
func (s *situation) replaced(m *member) string {
	if !m.known {
		return ""
	}
	return m.server.Replaces(s.rec.Known[m.node])
}

// itself is m by its own sample alone where another server is behind its address than
// the pair knew: what else was read of that address may be of the server before.
func (s *situation) itself(m *member) *member {
	if s.replaced(m) == "" {
		return m
	}
	one := *m
	one.executed, one.received = s.parse(m, m.server.Executed), s.parse(m, m.server.Channel.Received)
	return &one
}

// ruleReplaced tells once of another server behind an address than the pair knew. What was
// seen of the one before says nothing of this one: the passive may not take over, from
// whichever was replaced, before it is seen replicating again. An active stays the active:
// it may be the same server with another identity.
func ruleReplaced(s *situation) (Decision, bool) {
	passive, active := s.member(s.rec.Passive), s.member(s.rec.Active)
	for _, m := range []*member{active, passive} {
		other, who := s.replaced(m), m.server.Who()
		if m.life != alive || other == "" || s.rec.Replaced[m.node] == who && !s.rec.IsEligible(passive.node) {
			continue
		}
		text := fmt.Sprintf("%s: %s; it may not take over before it was compared and replicates", m.node, other)
		if m == active {
			text = fmt.Sprintf("%s, the active: %s; no role moves, and %s may not take over before it was compared with it and replicates", m.node, other, passive.node)
		}
		next := s.barring(passive)
		if next.Replaced == nil {
			next.Replaced = map[cluster.Endpoint]string{}
		}
		next.Replaced[m.node] = who
		d := s.quietly("replaced", next, why(NotEligible, "%s", text))
		d.Transition.Event.Node = m.node
		return d, true
	}
	return Decision{}, false
}

// barring is the next record, without m among the eligible.
func (s *situation) barring(m *member) cluster.Assignment {
	next := s.rec.Clone()
	next.Version++
	next.Eligible = slices.DeleteFunc(next.Eligible, func(e cluster.Endpoint) bool { return e == m.node })
	return next
}

// caughtUp reports whether a passive that replicates has received what the
// active had when that was first seen: one that was away for long lacks much
// while both its threads run. On MariaDB a pair that has been whole for a while
// counts too: a server rebuilt from a backup does not list what was there before
// it was made. On MySQL it does, and what it does not list is a hole.
func (s *situation) caughtUp(active, passive *member) bool {
	if passive.legacy || !active.known || !passive.known {
		return true
	}
	if s.st.goal.epoch != s.rec.Epoch {
		s.st.goal = goal{epoch: s.rec.Epoch, set: active.executed}
	}
	return passive.executed.Union(passive.received).Contains(s.st.goal.set) ||
		passive.server.Flavor == cluster.MariaDB && s.st.whole != 0 && s.now-s.st.whole >= CaughtUpAfter
}

// ruleIneligible takes a passive out that is away while the active goes on: what
// it lacks grows unseen, so that after a whole outage, when it comes back first,
// the active is waited for. It is eligible again once it is seen replicating.
func ruleIneligible(s *situation) (Decision, bool) {
	passive, active := s.member(s.rec.Passive), s.member(s.rec.Active)
	if s.rec.Durability.Acknowledged() || !s.rec.IsEligible(passive.node) || passive.life != dead || active.life != alive {
		return Decision{}, false
	}
	return s.quietly("ineligible", s.barring(passive), why(NotEligible, "%s is away (%s) and may not take over before it has replicated from %s again", passive.node, orUnseen(passive), active.node)), true
}

// dateWhole keeps since when both servers are up, one of them is closed, and they
// replicate and are caught up.
func (s *situation) dateWhole() {
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	delay := passive.server.Channel.Delay
	caughtUp := passive.legacy || delay >= 0 && delay <= WholeLag
	switch {
	case s.rec.Phase != cluster.PhaseSteady || active.life != alive || !passive.replicates(active.node) || !caughtUp || passive.server.ReadOnly == cluster.No:
		s.st.whole = 0
	case s.st.whole == 0:
		s.st.whole = s.now
	}
}

// ruleWhole lifts the block that an automatic failover left behind.
func ruleWhole(s *situation) (Decision, bool) {
	if !s.rec.Blocked || s.st.whole == 0 {
		return Decision{}, false
	}
	if left := s.p.FailoverBlock - (s.now - s.st.whole); left > 0 && !safeguard.Off(safeguard.WholeFirst) {
		s.again(left)
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Version++
	next.Blocked = false
	d := s.change("unblocked", next, why(Steady, "the pair has been whole for %s: the next failover is allowed", s.p.FailoverBlock), false)
	d.Transition.Next.Reason = s.rec.Reason
	d.Transition.Next.Actor = s.rec.Actor
	return d, true
}

// ruleEpochTable writes a changed epoch_table or write_probe into the record, from which agents take it.
func ruleEpochTable(s *situation) (Decision, bool) {
	if s.rec.EpochTable == s.p.EpochTable {
		if s.rec.WriteLimitMS == s.p.writeLimit() {
			return Decision{}, false
		}
		next := s.rec.Clone()
		next.Version++
		return s.quietly("configured", next, why(Steady, "write_probe was changed: a write may take %d ms now, and %d before (0: none is tried)", s.p.writeLimit(), s.rec.WriteLimitMS)), true
	}
	next := s.rec.Clone()
	next.Version++
	d := s.change("configured", next, why(Steady, "epoch_table is %q now, and was %q", s.p.EpochTable, s.rec.EpochTable), false)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	return d, true
}

// ruleRemind announces the assignment again where the predecessor's agent seems
// to have missed the message: it never asks.
func ruleRemind(s *situation) (Decision, bool) {
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	if !s.predecessors() || active.life != alive {
		return Decision{}, false
	}
	if active.server.ReadOnly != cluster.Yes && (passive.life != alive || passive.server.ReadOnly != cluster.No) {
		s.st.remind = 0
		return Decision{}, false
	}
	if s.st.remind == 0 {
		s.st.remind = s.now + RemindEvery
	}
	if left := s.st.remind - s.now; left > 0 {
		s.again(left)
		return Decision{}, false
	}
	s.st.remind = s.now + RemindEvery
	next := s.rec.Clone()
	next.Version++
	d := s.change("announced again", next, why(ActiveClosed, "no agent has carried out the assignment: the message is sent again"), true)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	return d, true
}

// ruleSteady holds and says what would happen if the active died now.
func ruleSteady(s *situation) (Decision, bool) {
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	no := s.blockers(active, passive)
	if few, ok := s.fewMonitors(); !ok {
		no = append(no, few)
	}
	var r cluster.Reason
	switch said, failing := s.writesFail(active); {
	case active.life != alive:
		r = active.reason
	case failing:
		no = s.writesBlockers(active, passive, said)
		r = writesBecause(active, said)
		if len(no) > 0 {
			r.Text += "; held: " + no[0].Text
		}
	case len(no) > 0:
		r = plainly(Steady, string(active.node)+" is active and well")
	default:
		r = plainly(Steady, string(active.node)+" is active, "+string(passive.node)+" would take over")
	}
	d, ok := hold(r)
	d.Verdict.Blockers, d.Verdict.Candidate = no, passive.node
	d.Verdict.Notes = s.notes(active, passive)
	s.dropStaleRequest(&d)
	return d, ok
}

// dropStaleRequest ends a request that an earlier leader left running.
func (s *situation) dropStaleRequest(d *Decision) {
	if r := s.v.Snapshot.Request; r != nil && r.State == cluster.RequestRunning {
		s.endRequest(d, cluster.RequestFailed, fmt.Sprintf("%s is active and no switchover is under way any more", s.rec.Active))
	}
}

// notes are the things that a person should know of a steady pair.
func (s *situation) notes(active, passive *member) []cluster.Reason {
	var notes []cluster.Reason
	// An agent's word is newer than a monitor's sample from before the opening.
	_, open := active.saying(cluster.Order{Epoch: s.rec.Epoch}, cluster.DeedOpen)
	if active.life == alive && active.server.ReadOnly == cluster.Yes && !open {
		notes = append(notes, why(ActiveClosed, "%s is the active and read_only: no write is taken until an agent opens it", active.node))
	}
	if passive.life == alive && passive.server.ReadOnly == cluster.No {
		notes = append(notes, why(PassiveOpen, "%s is the passive and writable: an agent is to close it", passive.node))
	}
	if r, ok := passive.quarantined(s.rec.Epoch); ok {
		notes = append(notes, r)
	}
	if passive.life == alive && passive.known {
		ch := passive.server.Channel
		switch {
		case !ch.Configured:
			notes = append(notes, why(NotReplicating, "%s is not a replica", passive.node))
		case ch.Source != active.node:
			notes = append(notes, why(NotReplicating, "%s replicates from %s, not from %s", passive.node, ch.Source, active.node))
		case ch.IO != cluster.ThreadYes || ch.SQL != cluster.ThreadYes:
			notes = append(notes, why(NotReplicating, "%s does not replicate: IO thread %s, SQL thread %s %s%s", passive.node, ch.IO, ch.SQL, short(ch.IOError), short(ch.SQLError)))
		case ch.Lags():
			notes = append(notes, behind(passive))
		}
	}
	if active.life == alive && passive.life != alive {
		notes = append(notes, plainly(CandidateDown, orUnseen(passive)))
	}
	for _, m := range []*member{active, passive} {
		if e := m.server.Mark.Epoch; !e.Credible() {
			notes = append(notes, why(Unreadable, "the epoch row of %s says %d, to which no pair comes: it is not believed", m.node, e))
		}
	}
	if r, ok := s.failbackNote(); ok {
		notes = append(notes, r)
	}
	notes = append(notes, s.monitorNotes()...)
	for _, fault := range s.v.Snapshot.Faults {
		notes = append(notes, why(Unreadable, "%s", fault))
	}
	return notes
}
