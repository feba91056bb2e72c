package failover

import (
	"cmp"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

const (
	// RelaxAfter is for how long the passive must be seen to acknowledge nothing before
	// commits are let go; where only commits are seen to wait, two samples longer.
	RelaxAfter = 2 * time.Second
	// AwaitPatience is how long an agent may take to have commits wait before that is
	// given up, and AwaitAgain when it is tried again.
	AwaitPatience = 10 * time.Second
	AwaitAgain    = time.Minute
)

// durability is what mmm.conf asks for.
func (p Policy) durability() cluster.Durability {
	if p.Durability == "" {
		return cluster.Async
	}
	return p.Durability
}

// promise fills in what next promises for acknowledged writes, where it does not say.
func (s *situation) promise(next *cluster.Assignment) {
	if next.Durability == "" {
		next.Durability = s.rec.Durability
	}
	if next.Configured == "" {
		next.Configured = s.rec.Configured
	}
	if next.Durability == "" {
		next.Durability, next.Configured = s.p.durability(), s.p.durability()
		if next.Durability.Acknowledged() {
			next.Eligible = nil // it was by what promised nothing
		}
	}
	if next.Durability == cluster.SemiSyncStrict && !safeguard.Off(safeguard.StrictFirst) && next.Active != "" && (next.Phase == cluster.PhaseOpening || next.Epoch != s.rec.Epoch) {
		next.Waits = true
	}
}

// acknowledging reports whether every write that the active has acknowledged since the
// record says so is one that node has received.
func (s *situation) acknowledging(node cluster.Endpoint) bool {
	return s.rec.Waits && (s.rec.Phase == cluster.PhaseRevoked && s.rec.To == node || s.rec.IsEligible(node))
}

// ruleDurability changes what is promised for acknowledged writes: mmm.conf or an
// operator says otherwise than before.
func ruleDurability(s *situation) (Decision, bool) {
	if r := s.v.Snapshot.Request; r != nil && r.State == cluster.RequestFiled && r.Verb == cluster.VerbDurability {
		return s.asked(r)
	}
	want := s.p.durability()
	if cmp.Or(s.rec.Configured, cluster.Async) == want {
		return Decision{}, false
	}
	next := s.promised(want)
	next.Configured = want
	return s.quietly("configured", next, why(Steady, "durability is %s now, as mmm.conf says, and was %s", want, cmp.Or(s.rec.Durability, cluster.Async))), true
}

// asked carries out an operator's request for another durability.
func (s *situation) asked(r *cluster.Request) (Decision, bool) {
	switch r.Durability {
	case cluster.Async, cluster.SemiSync, cluster.SemiSyncStrict:
	default:
		return s.refuse(r.Verb, r, why(Unreadable, "%q is no durability: %s, %s and %s are", r.Durability, cluster.Async, cluster.SemiSync, cluster.SemiSyncStrict))
	}
	q := *r
	q.State = cluster.RequestDone
	was := cmp.Or(s.rec.Durability, cluster.Async)
	if r.Durability == was {
		q.Answer = fmt.Sprintf("durability is %s already", r.Durability)
		d, _ := hold(why(Steady, "%s", q.Answer))
		d.Answer = &q
		return d, true
	}
	if s.predecessors() && r.Durability.Acknowledged() {
		return s.refuse(r.Verb, r, why(NoAgent, "the predecessor's agent cannot have commits wait: start mmm-agent"))
	}
	text := fmt.Sprintf("%s has changed durability from %s to %s", r.Actor, was, r.Durability)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	d := s.quietly("durability", s.promised(r.Durability), why(Steady, "%s", text))
	d.Transition.Event.Actor = r.Actor
	q.Answer = fmt.Sprintf("durability is %s, until mmm.conf is changed or somebody asks for another", r.Durability)
	d.Transition.Request = &q
	return d, true
}

// promised is the record with another durability. What was acknowledged before the
// passive was waited for it may lack.
func (s *situation) promised(want cluster.Durability) cluster.Assignment {
	next := s.rec.Clone()
	next.Version++
	switch {
	case !want.Acknowledged():
		next.Waits = false
	case !s.rec.Durability.Acknowledged():
		next.Waits, next.Eligible = false, nil
	}
	next.Durability = want
	return next
}

// quietly changes the record without a word in it of why: the roles stay.
func (s *situation) quietly(kind string, next cluster.Assignment, because cluster.Reason) Decision {
	d := s.change(kind, next, because, false)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	return d
}

// ruleAwait has the active's commits wait for a passive that has nearly all and goes
// on receiving, so that they do not wait for long.
func ruleAwait(s *situation) (Decision, bool) {
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	if !s.rec.Durability.Acknowledged() || s.rec.Waits || !s.able(active, passive) {
		return Decision{}, false
	}
	if left := s.st.awaitAt - s.now; left > 0 && !s.heardMore(passive) || s.st.awaitAt != 0 && safeguard.Off(safeguard.AwaitAgain) {
		s.again(left)
		return Decision{}, false
	}
	if passive.server.Acks.Replica != cluster.Yes || !s.caughtUp(active, passive) {
		return Decision{}, false
	}
	next := s.rec.Clone()
	next.Version++
	next.Waits, next.Eligible = true, nil
	s.st.awaitAt = 0
	return s.quietly("waiting", next, why(Steady, "commits on %s wait for %s from now on", active.node, passive.node)), true
}

// muted reports whether the old active can acknowledge no write, wherever it is: its
// commits wait for to, which receives nothing any more. After a restart none waits, so
// that it must be known to come up closed.
func (s *situation) muted(from, to *member) bool {
	if _, drained := to.readyUnder(s.rec.Order()); !s.rec.Waits || !drained {
		return false
	}
	return s.startsClosed(from) && from.elsewhere() == ""
}

// elsewhere is why m, when it was last seen, may have acknowledged writes that its passive
// has not: empty where nothing tells that. Closed it acknowledges none.
func (m *member) elsewhere() string {
	acks := m.server.Acks
	switch {
	case m.server.ReadOnly == cluster.Yes:
	case acks.Source == cluster.No:
		return fmt.Sprintf("%s did not wait for acknowledgements any more: somebody has turned that off", m.node)
	case acks.Clients > 1:
		return fmt.Sprintf("%d replicas acknowledged what %s committed", acks.Clients, m.node)
	}
	return ""
}

// nobodyTold reports whether active has told no client of a success of what to has not
// received: its commits waited, and when it is started again it is closed.
func (s *situation) nobodyTold(active, to *member) bool {
	return s.acknowledging(to.node) && s.startsClosed(active) && active.elsewhere() == ""
}

// able reports whether the passive can acknowledge what the active commits.
func (s *situation) able(active, passive *member) bool {
	if _, quarantined := passive.saying(s.rec.Order(), cluster.DeedQuarantine); quarantined {
		return false
	}
	return active.life == alive && passive.replicates(active.node) && s.errant(active, passive).IsEmpty() &&
		active.hasAgent() && passive.hasAgent()
}

// awaited is what an agent read of the active once it had seen to it, under the record
// in force, that every commit waits.
func (s *situation) awaited(active *member) (cluster.Report, bool) {
	return active.report(func(r cluster.Report) bool { return atLeast(r.Waits, s.rec.Order()) })
}

// receivedAll reports whether the passive holds all that the active can have acknowledged
// before its commits waited, and acknowledges what comes since. What it received before
// it was started anew it may have lost, though it had acknowledged it.
func (s *situation) receivedAll(active, passive *member) bool {
	if !s.rec.Waits && !safeguard.Off(safeguard.Awaited) {
		return false
	}
	r, ok := s.awaited(active)
	if !ok && !safeguard.Off(safeguard.Awaited) {
		return false
	}
	want := s.parse(active, r.Executed)
	if ok && (want.IsEmpty() || active.fault != "") {
		return false
	}
	if s.st.awaited != s.rec.Order() {
		s.st.awaited, s.st.awaitedAt = s.rec.Order(), s.now
	}
	a, p := active.server.Acks, passive.server.Acks
	if a.Source != cluster.Yes || a.Clients != 1 || p.Replica != cluster.Yes {
		return false
	}
	if safeguard.Off(safeguard.ReadSinceStart) {
		return passive.executed.Union(passive.received).Contains(want)
	}
	have, at := s.holds(passive)
	if at <= s.st.awaitedAt && !safeguard.Off(safeguard.ReadSinceWait) {
		return false // MariaDB throws away what it has received when both threads are started anew
	}
	_, wrote := s.holds(active)
	if s.st.goal.epoch != s.rec.Epoch || s.st.goal.at <= s.startedAt(passive) {
		if wrote <= s.startedAt(passive) {
			return false
		}
		s.st.goal = goal{s.rec.Epoch, active.executed, wrote}
	}
	// A start just before cannot be told from one just after.
	if left := max(s.startedAt(passive), s.startedAt(active)) + time.Second - min(at, wrote); left > 0 {
		s.again(left)
		return false
	}
	if !includes(have, want) || !includes(have, s.st.goal.set) {
		return false
	}
	s.st.vouching = min(at, wrote)
	return true
}

// includes reports whether have, of a replica with no transactions of its own, contains
// want. A replica of MariaDB that was made of a backup lists the last of each domain alone.
func includes(have, want gtid.Set) bool {
	return have.Contains(want) || have.Flavor() == cluster.MariaDB && have.Contains(want.Highest())
}

// holds is what m executed and received by its newest full sample, and when that began.
func (s *situation) holds(m *member) (have gtid.Set, at time.Duration) {
	for _, by := range s.st.views.of(m.node) {
		o := s.v.Snapshot.Observations[m.node][by.voice.name]
		if began := by.value.full(&o); o.Answered() && o.FullMS != 0 && began > at {
			at = began
			have = s.parse(m, o.Server.Executed).Union(s.parse(m, o.Server.Channel.Received))
		}
	}
	return have, at
}

// ruleRelax takes a passive that acknowledges nothing out of those that may take over,
// and, unless the promise is strict, says in the same change that commits wait no
// longer: only then does an agent let them go.
func ruleRelax(s *situation) (Decision, bool) {
	active, passive := s.member(s.rec.Active), s.member(s.rec.Passive)
	strict := s.rec.Durability == cluster.SemiSyncStrict
	if !s.rec.Durability.Acknowledged() || !s.rec.Waits || active.life != alive || strict && !s.rec.IsEligible(passive.node) {
		s.st.mute = 0
		return Decision{}, false
	}
	if s.st.muteIn != s.rec.Epoch {
		s.st.mute, s.st.muteIn = 0, s.rec.Epoch
	}
	was := s.silence(active, passive)
	if was.because == "" {
		s.st.mute = 0
		return Decision{}, false
	}
	if s.st.mute == 0 {
		s.st.mute = s.now
	}
	if left := was.after - (s.now - s.st.mute); left > 0 {
		s.again(left)
		return Decision{}, false
	}
	next := s.barring(passive)
	next.Waits = strict && !safeguard.Off(safeguard.StrictKept)
	if was.again > 0 {
		s.st.awaitAt = s.now + was.again
	}
	if !was.deaf {
		s.st.heardOf = gtid.Set{}
	}
	s.st.mute = 0
	kind, text := "relaxed", fmt.Sprintf("commits on %s wait for %s no longer, which may not take over: %s", active.node, passive.node, was.because)
	if strict {
		kind, text = "ineligible", fmt.Sprintf("%s may not take over, and commits on %s wait for it: %s", passive.node, active.node, was.because)
	}
	return s.quietly(kind, next, why(NotEligible, "%s", text)), true
}

// silence is why nothing is acknowledged; the zero value when something is.
type silence struct {
	because string
	after   time.Duration // it must have been so for that long
	again   time.Duration // until commits wait again, when that would be at once
	deaf    bool          // until the passive has received something more, too
}

func (s *situation) silence(active, passive *member) silence {
	ch, acks := passive.server.Channel, passive.server.Acks
	eligible := s.rec.IsEligible(passive.node)
	is := func(after time.Duration, format string, args ...any) silence {
		return silence{because: fmt.Sprintf(format, args...), after: after}
	}
	switch {
	case passive.life == dead:
		return is(0, "%s", orUnseen(passive))
	case eligible && s.restarted(passive):
		return is(0, "%s was restarted, and may have lost what it had received", passive.node)
	case eligible && s.restarted(active):
		return is(0, "%s was restarted, and may have acknowledged commits without waiting", active.node)
	case eligible && active.server.Acks.Clients > 1:
		return is(RelaxAfter, "%d replicas acknowledge what %s commits, and %s may not be the one that does", active.server.Acks.Clients, active.node, passive.node)
	case eligible && passive.life == alive && (ch.Source != active.node || ch.IO != cluster.ThreadYes):
		return is(RelaxAfter, "%s receives nothing: its IO thread says %s %s", passive.node, ch.IO, short(ch.IOError))
	case eligible && passive.life == alive && acks.Replica != cluster.Yes:
		return is(RelaxAfter, "%s receives and does not acknowledge", passive.node)
	case eligible && active.server.Acks.Source == cluster.No:
		return is(0, "%s does not wait for acknowledgements any more: somebody has turned that off", active.node)
	case active.server.Acks.Waiting > 0 && !s.advances(passive):
		// Its receiver may look well and wait for room on a full disk.
		deaf := is(RelaxAfter+2*s.p.Interval, "commits wait on %s, and %s acknowledges nothing", active.node, passive.node)
		deaf.again, deaf.deaf = AwaitAgain, true
		return deaf
	}
	if _, ok := s.awaited(active); !ok && !eligible {
		nobody := is(AwaitPatience, "no agent could have commits on %s wait", active.node)
		nobody.again = AwaitAgain
		return nobody
	}
	return silence{}
}

// heardMore reports whether m has received more than when it was given up for acknowledging nothing.
func (s *situation) heardMore(m *member) bool {
	return !s.st.heardOf.IsEmpty() && !s.st.heardOf.Contains(m.received)
}

// advances reports whether m has received something since commits were first seen to wait.
func (s *situation) advances(m *member) bool {
	if s.st.mute == 0 || !s.st.heardOf.Contains(m.received) {
		s.st.heardOf = m.received
		return s.st.mute != 0
	}
	return false
}
