package failover

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// endedLeast is how long a process must have been up for its end to be told from the end
	// of the one before it, by the uptime that monitors read.
	endedLeast = 30 * time.Second
	// endedSlack is by how much whole seconds and late samples may blur that.
	endedSlack = 5 * time.Second
)

// ended reports whether an agent has seen m end, its process on its own host or as the last statement of a server that
// is being stopped, and since when that is known, while nobody has had an answer of m since.
func (s *situation) ended(m *member) (by cluster.Report, since time.Duration, ok bool) {
	for _, agent := range m.voices {
		r := m.reports[agent.voice.name]
		e, _ := s.st.endings.get(agent.voice)
		if r.EndedUptimeS > 0 && s.now-agent.value.at <= AgentAway && !s.answeredSince(m.node, e) {
			return r, e.at, true
		}
	}
	return by, 0, false
}

// answeredSince reports whether a sample of node may be of a process after the one that ended.
func (s *situation) answeredSince(node cluster.Endpoint, e ending) bool {
	uptime := time.Duration(e.uptime) * time.Second
	for _, by := range s.st.views.of(node) {
		o := s.v.Snapshot.Observations[node][by.voice.name]
		if !o.Answered() && !refusedBy(o.Cause) {
			continue
		}
		was, known := e.views.get(by.voice)
		if !known || was.run != o.Run || was.seq != o.Seq || uptime < endedLeast ||
			time.Duration(o.Server.UptimeS)*time.Second+(s.now-by.value.at)+endedSlack < uptime {
			return true
		}
	}
	return false
}

// endedClosed reports whether the old active's process has ended, seen under the order in
// force by the only agent that acts on it, and any next one starts closed: an agent that
// opened it under an order before has had an answer, and says so.
func (s *situation) endedClosed(m *member) bool {
	r, _, ok := s.ended(m)
	return ok && m.life == dead && m.agents == 1 && atLeast(r.Order, s.rec.Order()) && s.startsClosed(m)
}

// dieAtOnce has m count as dead from the end of its process on: that is known before any
// monitor can see it, and a majority of them is not needed.
func (s *situation) dieAtOnce(m *member) {
	r, since, ok := s.ended(m)
	if !ok || m.life == unseen || m.legacy {
		return
	}
	m.life, m.cause = dead, cluster.CauseEnded
	m.unanswered = max(m.unanswered, s.now-since)
	m.reason = plainly(ActiveDead, string(m.node)+" is dead: its process has ended, as agent "+r.Agent+" on its host saw")
	if r.Stopped {
		m.cause = cluster.CauseStopped
		m.reason = plainly(ActiveDead, string(m.node)+" is dead: it is being stopped, and agent "+r.Agent+" has closed it before")
	}
}

// restarting is why a failover waits for the restart of active, whose process has ended.
func (s *situation) restarting(active *member) (cluster.Reason, bool) {
	_, since, ok := s.ended(active)
	left := s.p.RestartGrace - (s.now - since)
	if !ok || left <= 0 {
		return cluster.Reason{}, false
	}
	s.again(left)
	return why(RestartGrace, "a restart of %s is waited for, for %s more (restart_grace)", active.node, round(left)), true
}
