package redis

import (
	"context"
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Request reads the operator's request.
func (b *Bus) Request(ctx context.Context, u cluster.UniqSign) (*cluster.Request, error) {
	b.of(u)
	return b.request(ctx, fmt.Sprintf("read request of %s", u))
}

func (b *Bus) request(ctx context.Context, op string) (*cluster.Request, error) {
	r, err := call(ctx, b, func(s *Server) (*cluster.Request, []redisbus.Wake, error) {
		return s.store.Request(s.Now()), nil, nil
	})
	if err != nil {
		return nil, b.lost(err, "%s", op)
	}
	return r.value, nil
}

// FileRequest writes an operator's request unless another has not ended. It
// reads first and writes in a second step, as redisbus.Bus does.
func (b *Bus) FileRequest(ctx context.Context, u cluster.UniqSign, r cluster.Request) error {
	b.of(u)
	op := fmt.Sprintf("file request %s for %s", r.Verb, u)
	if r.State == "" {
		r.State = cluster.RequestFiled
	}
	if err := checkFiling(u, nil, r); err != nil {
		return err
	}
	for {
		before, err := b.request(ctx, op)
		if err != nil {
			return err
		}
		if err := checkFiling(u, before, r); err != nil {
			return err
		}
		moved, err := call(ctx, b, func(s *Server) (bool, []redisbus.Wake, error) {
			moved, said := s.store.SwapRequest(s.Now(), before, r, requestLife)
			return moved, said, nil
		})
		if err != nil {
			return b.lost(err, "%s", op)
		}
		if !moved.value {
			return nil
		}
	}
}

// WithdrawRequest takes a request back that nobody has begun.
func (b *Bus) WithdrawRequest(ctx context.Context, u cluster.UniqSign, id string) (bool, error) {
	b.of(u)
	op := fmt.Sprintf("withdraw request %s of %s", id, u)
	for {
		before, err := b.request(ctx, op)
		if err != nil || before == nil || before.ID != id || before.State != cluster.RequestFiled {
			return false, err
		}
		moved, err := call(ctx, b, func(s *Server) (bool, []redisbus.Wake, error) {
			moved, said := s.store.SwapRequest(s.Now(), before, withdrawn(*before), answerLife)
			return moved, said, nil
		})
		if err != nil {
			return false, b.lost(err, "%s", op)
		}
		if !moved.value {
			return true, nil
		}
	}
}

// SetPause holds automatic changes of role back; without a SinceMS it asks
// Redis for the time first.
func (b *Bus) SetPause(ctx context.Context, u cluster.UniqSign, p cluster.Pause) error {
	b.of(u)
	if p.SinceMS == 0 {
		now, err := call(ctx, b, func(s *Server) (int64, []redisbus.Wake, error) {
			return s.Now().Milliseconds(), nil, nil
		})
		if err != nil {
			return b.lost(err, "pause %s", u)
		}
		p.SinceMS = now.value
	}
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		return s.store.SetPause(p), nil
	})
	if err != nil {
		return b.lost(err, "pause %s", u)
	}
	return nil
}

// ClearPause ends a pause; false when there was none.
func (b *Bus) ClearPause(ctx context.Context, u cluster.UniqSign) (bool, error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) (bool, []redisbus.Wake, error) {
		was, said := s.store.ClearPause()
		return was, said, nil
	})
	if err != nil {
		return false, b.lost(err, "end pause of %s", u)
	}
	return r.value, nil
}

// Events are the newest n entries of the audit trail, the newest first.
func (b *Bus) Events(ctx context.Context, u cluster.UniqSign, n int) ([]cluster.Event, error) {
	b.of(u)
	if n <= 0 {
		return nil, nil
	}
	r, err := call(ctx, b, func(s *Server) ([]cluster.Event, []redisbus.Wake, error) {
		return s.store.Events(n), nil, nil
	})
	if err != nil {
		return nil, b.lost(err, "read events of %s", u)
	}
	return r.value, nil
}
