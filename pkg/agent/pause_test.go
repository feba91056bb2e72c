package agent_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// While the pair is paused a person may stop replication; the agent starts it
// again when the pause is over, and at once without one.
func TestAPauseLeavesReplicationAlone(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(time.Second)
		stop := func() { s.w.b().change(func(b *fakeServer) { b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo }) }
		runs := func() bool {
			s.w.mu.Lock()
			defer s.w.mu.Unlock()
			return s.w.b().ch.Replicates(hostA)
		}
		pause := func(p *cluster.Pause) {
			s.bus.mu.Lock()
			s.bus.snap.Pause = p
			s.bus.mu.Unlock()
			s.bus.say(agent.Wake{UniqSign: uniq, Kind: agent.WakePause})
			s.pass(10 * time.Millisecond)
		}
		stop()
		s.pass(1500 * time.Millisecond)
		if !runs() {
			s.Error("a stop by hand is not undone without a pause")
		}
		pause(&cluster.Pause{Actor: "anna", Reason: "backup"})
		stop()
		s.pass(time.Minute)
		if r := s.want(hostB, "one", cluster.DeedClosed); runs() || r.Reason != "paused: replication is left alone (mmmctl resume)" {
			s.Errorf("replicates %v, reason %q", runs(), r.Reason)
		}
		pause(nil)
		if r := s.want(hostB, "one", cluster.DeedClosed); !runs() || r.Reason != "" {
			s.Errorf("replicates %v, reason %q", runs(), r.Reason)
		}
		// A switchover by hand goes its way.
		pause(&cluster.Pause{Actor: "anna"})
		s.put(switching(5, 4, hostA, hostB))
		s.pass(time.Second)
		s.want(hostA, "one", cluster.DeedClosed)
		s.want(hostB, "one", cluster.DeedCaughtUp)
	})
}
