package agent_test

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ids are the sessions of agents on a server, the oldest first.
func (s *fakeServer) ids() []uint64 {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Sorted(maps.Keys(s.sessions))
}

// endSession ends one of them from the server's side.
func (s *fakeServer) endSession(id uint64) {
	s.change(func(s *fakeServer) { s.sessions[id].end() })
}

// Neither the working connection nor the spare waits for a timer to be replaced.
func TestAConnectionThatEndsIsReplacedAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		for range 2 {
			s.pass(1500 * time.Millisecond)
			for n := range 2 {
				before := s.w.b().ids()
				if len(before) != 2 {
					t.Fatalf("sessions %v, want a working one and a spare", before)
				}
				id := before[n]
				s.w.b().endSession(id)
				synctest.Wait()
				if after := s.w.b().ids(); len(after) != 2 || slices.Contains(after, id) {
					t.Errorf("sessions %v after the end of %d of %v", after, id, before)
				}
				s.pass(300 * time.Millisecond)
			}
		}
	})
}

// The spare may be of a server that was started anew unnoticed, and its number a stranger's.
func TestTheSpareIsReplacedAfterTheWorkingConnection(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(1500 * time.Millisecond)
		before := s.w.b().ids()
		s.w.b().endSession(before[0])
		synctest.Wait()
		if after := s.w.b().ids(); len(after) != 2 || slices.Contains(after, before[0]) || slices.Contains(after, before[1]) {
			t.Errorf("sessions %v after the end of the working one of %v", after, before)
		}
	})
}

// A spare that has ended unnoticed does not keep a server from being opened.
func TestASpareThatHasEndedIsReplacedToOpen(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(revoked(6, hostA, hostB))
		s.w.a().kill()
		s.agent("one")
		s.want(hostB, "one", cluster.DeedDrained)
		s.pass(1500 * time.Millisecond)
		for _, id := range s.w.b().ids() {
			s.w.b().change(func(b *fakeServer) { b.sessions[id].onBroken = nil })
		}
		before := s.w.b().ids()
		s.w.b().endSession(before[len(before)-1])
		s.put(opening(6, 2, hostB, hostA, ""))
		s.wantOpen(false, true)
		r := s.want(hostB, "one", cluster.DeedOpen)
		if len(r.Steps) == 0 || r.Steps[0].Name != "dial" {
			s.Errorf("steps %v do not begin with the dial", r.Steps)
		}
	})
}

// An agent that is to close a server has asked before how that came up.
func TestAnAgentTellsHowAServerComesUp(t *testing.T) {
	for closed, want := range map[bool]cluster.Tri{true: cluster.Yes, false: cluster.No} {
		play(t, func(s *stage) {
			s.bus.put(steady(5, 3, hostA, hostB))
			s.agent("one")
			s.pass(1500 * time.Millisecond)
			s.w.b().kill()
			s.pass(2 * time.Second)
			s.w.b().start(closed)
			s.pass(2 * time.Second)
			s.put(revoked(6, hostB, hostA))
			s.pass(2 * time.Second)
			s.want(hostB, "one", cluster.DeedClosed)
			if r := s.bus.report(s.T, hostB, "one"); r.StartsClosed != want {
				s.Errorf("started closed: %v, told: %v", closed, r.StartsClosed)
			}
			s.w.b().kill()
			s.pass(2 * time.Second)
			s.w.b().start(closed)
			s.w.b().change(func(b *fakeServer) { b.startsClosed = cluster.Unknown })
			s.pass(2 * time.Second)
			if r := s.bus.report(s.T, hostB, "one"); r.StartsClosed != cluster.Unknown {
				s.Errorf("set by somebody since: told %v", r.StartsClosed)
			}
		})
	}
}

func TestAQueuedOrderIsNoticedWhenItsConnectionEnds(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().hang()
		s.pass(3 * time.Second)
		s.put(revoked(6, hostA, hostB))
		if r := s.want(hostA, "one", cluster.DeedUnreachable); !r.Queued {
			t.Fatal("no closing order is queued")
		}
		for _, id := range s.w.a().ids() {
			s.w.a().endSession(id)
		}
		synctest.Wait()
		if r := s.bus.report(t, hostA, "one"); r.Queued {
			t.Error("an order counts as queued whose connection has ended")
		}
		s.w.a().awake()
		s.pass(3 * time.Second)
		s.wantOpen(false, false)
		s.want(hostA, "one", cluster.DeedClosed)
	})
}

// Nothing but the order itself tells of its end: no dial is under way.
func TestAQueuedOrderIsNoticedWhenItIsCarriedOut(t *testing.T) {
	play(t, func(s *stage) {
		h := &hardServer{addr: hostA}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.in(s.w))
		s.w.a().hang()
		s.pass(3 * time.Second)
		s.put(revoked(6, hostA, hostB))
		h.full.Store(true)
		s.pass(3300 * time.Millisecond)
		s.w.a().awake()
		synctest.Wait()
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Queued || r.Closed.Epoch != 6 {
			t.Errorf("queued %v, closed under %s", r.Queued, r.Closed)
		}
	})
}

// lateNode takes its time to connect and does not care who still waits.
type lateNode struct {
	agent.Node
	gate chan struct{}
}

func (n lateNode) Connect(ctx context.Context) (agent.Conn, error) {
	<-n.gate
	return n.Node.Connect(context.WithoutCancel(ctx))
}

func TestADialThatOutlastsTheAgentLeavesNoSession(t *testing.T) {
	play(t, func(s *stage) {
		gate := make(chan struct{})
		s.bus.put(steady(5, 3, hostA, hostB))
		stop := s.agent("one", func(o *agent.Options) {
			o.Node = func(e cluster.Endpoint) (agent.Node, error) {
				n, err := s.w.node(e)
				return lateNode{n, gate}, err
			}
		})
		var stopped atomic.Bool
		go func() { stop(); stopped.Store(true) }()
		s.pass(time.Second)
		if stopped.Load() {
			t.Error("the agent ended before its dials")
		}
		close(gate)
		s.pass(time.Second)
		if a, b := s.w.a().ids(), s.w.b().ids(); !stopped.Load() || len(a)+len(b) > 0 {
			t.Errorf("stopped: %v, sessions left %v and %v", stopped.Load(), a, b)
		}
	})
}

// deadNode gives sessions that the server has ended already, while it is on.
type deadNode struct {
	agent.Node
	on *atomic.Bool
	s  *fakeServer
}

func (n deadNode) Connect(ctx context.Context) (agent.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err == nil && n.on.Load() {
		n.s.endSession(c.ID())
	}
	return c, err
}

func TestAPoorSessionIsNotGivenUpForOneThatHasEnded(t *testing.T) {
	play(t, func(s *stage) {
		var on atomic.Bool
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.a().revoke("sample")
		s.agent("one", tells, func(o *agent.Options) {
			o.Node = func(e cluster.Endpoint) (agent.Node, error) {
				n, err := s.w.node(e)
				return deadNode{n, &on, s.w.servers[e]}, err
			}
		})
		s.pass(5300 * time.Millisecond)
		on.Store(true)
		before := s.w.a().ids()
		s.pass(5 * time.Second)
		if after := s.w.a().ids(); !slices.ContainsFunc(after, func(id uint64) bool { return slices.Contains(before, id) }) {
			t.Errorf("sessions %v, before %v", after, before)
		}
	})
}

func TestASessionThatWaitedForTheReceivingThreadIsClosed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(2 * time.Second)
		s.w.a().hang()
		s.w.b().change(func(b *fakeServer) { b.slowStop, b.ch.IO, b.dialling = true, cluster.ThreadConnecting, true })
		s.put(revoked(6, hostA, hostB))
		s.pass(500 * time.Millisecond)
		if n := len(s.w.b().ids()); n != 3 {
			t.Errorf("%d sessions while one waits for the thread, want 3", n)
		}
		s.put(opening(6, 2, hostB, hostA, ""))
		s.pass(500 * time.Millisecond)
		s.put(steady(6, 3, hostB, hostA))
		s.pass(25 * time.Second)
		if n := len(s.w.b().ids()); n != 2 {
			t.Errorf("%d sessions after the thread has ended, want 2", n)
		}
		// Somebody starts it: it is no longer one that was told to stop.
		s.w.b().change(func(b *fakeServer) { b.slowStop, b.ch.IO = false, cluster.ThreadConnecting })
		s.pass(10 * time.Second)
		if ch := s.w.b().ch; ch.IO != cluster.ThreadNo {
			t.Errorf("the thread runs again: %+v", ch)
		}
	})
}

// The way to the session may be gone without a word: nobody tells it that the thread ended.
func TestARestartEndsTheWaitForTheReceivingThread(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(2 * time.Second)
		s.w.a().hang()
		s.w.b().change(func(b *fakeServer) { b.slowStop, b.ch.IO, b.dialling = true, cluster.ThreadConnecting, true })
		s.put(revoked(6, hostA, hostB))
		s.pass(500 * time.Millisecond)
		s.w.b().kill()
		s.w.b().start(true)
		s.w.b().change(func(b *fakeServer) {
			b.slowStop, b.ch.IO, b.ch.SQL = false, cluster.ThreadConnecting, cluster.ThreadYes
		})
		s.pass(5 * time.Second)
		if ch := s.w.b().ch; ch.IO != cluster.ThreadNo {
			t.Errorf("the thread that came back with the server runs: %+v", ch)
		}
	})
}

// slowNotes is a Redis that takes long to note locked accounts.
type slowNotes struct{ *fakeBus }

func (b slowNotes) NoteLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error {
	select {
	case <-time.After(1500 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	return b.fakeBus.NoteLocked(ctx, u, node, all)
}

func TestALockingThatIsOnDiskDoesNotWaitForRedis(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}), func(o *agent.Options) { o.Bus = slowNotes{s.bus} })
		s.pass(5 * time.Second)
		s.put(revoked(6, hostA, hostB))
		s.pass(200 * time.Millisecond)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 {
			t.Errorf("closed under %s", r.Closed)
		}
		s.wantLogIn(s.w.a(), "app@%", false)
		s.pass(2 * time.Second)
		if got := s.bus.lockedOn(hostA); !slices.Contains(got, account("app@%")) {
			t.Errorf("noted in Redis: %v", got)
		}
	})
}
