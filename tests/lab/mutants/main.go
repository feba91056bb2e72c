package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	only := flag.String("only", "", "these mutants alone, separated by commas")
	keep := flag.String("keep", filepath.Join(os.TempDir(), "lab-mutants"), "folder for histories and logs of findings")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	all, err := mutants("pkg/safeguard/safeguard.go", "tests/lab/mutants/testdata")
	if err == nil && *only != "" {
		all, err = pick(all, strings.Split(*only, ","))
	}
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("the laboratory makes namespaces, packet filters and disks, and needs root")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Print(head)
	failed, err := catch(ctx, all, *keep, func(r row) { fmt.Print(r) })
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	case len(failed) > 0:
		fmt.Fprintf(os.Stderr, "not caught: %s; what was found is in %s\n", strings.Join(failed, ", "), *keep)
		return 1
	}
	return 0
}

func pick(all []mutant, names []string) ([]mutant, error) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.name == name }) {
			return nil, fmt.Errorf("find mutant %s: it has no script", name)
		}
	}
	return slices.DeleteFunc(all, func(m mutant) bool { return !slices.Contains(names, m.name) }), nil
}

// catch runs all mutants, one after the other, and tells of each; it returns the names of those that were not caught.
func catch(ctx context.Context, all []mutant, keep string, tell func(row)) (failed []string, err error) {
	work, err := os.MkdirTemp("", "lab-mutants-")
	if err != nil {
		return nil, fmt.Errorf("make folder for mutants: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	l := laboratory{program: filepath.Join(work, "lab"), work: work, keep: keep}
	if err := build(ctx, l.program, "./tests/lab"); err != nil {
		return nil, err
	}
	if err := l.programs(ctx, whole); err != nil {
		return nil, err
	}
	for _, m := range all {
		r := l.judge(ctx, m)
		if err := ctx.Err(); err != nil {
			return failed, err
		}
		tell(r)
		if !r.caught() {
			failed = append(failed, m.name)
		}
	}
	return failed, nil
}
