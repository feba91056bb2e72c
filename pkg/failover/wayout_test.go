package failover

import (
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestAWayOutNamesTheServerThatHasToReturn(t *testing.T) {
	const a, b = cluster.Endpoint("a:1"), cluster.Endpoint("b:1")
	command := func(to string) string { return `mmmctl failover --tag db --to ` + to + ` --reason "..."` }
	steady := cluster.Assignment{Epoch: 2, Version: 1, Phase: cluster.PhaseSteady, Active: a, Passive: b}
	eligible := steady
	eligible.Eligible = []cluster.Endpoint{b}
	revoked := cluster.Assignment{Epoch: 3, Version: 1, Phase: cluster.PhaseRevoked, From: a, To: b}
	rebuilt := revoked
	rebuilt.Cause = causeRebuilt
	opening := cluster.Assignment{Epoch: 3, Version: 2, Phase: cluster.PhaseOpening, Active: b, Passive: a}
	for _, c := range []struct {
		name    string
		record  cluster.Assignment
		code    string
		blocked []string
		alive   []cluster.Endpoint
		want    []string
		not     []string
	}{
		{"only the active's return helps", steady, ActiveDead, []string{NotEligible}, []cluster.Endpoint{b},
			[]string{"Bring a:1 back: it was active last", "If a:1 cannot come back, to make b:1 active without what only a:1 has: " + command("b:1")}, []string{"Bring b:1"}},
		{"the passive was away first", steady, ActiveDead, []string{CandidateDown, NotEligible}, nil,
			[]string{"Bring a:1 back: it was active last and goes on by itself. b:1 alone does not help.", "bring b:1 back, and to make it active", command("b:1")}, nil},
		{"either will do", eligible, ActiveDead, []string{CandidateDown}, nil,
			[]string{"Bring a:1 back, which goes on as the active, or b:1, which takes over."}, nil},
		{"either but for a block", eligible, ActiveDead, []string{Blocked, CandidateDown}, nil, []string{"b:1 alone does not help"}, nil},
		{"paused", eligible, ActiveDead, []string{Paused}, []cluster.Endpoint{b}, []string{"mmmctl resume --tag db"}, nil},
		{"in quarantine", eligible, ActiveDead, []string{Errant}, []cluster.Endpoint{b}, []string{command("b:1") + " --force"}, nil},
		{"no GTIDs", eligible, ActiveDead, []string{NoGTID}, []cluster.Endpoint{b}, []string{"Bring a:1 back"}, []string{"mmmctl"}},
		{"both died in a failover", revoked, NobodyLeft, nil, nil, []string{"Bring b:1 back: it then takes over from a:1. a:1 alone goes on only if", command("b:1")}, nil},
		{"a proof is missing", revoked, WaitProof, nil, []cluster.Endpoint{b}, []string{"Bring a:1 back: it is closed and compared", command("b:1")}, nil},
		{"what was received is being applied", revoked, WaitDrain, nil, []cluster.Endpoint{b}, []string{command("b:1")}, []string{"Bring"}},
		{"it may have been open", rebuilt, NobodyLeft, nil, []cluster.Endpoint{a}, []string{"Bring b:1 back: it may have been open last. a:1 alone does not help."}, nil},
		{"it died while it was opened", opening, NobodyLeft, nil, []cluster.Endpoint{a}, []string{"Bring b:1 back", command("a:1")}, nil},
		{"it cannot be opened", opening, WaitOpen, nil, []cluster.Endpoint{a, b}, []string{"To make a:1 active all the same, without what only b:1 has: " + command("a:1")}, []string{"Bring", "come back"}},
		{"first start", cluster.Assignment{}, Unseen, nil, []cluster.Endpoint{a}, []string{"Bring b:1 back.", "To make a:1 active all the same: " + command("a:1")}, []string{"make b:1"}},
		{"diverged", cluster.Assignment{}, Divergent, nil, []cluster.Endpoint{a, b}, []string{command("a:1"), command("b:1")}, []string{"Bring"}},
	} {
		snap := cluster.Snapshot{Assignment: c.record, Members: []cluster.Endpoint{a, b}, Observations: map[cluster.Endpoint]map[string]cluster.Observation{},
			Verdict: &cluster.Verdict{Held: true, Reason: cluster.Reason{Code: c.code}}}
		for _, code := range c.blocked {
			snap.Verdict.Blockers = append(snap.Verdict.Blockers, cluster.Reason{Code: code})
		}
		for _, node := range snap.Members {
			o := cluster.Observation{Cause: cluster.CauseRefused}
			if slices.Contains(c.alive, node) {
				o.Cause = cluster.CauseNone
			}
			snap.Observations[node] = map[string]cluster.Observation{"m": o}
		}
		got := strings.Join(WayOut("db", snap), "\n")
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: does not say %q:\n%s", c.name, want, got)
			}
		}
		for _, not := range c.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: says %q:\n%s", c.name, not, got)
			}
		}
		snap.Verdict.Held = false
		if got := WayOut("db", snap); got != nil {
			t.Errorf("%s: nothing is held, and yet %q", c.name, got)
		}
	}
}
