package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func refuse(_ context.Context, _ string, to []string) (Sent, error) {
	return Sent{Left: to}, errors.New("the mail server is busy")
}

func hang(ctx context.Context, _ string, to []string) (Sent, error) {
	<-ctx.Done()
	return Sent{Left: to}, ctx.Err()
}

func TestOneMailPerChangeHoweverManyAgents(t *testing.T) {
	for n := 1; n <= 3; n++ {
		play(t, func(s *scene) {
			for i := range n {
				s.agent(fmt.Sprint("agent", i), nil)
			}
			s.pass(time.Minute)
			s.failover(8)
			s.pass(5 * time.Second)
			s.expect(failoverSubject)
			s.pass(3 * time.Hour)
			s.expect(failoverSubject)
			if !strings.Contains(s.log.String(), `"message":"mail sent"`) {
				s.Error(s.log)
			}
		})
	}
}

func TestWhatAMailSays(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.redis.change(func(snap *cluster.Snapshot) {
			snap.Reports[nodeB] = map[string]cluster.Report{"one": {Steps: []cluster.Step{{Name: "drain", MS: 12.34}, {Name: "read_only=0", MS: 1, Err: "slow\nly"}}, StepsOrder: cluster.Order{Epoch: 8, Version: 1}}}
			snap.Reports[nodeA] = map[string]cluster.Report{"one": {Steps: []cluster.Step{{Name: "of long ago"}}, StepsOrder: cluster.Order{Epoch: 7, Version: 3}}}
		})
		s.pass(time.Second)
		s.failover(8)
		s.pass(time.Second)
		s.expect(failoverSubject)
		m := s.server.mails()[0].mail
		for _, want := range []string{
			"mysql3308: 10.0.21.7:3308 is the active server.", "what         failover 10.0.21.5:3308 -> 10.0.21.7:3308", "epoch        8", "passive      10.0.21.5:3308",
			"cause        failover: refused: 10.0.21.5:3308 refuses connections", "risk         its port refused connections",
			"left behind  at least 3 transactions", "asked by     nobody, it was automatic (identify one)", "reason       10.0.21.7:3308 takes over",
			"       +0.0 ms  seen (refused)", "      +97.0 ms  opened", "Steps of mmm-agent one on 10.0.21.7:3308 under order 8.1", "       12.3 ms  drain", "        1.0 ms  read_only=0 (slow ly)",
			"8.1  revoked: 10.0.21.5:3308 refuses connections", "It is not proved that 10.0.21.5:3308 takes no more writes", "keep its data", "If 10.0.21.5:3308 returns with it, 10.0.21.5:3308 stays closed and is kept out (quarantine)", "it names the commands that show what 10.0.21.5:3308 holds", "failover_block",
			"mmmctl history --tag mysql3308", string(sign),
		} {
			if !strings.Contains(m.Body, want) {
				s.Errorf("the mail does not say %q:\n%s", want, m.Body)
			}
		}
		if strings.Contains(m.Body, "of long ago") {
			s.Errorf("the mail tells of another change:\n%s", m.Body)
		}
		if m.ID == "" || m.Date.IsZero() || m.Headers["X-MMM-Tag"] != "mysql3308" || m.Headers["X-MMM-Epoch"] != "8" {
			s.Errorf("%+v", m)
		}
	})
}

// planned is a switchover from nodeA to nodeB up to the phase.
func (s *scene) switching(cause string) cluster.Assignment {
	a := cluster.Assignment{Epoch: 7, Version: 4, Phase: cluster.PhaseSwitching, Active: nodeA, Passive: nodeB, From: nodeA, To: nodeB, Cause: cause, Actor: "anna@host"}
	s.redis.record(cluster.Event{Kind: "switching", Assignment: a, Reason: "anna@host asked for it: kernel update", Actor: a.Actor})
	return a
}

func TestEveryKindOfChange(t *testing.T) {
	steady := func(a cluster.Assignment, change func(a *cluster.Assignment)) cluster.Assignment {
		a.Version++
		a.Phase = cluster.PhaseSteady
		if change != nil {
			change(&a)
		}
		return a
	}
	done := func(s *scene, cause string) {
		a := s.switching(cause)
		a.Epoch, a.Version, a.Phase, a.Active, a.Passive, a.Proof = 8, 1, cluster.PhaseOpening, nodeB, nodeA, cluster.ProofFenced
		s.redis.record(cluster.Event{Kind: "promoted", Assignment: a, Reason: "same GTIDs", Actor: a.Actor})
		s.redis.record(cluster.Event{Kind: "steady", Assignment: steady(a, nil), Reason: "open"})
	}
	for _, c := range []struct {
		name    string
		do      func(s *scene)
		subject string
		says    []string
	}{
		{"switchover", func(s *scene) { done(s, cluster.CauseSwitchover) }, "switchover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)",
			[]string{"asked by     anna@host", "kernel update", "proof        fence acknowledged", "left behind  none known"}},
		{"fail-back", func(s *scene) { done(s, cluster.CauseFailback) }, "fail-back 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)", nil},
		{"switchover rolled back", func(s *scene) {
			a := s.switching(cluster.CauseSwitchover)
			s.redis.record(cluster.Event{Kind: "rolled back", Reason: "a write was open", Assignment: steady(a, func(a *cluster.Assignment) {
				a.From, a.To, a.Cause = "", "", "switchover rolled back"
			})})
		}, "switchover rolled back 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 7)", []string{"a write was open", "10.0.21.5:3308 is still the active", "asked by     anna@host"}},
		{"the active dies in a switchover", func(s *scene) { s.switching(cluster.CauseSwitchover); s.failover(8) }, "failover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)", []string{"cause        failover: refused"}},
		{"given back", func(s *scene) {
			a := cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, Cause: "failover: hung"}
			s.redis.record(cluster.Event{Kind: "revoked", Assignment: a, Reason: "hung"})
			a = cluster.Assignment{Epoch: 9, Version: 1, Phase: cluster.PhaseOpening, Active: nodeA, Passive: nodeB, From: nodeB, To: nodeA, Proof: cluster.ProofGone, Cause: "the old active is back, the other cannot take over"}
			s.redis.record(cluster.Event{Kind: "given back", Assignment: a, Reason: "back"})
			s.redis.record(cluster.Event{Kind: "steady", Assignment: steady(a, nil)})
		}, "given back 10.0.21.7:3308 -> 10.0.21.5:3308 (epoch 9)", []string{"10.0.21.7:3308 could not take over"}},
		{"first start", func(s *scene) {
			s.redis.record(cluster.Event{Kind: "first start", Reason: "it is the only writable server", Assignment: cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, To: nodeA, Proof: cluster.ProofGone, Cause: "first start"}})
		}, "first start none -> 10.0.21.5:3308 (epoch 1)", []string{"only writable", "proof        no other server was open before"}},
		{"rebuilt", func(s *scene) {
			s.redis.record(cluster.Event{Kind: "rebuilt", Reason: "Redis had no assignment", Assignment: cluster.Assignment{Epoch: 9, Version: 1, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, From: nodeB, To: nodeA, Cause: "Redis lost the assignment"}})
		}, "rebuilt none -> 10.0.21.5:3308 (epoch 9)", []string{"appendonly"}},
		{"the predecessor's agents", func(s *scene) {
			s.redis.record(cluster.Event{Kind: "failover", Reason: "refused", Assignment: cluster.Assignment{Epoch: 9, Version: 1, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB, Proof: cluster.ProofLegacy}})
		}, "failover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 9)", []string{"risk         none (predecessor's agent)"}},
		{"an operator's override", func(s *scene) {
			a := cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, Cause: "operator's override", Actor: "anna@host"}
			s.redis.record(cluster.Event{Kind: "revoked", Assignment: a, Reason: "anna@host takes the role: fire", Actor: a.Actor})
			a.Version, a.Active, a.Passive, a.Proof = 2, nodeB, nodeA, cluster.ProofOperator
			a.Loss, a.Estimated = "nothing by the last sample of 10.0.21.5:3308; and what it took after that", true
			s.redis.record(cluster.Event{Kind: "steady", Assignment: steady(a, nil)})
		}, "failover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)", []string{
			"risk         no proof that the old active is closed: decided by an operator's override\n", "asked by     anna@host", "left behind  nothing by the last sample of 10.0.21.5:3308; and what it took after that",
			"make sure that no application still writes to it", "replicates again by itself when it is back"}},
		{"a kind of a later version", func(s *scene) {
			s.redis.record(cluster.Event{Kind: "eligible", Assignment: cluster.Assignment{Epoch: 7, Version: 2, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB}})
			s.redis.record(cluster.Event{Kind: "teleported", Assignment: cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB}})
		}, "teleported 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)", nil},
		{"nothing that is a change", func(s *scene) {
			for i, kind := range []string{"eligible", "loss known", "unblocked", "announced again", "unreadable", "dusted"} {
				s.redis.record(cluster.Event{Kind: kind, Assignment: cluster.Assignment{Epoch: 7, Version: uint64(i), Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB}})
			}
		}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.redis.change(func(snap *cluster.Snapshot) { snap.Verdict = &cluster.Verdict{Tag: "mysql3308"} })
				s.agent("one", nil)
				s.agent("two", nil)
				s.pass(time.Second)
				c.do(s)
				s.pass(time.Minute)
				if c.subject == "" {
					s.expect()
					return
				}
				s.expect("[mmm] mysql3308: " + c.subject)
				for _, want := range c.says {
					if body := s.server.mails()[0].mail.Body; !strings.Contains(body, want) {
						s.Errorf("the mail does not say %q:\n%s", want, body)
					}
				}
			})
		})
	}
}

func TestWithoutATagThePairHasItsUniqsign(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.redis.record(cluster.Event{Kind: "first start", Assignment: cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB}})
		s.pass(time.Second)
		s.expect("[mmm] " + string(sign) + ": first start none -> 10.0.21.5:3308 (epoch 1)")
	})
}

// The agent that has claimed dies while it sends: another one does.
func TestTheClaimingAgentDies(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(hang)
		stop := s.agent("one", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(time.Second) // one has the claim and hangs
		if s.server.tried() != 1 {
			s.Fatalf("%d tries", s.server.tried())
		}
		stop()
		s.server.set(nil)
		s.agent("two", nil)
		s.agent("three", nil)
		s.pass(30 * time.Second)
		s.expect() // the claim still holds
		s.pass(ClaimTTL)
		s.expect(failoverSubject)
	})
}

// An agent dies between the mail server's yes and the record: the one case of a
// second mail, which can be recognised.
func TestACrashBetweenSendingAndRecording(t *testing.T) {
	play(t, func(s *scene) {
		stop := s.agent("one", nil)
		s.pass(time.Second)
		s.server.set(func(_ context.Context, _ string, to []string) (Sent, error) {
			s.redis.setAway(true)
			return Sent{To: to}, nil
		})
		s.failover(8)
		s.pass(2 * time.Second)
		stop()
		s.server.set(nil)
		s.redis.setAway(false)
		s.agent("two", nil)
		s.pass(2 * ClaimTTL)
		s.expect(failoverSubject, failoverSubject)
		if m := s.server.mails(); m[0].mail.ID != m[1].mail.ID || m[0].mail.ID == "" {
			s.Errorf("the two cannot be recognised as one: %q and %q", m[0].mail.ID, m[1].mail.ID)
		}
	})
}

// Redis goes away between the mail server's yes and the record, the agent lives.
func TestRedisIsAwayWhenItIsToBeRecorded(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.pass(time.Second)
		s.server.set(func(_ context.Context, _ string, to []string) (Sent, error) {
			s.redis.setAway(true)
			return Sent{To: to}, nil
		})
		s.failover(8)
		s.pass(20 * time.Second)
		s.redis.setAway(false)
		s.server.set(nil)
		s.pass(2 * time.Second)
		s.agent("two", nil)
		s.pass(2 * ClaimTTL)
		s.expect(failoverSubject)
	})
}

func TestAReloadLosesAndDoublesNothing(t *testing.T) {
	play(t, func(s *scene) {
		memory := NewMemory()
		s.server.set(hang)
		stop := s.agent("one", memory)
		s.agent("two", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(time.Second)
		for range 5 {
			began := time.Now()
			stop()
			if d := time.Since(began); d > time.Second {
				s.Errorf("the end took %s", d)
			}
			stop = s.agent("one", memory)
			s.pass(2 * time.Second)
		}
		s.server.set(nil)
		stop()
		stop = s.agent("one", memory)
		s.pass(5 * time.Minute)
		s.expect(failoverSubject)
		// A change that happens while nothing runs is told afterwards.
		stop()
		s.failover(10)
		s.agent("one", memory)
		s.pass(5 * time.Minute)
		s.expect(failoverSubject, strings.Replace(failoverSubject, "epoch 8", "epoch 10", 1))
	})
}

// A mail under way when the service is to end gets a moment to arrive, and is not sent again.
func TestTheEndWaitsForAMailUnderWay(t *testing.T) {
	play(t, func(s *scene) {
		memory := NewMemory()
		s.server.set(func(ctx context.Context, _ string, to []string) (Sent, error) {
			select {
			case <-time.After(100 * time.Millisecond):
				return Sent{To: to}, nil
			case <-ctx.Done():
				return Sent{Left: to}, ctx.Err()
			}
		})
		stop := s.agent("one", memory)
		s.pass(time.Second)
		s.failover(8)
		s.pass(settle + 20*time.Millisecond)
		stop()
		s.agent("one", memory)
		s.agent("two", nil)
		s.pass(5 * time.Minute)
		s.expect(failoverSubject)
		if n := s.server.tried(); n != 1 {
			s.Errorf("%d tries, want one", n)
		}
	})
}

func TestAnAgentThatStartsTellsNothingOld(t *testing.T) {
	play(t, func(s *scene) {
		s.failover(6)
		s.pass(Window + time.Minute)
		s.failover(8)
		s.pass(Window - time.Minute)
		s.agent("one", nil)
		s.pass(time.Hour)
		s.expect(failoverSubject)
	})
}

// What an agent tried in vain is old when another starts, and still owed.
func TestWhatIsOwedIsToldThoughItIsOld(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(refuse)
		stop := s.agent("one", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(Window + 5*time.Minute)
		stop()
		s.server.set(nil)
		s.agent("two", nil)
		s.pass(2 * time.Minute)
		s.expect(failoverSubject)
	})
}

func TestAMailIsTriedAgainAndGivenUp(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(refuse)
		s.agent("one", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(time.Minute)
		if n := s.server.tried(); n < 4 || n > 5 {
			s.Errorf("%d tries in the first minute", n)
		}
		if !strings.Contains(s.log.String(), "mail not sent yet") || !strings.Contains(s.log.String(), "the mail server is busy") {
			s.Error(s.log)
		}
		s.pass(GiveUp + 10*time.Minute)
		tried := s.server.tried()
		if tried < 12 || tried > 25 || !strings.Contains(s.log.String(), "mail given up") {
			s.Errorf("%d tries\n%s", tried, s.log)
		}
		s.server.set(nil)
		s.pass(3 * time.Hour)
		s.expect()
	})
}

// The mail server of one agent is broken, that of the other is not.
func TestAnotherAgentCan(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(func(ctx context.Context, agent string, to []string) (Sent, error) {
			if agent == "one" {
				return refuse(ctx, agent, to)
			}
			return Sent{To: to}, nil
		})
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(2 * ClaimTTL)
		s.expect(failoverSubject)
		if by := s.server.mails()[0].agent; by != "two" {
			s.Errorf("sent by %s", by)
		}
	})
}

func TestReceiversThatAreRefused(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(func(_ context.Context, _ string, to []string) (Sent, error) {
			if slices.Contains(to, "anna") {
				return Sent{To: []string{"anna"}, Left: []string{"ben"}}, errors.New("receiver ben: 451 later")
			}
			return Sent{To: to}, nil
		})
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(time.Hour)
		s.expect(failoverSubject, failoverSubject)
		if m := s.server.mails(); !slices.Equal(m[0].to, []string{"anna"}) || !slices.Equal(m[1].to, []string{"ben"}) || m[0].mail.ID != m[1].mail.ID {
			s.Errorf("%+v", m)
		}
	})
	play(t, func(s *scene) {
		s.server.set(func(context.Context, string, []string) (Sent, error) { return Sent{}, errors.New("550 no such user") })
		s.agent("one", nil)
		s.pass(time.Second)
		s.failover(8)
		s.pass(2 * time.Hour)
		if s.server.tried() != 1 || !strings.Contains(s.log.String(), "mail given up") {
			s.Errorf("%d tries\n%s", s.server.tried(), s.log)
		}
	})
}

func TestRedisIsAway(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Minute)
		s.redis.setAway(true)
		s.failover(8)
		s.pass(20 * time.Minute)
		s.expect()
		s.redis.setAway(false)
		s.pass(time.Minute)
		s.expect(failoverSubject)
		if n := strings.Count(s.log.String(), "redis cannot be read"); n != 2 {
			s.Errorf("said %d times that Redis is away", n)
		}
	})
}

// A Redis that comes back empty has another audit trail, perhaps of an older clock.
func TestRedisComesBackEmpty(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.pass(time.Minute)
		s.failover(8)
		s.pass(time.Minute)
		s.redis.change(func(snap *cluster.Snapshot) {
			s.redis.events, s.redis.notices = nil, map[string]*fakeNotice{}
			snap.Incarnation, snap.Assignment = "", cluster.Assignment{}
		})
		s.pass(time.Minute)
		s.redis.change(func(snap *cluster.Snapshot) {
			snap.Incarnation = "two"
			a := cluster.Assignment{Epoch: 9, Version: 1, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA}
			s.redis.events = []cluster.Event{{ID: fmt.Sprintf("%d-0", time.Now().Add(-5*time.Minute).UnixMilli()), Kind: "rebuilt", Assignment: a}}
		})
		s.pass(time.Minute)
		s.expect(failoverSubject, "[mmm] mysql3308: rebuilt none -> 10.0.21.7:3308 (epoch 9)")
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(refuse)
		memory := NewMemory()
		s.agent("one", memory)
		s.pass(time.Second)
		for epoch := range cluster.Epoch(mostLetters + 20) {
			s.failover(epoch + 1)
		}
		s.pass(time.Second)
		memory.queue.mu.Lock()
		n := len(memory.queue.letters)
		memory.queue.mu.Unlock()
		if n != mostLetters || strings.Count(s.log.String(), "too many mails wait") != 20 {
			s.Errorf("%d letters wait", n)
		}
	})
}

// held says what identify thinks.
func (s *scene) held(code string, held bool) {
	s.redis.change(func(snap *cluster.Snapshot) {
		snap.Assignment = cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB}
		if !held {
			snap.Assignment = cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA}
		}
		snap.Verdict = &cluster.Verdict{Tag: "mysql3308", Held: held, Reason: cluster.Reason{Code: code, Text: "because of " + code}}
	})
}

const (
	heldSubject   = "[mmm] mysql3308: held for more than a minute, no server takes writes, last active 10.0.21.5:3308 (epoch 8)"
	nobodySubject = "[mmm] mysql3308: nobody could take over from 10.0.21.5:3308 (epoch 8)"
	overSubject   = "[mmm] mysql3308: hold over, 10.0.21.7:3308 is active (epoch 8)"
)

func TestAHoldIsToldOnceAndSoIsItsEnd(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.agent("three", nil)
		s.pass(time.Minute)
		for round := 1; round <= 2; round++ {
			s.held("wait-proof", true)
			s.pass(HeldFor - 5*time.Second)
			if n := len(s.server.mails()); n != 2*(round-1) {
				s.Fatalf("%q", s.server.subjects())
			}
			s.pass(time.Hour)
			if n := len(s.server.mails()); n != 2*round-1 {
				s.Fatalf("%q", s.server.subjects())
			}
			s.held("steady", false)
			s.pass(time.Hour)
		}
		s.expect(heldSubject, overSubject, heldSubject, overSubject)
		m := s.server.mails()
		if m[0].mail.ID == m[2].mail.ID || m[1].mail.ID == m[3].mail.ID {
			s.Error("two occurrences cannot be told apart")
		}
		if !strings.Contains(m[0].mail.Body, "because of wait-proof") || !strings.Contains(m[0].mail.Body, "10.0.21.5:3308, 10.0.21.7:3308") {
			s.Error(m[0].mail.Body)
		}
	})
}

func TestAShortHoldIsNotTold(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		for range 20 {
			s.held("wait-drain", true)
			s.pass(HeldFor - 10*time.Second)
			s.held("steady", false)
			s.pass(time.Second)
		}
		s.pass(time.Hour)
		s.expect()
	})
}

func TestNobodyCouldTakeOverIsToldAtOnceAndAlone(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.held("nobody-left", true)
		s.pass(15 * time.Second)
		s.expect(nobodySubject)
		s.held("wait-proof", true) // one is back: it goes on, still held
		s.pass(HeldFor - 5*time.Second)
		s.expect(nobodySubject)
		s.held("nobody-left", true)
		s.pass(time.Hour)
		s.expect(nobodySubject)
		s.held("steady", false)
		s.pass(time.Hour)
		s.expect(nobodySubject, overSubject)
	})
}

// When the hold ends with a change of role, the mail of the change says so.
func TestAHoldThatEndsWithAChange(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		s.redis.change(func(snap *cluster.Snapshot) { snap.Verdict = &cluster.Verdict{Tag: "mysql3308"} })
		s.failover(9)
		s.pass(time.Hour)
		s.expect(heldSubject, strings.Replace(failoverSubject, "epoch 8", "epoch 9", 1))
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		if n := len(s.server.mails()); n != 3 {
			s.Errorf("the next hold is not told: %q", s.server.subjects())
		}
	})
}

// Nobody says anything about the pair while identify is away.
func TestWithoutAVerdictNothingBeginsAndNothingIsOver(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.held("wait-proof", true)
		s.pass(2 * HeldFor)
		s.redis.change(func(snap *cluster.Snapshot) { snap.Verdict = nil })
		s.pass(time.Hour)
		s.held("wait-proof", true)
		s.pass(time.Hour)
		s.expect(heldSubject)
	})
}

// An agent that starts in the middle of a hold finds it told.
func TestAnAgentThatStartsInAHold(t *testing.T) {
	play(t, func(s *scene) {
		stop := s.agent("one", nil)
		s.held("wait-proof", true)
		s.pass(2 * HeldFor)
		stop()
		stop = s.agent("two", nil)
		s.pass(10 * HeldFor)
		s.expect(heldSubject)
		// The end comes while nobody runs; the next hold is told again.
		stop()
		s.held("steady", false)
		s.pass(time.Minute)
		s.agent("three", nil)
		s.pass(5 * time.Minute)
		s.held("wait-proof", true)
		s.pass(2 * HeldFor)
		s.expect(heldSubject, heldSubject)
	})
}

// The mail server is down for the whole of a short hold: it is not told of afterwards.
func TestAHoldThatIsOverBeforeItCouldBeTold(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(refuse)
		s.agent("one", nil)
		s.agent("two", nil)
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		s.held("steady", false)
		s.pass(5 * time.Minute)
		s.server.set(nil)
		s.pass(time.Hour)
		s.expect()
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		s.expect(heldSubject)
	})
}

// The end of a hold cannot be mailed, and the next hold begins: for people it is one.
func TestAHoldThatIsBackBeforeItsEndWasTold(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		s.server.set(refuse)
		s.held("steady", false)
		s.pass(5 * time.Minute)
		s.held("wait-proof", true)
		s.pass(5 * time.Minute)
		s.server.set(nil)
		s.pass(time.Hour)
		s.expect(heldSubject)
		s.held("steady", false)
		s.pass(time.Hour)
		s.expect(heldSubject, overSubject)
	})
}

func (s *scene) report(agent string, node cluster.Endpoint, r cluster.Report) {
	s.redis.change(func(snap *cluster.Snapshot) {
		snap.Assignment = cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, Loss: "it has 1 transaction"}
		snap.Verdict = &cluster.Verdict{Tag: "mysql3308"}
		r.Agent, r.Node, r.Order = agent, node, snap.Assignment.Order()
		if snap.Reports[node] == nil {
			snap.Reports[node] = map[string]cluster.Report{}
		}
		snap.Reports[node][agent] = r
	})
}

func TestAQuarantineIsToldOnce(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		q := cluster.Report{Deed: cluster.DeedQuarantine, Errant: "0-1-17", Reason: "it has transactions that the active lacks: 0-1-17"}
		s.report("one", nodeA, q)
		s.report("two", nodeA, q)
		s.pass(20 * time.Second)
		const subject = "[mmm] mysql3308: quarantine 10.0.21.5:3308 (epoch 8)"
		s.expect(subject)
		for _, want := range []string{"errant       0-1-17", "left behind  it has 1 transaction", "active       10.0.21.7:3308", "Look at these transactions: mmmctl rejoin --tag mysql3308 --node 10.0.21.5:3308\n", "mmmctl rejoin --tag mysql3308 --node 10.0.21.5:3308 --discard\n", "rebuild 10.0.21.5:3308"} {
			if body := s.server.mails()[0].mail.Body; !strings.Contains(body, want) {
				s.Errorf("the mail does not say %q:\n%s", want, body)
			}
		}
		// Away, at work, or one agent that does not know yet: it is not over.
		s.report("one", nodeA, cluster.Report{Deed: cluster.DeedUnreachable})
		s.report("two", nodeA, cluster.Report{Deed: cluster.DeedWorking})
		s.pass(time.Hour)
		s.report("two", nodeA, q)
		s.report("one", nodeA, cluster.Report{Deed: cluster.DeedClosed})
		s.pass(time.Hour)
		s.expect(subject)
		// A word from before the last change of role says nothing.
		s.redis.change(func(snap *cluster.Snapshot) {
			r := snap.Reports[nodeA]["two"]
			r.Deed, r.Order.Epoch = cluster.DeedClosed, 7
			snap.Reports[nodeA]["two"] = r
			r.Agent = "one"
			snap.Reports[nodeA]["one"] = r
		})
		s.pass(time.Hour)
		s.expect(subject)
		s.report("one", nodeA, cluster.Report{Deed: cluster.DeedClosed})
		s.report("two", nodeA, cluster.Report{Deed: cluster.DeedClosed})
		s.pass(time.Hour)
		s.expect(subject, "[mmm] mysql3308: out of quarantine 10.0.21.5:3308 (epoch 8)")
	})
}

// Where the active may be the one that lacks something, the mail does not begin with how to discard it.
func TestAQuarantineBesideAnotherActiveSaysSo(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.report("one", nodeA, cluster.Report{Deed: cluster.DeedQuarantine, Errant: "0-1-17", Reason: "errant"})
		s.redis.change(func(snap *cluster.Snapshot) {
			snap.Assignment.Known = map[cluster.Endpoint]string{nodeB: "2"}
			snap.Observations = map[cluster.Endpoint]map[string]cluster.Observation{nodeB: {"m": {Server: cluster.Server{Flavor: cluster.MariaDB, Identity: "7"}}}}
		})
		s.pass(20 * time.Second)
		const want = "What to do:\n* Find out first which of both has the data. Of 10.0.21.7:3308, the active: another server than before is behind this address: its server_id is 7, and was 2.\n* Look"
		if body := s.server.mails()[0].mail.Body; !strings.Contains(body, want) {
			s.Error(body)
		}
	})
}

func TestMissingGrantsAreToldOnce(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		note := cluster.Report{Deed: cluster.DeedClosed, Notes: []cluster.Reason{{Code: cluster.NoteEpochRow, Text: "other"}, {Code: cluster.NoteGrants, Text: "CREATE USER is missing"}}}
		s.report("one", nodeA, cluster.Report{Deed: cluster.DeedClosed})
		s.report("two", nodeA, note)
		s.pass(time.Minute)
		const subject = "[mmm] mysql3308: grants missing on 10.0.21.5:3308 (epoch 8)"
		s.expect(subject)
		if body := s.server.mails()[0].mail.Body; !strings.Contains(body, "CREATE USER is missing") || !strings.Contains(body, "mmmctl check") || strings.Contains(body, "other") {
			s.Error(body)
		}
		s.report("two", nodeA, cluster.Report{Deed: cluster.DeedClosed})
		s.pass(time.Hour)
		s.expect(subject) // its end is no news
		s.report("one", nodeA, note)
		s.pass(time.Minute)
		s.expect(subject, subject)
	})
}

// A mail server that hangs holds up mails and nothing else: the pair is read, and
// every mail arrives when it recovers.
func TestAMailServerThatHangs(t *testing.T) {
	play(t, func(s *scene) {
		s.server.set(hang)
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.failover(8)
		s.failover(10)
		s.pass(20 * time.Minute)
		s.expect()
		s.server.set(nil)
		s.pass(10 * time.Minute)
		got := s.server.subjects()
		slices.Sort(got)
		if want := []string{strings.Replace(failoverSubject, "epoch 8", "epoch 10", 1), failoverSubject}; !slices.Equal(got, want) {
			s.Errorf("%q", got)
		}
	})
}

func TestOnlyThePairsNamed(t *testing.T) {
	play(t, func(s *scene) {
		ctx, cancel := context.WithCancel(s.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(Options{ID: "one", Bus: s.redis, Send: fakeSender{s.server, "one"}, Only: []cluster.UniqSign{}}).Run(ctx)
		}()
		s.failover(8)
		s.pass(time.Minute)
		s.expect()
		cancel()
		<-done
	})
}
