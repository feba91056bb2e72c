package failover

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// lostTail is the report on a closed active that has lost transactions of its own which candidate has.
func (s *situation) lostTail(active, candidate *member) (cluster.Report, bool) {
	if s.rec.Phase != cluster.PhaseSteady || active.life != alive {
		return cluster.Report{}, false
	}
	return active.report(func(r cluster.Report) bool {
		return r.Tail != "" && r.Order == s.rec.Order() && s.silentFor(active.node, r.Agent) <= AgentAway && s.holdsAll(candidate, r)
	})
}

// holdsAll reports whether candidate has or has received everything that the server of r has:
// whatever else was acknowledged, nobody has any more.
func (s *situation) holdsAll(candidate *member, r cluster.Report) bool {
	has := s.parse(candidate, r.Executed)
	return !has.IsEmpty() && candidate.fault == "" && candidate.executed.Union(candidate.received).Contains(has)
}
