package redisbus

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

const (
	// senders is how many round trips of what is sent together are under way at most: what
	// one of them waits for holds up the other's no more than another client's would.
	senders = 2
	// mostTogether is how many requests one round trip takes.
	mostTogether = 128
)

// together sends what many goroutines ask for side by side, whatever waits in one round trip: a
// process that works for a thousand pairs would spend more time on each than Redis does. Whoever
// asks alone waits for nobody.
type together struct {
	client *redis.Client
	closed context.Context
	queue  chan *request
	begin  sync.Once
}

// request is the commands of one caller. Whoever sets begun first decides: a sender, and they are
// sent, or a caller who waits no longer, and they never are.
type request struct {
	cmds  []redis.Cmder
	begun atomic.Bool
	done  chan struct{}
	err   error // of all of them; they have none of their own then
}

func newTogether(closed context.Context, client *redis.Client) *together {
	return &together{client: client, closed: closed, queue: make(chan *request, mostTogether)}
}

// pipelined is redis.Client.Pipelined. With an error of its own it returns no commands, whose
// outcome is then unknown; else each has its own.
func (b *Bus) pipelined(ctx context.Context, add func(redis.Pipeliner)) ([]redis.Cmder, error) {
	t := b.together
	pipe := b.client.Pipeline()
	add(pipe)
	r := &request{cmds: pipe.Cmds(), done: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t.closed.Err() != nil {
		return nil, redis.ErrClosed
	}
	t.begin.Do(func() {
		for range senders {
			b.subs.Go(t.run)
		}
	})
	select {
	case t.queue <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.closed.Done():
		return nil, redis.ErrClosed
	}
	select {
	case <-r.done:
		if r.err != nil {
			return nil, r.err
		}
		return r.cmds, nil
	case <-ctx.Done():
		r.begun.Store(true)
		return nil, ctx.Err()
	case <-t.closed.Done():
		return nil, redis.ErrClosed
	}
}

func (t *together) run() {
	for {
		var batch []*request
		select {
		case r := <-t.queue:
			batch = append(batch, r)
		case <-t.closed.Done():
			return
		}
		for more := true; more && len(batch) < mostTogether; {
			select {
			case r := <-t.queue:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		t.send(batch)
	}
}

// send is bounded by the client's timeouts. Each command has its own outcome.
func (t *together) send(batch []*request) {
	pipe := t.client.Pipeline()
	sent := batch[:0]
	for _, r := range batch {
		if !r.begun.Swap(true) {
			_ = pipe.BatchProcess(t.closed, r.cmds...)
			sent = append(sent, r)
		}
	}
	if pipe.Len() == 0 {
		return
	}
	all, err := pipe.Exec(t.closed)
	if slices.ContainsFunc(all, func(c redis.Cmder) bool { return c.Err() != nil }) {
		err = nil // that is whose it is; a log-in that Redis refuses is nobody's
	}
	for _, r := range sent {
		r.err = err
		close(r.done)
	}
}
