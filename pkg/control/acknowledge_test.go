package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

func TestAcknowledge(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer cluster.RequestState
		spoil  func(*fakeBus)
		exit   int
		filed  int
	}{
		{"the block is lifted", cluster.RequestDone, func(*fakeBus) {}, 0, 1},
		{"nothing is blocked", cluster.RequestRefused, func(*fakeBus) {}, ExitRefused, 1},
		{"nobody leads", cluster.RequestDone, func(b *fakeBus) { b.snap.Leader = cluster.Leader{} }, ExitFailed, 0},
		{"a switchover is under way", cluster.RequestDone, func(b *fakeBus) {
			b.snap.Request = &cluster.Request{ID: "other", Verb: cluster.VerbSwitchover, State: cluster.RequestRunning, Actor: "eve"}
		}, ExitRefused, 0},
		{"the bus is down", cluster.RequestDone, func(b *fakeBus) { b.down = errDown }, ExitUnreachable, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBus()
			c.spoil(b)
			b.onFile = func(b *fakeBus) {
				b.change(func(s *cluster.Snapshot) {
					q := *s.Request
					q.State, q.Answer = c.answer, "identify's own words"
					s.Request = &q
				})
			}
			out, err := service(b).Acknowledge(context.Background(), Asked{Pair: pair, Reason: "looked at it"})
			exit := 0
			if e, is := errors.AsType[*Error](err); is {
				exit = e.Exit
			}
			if exit != c.exit || len(b.filed) != c.filed {
				t.Fatalf("%s: %v (exit %d), filed %v", c.name, err, exit, b.filed)
			}
			if c.filed == 0 {
				return
			}
			if r := b.filed[0]; r.Verb != failover.VerbAcknowledge || r.Actor != "dba@jump" || r.Reason != "looked at it" || r.ID == "" {
				t.Errorf("%s: filed %+v", c.name, r)
			}
			if out.State != c.answer || !strings.Contains(out.Answer, "own words") || out.Active != nodeA || out.Epoch != 7 {
				t.Errorf("%s: %+v", c.name, out)
			}
		})
	}
}
