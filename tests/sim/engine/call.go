package engine

import "context"

// Call begins something that answers later and parks until it has, or until ctx
// ends: then the error is that of ctx, and an answer that comes later is dropped,
// as is every answer but the first. Of an answer and an end in one instant, or
// during one stop of the process, what came first counts.
//
// begin runs at once in the engine and must not wait; it may never answer.
func Call[T any](p *Process, ctx context.Context, begin func(done func(T, error))) (T, error) {
	return await(p, ctx, func(k *call[T]) { begin(k.done) })
}

// call is one Call under way.
type call[T any] struct {
	c     *coroutine
	wait  uint64
	given bool
	value T
	err   error
}

// lasts reports whether an answer would still count.
func (k *call[T]) lasts() bool { return !k.given && k.c.wait == k.wait && !k.c.p.dead }

func (k *call[T]) done(v T, err error) {
	if !k.lasts() {
		return
	}
	k.given, k.value, k.err = true, v, err
	k.c.end(answered)
}

func (k *call[T]) fail(err error) {
	var none T
	k.done(none, err)
}

func await[T any](p *Process, ctx context.Context, begin func(*call[T])) (T, error) {
	var none T
	c := p.current()
	if err := ctx.Err(); err != nil {
		return none, err
	}
	k := &call[T]{c: c, wait: c.wait}
	c.begins(func() { begin(k) })
	if c.park(ctx, noLimit) != answered {
		return none, ctx.Err()
	}
	return k.value, k.err
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
