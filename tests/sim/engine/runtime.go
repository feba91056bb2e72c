package engine

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// Runtime is what the process's loops run on.
func (p *Process) Runtime() sched.Runtime { return runtime{p} }

type runtime struct{ p *Process }

func (r runtime) Now() time.Duration { return r.p.Now() }
func (r runtime) Go(f func())        { r.p.Go(f) }
func (r runtime) Lend(f func())      { f() }

func (r runtime) NewSignal() sched.Signal {
	s := r.p.e.spare.signals.take()
	*s = signal{p: r.p}
	return s
}

func (r runtime) Rand(n time.Duration) time.Duration { return r.p.e.Between(0, n) }

func (r runtime) Cancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return r.p.bound(ctx, noLimit).stoppable()
}

func (r runtime) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return r.p.bound(ctx, r.p.in(d)).stoppable()
}

// in is the time of the process's clock at which d is over.
func (p *Process) in(d time.Duration) time.Duration {
	if d > noLimit/2 {
		return noLimit
	}
	return p.Now() + d
}

type signal struct {
	p      *Process
	set    bool
	waiter *coroutine
}

func (s *signal) Set() {
	if s.set {
		return
	}
	s.set = true
	if s.waiter != nil && !s.p.dead { // of a dead process it waits no more
		s.waiter.end(answered)
	}
}

func (s *signal) Wait(ctx context.Context, d time.Duration) sched.Woken {
	c := s.p.current()
	if ctx.Err() != nil {
		return sched.Ended
	}
	if s.set {
		s.set = false
		return sched.Set
	}
	if s.waiter != nil {
		panic("engine: two loops of " + s.p.name + " wait for one signal")
	}
	until := noLimit
	if d >= 0 {
		until = s.p.in(d)
	}
	s.waiter = c
	how := c.park(ctx, until)
	s.waiter = nil
	switch {
	case ctx.Err() != nil:
		return sched.Ended // a Set that came as well is for the next Wait
	case how == answered:
		s.set = false
		return sched.Set
	}
	return sched.Late
}
