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
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/cell"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// arguments say what is measured.
type arguments struct {
	bin                                 string
	causes, agents, loads, durabilities []string
	timeout, minutes, quiet             float64
	runs, pairs                         int
	fill, any                           bool
	json, record                        string
	kinds, returns, promises            []string
	idle                                time.Duration
}

func parse() arguments {
	var a arguments
	list := func(name, value, usage string) func() []string {
		text := flag.String(name, value, usage)
		return func() []string { return split(*text) }
	}
	flag.StringVar(&a.bin, "bin", "bin", "folder with the built programs")
	flag.IntVar(&a.runs, "runs", 30, "runs of each kind")
	causes := list("causes", "kill,term,stop,cut,reset,freeze,switchover", "what happens to the active; empty for nothing")
	agents := list("agents", "all,local", "one agent for both servers (all), one on each server's host (local, needs root)")
	loads := list("loads", "idle,500", "idle: one client; 500: eight write 500 rows a second")
	durabilities := list("durability", "", "async, semisync, semisync-strict; by default async for one agent, semisync for local ones, and async, too, where a host is cut off")
	flag.BoolVar(&a.fill, "fill", false, "measure what the file of -json lacks of -runs, the cells with fewest runs first")
	flag.BoolVar(&a.any, "any", false, "with -fill: runs of other versions of the programs or the server count, too")
	flag.IntVar(&a.pairs, "pairs", 1, "with -fill: so many pairs at a time; what takes milliseconds is measured when the others are at rest (needs root)")
	flag.Float64Var(&a.timeout, "connect-timeout", 1, "connect_timeout in both files, seconds")
	flag.Float64Var(&a.minutes, "minutes", 0, "begin no run after so many minutes; 0 is no bound")
	flag.Float64Var(&a.quiet, "quiet", 0, "begin a run when others use less than so many percent of the processors (needs root); 0 is at once")
	flag.StringVar(&a.json, "json", "", "file to which each run is added as a line of JSON")
	flag.StringVar(&a.record, "record", "", "folder where README.md and failover.svg are made from all lines of -json")
	kinds := list("kinds", "", "signals measured with each step's quantiles: kill, stop")
	returns := list("failback", "", "fail-backs to measure: follow, auto, blocked")
	promises := list("promises", "", "durabilities under which rows are followed until the old active is back: async, semisync, semisync-strict")
	flag.DurationVar(&a.idle, "idle", 0, "how long to watch the idle daemons; 0 for not at all")
	flag.Parse()
	a.causes, a.agents, a.loads, a.durabilities = causes(), agents(), loads(), durabilities()
	a.kinds, a.returns, a.promises = kinds(), returns(), promises()
	return a
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == thawer {
		if err := disk.Thawer(os.NewFile(3, "socket")); err != nil {
			fmt.Fprintln(os.Stderr, "bench: thaw:", err)
			os.Exit(1)
		}
		return
	}
	a := parse()
	if missing := harness.Missing(); len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "bench: not installed: %s; make bench gets what is missing\n", strings.Join(missing, ", "))
		os.Exit(69)
	}
	if a.fill && a.json == "" {
		fmt.Fprintln(os.Stderr, "bench: -fill needs -json, the file that is filled")
		os.Exit(2)
	}
	if a.pairs < 1 || a.pairs > 1 && !a.fill {
		fmt.Fprintln(os.Stderr, "bench: -pairs is at least 1, and needs -fill for more")
		os.Exit(2)
	}
	if os.Geteuid() == 0 && len(a.causes) > 0 && !cell.Inside() {
		code, err := outside(a.pairs)
		if err == nil && code == 0 && a.record != "" {
			err = writeRecord(a.record, a.json)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			code = max(code, 1)
		}
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := measure(ctx, a); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, a arguments) (err error) {
	if a.bin, err = filepath.Abs(a.bin); err != nil {
		return fmt.Errorf("find programs: %w", err)
	}
	var freezer *disk.Freezer
	if cell.Inside() {
		if freezer, err = settle(); err != nil {
			return err
		}
		defer freezer.Close()
	}
	lab, err := harness.NewLab(harness.Options{Users: site.Users})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := lab.Close(); err == nil {
			err = closeErr
		}
	}()
	programs := harness.Programs{Dir: a.bin}
	if len(a.causes) > 0 {
		if err := measureMatrix(ctx, a, theatre{lab, programs, freezer}); err != nil {
			return err
		}
	}
	if a.record != "" && !cell.Inside() { // else it is made when all cells have ended
		if err := writeRecord(a.record, a.json); err != nil {
			return err
		}
	}
	if len(a.kinds) > 0 || a.idle > 0 {
		if err := measureSignals(ctx, a, lab, programs); err != nil {
			return err
		}
	}
	for _, kind := range a.returns {
		if err := measureFailbacks(ctx, lab, programs, kind, a.runs, os.Stdout); err != nil {
			return err
		}
	}
	for _, mode := range a.promises {
		if err := measurePromises(ctx, lab, programs, cluster.Durability(mode), a.runs, os.Stdout); err != nil {
			return err
		}
	}
	if len(a.promises) > 0 {
		return measureCost(ctx, lab, programs, os.Stdout)
	}
	return nil
}

// measureMatrix measures cause by cause, prints what was measured now, and keeps each run.
func measureMatrix(ctx context.Context, a arguments, t theatre) error {
	versions, err := t.lab.Versions(ctx)
	if err != nil {
		return err
	}
	product, err := programsVersion(ctx, a.bin)
	if err != nil {
		return err
	}
	m := &matrix{theatre: t, version: versions[0], product: product, runs: a.runs, json: a.json, quiet: a.quiet, any: a.any, turns: newTurns(os.Getenv(turnsVariable))}
	if a.minutes > 0 {
		m.end = time.Now().Add(time.Duration(a.minutes * float64(time.Minute)))
	}
	measure := m.measure
	if a.fill {
		measure = m.fill
	}
	runs, err := measure(ctx, cells(string(t.lab.Flavor()), a.causes, a.agents, a.loads, a.durabilities, a.timeout))
	if a.pairs == 1 {
		writeTables(os.Stdout, runs)
	}
	return err
}

// programsVersion is what the programs in a folder say of their version: a record may hold several.
func programsVersion(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "mmmctl"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask mmmctl for its version: %w", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "mmmctl ")), nil
}

// measureSignals prints each step's quantiles, and what idle daemons cost.
func measureSignals(ctx context.Context, a arguments, lab *harness.Lab, programs harness.Programs) error {
	b, err := newBench(ctx, lab, programs)
	if err != nil {
		return err
	}
	if err := b.heading(ctx); err != nil {
		return err
	}
	var costs []cost
	if a.idle > 0 {
		fmt.Fprintf(os.Stderr, "idle: watching for %s\n", a.idle)
		if costs, err = b.idle(ctx, a.idle); err != nil {
			return err
		}
	}
	for _, kind := range a.kinds {
		var results []result
		for n := range a.runs {
			r, err := b.measure(ctx, kind)
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", kind, n+1, err)
			}
			fmt.Fprintf(os.Stderr, "%s %d/%d: first write after %.1f ms, %d of %d acknowledged rows lost\n",
				kind, n+1, a.runs, r.ms[firstWrite], r.lost, r.acknowledged)
			results = append(results, r)
		}
		failoverTable(os.Stdout, kind, results)
	}
	if err := b.openingFloor(ctx, os.Stdout); err != nil {
		return err
	}
	if a.idle > 0 {
		idleTable(os.Stdout, a.idle, costs)
	}
	return nil
}

// split is a comma-separated list, empty of nothing.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}
