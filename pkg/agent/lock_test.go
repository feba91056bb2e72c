package agent_test

import (
	"context"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// dial opens a session on a server that belongs to no agent of the stage.
func (s *stage) dial(e cluster.Endpoint) agent.Conn {
	s.Helper()
	n, err := s.w.node(e)
	if err != nil {
		s.Fatal(err)
	}
	c, err := n.Connect(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	return c
}

// The agent of the active holds a lock on the passive's server. Closing the
// passive ends every other session of the user, also one with another lock.
func TestClosingLeavesTheSessionWithThePairsLockAlone(t *testing.T) {
	play(t, func(s *stage) {
		s.w.b().change(func(b *fakeServer) { b.readOnly = false })
		ctx := context.Background()
		keeper, other, stranger := s.dial(hostB), s.dial(hostB), s.dial(hostB)
		for c, name := range map[agent.Conn]string{keeper: agent.LockName(uniq), other: "mmm:another"} {
			if l, err := c.TakeLock(ctx, name, time.Hour); err != nil || !l.Mine {
				t.Fatalf("take %s: %+v, %v", name, l, err)
			}
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.wantOpen(true, false)
		s.want(hostB, "one", cluster.DeedClosed)
		if err := keeper.Ping(ctx); err != nil {
			t.Errorf("the session with the pair's lock: %v", err)
		}
		for name, c := range map[string]agent.Conn{"with another lock": other, "without a lock": stranger} {
			if c.Ping(ctx) == nil {
				t.Errorf("a session %s lives on", name)
			}
		}
	})
}

// What the fake has in common with real servers.
func TestALockOfTheFakeEndsWithItsSession(t *testing.T) {
	play(t, func(s *stage) {
		ctx := context.Background()
		first, second := s.dial(hostB), s.dial(hostB)
		take := func(c agent.Conn, want bool) {
			t.Helper()
			if l, err := c.TakeLock(ctx, "lock", 10*time.Second); err != nil || l.Mine != want || l.Holder == 0 {
				t.Fatalf("%+v, %v", l, err)
			}
		}
		ping := func(c agent.Conn) {
			t.Helper()
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
		take(first, true)
		take(second, false)
		s.pass(9 * time.Second)
		ping(first)
		ping(second)
		s.pass(9900 * time.Millisecond)
		if l, err := second.TakeLock(ctx, "lock", 10*time.Second); err != nil || l != (agent.Lock{Holder: first.ID(), Idle: 9 * time.Second}) {
			t.Errorf("%+v, %v", l, err)
		}
		s.pass(200 * time.Millisecond)
		take(second, true)
		if err := first.Ping(ctx); causeOf(err) != cluster.CauseReset {
			t.Errorf("the session that was asked nothing: %v", err)
		}

		s.w.b().hang()
		s.pass(time.Minute)
		third := make(chan error, 1)
		go func() { third <- second.Ping(ctx) }()
		s.pass(time.Second)
		s.w.b().awake()
		if err := <-third; err != nil {
			t.Errorf("a question that waited came too late: %v", err)
		}
	})
}
