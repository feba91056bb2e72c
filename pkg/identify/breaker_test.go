package identify_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
)

// silence publishes that a has not answered for 3 s, and that b has.
func (l *lab) silence(cause cluster.Cause) {
	l.seq++
	ms := time.Since(l.began).Milliseconds() + 5000
	server := cluster.Server{Flavor: cluster.MariaDB, GTIDMode: true, Executed: "0-1-10", Identity: "2", ReadOnly: cluster.Yes,
		Channel: cluster.Channel{Configured: true, GTID: true, Source: hostA, IO: cluster.ThreadConnecting, SQL: cluster.ThreadYes}}
	lost := cluster.Observation{Monitor: "m", Run: "r", Seq: l.seq, Node: hostA, Cause: cause, Broken: true,
		BeganMS: ms, EndedMS: ms, LastGoodMS: ms - 3000, UnansweredMS: 4000}
	seen := cluster.Observation{Monitor: "m", Run: "r", Seq: l.seq, Node: hostB, BeganMS: ms, EndedMS: ms, LastGoodMS: ms, FullMS: ms, Server: server}
	for _, o := range []cluster.Observation{lost, seen} {
		if _, err := l.bus.PublishObservation(l.t.Context(), sign, o, nil, time.Minute, true); err != nil {
			l.t.Fatal(err)
		}
	}
	l.wake()
}

// others publishes further pairs; silent of them have told that they are.
func (l *lab) others(silent ...cluster.UniqSign) {
	for _, u := range []cluster.UniqSign{"one", "two", "three"} {
		p := pair()
		p.UniqSign = u
		if err := l.bus.PublishPair(l.t.Context(), p); err != nil {
			l.t.Fatal(err)
		}
	}
	for _, u := range silent {
		if _, err := l.bus.TellSilent(l.t.Context(), u); err != nil {
			l.t.Fatal(err)
		}
	}
}

func TestManySilentPairsHoldAFailoverUntilTheyAnswer(t *testing.T) {
	l := newLab(t)
	l.others("one", "two")
	l.start("me", l.newBus(), nil)
	l.see()
	l.until("the passive to be eligible", func(a cluster.Assignment) bool { return len(a.Eligible) == 1 })
	l.until("the breaker", func(a cluster.Assignment) bool {
		l.silence(cluster.CauseConnectTimeout)
		if a.Epoch != 1 {
			t.Fatalf("the role moved: %+v", a)
		}
		snap, err := l.bus.Snapshot(t.Context(), sign)
		v := snap.Verdict
		return err == nil && v != nil && v.Held && len(v.Blockers) == 1 && v.Blockers[0].Code == failover.Breaker &&
			v.Blockers[0].Text[:len("3 of 4 pairs")] == "3 of 4 pairs"
	})
	if err := l.bus.TellOver(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	l.until("the failover", func(a cluster.Assignment) bool {
		l.silence(cluster.CauseConnectTimeout)
		return a.Epoch == 2 && a.Active == hostB
	})
	l.until("it to be taken back, since the new active answers", func(cluster.Assignment) bool {
		l.silence(cluster.CauseConnectTimeout)
		count, err := l.bus.TellSilent(t.Context(), "one")
		return err == nil && count.Silent == 1
	})
}

// mute is a bus that cannot be asked how many are silent.
type mute struct{ identify.Bus }

func (mute) TellSilent(context.Context, cluster.UniqSign) (failover.Silence, error) {
	return failover.Silence{}, errors.New("not today")
}

func TestABreakerThatCannotBeAskedHoldsNothing(t *testing.T) {
	l := newLab(t)
	l.others("one", "two", "three")
	l.start("me", mute{l.newBus()}, nil)
	l.see()
	l.until("the passive to be eligible", func(a cluster.Assignment) bool { return len(a.Eligible) == 1 })
	l.until("the failover", func(a cluster.Assignment) bool {
		l.silence(cluster.CauseConnectTimeout)
		return a.Epoch == 2 && a.Active == hostB
	})
}

func TestARefusedDeathAsksNobody(t *testing.T) {
	l := newLab(t)
	l.others("one", "two", "three")
	l.start("me", l.newBus(), nil)
	l.see()
	l.until("the passive to be eligible", func(a cluster.Assignment) bool { return len(a.Eligible) == 1 })
	l.until("the failover", func(a cluster.Assignment) bool {
		l.silence(cluster.CauseRefused)
		return a.Epoch == 2 && a.Active == hostB
	})
	if members, err := l.redis.ZMembers("mmm:silent"); err != nil || len(members) != 3 {
		t.Errorf("told %v (%v), want the others alone", members, err)
	}
}
