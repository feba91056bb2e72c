package redisbus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// heldWithin is how long replicas may take to answer for what they have.
	heldWithin = 300 * time.Millisecond
	heldFor    = time.Minute
)

// MinorityError is what Held returns when too few replicas of Redis answer for the record: the
// master that was asked may be one that the others have left.
type MinorityError struct {
	// Answered is how many replicas did, of those that the sentinels know; Needed is how many have to.
	Answered, Needed, Replicas int
	// Agree is how many of all Sentinels name this master.
	Agree, Sentinels int
}

// Error gives the numbers.
func (e *MinorityError) Error() string {
	return fmt.Sprintf("%d of %d replicas of redis answer for the record, %d have to, and %d of %d sentinels name its master: that may be cut off, and another one chosen",
		e.Answered, e.Replicas, e.Needed, e.Agree, e.Sentinels)
}

// Held sees that no sentinel failover can choose a master without the record of this order: it is
// on a majority of all Redis that the sentinels know, or on all that are not down where a majority of the
// sentinels names this master. Else the error is a MinorityError. It reports false when another order is in
// force. Without sentinels there is one Redis, and nothing is asked.
func (b *Bus) Held(ctx context.Context, u cluster.UniqSign, order cluster.Order) (inForce bool, err error) {
	if b.sentinels == nil {
		return true, nil
	}
	found, err := b.held(ctx, u, b.sentinels.replicas(), heldWithin)
	return found == order, err
}

func (b *Bus) held(ctx context.Context, u cluster.UniqSign, replicas int, within time.Duration) (inForce cluster.Order, err error) {
	const op = "see that a majority of redis has the record"
	if err := checkUniqSign(u); err != nil {
		return inForce, fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	needed := neededOf(replicas)
	var record *redis.SliceCmd
	var answered *redis.IntCmd
	cmds, err := b.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		record = p.HMGet(ctx, k.assignment(), "epoch", "version")
		if needed == 0 {
			return nil
		}
		// Replicas have all that was written before what they answer for, on this connection.
		p.HSet(ctx, k.held(), "at", strconv.FormatInt(time.Now().UnixMilli(), 10))
		p.PExpire(ctx, k.held(), heldFor)
		answered = wait(ctx, p, needed, within)
		return nil
	})
	if err := b.checkCmds(op, err, cmds...); err != nil {
		return inForce, err
	}
	if needed > 0 {
		if err := b.enough(ctx, int(answered.Val()), replicas); err != nil {
			return inForce, b.wrap(op, err)
		}
	}
	text := func(i int) string {
		if values := record.Val(); i < len(values) && values[i] != nil {
			return fmt.Sprint(values[i])
		}
		return ""
	}
	return parseOrder(text(0), text(1)), nil
}

// neededOf is how many of the replicas make a majority of all Redis with the master.
func neededOf(replicas int) int { return (replicas + 1) / 2 }

// wait asks how many replicas have what was written before, on the same connection.
func wait(ctx context.Context, p redis.Pipeliner, needed int, within time.Duration) *redis.IntCmd {
	answered := redis.NewIntCmd(ctx, "wait", needed, within.Milliseconds())
	_ = p.Process(ctx, answered)
	return answered
}

// enough is a MinorityError unless no sentinel failover can lose what so many replicas have answered for.
func (b *Bus) enough(ctx context.Context, answered, replicas int) error {
	m := &MinorityError{Answered: answered, Needed: neededOf(replicas), Replicas: replicas}
	if m.Answered >= m.Needed {
		return nil
	}
	up := m.Needed
	if b.sentinels != nil {
		m.Sentinels = len(b.sentinels.clients)
		m.Agree, up = b.sentinels.agree(ctx)
	}
	if 2*m.Agree <= m.Sentinels || m.Answered < min(m.Needed, up) {
		return m
	}
	return nil
}
