package agent_test

import (
	"context"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// An agent that is stopped says so, and takes nothing of what it reported away.
func TestAnAgentThatIsStoppedLeavesALastWord(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(revoked(6, hostA, hostB))
		stop := s.agent("one")
		s.pass(3 * time.Second)
		before := s.want(hostA, "one", cluster.DeedClosed)
		if before.Seq == 0 {
			t.Fatal("an agent at work numbers its reports from 1")
		}
		stop()
		for _, node := range []cluster.Endpoint{hostA, hostB} {
			if r := s.bus.report(t, node, "one"); r.Seq != 0 {
				t.Errorf("%s: the last report has the number %d", node, r.Seq)
			}
		}
		after := s.want(hostA, "one", cluster.DeedClosed)
		if after.Closed != before.Closed || after.Remembers.Order() != before.Remembers.Order() || after.Executed != before.Executed {
			t.Errorf("the last word is %+v, before it %+v", after, before)
		}
		s.agent("one")
		s.pass(time.Second)
		if r := s.want(hostA, "one", cluster.DeedClosed); r.Seq == 0 || r.Closed != before.Closed {
			t.Errorf("after a reload: number %d, closed under %s", r.Seq, r.Closed)
		}
	})
}

// mutedBus saves no report any more, and says so when the caller has no time left.
type mutedBus struct {
	*fakeBus
	muted chan struct{} // closed: from now on
}

func (b *mutedBus) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	select {
	case <-b.muted:
		<-ctx.Done()
		return ctx.Err()
	default:
		return b.fakeBus.SaveReport(ctx, u, r, wake)
	}
}

func TestALastWordHoldsNoStopUpForLong(t *testing.T) {
	play(t, func(s *stage) {
		bus := &mutedBus{fakeBus: s.bus, muted: make(chan struct{})}
		s.bus.put(steady(5, 3, hostA, hostB))
		stop := s.agent("one", func(o *agent.Options) { o.Bus = bus })
		s.pass(2 * time.Second)
		close(bus.muted)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}
