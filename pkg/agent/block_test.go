package agent_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// blocks blocks the accounts of an application.
func blocks(o *agent.Options) {
	o.User, o.Refused = "mmm", refused
	o.BlockUser, o.BlockHost = regexp.MustCompile(`^app`), regexp.MustCompile(`.`)
}

func on(d *fakeStore) func(*agent.Options) { return func(o *agent.Options) { o.Store = d } }

// nobodyWaitsOutside: no server was ever opened while accounts of it were locked.
func (s *stage) nobodyWaitsOutside() {
	s.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if len(s.w.openedLocked) > 0 {
		s.Errorf("opened while accounts were locked: %v", s.w.openedLocked)
	}
}

func (s *stage) wantLogIn(srv *fakeServer, name string, want bool) {
	s.Helper()
	if got := srv.canLogIn(name); got != want {
		s.Errorf("%s can log in on %s: %v, want %v", name, srv.addr, got, want)
	}
}

// application is a pair with an application's accounts, a at first active.
func application(s *stage) {
	for _, name := range []string{"app@%", "app2@10.%", "report@%", "mmm@%"} {
		s.w.account(s.w.a(), name, nil)
	}
	s.bus.put(steady(5, 3, hostA, hostB))
}

func failover(s *stage, from, to cluster.Endpoint, epoch cluster.Epoch) {
	s.put(revoked(epoch, from, to))
	s.pass(300 * time.Millisecond)
	s.put(opening(epoch, 2, to, from, ""))
	s.pass(300 * time.Millisecond)
	rec := steady(epoch, 3, to, from)
	rec.Proof = cluster.RiskRefused
	s.put(rec)
	s.pass(2 * time.Second)
}

func hasNote(r cluster.Report, code string) bool {
	return slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == code })
}

func TestAccountsAreLockedOnThePassiveOnly(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.w.b().change(func(b *fakeServer) {
			b.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
			b.clients[8] = agent.Session{ID: 8, User: "report", Kind: agent.SessionApplication}
		})
		disk := &fakeStore{}
		s.w.b().onLock = func() {
			if got := disk.memory().Locked[hostB]; len(got) != 2 {
				s.Errorf("at the moment of the locking the disk knows of %v", got)
			}
			if got := s.bus.lockedOn(hostB); len(got) != 2 {
				s.Errorf("at the moment of the locking Redis knows of %v", got)
			}
		}
		s.agent("one", blocks, on(disk))
		s.pass(time.Second)
		for name, want := range map[string]bool{"app@%": false, "app2@10.%": false, "report@%": true, "mmm@%": true} {
			s.wantLogIn(s.w.a(), name, true)
			s.wantLogIn(s.w.b(), name, want)
		}
		if got := s.w.b().killed; !slices.Equal(got, []uint64{7}) {
			s.Errorf("sessions %v were ended, want the one of the locked account", got)
		}
		if r := s.bus.report(s.T, hostB, "one"); len(r.Locked) != 2 || len(r.Notes) != 0 {
			s.Errorf("report: locked %v, notes %v", r.Locked, r.Notes)
		}
		// An account that is made later arrives by replication.
		s.w.account(s.w.a(), "app9@%", nil)
		s.pass(6 * time.Second)
		s.wantLogIn(s.w.a(), "app9@%", true)
		s.wantLogIn(s.w.b(), "app9@%", false)
		if a, b := s.w.a().executed, s.w.b().executed; a != b || a != uuidA+":1-10" {
			s.Errorf("locking left transactions: %s and %s", a, b)
		}
	})
}

// The network has held back an order to lock accounts. They were locked by a later one
// and have been released with the opening when it arrives.
func TestALockThatComesAfterTheReleaseIsUndone(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		disk := &fakeStore{}
		s.w.b().change(func(b *fakeServer) { b.stuck["lock"] = true })
		s.agent("one", blocks, on(disk))
		s.pass(2 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.stuck = map[string]bool{} })
		s.pass(40 * time.Second)
		s.wantLogIn(s.w.b(), "app@%", false)
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.w.b().change(func(b *fakeServer) { b.accounts[account("app@%")].locked = true })
		s.pass(10 * time.Second)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.pass(3 * time.Minute)
		if left := disk.memory().Locked[hostB]; len(left) != 0 {
			s.Errorf("on record long after: %v", left)
		}
	})
}

func TestAccountsFollowTheRole(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		disk := &fakeStore{}
		s.agent("one", blocks, on(disk))
		s.pass(time.Second)
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.w.a().start(false)
		s.pass(3 * time.Second)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.a(), "app@%", false)
		s.wantLogIn(s.w.a(), "app2@10.%", false)
		s.nobodyWaitsOutside()
		want := []string{"lock app2@10.%", "lock app@%", "release app2@10.%", "release app@%"}
		got := s.w.b().history()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			s.Errorf("on the new active: %v, want each locked and released once", got)
		}
		s.pass(6 * time.Second)
		if m := disk.memory(); len(m.Locked[hostB]) != 0 || len(m.Locked[hostA]) != 2 {
			s.Errorf("on disk: %v", m.Locked)
		}
		if onB, onA := s.bus.lockedOn(hostB), s.bus.lockedOn(hostA); len(onB) != 0 || len(onA) != 2 {
			s.Errorf("in Redis: %v on the active, %v on the passive", onB, onA)
		}
	})
}

func TestASwitchoverTakesTheAccountsAlong(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(time.Second)
		s.put(switching(5, 4, hostA, hostB))
		s.pass(500 * time.Millisecond)
		s.wantOpen(false, false)
		s.wantLogIn(s.w.a(), "app@%", false)
		s.wantLogIn(s.w.b(), "app@%", false)
		rec := opening(6, 1, hostB, hostA, uuidA+":1-10")
		rec.Proof = cluster.ProofFenced
		s.put(rec)
		s.put(steady(6, 2, hostB, hostA))
		s.pass(2 * time.Second)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.a(), "app@%", false)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.nobodyWaitsOutside()
	})
}

func TestASwitchoverThatDoesNotHappenReleasesWhatItLocked(t *testing.T) {
	for name, busy := range map[string]bool{"refused": true, "rolled back": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				application(s)
				s.agent("one", blocks, on(&fakeStore{}))
				s.pass(time.Second)
				if busy {
					s.w.a().change(func(a *fakeServer) { a.locker = 7 })
				}
				s.put(switching(5, 4, hostA, hostB))
				s.pass(100 * time.Millisecond)
				if busy {
					s.pass(time.Second)
					s.want(hostA, "one", cluster.DeedRefused)
				}
				s.wantLogIn(s.w.a(), "app@%", busy)
				if got := s.w.a().history(); busy && len(got) > 0 {
					s.Errorf("users were shut out of a server that stays open: %v", got)
				}
				s.put(steady(5, 5, hostA, hostB))
				s.pass(time.Second)
				s.wantOpen(true, false)
				s.wantLogIn(s.w.a(), "app@%", true)
				s.wantLogIn(s.w.b(), "app@%", false)
				s.nobodyWaitsOutside()
				if got := s.w.a().history(); len(got) != map[bool]int{true: 0, false: 4}[busy] {
					s.Errorf("on the active: %v", got)
				}
				s.pass(6 * time.Second)
				if got := s.bus.lockedOn(hostA); len(got) != 0 {
					s.Errorf("still on record: %v", got)
				}
			})
		})
	}
}

func TestAnOwnersLockStays(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.w.account(s.w.a(), "app0@%", func(a *fakeAccount) { a.locked, a.owners = true, true })
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(time.Second)
		// An account that we have locked on the passive, now by its owner too.
		s.w.account(s.w.a(), "app@%", func(a *fakeAccount) { a.locked, a.owners = true, true })
		s.pass(12 * time.Second)
		if got := s.bus.lockedOn(hostB); !slices.Equal(got, []cluster.Account{account("app2@10.%")}) {
			s.Errorf("on record for the passive: %v", got)
		}
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app0@%", false)
		s.wantLogIn(s.w.b(), "app@%", false)
		s.wantLogIn(s.w.b(), "app2@10.%", true)
		// Its owner lets it in again.
		s.w.account(s.w.b(), "app@%", func(a *fakeAccount) { *a = fakeAccount{} })
		s.w.a().start(false)
		s.pass(8 * time.Second)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.wantLogIn(s.w.a(), "app@%", false)
	})
}

// That an account is its owner's reaches Redis after the record has moved.
func TestAnOwnersLockStaysWhereRedisIsToldLate(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(time.Second)
		s.bus.setNoDrops(true)
		s.w.account(s.w.a(), "app@%", func(a *fakeAccount) { a.locked, a.owners = true, true })
		s.pass(12 * time.Second)
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		s.bus.setNoDrops(false)
		s.pass(12 * time.Second)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app@%", false)
		s.wantLogIn(s.w.b(), "app2@10.%", true)
		if got := s.bus.lockedOn(hostB); len(got) != 0 {
			s.Errorf("on record for the active: %v", got)
		}
	})
}

func TestThePredecessorsReversedHashesAreTurnedBackOnce(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		for _, name := range []string{"app@%", "report@%"} {
			s.w.b().accounts[account(name)] = &fakeAccount{reversed: true}
		}
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(time.Second)
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.wantLogIn(s.w.b(), "report@%", false) // it matches no pattern: the predecessor's no more than ours
		s.pass(20 * time.Second)
		if got := s.w.b().history(); strings.Count(strings.Join(got, ","), "release app@%") != 1 {
			s.Errorf("on the new active: %v", got)
		}
	})
}

// The agent comes back with its disk and an empty Redis, or with Redis and
// without its disk: what it locked is known and released.
func TestLocksAreRememberedOverARestart(t *testing.T) {
	for name, disk := range map[string]bool{"from disk": true, "from Redis": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				application(s)
				d := &fakeStore{}
				stop := s.agent("one", blocks, on(d))
				s.pass(time.Second)
				stop()
				if disk {
					s.bus.locked = map[cluster.Endpoint][]cluster.Account{}
				} else {
					d.kept = nil
				}
				s.w.a().kill()
				s.agent("two", blocks, on(d))
				failover(s, hostA, hostB, 6)
				s.wantOpen(false, true)
				s.wantLogIn(s.w.b(), "app@%", true)
				s.nobodyWaitsOutside()
			})
		})
	}
}

func TestChangedPatternsTakeEffectOnThePassive(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		d := &fakeStore{}
		stop := s.agent("one", blocks, on(d))
		s.pass(time.Second)
		stop()
		stop = s.agent("one", blocks, on(d), func(o *agent.Options) { o.BlockUser = regexp.MustCompile(`^(app2|report)$`) })
		s.pass(time.Second)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.wantLogIn(s.w.b(), "app2@10.%", false)
		s.wantLogIn(s.w.b(), "report@%", false)
		stop()
		s.agent("one", blocks, on(d), func(o *agent.Options) { o.BlockUser, o.BlockHost = nil, nil })
		s.pass(time.Second)
		for _, name := range []string{"app@%", "app2@10.%", "report@%"} {
			s.wantLogIn(s.w.b(), name, true)
		}
		s.pass(6 * time.Second)
		if got := s.bus.lockedOn(hostB); len(got) != 0 {
			s.Errorf("still on record: %v", got)
		}
	})
}

func TestNobodyLocksThePairOut(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		for _, name := range []string{"repl@%", "root@localhost", "mysql.sys@localhost"} {
			s.w.account(s.w.a(), name, nil)
		}
		s.w.a().ch.User, s.w.b().ch.User = "repl", "repl"
		s.agent("one", blocks, on(&fakeStore{}), func(o *agent.Options) { o.BlockUser = regexp.MustCompile(`.*`) })
		s.pass(time.Second)
		for _, name := range []string{"mmm@%", "repl@%", "root@localhost", "mysql.sys@localhost"} {
			s.wantLogIn(s.w.b(), name, true)
		}
		s.wantLogIn(s.w.b(), "report@%", false)
		r := s.bus.report(s.T, hostB, "one")
		if !hasNote(r, cluster.NoteAccounts) || !strings.Contains(fmt.Sprint(r.Notes), "mmm@%") {
			s.Errorf("notes: %v", r.Notes)
		}
	})
}

// Whatever happens to the locking, the server is closed.
func TestFailingToLockNeverStopsAClosing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*stage, *fakeStore)
		code  string
	}{
		"no grant to lock":             {func(s *stage, _ *fakeStore) { s.w.a().denied["lock"] = true }, cluster.NoteGrants},
		"no grant to read accounts":    {func(s *stage, _ *fakeStore) { s.w.a().denied["accounts"] = true }, cluster.NoteGrants},
		"a table of the server broken": {func(s *stage, _ *fakeStore) { s.w.a().broken["lock"] = true }, cluster.NoteAccounts},
		"the locking hangs":            {func(s *stage, _ *fakeStore) { s.w.a().stuck["lock"] = true }, cluster.NoteAccounts},
		"the reading hangs":            {func(s *stage, _ *fakeStore) { s.w.a().stuck["accounts"] = true }, cluster.NoteAccounts},
		"nowhere to record it": {func(s *stage, d *fakeStore) {
			d.fail(errors.New("no space left on device"))
			s.bus.noNotes = true
		}, cluster.NoteAccounts},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				application(s)
				d := &fakeStore{}
				s.agent("one", blocks, on(d))
				s.pass(time.Second)
				c.spoil(s, d)
				s.put(revoked(6, hostA, hostB))
				s.pass(3 * time.Second)
				s.wantOpen(false, false)
				r := s.want(hostA, "one", cluster.DeedClosed)
				if r.Closed.Epoch != 6 || !hasNote(r, c.code) {
					s.Errorf("closed under %s, notes %v; want 6.1 and %s", r.Closed, r.Notes, c.code)
				}
				s.wantLogIn(s.w.a(), "app@%", true)
			})
		})
	}
}

func TestTheRecordingIsEnoughOnDiskOrInRedis(t *testing.T) {
	for name, spoil := range map[string]func(*stage, *fakeStore){
		"disk":  func(s *stage, _ *fakeStore) { s.bus.noNotes = true },
		"redis": func(_ *stage, d *fakeStore) { d.fail(errors.New("no space left on device")) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				application(s)
				d := &fakeStore{}
				spoil(s, d)
				s.agent("one", blocks, on(d))
				s.pass(3 * time.Second)
				s.wantLogIn(s.w.b(), "app@%", false)
				if r := s.bus.report(s.T, hostB, "one"); hasNote(r, cluster.NoteStateFile) != (name == "redis") {
					s.Errorf("notes: %v", r.Notes)
				}
			})
		})
	}
}

func TestAnOpeningWithoutGrantsIsToldAndDone(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(time.Second)
		s.w.b().denied["release"], s.w.b().denied["mark"] = true, true
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		rec := opening(6, 2, hostB, hostA, "")
		rec.EpochTable = "mmm_meta.epoch"
		s.put(rec)
		s.pass(200 * time.Millisecond)
		s.wantOpen(false, true)
		r := s.want(hostB, "one", cluster.DeedOpen)
		if n := len(r.Notes); n != 2 || !hasNote(r, cluster.NoteGrants) {
			s.Errorf("notes: %v", r.Notes)
		}
		// Somebody grants it.
		s.w.b().change(func(b *fakeServer) { b.denied = map[string]bool{} })
		rec = steady(6, 3, hostB, hostA)
		rec.EpochTable = "mmm_meta.epoch"
		s.put(rec)
		s.pass(time.Second)
		s.wantLogIn(s.w.b(), "app@%", true)
		if r := s.want(hostB, "one", cluster.DeedOpen); len(r.Notes) != 0 || s.w.b().mark.Epoch != 6 {
			s.Errorf("notes: %v, epoch row %v", r.Notes, s.w.b().mark)
		}
	})
}

// What an agent found released, and could not take out of Redis yet, another one has locked
// again since, and Redis alone knows.
func TestWhatWasLockedAgainStaysOnRecord(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}))
		s.pass(6 * time.Second)
		s.bus.setNoDrops(true)
		failover(s, hostA, hostB, 6)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.w.b().change(func(b *fakeServer) {
			b.close()
			for _, name := range []string{"app@%", "app2@10.%"} {
				b.accounts[account(name)].locked = true
			}
		})
		s.bus.setNoDrops(false)
		failover(s, hostB, hostA, 7)
		s.wantOpen(true, false)
		if got := s.bus.lockedOn(hostB); len(got) != 2 {
			s.Errorf("on record for the new passive: %v", got)
		}
		failover(s, hostA, hostB, 8)
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.pass(12 * time.Second)
		if got := s.bus.lockedOn(hostB); len(got) != 0 {
			s.Errorf("on record for the active: %v", got)
		}
	})
}

func TestTwoAgentsShareTheirLocks(t *testing.T) {
	play(t, func(s *stage) {
		application(s)
		s.agent("one", blocks, on(&fakeStore{}))
		stop := s.agent("two", blocks, on(&fakeStore{}))
		s.pass(6 * time.Second)
		s.w.a().kill()
		failover(s, hostA, hostB, 6)
		stop()
		s.wantOpen(false, true)
		s.wantLogIn(s.w.b(), "app@%", true)
		s.nobodyWaitsOutside()
		s.w.a().start(true)
		s.pass(12 * time.Second)
		s.wantLogIn(s.w.a(), "app@%", false)
		if got := s.bus.lockedOn(hostB); len(got) != 0 {
			s.Errorf("on record for the active: %v", got)
		}
		before := len(s.w.a().history()) + len(s.w.b().history())
		s.pass(30 * time.Second)
		if now := len(s.w.a().history()) + len(s.w.b().history()); now != before {
			s.Errorf("accounts are changed on and on: %v %v", s.w.a().history(), s.w.b().history())
		}
	})
}
