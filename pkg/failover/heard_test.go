package failover

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestFullIsDatedByTheViewsThatCameSoonest(t *testing.T) {
	const s = time.Second
	type told struct {
		at, ended, full time.Duration // by our clock, and by that of its run
		run             string
		want            time.Duration
	}
	for name, views := range map[string][]told{
		"soon":                  {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {101 * s, 6 * s, 6 * s, "r", 101 * s}},
		"of a while ago":        {{100 * s, 5 * s, 2 * s, "r", 97 * s}},
		"late":                  {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {104 * s, 6 * s, 6 * s, "r", 101 * s}, {105 * s, 10 * s, 10 * s, "r", 105 * s}},
		"the first of a run":    {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {104 * s, 1 * s, 1 * s, "q", 104 * s}},
		"late in a new stretch": {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {113 * s, 15 * s, 15 * s, "r", 110 * s}},
		"a clock stood still": {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {109 * s, 6 * s, 6 * s, "r", 101 * s},
			{111 * s, 8 * s, 8 * s, "r", 103 * s}, {120 * s, 17 * s, 17 * s, "r", 112 * s}, {122 * s, 19 * s, 19 * s, "r", 122 * s}},
		"and ours did": {{100 * s, 5 * s, 5 * s, "r", 100 * s}, {101 * s, 16 * s, 16 * s, "r", 101 * s}},
	} {
		var h heard
		for i, v := range views {
			o := cluster.Observation{Run: v.run, Seq: uint64(i + 1), EndedMS: v.ended.Milliseconds(), FullMS: v.full.Milliseconds()}
			h = h.view(&o, v.at)
			if got := h.full(&o); got != v.want {
				t.Errorf("%s, view %d: full sample dated %s, want %s", name, i+1, got, v.want)
			}
		}
	}
}
