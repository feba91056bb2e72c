package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// leased starts a pair with an agent on each host, a open with both leases.
func leased(s *stage, with ...func(*agent.Options)) (a, b *host) {
	s.Helper()
	s.bus.put(steady(5, 3, hostA, hostB))
	a, _ = s.local("a", hostA, with...)
	b, _ = s.local("b", hostB, with...)
	s.pass(3 * time.Second)
	s.wantOpen(true, false)
	s.wantLease(cluster.LeaseBoth)
	return a, b
}

func (s *stage) wantLease(l cluster.Lease) {
	s.Helper()
	if r := s.bus.report(s.T, hostA, "a"); r.Lease != l || r.LeaseMS != 10_000 {
		s.Errorf("a is kept open by %q for %d ms, want %q", r.Lease, r.LeaseMS, l)
	}
}

// until waits for the server to be closed or opened, and returns how long that took.
func (s *stage) until(server *fakeServer, open bool, most time.Duration) time.Duration {
	s.Helper()
	began := time.Now()
	for server.open() != open {
		if time.Since(began) > most {
			s.Fatalf("%s: open=%v after %s", server.addr, !open, most)
		}
		s.pass(10 * time.Millisecond)
	}
	return time.Since(began)
}

// stays asks again and again for a time whether a is open.
func (s *stage) stays(open bool, d time.Duration) {
	s.Helper()
	for range d / (50 * time.Millisecond) {
		s.pass(50 * time.Millisecond)
		if s.w.a().open() != open {
			s.Fatalf("a: open=%v", !open)
		}
	}
}

// lockHolder is the session with the pair's lock on a server.
func (s *stage) lockHolder(e cluster.Endpoint) uint64 {
	s.Helper()
	c := s.dial(e)
	defer c.Close()
	id, err := c.LockHolder(context.Background(), agent.LockName(uniq))
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func TestTheActiveStaysOpenByEitherLease(t *testing.T) {
	t.Run("redis lost", func(t *testing.T) {
		play(t, func(s *stage) {
			a, b := leased(s)
			a.redis.Store(true)
			b.redis.Store(true)
			s.stays(true, 2*time.Minute)
			a.redis.Store(false)
			b.redis.Store(false)
			s.pass(10 * time.Second)
			s.wantOpen(true, false)
			s.wantLease(cluster.LeaseBoth)
		})
	})
	t.Run("passive dead", func(t *testing.T) {
		play(t, func(s *stage) {
			leased(s)
			s.w.b().kill()
			s.stays(true, time.Minute)
			s.wantLease(cluster.LeaseRedis)
			s.w.b().start(true)
			s.pass(5 * time.Second)
			s.wantLease(cluster.LeaseBoth)
		})
	})
	t.Run("link to the passive lost", func(t *testing.T) {
		play(t, func(s *stage) {
			a, _ := leased(s)
			a.peer.Store(true)
			s.stays(true, time.Minute)
			s.wantLease(cluster.LeaseRedis)
		})
	})
	t.Run("refused by redis", func(t *testing.T) {
		play(t, func(s *stage) {
			a, _ := leased(s)
			a.refuses.Store(true)
			s.stays(true, time.Minute)
			s.wantLease(cluster.LeaseLock)
		})
	})
}

// Whoever writes is not waited for when an order to close arrives so late that the leases would
// be over by then.
func TestAnOrderToCloseWaitsForNobodyWhenLeasesRunOut(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		s.w.a().change(func(a *fakeServer) {
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
			a.locker = 7
		})
		a.cut(true)
		s.pass(4500 * time.Millisecond)
		a.redis.Store(false)
		s.put(revoked(6, hostA, hostB))
		if took := s.until(s.w.a(), false, 5*time.Second); took > 900*time.Millisecond {
			s.Errorf("closed after %s", took)
		}
		if strings.Contains(s.logs.String(), "closed without a lease") {
			s.Error("not by the order")
		}
	})
}

// Cut off from both it is closed by its own agent within its lease, which is before
// the agent of the other says so; and it is opened again when Redis says so.
func TestTheActiveClosesItselfWithoutALease(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		s.w.a().change(func(a *fakeServer) {
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
			a.locker = 7
		})
		a.cut(true)
		began := time.Now()
		s.pass(time.Second)
		s.put(revoked(6, hostA, hostB))
		s.pass(4 * time.Second)
		s.wantOpen(true, false)
		closed := s.until(s.w.a(), false, 10*time.Second)
		if took := time.Since(began); took < 5*time.Second || took > 8*time.Second {
			s.Errorf("closed after %s, want it 6 s after the last renewal", took)
		}
		t.Logf("closed after %s", 5*time.Second+closed)
		for !s.bus.report(s.T, hostB, "b").LockOver {
			if time.Since(began) > 15*time.Second {
				s.Fatal("the lock is never over")
			}
			if s.w.a().open() {
				s.Fatal("a was opened again")
			}
			s.pass(10 * time.Millisecond)
		}
		if took := time.Since(began); took < 9*time.Second || took > 13*time.Second {
			s.Errorf("over after %s, want a lease", took)
		}
		s.pass(time.Minute)
		s.wantOpen(false, false)
		s.put(steady(7, 1, hostA, hostB))
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		a.cut(false)
		s.pass(5 * time.Second)
		s.wantOpen(true, false)
		s.wantLease(cluster.LeaseBoth)
		r := s.want(hostA, "a", cluster.DeedOpen)
		if r.Closed != (cluster.Order{}) {
			s.Errorf("acknowledged as closed under %s", r.Closed)
		}
		if s.bus.report(s.T, hostB, "b").LockOver {
			s.Error("the lock is still over")
		}
		if !strings.Contains(s.logs.String(), "closed without a lease") {
			s.Error("not in the log")
		}
	})
}

// Whoever opens in the place of an active by its leases does so after it is closed.
func TestTheOtherIsOpenedWhenTheLeasesAreOver(t *testing.T) {
	play(t, func(s *stage) {
		a, b := leased(s)
		a.cut(true)
		b.peer.Store(true)
		s.put(revoked(6, hostA, hostB))
		rec := opening(6, 2, hostB, hostA, "")
		rec.Proof = cluster.ProofLease
		s.pass(2 * time.Second)
		s.want(hostB, "b", cluster.DeedDrained)
		// Too early, by whoever decides: the lock is still waited for.
		s.put(rec)
		if r := s.bus.report(s.T, hostB, "b"); !strings.Contains(r.Reason, "lock on this server") {
			s.Errorf("reason %q", r.Reason)
		}
		s.until(s.w.b(), true, 20*time.Second)
		s.neverBothOpen()
		s.wantOpen(false, true)
		s.put(steady(6, 3, hostB, hostA))
		s.pass(time.Second)
		if h := s.lockHolder(hostB); h != 0 {
			s.Errorf("session %d still has the lock on the new active", h)
		}
		a.cut(false)
		b.peer.Store(false)
		s.pass(5 * time.Second)
		s.wantOpen(false, true)
		if s.lockHolder(hostA) == 0 {
			s.Error("nobody has the lock on the new passive")
		}
		if r := s.want(hostA, "a", cluster.DeedClosed); r.Closed.Epoch != 6 || r.Lease != cluster.LeaseUnused {
			s.Errorf("closed under %s, kept open by %q", r.Closed, r.Lease)
		}
	})
}

// Whoever took over has the lock of the other from its opening on: Redis may go before it
// says that the change of role is over.
func TestWhoTookOverStaysOpenWhenRedisGoesAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		_, b := leased(s)
		s.put(revoked(6, hostA, hostB))
		s.pass(2 * time.Second)
		s.put(opening(6, 2, hostB, hostA, ""))
		s.until(s.w.b(), true, 5*time.Second)
		b.redis.Store(true)
		s.pass(2 * time.Minute)
		s.wantOpen(false, true)
		if h := s.lockHolder(hostB); h != 0 {
			s.Errorf("session %d still has the lock on the new active", h)
		}
	})
}

func TestTimeInASuspendCounts(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.cut(true)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		a.suspended.Add(int64(time.Hour))
		if took := s.until(s.w.a(), false, 10*time.Second); took > 1100*time.Millisecond {
			s.Errorf("closed %s after the machine went on", took)
		}
	})
}

func TestTheSessionOfTheLockIsReplacedAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		leased(s)
		s.pass(1500 * time.Millisecond)
		for range 3 {
			before := s.lockHolder(hostB)
			s.w.b().endSession(before)
			synctest.Wait()
			if after := s.lockHolder(hostB); after == 0 || after == before {
				s.Errorf("session %d has the lock after the end of %d", after, before)
			}
			s.pass(1500 * time.Millisecond)
		}
		s.wantLease(cluster.LeaseBoth)
	})
}

// Each renewal of a lease goes at most once per second, in the instants in which the
// other loops look.
func TestAnIdleAgentWithLeasesWakesOnceASecond(t *testing.T) {
	play(t, func(s *stage) {
		bus := newCountingBus(s.bus)
		s.bus.put(steady(5, 3, hostA, hostB))
		s.local("a", hostA, func(o *agent.Options) { o.Bus = bus })
		s.pass(5300 * time.Millisecond)
		bus.reset()
		s.pass(time.Minute)
		bus.noted.Lock()
		defer bus.noted.Unlock()
		if n := len(bus.instants); n > 67 {
			t.Errorf("the bus was used in %d instants of a minute", n)
		}
		if bus.renewals < 55 || bus.renewals > 62 {
			t.Errorf("the lease was renewed %d times in a minute", bus.renewals)
		}
	})
}

func TestAnAgentThatIsStartedAgain(t *testing.T) {
	// Who the two servers are is remembered too: Redis may be away.
	remembers := func(o *agent.Options) {
		o.Remembers = map[cluster.UniqSign]cluster.Memory{uniq: {Record: steady(5, 3, hostA, hostB)}}
	}
	again := func(s *stage, cut func(*host)) *host {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.local("b", hostB)
		a, stop := s.local("a", hostA)
		s.pass(3 * time.Second)
		s.wantOpen(true, false)
		cut(a)
		stop()
		s.wantOpen(true, false)
		s.pass(2 * time.Second)
		a.start("a2", remembers)
		return a
	}
	t.Run("takes over where the other was", func(t *testing.T) {
		play(t, func(s *stage) {
			a := again(s, func(*host) {})
			s.pass(time.Second)
			if r := s.bus.report(s.T, hostA, "a2"); r.Lease != cluster.LeaseBoth {
				s.Errorf("kept open by %q", r.Lease)
			}
			a.redis.Store(true)
			s.stays(true, time.Minute)
		})
	})
	t.Run("with the lock alone", func(t *testing.T) {
		play(t, func(s *stage) {
			again(s, func(a *host) { a.redis.Store(true) })
			s.stays(true, time.Minute)
		})
	})
	t.Run("without anything it closes the server", func(t *testing.T) {
		play(t, func(s *stage) {
			again(s, func(a *host) { a.cut(true) })
			s.stays(true, 3*time.Second)
			if took := s.until(s.w.a(), false, time.Second); took > 600*time.Millisecond {
				s.Errorf("closed %s after a third of the lease", took)
			}
		})
	})
}

// As long as the old active reaches the other server it lives, and says so there.
func TestARevokedActiveThatReachesTheOtherStaysOpen(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.redis.Store(true)
		s.pass(time.Second)
		s.put(revoked(6, hostA, hostB))
		for range 60 {
			s.stays(true, time.Second)
			if s.bus.report(s.T, hostB, "b").LockOver {
				s.Fatal("over, and the active is open")
			}
		}
		if r := s.bus.report(s.T, hostB, "b"); r.LeaseMS != 10_000 || r.Order.Epoch != 6 {
			s.Errorf("the other reports nothing of leases: %+v", r)
		}
		// It reads the record again and is closed, and the lock is free at once.
		a.redis.Store(false)
		s.pass(3 * time.Second)
		s.wantOpen(false, false)
		if r := s.want(hostA, "a", cluster.DeedClosed); r.Closed.Epoch != 6 {
			s.Errorf("closed under %s", r.Closed)
		}
	})
}

// A closed server that is cut off from Redis would keep the other from being opened.
func TestAnActiveThatHasClosedItselfLetsGoOfTheLock(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.cut(true)
		s.pass(15 * time.Second)
		s.wantOpen(false, false)
		a.peer.Store(false)
		s.pass(5 * time.Second)
		if h := s.lockHolder(hostB); h != 0 {
			s.Errorf("session %d has the lock", h)
		}
	})
}

func TestANewEpochNeedsANewGrant(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.refuses.Store(true)
		s.put(steady(6, 1, hostA, hostB))
		s.stays(true, time.Minute) // it is open, and the lock keeps it so
		s.w.a().kill()
		s.w.a().start(true)
		s.stays(false, 10*time.Second)
		if r := s.bus.report(s.T, hostA, "a"); !strings.Contains(r.Reason, "not held in this epoch") {
			s.Errorf("reason %q", r.Reason)
		}
		a.refuses.Store(false)
		s.pass(1100 * time.Millisecond)
		s.wantOpen(true, false)
	})
	// The old grant still runs.
	play(t, func(s *stage) {
		a, _ := leased(s)
		s.w.a().kill()
		s.pass(100 * time.Millisecond)
		a.refuses.Store(true)
		s.put(steady(6, 1, hostA, hostB))
		s.w.a().start(true)
		s.stays(false, 4*time.Second)
		a.refuses.Store(false)
		s.pass(1100 * time.Millisecond)
		s.wantOpen(true, false)
	})
}

// Whoever loses the lock with its session still counts on it for a lease.
func TestALockWhoseSessionWasEndedIsNotOverAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.redis.Store(true)
		s.put(revoked(6, hostA, hostB))
		s.pass(2 * time.Second)
		a.peer.Store(true)
		s.w.b().endSession(s.lockHolder(hostB))
		for range 90 {
			s.pass(100 * time.Millisecond)
			if s.bus.report(t, hostB, "b").LockOver {
				s.Fatal("over within the lease")
			}
		}
		s.pass(2 * time.Second)
		if !s.bus.report(t, hostB, "b").LockOver {
			s.Error("never over")
		}
	})
}

func TestARefusedGrantOpensNothing(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		a.refuses.Store(true)
		s.pass(1100 * time.Millisecond)
		s.w.a().kill()
		s.w.a().start(true)
		s.stays(false, 3*time.Second)
	})
}

// dozing has the machine suspended when the server is about to be opened.
type dozing struct {
	agent.Conn
	doze func()
}

func (c dozing) Unseal(ctx context.Context) error {
	err := c.Conn.Unseal(ctx)
	c.doze()
	return err
}

type dozingNode struct {
	agent.Node
	doze func()
}

func (n dozingNode) Connect(ctx context.Context) (agent.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return dozing{c, n.doze}, nil
}

func TestAnOpeningEndsWithItsGrant(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		h := &host{s: s, server: hostA}
		dozed := 0
		h.start("a", func(o *agent.Options) {
			o.Node = func(e cluster.Endpoint) (agent.Node, error) {
				n, err := s.w.node(e)
				return dozingNode{n, func() {
					if dozed++; dozed == 1 {
						h.cut(true)
						h.suspended.Add(int64(time.Hour))
					}
				}}, err
			}
		})
		s.stays(false, 20*time.Second)
		if dozed == 0 {
			s.Fatal("nothing was about to be opened")
		}
		h.cut(false)
		s.pass(3 * time.Second)
		s.wantOpen(true, false)
	})
}

func TestAnAgentOfOneHostActsThereOnly(t *testing.T) {
	play(t, func(s *stage) {
		s.w.b().change(func(b *fakeServer) { b.readOnly = false })
		s.bus.put(steady(5, 3, hostB, hostA))
		s.local("a", hostA)
		s.pass(5 * time.Second)
		s.put(steady(6, 1, hostA, hostB))
		s.pass(5 * time.Second)
		s.wantOpen(false, true) // a is not opened beside b, which nobody here closes
		if len(s.bus.snap.Reports[hostB]) > 0 {
			s.Error("a server of another host is reported")
		}
		if n := len(s.w.b().stops); n > 0 {
			s.Errorf("replication of the other was changed: %v", s.w.b().stops)
		}
		s.w.b().change(func(b *fakeServer) { b.readOnly = true })
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		for _, id := range s.w.b().ids() {
			if id != s.lockHolder(hostB) && len(s.w.b().ids()) > 2 {
				s.Errorf("sessions %v on the other, want one to sample it and one with the lock", s.w.b().ids())
			}
		}
	})
}

func TestBothServersOnOneHost(t *testing.T) {
	play(t, func(s *stage) {
		s.w.b().change(func(b *fakeServer) { b.readOnly = false })
		s.bus.put(steady(5, 3, hostA, hostB))
		a, _ := s.local("a", hostA, func(o *agent.Options) { o.Local = func(cluster.Endpoint) bool { return true } })
		s.pass(3 * time.Second)
		s.wantOpen(true, false)
		for _, e := range []cluster.Endpoint{hostA, hostB} {
			r := s.bus.report(s.T, e, "a")
			if r.Lease != cluster.LeaseUnused || r.LeaseMS != 0 || !slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == agent.NoteScope }) {
				s.Errorf("%s: lease %q, notes %v", e, r.Lease, r.Notes)
			}
		}
		a.cut(true)
		s.stays(true, time.Minute)
	})
}

func TestWithoutALengthNothingClosesTheActive(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		a, _ := s.local("a", hostA, func(o *agent.Options) { o.Lease = 0 })
		s.pass(2 * time.Second)
		a.cut(true)
		s.stays(true, time.Minute)
		if s.lockHolder(hostB) != 0 || a.renewals.Load() != 0 {
			s.Error("it takes leases")
		}
	})
}

// A person opens the passive while Redis is away: no lease keeps it so.
func TestAnOpenPassiveIsClosedWhileRedisIsAway(t *testing.T) {
	play(t, func(s *stage) {
		a, b := leased(s)
		a.redis.Store(true)
		b.redis.Store(true)
		s.pass(5 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.readOnly, b.super = false, false })
		s.pass(1100 * time.Millisecond)
		s.wantOpen(true, false)
	})
}

func TestAHungActiveIsToCloseItselfWhenItWakes(t *testing.T) {
	play(t, func(s *stage) {
		a, _ := leased(s)
		s.w.a().hang()
		a.cut(true)
		s.pass(20 * time.Second)
		s.w.a().awake()
		synctest.Wait()
		s.wantOpen(false, false)
		s.stays(false, 10*time.Second)
	})
}

// The agents of the two hosts log in as different users: to each other they are applications.
func TestClosingLeavesAnotherUsersLockAlone(t *testing.T) {
	play(t, func(s *stage) {
		leased(s)
		holder := s.lockHolder(hostB)
		s.w.b().change(func(b *fakeServer) {
			b.sessions[holder].user = "mmm2"
			b.readOnly, b.super = false, false
		})
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if r := s.want(hostB, "b", cluster.DeedClosed); len(r.Steps) == 0 || s.lockHolder(hostB) != holder {
			s.Errorf("session %d has the lock, before it %d; steps %v", s.lockHolder(hostB), holder, r.Steps)
		}
	})
}

// What is to be locked is on the disk when nobody else can be told.
func TestAccountsAreLockedWithoutALease(t *testing.T) {
	play(t, func(s *stage) {
		s.w.account(s.w.a(), "app@%", nil)
		disk := &fakeStore{}
		a, _ := leased(s, blocks, func(o *agent.Options) {
			if o.ID == "a" {
				o.Store = disk
			}
		})
		a.cut(true)
		s.pass(15 * time.Second)
		s.wantOpen(false, false)
		disk.mu.Lock()
		kept := disk.kept[uniq].Locked[hostA]
		disk.mu.Unlock()
		if len(kept) != 1 || len(s.w.a().locks) != 1 {
			s.Errorf("on record %v, done %v", kept, s.w.a().locks)
		}
		a.cut(false)
		s.pass(5 * time.Second)
		s.wantOpen(true, false)
		if n := len(s.w.openedLocked); n > 0 {
			s.Errorf("opened with accounts locked: %v", s.w.openedLocked)
		}
	})
}
