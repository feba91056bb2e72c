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

func (s *fakeServer) miss(names ...string) { s.change(func(s *fakeServer) { s.missing = names }) }

func (s *fakeServer) timesAsked() int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.asked
}

func TestAMissingGrantIsToldBeforeAnyStepNeedsIt(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		asked := s.w.b().timesAsked()
		if asked != 1 {
			s.Errorf("a new session asked %d times", asked)
		}
		s.pass(61 * time.Second)
		if n := s.w.b().timesAsked() - asked; n < 3 || n > 4 {
			s.Errorf("asked %d times in a minute", n)
		}
		dials := s.dials(hostB)
		s.w.b().miss("READ_ONLY ADMIN", "CONNECTION ADMIN")
		s.pass(16 * time.Second)
		r := s.want(hostB, "one", cluster.DeedClosed)
		if len(r.Notes) != 1 || r.Notes[0].Code != cluster.NoteGrants ||
			r.Notes[0].Text != "the agent's account lacks READ_ONLY ADMIN, CONNECTION ADMIN (mmmctl check shows the GRANT)" {
			s.Errorf("notes %v", r.Notes)
		}
		if n := s.dials(hostB) - dials; n != 0 {
			s.Errorf("%d dials: a session that may have more than the next one was given up", n)
		}
		// What cannot be read is neither a lack nor the end of one.
		s.w.b().change(func(b *fakeServer) { b.denied["grants"] = true })
		s.pass(31 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); !hasNote(r, cluster.NoteGrants) {
			s.Errorf("notes %v", r.Notes)
		}
		s.w.b().change(func(b *fakeServer) { b.denied, b.missing = map[string]bool{}, nil })
		s.pass(18 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); len(r.Notes) != 0 {
			s.Errorf("notes %v", r.Notes)
		}
		// The sessions that were open may be poor: both are renewed, once.
		if n := s.dials(hostB) - dials; n != 2 {
			s.Errorf("%d dials after the grant", n)
		}
		s.pass(30 * time.Second)
		if n := s.dials(hostB) - dials; n != 2 {
			s.Errorf("%d dials long after the grant", n)
		}
	})
}

// The steps of a change of role do not wait behind the question.
func TestGrantsAreNotReadOnANewSessionDuringAChangeOfRole(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		s.put(revoked(6, hostA, hostB))
		s.w.b().revoke() // its sessions end
		s.pass(2 * time.Second)
		if n := s.w.b().timesAsked(); n != 1 {
			s.Errorf("asked %d times", n)
		}
		s.w.b().miss("PROCESS")
		s.put(steady(6, 3, hostB, hostA))
		s.pass(2 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedOpen); !hasNote(r, cluster.NoteGrants) {
			s.Errorf("notes %v", r.Notes)
		}
		// One that lasts is no reason never to look again.
		s.put(revoked(7, hostB, hostA))
		s.w.b().miss()
		s.pass(17 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); len(r.Notes) != 0 {
			s.Errorf("notes %v", r.Notes)
		}
	})
}

func TestUnreadableGrantsAreNoLack(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.b().change(func(b *fakeServer) { b.missing = []string{"PROCESS"}; b.broken["grants"] = true })
		s.agent("one", tells)
		s.pass(31 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); len(r.Notes) != 0 {
			s.Errorf("notes %v", r.Notes)
		}
		// A server that answers this alone no more is dialled again.
		s.w.b().change(func(b *fakeServer) { b.stuck["grants"] = true })
		s.pass(31 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.broken, b.stuck = map[string]bool{}, map[string]bool{} })
		s.pass(16 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); !hasNote(r, cluster.NoteGrants) || r.Cause != cluster.CauseNone {
			s.Errorf("cause %q, notes %v", r.Cause, r.Notes)
		}
	})
}

// Whoever closed it: a server that reads back closed is, though we may not close
// it; its sessions are ended all the same, and until then nothing is acknowledged.
func TestAServerThatIsClosedCountsThoughWeMayNotCloseIt(t *testing.T) {
	for name, c := range map[string]struct {
		flavor cluster.Flavor
		super  bool
		lacks  []string
		closed bool
	}{
		"read_only of MariaDB":                {cluster.MariaDB, false, []string{"close"}, true},
		"super_read_only of MySQL":            {cluster.MySQL, true, []string{"close"}, true},
		"read_only of MySQL":                  {cluster.MySQL, false, []string{"close"}, false},
		"a session that cannot be ended":      {cluster.MariaDB, false, []string{"close", "kill"}, false},
		"everything granted, read_only alone": {cluster.MySQL, false, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				if c.flavor == cluster.MariaDB {
					for _, f := range s.w.servers {
						f.flavor, f.executed = c.flavor, "0-1-10"
					}
				}
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one", tells)
				s.w.a().change(func(a *fakeServer) {
					a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
				})
				s.w.a().revoke(c.lacks...)
				s.w.a().miss(c.lacks...)
				s.bus.mu.Lock()
				s.bus.away = true // so that nobody opens what is closed by hand
				s.bus.mu.Unlock()
				s.pass(3 * time.Second)
				s.w.a().change(func(a *fakeServer) { a.readOnly, a.super = true, c.super })
				s.bus.mu.Lock()
				s.bus.away = false
				s.bus.mu.Unlock()
				s.put(revoked(6, hostA, hostB))
				s.pass(5 * time.Second)
				deed := cluster.DeedFailed
				if c.closed {
					deed = cluster.DeedClosed
				}
				r := s.want(hostA, "one", deed)
				if got := r.Closed.Epoch == 6; got != c.closed {
					s.Errorf("closed under %s, %q", r.Closed, r.Reason)
				}
				if ended := len(s.w.a().killed) == 1; ended != c.closed {
					s.Errorf("killed %v", s.w.a().killed)
				}
				if hasNote(r, cluster.NoteGrants) != (len(c.lacks) > 0) {
					s.Errorf("notes %v", r.Notes)
				}
				s.wantOpen(false, false)
			})
		})
	}
}
