package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func tells(o *agent.Options) { o.Refused = refused }

// revoke takes privileges from our account and ends its sessions.
func (s *fakeServer) revoke(names ...string) {
	s.change(func(s *fakeServer) {
		s.lacks = map[string]bool{}
		for _, name := range names {
			s.lacks[name] = true
		}
		for _, c := range s.sessions {
			c.end()
		}
	})
}

// grant gives everything to whoever logs in from now on.
func (s *fakeServer) grant() { s.change(func(s *fakeServer) { s.lacks = nil }) }

func (s *stage) dials(e cluster.Endpoint) int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.dials[e]
}

func TestAGrantThatTheSamplingNeedsIsToldAndTakesEffect(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		s.w.b().revoke("sample")
		s.pass(3 * time.Second)
		r := s.bus.report(s.T, hostB, "one")
		if r.Cause != cluster.CauseOther || !strings.Contains(r.Reason, errDenied.Error()) || !hasNote(r, cluster.NoteGrants) || len(r.Notes) != 1 {
			s.Errorf("report %q %q, notes %v", r.Cause, r.Reason, r.Notes)
		}
		before := s.dials(hostB)
		s.pass(20 * time.Second)
		// A working connection and a spare in each interval.
		if n := s.dials(hostB) - before; n < 20 || n > 42 {
			s.Errorf("%d dials in 20 s", n)
		}
		s.w.b().grant()
		s.pass(1200 * time.Millisecond)
		if r := s.want(hostB, "one", cluster.DeedClosed); r.Cause != cluster.CauseNone || len(r.Notes) != 0 {
			s.Errorf("report %q %q, notes %v", r.Cause, r.Reason, r.Notes)
		}
		before = s.dials(hostB)
		s.pass(20 * time.Second)
		if n := s.dials(hostB) - before; n != 0 {
			s.Errorf("%d dials to a server that grants everything", n)
		}
		s.wantOpen(true, false)
		s.neverBothOpen()
	})
}

// A server that takes nobody in keeps the session that it has.
func TestASessionThatLacksAPrivilegeWorksUntilThereIsAnother(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.a().revoke("sample")
		s.agent("one", tells)
		s.pass(1500 * time.Millisecond)
		s.w.a().change(func(a *fakeServer) { a.full, a.lacks = true, nil })
		s.pass(10 * time.Second)
		s.w.mu.Lock()
		n := len(s.w.a().sessions)
		s.w.mu.Unlock()
		if n == 0 {
			s.Error("no session is left with a server that is full")
		}
		s.w.a().change(func(a *fakeServer) { a.full = false })
		s.pass(2200 * time.Millisecond)
		if r := s.want(hostA, "one", cluster.DeedOpen); len(r.Notes) != 0 {
			s.Errorf("notes %v", r.Notes)
		}
	})
}

func TestAGrantThatAStepNeedsIsToldAndTakesEffect(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.a().change(func(a *fakeServer) { a.lacks = map[string]bool{"close": true} })
		s.agent("one", tells)
		s.put(revoked(6, hostA, hostB))
		s.pass(3 * time.Second)
		s.wantOpen(true, false)
		if r := s.want(hostA, "one", cluster.DeedFailed); !strings.Contains(r.Reason, "close: ") || !hasNote(r, cluster.NoteGrants) {
			s.Errorf("reason %q, notes %v", r.Reason, r.Notes)
		}
		s.w.a().grant()
		s.pass(1500 * time.Millisecond)
		s.wantOpen(false, false)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 || len(r.Notes) != 0 {
			s.Errorf("closed under %s, notes %v", r.Closed, r.Notes)
		}
	})
}

// An agent that may not sample the old active closes it all the same, and does
// not do so without end.
func TestAServerThatCannotBeSampledIsClosed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		s.w.a().revoke("sample")
		s.pass(3 * time.Second)
		s.wantOpen(true, false)
		s.put(revoked(6, hostA, hostB))
		s.pass(2 * time.Second)
		s.wantOpen(false, false)
		before := s.dials(hostA)
		s.pass(10 * time.Second)
		if n := s.dials(hostA) - before; n > 42 {
			s.Errorf("%d dials in 10 s", n)
		}
		s.w.a().grant()
		s.pass(2 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 {
			s.Errorf("closed under %s", r.Closed)
		}
	})
}

// What is tried again until it is granted does not push the steps of the opening
// out of the report.
func TestARefusedStepIsReportedOnce(t *testing.T) {
	play(t, func(s *stage) {
		rec := steady(5, 3, hostA, hostB)
		rec.EpochTable = "mmm_meta.epoch"
		s.bus.put(rec)
		s.w.a().change(func(a *fakeServer) { a.denied["mark"] = true })
		s.agent("one", tells)
		s.pass(time.Minute)
		refusals := map[string]int{}
		for _, step := range s.want(hostA, "one", cluster.DeedOpen).Steps {
			if step.Err != "" {
				refusals[step.Name]++
			}
		}
		if refusals["write epoch row"] != 1 {
			s.Errorf("refused steps: %v", refusals)
		}
		s.w.a().change(func(a *fakeServer) { a.denied = map[string]bool{} })
		s.pass(6 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedOpen); len(r.Notes) != 0 || s.w.a().mark.Epoch != 5 {
			s.Errorf("notes %v, epoch row %v", r.Notes, s.w.a().mark)
		}
	})
}

func TestHiddenSessionsAreToldUntilTheyShow(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		s.w.b().revoke("process")
		s.pass(100 * time.Millisecond)
		if r := s.want(hostB, "one", cluster.DeedClosed); len(r.Notes) != 0 {
			s.Errorf("told at the first look: %v", r.Notes)
		}
		s.pass(6 * time.Second)
		r := s.want(hostB, "one", cluster.DeedClosed)
		if !hasNote(r, cluster.NoteGrants) || !strings.Contains(r.Notes[0].Text, "PROCESS") {
			s.Errorf("notes %v", r.Notes)
		}
		s.w.b().grant()
		s.pass(2 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); len(r.Notes) != 0 {
			s.Errorf("notes %v", r.Notes)
		}
	})
}

// A passive whose role went without a proof is closed in full once, and not
// again by the agent that a reload or a reconnect leaves.
func TestAPassiveIsClosedOnceForAnOrder(t *testing.T) {
	play(t, func(s *stage) {
		rec := steady(5, 3, hostA, hostB)
		rec.Proof = cluster.RiskRefused
		s.bus.put(rec)
		stop := s.agent("one")
		closed := func() int { return strings.Count(s.logs.String(), `"message":"closed"`) }
		if r := s.want(hostB, "one", cluster.DeedClosed); r.Closed.Epoch != 5 || closed() != 1 {
			s.Fatalf("closed under %s, told %d times", r.Closed, closed())
		}
		s.w.b().change(func(b *fakeServer) { b.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication} })
		s.w.b().revoke() // its sessions end
		s.pass(2 * time.Second)
		stop()
		s.bus.mu.Lock()
		s.bus.slow = 200 * time.Millisecond
		s.bus.mu.Unlock()
		s.agent("one")
		s.pass(2 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); r.Closed.Epoch != 5 || closed() != 1 || len(s.w.b().killed) != 0 {
			s.Errorf("closed under %s, told %d times, killed %v", r.Closed, closed(), s.w.b().killed)
		}
		// Under a later order it is closed anew.
		rec.Epoch = 6
		s.put(rec)
		s.pass(time.Second)
		if closed() != 2 || len(s.w.b().killed) != 1 {
			s.Errorf("told %d times, killed %v", closed(), s.w.b().killed)
		}
	})
}
