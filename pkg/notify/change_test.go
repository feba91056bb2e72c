package notify

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestAMailSaysWhatIsKnownOfALoss(t *testing.T) {
	const none = "left behind  none known\n"
	for _, c := range []struct {
		name, kind, want string
		record           cluster.Assignment
	}{
		{"nothing seen", "steady", "left behind  nothing by the last sample", cluster.Assignment{Cause: "failover: refused", Proof: cluster.RiskRefused, Loss: "nothing by the last sample", Estimated: true}},
		{"failover after it was closed", "steady", none, cluster.Assignment{Cause: "failover: refused", Proof: cluster.ProofFenced}},
		{"switchover", "steady", none, cluster.Assignment{Cause: cluster.CauseSwitchover, Proof: cluster.ProofFenced}},
		{"first start", "first start", none, cluster.Assignment{Cause: "first start", Proof: cluster.RiskUnseen}},
		{"counted", "steady", "left behind  at least 3", cluster.Assignment{Cause: "failover: refused", Proof: cluster.RiskRefused, Loss: "at least 3"}},
	} {
		c.record.Phase, c.record.Active, c.record.Passive, c.record.From, c.record.To = cluster.PhaseSteady, nodeB, nodeA, nodeA, nodeB
		body := change{tag: "mysql3308", event: cluster.Event{Kind: c.kind, Assignment: c.record}}.body()
		if !strings.Contains(body, c.want) {
			t.Errorf("%s: does not say %q:\n%s", c.name, c.want, body)
		}
	}
}

func TestAMailTellsARepeatedStepOnce(t *testing.T) {
	var steps []cluster.Step
	for range 10 {
		steps = append(steps, cluster.Step{Name: "note accounts", MS: 1}, cluster.Step{Name: "set read_only", MS: 100, Err: "lock wait timeout"})
	}
	steps = append(steps, cluster.Step{Name: "set read_only", MS: 2.5})
	d := done{stepsOf{cluster.Order{Epoch: 7, Version: 4}, nodeA, "one"}, steps}
	body := change{tag: "mysql3308", event: cluster.Event{Kind: "steady"}, steps: []done{d}}.body()
	_, told, _ := strings.Cut(body, "each with its milliseconds:\n")
	want := "        10.0 ms  note accounts, 10 times together\n      1000.0 ms  set read_only (lock wait timeout), 10 times together\n         2.5 ms  set read_only\n"
	if !strings.HasPrefix(told, want) {
		t.Errorf("got:\n%s\nwant:\n%s", told, want)
	}
}
