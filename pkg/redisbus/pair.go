package redisbus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// PublishPair writes the predecessor's static keys of a pair, replacing older
// values, and lists the pair in mmm:pairs.
func (b *Bus) PublishPair(ctx context.Context, p cluster.Pair) error {
	op := fmt.Sprintf("publish pair %s", p.UniqSign)
	if err := checkUniqSign(p.UniqSign); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if p.Primary == "" || p.Secondary == "" {
		return fmt.Errorf("%s: primary %q and secondary %q must both be set", op, p.Primary, p.Secondary)
	}
	k := keysOf(p.UniqSign)
	cmds, err := b.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, k.serviceMode(), strconv.Itoa(int(p.ServiceMode)), 0)
		pipe.Set(ctx, k.primary(), string(p.Primary), 0)
		pipe.Set(ctx, k.secondary(), string(p.Secondary), 0)
		pipe.Del(ctx, k.members())
		pipe.SAdd(ctx, k.members(), string(p.Primary), string(p.Secondary))
		pipe.SAdd(ctx, pairsKey, string(p.UniqSign))
		return nil
	})
	return b.checkCmds(op, err, cmds...)
}

// Pairs lists the pairs that monitors have published, ours in mmm:pairs and
// the predecessor's by their members key, sorted.
func (b *Bus) Pairs(ctx context.Context) ([]cluster.UniqSign, error) {
	const op = "list pairs"
	listed := b.client.SMembers(ctx, pairsKey)
	if err := b.checkCmds(op, listed.Err(), listed); err != nil {
		return nil, err
	}
	found := listed.Val()
	var cursor uint64
	for {
		scan := b.client.Scan(ctx, cursor, membersPrefix+"*"+membersSuffix, 1000)
		page, next, err := scan.Result()
		if err != nil {
			return nil, b.wrap(op, err)
		}
		for _, key := range page {
			found = append(found, strings.TrimSuffix(strings.TrimPrefix(key, membersPrefix), membersSuffix))
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	pairs := make([]cluster.UniqSign, 0, len(found))
	for _, text := range found {
		if u := cluster.UniqSign(text); checkUniqSign(u) == nil {
			pairs = append(pairs, u)
		}
	}
	slices.Sort(pairs)
	return slices.Compact(pairs), nil
}
