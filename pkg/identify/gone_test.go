package identify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// A last word goes as soon as another agent reports on the server, and not while
// the roles move; the last report of a server never goes.
func TestWhichReportsGo(t *testing.T) {
	const a, b = cluster.Endpoint("10.0.0.1:3306"), cluster.Endpoint("10.0.0.2:3306")
	const dead, late, working = 7, 8, 9 // numbers: only that of the one at work moves
	for name, c := range map[string]struct {
		phase   cluster.Phase
		reports map[cluster.Endpoint]map[string]uint64
		want    string
	}{
		"the one that came after it is at work": {reports: map[cluster.Endpoint]map[string]uint64{
			a: {"stopped": 0, "next": working}, b: {"stopped": 0, "next": working}}, want: "stopped of a, stopped of b"},
		"the one that came after it works elsewhere": {reports: map[cluster.Endpoint]map[string]uint64{
			a: {"stopped": 0}, b: {"stopped": 0, "next": working}}, want: "stopped of b"},
		"the roles move": {phase: cluster.PhaseRevoked, reports: map[cluster.Endpoint]map[string]uint64{
			a: {"stopped": 0, "next": working, "killed": dead}}, want: "killed of a"},
		"nobody came":       {reports: map[cluster.Endpoint]map[string]uint64{a: {"stopped": 0}, b: {"stopped": 0}}},
		"both were stopped": {reports: map[cluster.Endpoint]map[string]uint64{a: {"stopped": 0, "too": 0}}},
		"the other was killed": {reports: map[cluster.Endpoint]map[string]uint64{
			a: {"stopped": 0, "killed": dead}}},
		"the other was killed a little while ago": {reports: map[cluster.Endpoint]map[string]uint64{
			a: {"stopped": 0, "killed": late}}},
	} {
		t.Run(name, func(t *testing.T) {
			pair := cluster.Pair{Tag: "t", UniqSign: "u", Primary: a, Secondary: b, ServiceMode: cluster.ActivePassive}
			s := New(Options{Policy: failover.Policy{Pair: pair, MaxLoss: -1}, Logger: zerolog.Nop()})
			now := s.now()
			phase := c.phase
			if phase == "" {
				phase = cluster.PhaseSteady
			}
			look := func(at time.Duration) cluster.Snapshot {
				snap := cluster.Snapshot{UniqSign: "u", Assignment: cluster.Assignment{Epoch: 1, Version: 1, Phase: phase, Active: a, Passive: b},
					Reports: map[cluster.Endpoint]map[string]cluster.Report{}}
				for node, byAgent := range c.reports {
					snap.Reports[node] = map[string]cluster.Report{}
					for agent, seq := range byAgent {
						if seq == working || seq == 0 {
							continue // the one is yet to come, the other yet to stop
						}
						if seq == late && at < -time.Minute {
							seq = 1
						}
						snap.Reports[node][agent] = cluster.Report{Node: node, Agent: agent, Seq: seq}
					}
				}
				s.state, _ = failover.Decide(s.state, failover.View{Snapshot: snap}, s.o.Policy, now+at)
				return snap
			}
			look(-2 * time.Minute)
			look(-30 * time.Second)
			snap := look(-20 * time.Second)
			for node, byAgent := range c.reports {
				for agent, seq := range byAgent {
					if seq == working || seq == 0 {
						snap.Reports[node][agent] = cluster.Report{Node: node, Agent: agent, Seq: seq}
					}
				}
			}
			s.state, _ = failover.Decide(s.state, failover.View{Snapshot: snap}, s.o.Policy, now)
			var went []string
			for _, r := range s.gone(snap) {
				went = append(went, r.Agent+" of "+map[cluster.Endpoint]string{a: "a", b: "b"}[r.Node])
			}
			slices.Sort(went)
			if got := strings.Join(went, ", "); got != c.want {
				t.Errorf("%s go, want %s", got, c.want)
			}
		})
	}
}
