package agent_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// stage is a world, a bus and the agents on it, inside one synctest bubble.
type stage struct {
	*testing.T
	w    *world
	bus  *fakeBus
	logs syncLog
	stop []func()
}

// syncLog is a log that several goroutines write.
type syncLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *syncLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func play(t *testing.T, f func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, w: newWorld(), bus: newFakeBus()}
		defer func() {
			for _, stop := range s.stop {
				stop()
			}
			if t.Failed() {
				t.Log(s.logs.String())
			}
		}()
		f(s)
	})
}

// agent starts an agent and lets it settle.
func (s *stage) agent(id string, with ...func(*agent.Options)) (stop func()) {
	s.Helper()
	o := agent.Options{ID: id, Bus: s.bus, Node: s.w.node, Cause: causeOf, TryOnFailure: 3,
		Log: zerolog.New(&s.logs).With().Str("agent", id).Logger()}
	for _, f := range with {
		f(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			s.Errorf("Run = %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	s.stop = append(s.stop, stop)
	s.pass(100 * time.Millisecond)
	return stop
}

// pass lets d go by and everything come to rest.
func (s *stage) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (s *stage) put(rec cluster.Assignment) {
	s.bus.put(rec)
	synctest.Wait()
}

func (s *stage) want(node cluster.Endpoint, id string, deed cluster.Deed) cluster.Report {
	s.Helper()
	r := s.bus.report(s.T, node, id)
	if r.Deed != deed {
		s.Errorf("%s reports %s as %q (%s), want %q", id, node, r.Deed, r.Reason, deed)
	}
	return r
}

func (s *stage) wantOpen(a, b bool) {
	s.Helper()
	if gotA, gotB := s.w.a().open(), s.w.b().open(); gotA != a || gotB != b {
		s.Errorf("open: a=%v b=%v, want a=%v b=%v", gotA, gotB, a, b)
	}
}

func (s *stage) neverBothOpen() {
	s.Helper()
	if s.w.bothOpen {
		s.Error("both servers were open at one moment")
	}
}

func steady(epoch cluster.Epoch, version uint64, active, passive cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseSteady,
		Active: active, Passive: passive, From: passive, To: active, Proof: cluster.ProofFenced}
}

func revoked(epoch cluster.Epoch, from, to cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: 1, Phase: cluster.PhaseRevoked, From: from, To: to}
}

func opening(epoch cluster.Epoch, version uint64, active, passive cluster.Endpoint, target string) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseOpening,
		Active: active, Passive: passive, From: passive, To: active, Target: target, Proof: cluster.RiskRefused}
}

func switching(epoch cluster.Epoch, version uint64, from, to cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseSwitching,
		Active: from, Passive: to, From: from, To: to}
}

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
		s.put(opening(6, 2, hostB, hostA, uuidA+":1-20"))
		s.wantOpen(false, true)
		r = s.want(hostB, "one", cluster.DeedOpen)
		if r.Opened != (cluster.Order{Epoch: 6, Version: 2}) {
			s.Errorf("opened under %s, want 6.2", r.Opened)
		}
		if len(r.Steps) == 0 || r.Steps[0].Name != "dial" {
			s.Errorf("steps %v do not begin with the dial", r.Steps)
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

func TestAFailoverKillsWhatHoldsTheLock(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().change(func(a *fakeServer) {
			a.locker = 7
			a.clients[7] = agent.Session{ID: 7, User: "app", Kind: agent.SessionApplication}
		})
		s.put(revoked(6, hostA, hostB))
		s.want(hostA, "one", cluster.DeedClosed)
		s.wantOpen(false, false)
	})
}

func TestMariaDBIsNeverStartedOverUnappliedRelayLog(t *testing.T) {
	play(t, func(s *stage) {
		for _, srv := range s.w.servers {
			srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.bus.setAway(true)
		s.pass(2 * time.Second)
		s.w.b().change(func(b *fakeServer) {
			b.held = true
			b.ch.Received = "0-1-20"
			b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo
		})
		s.w.a().kill()
		s.bus.snap.Assignment = revoked(6, hostA, hostB)
		s.bus.setAway(false)
		s.pass(3 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedFailed); !strings.Contains(r.Reason, "throw the rest away") {
			s.Errorf("reason %q", r.Reason)
		}
		if got := s.w.b().stops; len(got) != 0 {
			s.Errorf("threads changed: %v", got)
		}
	})
}

func TestAStoppedApplierIsStartedBeforeReceivingIsStopped(t *testing.T) {
	play(t, func(s *stage) {
		for _, srv := range s.w.servers {
			srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.b().change(func(b *fakeServer) { b.ch.SQL = cluster.ThreadNo })
		s.w.a().change(func(a *fakeServer) { a.executed = "0-1-20" })
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		s.pass(100 * time.Millisecond)
		if r := s.want(hostB, "one", cluster.DeedDrained); r.Executed != "0-1-20" {
			s.Errorf("executed %q", r.Executed)
		}
		if got := s.w.b().stops; len(got) != 2 || got[0] != "start sql" || got[1] != "stop io" {
			s.Errorf("threads changed: %v", got)
		}
	})
}

func TestThePredecessorsModeIsObeyed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.putMode(hostA, hostB)
		s.agent("one")
		s.wantOpen(true, false)
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-30" })
		s.bus.putMode(hostB, hostA)
		s.pass(time.Second)
		s.wantOpen(false, true)
		s.neverBothOpen()
		if !s.w.b().has(uuidA + ":1-30") {
			s.Error("opened before it had everything of the old active")
		}
		s.w.b().kill()
		s.bus.putMode(hostA, hostB)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if r := s.bus.report(s.T, hostA, "one"); r.Deed != cluster.DeedOpen {
			s.Errorf("deed %q (%s)", r.Deed, r.Reason)
		}
	})
}

func TestWithoutARecordNothingIsDone(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.readOnly = false })
		s.w.b().change(func(b *fakeServer) { b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo })
		s.agent("one")
		s.pass(5 * time.Second)
		s.wantOpen(true, false)
		if len(s.w.b().stops) != 0 {
			s.Error("replication was touched")
		}
		if r := s.bus.report(s.T, hostA, "one"); r.Reason == "" || r.Seq < 3 {
			s.Errorf("report %+v: want a reason and a growing number", r)
		}
	})
}

func TestAnIdlePairIsLeftAlone(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(3 * time.Second)
		s.w.mu.Lock()
		dials := fmt.Sprint(s.w.dials)
		s.w.mu.Unlock()
		saved := s.bus.saved
		s.pass(60 * time.Second)
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if now := fmt.Sprint(s.w.dials); now != dials {
			s.Errorf("dials %s, before %s", now, dials)
		}
		if n := s.bus.saved - saved; n > 125 {
			s.Errorf("%d reports in a minute, want about two a second", n)
		}
		if len(s.w.a().stops)+len(s.w.b().stops) != 0 {
			s.Errorf("replication was touched: %v %v", s.w.a().stops, s.w.b().stops)
		}
	})
}
