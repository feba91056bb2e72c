package redisbus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// PublishObservation writes one monitor's view of one server, which Redis
// forgets after ttl, and with legacy set the predecessor's -check hash; wake
// says so on the look channel. One round trip. Listed is false where Redis does
// not know the pair, as when it has been emptied.
func (b *Bus) PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) (listed bool, err error) {
	op := fmt.Sprintf("publish observation of %s by %s", o.Node, o.Monitor)
	if o.Monitor == "" || o.Node == "" || ttl < time.Millisecond {
		return false, fmt.Errorf("%s: want a monitor, a node and at least 1 ms to live, not %s", op, ttl)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	var known *redis.BoolCmd
	cmds, err := b.pipelined(ctx, func(pipe redis.Pipeliner) {
		pipe.SAdd(ctx, k.monitors(), o.Monitor)
		pipe.Set(ctx, k.view(o.Monitor, o.Node), text, ttl)
		if legacy != nil {
			pipe.HSet(ctx, k.check(o.Node), encodeCheck(*legacy)...)
		}
		if wake {
			pipe.Publish(ctx, k.look(), KindView)
		}
		known = pipe.SIsMember(ctx, pairsKey, string(u))
	})
	if err := b.checkCmds(op, err, cmds...); err != nil {
		return false, err
	}
	return known.Val(), nil
}

func encodeCheck(c cluster.LegacyCheck) []any {
	ping := 0
	if c.Ping {
		ping = 1
	}
	return []any{
		"ping", ping,
		"repl_check", c.ReplCheck,
		"read_only", c.ReadOnly,
		"delay_sec", c.DelaySec,
		"conn_nums", c.ConnNums,
		"last_check", c.LastCheck,
	}
}

// decodeCheck reads a -check hash as either monitor writes it; the predecessor
// writes an empty text for what it does not know.
func decodeCheck(h map[string]string) (cluster.LegacyCheck, error) {
	d := decoder{h: h}
	c := cluster.LegacyCheck{
		Ping:      d.whole("ping", 0) == 1,
		ReplCheck: h["repl_check"],
		ReadOnly:  int(d.whole("read_only", -1)),
		DelaySec:  d.whole("delay_sec", -1),
		ConnNums:  int(d.whole("conn_nums", -1)),
		LastCheck: d.whole("last_check", 0),
	}
	return c, d.err
}

func (d *decoder) whole(field string, unset int64) int64 {
	text := d.h[field]
	if text == "" {
		return unset
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		d.fail("%s %q is not a number", field, text)
	}
	return n
}
