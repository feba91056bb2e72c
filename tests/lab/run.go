package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/cell"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/fault"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
	"github.com/mmm-manager/mmm-manager/tests/lab/workload"
)

// inside runs the seeds, one after the other, in a cell.
func inside(a arguments) error {
	if err := cell.Settle(); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	freezer, err := disk.NewFreezer(os.NewFile(3, "thawer"))
	if err != nil {
		return err
	}
	defer freezer.Close()
	lab, err := harness.NewLab(harness.Options{Users: site.Users})
	if err != nil {
		return err
	}
	defer lab.Close()
	end := time.Time{}
	if a.minutes > 0 {
		end = time.Now().Add(time.Duration(a.minutes * float64(time.Minute)))
	}
	var total sums
	for seed := a.seeds[0]; seed <= a.seeds[1]; seed++ {
		if !end.IsZero() && time.Now().After(end) {
			break
		}
		if err := runSeed(ctx, a, lab, freezer, seed, end, &total); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	total.print(os.Stdout)
	if a.record != "" {
		if err := addRecord(a.record, key{DB: string(lab.Flavor()), Mode: string(a.mode), Plan: a.plan}, total); err != nil {
			return err
		}
	}
	if total.Findings > 0 {
		return fmt.Errorf("%d findings; histories and logs are in %s", total.Findings, a.keep)
	}
	return nil
}

// seedRun is one site and what happens there.
type seedRun struct {
	arguments
	lab    *harness.Lab
	seed   uint64
	site   *site.Site
	load   *workload.Workload
	trail  *follower
	person *site.Person
	total  *sums
	usage  map[string]check.Sample // when the first round began
	notes  []string                // of the present round
	log    io.Writer
}

// paceOfClients is between two rows of one client: what a replica with one applying thread
// keeps up with on a machine that runs several laboratories.
const paceOfClients = 60 * time.Millisecond

// busyPace is what it keeps up with while all processors have other work.
const busyPace = 240 * time.Millisecond

// startWithin bounds the making of a site.
const startWithin = 90 * time.Second

func runSeed(ctx context.Context, a arguments, lab *harness.Lab, freezer *disk.Freezer, seed uint64, end time.Time, total *sums) error {
	r := &seedRun{arguments: a, lab: lab, seed: seed, total: total, log: os.Stdout}
	rng := rand.New(rand.NewPCG(seed, 0))
	sentinels := rng.IntN(2) == 1
	if a.sentinels != "seed" {
		sentinels = a.sentinels == "yes"
	}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var err error
	r.site, err = site.New(starting, lab, site.Options{Mode: a.mode, Sentinels: sentinels, Programs: harness.Programs{Dir: a.bin}, Freezer: freezer})
	if err != nil {
		return err
	}
	defer func() {
		if err := r.site.Close(); err != nil {
			fmt.Fprintln(r.log, "clean up:", err)
		}
	}()
	fmt.Fprintf(r.log, "seed %d: %s, %s, %d Redis\n", seed, lab.Flavor(), a.mode, len(r.site.Stores))
	r.trail = follow(r.site)
	defer r.trail.Stop()
	if err := harness.Until(starting, "the pair is well", r.site.Well); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return r.tell(ctx, 0, nil, []check.Finding{{Checker: "convergence", Text: err.Error()}})
	}
	if err := r.startLoad(starting); err != nil {
		return err
	}
	defer r.load.Stop()
	r.person = r.site.Person()
	switch a.plan {
	case planRedis:
		return r.redisAway(ctx)
	default:
		err = r.rounds(ctx, end)
	}
	return errors.Join(err, r.last(ctx))
}

func (r *seedRun) startLoad(ctx context.Context) error {
	snap, err := r.site.Snapshot(ctx)
	if err != nil {
		return err
	}
	active := r.site.At(snap.Assignment.Active)
	for _, statement := range workload.Schema() {
		if err := active.Exec(ctx, statement); err != nil {
			return err
		}
	}
	pace := r.every
	if r.plan == planBusy {
		pace = max(pace, busyPace)
	}
	opts := workload.Options{ClientHosts: site.Clients, ServerHosts: r.serverHosts(), Seed: r.seed, Every: pace,
		Dial: func(name string) workload.DialFunc { return r.site.Net.Host(name).Dial }}
	for _, db := range r.site.DB {
		opts.Nodes = append(opts.Nodes, db.Addr())
	}
	r.load, err = workload.Start(opts)
	return err
}

func (r *seedRun) rounds(ctx context.Context, end time.Time) error {
	first, last := 1, r.arguments.rounds
	if r.round > 0 {
		first, last = r.round, r.round
	}
	for n := first; n <= last && ctx.Err() == nil; n++ {
		if !end.IsZero() && time.Now().After(end) {
			return nil
		}
		rng := rand.New(rand.NewPCG(r.seed, uint64(n)))
		plan := fault.Cuts(rng)
		switch {
		case r.script != nil:
			plan = r.script.Round(n)
		case r.plan == planBusy:
			plan = fault.Busy()
		case r.plan == planStorm:
			plan = fault.Draw(rng, fault.Setup{Sentinels: r.site.Sentinels(), Classic: r.mode == site.Classic, Previous: r.previous != ""}, r.only)
		}
		findings, err := r.run(ctx, n, plan, rng)
		if err != nil {
			return fmt.Errorf("round %d (%s): %w", n, plan, err)
		}
		if len(findings) > 0 {
			// What is wrong now may have everything after it be wrong, too.
			return r.tell(ctx, n, plan, findings)
		}
	}
	return ctx.Err()
}

// tell prints findings, and keeps what is needed to understand them.
func (r *seedRun) tell(ctx context.Context, n int, plan fault.Plan, findings []check.Finding) error {
	r.total.Findings += len(findings)
	for _, f := range findings {
		fmt.Fprintf(r.log, "  FOUND %s\n", f)
	}
	return r.save(ctx, n, plan, findings)
}

// save keeps what is needed to understand findings.
func (r *seedRun) save(ctx context.Context, n int, plan fault.Plan, findings []check.Finding) error {
	dir := filepath.Join(r.keep, fmt.Sprintf("%s-%s-seed-%d-round-%d", r.lab.Flavor(), r.mode, r.seed, n))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "seed %d round %d: %s\n", r.seed, n, plan)
	for _, f := range findings {
		fmt.Fprintln(&text, f)
	}
	for _, note := range r.notes {
		fmt.Fprintln(&text, note)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, args := range [][]string{{"mmm-status", "-o", "tree"}, {"mmmctl", "history", "--tag", harness.ServiceTag}} {
		out, err := r.site.Tool(short, args[0], args[1:]...)
		fmt.Fprintf(&text, "\n$ %s\n%s\n%v\n", strings.Join(args, " "), out, err)
	}
	for _, db := range r.site.DB {
		fmt.Fprintf(&text, "\nerror log of %s:\n%s\n", db.Addr(), db.ErrorLog(60))
		state, err := db.Describe(short)
		fmt.Fprintf(&text, "\n%s\n%v\n", state, err)
	}
	err := os.WriteFile(filepath.Join(dir, "finding.txt"), []byte(text.String()), 0o644)
	logs, problem := r.site.Logs()
	err = errors.Join(err, problem)
	for _, path := range logs {
		data, problem := os.ReadFile(path)
		if problem == nil && len(data) > 0 {
			problem = os.WriteFile(filepath.Join(dir, filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path)), data, 0o644)
		}
		err = errors.Join(err, problem)
	}
	events, problem := json.MarshalIndent(r.trail.Events(), "", " ")
	return errors.Join(err, problem, os.WriteFile(filepath.Join(dir, "trail.json"), events, 0o644))
}
