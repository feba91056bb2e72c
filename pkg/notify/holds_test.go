package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A dead active that nobody can follow is named, not the server it had the role from.
func TestAHoldNamesTheLastActive(t *testing.T) {
	snap := cluster.Snapshot{
		Assignment: cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady,
			Active: "10.0.21.7:3308", Passive: "10.0.21.5:3308", From: "10.0.21.5:3308", To: "10.0.21.7:3308"},
		Verdict: &cluster.Verdict{Tag: "mysql3308", Held: true, Reason: cluster.Reason{Code: "nobody-left", Text: "both are dead"}},
	}
	nobody, held := (&pair{}).holds(snap)
	for _, subject := range []string{nobody.subject, held.subject} {
		if !strings.Contains(subject, "10.0.21.7:3308") || strings.Contains(subject, "10.0.21.5:3308") {
			t.Errorf("subject %q", subject)
		}
	}
}

// The first blocker is what the verdict itself says already.
func TestAHoldGivesItsReasonOnce(t *testing.T) {
	block := cluster.Reason{Code: "failover-block", Text: "the last automatic failover was in epoch 8"}
	snap := cluster.Snapshot{
		Assignment: cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: "10.0.21.7:3308", Passive: "10.0.21.5:3308"},
		Verdict: &cluster.Verdict{Tag: "mysql3308", Held: true, Reason: cluster.Reason{Code: "active-dead", Text: "it is dead; held: " + block.Text},
			Blockers: []cluster.Reason{block, {Code: "paused", Text: "paused by eve"}}},
	}
	_, held := (&pair{}).holds(snap)
	if strings.Count(held.body, block.Text) != 1 || !strings.Contains(held.body, "also         paused by eve") || strings.Contains(held.body, "steady") {
		t.Errorf("the mail:\n%s", held.body)
	}
}

// heldBy is a pair whose active is dead and whose passive is kept from following
// it; alive says whether the passive answers.
func (s *scene) heldBy(code string, alive bool) {
	s.redis.change(func(snap *cluster.Snapshot) {
		snap.Assignment = cluster.Assignment{Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB}
		why := cluster.Reason{Code: code, Text: "because of " + code}
		snap.Verdict = &cluster.Verdict{Tag: "mysql3308", Held: true, Reason: cluster.Reason{Code: "active-dead", Text: "it is dead; held: " + why.Text}, Blockers: []cluster.Reason{why}}
		snap.Observations = map[cluster.Endpoint]map[string]cluster.Observation{nodeA: {"m": {Cause: cluster.CauseRefused}}, nodeB: {"m": {Cause: cluster.CauseRefused}}}
		if alive {
			snap.Observations[nodeB] = map[string]cluster.Observation{"m": {}}
		}
	})
}

// Both are down, and the wrong one is brought back: that does not end the hold,
// and people are told so, once.
func TestAHoldForAnotherReasonIsToldOnceMore(t *testing.T) {
	const still = "[mmm] mysql3308: still held, for another reason, last active 10.0.21.5:3308 (epoch 8)"
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		want := []string{}
		for range 2 {
			s.heldBy("candidate-down", false)
			s.pass(15 * time.Second)
			want = append(want, nobodySubject)
			s.expect(want...)
			s.heldBy("not-eligible", true)
			s.pass(15 * time.Second)
			want = append(want, still)
			s.expect(want...)
			for range 3 {
				s.heldBy("candidate-down", false)
				s.pass(2 * time.Minute)
				s.heldBy("not-eligible", true)
				s.pass(2 * time.Minute)
			}
			s.expect(want...)
			s.held("steady", false)
			s.pass(time.Hour)
			want = append(want, overSubject)
			s.expect(want...)
		}
		first, second := s.server.mails()[0].mail.Body, s.server.mails()[1].mail.Body
		for _, w := range []string{"Bring 10.0.21.5:3308 back", "10.0.21.7:3308 alone does not help", `mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "..."`} {
			if !strings.Contains(first, w) {
				s.Errorf("the first mail does not say %q:\n%s", w, first)
			}
		}
		for _, w := range []string{"Bring 10.0.21.5:3308 back", "because of not-eligible", `mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "..."`} {
			if !strings.Contains(second, w) {
				s.Errorf("the second mail does not say %q:\n%s", w, second)
			}
		}
		if strings.Contains(first+second, "one of the servers") {
			s.Errorf("the mails name no server:\n%s\n%s", first, second)
		}
	})
}
