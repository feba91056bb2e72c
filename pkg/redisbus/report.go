package redisbus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// verdictLife is how long a verdict is shown after its leader went away.
const verdictLife = 30 * time.Second

// SaveReport writes what one agent did to and saw of one node, in place of that
// agent's last report of it; wake says so on the look channel. One round trip.
func (b *Bus) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	op := fmt.Sprintf("save report of %s by %s", r.Node, r.Agent)
	if r.Agent == "" || r.Node == "" {
		return fmt.Errorf("%s: want an agent and a node", op)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	cmds, err := b.pipelined(ctx, func(pipe redis.Pipeliner) {
		pipe.HSet(ctx, k.report(r.Node), r.Agent, text)
		if wake {
			pipe.Publish(ctx, k.look(), KindReport)
		}
	})
	return b.checkCmds(op, err, cmds...)
}

// DropReport removes an agent's report of a node: the agent has gone for good.
func (b *Bus) DropReport(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error {
	cmd := b.client.HDel(ctx, keysOf(u).report(node), agent)
	return b.checkCmds(fmt.Sprintf("drop report of %s by %s", node, agent), cmd.Err(), cmd)
}

// SaveVerdict writes what the leading identify thinks of the pair; it wakes
// others only when that has changed.
func (b *Bus) SaveVerdict(ctx context.Context, u cluster.UniqSign, v cluster.Verdict) error {
	op := "save verdict of " + string(u)
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	_, err = b.run(ctx, op, verdictScript, []string{k.verdict()}, text, verdictLife.Milliseconds(), k.look())
	return err
}
