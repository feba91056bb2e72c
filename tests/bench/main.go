// Command bench measures mmm-manager on real servers: how long an application
// cannot write after its active server is killed or hangs, step by step, beside
// the floor that the machine itself sets; and what the daemons cost when nothing
// happens. It prints Markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the built programs")
	runs := flag.Int("runs", 20, "runs of each kind")
	kinds := flag.String("kinds", "kill,stop", "faults to measure: kill, stop")
	returns := flag.String("failback", "follow,auto,blocked", "fail-backs to measure: follow, auto, blocked; empty for none")
	modes := flag.String("durability", "async,semisync", "durabilities under which rows are counted: async, semisync, semisync-strict; empty for none")
	idle := flag.Duration("idle", time.Minute, "how long to watch the idle daemons; 0 for not at all")
	flag.Parse()
	if missing := harness.Missing(); len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "bench: not installed: %s; make bench gets what is missing\n", strings.Join(missing, ", "))
		os.Exit(69)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *bin, split(*kinds), split(*returns), split(*modes), *runs, *idle); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, kinds, returns, modes []string, runs int, idle time.Duration) (err error) {
	if bin, err = filepath.Abs(bin); err != nil {
		return fmt.Errorf("find programs: %w", err)
	}
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := lab.Close(); err == nil {
			err = closeErr
		}
	}()
	b, err := newBench(ctx, lab, harness.Programs{Dir: bin})
	if err != nil {
		return err
	}
	if err := b.heading(ctx); err != nil {
		return err
	}
	var costs []cost
	if idle > 0 {
		fmt.Fprintf(os.Stderr, "idle: watching for %s\n", idle)
		if costs, err = b.idle(ctx, idle); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		var results []result
		for n := range runs {
			r, err := b.measure(ctx, kind)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", kind, n+1, err)
			}
			fmt.Fprintf(os.Stderr, "%s %d/%d: first write after %.1f ms, %d of %d acknowledged rows lost\n",
				kind, n+1, runs, r.ms[firstWrite], r.lost, r.acknowledged)
			results = append(results, r)
		}
		failoverTable(os.Stdout, kind, results)
	}
	for _, kind := range returns {
		if err := measureFailbacks(ctx, lab, b.programs, kind, runs, os.Stdout); err != nil {
			return err
		}
	}
	for _, mode := range modes {
		if err := measurePromises(ctx, lab, b.programs, cluster.Durability(mode), runs, os.Stdout); err != nil {
			return err
		}
	}
	if len(modes) > 0 {
		if err := measureCost(ctx, lab, b.programs, os.Stdout); err != nil {
			return err
		}
	}
	if err := b.openingFloor(ctx, os.Stdout); err != nil {
		return err
	}
	if idle > 0 {
		idleTable(os.Stdout, idle, costs)
	}
	return nil
}

// split is a comma-separated list, empty of nothing.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}
