package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// whole names the programs that leave nothing out.
	whole = "whole"
	// attempts is how many pairs a mutant gets, to be found in one, and the programs that leave nothing out, to
	// keep the script in one: on a busy machine a pair may be well too late.
	attempts = 3
	// runWithin bounds a run of the laboratory: rounds have a bound of their own, and it is not reached.
	runWithin = 30 * time.Minute
)

// laboratory builds programs and breaks them.
type laboratory struct {
	program, work, keep string
}

// found is what a run of the laboratory came to.
type found struct {
	checkers []string // those that found something, each once
	rounds   int
	took     time.Duration
}

// judge builds a mutant and has its script happen to it, and then to the programs that leave nothing out.
func (l laboratory) judge(ctx context.Context, m mutant) (r row) {
	r.mutant = m
	if r.err = l.programs(ctx, m.name); r.err != nil {
		return r
	}
	last := 0 // rounds of the last pair
	for seed := 1; seed <= attempts && len(r.checkers) == 0 && ctx.Err() == nil; seed++ {
		var f found
		f, r.err = l.try(ctx, m, m.name, seed, m.most())
		last = f.rounds
		f.rounds, f.took = r.rounds+f.rounds, r.took+f.took
		r.found = f
	}
	if r.err == nil && len(r.checkers) > 0 {
		r.blamed, r.err = l.blame(ctx, m, max(len(m.script), last))
	}
	r.err = errors.Join(r.err, os.RemoveAll(filepath.Join(l.work, m.name)))
	return r
}

// blame has the script happen to the programs that leave nothing out, until they keep it.
func (l laboratory) blame(ctx context.Context, m mutant, rounds int) (f found, err error) {
	for seed := 1; seed <= attempts; seed++ {
		f, err = l.try(ctx, m, whole, seed, rounds)
		if err == nil && len(f.checkers) == 0 || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "%s: nothing left out, seed %d: %s %v\n", m.name, seed, strings.Join(f.checkers, ", "), err)
	}
	return f, err
}

// programs builds all programs, with the safeguard of that name left out unless it is whole.
func (l laboratory) programs(ctx context.Context, name string) error {
	tags := "mutant," + name
	if name == whole {
		tags = ""
	}
	dir := filepath.Join(l.work, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make folder for programs: %w", err)
	}
	return build(ctx, dir, "./cmd/...", "-tags", tags)
}

func build(ctx context.Context, to, what string, flags ...string) error {
	args := slices.Concat([]string{"build", "-o", to}, flags, []string{what})
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", what, err, out)
	}
	return nil
}

// try has the script of a mutant happen to the programs of a name.
func (l laboratory) try(ctx context.Context, m mutant, name string, seed, rounds int) (f found, err error) {
	ctx, cancel := context.WithTimeout(ctx, runWithin)
	defer cancel()
	args := []string{"-bin", filepath.Join(l.work, name), "-script", m.path, "-seeds", strconv.Itoa(seed), "-rounds", strconv.Itoa(rounds), "-keep", filepath.Join(l.keep, m.name, name)}
	env := os.Environ()
	for _, s := range m.settings {
		switch s.name {
		case "rounds":
		case "db":
			env = append(env, "MMM_DB="+s.value)
		default:
			args = append(args, "-"+s.name, s.value)
		}
	}
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Env = env
	// It takes its hosts and disks down when it is asked to end.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	began := time.Now()
	out, err := cmd.CombinedOutput()
	f = read(string(out))
	f.took = time.Since(began)
	var exit *exec.ExitError
	if err == nil && len(f.checkers) == 0 || errors.As(err, &exit) && exit.ExitCode() == 1 && len(f.checkers) > 0 {
		return f, nil
	}
	return f, fmt.Errorf("run the laboratory on %s: %v: %s", name, err, strings.TrimSpace(string(out)))
}

var (
	roundLine   = regexp.MustCompile(`(?m)^seed \d+ round (\d+) `)
	findingLine = regexp.MustCompile(`(?m)^  FOUND ([^:]+): `)
)

// read reads what the laboratory prints.
func read(out string) (f found) {
	for _, line := range roundLine.FindAllStringSubmatch(out, -1) {
		f.rounds, _ = strconv.Atoi(line[1])
	}
	for _, line := range findingLine.FindAllStringSubmatch(out, -1) {
		if !slices.Contains(f.checkers, line[1]) {
			f.checkers = append(f.checkers, line[1])
		}
	}
	return f
}
