package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// A few pairs in one process of each daemon: five actives die, five other servers take over, and nothing else moves.
func TestFewOfMany(t *testing.T) {
	if missing := harness.Missing(); len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not installed: %v", missing)
		}
		t.Skipf("SKIPPED: not installed: %v", missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	programs, err := lab.Build(ctx, harness.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := measure(ctx, options{bin: programs.Dir, pairs: 20, fail: 5, idle: 4 * time.Second, log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	// A safety bound: the machine has other work.
	if len(r.decided) != 5 || r.lastDecided > 10*time.Second {
		t.Errorf("%d failovers, the last decided %s after the last death", len(r.decided), r.lastDecided)
	}
	var out strings.Builder
	report(&out, []result{r})
	if !strings.Contains(out.String(), "| | 20 pairs |") || !strings.Contains(out.String(), "mmm-agent: % of a core, MB") {
		t.Errorf("the table is\n%s", out.String())
	}
}

func TestMissedBounds(t *testing.T) {
	good := result{pairs: 9, late: []time.Duration{time.Millisecond}, daemons: []usage{{"x", 5, 1e6}}}
	if got := good.missed(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	bad := result{pairs: 9, late: []time.Duration{time.Second}, daemons: []usage{{"x", 105, 151e6}}, lastDecided: 2 * time.Second}
	if got := bad.missed(); len(got) != 4 {
		t.Errorf("%v", got)
	}
}

func TestBadNumbersOfPairs(t *testing.T) {
	for _, sizes := range []string{"", "x", "10,0", "-1"} {
		if _, err := run(t.Context(), ".", sizes, time.Second, 1); err == nil || !strings.Contains(err.Error(), "no number of pairs") {
			t.Errorf("-pairs %q: %v", sizes, err)
		}
	}
}
