package world

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

func big() Spec {
	s := Spec{Seed: 7, Monitors: 3, Identifies: 2, Agents: 2, Clients: 3, Local: true, Blocks: true, Round: Round{Until: 20 * time.Second},
		Clocks: map[string]engine.Clock{"agent1": {}, "identify1": {}}}
	for i := range 8 {
		s.Faults = append(s.Faults, Fault{At: time.Duration(i) * time.Second, For: 4 * time.Second, Kind: "kill", N: i})
		s.Operator = append(s.Operator, Order{At: time.Duration(i) * time.Second, Verb: Switchover})
	}
	return s
}

func has(n int) func(Fault) bool { return func(f Fault) bool { return f.N == n } }

func TestShrink(t *testing.T) {
	spec := big()
	// It needs faults 2 and 5, the one for half a second, one order, two identifies
	// and the clock of identify1.
	fails := func(s Spec) bool {
		two, five := slices.IndexFunc(s.Faults, has(2)), slices.IndexFunc(s.Faults, has(5))
		_, clock := s.Clocks["identify1"]
		return two >= 0 && five >= 0 && s.Faults[two].For >= 500*time.Millisecond &&
			len(s.Operator) > 0 && s.Identifies == 2 && clock && s.Until >= 3*time.Second
	}
	got := Shrink(spec, fails, 1000)
	if !fails(got) {
		t.Fatalf("what is left does not fail: %s", got)
	}
	if len(got.Faults) != 2 || len(got.Operator) != 1 || len(got.Clocks) != 1 {
		t.Errorf("%d faults, %d orders and %d clocks are left", len(got.Faults), len(got.Operator), len(got.Clocks))
	}
	if got.Monitors != 1 || got.Identifies != 2 || got.Agents != 1 || got.Clients != 1 || got.Local || got.Blocks {
		t.Errorf("too much is left: %s", got)
	}
	if f := got.Faults[0]; f.N != 2 || f.For != 500*time.Millisecond || f.At > 2*finest {
		t.Errorf("the first fault is %s", f)
	}
	if f := got.Faults[1]; f.For > 2*finest || f.At > 2*finest {
		t.Errorf("the second fault is %s", f)
	}
	if got.Until >= 6*time.Second {
		t.Errorf("it heals at %s", got.Until)
	}
	if !reflect.DeepEqual(spec, big()) {
		t.Error("the spec that was given has changed")
	}
}

func TestShrinkKeepsToItsBudget(t *testing.T) {
	asked := 0
	got := Shrink(big(), func(Spec) bool { asked++; return true }, 5)
	if asked != 5 {
		t.Errorf("asked %d times", asked)
	}
	if len(got.Faults) == 8 {
		t.Error("nothing was left out")
	}
}

func TestShrinkLeavesWhatIsNeeded(t *testing.T) {
	asked := 0
	got := Shrink(big(), func(Spec) bool { asked++; return false }, 10000)
	if !reflect.DeepEqual(got, big()) {
		t.Errorf("left %s", got)
	}
	if asked == 0 || asked > 200 {
		t.Errorf("asked %d times", asked)
	}
}

func TestShrinkKeepsTheAgentsOfLeases(t *testing.T) {
	spec := big()
	spec.Agents, spec.Local, spec.Lease = 2, true, 2*time.Second
	got := Shrink(spec, func(s Spec) bool { return s.Lease > 0 }, 10000)
	if got.Agents != 2 || !got.Local {
		t.Errorf("%d agents, local: %v", got.Agents, got.Local)
	}
	if got = Shrink(spec, func(Spec) bool { return true }, 10000); got.Lease != 0 || got.Agents != 1 || got.Local {
		t.Errorf("lease %s, %d agents, local: %v", got.Lease, got.Agents, got.Local)
	}
}

func TestShrinkLeavesOutRounds(t *testing.T) {
	spec := big()
	for range 3 {
		spec.Rounds = append(spec.Rounds, big().Round)
	}
	was := spec.String()
	// It needs one fault in each of two rounds, whichever these are.
	fails := func(s Spec) bool {
		n := 0
		for i := 1; i <= s.rounds(); i++ {
			if slices.ContainsFunc(s.at(i).Faults, has(i+2)) {
				n++
			}
		}
		return n >= 2
	}
	got := Shrink(spec, fails, 1000)
	if !fails(got) || got.rounds() != 2 || len(got.Faults) != 1 || len(got.Rounds[0].Faults) != 1 || len(got.Operator)+len(got.Rounds[0].Operator) != 0 {
		t.Errorf("left %s", got)
	}
	if got = Shrink(spec, func(s Spec) bool { return slices.ContainsFunc(s.at(s.rounds()).Faults, has(3)) }, 1000); got.rounds() != 1 || got.Until >= big().Until {
		t.Errorf("left %s", got)
	}
	if spec.String() != was {
		t.Error("the spec that was given has changed")
	}
}
