package engine

import (
	"context"
	"time"
)

// Call begins something that answers later and parks until it has, or until ctx
// ends: then the error is that of ctx, and an answer that comes later is dropped,
// as is every answer but the first. Of an answer and an end in one instant, or
// during one stop of the process, what came first counts.
//
// begin runs at once in the engine and must not wait; it may never answer.
func Call[T any](p *Process, ctx context.Context, begin func(done func(T, error))) (T, error) {
	var k call[T]
	if err := k.opens(p, ctx); err != nil {
		return k.value, err
	}
	k.c.begins(func() { begin(k.done) })
	return k.waits(ctx, noLimit)
}

// call is one wait for an answer.
type call[T any] struct {
	c     *coroutine
	wait  uint64
	given bool
	value T
	err   error
}

// opens prepares the next wait of the present coroutine of p. The error is that of ctx.
func (k *call[T]) opens(p *Process, ctx context.Context) error {
	k.c = p.current()
	k.wait = k.c.wait
	return ctx.Err()
}

// waits parks until there is an answer, ctx ends, or it is until on the clock of
// the process; then the error is that of a context that ends so.
func (k *call[T]) waits(ctx context.Context, until time.Duration) (T, error) {
	if k.c.park(ctx, until) == answered {
		return k.value, k.err
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	return none, context.DeadlineExceeded
}

// lasts reports whether an answer would still count.
func (k *call[T]) lasts() bool { return !k.given && k.c.wait == k.wait && !k.c.p.dead }

func (k *call[T]) done(v T, err error) {
	if k.lasts() {
		k.value, k.err, k.given = v, err, true
		k.c.end(answered)
	}
}

func (k *call[T]) fail(err error) {
	var none T
	k.done(none, err)
}

// arrives has value and err be the answer, as the last thing of its event.
func (k *call[T]) arrives() {
	if k.lasts() {
		k.given = true
		k.c.endLast(answered)
	}
}

// begins runs f in the engine. When that led to the death of the process its
// coroutine ends here.
func (c *coroutine) begins(f func()) {
	e := c.p.e
	e.cur = nil
	f()
	e.cur = c
	if c.p.dead {
		panic(killed{})
	}
}
