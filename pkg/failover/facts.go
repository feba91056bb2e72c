package failover

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// life is what the monitors together say of one server.
type life int

const (
	unseen  life = iota // no fresh view
	alive               // it answers
	limping             // it answers with an error that is no death, or is not asked the right way
	suspect             // it does not answer, and that is not yet death
	dead
)

// member is what is known of one server at one instant.
type member struct {
	node cluster.Endpoint
	life life
	// cause and reason say why it is not alive; waits is when a suspect becomes dead.
	cause  cluster.Cause
	reason cluster.Reason
	waits  time.Duration
	// server is its last answered sample and known whether there is one;
	// unanswered is how long ago the first unanswered probe began.
	server     cluster.Server
	known      bool
	unanswered time.Duration
	// executed is the union of every position that anybody read of it.
	executed gtid.Set
	received gtid.Set
	// added and addedReceived are the texts that were united last: mostly all say the same.
	added, addedReceived string
	reports              map[string]cluster.Report
	voices               table[heard]  // whose these are
	agents               int           // agents that report on it now
	helpless             int           // of these, whom it refuses
	refusal              cluster.Cause // of one of them
	poor                 int           // of the agents, those that lack a privilege on it
	lacks                string        // what one of them says of that
	legacy               bool          // known through the predecessor's monitor only
	check                cluster.LegacyCheck
	fault                string
}

// situation is one decision's working paper.
type situation struct {
	st   State // as it is to be after the decision
	v    View
	p    Policy
	now  time.Duration
	rec  cluster.Assignment
	sets *gtid.Memo // of the desk
	// pair are its members and nobody, strangers whom the record names beside these.
	pair      [3]member
	strangers []*member
	wait      time.Duration // until the next instant at which time alone changes the decision
	// telling is what Redis is to be told.
	telling Telling
}

func newSituation(st State, v *View, p *Policy, now time.Duration) *situation {
	desk := v.Desk
	if desk == nil {
		desk = &Desk{}
	} else {
		desk.paper = situation{}
	}
	s := &desk.paper
	s.st, s.v, s.p, s.now, s.rec, s.sets, s.wait = st, *v, *p, now, v.Snapshot.Assignment, &desk.sets, time.Second
	s.st.take(v, p, now)
	primary, secondary := &s.pair[0], &s.pair[1]
	s.look(primary, p.Pair.Primary)
	s.look(secondary, p.Pair.Secondary)
	s.addReported(primary, secondary)
	s.addReported(secondary, primary)
	// Of a server that the record names and that is no member nothing is known.
	for _, node := range []cluster.Endpoint{s.rec.Active, s.rec.Passive, s.rec.From, s.rec.To} {
		if s.member(node) == nil {
			s.strangers = append(s.strangers, &member{node: node})
		}
	}
	return s
}

// member is what is known of node, which is of the pair, named by the record, or
// empty; nil of any other.
func (s *situation) member(node cluster.Endpoint) *member {
	for i := range s.pair {
		if s.pair[i].node == node {
			return &s.pair[i]
		}
	}
	for _, m := range s.strangers {
		if m.node == node {
			return m
		}
	}
	return nil
}

// addReported takes in the positions that agents read of m. A server that no
// running monitor has had an answer of is of the flavour of the other.
func (s *situation) addReported(m, other *member) {
	if m.server.Flavor == "" {
		m.server.Flavor = other.server.Flavor
	}
	for _, agent := range m.voices {
		s.addExecuted(m, m.server.Flavor, m.reports[agent.voice.name].Executed)
	}
}

func (s *situation) again(d time.Duration) {
	if d > 0 && d < s.wait {
		s.wait = d
	}
}

// look gathers in m the facts about node and asks each monitor's view for its verdict.
func (s *situation) look(m *member, node cluster.Endpoint) {
	m.node, m.reports, m.voices = node, s.closedStill(node), s.st.reports.of(node)
	for _, agent := range m.voices {
		if s.now-agent.value.at > AgentAway {
			continue
		}
		r := m.reports[agent.voice.name]
		m.agents++
		if r.Cause != cluster.CauseNone && !r.Cause.MayBeDead() {
			m.helpless++
			m.refusal = r.Cause
		}
		if i := slices.IndexFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == cluster.NoteGrants }); i >= 0 {
			m.poor++
			m.lacks = max(m.lacks, r.Notes[i].Text)
		}
	}
	seen, observations := false, s.v.Snapshot.Observations[node]
	var votes [dead + 1]int
	var mute []string // monitors whose word is too old to count
	var contradiction cluster.Reason
	var newest time.Duration
	for _, by := range s.st.views.of(node) {
		name, at := by.voice.name, by.value.at
		o := observations[name]
		s.addExecuted(m, o.Server.Flavor, o.Server.Executed)
		if !s.p.counts(name) {
			continue
		}
		seen = true
		vote := s.verdict(node, name, at, &o)
		votes[vote.life]++
		if vote.life == unseen {
			mute = append(mute, name)
		}
		if vote.receives && contradiction.Code == "" {
			contradiction = vote.reason
		}
		if vote.life > m.life || vote.life == m.life && m.reason.Code == "" {
			m.life, m.cause, m.reason, m.waits = vote.life, o.Cause, vote.reason, vote.waits
		}
		if o.Server.Flavor != "" && (!m.known || at > newest) {
			m.server, m.known, newest = o.Server, true, at
		}
		if o.UnansweredMS > 0 && !o.Answered() {
			m.unanswered = max(m.unanswered, s.now-at+time.Duration(o.EndedMS-o.UnansweredMS)*time.Millisecond)
		}
		s.addReceived(m, o.Server.Flavor, o.ReceivedMax)
		s.addReceived(m, o.Server.Flavor, o.Server.Channel.Received)
	}
	switch {
	case seen:
		s.count(m, votes, mute)
	case len(s.p.Monitors) > 1:
		m.reason = why(Unseen, "none of the monitors that mmm.conf names (%s) has a fresh sample of %s", strings.Join(s.p.Monitors, ", "), node)
	case s.wentBack(node):
		m.reason = why(Unseen, "Redis has gone back to an older sample of %s: its monitor's next one is waited for", node)
	default:
		s.lookLegacy(m)
	}
	if contradiction.Code != "" && (m.life == dead || m.life == suspect) {
		m.life, m.reason = suspect, contradiction
	}
	s.dieAtOnce(m)
}

// closedStill are the reports on node without the closings that a restart has
// undone: a server whose option file lacks read_only comes back open.
func (s *situation) closedStill(node cluster.Endpoint) map[string]cluster.Report {
	all := s.v.Snapshot.Reports[node]
	observations := s.v.Snapshot.Observations[node]
	for _, by := range s.st.views.of(node) {
		if observations[by.voice.name].Server.ReadOnly != cluster.No {
			continue
		}
		o := observations[by.voice.name]
		if !o.Answered() {
			continue
		}
		started := by.value.at - time.Duration(o.Server.UptimeS)*time.Second // at the latest
		copied := false
		for _, agent := range s.st.reports.of(node) {
			if all[agent.voice.name].Closed == (cluster.Order{}) {
				continue
			}
			c, _ := s.st.closings.get(agent.voice)
			before, ok := c.views.get(by.voice)
			older := started < c.after || ok && before.run == o.Run && before.seq == o.Seq
			if older && !s.youngerThan(node, agent.voice.name, by.voice.name) {
				continue
			}
			if !copied {
				all, copied = maps.Clone(all), true
			}
			r := all[agent.voice.name]
			r.Closed = cluster.Order{}
			all[agent.voice.name] = r
		}
	}
	return all
}

// youngerThan reports whether the server that monitor shows is one that was started
// after agent saw it closed, whichever of both was told first.
func (s *situation) youngerThan(node cluster.Endpoint, agent, monitor string) bool {
	closed := time.Duration(s.v.Snapshot.Reports[node][agent].ClosedUptimeS) * time.Second
	shown := time.Duration(s.v.Snapshot.Observations[node][monitor].Server.UptimeS) * time.Second
	h, _ := s.st.reports.get(voice{node, agent})
	return closed > shown+max(0, h.at-s.st.sampled(node, monitor))+ViewLate
}

// count applies the majority rule: death needs the majority of the configured
// monitors, life needs one.
func (s *situation) count(m *member, votes [dead + 1]int, mute []string) {
	if votes[alive] > 0 && votes[dead] < s.p.majority() {
		m.life, m.cause = alive, cluster.CauseNone
		return
	}
	if m.life == dead && votes[dead] < s.p.majority() {
		m.life = suspect
		m.reason = why(Suspect, "%d of %d monitors have seen %s dead, and %d must have", votes[dead], max(1, len(s.p.Monitors)), m.node, s.p.majority())
		for _, name := range s.p.Monitors {
			if _, ok := s.v.Snapshot.Observations[m.node][name]; !ok {
				mute = append(mute, name)
			}
		}
		if len(mute) > 0 {
			slices.Sort(mute)
			m.reason.Text += "; no word of it from " + strings.Join(mute, ", ")
		}
	}
}

func (s *situation) addExecuted(m *member, f cluster.Flavor, text string) {
	if text == "" || f == "" || text == m.added && f == m.executed.Flavor() {
		return
	}
	set, err := s.sets.Parse(f, text)
	if err != nil {
		m.fault = err.Error()
		return
	}
	m.executed, m.added = m.executed.Union(set), text
}

func (s *situation) addReceived(m *member, f cluster.Flavor, text string) {
	if text == "" || text == m.addedReceived && f == m.received.Flavor() {
		return
	}
	set, err := s.sets.Parse(f, text)
	if err != nil || !m.received.IsEmpty() && m.received.Flavor() != f {
		m.fault = "its received position cannot be read"
		return
	}
	m.received, m.addedReceived = m.received.Union(set), text
}

// sampled is when the newest sample of node by monitor was read, on our own clock.
func (st *State) sampled(node cluster.Endpoint, monitor string) time.Duration {
	h, _ := st.views.get(voice{node, monitor})
	return h.at
}

// silentFor is how long agent has reported nothing new of node.
func (s *situation) silentFor(node cluster.Endpoint, agent string) time.Duration {
	h, _ := s.st.reports.get(voice{node, agent})
	return s.now - h.at
}

// vote is one monitor's verdict on one server.
type vote struct {
	life   life
	reason cluster.Reason
	waits  time.Duration
	// receives: the replica was seen to receive from it, which contradicts
	// whatever the majority says.
	receives bool
}

// verdict judges one view: refused at once when the pinned
// connection ended, the port refuses and the replica lost its source; anything
// else by silence; nothing when the replica still receives.
func (s *situation) verdict(node cluster.Endpoint, monitor string, sampled time.Duration, o *cluster.Observation) vote {
	age := s.now - sampled
	if o.Answered() {
		return vote{life: alive}
	}
	if !o.Cause.MayBeDead() {
		return vote{life: limping, reason: why(NotDeath, "%s answers monitor %s with %q, which is not death: %s", node, monitor, o.Cause, hint(o.Cause, "mmm.conf"))}
	}
	if age > FailingFresh {
		return vote{life: unseen, reason: plainly(Unseen, "monitor "+monitor+" has said nothing new of "+string(node)+" for "+round(age).String())}
	}
	replica := s.p.Pair.Other(node)
	r, ok := s.v.Snapshot.Observations[replica][monitor]
	sameRun := ok && r.Run == o.Run && r.Answered() && r.BeganMS >= o.UnansweredMS
	w, witnessed := s.st.witness.get(voice{replica, monitor})
	receives := sameRun && r.Server.Channel.IO == cluster.ThreadYes
	advances := witnessed && w.since == o.UnansweredMS && w.advanced > 0 && s.now-w.advanced < s.contradictionLasts(r)
	if receives && (advances || safeguard.Off(safeguard.Advancing)) {
		s.again(s.contradictionLasts(r) - (s.now - w.advanced))
		return vote{life: suspect, receives: true, reason: why(Contradicted, "%s does not answer monitor %s (%s), but its replica %s still receives from it", node, monitor, o.Cause, replica)}
	}
	if o.Cause == cluster.CauseRefused && o.Broken && sameRun &&
		r.Server.Channel.Source == node && r.Server.Channel.IO != cluster.ThreadYes {
		return vote{life: dead, reason: plainly(ActiveDead, string(node)+" is dead: its connections ended, its port refuses, its replica "+string(replica)+" lost it")}
	}
	silent := time.Duration(o.SilentMS())*time.Millisecond + age
	if limit := s.p.Silence(); silent < limit {
		s.again(limit - silent)
		return vote{life: suspect, waits: limit - silent,
			reason: plainly(Suspect, string(node)+" has not answered for "+round(silent).String()+" ("+string(o.Cause)+"); it counts as dead after "+limit.String())}
	}
	if o.Cause == cluster.CauseRefused && receives && r.Server.Channel.Source == node {
		return vote{life: suspect, reason: why(Contradicted, "%s refuses monitor %s, but its replica %s is still connected to it: a packet filter looks like this", node, monitor, replica)}
	}
	if sameRun && r.Server.Channel.Source == node && (!witnessed || w.since != o.UnansweredMS || w.samples < 2) {
		s.again(50 * time.Millisecond)
		return vote{life: suspect, reason: why(Suspect, "%s has not answered for %s (%s); its replica %s is being asked", node, round(silent), o.Cause, replica)}
	}
	return vote{life: dead, reason: plainly(ActiveDead, string(node)+" is dead: no answer for "+round(silent).String()+" ("+string(o.Cause)+")")}
}

// contradictionLasts is how long one advance of the replica speaks for its
// source: long enough for the next heartbeat where heartbeats are frequent.
func (s *situation) contradictionLasts(replica cluster.Observation) time.Duration {
	period := time.Duration(replica.Server.Channel.HeartbeatPeriodMS) * time.Millisecond
	if period > 0 && period <= s.p.Silence() {
		return 2 * period
	}
	return s.p.ConnectTimeout
}

// wentBack reports whether Redis holds a sample of node to which it has gone back. Who
// wrote it writes the predecessor's check too, which is as old.
func (s *situation) wentBack(node cluster.Endpoint) bool {
	there := s.v.Snapshot.Observations[node]
	return slices.ContainsFunc(s.st.newer.of(node), func(r row[heard]) bool { _, ok := there[r.voice.name]; return ok })
}

// lookLegacy judges a server by the predecessor's check: dead after TryTimes
// values of last_check in a row with ping 0.
func (s *situation) lookLegacy(m *member) {
	c, ok := s.v.Snapshot.Checks[m.node]
	if !ok {
		m.reason = plainly(Unseen, "no monitor has a fresh sample of "+string(m.node))
		return
	}
	m.legacy, m.check = true, c
	if probed, ok := s.v.Probed[m.node]; ok {
		m.server, m.known = probed.Server, true
		m.received = s.parse(m, m.server.Channel.Received)
		s.addExecuted(m, m.server.Flavor, m.server.Executed)
	}
	count, _ := s.st.checks.get(voice{node: m.node})
	if stale := 3*s.p.Interval + s.p.ConnectTimeout + time.Second; s.now-count.at > stale {
		m.reason = why(Unseen, "the check record of %s has not moved for %s", m.node, round(s.now-count.at))
		return
	}
	switch {
	case c.Ping:
		m.life = alive
		m.server.Sessions = c.ConnNums
		m.server.ReadOnly = cluster.Unknown
		if c.ReadOnly >= 0 {
			m.server.ReadOnly = cluster.TriOf(c.ReadOnly == 1)
		}
	case count.zeros >= max(1, s.p.TryTimes):
		m.life, m.cause = dead, cluster.CauseConnectTimeout
		m.reason = why(ActiveDead, "%s is dead: %d samples of the predecessor's monitor in a row found no answer", m.node, count.zeros)
	default:
		m.life, m.cause = suspect, cluster.CauseConnectTimeout
		m.reason = why(Suspect, "%s did not answer the predecessor's monitor %d times; it counts as dead after %d", m.node, count.zeros, s.p.TryTimes)
	}
}

// replicates reports whether m receives and applies from source.
func (m *member) replicates(source cluster.Endpoint) bool {
	if m.life != alive {
		return false
	}
	if m.legacy && !m.known {
		return m.check.ReplCheck == "OK"
	}
	return m.server.Channel.Replicates(source)
}

// hasAgent reports whether an agent of ours reports on m now and can work on it.
func (m *member) hasAgent() bool { return m.agents > m.helpless }

// noAgent says why hasAgent does not hold.
func (m *member) noAgent() cluster.Reason {
	if m.agents > 0 {
		return why(NoAgent, "mmm-agent cannot log in to %s (%s): %s", m.node, m.refusal, hint(m.refusal, "mmm-agent.conf"))
	}
	return why(NoAgent, "no agent reports on %s: start mmm-agent", m.node)
}

// granted says whether some agent that reports on m now has, as far as it knows, every
// privilege that closing and opening m may need; without any it is not asked.
func (m *member) granted() (cluster.Reason, bool) {
	if m.agents == 0 || m.poor < m.agents {
		return cluster.Reason{}, true
	}
	const hint = " (mmmctl check shows the GRANT)"
	return why(Grants, "the agent's account lacks a privilege on %s: %s", m.node, strings.TrimSuffix(m.lacks, hint)+hint), false
}

// closedUnder is the report that acknowledged the node closed at or after o.
func (m *member) closedUnder(o cluster.Order) (cluster.Report, bool) {
	return m.report(func(r cluster.Report) bool { return atLeast(r.Closed, o) })
}

// closed reports whether m was closed under the order in force and cannot have been started
// open since without a word: it answers, or comes up closed, or is reached still by an agent
// that closed it, whatever the monitors see.
func (s *situation) closed(m *member) bool {
	if _, ok := m.closedUnder(s.rec.Order()); !ok {
		return false
	}
	return m.life == alive || s.startsClosed(m) || s.reachedClosed(m) || safeguard.Off(safeguard.ClosingDoubted)
}

// reachedClosed reports whether an agent that closed m under the order in force has had its
// answer since no monitor has.
func (s *situation) reachedClosed(m *member) bool {
	return slices.ContainsFunc(m.voices, func(agent row[heard]) bool {
		r, heardAt := m.reports[agent.voice.name], agent.value.at
		if !atLeast(r.Closed, s.rec.Order()) || r.Cause != cluster.CauseNone {
			return false
		}
		return heardAt >= s.now-m.unanswered && s.now-heardAt <= AgentAway
	})
}

// readyUnder is the report that the node is drained or caught up under o.
func (m *member) readyUnder(o cluster.Order) (cluster.Report, bool) {
	return m.report(func(r cluster.Report) bool { return atLeast(r.Ready, o) })
}

// openedUnder is the report that the node was opened at or after o.
func (m *member) openedUnder(o cluster.Order) (cluster.Report, bool) {
	return m.report(func(r cluster.Report) bool { return atLeast(r.Opened, o) })
}

// saying is a report under o with the given deed.
func (m *member) saying(o cluster.Order, d cluster.Deed) (cluster.Report, bool) {
	return m.report(func(r cluster.Report) bool { return r.Deed == d && atLeast(r.Order, o) })
}

func (m *member) report(is func(cluster.Report) bool) (cluster.Report, bool) {
	for _, agent := range m.voices {
		if r := m.reports[agent.voice.name]; is(r) {
			return r, true
		}
	}
	return cluster.Report{}, false
}

func atLeast(o, than cluster.Order) bool {
	return o.Epoch == than.Epoch && o.Version >= than.Version
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func hint(c cluster.Cause, file string) string {
	switch c {
	case cluster.CauseAccessDenied:
		return "check user and password in " + file
	case cluster.CauseTooMany:
		return "the server is full; raise max_connections or give our user the right to connect when it is"
	case cluster.CauseHostBlocked:
		return "run FLUSH HOSTS on it"
	case cluster.CauseUnreachable:
		return "there is no route to it, or its name does not resolve, from here"
	}
	return "look at its error log"
}
