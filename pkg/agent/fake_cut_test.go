package agent_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// host is the machine of one server and its agent, which can be cut off.
type host struct {
	s           *stage
	server      cluster.Endpoint
	redis, peer atomic.Bool   // cut: nothing gets through any more, and nothing says so
	refuses     atomic.Bool   // Redis refuses each renewal of a lease
	suspended   atomic.Int64  // for how long the machine was suspended up to now
	renewals    atomic.Uint64 // that Redis has granted
}

// local starts the agent of a server's own host, with leases of ten seconds.
func (s *stage) local(id string, e cluster.Endpoint, with ...func(*agent.Options)) (*host, func()) {
	s.Helper()
	h := &host{s: s, server: e}
	stop := h.start(id, with...)
	return h, stop
}

func (h *host) start(id string, with ...func(*agent.Options)) (stop func()) {
	h.s.Helper()
	began := time.Now().Add(-time.Nanosecond)
	return h.s.agent(id, append([]func(*agent.Options){func(o *agent.Options) {
		o.Bus = cutBus{h.s.bus, h}
		o.Node = func(e cluster.Endpoint) (agent.Node, error) {
			n, err := h.s.w.node(e)
			if e == h.server || err != nil {
				return n, err
			}
			return cutNode{n, h}, nil
		}
		o.Local = func(e cluster.Endpoint) bool { return e == h.server }
		o.Lease = 10 * time.Second
		o.Boot = func() time.Duration { return time.Since(began) + time.Duration(h.suspended.Load()) }
	}}, with...)...)
}

func (h *host) cut(is bool) {
	h.redis.Store(is)
	h.peer.Store(is)
}

// unanswered waits as long as a caller does.
func unanswered(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
}

// cutBus is Redis as one host reaches it.
type cutBus struct {
	*fakeBus
	h *host
}

func (b cutBus) away(ctx context.Context) error {
	if !b.h.redis.Load() {
		return nil
	}
	unanswered(ctx)
	return errAway
}

func (b cutBus) Pairs(ctx context.Context) ([]cluster.UniqSign, error) {
	if err := b.away(ctx); err != nil {
		return nil, err
	}
	return b.fakeBus.Pairs(ctx)
}

func (b cutBus) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	if err := b.away(ctx); err != nil {
		return cluster.Snapshot{}, err
	}
	return b.fakeBus.Snapshot(ctx, u)
}

func (b cutBus) Assignment(ctx context.Context, u cluster.UniqSign) (cluster.Assignment, error) {
	if err := b.away(ctx); err != nil {
		return cluster.Assignment{}, err
	}
	return b.fakeBus.Assignment(ctx, u)
}

func (b cutBus) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	if err := b.away(ctx); err != nil {
		return err
	}
	return b.fakeBus.SaveReport(ctx, u, r, wake)
}

func (b cutBus) Locked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint) ([]cluster.Account, error) {
	if err := b.away(ctx); err != nil {
		return nil, err
	}
	return b.fakeBus.Locked(ctx, u, node)
}

func (b cutBus) NoteLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error {
	if err := b.away(ctx); err != nil {
		return err
	}
	return b.fakeBus.NoteLocked(ctx, u, node, all)
}

func (b cutBus) Renew(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, id string, epoch cluster.Epoch, ttl time.Duration) (bool, cluster.Order, error) {
	if err := b.away(ctx); err != nil {
		return false, cluster.Order{}, err
	}
	if b.h.refuses.Load() {
		return false, cluster.Order{}, nil
	}
	held, order, err := b.fakeBus.Renew(ctx, u, node, id, epoch, ttl)
	if held {
		b.h.renewals.Add(1)
	}
	return held, order, err
}

func (b cutBus) Listen(ctx context.Context, hear func(agent.Wake)) {
	b.fakeBus.Listen(ctx, func(w agent.Wake) {
		if !b.h.redis.Load() {
			hear(w)
		}
	})
}

// cutNode is the other server as one host reaches it.
type cutNode struct {
	agent.Node
	h *host
}

func (n cutNode) Connect(ctx context.Context) (agent.Conn, error) {
	if n.h.peer.Load() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return nil, causeError{cluster.CauseConnectTimeout}
	}
	c, err := n.Node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return cutConn{c, n.h}, nil
}

type cutConn struct {
	agent.Conn
	h *host
}

func (c cutConn) away(ctx context.Context) error {
	if !c.h.peer.Load() {
		return nil
	}
	unanswered(ctx)
	return causeError{cluster.CauseAnswerTimeout}
}

// Close leaves the session to a server that does not hear of it.
func (c cutConn) Close() error {
	if c.h.peer.Load() {
		return nil
	}
	return c.Conn.Close()
}

func (c cutConn) OnBroken(f func()) {
	c.Conn.OnBroken(func() {
		if !c.h.peer.Load() {
			f()
		}
	})
}

func (c cutConn) Ping(ctx context.Context) error {
	if err := c.away(ctx); err != nil {
		return err
	}
	return c.Conn.Ping(ctx)
}

func (c cutConn) Observe(ctx context.Context, exclude []string) (cluster.Server, error) {
	if err := c.away(ctx); err != nil {
		return cluster.Server{}, err
	}
	return c.Conn.Observe(ctx, exclude)
}

func (c cutConn) ReadOnly(ctx context.Context) (cluster.Tri, cluster.Tri, error) {
	if err := c.away(ctx); err != nil {
		return cluster.Unknown, cluster.Unknown, err
	}
	return c.Conn.ReadOnly(ctx)
}

func (c cutConn) Glance(ctx context.Context) (cluster.Tri, cluster.Tri, cluster.Channel, error) {
	if err := c.away(ctx); err != nil {
		return cluster.Unknown, cluster.Unknown, cluster.Channel{}, err
	}
	return c.Conn.Glance(ctx)
}

func (c cutConn) TakeLock(ctx context.Context, name string, idle time.Duration) (agent.Lock, error) {
	if err := c.away(ctx); err != nil {
		return agent.Lock{}, err
	}
	return c.Conn.TakeLock(ctx, name, idle)
}
