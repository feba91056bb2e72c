package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// failoverTable prints the moments of all runs of one kind.
func failoverTable(out io.Writer, kind string, results []result) {
	name := map[string]string{"kill": "SIGKILL", "stop": "SIGSTOP"}[kind]
	fmt.Fprintf(out, "\n%s of the active, %d runs; milliseconds after the signal\n\n", name, len(results))
	fmt.Fprintln(out, "| moment | median | p95 | min | max |")
	fmt.Fprintln(out, "|---|---:|---:|---:|---:|")
	for _, moment := range []string{refused, harness.Seen, harness.Decided, harness.Closed, harness.Drained, harness.Opened, firstWrite} {
		var values []float64
		for _, r := range results {
			if v, ok := r.ms[moment]; ok {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			continue
		}
		label := moment
		switch moment {
		case refused:
			label = "floor: " + moment
		case firstWrite:
			label = "**" + moment + "**"
		}
		fmt.Fprintf(out, "| %s | %.1f | %.1f | %.1f | %.1f |\n", label,
			quantile(values, 0.5), quantile(values, 0.95), slices.Min(values), slices.Max(values))
	}
	acknowledged, lost, with := 0, 0, 0
	for _, r := range results {
		acknowledged += r.acknowledged
		lost += r.lost
		if r.lost > 0 {
			with++
		}
	}
	fmt.Fprintf(out, "\nAcknowledged rows lost: %d of %d, in %d of %d runs.\n", lost, acknowledged, with, len(results))
}

// idleTable prints what the daemons cost.
func idleTable(out io.Writer, d time.Duration, costs []cost) {
	fmt.Fprintf(out, "\nIdle, one pair, %s\n\n| daemon | CPU, %% of one core | RSS, MB |\n|---|---:|---:|\n", d)
	var percent float64
	for _, c := range costs {
		percent += c.percent
		fmt.Fprintf(out, "| %s | %.2f | %.1f |\n", c.name, c.percent, float64(c.rss)/1e6)
	}
	fmt.Fprintf(out, "| together | %.2f | |\n", percent)
}

// quantile is the nearest-rank quantile.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, min(rank, len(sorted)-1))]
}
