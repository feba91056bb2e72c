package failover

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// leaseGrace is added to the length of a lease, for what was under way at Redis
// when the role was taken away.
const leaseGrace = 500 * time.Millisecond

// leasesOf is for how long from now on m may stay open by leases of its own: the
// length of those that an agent was renewing, which reached its server. It is 0
// when none is known to be in force: then no lease fences m.
func (s *situation) leasesOf(m *member) time.Duration {
	var longest time.Duration
	grant := s.v.Snapshot.Grant
	for agent, r := range m.reports {
		age := s.silentFor(m.node, agent)
		length := time.Duration(r.LeaseMS) * time.Millisecond
		if length <= 0 || r.Cause != cluster.CauseNone || r.Seq == 0 {
			continue
		}
		holds := r.Lease == cluster.LeaseRedis || r.Lease == cluster.LeaseLock || r.Lease == cluster.LeaseBoth
		granted := grant != nil && grant.Node == m.node && grant.Agent == agent && grant.Left > 0
		if granted {
			length = max(length, grant.TTL)
		}
		if granted || holds && age <= AgentAway {
			longest = max(longest, length)
		}
	}
	return longest
}

// grantSeen is the grant that Redis shows: whose, until when at most, on our clock,
// and the newest record beside which it was seen.
type grantSeen struct {
	node   cluster.Endpoint
	ends   time.Duration
	beside cluster.Order
}

// takeGrant dates the end of the grant. The latest that was ever seen counts: of two
// masters of Redis one may have missed the last renewal, or have another clock.
func (st *State) takeGrant(s *cluster.Snapshot, now time.Duration) {
	g := s.Grant
	if g == nil || g.Left <= 0 {
		return
	}
	if g.Node != st.grant.node {
		st.grant = grantSeen{node: g.Node}
	}
	st.grant.ends = max(st.grant.ends, now+min(g.Left, g.TTL))
	st.grant.beside = s.Assignment.Order()
}

// leaseLeft is how long the leases of the old active may still run. They count
// from when this leader, in one go, has known that they are refused; or end with the
// grant that nobody can lengthen any more, as whoever has led for a whole lease sees it.
func (s *situation) leaseLeft() time.Duration {
	if safeguard.Off(safeguard.GrantAwaited) {
		return 0
	}
	length := time.Duration(s.rec.LeaseMS) * time.Millisecond
	left := length + leaseGrace - (s.now - max(s.st.phaseIn, s.st.ledSince))
	g := s.st.grant
	if g.node == s.rec.From && atLeast(g.beside, s.st.phaseOf) && s.st.phaseIn-s.st.ledSince >= length {
		left = min(left, g.ends-s.now)
	}
	return left
}

// leaseOver reports whether the old active has closed itself for want of a lease:
// the grant has run out since it is refused, the agent of the server to be opened
// owns the lock on it, and no restart of that server has given the lock away early.
func (s *situation) leaseOver(to *member) bool {
	if s.rec.LeaseMS <= 0 || s.leaseLeft() > 0 || s.restartedLately(to) {
		return false
	}
	_, over := s.lockOver(to)
	return over
}

func (s *situation) lockOver(to *member) (cluster.Report, bool) {
	return to.report(func(r cluster.Report) bool {
		return r.LockOver && atLeast(r.Order, s.rec.Order()) && s.silentFor(to.node, r.Agent) <= AgentAway
	})
}

// restartedLately reports whether the server may have lost the lock with a restart
// while whoever had it still counted on it.
func (s *situation) restartedLately(to *member) bool {
	return !safeguard.Off(safeguard.LockAge) && (!to.known || to.server.UptimeS*1000 <= s.rec.LeaseMS)
}

// leaseRuns is why the leases of the old active are waited for, while they can
// still become a proof.
func (s *situation) leaseRuns(from, to *member) (cluster.Reason, bool) {
	if s.rec.LeaseMS <= 0 || s.p.Unfenced == UnfencedRisk || from.node != s.rec.From {
		return cluster.Reason{}, false
	}
	if left := s.leaseLeft(); left > 0 {
		s.again(left)
		return why(WaitProof, "%s cannot be reached, and closes itself when its lease is over: %s left", from.node, round(left)), true
	}
	if s.restartedLately(to) {
		s.again(time.Second)
		return why(WaitProof, "%s was restarted within the lease of %s, and its lock says nothing until it has been up for longer", to.node, from.node), true
	}
	knowsLocks := func(r cluster.Report) bool { return r.LeaseMS > 0 && atLeast(r.Order, s.rec.Order()) }
	if _, ok := to.report(knowsLocks); !ok {
		return cluster.Reason{}, false // nobody there looks at the lock
	}
	return why(WaitProof, "the agent of %s still holds its lease, the lock on %s: it lives, whatever the monitors see", from.node, to.node), true
}
