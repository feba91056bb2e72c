package failover

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// overrideLeap is what an override adds to the highest known epoch where the
// record is missing or old: whatever a server or an agent that is not seen
// remembers must be older than what the operator decided.
const overrideLeap = 1000

// overridden reports whether the record in force is an operator's override, and
// whether he forced it.
func (s *situation) overridden() (is, forced bool) {
	return s.rec.Cause == cluster.CauseOverride || s.rec.Cause == cluster.CauseForced, s.rec.Cause == cluster.CauseForced
}

// refuse answers a request with the reason for which it is not begun.
func (s *situation) refuse(what string, r *cluster.Request, no cluster.Reason) (Decision, bool) {
	d, _ := hold(why(SwitchRefused, "%s refused: %s", what, no.Text))
	q := *r
	q.State, q.Answer = cluster.RequestRefused, no.Text
	d.Answer = &q
	return d, true
}

// ruleOverride takes the role to the server that an operator names, though
// something speaks against it.
func ruleOverride(s *situation) (Decision, bool) {
	r := s.v.Snapshot.Request
	if r == nil || r.State != cluster.RequestFiled || r.Verb != cluster.VerbFailover {
		return Decision{}, false
	}
	overlooked, no, ok := s.overridable(r)
	if !ok {
		return s.refuse("failover", r, no)
	}
	to := s.member(r.To)
	other := s.member(s.p.Pair.Other(r.To))
	next := cluster.Assignment{Epoch: s.rec.Epoch + 1, Version: 1, Phase: cluster.PhaseRevoked, From: other.node, To: to.node,
		Durability: s.rec.Durability, Cause: cluster.CauseOverride, Actor: r.Actor}
	if highest := s.highestEpoch(); !s.rec.Exists() || highest > s.rec.Epoch {
		next.Epoch = highest + overrideLeap
	}
	text := fmt.Sprintf("%s takes the role to %s by an override", r.Actor, to.node)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	if r.Force {
		next.Cause = cluster.CauseForced
		text += "; forced"
	}
	if len(overlooked) > 0 {
		text += " although " + strings.Join(overlooked, "; although ")
	}
	s.st.marks = nil
	s.st.mark("seen", string(other.cause), s.now-other.unanswered)
	s.st.mark("decided", "", s.now)
	d := s.change("revoked", next, cluster.Reason{Code: Override, Text: text}, false)
	q := *r
	q.State, q.Answer = cluster.RequestRunning, ""
	d.Transition.Request = &q
	return d, true
}

// overridable checks what no override overcomes, and what only a forced one
// does: that is named in overlooked.
func (s *situation) overridable(r *cluster.Request) (overlooked []string, no cluster.Reason, ok bool) {
	refuse := func(r cluster.Reason) ([]string, cluster.Reason, bool) { return nil, r, false }
	switch {
	case s.v.Snapshot.AssignmentFault != "":
		return refuse(why(Unreadable, "the assignment in Redis cannot be read: %s", s.v.Snapshot.AssignmentFault))
	case !s.p.Pair.Has(r.To):
		return refuse(why(NotAMember, "%s is not a member of this pair: %s and %s are", r.To, s.p.Pair.Primary, s.p.Pair.Secondary))
	}
	to, other := s.member(r.To), s.member(s.p.Pair.Other(r.To))
	var must []cluster.Reason // what only force overcomes
	switch {
	case s.adrift(): // whoever is the active is closed first, or is not reached
	case s.rec.Active == to.node && s.rec.Phase == cluster.PhaseOpening:
		no := why(SwitchRefused, "%s is being opened already", to.node)
		if _, failed := to.saying(s.rec.Order(), cluster.DeedFailed); failed {
			no.Text += "; " + s.openingFails(to).Text
		}
		return refuse(no)
	case s.rec.Active == to.node && to.life == alive:
		return refuse(why(SwitchRefused, "%s is active already", to.node))
	case s.rec.Active == to.node:
		return refuse(why(SwitchRefused, "%s is active already and does not answer; the other server is %s: %s",
			to.node, other.node, OverrideCommand(s.p.Pair.Tag, other.node)))
	case s.rec.Active == other.node && s.rec.Phase != cluster.PhaseOpening && other.life == alive:
		if q, ok := to.quarantined(s.rec.Epoch); ok {
			return refuse(s.outOfQuarantine(why(Errant, "%s, the active, is alive, and %s", other.node, q.Text), to, other))
		}
		return refuse(why(SwitchRefused, "%s, the active, is alive: use mmmctl switchover, which loses nothing", other.node))
	case s.rec.Active == other.node && s.lives(other) != nil:
		must = append(must, *s.lives(other))
	}
	if to.life != alive {
		return refuse(why(CandidateDown, "%s does not answer: %s", to.node, orUnseen(to)))
	}
	if !to.known {
		return refuse(why(Unreadable, "what %s has is not known: the predecessor's monitor does not tell, and it could not be asked", to.node))
	}
	if !to.hasAgent() {
		return refuse(to.noAgent())
	}
	if no, ok := s.noGTID(to); !ok {
		return refuse(no)
	}
	if no, ok := s.unreadable(to); !ok {
		return refuse(no)
	}
	if was := s.member(s.old()); was != nil && was != to {
		if e := s.errant(was, to); !e.IsEmpty() {
			must = append(must, why(Errant, "%s has transactions of its own that %s never had: %s", to.node, was.node, short(e.String())))
		}
	}
	if q, ok := to.quarantined(s.rec.Epoch); ok {
		must = append(must, q)
	}
	if ch := to.server.Channel; ch.SQLErrno != 0 && ch.SQL != cluster.ThreadYes {
		must = append(must, why(ReplicationBroken, "%s cannot apply what it received: error %d: %s", to.node, ch.SQLErrno, short(ch.SQLError)))
	}
	if said, ok := to.saying(s.rec.Order(), cluster.DeedFailed); ok && s.rec.Phase == cluster.PhaseRevoked {
		must = append(must, why(DrainFailed, "%s could not apply what it received: %s", to.node, said.Reason))
	}
	for _, m := range must {
		if !r.Force {
			m.Text += " (--force goes on all the same)"
			return refuse(m)
		}
		overlooked = append(overlooked, m.Text)
	}
	return overlooked, cluster.Reason{}, true
}

// old is the last active of the record; empty when there is none that is known.
func (s *situation) old() cluster.Endpoint {
	switch s.rec.Phase {
	case cluster.PhaseSteady, cluster.PhaseSwitching:
		return s.rec.Active
	case cluster.PhaseRevoked, cluster.PhaseOpening:
		return s.rec.From
	}
	return ""
}

// lives says why the active that the monitors do not find alive may be taking
// writes all the same; nil when nothing speaks for that.
func (s *situation) lives(active *member) *cluster.Reason {
	if s.rec.Phase == cluster.PhaseOpening {
		return nil // nobody saw it open, and it is closed first
	}
	if active.life == limping || active.reason.Code == Contradicted {
		r := active.reason
		return &r
	}
	for agent, r := range active.reports {
		if s.silentFor(active.node, agent) <= AgentAway && r.Cause == cluster.CauseNone && !r.Queued && r.Deed == cluster.DeedOpen {
			no := why(SwitchRefused, "agent %s gets answers from %s, the active, and finds it open", agent, active.node)
			return &no
		}
	}
	return nil
}

// operatorProof is what stands for a proof under an override: the old active is closed where an
// agent reaches it, and is not waited for where none does.
func (s *situation) operatorProof(from *member, forced bool) (cluster.Proof, cluster.Reason) {
	since := s.now - s.st.phaseIn
	late := SilentWait - since
	if r, reached := s.reached(from); reached || from.life == alive || from.life == limping {
		if forced && late <= 0 {
			return cluster.ProofOperator, cluster.Reason{}
		}
		s.again(late)
		if reached {
			return "", why(WaitProof, "agent %s gets answers from %s: it is closed first", r.Agent, from.node)
		}
		return "", why(WaitProof, "%s answers and is closed first", from.node)
	}
	_, tried := from.report(func(r cluster.Report) bool {
		return atLeast(r.Order, s.rec.Order()) && (r.Queued || r.Deed == cluster.DeedUnreachable && !refusedBy(r.Cause))
	})
	if from.agents == 0 {
		late = FenceGrace - since
	}
	if !tried && late > 0 {
		s.again(late)
		return "", why(WaitClose, "%s is being closed, if an agent can", from.node)
	}
	return cluster.ProofOperator, cluster.Reason{}
}

// endLate ends a request that waits for something after its point of no return;
// what was begun goes on.
func (s *situation) endLate(d *Decision) {
	r := s.v.Snapshot.Request
	if r == nil || r.State != cluster.RequestRunning {
		return
	}
	left := requestTimeout(r) - (s.now - s.st.phaseIn)
	if s.again(left); left > 0 {
		return
	}
	s.endRequest(d, cluster.RequestFailed, fmt.Sprintf("begun and not finished, it goes on by itself as soon as it can: %s", d.Verdict.Reason.Text))
}

func requestTimeout(r *cluster.Request) time.Duration {
	if r != nil && r.State == cluster.RequestRunning && r.TimeoutMS > 0 {
		return time.Duration(r.TimeoutMS) * time.Millisecond
	}
	return DefaultSwitchTimeout
}

// Foresight is what is known beforehand of a failover that an operator wants.
type Foresight struct {
	// Told is what is lost, may be lost, is not known or is overruled, in words.
	Told []string
	// Refusal says why it would not be begun now; empty when it would.
	Refusal cluster.Reason
}

// Foresee says what r, a request for a failover, would do now. It knows only
// what v holds: the leading identify, who has watched, may know more.
func Foresee(v View, p Policy, r cluster.Request) Foresight {
	const now = time.Hour
	s := newSituation(State{}, &v, &p, now)
	to, other := s.member(r.To), s.member(p.Pair.Other(r.To))
	var f Foresight
	tell := func(format string, args ...any) { f.Told = append(f.Told, fmt.Sprintf(format, args...)) }
	overlooked, no, ok := s.overridable(&r)
	if !ok && !r.Force && s.hearsay(no, other) {
		tell("refused if that agent still lives: %s", no.Text)
		forced := r
		forced.Force = true
		overlooked, no, ok = s.overridable(&forced)
		if ok && len(overlooked) > 1 {
			no, ok = why(SwitchRefused, "%s (--force goes on all the same)", overlooked[1]), false
		}
		overlooked = nil
	}
	if !ok {
		return Foresight{Refusal: no}
	}
	if s.rec.Exists() {
		tell("the record: epoch %s, phase %s, active %s", s.rec.Order(), s.rec.Phase, orNobody(s.rec.Active))
	} else {
		tell("there is no assignment: nobody knows for certain who was active last")
	}
	for _, m := range []*member{other, to} {
		if m.known && m.server.Mark.Epoch > 0 {
			tell("the epoch row of %s: %s was opened in epoch %d", m.node, m.server.Mark.Active, m.server.Mark.Epoch)
		}
	}
	have := to.executed.Union(to.received)
	switch n, _, known := s.loss(other, have); {
	case !known:
		tell("unknown: what %s has, no position of it was read since the monitors began; whatever it took and %s did not receive is left behind", other.node, to.node)
	case n > 0:
		tell("lost: at least %s of %s that %s never received, by the last sample of %s: %s",
			plural(n, "transaction"), other.node, to.node, other.node, short(other.executed.Minus(have).String()))
	case other.life != alive:
		tell("unknown: what %s took after its last sample; by that sample %s lacks nothing", other.node, to.node)
	default:
		tell("%s lacks nothing that %s has now", to.node, other.node)
	}
	if s.rec.Exists() && s.old() == other.node && !s.rec.IsEligible(to.node) && s.rec.Phase != cluster.PhaseRevoked {
		tell("%s has not been seen replicating from %s in epoch %d: what %s took since may be missing", to.node, other.node, s.rec.Epoch, other.node)
	}
	if other.life == alive || other.life == limping {
		tell("%s answers: it is closed first", other.node)
	} else {
		tell("%s is not closed unless an agent still reaches it (%s): if clients reach it, what they write there is lost", other.node, orUnseen(other))
	}
	if v.Snapshot.Pause != nil {
		tell("overruled: %s", paused(*v.Snapshot.Pause).Text)
	}
	if s.rec.Blocked && p.FailoverBlock > 0 {
		tell("overruled: failover_block: %s", s.blocked().Text)
	}
	if no, ok := s.tooMuchLost(other, to, have); !ok {
		tell("overruled: %s", no.Text)
	}
	for _, text := range overlooked {
		tell("forced although %s", text)
	}
	return f
}

// hearsay reports whether no rests on an agent's report of which one look does
// not tell how old it is: the agent may have died together with its server.
func (s *situation) hearsay(no cluster.Reason, active *member) bool {
	if active == nil || s.rec.Active != active.node {
		return false
	}
	l := s.lives(active)
	return l != nil && l.Code == SwitchRefused && strings.HasPrefix(no.Text, l.Text)
}

func orNobody(e cluster.Endpoint) string {
	if e == "" {
		return "nobody"
	}
	return string(e)
}
