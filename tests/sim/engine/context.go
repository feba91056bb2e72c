package engine

import (
	"context"
	"time"
)

// bounded is a context that ends at a time of the clock of its process, or when
// it is cancelled.
type bounded struct {
	context.Context
	p *Process
	// ends is when it ends by itself or was cancelled, and cause the error of
	// that; noLimit while there is none.
	ends  time.Duration
	cause error
	// due is the earliest of its end and those that it was derived from, as of
	// its making.
	due  time.Duration
	stop context.CancelFunc // cancel, made once
}

func (p *Process) bound(ctx context.Context, ends time.Duration) *bounded {
	c := p.e.spare.contexts.take()
	*c = bounded{
		Context: ctx, p: p, ends: ends, cause: context.DeadlineExceeded,
		due: min(ends, dueOf(ctx)), stop: c.stop,
	}
	return c
}

// stoppable is c and the function that cancels it.
func (c *bounded) stoppable() (context.Context, context.CancelFunc) {
	if c.stop == nil {
		c.stop = c.cancel
	}
	return c, c.stop
}

// Within is a context that ends after d on the clock of the process, and that
// nobody has to cancel.
func (p *Process) Within(ctx context.Context, d time.Duration) context.Context {
	return p.bound(ctx, p.in(d))
}

// Done is nil: nothing in a simulated process waits on a channel.
func (c *bounded) Done() <-chan struct{} { return nil }

// Deadline is on the clock of the process, counted from the beginning of 1970.
func (c *bounded) Deadline() (time.Time, bool) {
	if c.due == noLimit {
		return time.Time{}, false
	}
	return time.Unix(0, int64(c.due)), true
}

// Err is the error of whatever ended first.
func (c *bounded) Err() error {
	first, cause := c.p.Now()+1, error(nil)
	for {
		if c.ends < first {
			first, cause = c.ends, c.cause
		}
		up, ok := c.Context.(*bounded)
		if !ok {
			break
		}
		c = up
	}
	if cause == nil {
		return c.Context.Err()
	}
	return cause
}

func (c *bounded) cancel() {
	now := c.p.Now()
	if c.ends <= now {
		return
	}
	c.ends, c.cause = now, context.Canceled
	for _, co := range c.p.cos {
		if co.waiting && co.ctx != nil && c.over(co.ctx) {
			co.end(ended)
		}
	}
}

// over reports whether ctx has ended with c, or before.
func (c *bounded) over(ctx context.Context) bool {
	for {
		b, ok := ctx.(*bounded)
		switch {
		case !ok:
			return ctx.Err() != nil
		case b == c:
			return true
		}
		ctx = b.Context
	}
}

// dueOf is the time at which ctx ends if nobody cancels it, on the clock of its
// process; noLimit when it does not. What wraps a context, as a value does,
// shows its deadline; what takes its end away shows none.
func dueOf(ctx context.Context) time.Duration {
	if c, ok := ctx.(*bounded); ok {
		return c.due
	}
	if t, ok := ctx.Deadline(); ok {
		return time.Duration(t.UnixNano())
	}
	return noLimit
}
