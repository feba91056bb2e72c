package agent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestTheActiveIsOpenedAndAnOpenPassiveClosed(t *testing.T) {
	play(t, func(s *stage) {
		s.w.b().change(func(b *fakeServer) {
			b.readOnly = false
			b.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
		})
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.wantOpen(true, false)
		s.neverBothOpen()
		s.want(hostA, "one", cluster.DeedOpen)
		s.want(hostB, "one", cluster.DeedClosed)
		if got := s.w.b().killed; len(got) != 1 {
			s.Errorf("killed sessions %v, want the one of the application", got)
		}
	})
}

func TestStoppingTheAgentLeavesTheServersAsTheyAre(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		stop := s.agent("one")
		before := len(s.w.a().stops) + len(s.w.b().stops)
		stop()
		s.wantOpen(true, false)
		if after := len(s.w.a().stops) + len(s.w.b().stops); after != before {
			s.Error("stopping the agent changed replication")
		}
		if n := len(s.w.a().sessions) + len(s.w.b().sessions); n != 0 {
			s.Errorf("%d sessions were left open", n)
		}
	})
}

func TestFailoverAfterACrash(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.b().change(func(b *fakeServer) { b.held = true })
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-20" })
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		if r := s.want(hostA, "one", cluster.DeedUnreachable); r.Cause != cluster.CauseRefused {
			s.Errorf("cause = %q", r.Cause)
		}
		s.want(hostB, "one", cluster.DeedWorking)
		s.w.b().change(func(b *fakeServer) { b.held = false })
		s.pass(500 * time.Millisecond)
		r := s.want(hostB, "one", cluster.DeedDrained)
		if r.Ready != (cluster.Order{Epoch: 6, Version: 1}) || r.Executed != uuidA+":1-20" {
			s.Errorf("ready %s, executed %q: want 6.1 and everything received", r.Ready, r.Executed)
		}
		s.wantOpen(false, false)
		dials := s.dials(hostB)
		s.put(opening(6, 2, hostB, hostA, uuidA+":1-20"))
		s.wantOpen(false, true)
		if n := s.dials(hostB) - dials; n != 0 {
			s.Errorf("%d dials to open a server to which a spare connection stands", n)
		}
		r = s.want(hostB, "one", cluster.DeedOpen)
		if r.Opened != (cluster.Order{Epoch: 6, Version: 2}) {
			s.Errorf("opened under %s, want 6.2", r.Opened)
		}
		if len(r.Steps) == 0 || r.Steps[0].Name != "read position" {
			s.Errorf("steps %v do not begin with the position", r.Steps)
		}
		if got := s.w.b().stops; len(got) != 1 || got[0] != "stop io" {
			s.Errorf("threads of the new active: %v, want its receiving one stopped and nothing else", got)
		}
		if r := s.want(hostB, "one", cluster.DeedOpen); r.Remembers.Epoch != 6 {
			s.Errorf("remembers epoch %d, want 6", r.Remembers.Epoch)
		}
	})
}

func TestAnOldActiveComesBackClosedAndReplicates(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		s.put(opening(6, 2, hostB, hostA, uuidA+":1-10"))
		rec := steady(6, 3, hostB, hostA)
		rec.Proof = cluster.RiskRefused
		s.put(rec)
		s.wantOpen(false, true)
		s.w.a().start(false)
		s.pass(5 * time.Second)
		s.wantOpen(false, true)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 {
			s.Errorf("closed under %s, want epoch 6", r.Closed)
		}
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if !s.w.a().ch.Replicates(hostB) {
			s.Errorf("the old active does not replicate: %+v", s.w.a().ch)
		}
		if !s.w.b().ch.Replicates(hostA) {
			s.Errorf("the ring is not restored: %+v", s.w.b().ch)
		}
	})
}

func TestErrantTransactionsOfTheOldActiveStayThere(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		s.put(opening(6, 2, hostB, hostA, ""))
		s.put(steady(6, 3, hostB, hostA))
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-15" })
		s.w.a().start(true)
		s.w.a().change(func(a *fakeServer) { a.ch.IO, a.ch.SQL = cluster.ThreadYes, cluster.ThreadYes })
		s.pass(10 * time.Second)
		r := s.want(hostA, "one", cluster.DeedQuarantine)
		if r.Errant != uuidA+":11-15" {
			s.Errorf("errant = %q", r.Errant)
		}
		if s.w.b().has(uuidA + ":11-15") {
			s.Error("the new active pulled the errant transactions")
		}
		if ch := s.w.a().ch; !ch.Stopped() {
			s.Errorf("the quarantined server replicates: %+v", ch)
		}
		if got := s.w.a().stops; len(got) != 1 {
			s.Errorf("its threads were changed %v, want one stop", got)
		}
		s.w.b().kill()
		s.pass(5 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedQuarantine); r.Errant == "" {
			s.Error("quarantine is forgotten when the active is away")
		}
	})
}

func TestAHungActiveGetsTheClosingOrderQueued(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().hang()
		s.pass(3 * time.Second)
		began := time.Now()
		s.put(revoked(6, hostA, hostB))
		r := s.want(hostA, "one", cluster.DeedUnreachable)
		if !r.Queued || r.Cause != cluster.CauseAnswerTimeout {
			s.Errorf("queued %v, cause %q", r.Queued, r.Cause)
		}
		s.want(hostB, "one", cluster.DeedDrained)
		if d := time.Since(began); d > 0 {
			s.Errorf("a hung server delayed the orders by %s", d)
		}
		s.put(opening(6, 2, hostB, hostA, ""))
		s.put(steady(6, 3, hostB, hostA))
		s.w.a().awake()
		synctest.Wait()
		s.pass(2 * time.Second)
		s.wantOpen(false, true)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 6 || r.Queued {
			s.Errorf("closed under %s, queued %v: want epoch 6 and nothing queued", r.Closed, r.Queued)
		}
	})
}

func TestAnUnreachableServerIsTriedAsOftenAsConfigured(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.w.b().hang()
		s.agent("one")
		s.pass(1100 * time.Millisecond)
		s.want(hostB, "one", cluster.DeedWorking)
		s.pass(3 * time.Second)
		s.want(hostB, "one", cluster.DeedUnreachable)
		s.wantOpen(true, false)
	})
}

func TestRedisAwayMovesNothing(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.bus.setAway(true)
		s.pass(3 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo })
		s.w.a().change(func(a *fakeServer) { a.readOnly = true })
		s.pass(10 * time.Second)
		s.wantOpen(false, false)
		s.bus.mu.Lock()
		s.bus.snap.Assignment = steady(6, 1, hostB, hostA)
		s.bus.mu.Unlock()
		s.bus.setAway(false)
		synctest.Wait()
		s.wantOpen(false, true)
	})
}

func TestAnEmptyRedisFreezesUntilANewerEpoch(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.put(cluster.Assignment{})
		s.bus.putMode(hostB, hostA)
		s.pass(5 * time.Second)
		s.wantOpen(true, false)
		if r := s.bus.report(s.T, hostA, "one"); r.Remembers.Epoch != 5 || !strings.Contains(r.Reason, "frozen") {
			s.Errorf("remembers %d, reason %q", r.Remembers.Epoch, r.Reason)
		}
		s.put(steady(4, 9, hostB, hostA))
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		s.put(steady(6, 1, hostB, hostA))
		s.pass(time.Second)
		s.wantOpen(false, true)
		s.neverBothOpen()
	})
}

func TestAStrangerIsRefusedAndTold(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		const evil = cluster.Endpoint("6.6.6.6:3306")
		s.bus.say(agent.Wake{UniqSign: uniq, Kind: agent.WakeMessage, Named: []cluster.Endpoint{evil, hostB}, Message: "active: 6.6.6.6:3306"})
		s.pass(time.Second)
		if !strings.Contains(s.logs.String(), "no member: refused") {
			s.Error("the stranger in the message is not told")
		}
		s.put(steady(6, 1, evil, hostA))
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if r := s.bus.report(s.T, hostA, "one"); !strings.Contains(r.Reason, "no member") || r.Remembers.Epoch != 5 {
			s.Errorf("reason %q, remembers %d", r.Reason, r.Remembers.Epoch)
		}
		if s.w.dials[evil] != 0 {
			s.Error("the stranger was connected to")
		}
	})
}

func TestConfiguredMembersStandAgainstTheBus(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.snap.Primary, s.bus.snap.Secondary = "6.6.6.6:3306", hostB
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", func(o *agent.Options) {
			o.Members = map[cluster.UniqSign][]cluster.Endpoint{uniq: {hostA, hostB}}
		})
		s.wantOpen(true, false)
	})
}

func TestAPausedOpenerCannotOpen(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		resume := make(chan struct{})
		paused := make(chan struct{})
		s.w.a().beforeWritable = func() { close(paused); <-resume }
		s.agent("slow")
		<-paused
		s.agent("quick")
		s.wantOpen(true, false)
		s.put(revoked(6, hostA, hostB))
		s.pass(100 * time.Millisecond)
		s.want(hostA, "quick", cluster.DeedClosed)
		s.put(opening(6, 2, hostB, hostA, ""))
		s.put(steady(6, 3, hostB, hostA))
		s.pass(time.Second)
		s.wantOpen(false, true)
		close(resume)
		synctest.Wait()
		s.pass(3 * time.Second)
		s.wantOpen(false, true)
		s.neverBothOpen()
	})
}

func TestAnOpeningThatIsNoLongerWantedIsUndone(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostB, hostA))
		s.agent("one")
		s.put(revoked(6, hostB, hostA))
		s.w.a().beforeWritable = func() { s.bus.put(revoked(7, hostA, hostB)) }
		s.put(opening(6, 2, hostA, hostB, ""))
		s.pass(time.Second)
		s.wantOpen(false, false)
		if !strings.Contains(s.logs.String(), "it is closed again") {
			t.Error("the opening was not undone on its own session")
		}
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Closed.Epoch != 7 {
			s.Errorf("closed under %s, want epoch 7", r.Closed)
		}
		s.neverBothOpen()
	})
}

func TestTwoAgentsCloseOneServerAndComeToRest(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.agent("two")
		s.put(revoked(6, hostA, hostB))
		s.pass(2 * time.Second)
		s.want(hostA, "one", cluster.DeedClosed)
		s.want(hostA, "two", cluster.DeedClosed)
		s.w.mu.Lock()
		dials := s.w.dials[hostA]
		s.w.mu.Unlock()
		s.pass(10 * time.Second)
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if again := s.w.dials[hostA] - dials; again > 0 {
			s.Errorf("%d more dials: the agents go on ending each other's sessions", again)
		}
	})
}

// A pair at rest is read as a whole by its own loop only, which also sees that it got other members.
func TestOtherMembersAreSeenByWhoReadsThePair(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(15 * time.Second)
		s.bus.mu.Lock()
		before := s.bus.whole
		s.bus.mu.Unlock()
		s.pass(time.Minute)
		s.bus.mu.Lock()
		if n := s.bus.whole - before; n > 13 {
			s.Errorf("read as a whole %d times in a minute, want once in five seconds", n)
		}
		s.bus.snap.Secondary = "10.0.21.9:3308"
		s.bus.snap.Members = []cluster.Endpoint{hostA, "10.0.21.9:3308"}
		s.bus.mu.Unlock()
		s.pass(5500 * time.Millisecond)
		if !strings.Contains(s.logs.String(), "the members of the pair changed") {
			s.Error("the new member is not seen")
		}
	})
}
