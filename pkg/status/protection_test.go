package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// blocked has the verdict name what stands in the way.
func blocked(codes ...string) func(*Subject, *cluster.Snapshot) {
	return func(_ *Subject, s *cluster.Snapshot) {
		for _, c := range codes {
			s.Verdict.Blockers = append(s.Verdict.Blockers, cluster.Reason{Code: c, Text: "in many words"})
		}
	}
}

// leased has the active's agent hold l for 10 s.
func leased(l cluster.Lease) func(*Subject, *cluster.Snapshot) {
	return func(_ *Subject, s *cluster.Snapshot) {
		r := s.Reports[nodeA]["host1/ab12cd"]
		r.Lease, r.LeaseMS = l, 10_000
		s.Reports[nodeA]["host1/ab12cd"] = r
	}
}

func TestProtectionInOneLine(t *testing.T) {
	var out strings.Builder
	for _, c := range []struct {
		name string
		make func(*Subject, *cluster.Snapshot)
	}{
		{"all is well", func(*Subject, *cluster.Snapshot) {}},
		{"unfenced=wait", func(sub *Subject, _ *cluster.Snapshot) { sub.Policy.Unfenced = "wait" }},
		{"unfenced=risk", func(sub *Subject, _ *cluster.Snapshot) { sub.Policy.Unfenced = "risk" }},
		{"semi-sync, the passive is away", func(_ *Subject, s *cluster.Snapshot) { s.Assignment.Durability = cluster.SemiSync }},
		{"semi-sync", func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment.Durability, s.Assignment.Waits, s.Assignment.Eligible = cluster.SemiSync, true, []cluster.Endpoint{s.Assignment.Passive}
		}},
		{"strict, the passive has not all yet", func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment.Durability, s.Assignment.Waits, s.Assignment.Eligible = cluster.SemiSyncStrict, true, nil
		}},
		{"both leases", leased(cluster.LeaseBoth)},
		{"the lease in Redis only", leased(cluster.LeaseRedis)},
		{"the lock only", leased(cluster.LeaseLock)},
		{"no lease left", leased(cluster.LeaseNone)},
		{"leases of an agent that was stopped", func(sub *Subject, s *cluster.Snapshot) {
			leased(cluster.LeaseBoth)(sub, s)
			r := s.Reports[nodeA]["host1/ab12cd"]
			r.Seq = lastWord
			s.Reports[nodeA]["host1/ab12cd"] = r
		}},
		{"leases of the passive's agent", func(_ *Subject, s *cluster.Snapshot) {
			r := s.Reports[nodeB]["host1/ab12cd"]
			r.Lease, r.LeaseMS = cluster.LeaseBoth, 10_000
			s.Reports[nodeB]["host1/ab12cd"] = r
		}},
		{"paused", func(sub *Subject, s *cluster.Snapshot) {
			s.Pause = &cluster.Pause{Actor: "dba@jump"}
			blocked(failover.Paused, failover.NotEligible)(sub, s)
		}},
		{"blocked", blocked(failover.Blocked)},
		{"the passive is away, without an agent, and more", blocked(failover.CandidateDown, failover.NotEligible, failover.NoAgent)},
		{"few monitors", blocked(failover.FewMonitors)},
		{"the breaker", blocked(failover.Breaker)},
		{"data", blocked(failover.Errant, failover.ReplicationBroken, failover.MaxLoss)},
		{"what cannot be compared", blocked(failover.NoGTID, failover.Unreadable)},
		{"a code of another version", blocked("moon-phase")},
		{"no identify", func(sub *Subject, s *cluster.Snapshot) {
			s.Leader = cluster.Leader{}
			blocked(failover.Blocked)(sub, s)
		}},
		{"no verdict yet", func(_ *Subject, s *cluster.Snapshot) { s.Verdict = nil }},
		{"in the middle of a change", func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment = cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB}
		}},
		{"before the first start", func(_ *Subject, s *cluster.Snapshot) { s.Assignment = cluster.Assignment{} }},
		{"no agent at all", func(_ *Subject, s *cluster.Snapshot) { s.Reports = nil }},
		{"active-active", func(sub *Subject, _ *cluster.Snapshot) { sub.Pair.ServiceMode = cluster.ActiveActive }},
		{"the predecessor's identify", func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment, s.Verdict, s.Leader = cluster.Assignment{}, nil, cluster.Leader{}
		}},
	} {
		p := sceneReport(t, c.make).Tags[0].Protection
		if strings.Contains(p.Line, "\n") {
			t.Errorf("%s: more than one line", c.name)
		}
		fmt.Fprintf(&out, "%s:\n    %s\n", c.name, p.Line)
	}
	golden(t, "protection.txt", []byte(out.String()))
}
