package redisbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// holding is a leader's lease that this process took.
type holding struct {
	pair cluster.UniqSign
	id   string
}

// Lead takes or extends the leader's lease of u for id. When held, token is the
// one to give to Transition; else holder is who has the lease and token is
// theirs. Each taking has a token greater than all before; only the token under
// which the lease is held extends it. Count ttl from before the call.
func (b *Bus) Lead(ctx context.Context, u cluster.UniqSign, id string, ttl time.Duration) (token uint64, held bool, holder string, err error) {
	op := fmt.Sprintf("lead %s as %s", u, id)
	if err := checkUniqSign(u); err != nil {
		return 0, false, "", fmt.Errorf("%s: %w", op, err)
	}
	if id == "" || ttl < time.Millisecond {
		return 0, false, "", fmt.Errorf("%s: want an id and at least 1 ms, not %s", op, ttl)
	}
	h := holding{u, id}
	k := keysOf(u)
	answer, err := b.runTogether(ctx, op, leadScript, []string{k.leader(), k.token()}, id, b.token(h), ttl.Milliseconds())
	if err == nil && len(answer) < 3 {
		err = b.wrap(op, fmt.Errorf("the script answered %q", answer))
	}
	if err == nil {
		token, err = strconv.ParseUint(answer[1], 10, 64)
	}
	if err != nil {
		// Without an answer the lease may have been taken, under a token that did
		// not arrive.
		if _, answered := errors.AsType[redis.Error](err); !answered {
			b.setToken(h, 0)
		}
		return 0, false, "", err
	}
	if answer[0] != "held" {
		return token, false, answer[2], nil
	}
	b.setToken(h, token)
	return token, true, answer[2], nil
}

// Resign gives the lease back when id holds it; it is no error when not.
func (b *Bus) Resign(ctx context.Context, u cluster.UniqSign, id string) error {
	h := holding{u, id}
	k := keysOf(u)
	token := b.token(h)
	b.setToken(h, 0)
	_, err := b.run(ctx, fmt.Sprintf("resign leading %s as %s", u, id), resignScript, []string{k.leader(), k.token()}, id, token)
	return err
}

func (b *Bus) token(h holding) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens[h]
}

func (b *Bus) setToken(h holding, token uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if token == 0 {
		delete(b.tokens, h)
		return
	}
	b.tokens[h] = token
}
