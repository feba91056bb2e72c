package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A person, or an agent that obeys another Redis, closes the active.
func TestAnActiveClosedBySomebodyElseIsOpenedAfterAWhile(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(3 * time.Second)
		s.w.a().change(func(a *fakeServer) { a.readOnly = true })
		s.stays(false, 4900*time.Millisecond)
		if r := s.bus.report(t, hostA, "one"); !strings.HasPrefix(r.Reason, "was closed by somebody else: opened again in") {
			s.Errorf("reason %q", r.Reason)
		}
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Reason != "" {
			s.Errorf("reason %q", r.Reason)
		}
		// Once more: the time counts anew.
		s.w.a().change(func(a *fakeServer) { a.readOnly = true })
		s.stays(false, 4900*time.Millisecond)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
	})
}

// The closing ends the agent's sessions, as that of another agent does.
func TestAnActiveClosedWithAllItsSessionsStaysClosedForAWhile(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(3 * time.Second)
		shut := func() {
			s.w.a().change(func(a *fakeServer) { a.readOnly = true })
			for _, id := range s.w.a().ids() {
				s.w.a().endSession(id)
			}
		}
		shut()
		s.stays(false, 4900*time.Millisecond)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)

		// The next record says nothing of it, but one after a switchover does.
		shut()
		s.put(steady(5, 4, hostA, hostB))
		s.stays(false, time.Second)
		s.put(steady(5, 5, hostA, hostB))
		s.pass(100 * time.Millisecond)
		s.wantOpen(true, false)
	})
}

// The agent had not opened it yet: its sessions tell that somebody closes it.
func TestAnAgentWhoseSessionsAreEndedOnAClosedActiveWaits(t *testing.T) {
	play(t, func(s *stage) {
		s.w.b().change(func(b *fakeServer) { b.readOnly = false })
		s.bus.put(steady(5, 3, hostA, hostB))
		s.local("a", hostA)
		s.pass(2 * time.Second)
		s.wantOpen(false, true) // b is open, and its agent is away
		for _, id := range s.w.a().ids() {
			s.w.a().endSession(id)
		}
		s.pass(10 * time.Millisecond)
		s.w.b().change(func(b *fakeServer) { b.readOnly = true })
		s.stays(false, 4900*time.Millisecond)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
	})
}

func TestAnActiveThatIsRestartedIsOpenedAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(3 * time.Second)
		s.w.a().kill()
		s.w.a().start(true)
		s.pass(100 * time.Millisecond)
		s.wantOpen(true, false)
		s.w.a().kill()
		s.pass(10 * time.Second)
		s.w.a().start(true)
		s.pass(1100 * time.Millisecond)
		s.wantOpen(true, false)
	})
}

// Both agents close it, and end each other's sessions, before the order is taken back.
func TestASwitchoverThatIsRolledBackOpensAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.agent("two")
		s.pass(3 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.held = true })
		s.put(switching(5, 4, hostA, hostB))
		s.pass(200 * time.Millisecond)
		s.wantOpen(false, false)
		s.put(steady(5, 5, hostA, hostB))
		s.pass(200 * time.Millisecond)
		s.wantOpen(true, false)
	})
}

// What the agent closed itself, for want of a lease, is opened with the grant.
func TestAServerClosedWithoutALeaseIsOpenedAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.cut(true)
		s.until(s.w.a(), false, 10*time.Second)
		a.cut(false)
		if took := s.until(s.w.a(), true, 10*time.Second); took > 3500*time.Millisecond {
			s.Errorf("opened after %s", took)
		}
	})
}

// Two agents obey two Redis: one closes the active for a switchover, the other must
// not open it under its own record before the role has moved.
func TestAnAgentOfAnotherRedisDoesNotUndoASwitchover(t *testing.T) {
	play(t, func(s *stage) {
		other := newFakeBus()
		for _, b := range []*fakeBus{s.bus, other} {
			b.put(steady(5, 3, hostA, hostB))
		}
		s.agent("one")
		second := &stage{T: s.T, w: s.w, bus: other}
		second.agent("two")
		defer func() { s.stop = append(s.stop, second.stop...) }()
		s.pass(3 * time.Second)
		second.put(switching(5, 4, hostA, hostB))
		s.stays(false, time.Second)
		second.put(opening(6, 1, hostB, hostA, ""))
		s.pass(100 * time.Millisecond)
		s.wantOpen(false, true)
		s.neverBothOpen()
	})
}
