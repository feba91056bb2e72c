package agent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func promised(rec cluster.Assignment, waits bool) cluster.Assignment {
	rec.Durability, rec.Waits = cluster.SemiSync, waits
	return rec
}

// settled is a pair whose commits wait for nobody, with one agent.
func (s *stage) settled() {
	for _, f := range []*fakeServer{s.w.a(), s.w.b()} {
		f.change(func(f *fakeServer) { f.acks = cluster.Acks{Source: cluster.No, Replica: cluster.No} })
	}
	s.bus.put(promised(steady(5, 3, hostA, hostB), false))
	s.agent("one")
	s.pass(5 * time.Second)
	s.wantOpen(true, false)
}

func (s *stage) wantWaiting(f *fakeServer, want cluster.Tri) {
	s.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if f.acks.Source != want {
		s.Errorf("commits of %s wait: %v, want %v", f.addr, f.acks.Source, want)
	}
}

func TestCommitsWaitAndAreLetGoAsTheRecordSays(t *testing.T) {
	play(t, func(s *stage) {
		s.settled()
		s.put(promised(steady(5, 4, hostA, hostB), true))
		s.pass(5 * time.Second)
		s.wantWaiting(s.w.a(), cluster.Yes)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Waits != (cluster.Order{Epoch: 5, Version: 4}) {
			s.Errorf("reports that commits wait under %s, want 5.4", r.Waits)
		}
		s.put(promised(steady(5, 5, hostA, hostB), false))
		s.pass(5 * time.Second)
		s.wantWaiting(s.w.a(), cluster.No)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Waits != (cluster.Order{}) {
			s.Errorf("reports that commits wait under %s, and has let them go", r.Waits)
		}
	})
}

// An active that is given the role back had its commits wait for a passive that does not follow it yet: what is
// written before it is opened waits for nobody.
func TestAnActiveThatIsGivenBackTheRoleIsOpened(t *testing.T) {
	for _, tc := range []struct {
		durability cluster.Durability
		waits      bool
		want       cluster.Tri
	}{{cluster.SemiSync, false, cluster.No}, {cluster.SemiSyncStrict, true, cluster.Yes}} {
		t.Run(string(tc.durability), func(t *testing.T) {
			play(t, func(s *stage) {
				put := func(rec cluster.Assignment, waits bool) {
					rec = promised(rec, waits)
					rec.Durability = tc.durability
					s.put(rec)
				}
				s.settled()
				put(steady(5, 4, hostA, hostB), true)
				s.pass(5 * time.Second)
				s.wantWaiting(s.w.a(), cluster.Yes)
				put(revoked(6, hostA, hostB), true)
				s.pass(3 * time.Second)
				s.wantOpen(false, false)
				back := opening(7, 1, hostA, hostB, "")
				back.EpochTable = "mmm_meta.epoch"
				put(back, tc.waits)
				s.pass(3 * time.Second)
				s.wantOpen(true, false)
				s.wantWaiting(s.w.a(), tc.want)
			})
		})
	}
}

// A Redis that most others may have left says neither that commits are let go nor that a server is opened.
func TestAnIslandOfRedisIsNotBelieved(t *testing.T) {
	play(t, func(s *stage) {
		island := func(is bool) {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			s.bus.island = is
		}
		s.settled()
		s.put(promised(steady(5, 4, hostA, hostB), true))
		s.pass(5 * time.Second)
		island(true)
		s.put(promised(steady(5, 5, hostA, hostB), false))
		s.pass(10 * time.Second)
		s.wantWaiting(s.w.a(), cluster.Yes)
		if r := s.bus.report(s.T, hostA, "one"); !slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool {
			return n.Code == cluster.NoteAcks && strings.Contains(n.Text, errIsland.Error())
		}) {
			s.Errorf("the reason is not told: %v", r.Notes)
		}
		island(false)
		s.pass(5 * time.Second)
		s.wantWaiting(s.w.a(), cluster.No)

		s.put(promised(revoked(6, hostA, hostB), false))
		s.pass(5 * time.Second)
		island(true)
		rec := promised(opening(6, 2, hostB, hostA, ""), false)
		rec.Proof = cluster.ProofFenced
		s.put(rec)
		s.pass(5 * time.Second)
		s.wantOpen(false, false)
		island(false)
		s.pass(5 * time.Second)
		s.wantOpen(false, true)
	})
}

// An agent that was paused before it let commits go does that when it wakes, unless its
// session is gone: while there is one nobody may rest on the wait.
func TestCommitsWaitOnlyOnceOtherAgentsSessionsAreGone(t *testing.T) {
	play(t, func(s *stage) {
		s.settled()
		other, err := fakeNode{s.w.a()}.Connect(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		s.w.a().change(func(a *fakeServer) { a.kept = other.ID() })
		s.put(promised(steady(5, 4, hostA, hostB), true))
		s.pass(10 * time.Second)
		s.wantWaiting(s.w.a(), cluster.No)
		if r := s.bus.report(s.T, hostA, "one"); r.Waits != (cluster.Order{}) || !slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == cluster.NoteAcks }) {
			s.Errorf("reports that commits wait under %s, notes %v", r.Waits, r.Notes)
		}
		s.w.a().change(func(a *fakeServer) { a.kept = 0 })
		s.pass(time.Minute)
		s.wantWaiting(s.w.a(), cluster.Yes)
		if slices.Contains(s.w.a().ids(), other.ID()) {
			s.Error("the session of the other agent is still there")
		}
	})
}

// On MySQL a write of our own that waits for an acknowledgement outlives its killing, for as
// long as none comes: under semisync-strict for as long as the passive is away.
func TestCommitsWaitBesideAKilledWriteOfAnotherAgent(t *testing.T) {
	play(t, func(s *stage) {
		s.settled()
		s.w.a().change(func(a *fakeServer) {
			a.flavor = cluster.MySQL
			a.clients[77] = agent.Session{ID: 77, User: "mmm", Kind: agent.SessionOwnUser}
			a.awaiting = []uint64{77}
		})
		s.put(promised(steady(5, 4, hostA, hostB), true))
		s.pass(5 * time.Second)
		s.wantWaiting(s.w.a(), cluster.Yes)
		s.w.a().change(func(a *fakeServer) {
			if !slices.Contains(a.killed, 77) || !a.clients[77].Killed {
				s.Errorf("killed %v, sessions %v, want 77 killed and there", a.killed, a.clients)
			}
		})
	})
}

// What is applied by a server whose commits wait is seen by nobody until it is acknowledged,
// and MariaDB shows its position before. The server that was to acknowledge it is dead.
func TestADrainLetsGoWhatTheApplierWaitsWith(t *testing.T) {
	for name, shown := range map[string]bool{"its position is shown": true, "its position is not shown": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.settled()
				s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-20" })
				s.w.b().change(func(b *fakeServer) {
					b.applierWaits, b.ch.Received = true, uuidA+":1-20"
					if shown {
						b.executed = uuidA + ":1-20"
					}
				})
				before := s.w.b().letGo
				s.w.a().kill()
				s.put(promised(revoked(6, hostA, hostB), false))
				s.pass(time.Second)
				if r := s.want(hostB, "one", cluster.DeedDrained); r.Executed != uuidA+":1-20" {
					s.Errorf("drained with %q", r.Executed)
				}
				if s.w.b().letGo == before {
					s.Error("it is drained while the applier waits")
				}
			})
		})
	}
}

func TestAnAgentThatWasOvertakenLetsNoCommitsGo(t *testing.T) {
	play(t, func(s *stage) {
		s.settled()
		s.put(promised(steady(5, 4, hostA, hostB), true))
		s.pass(5 * time.Second)
		before := s.w.a().letGo
		s.bus.onCheck = func() { // it has read 5.5 and is paused; another one has commits wait under 5.6
			s.bus.put(promised(steady(5, 6, hostA, hostB), true))
			for _, id := range s.w.a().ids() {
				s.w.a().endSession(id)
			}
		}
		s.put(promised(steady(5, 5, hostA, hostB), false))
		s.pass(3 * time.Second)
		if s.bus.onCheck != nil {
			s.Fatal("nothing was to be let go")
		}
		// Whoever decides gives up after ten seconds.
		if r := s.bus.report(s.T, hostA, "one"); r.Waits != (cluster.Order{Epoch: 5, Version: 6}) {
			s.Errorf("3 s after its session ended it reports that commits wait under %s, want 5.6", r.Waits)
		}
		if n := s.w.a().letGo - before; n != 0 {
			s.Errorf("commits were let go %d times under a record that has them wait", n)
		}
		s.wantWaiting(s.w.a(), cluster.Yes)
	})
}

func TestCommitsWaitBeforeTheFirstOne(t *testing.T) {
	play(t, func(s *stage) {
		var waits cluster.Tri
		s.w.a().beforeWritable = func() { s.w.a().change(func(a *fakeServer) { waits = a.acks.Source }) }
		s.bus.put(promised(opening(5, 2, hostA, hostB, ""), true))
		s.agent("one")
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if waits != cluster.Yes {
			s.Error("it was opened before its commits waited")
		}
	})
}

func TestAServerWhoseCommitsCannotWaitIsNotOpened(t *testing.T) {
	for name, faulty := range map[string]func(*fakeServer) map[string]bool{
		"denied": func(f *fakeServer) map[string]bool { return f.denied },
		"broken": func(f *fakeServer) map[string]bool { return f.broken },
		"stuck":  func(f *fakeServer) map[string]bool { return f.stuck },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				opened := false
				s.w.a().beforeWritable = func() { opened = true }
				s.w.a().change(func(a *fakeServer) { faulty(a)["await commits"] = true })
				s.bus.put(promised(opening(5, 2, hostA, hostB, ""), true))
				s.agent("one")
				s.pass(20 * time.Second)
				s.wantOpen(false, false)
				if opened {
					s.Error("it was opened for a moment")
				}
				s.w.a().change(func(a *fakeServer) { delete(faulty(a), "await commits") })
				s.pass(40 * time.Second)
				s.wantOpen(true, false)
			})
		})
	}
}

func TestAReceiverAcknowledgesBeforeItIsStarted(t *testing.T) {
	for name, c := range map[string]struct {
		io   cluster.Thread
		want []string
	}{
		"one that stands": {cluster.ThreadNo, []string{"start io"}},
		"one that runs":   {cluster.ThreadYes, []string{"stop io", "start io"}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.w.a().change(func(a *fakeServer) { a.acks.Source = cluster.No })
				s.w.b().change(func(b *fakeServer) { b.acks.Replica, b.ch.IO = cluster.No, c.io })
				s.bus.put(promised(steady(5, 3, hostA, hostB), false))
				s.agent("one")
				s.pass(20 * time.Second)
				s.w.mu.Lock()
				defer s.w.mu.Unlock()
				if b := s.w.b(); b.acks.Replica != cluster.Yes || b.ch.IO != cluster.ThreadYes || !slices.Equal(b.stops, c.want) {
					s.Errorf("acknowledges %v, IO thread %s, changed %v, want %v", b.acks.Replica, b.ch.IO, b.stops, c.want)
				}
			})
		})
	}
}
