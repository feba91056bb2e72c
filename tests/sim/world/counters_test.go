package world

import (
	"strings"
	"testing"
)

func TestCounters(t *testing.T) {
	var one, all Counters
	one.Count(SawRebuilt)
	all.Add(&one)
	all.Add(&one)
	if all[SawRebuilt] != 2 || len(all.Zero()) != int(countersEnd)-1 {
		t.Errorf("counted %d, %d are zero", all[SawRebuilt], len(all.Zero()))
	}
	names := map[string]bool{}
	for c := range countersEnd {
		if c.String() == "" || names[c.String()] {
			t.Errorf("counter %d has the name %q", int(c), c)
		}
		names[c.String()] = true
	}
	lines := strings.Split(strings.TrimSuffix(all.String(), "\n"), "\n")
	if len(lines) != int(countersEnd) {
		t.Fatalf("%d lines", len(lines))
	}
	for c, line := range lines {
		if strings.HasPrefix(line, "!") != (Counter(c) != SawRebuilt) || !strings.HasSuffix(line, Counter(c).String()) {
			t.Errorf("line %d: %q", c, line)
		}
	}
}
