package redisbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// requestLife is how long a request lives after it was filed, answerLife how
	// long at least an answer can be read.
	requestLife = 5 * time.Minute
	answerLife  = time.Minute
)

// FileRequest writes an operator's request, unless another one has not ended:
// that is ErrBusy, with who and what in the text. It expires 5 minutes later.
func (b *Bus) FileRequest(ctx context.Context, u cluster.UniqSign, r cluster.Request) error {
	op := fmt.Sprintf("file request %s for %s", r.Verb, u)
	if err := checkUniqSign(u); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if r.ID == "" || r.Verb == "" {
		return fmt.Errorf("%s: want an id and a verb", op)
	}
	if r.State == "" {
		r.State = cluster.RequestFiled
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	for {
		before, err := b.requestText(ctx, op, u)
		if err != nil {
			return err
		}
		other, err := decodeRequest(before)
		if err != nil {
			return b.wrap(op, &ValueError{Key: k.request(), Text: err.Error()})
		}
		if other != nil && !other.State.Ended() {
			what := other.Verb
			if other.To != "" {
				what += " to " + string(other.To)
			}
			return fmt.Errorf("%s: %w: %s by %s is %s", op, ErrBusy, what, other.Actor, other.State)
		}
		answer, err := b.run(ctx, op, fileRequestScript, []string{k.request()}, before, text, requestLife.Milliseconds(), k.look())
		if err != nil || answer[0] != "moved" {
			return err
		}
	}
}

// WithdrawRequest takes request id back if nobody has begun it; false when it is
// under way, ended, or gone.
func (b *Bus) WithdrawRequest(ctx context.Context, u cluster.UniqSign, id string) (bool, error) {
	op := fmt.Sprintf("withdraw request %s of %s", id, u)
	k := keysOf(u)
	for {
		before, err := b.requestText(ctx, op, u)
		if err != nil {
			return false, err
		}
		r, err := decodeRequest(before)
		if err != nil || r == nil || r.ID != id || r.State != cluster.RequestFiled {
			return false, err
		}
		r.State, r.Answer = cluster.RequestRefused, "withdrawn before anybody had begun it"
		text, err := json.Marshal(r)
		if err != nil {
			return false, fmt.Errorf("%s: %w", op, err)
		}
		answer, err := b.run(ctx, op, fileRequestScript, []string{k.request()}, before, text, answerLife.Milliseconds(), k.look())
		if err != nil {
			return false, err
		}
		if answer[0] != "moved" {
			return true, nil
		}
	}
}

// Request reads the operator's request, nil when there is none.
func (b *Bus) Request(ctx context.Context, u cluster.UniqSign) (*cluster.Request, error) {
	op := "read request of " + string(u)
	text, err := b.requestText(ctx, op, u)
	if err != nil {
		return nil, err
	}
	r, err := decodeRequest(text)
	if err != nil {
		return nil, b.wrap(op, &ValueError{Key: keysOf(u).request(), Text: err.Error()})
	}
	return r, nil
}

// SaveRequest writes the leader's answer to a request; ErrNotLeader unless id
// holds the lease under token.
func (b *Bus) SaveRequest(ctx context.Context, u cluster.UniqSign, id string, token uint64, r cluster.Request) error {
	op := fmt.Sprintf("save request %s of %s", r.ID, u)
	if r.ID == "" {
		return fmt.Errorf("%s: want an id", op)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	_, err = b.run(ctx, op, saveRequestScript, []string{k.leader(), k.token(), k.request()},
		id, token, text, requestLife.Milliseconds(), answerLife.Milliseconds(), k.look())
	return err
}

func (b *Bus) requestText(ctx context.Context, op string, u cluster.UniqSign) (string, error) {
	cmd := b.client.Get(ctx, keysOf(u).request())
	return cmd.Val(), b.checkCmds(op, cmd.Err(), cmd)
}

func decodeRequest(text string) (*cluster.Request, error) {
	if text == "" {
		return nil, nil
	}
	var r *cluster.Request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	if r == nil || r.ID == "" {
		return nil, errors.New("it has no id")
	}
	return r, nil
}

// SetPause holds automatic changes of role back until ClearPause. A zero
// SinceMS becomes now, by Redis's clock.
func (b *Bus) SetPause(ctx context.Context, u cluster.UniqSign, p cluster.Pause) error {
	op := "pause " + string(u)
	if err := checkUniqSign(u); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if p.SinceMS == 0 {
		now := b.client.Time(ctx)
		if err := b.checkCmds(op, now.Err(), now); err != nil {
			return err
		}
		p.SinceMS = now.Val().UnixMilli()
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	k := keysOf(u)
	cmds, err := b.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, k.pause(), text, 0)
		pipe.Publish(ctx, k.look(), KindPause)
		return nil
	})
	return b.checkCmds(op, err, cmds...)
}

// ClearPause ends a pause; false when there was none.
func (b *Bus) ClearPause(ctx context.Context, u cluster.UniqSign) (bool, error) {
	k := keysOf(u)
	var gone *redis.IntCmd
	cmds, err := b.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		gone = pipe.Del(ctx, k.pause())
		pipe.Publish(ctx, k.look(), KindPause)
		return nil
	})
	if err := b.checkCmds("end pause of "+string(u), err, cmds...); err != nil {
		return false, err
	}
	return gone.Val() > 0, nil
}
