package redis

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// teller is what the model answers of the breaker, beside calls.
type teller interface {
	TellSilent(context.Context, cluster.UniqSign) (failover.Silence, error)
	TellOver(context.Context, cluster.UniqSign) error
}

func TestTheModelCountsItsSilentPairAsRedisDoes(t *testing.T) {
	r := startRedis(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newTwins(rt, r)
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(rt *rapid.T) {
				pair := cluster.Pair{UniqSign: sign, Primary: nodeA, Secondary: nodeB}
				tell(rt, w, w.daemon(rt), "publish", func(ctx context.Context, c calls) error { return c.PublishPair(ctx, pair) })
			},
			"silent": func(rt *rapid.T) {
				_, _ = ask(rt, w, w.daemon(rt), "silent", func(ctx context.Context, c calls) (failover.Silence, error) {
					return c.(teller).TellSilent(ctx, sign)
				})
			},
			"over": func(rt *rapid.T) {
				tell(rt, w, w.daemon(rt), "over", func(ctx context.Context, c calls) error { return c.(teller).TellOver(ctx, sign) })
			},
		})
	})
}
