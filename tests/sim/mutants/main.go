package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/world"
)

const folder = "tests/sim/mutants"

func main() { os.Exit(run()) }

func run() int {
	seconds := flag.Int("seconds", 60, "how long each mutant is hunted")
	most := flag.Uint64("schedules", 50_000, "how many schedules each mutant gets at most")
	jobs := flag.Int("jobs", 2, "how many mutants are hunted side by side")
	only := flag.String("only", "", "these mutants alone, separated by commas")
	is := flag.String("is", "", "this build is the mutant of that name: hunt it, and print what is found as JSON")
	from := flag.Uint64("from", 1, "with -is: the first seed")
	flag.Parse()

	l := laboratory{root: ".", most: *most, limit: time.Duration(*seconds) * time.Second, jobs: *jobs}
	if *is != "" {
		return l.hunted(*is, *from)
	}
	all, err := mutants(filepath.Join(l.root, "pkg/safeguard/safeguard.go"))
	if err == nil && *only != "" {
		all, err = pick(all, strings.Split(*only, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Print(head)
	survivors, err := l.catch(all, func(r row) { fmt.Print(r) })
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	case len(survivors) > 0:
		fmt.Fprintln(os.Stderr, "not caught:", strings.Join(survivors, ", "))
		return 1
	}
	return 0
}

func pick(all []mutant, names []string) ([]mutant, error) {
	var some []mutant
	for _, name := range names {
		was := len(some)
		for _, m := range all {
			if m.name == name {
				some = append(some, m)
			}
		}
		if len(some) == was {
			return nil, fmt.Errorf("find mutant %s: there is none of that name", name)
		}
	}
	return some, nil
}

// laboratory builds mutants and hunts them.
type laboratory struct {
	root  string // of the module
	most  uint64
	limit time.Duration
	jobs  int
}

// hunted is what a mutant itself does.
func (l laboratory) hunted(name string, from uint64) int {
	debug.SetGCPercent(800) // worlds are many and short-lived
	of, _, err := schedulesFor(filepath.Join(l.root, folder, "testdata"), name)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(hunt(of, from, l.most, l.limit))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// catch hunts all mutants and tells of each in their order; it returns the names
// of those that were not caught.
func (l laboratory) catch(all []mutant, tell func(row)) (survivors []string, err error) {
	work, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, fmt.Errorf("make folder for mutants: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	rows := make([]chan row, len(all))
	for i := range rows {
		rows[i] = make(chan row, 1)
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range l.jobs {
		workers.Go(func() {
			for i := range next {
				rows[i] <- l.one(work, all[i])
			}
		})
	}
	workers.Go(func() {
		for i := range all {
			next <- i
		}
		close(next)
	})
	for _, r := range rows {
		r := <-r
		tell(r)
		if r.violation == "" {
			survivors = append(survivors, r.name)
		}
	}
	workers.Wait()
	return survivors, nil
}

// one builds a mutant and hunts it. This build, which leaves nothing out, must keep
// the schedule that breaks the mutant.
func (l laboratory) one(work string, m mutant) (r row) {
	r.mutant = m
	var of schedules
	if of, r.own, r.err = schedulesFor(filepath.Join(l.root, folder, "testdata"), m.name); r.err != nil {
		return r
	}
	program := filepath.Join(work, m.name)
	build := exec.Command("go", "build", "-tags", "mutant,"+m.name, "-o", program, "./"+folder)
	build.Dir = l.root
	if out, err := build.CombinedOutput(); err != nil {
		r.err = fmt.Errorf("build: %w: %s", err, out)
		return r
	}
	for from := uint64(1); r.took < l.limit && r.ran < l.most; from = r.seed + 1 {
		f, err := l.ask(program, m.name, from, l.most-r.ran, l.limit-r.took)
		if err != nil {
			r.err = err
			return r
		}
		r.seed, r.ran, r.took = f.Seed, r.ran+f.Ran, r.took+f.Took
		if f.Violation != nil && world.Run(of(f.Seed)).Violation == nil {
			r.violation = f.Violation.Invariant
			return r
		}
	}
	return r
}

// ask has a mutant hunted from a seed on.
func (l laboratory) ask(program, name string, from, most uint64, limit time.Duration) (f found, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit+time.Minute)
	defer cancel()
	seconds := max(1, int(limit.Seconds()))
	cmd := exec.CommandContext(ctx, program, "-is", name, "-from", strconv.FormatUint(from, 10),
		"-schedules", strconv.FormatUint(most, 10), "-seconds", strconv.Itoa(seconds))
	cmd.Dir = l.root
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &f)
	}
	if err != nil {
		return f, fmt.Errorf("run: %w", err)
	}
	return f, nil
}
