package status

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// An agent that was stopped is not spoken of beside the one that came after it,
// and where nobody did, it is known at the first look.
func TestAnAgentThatWasStopped(t *testing.T) {
	locked := []cluster.Account{{User: "app", Host: "%"}}
	for name, c := range map[string]struct {
		numbers map[string]uint64
		shown   string
		problem bool
	}{
		"another came after it": {map[string]uint64{"h/stopped": 0, "h/next": 4}, "h/next", false},
		"nobody came":           {map[string]uint64{"h/stopped": 0}, "h/stopped", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			s.Reports = agents(c.numbers)
			stopped := s.Reports[nodeB]["h/stopped"]
			stopped.Locked = locked
			s.Reports[nodeB]["h/stopped"] = stopped
			seen := NewTracker()
			seen.Look(s, now)
			tag := Build(subject(), s, nil, seen, now)
			for _, srv := range tag.Servers {
				if len(srv.Agents) != 1 || srv.Agents[0].Name != c.shown {
					t.Errorf("agents of %s: %+v", srv.Node, srv.Agents)
				}
				if srv.Node == nodeB && len(srv.Locked) != 1 {
					t.Errorf("locked accounts of %s: %v", srv.Node, srv.Locked)
				}
			}
			if got := strings.Join(tag.Daemons.Agents, " "); (got == "") != c.problem || strings.Contains(got, "stopped") {
				t.Errorf("agents at work: %q", got)
			}
			if hasProblem(tag, CodeAgentAway) != c.problem {
				t.Errorf("problems %v", tag.Problems)
			}
			var tree bytes.Buffer
			if err := Tree(&tree, Report{Tags: []Tag{tag}}, Style{}); err != nil {
				t.Fatal(err)
			}
			if got := tree.String(); strings.Contains(got, "no agent is at work on "+string(nodeB)+": h/stopped was stopped") != c.problem || strings.Contains(got, "stand still") {
				t.Errorf("tree:\n%s", got)
			}
		})
	}
}
