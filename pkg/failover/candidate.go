package failover

import (
	"fmt"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// blockers are the reasons for which candidate would not be opened after active
// now, in the order in which a person should look at them.
func (s *situation) blockers(active, candidate *member) []cluster.Reason {
	var no []cluster.Reason
	add := func(r cluster.Reason) { no = append(no, r) }
	if pause := s.v.Snapshot.Pause; pause != nil {
		add(paused(*pause))
	}
	if s.rec.Blocked && s.p.FailoverBlock > 0 && !safeguard.Off(safeguard.FailoverBlock) {
		add(s.blocked())
	}
	if r, ok := s.noGTID(active, candidate); !ok {
		add(r)
	}
	if r, ok := s.unreadable(active, candidate); !ok {
		add(r)
	}
	if candidate.life != alive {
		add(plainly(CandidateDown, string(candidate.node)+" cannot take over: "+orUnseen(candidate)))
		return no
	}
	if _, tail := s.lostTail(active, candidate); tail {
		// It has all that there is.
	} else if !s.rec.IsEligible(candidate.node) && !safeguard.Off(safeguard.Eligible) {
		add(s.notEligible(active, candidate))
	} else if s.acknowledging(candidate.node) && s.restarted(candidate) {
		add(why(NotEligible, "%s was restarted, and may have lost what it had received of %s: it waits for %s, or for a person (mmmctl failover)", candidate.node, active.node, active.node))
	} else if doubt := active.elsewhere(); s.acknowledging(candidate.node) && doubt != "" {
		add(why(NotEligible, "%s, and %s may lack some: it waits for %s, or for a person (mmmctl failover)", doubt, candidate.node, active.node))
	}
	if s.rec.IsEligible(candidate.node) && s.acknowledging(candidate.node) && s.restarted(active) && !s.startsClosed(active) {
		add(why(NotEligible, "%s was restarted, and may have acknowledged what %s has not received: it is waited for, or a person decides (mmmctl failover)", active.node, candidate.node))
	}
	for _, m := range []*member{active, candidate} {
		if other := s.replaced(m); other != "" && s.rec.IsEligible(candidate.node) {
			add(why(NotEligible, "%s: %s; %s was not seen replicating since: it waits for %s, or for a person (mmmctl failover)", m.node, other, candidate.node, active.node))
		}
	}
	if !candidate.known {
		add(why(Unreadable, "what %s has is not known: the predecessor's monitor does not tell, and it could not be asked", candidate.node))
	}
	if e := s.errant(active, candidate); !e.IsEmpty() {
		add(why(Errant, "%s has transactions of its own that %s never had: %s", candidate.node, active.node, short(e.String())))
	}
	if q, ok := candidate.quarantined(s.rec.Epoch); ok {
		add(q)
	}
	if ch := candidate.server.Channel; candidate.known && ch.SQLErrno != 0 && ch.SQL != cluster.ThreadYes {
		add(why(ReplicationBroken, "%s cannot apply what it received: error %d: %s", candidate.node, ch.SQLErrno, short(ch.SQLError)))
	}
	if r, ok := s.tooMuchLost(active, candidate, candidate.executed.Union(candidate.received)); !ok {
		add(r)
	}
	if !candidate.hasAgent() && !s.predecessors() {
		add(candidate.noAgent())
	}
	return no
}

func (m *member) quarantined(in cluster.Epoch) (cluster.Reason, bool) {
	said, ok := m.saying(cluster.Order{Epoch: in}, cluster.DeedQuarantine)
	if !ok {
		return cluster.Reason{}, false
	}
	return why(Errant, "%s is in quarantine: %s", m.node, said.Reason), true
}

// outOfQuarantine is r with what ends the quarantine of m beside an active that is alive.
func (s *situation) outOfQuarantine(r cluster.Reason, m, active *member) cluster.Reason {
	r.Text += "; " + EndQuarantine(s.p.Pair.Tag, m.node, active.node)
	return r
}

// EndQuarantine says what a person does first about a server in quarantine.
func EndQuarantine(tag cluster.Tag, node, active cluster.Endpoint) string {
	return fmt.Sprintf("%s shows what it holds and, with --discard, gives that up; or rebuild it from %s (README, Quarantine)", RejoinCommand(tag, node), active)
}

// RejoinCommand is the command line that tells why node does not replicate.
func RejoinCommand(tag cluster.Tag, node cluster.Endpoint) string {
	return fmt.Sprintf("mmmctl rejoin --tag %s --node %s", tag, node)
}

func paused(p cluster.Pause) cluster.Reason {
	text := fmt.Sprintf("automatic changes are paused by %s", p.Actor)
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return cluster.Reason{Code: Paused, Text: text}
}

func (s *situation) blocked() cluster.Reason {
	return plainly(Blocked, "the last automatic failover was in epoch "+strconv.FormatUint(uint64(s.rec.Epoch), 10)+
		" and the pair has not been whole for "+s.p.FailoverBlock.String()+" since")
}

func (s *situation) notEligible(active, candidate *member) cluster.Reason {
	if active.life == alive && candidate.replicates(active.node) {
		return cluster.Reason{Code: NotEligible, Text: s.notSeen(active, candidate)}
	}
	return why(NotEligible, "%s, and may lack what %s took: it waits for %s, or for a person (mmmctl failover)",
		s.notSeen(active, candidate), active.node, active.node)
}

func (s *situation) notSeen(active, candidate *member) string {
	if s.rec.Durability.Acknowledged() && active.life == alive && candidate.replicates(active.node) {
		if !s.rec.Waits {
			return fmt.Sprintf("commits on %s do not wait for %s yet (durability=%s)", active.node, candidate.node, s.rec.Durability)
		}
		return fmt.Sprintf("commits on %s wait for %s, which does not yet hold all that was acknowledged before (durability=%s)", active.node, candidate.node, s.rec.Durability)
	}
	if active.life == alive && candidate.replicates(active.node) {
		return fmt.Sprintf("%s replicates from %s and is not yet counted as caught up in epoch %d", candidate.node, active.node, s.rec.Epoch)
	}
	return fmt.Sprintf("%s has not been seen replicating from %s in epoch %d, or not since it was away", candidate.node, active.node, s.rec.Epoch)
}

func orUnseen(m *member) string {
	if m.reason.Text != "" {
		return m.reason.Text
	}
	return "no fresh sample of " + string(m.node)
}

func (s *situation) parse(m *member, text string) gtid.Set {
	set, err := s.sets.Parse(m.server.Flavor, text)
	if err != nil {
		m.fault = err.Error()
		return gtid.Set{}
	}
	return set
}

// unread reports whether no monitor shows what m has, nor has any agent told.
func (m *member) unread() bool { return !m.known && m.executed.IsEmpty() }

// errant is what candidate has and active never had, apart from what active
// wrote itself: a sample of the active may be older than what the candidate
// has received from it since.
func (s *situation) errant(active, candidate *member) gtid.Set {
	switch {
	case candidate.unread() || active.unread(), safeguard.Off(safeguard.ErrantCheck):
		return gtid.Set{}
	case active.server.Identity == "":
		// Who the active is was never read: only what the candidate wrote itself
		// is surely not the active's.
		own := candidate.executed.Minus(candidate.executed.WithoutOrigin(candidate.server.Identity))
		return own.Minus(active.executed)
	}
	return candidate.executed.Minus(active.executed).WithoutOrigin(active.server.Identity)
}

// sampledSince reports whether some monitor that sees source fail has an
// answered sample of candidate that began after the trouble.
func (s *situation) sampledSince(source, candidate *member) bool {
	if candidate.legacy {
		return true
	}
	_, _, ended := s.ended(source)
	_, tail := s.lostTail(source, candidate)
	if (ended || tail) && candidate.life == alive {
		return true
	}
	for name, o := range s.v.Snapshot.Observations[source.node] {
		r, ok := s.v.Snapshot.Observations[candidate.node][name]
		if ok && !o.Answered() && r.Run == o.Run && r.Answered() && r.BeganMS >= o.UnansweredMS {
			return true
		}
	}
	return false
}

// ruleFailover takes the role from a dead active.
func ruleFailover(s *situation) (Decision, bool) {
	from := s.rec.Active
	active, candidate := s.member(from), s.member(s.p.Pair.Other(from))
	because := active.reason
	if r, tail := s.lostTail(active, candidate); tail {
		because = why(LostTail, "%s was started anew and has lost %s, which %s has", active.node, short(r.Tail), candidate.node)
	} else if active.life != dead {
		if s.rec.Phase == cluster.PhaseSteady && active.life == alive {
			s.st.marks = nil
		}
		return Decision{}, false
	}
	no := s.blockers(active, candidate)
	if r, waits := s.restarting(active); waits {
		no = append(no, r)
	}
	if len(no) == 0 && !s.sampledSince(active, candidate) {
		s.again(50 * time.Millisecond)
		no = append(no, why(CandidateDown, "%s has not been sampled since %s stopped answering", candidate.node, from))
	}
	if len(no) > 0 {
		if s.rec.Phase == cluster.PhaseSwitching {
			return Decision{}, false
		}
		d, ok := hold(why(because.Code, "%s; held: %s", because.Text, no[0].Text))
		d.Verdict.Blockers, d.Verdict.Candidate = no, candidate.node
		return d, ok
	}
	s.st.marks = nil
	s.st.mark("seen", string(active.cause), s.now-active.unanswered)
	cause := cluster.CauseFailover(active.cause)
	if because.Code == LostTail {
		cause = cluster.CauseTail
	}
	return s.revoke(active, candidate, cause, because), true
}

// revoke takes the role from active for candidate.
func (s *situation) revoke(active, candidate *member, cause string, because cluster.Reason) Decision {
	s.st.mark("decided", "", s.now)
	next := cluster.Assignment{Epoch: s.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked,
		From: active.node, To: candidate.node, Target: candidate.received.String(), Durability: s.rec.Durability, Waits: s.acknowledging(candidate.node),
		Cause: cause, LeaseMS: s.leasesOf(active).Milliseconds()}
	if safeguard.Off(safeguard.Target) {
		next.Target = ""
	}
	if safeguard.Off(safeguard.EpochRaised) {
		next.Epoch, next.Version = s.rec.Epoch, s.rec.Version+1
	}
	if s.predecessors() {
		return s.legacyFailover(next, active, candidate)
	}
	d := s.change("revoked", next, because, false)
	s.endRequest(&d, cluster.RequestFailed, because.Text)
	return d
}

// predecessors reports whether the pair has the predecessor's agents only: none of
// ours reports, nor ever has, as far as this process or the record knows. Reports
// that Redis has lost come again.
func (s *situation) predecessors() bool {
	return !s.st.agents && s.rec.Proof != cluster.ProofFenced
}

// legacyFailover opens the candidate at once: the predecessor's agent
// acknowledges nothing that could be waited for.
func (s *situation) legacyFailover(next cluster.Assignment, active, candidate *member) Decision {
	next.Phase, next.Active, next.Passive = cluster.PhaseSteady, candidate.node, active.node
	next.Proof = cluster.ProofLegacy
	next.Blocked = s.p.FailoverBlock > 0
	s.tellLoss(&next, active, candidate, candidate.executed)
	next.Estimated = false // nobody closes and compares it
	d := s.change("failover", next, active.reason, true)
	d.Transition.Event.Steps = s.st.timeline()
	return d
}

// endRequest answers a request that is under way together with the change.
func (s *situation) endRequest(d *Decision, state cluster.RequestState, answer string) {
	r := s.v.Snapshot.Request
	if r == nil || r.State != cluster.RequestRunning {
		return
	}
	q := *r
	q.State, q.Answer = state, answer
	if d.Transition != nil {
		d.Transition.Request = &q
		return
	}
	d.Answer = &q
}
