package agent_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestAReportThatStandsStillIsRemoved(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(6, 3, hostA, hostB))
		say := func(agent string, seq uint64) {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			all := s.bus.snap.Reports
			if all[hostB] == nil {
				all[hostB] = map[string]cluster.Report{}
			}
			all[hostB][agent] = cluster.Report{Agent: agent, Node: hostB, Seq: seq}
		}
		there := func(agent string) bool {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			_, there := s.bus.snap.Reports[hostB][agent]
			return there
		}
		say("gone", 7)
		say("alive", 7)
		s.agent("one")
		s.pass(9 * time.Minute)
		if !there("gone") {
			s.Error("a report was removed after 9 minutes")
		}
		say("alive", 8)
		s.pass(2 * time.Minute)
		if there("gone") {
			s.Error("a report that stood still for 11 minutes is still there")
		}
		if !there("alive") || !there("one") {
			s.Error("the report of an agent that goes on was removed")
		}
	})
}
