package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Bounds of what is measured.
const (
	mostLate    = 100 * time.Millisecond // 99 of 100 samples
	mostPercent = 100                    // of one core, for each process
	mostRSS     = 150e6                  // bytes
	mostDecided = time.Second            // after the last of the kills
)

// missed are the bounds that r misses.
func (r result) missed() []string {
	var all []string
	add := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Sprintf("%d pairs: ", r.pairs)+fmt.Sprintf(format, args...))
		}
	}
	late := quantile(r.late, 0.99)
	add(late <= mostLate, "99 %% of the samples are up to %s late", late)
	for _, d := range r.daemons {
		add(d.percent <= mostPercent, "%s takes %.0f %% of a core", d.name, d.percent)
		add(d.rss <= mostRSS, "%s holds %.0f MB", d.name, float64(d.rss)/1e6)
	}
	add(r.lastDecided <= mostDecided, "the last failover was decided %s after the last death", r.lastDecided)
	return all
}

// report prints all results as one table.
func report(out io.Writer, results []result) {
	fmt.Fprint(out, "\n| |")
	for _, r := range results {
		fmt.Fprintf(out, " %d pairs |", r.pairs)
	}
	fmt.Fprint(out, "\n|---|")
	for range results {
		fmt.Fprint(out, "---:|")
	}
	fmt.Fprintln(out)
	line := func(name string, cell func(result) string) {
		fmt.Fprintf(out, "| %s |", name)
		for _, r := range results {
			fmt.Fprintf(out, " %s |", cell(r))
		}
		fmt.Fprintln(out)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
	line("all whole after, s", func(r result) string { return fmt.Sprintf("%.1f", r.steady.Seconds()) })
	line("most connections in 100 ms meanwhile", func(r result) string { return fmt.Sprint(r.burst) })
	line("lateness of samples, ms: median / p99 / longest", func(r result) string {
		return ms(quantile(r.late, 0.5)) + " / " + ms(quantile(r.late, 0.99)) + " / " + ms(slices.Max(r.late))
	})
	for i := range results[0].daemons {
		line(results[0].daemons[i].name+": % of a core, MB", func(r result) string {
			d := r.daemons[i]
			return fmt.Sprintf("%.1f, %.0f", d.percent, float64(d.rss)/1e6)
		})
		line("the same for each pair: % of a core, kB", func(r result) string {
			d := r.daemons[i]
			return fmt.Sprintf("%.3f, %.0f", d.percent/float64(r.pairs), float64(d.rss)/1e3/float64(r.pairs))
		})
	}
	line("actives killed within a second", func(r result) string { return fmt.Sprint(r.failed) })
	line("decided after each death, ms: median / p95 / longest", func(r result) string {
		return ms(quantile(r.decided, 0.5)) + " / " + ms(quantile(r.decided, 0.95)) + " / " + ms(slices.Max(r.decided))
	})
	line("the other is open, ms: median / p95 / longest", func(r result) string {
		return ms(quantile(r.opened, 0.5)) + " / " + ms(quantile(r.opened, 0.95)) + " / " + ms(slices.Max(r.opened))
	})
	line("the last decided after the last death, ms", func(r result) string { return ms(r.lastDecided) })
}
