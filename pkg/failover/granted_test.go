package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A switchover is refused for want of a privilege by what the agents say that are
// at work: one that is gone neither helps nor hinders.
func TestOnlyAgentsAtWorkTellOfGrants(t *testing.T) {
	const hint = "(mmmctl check shows the GRANT)"
	poor := []cluster.Reason{{Code: cluster.NoteGrants, Text: "the agent's account lacks SUPER " + hint}}
	bare := []cluster.Reason{{Code: cluster.NoteGrants, Text: "1227 access denied"}}
	for name, c := range map[string]struct {
		here, gone []cluster.Reason // notes of the agent at work, and of the one that is gone
		nobody     bool             // no agent is at work
		refused    bool
	}{
		"both have all":               {},
		"the one that is gone lacks":  {gone: poor},
		"the one that is gone had it": {here: poor, refused: true},
		"both lack":                   {here: bare, gone: poor, refused: true},
		"nobody is at work":           {gone: poor, nobody: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			reports := map[string]cluster.Report{"gone": {Node: "a:1", Agent: "gone", Seq: 9, Notes: c.gone}}
			w.view.Snapshot.Reports["a:1"] = reports
			w.decide()
			w.now += AgentAway + time.Second
			if !c.nobody {
				reports["here"] = cluster.Report{Node: "a:1", Agent: "here", Seq: 1, Notes: c.here}
			}
			w.decide()
			no, ok := newSituation(w.state, &w.view, &w.policy, w.now).member("a:1").granted()
			if ok == c.refused {
				t.Errorf("granted %v: %s", ok, no)
			}
			if c.refused && (strings.Count(no.Text, hint) != 1 || !strings.Contains(no.Text, strings.TrimSuffix(c.here[0].Text, " "+hint))) {
				t.Errorf("said %q", no.Text)
			}
		})
	}
}
