package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestSwitchover(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().change(func(a *fakeServer) {
			a.executed = uuidA + ":1-30"
			a.clients[7] = agent.Session{ID: 7, Kind: agent.SessionApplication}
			a.writers = []agent.Writer{{ID: 7, User: "app", Age: 200 * time.Millisecond}}
		})
		order := cluster.Order{Epoch: 5, Version: 4}
		s.put(switching(5, 4, hostA, hostB))
		s.pass(500 * time.Millisecond)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed != order || r.Executed != uuidA+":1-30" {
			s.Errorf("closed under %s with %q", r.Closed, r.Executed)
		}
		if r := s.want(hostB, "one", cluster.DeedCaughtUp); r.Ready != order {
			s.Errorf("ready under %s, want %s", r.Ready, order)
		}
		s.wantOpen(false, false)
		rec := opening(6, 1, hostB, hostA, uuidA+":1-30")
		rec.Proof = cluster.ProofFenced
		s.put(rec)
		s.wantOpen(false, true)
		s.put(steady(6, 2, hostB, hostA))
		s.pass(2 * time.Second)
		s.neverBothOpen()
		if ch := s.w.a().ch; !ch.Replicates(hostB) {
			s.Errorf("the old active does not replicate: %+v", ch)
		}
	})
}

func TestASwitchoverIsRefusedWhileSomethingWrites(t *testing.T) {
	for name, busy := range map[string]func(*fakeServer){
		"an old write transaction": func(a *fakeServer) {
			a.writers = []agent.Writer{{ID: 7, User: "app", Age: 3 * time.Second, What: "5 rows"}}
		},
		"a table lock": func(a *fakeServer) { a.locker = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one")
				s.w.a().change(func(a *fakeServer) {
					a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
					busy(a)
				})
				s.put(switching(5, 4, hostA, hostB))
				s.pass(1100 * time.Millisecond)
				if r := s.want(hostA, "one", cluster.DeedRefused); r.Reason == "" {
					s.Error("a refusal without a reason")
				}
				s.wantOpen(true, false)
				if len(s.w.a().killed) != 0 {
					s.Error("a switchover killed what writes")
				}
				s.put(steady(5, 5, hostA, hostB))
				s.pass(time.Second)
				s.want(hostA, "one", cluster.DeedOpen)
			})
		})
	}
}

// Another agent that closes the same server ends this one's sessions: that is no
// failure, which would roll the switchover back.
func TestASessionThatEndsFailsNoSwitchover(t *testing.T) {
	for endings, failed := range map[int]bool{1: false, 3: false, 20: true} {
		play(t, func(s *stage) {
			s.bus.put(steady(5, 3, hostA, hostB))
			s.agent("one")
			s.w.a().change(func(a *fakeServer) { a.listings = endings })
			s.put(switching(5, 4, hostA, hostB))
			seen := false
			for range 200 {
				s.pass(10 * time.Millisecond)
				seen = seen || s.bus.report(s.T, hostA, "one").Deed == cluster.DeedFailed
			}
			if seen != failed {
				s.Errorf("%d sessions ended: failed is %v, want %v", endings, seen, failed)
			}
			if !failed {
				s.want(hostA, "one", cluster.DeedClosed)
			}
		})
	}
}

func TestARolledBackSwitchoverOpensTheOldActiveAgain(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.put(switching(5, 4, hostA, hostB))
		s.wantOpen(false, false)
		s.put(steady(5, 5, hostA, hostB))
		s.wantOpen(true, false)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.Opened != (cluster.Order{Epoch: 5, Version: 5}) {
			s.Errorf("opened under %s", r.Opened)
		}
	})
}

// Applications on a closed MySQL, which binds them all, lose their sessions when the other server is open, since they
// connect again at once; or after a while, and not at all where their server is opened again. Who has connected to the
// closed server stays.
func TestApplicationsLoseTheirSessionsWhenTheOtherIsOpen(t *testing.T) {
	endedOf := func(s *stage, id uint64) (is bool) {
		s.w.a().change(func(a *fakeServer) { is = slices.Contains(a.killed, id) })
		return is
	}
	ended := func(s *stage) bool { return endedOf(s, 7) }
	for _, c := range []struct {
		name string
		then func(s *stage)
		ends bool
	}{
		{"the other is opened", func(s *stage) {
			rec := opening(6, 1, hostB, hostA, uuidA+":1-10")
			rec.Proof = cluster.ProofFenced
			s.put(rec)
			if ended(s) {
				s.Error("ended while the other is being opened")
			}
			s.put(steady(6, 2, hostB, hostA))
		}, true},
		{"nothing happens for a second", func(s *stage) { s.pass(2 * time.Second) }, true},
		{"it is rolled back", func(s *stage) {
			s.put(steady(5, 5, hostA, hostB))
			s.wantOpen(true, false)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one")
				s.w.a().change(func(a *fakeServer) {
					a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
				})
				s.put(switching(5, 4, hostA, hostB))
				s.pass(200 * time.Millisecond)
				s.want(hostB, "one", cluster.DeedCaughtUp)
				if ended(s) {
					s.Error("ended before the other is opened")
				}
				s.w.a().change(func(a *fakeServer) {
					a.clients[9] = agent.Session{ID: 9, User: "app", Kind: agent.SessionApplication}
				})
				c.then(s)
				s.pass(100 * time.Millisecond)
				if ended(s) != c.ends {
					s.Errorf("ended: %v", !c.ends)
				}
				if endedOf(s, 9) {
					s.Error("who connected to the closed server is ended")
				}
			})
		})
	}
}

func TestAFailoverKillsWhatHoldsTheLock(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().change(func(a *fakeServer) {
			a.locker = 7
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
		})
		s.put(revoked(6, hostA, hostB))
		s.pass(1100 * time.Millisecond)
		s.want(hostA, "one", cluster.DeedClosed)
		s.wantOpen(false, false)
	})
}

// What a person has to mend is the want of a privilege, not who writes.
func TestAClosingThatMayNotKillWhatHoldsTheLockTellsOfTheGrant(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.a().change(func(a *fakeServer) {
			a.lacks, a.locker = map[string]bool{"kill": true}, 7
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
		})
		s.agent("one", tells)
		s.put(revoked(6, hostA, hostB))
		s.pass(6 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedFailed); !hasNote(r, cluster.NoteGrants) || strings.Contains(r.Reason, "\n") {
			s.Errorf("reason %q, notes %v", r.Reason, r.Notes)
		}
		s.w.a().grant()
		s.pass(6 * time.Second)
		s.want(hostA, "one", cluster.DeedClosed)
	})
}

// A switch that was perhaps not put back is told, whatever becomes of the closing.
func TestWaitsThatWereNotEndedAsTheyShouldAreTold(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		awaiting(s)
		s.w.a().change(func(a *fakeServer) { a.broken["release"] = true })
		s.put(revoked(6, hostA, hostB))
		s.pass(3 * time.Second)
		if said := s.logs.String(); !strings.Contains(said, errRelease+": release: "+string(errBroken)) {
			s.Error("nothing is said")
		}
	})
}

const errRelease = "the waits of commits were not ended as they should"

// Commits wait for the acknowledgement of a server that gives none any more. The closing
// ends them, and none of their clients hears of a success.
func TestAClosingEndsCommitsThatWaitForAnAcknowledgement(t *testing.T) {
	for _, flavor := range []cluster.Flavor{cluster.MySQL, cluster.MariaDB} {
		for name, begin := range map[string]func(s *stage){
			"by order": func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one")
				awaiting(s)
				s.put(revoked(6, hostA, hostB))
				s.pass(1500 * time.Millisecond)
			},
			"alone": func(s *stage) {
				a, _ := leased(s)
				awaiting(s)
				a.cut(true)
				s.until(s.w.a(), false, 7*time.Second)
			},
		} {
			t.Run(string(flavor)+" "+name, func(t *testing.T) {
				play(t, func(s *stage) {
					if flavor == cluster.MariaDB {
						for _, srv := range s.w.servers {
							srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
						}
					}
					begin(s)
					s.wantOpen(false, false)
					s.w.a().change(func(a *fakeServer) {
						if len(a.told) > 0 || len(a.clients) > 0 {
							s.Errorf("told of a success: %v, still there: %v", a.told, a.clients)
						}
					})
				})
			})
		}
	}
}

// A server whose clients all wait for an acknowledgement is full. What closes it needs no room, and no
// client who takes the place of another is told of a success.
func TestAFullServerWhoseCommitsWaitIsClosed(t *testing.T) {
	for _, spare := range []bool{true, false} {
		t.Run(fmt.Sprintf("spare %v", spare), func(t *testing.T) {
			play(t, func(s *stage) {
				for _, srv := range s.w.servers {
					srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
				}
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one")
				if !spare {
					s.w.a().change(func(a *fakeServer) {
						a.most = 1
						for _, c := range a.sessions {
							c.end()
						}
					})
					s.pass(3 * time.Second)
				}
				awaiting(s)
				s.w.a().change(func(a *fakeServer) { a.crowd, a.full = true, true })
				s.put(revoked(6, hostA, hostB))
				s.pass(5 * time.Second)
				s.wantOpen(!spare, false)
				s.w.a().change(func(a *fakeServer) {
					if len(a.told) > 0 {
						s.Errorf("told of a success: %v", a.told)
					}
					a.full, a.most = false, 0
				})
				s.pass(5 * time.Second)
				s.want(hostA, "one", cluster.DeedClosed)
			})
		})
	}
}

// The session of one who waits cannot be ended. The closing waits with it.
func TestACommitWhoseClientIsThereWaitsOn(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		awaiting(s)
		s.w.a().change(func(a *fakeServer) { a.kept = 8 })
		s.put(revoked(6, hostA, hostB))
		s.pass(10 * time.Second)
		s.wantOpen(true, false)
		s.w.a().change(func(a *fakeServer) {
			if len(a.told) > 0 || !slices.Contains(a.killed, 7) {
				s.Errorf("told of a success: %v, killed: %v", a.told, a.killed)
			}
			a.kept = 0
		})
		s.pass(3 * time.Second)
		s.want(hostA, "one", cluster.DeedClosed)
	})
}

// awaiting has two clients of a wait for an acknowledgement, the second behind the first.
func awaiting(s *stage) {
	s.w.a().change(func(a *fakeServer) {
		for _, id := range []uint64{7, 8} {
			a.clients[id] = agent.Session{ID: id, User: "app", Kind: agent.SessionApplication}
			a.awaiting = append(a.awaiting, id)
		}
	})
}

// The receiving thread of a source that hangs may take long to end; the failover
// does not wait for it, and nothing is received any more.
func TestAFailoverDoesNotWaitForTheReceivingThread(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(2 * time.Second)
		s.w.a().hang()
		s.w.b().change(func(b *fakeServer) { b.slowStop, b.ch.IO, b.dialling = true, cluster.ThreadConnecting, true })
		s.put(revoked(6, hostA, hostB))
		s.pass(500 * time.Millisecond)
		s.want(hostB, "one", cluster.DeedDrained)
		s.put(opening(6, 2, hostB, hostA, ""))
		s.pass(500 * time.Millisecond)
		s.want(hostB, "one", cluster.DeedOpen)
		s.put(steady(6, 3, hostB, hostA))
		s.pass(30 * time.Second)
		if ch := s.w.b().ch; ch.IO != cluster.ThreadNo {
			s.Errorf("the thread still runs: %+v", ch)
		}
	})
}
