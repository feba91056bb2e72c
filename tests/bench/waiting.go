package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// costFor is how long the cost of waiting is measured in one go, and costTimes how often.
const (
	costFor   = 5 * time.Second
	costTimes = 3
)

// measureCost prints what it costs that commits wait, beside a pair whose commits do not.
func measureCost(ctx context.Context, lab *harness.Lab, bin harness.Programs, out io.Writer) error {
	fmt.Fprintf(out, "\nCost of waiting: %d clients commit one row after the other, %d times %s in turn\n\n", crowd, costTimes, costFor)
	fmt.Fprintln(out, "| durability | rows per second: median | latency, ms: median | p99 |")
	fmt.Fprintln(out, "|---|---:|---:|---:|")
	pairs := map[cluster.Durability]*promises{}
	modes := []cluster.Durability{cluster.Async, cluster.SemiSync}
	type figures struct{ rate, median, p99 []float64 }
	got := map[cluster.Durability]*figures{}
	for _, mode := range modes {
		p := &promises{lab: lab, bin: bin, mode: mode}
		if err := p.raise(ctx); err != nil {
			return err
		}
		defer p.site.Close()
		pairs[mode], got[mode] = p, &figures{}
	}
	for range costTimes {
		for _, mode := range modes {
			rate, median, p99, err := pairs[mode].cost(ctx)
			if err != nil {
				return err
			}
			f := got[mode]
			f.rate, f.median, f.p99 = append(f.rate, rate), append(f.median, median), append(f.p99, p99)
		}
	}
	for _, mode := range modes {
		f := got[mode]
		fmt.Fprintf(out, "| %s | %.0f | %.2f | %.2f |\n", mode, quantile(f.rate, 0.5), quantile(f.median, 0.5), quantile(f.p99, 0.5))
	}
	plain, waits := got[cluster.Async], got[cluster.SemiSync]
	fmt.Fprintf(out, "\nWaiting against not waiting: %.2f of the rows, %.2f of the p99.\n",
		quantile(waits.rate, 0.5)/quantile(plain.rate, 0.5), quantile(waits.p99, 0.5)/quantile(plain.p99, 0.5))
	return nil
}

// cost has clients commit without a pause: rows per second, and the median and p99 of
// a commit in milliseconds.
func (p *promises) cost(ctx context.Context) (rate, median, p99 float64, err error) {
	active, passive, _, err := p.ready(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	w, err := p.lab.StartWriter(harness.WriterOptions{Nodes: []cluster.Endpoint{active.Addr(), passive.Addr()}, First: p.used + 1, Clients: crowd})
	if err != nil {
		return 0, 0, 0, err
	}
	defer w.Stop()
	p.used += crowd
	if err := w.WaitMore(ctx, 100); err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	if err := wait(ctx, costFor); err != nil {
		return 0, 0, 0, err
	}
	w.Stop()
	took := time.Since(began)
	last := map[int]time.Time{}
	var commits []float64
	for _, ack := range w.Acks() {
		if was, ok := last[ack.Client]; ok && was.After(began) {
			commits = append(commits, ms(ack.At.Sub(was)))
		}
		last[ack.Client] = ack.At
	}
	if len(commits) == 0 {
		return 0, 0, 0, fmt.Errorf("nothing was committed within %s", took)
	}
	return float64(len(commits)) / took.Seconds(), quantile(commits, 0.5), quantile(commits, 0.99), nil
}
