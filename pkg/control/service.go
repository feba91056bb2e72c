package control

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ErrBusy is in the chain of what FileRequest returns while another request is filed or running.
var ErrBusy = errors.New("another request is under way")

// ErrNotFiled is in the chain of what FileRequest returns when it is known that the request was not filed.
var ErrNotFiled = errors.New("the request was not filed")

// Bus is what control needs of the bus.
type Bus interface {
	Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error)
	FileRequest(ctx context.Context, u cluster.UniqSign, r cluster.Request) error
	// WithdrawRequest takes back a request that nobody has begun.
	WithdrawRequest(ctx context.Context, u cluster.UniqSign, id string) (bool, error)
	SetPause(ctx context.Context, u cluster.UniqSign, p cluster.Pause) error
	ClearPause(ctx context.Context, u cluster.UniqSign) (bool, error)
	Events(ctx context.Context, u cluster.UniqSign, n int) ([]cluster.Event, error)
}

// Options are what a Service works with.
type Options struct {
	Bus Bus
	// Wake says that something of the pair has changed; nil means that only the timer looks.
	Wake <-chan struct{}
	// Actor names who asks: user@host.
	Actor string
	// NewID makes the identity of a request.
	NewID func() string
}

// Service carries out verbs.
type Service struct{ opt Options }

// New returns a Service.
func New(opt Options) *Service { return &Service{opt: opt} }

// look is how often a request is looked at when nothing wakes us.
const look = 200 * time.Millisecond

// wait returns false when ctx has ended.
func (s *Service) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-s.opt.Wake:
	}
	return ctx.Err() == nil
}

func activeOf(s cluster.Snapshot) cluster.Endpoint {
	if s.Assignment.Exists() {
		return s.Assignment.Active
	}
	return s.Legacy.Active
}
