package status

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// The alarm about an old active that may be open lasts until that has been seen closed.
func TestARiskIsOverOnceTheOldActiveWasSeenClosed(t *testing.T) {
	const alarm = "▲ no proof that the old active is closed: risk: its port refused connections"
	const over = "no proof when the role moved (its port refused connections); 10.0.21.7:3308 has been seen closed since"
	closed := cluster.Report{Seq: 900, Deed: cluster.DeedUnreachable, Closed: cluster.Order{Epoch: 8, Version: 3}}
	for _, c := range []struct {
		name   string
		spoil  func(*cluster.Snapshot)
		closed bool
	}{
		{"it is down", func(s *cluster.Snapshot) { spoil(s, nodeB, down(cluster.CauseRefused)) }, false},
		{"it is back, and open", func(s *cluster.Snapshot) {
			spoil(s, nodeB, func(o *cluster.Observation) { o.Server.ReadOnly = cluster.No })
		}, false},
		{"it is closed", func(*cluster.Snapshot) {}, true},
		{"an agent had closed it before it went down", func(s *cluster.Snapshot) {
			spoil(s, nodeB, down(cluster.CauseRefused))
			s.Reports[nodeB] = map[string]cluster.Report{"one": closed}
		}, true},
		{"an agent had closed it in an epoch before", func(s *cluster.Snapshot) {
			spoil(s, nodeB, down(cluster.CauseRefused))
			closed := closed
			closed.Closed.Epoch = 7
			s.Reports[nodeB] = map[string]cluster.Report{"one": closed}
		}, false},
		{"it had replicated before it went down", func(s *cluster.Snapshot) {
			spoil(s, nodeB, down(cluster.CauseRefused))
			s.Assignment.Eligible = []cluster.Endpoint{nodeB}
		}, true},
	} {
		r := sceneReport(t, func(_ *Subject, s *cluster.Snapshot) {
			s.Assignment.Epoch, s.Assignment.Proof, s.Assignment.Eligible = 8, cluster.RiskRefused, nil
			s.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
			c.spoil(s)
		})
		var tree bytes.Buffer
		if err := Tree(&tree, r, Style{}); err != nil {
			t.Fatal(err)
		}
		if got := tree.String(); strings.Contains(got, alarm) == c.closed || strings.Contains(got, over) != c.closed {
			t.Errorf("%s: closed since %v\n%s", c.name, c.closed, got)
		}
		if a := r.Tags[0].Assignment; a.ClosedSince != c.closed || !a.Risk {
			t.Errorf("%s: risk %v, closed since %v", c.name, a.Risk, a.ClosedSince)
		}
	}
}

// An agent that was stopped in order leaves its reports behind too.
func TestAnAgentThatStandsStillNeedNotHaveBeenKilled(t *testing.T) {
	no := false
	r := Report{Tags: []Tag{{Tag: "mysql3308", Daemons: &Daemons{}, Servers: []Server{{Node: nodeA, Agents: []AgentView{{Name: "one", Heard: &no}}}}}}}
	var tree bytes.Buffer
	if err := Tree(&tree, r, Style{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tree.String(), "agents that stand still: 1 (stopped, killed or hung)") {
		t.Error(tree.String())
	}
}
