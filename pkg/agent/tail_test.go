package agent_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// An active that comes back without what the passive has received of it is not opened: what it
// wrote then would bear the numbers of what it has lost.
func TestAnActiveThatLostItsTailIsNotOpened(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.executed, a.identity = uuidA+":1-14", uuidA })
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(6 * time.Second)
		s.wantOpen(true, false)
		s.w.a().kill()
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-12" })
		s.w.a().start(true)
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		if r := s.bus.report(s.T, hostA, "one"); r.Tail != uuidA+":13-14" {
			t.Errorf("the report tells of %q: %s", r.Tail, r.Reason)
		}
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-14" }) // somebody has mended it
		s.pass(10 * time.Second)
		s.wantOpen(true, false)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Tail != "" {
			t.Errorf("it is open, and the report tells of %q", r.Tail)
		}
	})
}

// What the server is still writing, for want of a fast disk, is not lost: the passive may have it before the server shows it.
func TestAWriteUnderWayIsNoLostTail(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) {
			a.readOnly, a.super, a.executed, a.identity = true, true, uuidA+":1-10", uuidA
			a.ch.IO, a.ch.SQL = cluster.ThreadNo, cluster.ThreadNo // a replica skips what bears its own name
			a.writers = []agent.Writer{{ID: 7, User: "agent", What: "the epoch row"}}
		})
		s.w.b().change(func(b *fakeServer) { b.executed, b.ch.Received = uuidA+":1-11", uuidA+":11" })
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		if r := s.bus.report(s.T, hostA, "one"); r.Tail != "" {
			t.Errorf("the report tells of %q: %s", r.Tail, r.Reason)
		}
		s.w.a().change(func(a *fakeServer) { a.executed, a.writers = uuidA+":1-11", nil })
		s.pass(10 * time.Second)
		s.wantOpen(true, false)
	})
}
