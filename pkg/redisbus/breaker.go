package redisbus

import (
	"context"
	"fmt"
	"strconv"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// silentKey holds the pairs whose active is silent: a sorted set of uniqsigns by
// when that was last said, milliseconds of Redis's clock.
const silentKey = "mmm:silent"

// silentScript enters a pair and counts those that are known to the monitors, so
// that no pair counts that nobody looks after any more.
// KEYS: silent. ARGV: uniqsign, life of an entry in ms, pairs, which are only read.
var silentScript = newScript(`
local silent, pairs_key = KEYS[1], ARGV[3]
local refusal = wrong_type(silent, 'zset', pairs_key, 'set')
  or denied({{'ZADD', silent, '0', ''}, {'PEXPIRE', silent, '1'}})
if refusal then return refusal end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local life = tonumber(ARGV[2])
redis.call('ZADD', silent, string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', silent, '-inf', string.format('(%.0f', now - life))
redis.call('ZREMRANGEBYSCORE', silent, string.format('(%.0f', now + life), '+inf')
redis.call('PEXPIRE', silent, ARGV[2])
local n = 0
for _, u in ipairs(redis.call('ZRANGE', silent, 0, -1)) do
  n = n + redis.call('SISMEMBER', pairs_key, u)
end
return {'told', tostring(n), tostring(redis.call('SCARD', pairs_key))}
`)

// TellSilent says that the active of u is silent, which counts for
// failover.SilentLife, and tells how many of the pairs that monitors have
// published are silent now, this one with them.
func (b *Bus) TellSilent(ctx context.Context, u cluster.UniqSign) (failover.Silence, error) {
	op := fmt.Sprintf("tell that %s is silent", u)
	if err := checkUniqSign(u); err != nil {
		return failover.Silence{}, fmt.Errorf("%s: %w", op, err)
	}
	answer, err := b.run(ctx, op, silentScript, []string{silentKey}, string(u), failover.SilentLife.Milliseconds(), pairsKey)
	if err != nil {
		return failover.Silence{}, err
	}
	if len(answer) != 3 {
		return failover.Silence{}, b.wrap(op, fmt.Errorf("the script answered %q", answer))
	}
	silent, err1 := strconv.Atoi(answer[1])
	known, err2 := strconv.Atoi(answer[2])
	if err1 != nil || err2 != nil {
		return failover.Silence{}, b.wrap(op, fmt.Errorf("the script answered %q", answer))
	}
	return failover.Silence{Silent: silent, Pairs: known}, nil
}

// TellOver takes u out: its active answers again.
func (b *Bus) TellOver(ctx context.Context, u cluster.UniqSign) error {
	cmd := b.client.ZRem(ctx, silentKey, string(u))
	return b.checkCmds(fmt.Sprintf("tell that %s is silent no more", u), cmd.Err(), cmd)
}
