package agent_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// hardServer makes one server of a world refuse log-ins or take its time to close.
type hardServer struct {
	addr   cluster.Endpoint
	full   atomic.Bool // log-ins get "too many connections"
	locked atomic.Bool // each SET GLOBAL read_only waits its lock wait out
}

func (h *hardServer) in(w *world) func(*agent.Options) {
	return func(o *agent.Options) {
		o.Node = func(e cluster.Endpoint) (agent.Node, error) {
			n, err := w.node(e)
			if e == h.addr && err == nil {
				return hardNode{n, h}, nil
			}
			return n, err
		}
	}
}

type hardNode struct {
	agent.Node
	h *hardServer
}

func (n hardNode) Connect(ctx context.Context) (agent.Conn, error) {
	if n.h.full.Load() {
		return nil, causeError{cluster.CauseTooMany}
	}
	c, err := n.Node.Connect(ctx)
	if err == nil && n.h.full.Load() {
		_ = c.Close()
		return nil, causeError{cluster.CauseTooMany}
	}
	if err != nil {
		return nil, err
	}
	return hardConn{c, n.h}, nil
}

type hardConn struct {
	agent.Conn
	h *hardServer
}

func (c hardConn) SetReadOnly(ctx context.Context, wait time.Duration) error {
	if !c.h.locked.Load() {
		return c.Conn.SetReadOnly(ctx, wait)
	}
	select {
	case <-time.After(wait):
		return agent.ErrLockWait
	case <-ctx.Done():
		return causeError{cluster.CauseAnswerTimeout}
	}
}

// Identify must know that an agent reaches the old active: otherwise it takes
// the risk of opening the other while this one is being closed.
func TestAClosingUnderWayIsReported(t *testing.T) {
	play(t, func(s *stage) {
		h := &hardServer{addr: hostA}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.in(s.w))
		h.locked.Store(true)
		s.put(revoked(6, hostA, hostB))
		s.pass(150 * time.Millisecond)
		r := s.bus.report(s.T, hostA, "one")
		if r.Deed != cluster.DeedWorking || r.Order.Epoch != 6 || r.Cause != cluster.CauseNone {
			s.Errorf("while it is being closed: deed %q under %s (cause %q), want working under 6.1", r.Deed, r.Order, r.Cause)
		}
	})
}

// A closing that takes longer than a sample stays fresh is no reason to open the other.
func TestNobodyIsOpenedWhileTheOtherIsStillBeingClosed(t *testing.T) {
	play(t, func(s *stage) {
		h := &hardServer{addr: hostA}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.in(s.w))
		h.locked.Store(true)
		s.put(revoked(6, hostA, hostB))
		s.pass(300 * time.Millisecond)
		s.put(opening(6, 2, hostB, hostA, "")) // by risk: the monitor finds A refused
		s.pass(10 * time.Second)
		h.locked.Store(false)
		s.pass(5 * time.Second)
		s.wantOpen(false, true)
		s.neverBothOpen()
	})
}

// A server that hung is full when it wakes: all clients came back at once. The
// connection on which the closing order waited is the only way in.
func TestAFullServerIsClosedOnTheConnectionThatWaited(t *testing.T) {
	play(t, func(s *stage) {
		h := &hardServer{addr: hostA}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.in(s.w))
		s.w.a().hang()
		s.pass(3 * time.Second)
		s.put(revoked(6, hostA, hostB))
		s.pass(2 * time.Second)
		if r := s.bus.report(s.T, hostA, "one"); !r.Queued {
			s.Fatalf("no closing order is queued: %q (%s)", r.Deed, r.Reason)
		}
		h.full.Store(true)
		s.w.a().awake()
		s.pass(10 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 {
			s.Errorf("closed under %s, want 6.1: nobody is open, and nothing can go on", r.Closed)
		}
	})
}

// The order of the two servers in Redis is no news of the pair: what the agent
// remembers of it still shuts an older record out.
func TestAPairWhoseMembersAreRenamedKeepsItsMemory(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.bus.mu.Lock()
		s.bus.snap.Primary, s.bus.snap.Secondary = hostB, hostA
		s.bus.snap.Assignment = steady(4, 9, hostB, hostA)
		s.bus.mu.Unlock()
		s.pass(15 * time.Second)
		s.wantOpen(true, false)
	})
}

func TestAnAgentThatTakesAnothersPlaceKeepsItsMemory(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		remembers := func(m map[cluster.UniqSign]cluster.Memory) func(*agent.Options) {
			return func(o *agent.Options) { o.Remembers = m }
		}
		s.agent("one", remembers(map[cluster.UniqSign]cluster.Memory{s.bus.snap.UniqSign: {Record: steady(6, 1, hostB, hostA)}}))
		s.pass(5 * time.Second)
		s.wantOpen(false, false) // 6.1 is remembered: 5.3 is not obeyed
	})
}

func TestAServerThatReceivesAgainIsNoLongerDrained(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		s.want(hostB, "one", cluster.DeedDrained)
		// It was restarted, and its replication with it.
		s.w.b().change(func(b *fakeServer) {
			b.held, b.ch.IO, b.ch.Received = true, cluster.ThreadYes, uuidA+":1-30"
		})
		s.pass(3 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedWorking); r.Ready != (cluster.Order{}) {
			t.Errorf("ready under %s while it applies what it received since", r.Ready)
		}
	})
}
