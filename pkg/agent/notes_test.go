package agent_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestNotesOfTheProcessStandInEachReport(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", func(o *agent.Options) { o.Notes = []cluster.Reason{{Code: cluster.NoteMail, Text: "no mail"}} })
		s.pass(2 * time.Second)
		for _, host := range []cluster.Endpoint{hostA, hostB} {
			if r := s.bus.report(s.T, host, "one"); !hasNote(r, cluster.NoteMail) {
				s.Errorf("%s: notes %v", host, r.Notes)
			}
		}
	})
}
