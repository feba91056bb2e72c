package failover

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Decision is what Decide concludes: at most one change, and always a verdict.
type Decision struct {
	// Rule is the name of the row of Rules that applied.
	Rule string
	// Transition is the change to be made by compare-and-set; nil for none.
	Transition *cluster.Transition
	// Answer replaces the operator's request without a change of the record; nil for none.
	Answer  *cluster.Request
	Verdict cluster.Verdict
	// Again is when to decide anew at the latest though nothing is heard.
	Again time.Duration
}

// Rule is one row of the transition table.
type Rule struct {
	Phase cluster.Phase // empty: no record, or any
	Name  string
	When  string
	Then  string
	apply func(*situation) (Decision, bool)
}

const anyPhase cluster.Phase = ""

// Rules is the transition table; in each phase the first row that applies is taken.
func Rules() []Rule {
	return []Rule{
		{anyPhase, "not-leading", "another identify holds the lease", "watch", ruleNotLeading},
		{anyPhase, "active-active", "servicemode=0", "observe and report only", ruleServiceMode},
		{anyPhase, "unreadable", "the record cannot be read", "freeze, say how to mend it", ruleUnreadable},
		{anyPhase, "rebuild", "the record is missing, older than a running daemon remembers, or another one of the same number", "freeze, then the remembered assignment with one epoch more", ruleRebuild},
		{anyPhase, "first-start", "no record, and nobody remembers one", "the only writable server; else whose GTIDs contain the other's; else the predecessor's mode; else application sessions; else the primary host", ruleFirstStart},
		{anyPhase, "not-a-member", "the record names a server that is not configured", "hold", ruleMembers},

		{cluster.PhaseSteady, "switchover", "an operator asks, both servers are well", "switching", ruleSwitchover},
		{cluster.PhaseSteady, "failover", "the active is dead, nothing stands in the way", "revoked, epoch+1 (predecessor's agent: steady with the other, epoch+1)", ruleFailover},
		{cluster.PhaseSteady, "eligible", "the passive is seen replicating from the active", "steady, the passive eligible", ruleEligible},
		{cluster.PhaseSteady, "whole", "the pair was whole for failover_block", "steady, block lifted", ruleWhole},
		{cluster.PhaseSteady, "remind", "no agent of ours has ever reported, and the servers are not as assigned", "steady, the message again", ruleRemind},
		{cluster.PhaseSteady, "hold", "otherwise", "hold, with the reason", ruleSteady},

		{cluster.PhaseRevoked, "promote", "the old active is closed (proof) or counted as a risk, the other has applied all it received", "opening", rulePromote},
		{cluster.PhaseRevoked, "give-back", "the other is dead or cannot apply, the old active is back, closed, and has everything", "opening the old active, epoch+1", ruleGiveBack},
		{cluster.PhaseRevoked, "wait", "otherwise", "hold, with the reason", ruleRevoked},

		{cluster.PhaseOpening, "opened", "an agent read back that the active is open", "steady", ruleOpened},
		{cluster.PhaseOpening, "opening-lost", "the server to be opened died before it was, the other is closed and has everything", "revoked, epoch+1", ruleOpeningLost},
		{cluster.PhaseOpening, "wait", "otherwise", "hold, with the reason", ruleOpening},

		{cluster.PhaseSwitching, "failover", "the active died meanwhile", "revoked, epoch+1", ruleFailover},
		{cluster.PhaseSwitching, "commit", "the active is closed and the other has the same GTIDs", "opening the other, epoch+1", ruleCommit},
		{cluster.PhaseSwitching, "roll-back", "refused by the server, the passive lost, or the deadline passed", "steady with the old active", ruleRollBack},
		{cluster.PhaseSwitching, "wait", "otherwise", "hold, with the reason", ruleSwitching},
	}
}

// Table prints Rules as Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| phase | rule | when | then |\n|---|---|---|---|\n")
	for _, r := range Rules() {
		phase := string(r.Phase)
		if r.Phase == anyPhase {
			phase = "any"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", phase, r.Name, r.When, r.Then)
	}
	return b.String()
}

// Decide concludes from everything known now. It changes neither st nor v; the
// returned state belongs with the next call. now is monotonic and above zero.
func Decide(st State, v View, p Policy, now time.Duration) (State, Decision) {
	next := st.clone()
	next.take(v, p, now)
	s := newSituation(&next, v, p, now)
	s.dateWhole()
	for _, r := range Rules() {
		if r.Phase != anyPhase && r.Phase != s.rec.Phase {
			continue
		}
		d, applies := r.apply(s)
		if !applies {
			continue
		}
		d.Rule = r.Name
		d.Again = s.wait
		d.Verdict.Leader = v.Snapshot.Leader.ID
		d.Verdict.Order = s.rec.Order()
		return next, d
	}
	return next, Decision{Rule: "none", Again: s.wait, Verdict: cluster.Verdict{Order: s.rec.Order(),
		Reason: why(Unreadable, "the record says phase %q, which this version does not know", s.rec.Phase)}}
}

func hold(r cluster.Reason) (Decision, bool) {
	return Decision{Verdict: cluster.Verdict{Reason: r}}, true
}

// change proposes next as the new record, with the event that tells of it.
func (s *situation) change(kind string, next cluster.Assignment, r cluster.Reason, announce bool) Decision {
	next.Reason = r.Text
	if next.Actor == "" {
		next.Actor = "identify " + s.v.ID
	}
	if next.Durability == "" {
		next.Durability = cluster.Async
	}
	return Decision{
		Transition: &cluster.Transition{
			Expect: s.rec.Order(), Next: next, Announce: announce && next.Active != "",
			Event: cluster.Event{Kind: kind, Assignment: next, Reason: r.Text, Actor: next.Actor},
		},
		Verdict: cluster.Verdict{Reason: r},
	}
}

func ruleNotLeading(s *situation) (Decision, bool) {
	if s.v.Leading {
		return Decision{}, false
	}
	if l := s.v.Snapshot.Leader.ID; l != "" && l != s.v.ID {
		return hold(why(NotLeading, "identify %s leads", l))
	}
	return hold(why(NotLeading, "no identify leads yet"))
}

func ruleServiceMode(s *situation) (Decision, bool) {
	if s.p.Pair.ServiceMode == cluster.ActivePassive {
		return Decision{}, false
	}
	return hold(why(ActiveActiveMode, "servicemode=0 (active-active): observed and reported, never acted on"))
}

func ruleUnreadable(s *situation) (Decision, bool) {
	if s.v.Snapshot.AssignmentFault == "" {
		return Decision{}, false
	}
	return hold(why(Unreadable, "the assignment in Redis cannot be read, nothing moves: %s", s.v.Snapshot.AssignmentFault))
}

func ruleMembers(s *situation) (Decision, bool) {
	for _, e := range []cluster.Endpoint{s.rec.Active, s.rec.Passive, s.rec.From, s.rec.To} {
		if e != "" && !s.p.Pair.Has(e) {
			return hold(why(NotAMember, "the assignment names %s, which is not one of %s and %s in mmm.conf: nothing is done; correct mmm.conf, or delete the key mmm:{%s}:assignment while every daemon of the pair is stopped",
				e, s.p.Pair.Primary, s.p.Pair.Secondary, s.p.Pair.UniqSign))
		}
	}
	return Decision{}, false
}

func ruleRebuild(s *situation) (Decision, bool) {
	best := s.st.remember
	contradicts := func(a cluster.Assignment) bool {
		return a.Order() == s.rec.Order() && (a.Phase != s.rec.Phase || a.Active != s.rec.Active || a.From != s.rec.From || a.To != s.rec.To)
	}
	for _, node := range s.p.Pair.Members() {
		for _, r := range s.v.Snapshot.Reports[node] {
			if best.Order().Before(r.Remembers.Order()) || best.Order() == s.rec.Order() && contradicts(r.Remembers) {
				best = r.Remembers
			}
		}
	}
	if !s.rec.Order().Before(best.Order()) && !contradicts(best) {
		s.st.lostSince = 0
		return Decision{}, false
	}
	if s.st.lostSince == 0 {
		s.st.lostSince = s.now
	}
	if waited := s.now - s.st.lostSince; waited < StartGrace {
		s.again(StartGrace - waited)
		return hold(why(Amnesia, "Redis has %s, a daemon remembers %s: nothing moves while the others are heard", describe(s.rec), best.Order()))
	}
	next := best.Clone()
	next.Epoch, next.Version = best.Epoch+1, 1
	next.Cause, next.Actor = "Redis lost the assignment", ""
	if next.Phase == cluster.PhaseSwitching {
		next.Phase = cluster.PhaseSteady
	}
	for _, e := range []cluster.Endpoint{next.Active, next.Passive, next.From, next.To} {
		if e != "" && !s.p.Pair.Has(e) {
			return hold(why(NotAMember, "Redis lost the assignment, and the one remembered names %s, which is not a member", e))
		}
	}
	s.st.marks = nil
	return s.change("rebuilt", next, why(Amnesia, "Redis had %s; rebuilt from %s, which a running daemon remembers", describe(s.rec), best.Order()), true), true
}

func describe(a cluster.Assignment) string {
	if !a.Exists() {
		return "no assignment"
	}
	return "the assignment " + a.Order().String()
}
