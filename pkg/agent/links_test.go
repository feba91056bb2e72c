package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func (s *stage) sessions(e cluster.Endpoint) int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return len(s.w.servers[e].sessions)
}

// The spare is what a closing order is left on when the server hangs. A grant
// that is missing must not cost it.
func TestASpareStaysUntilThereIsAnother(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.a().change(func(a *fakeServer) {
			a.login, a.lacks = 200*time.Millisecond, map[string]bool{"process": true}
		})
		s.agent("one", tells)
		s.pass(3 * time.Second)
		without := 0
		for range 1000 {
			s.pass(10 * time.Millisecond)
			if s.sessions(hostA) < 2 {
				without++
			}
		}
		if without > 0 {
			s.Errorf("%d of 1000 looks found no spare", without)
		}
	})
}

// It hangs in such a moment: nothing is left with it that would close it first when it wakes.
func TestAPoorServerThatHangsGetsTheClosingOrder(t *testing.T) {
	for name, lacks := range map[string]map[string]bool{"everything granted": nil, "PROCESS is missing": {"process": true}} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				s.w.a().change(func(a *fakeServer) { a.login, a.lacks = 200*time.Millisecond, lacks })
				s.agent("one", tells)
				s.pass(3 * time.Second)
				// The first moment of the next 5 s at which a session was just replaced.
				for i := 0; i < 500 && s.sessions(hostA) > 1; i++ {
					s.pass(10 * time.Millisecond)
				}
				s.w.a().hang()
				s.put(revoked(6, hostA, hostB))
				s.pass(5 * time.Second)
				if r := s.bus.report(s.T, hostA, "one"); !r.Queued {
					s.Errorf("no closing order is queued: %q %q %q", r.Deed, r.Cause, r.Reason)
				}
				s.w.a().awake()
				s.pass(time.Millisecond) // before anybody could log in
				s.wantOpen(false, false)
			})
		})
	}
}

// A closing order waits on the spare of a server that cannot be sampled (LOCK
// TABLES holds it up). The working session ends while its replacement is being dialled.
func TestAQueuedOrderIsNotThrownAway(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", tells)
		s.w.a().revoke("sample")
		s.pass(3 * time.Second)
		s.w.a().change(func(a *fakeServer) {
			a.locker, a.login = 7, 200*time.Millisecond
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
		})
		s.put(revoked(6, hostA, hostB))
		s.pass(time.Second)
		if r := s.bus.report(s.T, hostA, "one"); !r.Queued {
			s.Fatalf("set-up: nothing is queued: %q %q", r.Deed, r.Reason)
		}
		// A dial in place of the working session begins; then that session ends.
		for before := s.dials(hostA); s.dials(hostA) == before; {
			s.pass(time.Millisecond)
		}
		s.w.a().change(func(a *fakeServer) {
			for _, c := range a.sessions {
				if !c.queued {
					c.end()
				}
			}
		})
		s.pass(700 * time.Millisecond)
		// Whatever became of that: somebody grants what is missing and ends the lock.
		s.w.a().change(func(a *fakeServer) { a.locker, a.lacks, a.login = 0, nil, 0 })
		s.pass(5 * time.Second)
		s.wantOpen(false, false)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Queued {
			s.Errorf("an order still counts as queued on a server that is closed: %+v", r.Reason)
		}
		// A later hang of the same server must get its order.
		s.put(steady(7, 3, hostA, hostB))
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		s.w.a().hang()
		s.put(revoked(8, hostA, hostB))
		s.pass(5 * time.Second)
		waits := false
		s.w.a().change(func(a *fakeServer) {
			for _, c := range a.sessions {
				waits = waits || c.queued
			}
		})
		if r := s.bus.report(s.T, hostA, "one"); !waits {
			s.Errorf("the server hangs, no order waits there, and the report says queued=%v", r.Queued)
		}
		s.w.a().awake()
		s.pass(time.Millisecond)
		s.wantOpen(false, false)
	})
}

// Whatever is missing, there is neither a storm of log-ins nor a heap of sessions.
func TestDialsAndSessionsStayFew(t *testing.T) {
	for _, lacks := range []string{"sample", "process", "close", "sample process", "sample close", "sample process close"} {
		for _, order := range []string{"steady", "revoked", "open"} {
			t.Run(lacks+" "+order, func(t *testing.T) {
				play(t, func(s *stage) {
					rec := steady(5, 3, hostA, hostB)
					rec.EpochTable = "mmm_meta.epoch"
					s.bus.put(rec)
					s.agent("one", tells)
					s.agent("two", tells)
					for _, f := range []*fakeServer{s.w.a(), s.w.b()} {
						f.revoke(strings.Fields(lacks)...)
						f.change(func(f *fakeServer) { f.denied["mark"] = true })
					}
					switch order {
					case "revoked":
						s.put(revoked(6, hostA, hostB))
					case "open":
						s.w.b().change(func(b *fakeServer) { b.readOnly, b.super = false, false })
					}
					s.pass(5 * time.Second)
					beforeA, beforeB, most := s.dials(hostA), s.dials(hostB), 0
					for range 200 {
						s.pass(100 * time.Millisecond)
						most = max(most, s.sessions(hostA), s.sessions(hostB))
					}
					a, b := s.dials(hostA)-beforeA, s.dials(hostB)-beforeB
					t.Logf("dials in 20 s by two agents: %d %d; most sessions %d", a, b, most)
					if most > 8 || a > 20*2*3 || b > 20*2*3 {
						s.Errorf("too many")
					}
				})
			})
		}
	}
}
