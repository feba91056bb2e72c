package redis

import (
	"context"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// TellSilent says that the active of the pair is silent; it is the only pair, so
// that it alone is counted, once it is published.
func (s *Store) TellSilent() failover.Silence {
	n := len(s.Pairs())
	return failover.Silence{Silent: n, Pairs: n}
}

// TellSilent says that the active of u is silent, and tells how many pairs are.
func (b *Bus) TellSilent(ctx context.Context, u cluster.UniqSign) (failover.Silence, error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) (failover.Silence, []redisbus.Wake, error) {
		return s.store.TellSilent(), nil, nil
	})
	if err != nil {
		return failover.Silence{}, b.lost(err, "tell that %s is silent", u)
	}
	return r.value, nil
}

// TellOver takes the pair out: its active answers again.
func (b *Bus) TellOver(ctx context.Context, u cluster.UniqSign) error {
	b.of(u)
	_, err := b.change(ctx, func(*Server) ([]redisbus.Wake, error) { return nil, nil })
	if err != nil {
		return b.lost(err, "tell that %s is silent no more", u)
	}
	return nil
}
