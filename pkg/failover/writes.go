package failover

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// writesFail is the report of an agent by which active, which answers and is open, takes no writes.
// One agent whose row was written, in this epoch too, contradicts all others.
func (s *situation) writesFail(active *member) (by cluster.Report, is bool) {
	if s.rec.WriteLimitMS == 0 || s.rec.Phase != cluster.PhaseSteady || active.life != alive || active.server.ReadOnly == cluster.Yes {
		return by, false
	}
	for _, agent := range active.voices {
		r := active.reports[agent.voice.name]
		if s.now-agent.value.at > AgentAway || r.Cause != cluster.CauseNone || r.Order.Epoch != s.rec.Epoch || r.Opened.Epoch != s.rec.Epoch {
			continue
		}
		if r.Writes == cluster.WritesTaken {
			return cluster.Report{}, false
		}
		if r.Writes.Fail() && (!is || r.Writes == cluster.WritesDiskFull) {
			by, is = r, true
		}
	}
	return by, is
}

// writesBecause says that active takes no writes, as r tells.
func writesBecause(active *member, r cluster.Report) cluster.Reason {
	held := round(time.Duration(r.WritesMS) * time.Millisecond)
	if r.Writes == cluster.WritesDiskFull {
		return why(WritesFail, "%s answers and takes no writes: its disk is full, for %s, as agent %s saw", active.node, held, r.Agent)
	}
	return why(WritesFail, "%s answers and takes no writes: a row has not been written for %s, and waits for no lock and no acknowledgement, as agent %s saw", active.node, held, r.Agent)
}

// writesBlockers are why candidate does not take over from active, which takes no writes.
func (s *situation) writesBlockers(active, candidate *member, r cluster.Report) []cluster.Reason {
	no := s.blockers(active, candidate)
	// Room is told by who sees the disk; who receives has written what it received.
	if _, full := candidate.report(func(r cluster.Report) bool {
		return r.NoRoom && s.silentFor(candidate.node, r.Agent) <= AgentAway
	}); full {
		no = append(no, why(NoRoom, "the disk of %s is full too", candidate.node))
	}
	if candidate.life == alive && !candidate.replicates(active.node) {
		no = append(no, why(NotReplicating, "%s does not replicate from %s", candidate.node, active.node))
	}
	if !active.hasAgent() && !s.predecessors() {
		no = append(no, active.noAgent())
	}
	if few, ok := s.fewMonitors(); !ok {
		no = append(no, few)
	}
	// Whoever waits for room can be ended. What stands in the kernel cannot: it would keep the server from
	// being closed for as long as it stands, with nobody active.
	if may := s.mayAcknowledge(active, candidate); may != "" && r.Writes != cluster.WritesDiskFull {
		no = append(no, why(NotClosable, "%s could not be closed while its writes stand still, and may acknowledge some when they go on: %s; mend its disk, or stop it and decide (mmmctl failover)", active.node, may))
	}
	return no
}

// mayAcknowledge is why active may tell a client of a success of what candidate has not received, though it takes
// no writes now; empty where it cannot: see nobodyTold.
func (s *situation) mayAcknowledge(active, candidate *member) string {
	switch {
	case !s.rec.Durability.Acknowledged():
		return "its commits wait for nobody (durability=" + string(s.rec.Durability) + ")"
	case !s.acknowledging(candidate.node):
		return "its commits do not wait for " + string(candidate.node) + " yet"
	case !s.startsClosed(active):
		return "it is not known to start with read_only=1"
	}
	return active.elsewhere()
}

// ruleWrites takes the role from an active that answers and takes no writes. All that follows is as in any failover:
// it is closed, or proved to acknowledge nothing, before the other is opened.
func ruleWrites(s *situation) (Decision, bool) {
	active, candidate := s.member(s.rec.Active), s.member(s.rec.Passive)
	r, is := s.writesFail(active)
	if !is || len(s.writesBlockers(active, candidate, r)) > 0 {
		return Decision{}, false // ruleSteady tells why
	}
	cause := cluster.CauseWritesStalled
	if r.Writes == cluster.WritesDiskFull {
		cause = cluster.CauseWritesDiskFull
	}
	s.st.marks = nil
	s.st.mark("seen", string(r.Writes), s.now-time.Duration(r.WritesMS)*time.Millisecond)
	return s.revoke(active, candidate, cause, writesBecause(active, r)), true
}
