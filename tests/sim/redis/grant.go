package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Renew takes or lengthens the grant of node for agent; when refused, inForce is
// the order found.
func (s *Store) Renew(now time.Duration, node cluster.Endpoint, agent string, epoch cluster.Epoch, ttl time.Duration) (held bool, inForce cluster.Order, err error) {
	if err := checkRenewal(node, agent, epoch, ttl); err != nil {
		return false, cluster.Order{}, fmt.Errorf("%s: %w", renewal(node, agent, epoch), err)
	}
	if s.record.Epoch != epoch || s.record.Active != node || s.record.Phase == cluster.PhaseRevoked {
		return false, s.record.Order(), nil
	}
	s.write()
	given := cluster.Grant{Node: node, Agent: agent, Epoch: epoch, TTL: ttl.Truncate(time.Millisecond)}
	if s.grant == nil || *s.grant != given {
		s.grant = &given
	}
	s.grantEnds = after(now.Milliseconds(), ttl)
	return true, s.record.Order(), nil
}

// DropGrant hands the grant of node back when agent has it.
func (s *Store) DropGrant(now time.Duration, node cluster.Endpoint, agent string) {
	if g := s.grant; g != nil && !s.grantEnds.over(now.Milliseconds()) && g.Node == node && g.Agent == agent {
		s.write()
		s.grant = nil
	}
}

// showGrant is the grant with what is left of it; nil when there is none.
func (s *Store) showGrant(ms int64) *cluster.Grant {
	if s.grant == nil || s.grantEnds.over(ms) {
		return nil
	}
	left := min(s.grant.TTL, time.Duration(int64(s.grantEnds)-ms)*time.Millisecond)
	if s.granted != s.grant || s.grantShown.Left != left {
		g := *s.grant
		g.Left = left
		s.grantShown, s.granted = &g, s.grant
	}
	return s.grantShown
}

func renewal(node cluster.Endpoint, agent string, epoch cluster.Epoch) string {
	return fmt.Sprintf("renew the grant of %s by %s in epoch %d", node, agent, epoch)
}

// checkRenewal refuses what pkg/redisbus does not even send.
func checkRenewal(node cluster.Endpoint, agent string, epoch cluster.Epoch, ttl time.Duration) error {
	switch {
	case node == "" || agent == "":
		return fmt.Errorf("want a node and an agent, not %q and %q", node, agent)
	case epoch == 0 || epoch > cluster.MaxEpoch:
		return fmt.Errorf("epoch %d is none", epoch)
	case ttl < time.Millisecond || ttl > redisbus.LongestLease:
		return fmt.Errorf("want a lease from 1 ms to %s, not %s", redisbus.LongestLease, ttl)
	}
	return nil
}

// Renew takes or lengthens the grant by which agent keeps node open.
func (b *Bus) Renew(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string, epoch cluster.Epoch, ttl time.Duration) (held bool, inForce cluster.Order, err error) {
	b.of(u)
	type renewed struct {
		held    bool
		inForce cluster.Order
	}
	r, err := call(ctx, b, func(s *Server) (r renewed, _ []redisbus.Wake, err error) {
		r.held, r.inForce, err = s.store.Renew(s.Now(), node, agent, epoch, ttl)
		if s.Forked && s.Island && r.held {
			return renewed{}, nil, minority
		}
		return r, nil, err
	})
	if err != nil {
		return false, cluster.Order{}, b.lost(err, "%s", renewal(node, agent, epoch))
	}
	return r.value.held, r.value.inForce, r.err
}

// DropGrant hands the grant of a closed server back.
func (b *Bus) DropGrant(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error {
	b.of(u)
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		s.store.DropGrant(s.Now(), node, agent)
		return nil, nil
	})
	if err != nil {
		return b.lost(err, "drop the grant of %s by %s", node, agent)
	}
	return nil
}
