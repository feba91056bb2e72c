package world

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What an operator has promised is in force, and agents see to it.
func TestAnOperatorChangesTheDurability(t *testing.T) {
	for _, flavor := range []cluster.Flavor{cluster.MySQL, cluster.MariaDB} {
		for verb, counter := range map[string]Counter{AskDurability: SawDurabilityAsked, Configure: SawDurabilityConfigured} {
			spec := quiet()
			spec.Flavor, spec.Identifies = flavor, 2
			spec.Operator = []Order{
				{At: 500 * time.Millisecond, Verb: verb, Durability: cluster.SemiSyncStrict},
				{At: 7 * time.Second, Verb: verb, Durability: cluster.SemiSync},
			}
			out := RunTraced(spec)
			if out.Violation != nil {
				t.Errorf("%s, %s: %s", flavor, verb, out.Violation)
			}
			if n := out.Seen[counter]; n != 2 {
				t.Errorf("%s, %s: %d changes", flavor, verb, n)
			}
			if out.Seen[SawStrict] != 1 || !strings.Contains(out.Trace, "commits wait for the passive") {
				t.Errorf("%s, %s: commits did not wait", flavor, verb)
			}
		}
	}
}

func TestOperatorsPromiseOtherwiseInSomeWorlds(t *testing.T) {
	began := map[bool]int{}
	for seed := uint64(1); seed <= 400; seed++ {
		spec := Draw(seed)
		for n := 1; n <= spec.rounds(); n++ {
			for _, o := range spec.at(n).Operator {
				if o.Verb == AskDurability || o.Verb == Configure {
					began[spec.Durability.Acknowledged()]++
				} else if o.Durability != "" {
					t.Errorf("seed %d: %s of %q", seed, o.Verb, o.Durability)
				}
			}
		}
	}
	if began[true] == 0 || began[false] == 0 {
		t.Errorf("changes of what acknowledged writes are promised, where they had a promise or not: %v", began)
	}
}
