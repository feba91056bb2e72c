package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const (
	// crowd write side by side, each every crowdEvery: 500 rows a second, as far as the
	// servers keep up. They know both servers; heldClients, who know the old active alone, hold
	// their connections through a hang.
	crowd, heldClients = 8, 4
	crowdEvery         = 16 * time.Millisecond
	heldTimeout        = 30 * time.Second
)

// promises are pairs with one durability, whose actives are broken.
type promises struct {
	lab  *harness.Lab
	bin  harness.Programs
	mode cluster.Durability
	site *harness.Site
	used int // clients used so far: each run's rows have numbers of their own
}

// kept is what became of acknowledged rows in one run.
type kept struct {
	firstWrite   float64 // milliseconds after the fault
	proof        cluster.Proof
	acknowledged int
	missing      int // acknowledged rows that the new active does not hold
	late, lied   int // told by the old active after the first on the new one; of these, not held by that then
	left         int // rows that the old active alone holds
	reported     int // transactions that the record says so of
}

// measurePromises breaks the actives of pairs with one durability and prints what became of rows.
func measurePromises(ctx context.Context, lab *harness.Lab, bin harness.Programs, mode cluster.Durability, runs int, out io.Writer) error {
	p := &promises{lab: lab, bin: bin, mode: mode}
	defer func() {
		if p.site != nil {
			p.site.Close()
		}
	}()
	for _, kind := range []string{"kill", "stop"} {
		var all []kept
		for n := range runs {
			k, err := p.measure(ctx, kind)
			if err != nil {
				return fmt.Errorf("%s, %s, run %d: %w", mode, kind, n+1, err)
			}
			fmt.Fprintf(os.Stderr, "%s, %s %d/%d: first write after %.1f ms (%s), %d of %d acknowledged rows missing, %d told late (%d of them missing), %d rows left behind, %d reported\n",
				mode, kind, n+1, runs, k.firstWrite, k.proof, k.missing, k.acknowledged, k.late, k.lied, k.left, k.reported)
			all = append(all, k)
		}
		promiseTable(out, mode, kind, all)
	}
	return nil
}

// raise makes a site with running daemons.
func (p *promises) raise(ctx context.Context) error {
	tag := maps.Clone(settings)
	tag["durability"] = string(p.mode)
	var err error
	if p.site, err = p.lab.NewSite(ctx, harness.SiteOptions{Programs: p.bin, Tag: tag}); err != nil {
		return err
	}
	return p.site.StartAll()
}

// ready waits until the pair is whole and keeps its promise.
func (p *promises) ready(ctx context.Context) (active, passive *harness.Server, before cluster.Assignment, err error) {
	if p.site == nil {
		if err = p.raise(ctx); err != nil {
			return nil, nil, before, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	err = harness.Until(ctx, "the pair has an active and keeps its promise", func(ctx context.Context) (bool, string) {
		snap, err := p.site.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		before = snap.Assignment
		active = p.site.Pair.At(before.Active)
		return active != nil && before.Phase == cluster.PhaseSteady && before.Waits == p.mode.Acknowledged() && before.IsEligible(before.Passive),
			fmt.Sprintf("%s %s, waits %v: %s", before.Order(), before.Phase, before.Waits, before.Reason)
	})
	if err != nil {
		return nil, nil, before, err
	}
	if _, err = p.site.WaitWhole(ctx, active); err != nil {
		return nil, nil, before, err
	}
	passive = p.site.Pair.Other(active)
	return active, passive, before, p.site.WaitReady(ctx, passive)
}

// writers starts the crowd, and those who hold to the active.
func (p *promises) writers(active, passive *harness.Server) (follow, hold *harness.Writer, err error) {
	follow, err = p.lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{active.Addr(), passive.Addr()}, First: p.used + 1, Clients: crowd, Every: crowdEvery, Retry: probeEvery,
	})
	if err != nil {
		return nil, nil, err
	}
	p.used += crowd
	hold, err = p.lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{active.Addr()}, First: p.used + 1, Clients: heldClients, Every: crowdEvery, Timeout: heldTimeout,
	})
	p.used += heldClients
	return follow, hold, err
}

// measure breaks the active once, lets it return after the switch, and compares.
func (p *promises) measure(ctx context.Context, kind string) (k kept, err error) {
	active, passive, before, err := p.ready(ctx)
	if err != nil {
		return k, err
	}
	ctx, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()
	follow, hold, err := p.writers(active, passive)
	if err != nil {
		return k, err
	}
	defer follow.Stop()
	defer hold.Stop()
	if err := follow.WaitMore(ctx, 50); err != nil {
		return k, err
	}
	if err := wait(ctx, time.Duration(rand.Int64N(int64(time.Second)))); err != nil {
		return k, err
	}
	began := time.Now()
	switch kind {
	case "kill":
		err = active.Process().Signal(syscall.SIGKILL)
	case "stop":
		err = active.Process().Freeze()
	default:
		err = fmt.Errorf("no such fault: %s", kind)
	}
	if err != nil {
		return k, err
	}
	first, err := follow.WaitAck(ctx, began, passive.Addr())
	if err != nil {
		return k, err
	}
	k.firstWrite = ms(first.At.Sub(began))
	change, err := p.site.WaitChange(ctx, before.Epoch, passive)
	if err != nil {
		return k, err
	}
	k.proof = change.Record.Proof
	held, err := passive.Rows(ctx)
	if err != nil {
		return k, err
	}
	if err := p.bringBack(ctx, kind, active); err != nil {
		return k, err
	}
	if k.reported, err = p.reported(ctx); err != nil {
		return k, err
	}
	follow.Stop()
	hold.Stop()
	for _, ack := range append(follow.Acks(), hold.Acks()...) {
		if ack.Node != active.Addr() || !ack.At.After(first.At) {
			continue
		}
		k.late++
		if !held[ack.Row] {
			k.lied++
		}
	}
	tally, err := passive.Tally(ctx, follow, hold)
	if err != nil {
		return k, err
	}
	k.acknowledged, k.missing = tally.Acknowledged, len(tally.Lost)
	return k, p.compare(ctx, active, passive, &k)
}

// bringBack has the broken server answer again and waits until it is closed.
func (p *promises) bringBack(ctx context.Context, kind string, old *harness.Server) error {
	if kind == "stop" {
		if err := old.Process().Thaw(); err != nil {
			return err
		}
	} else {
		<-old.Process().Done()
		if err := old.Launch(); err != nil {
			return err
		}
	}
	if err := old.WaitReady(ctx); kind == "kill" && err != nil && ctx.Err() == nil {
		// A MariaDB killed under load has crashed in its recovery, once in some hundred starts.
		fmt.Fprintf(os.Stderr, "started once more: %v\n", err)
		if err := old.Start(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return harness.Until(ctx, "the old active is closed", func(ctx context.Context) (bool, string) {
		closed, err := old.ReadOnly(ctx)
		return err == nil && closed, "open"
	})
}

var countOf = regexp.MustCompile(`(\d+) transactions?\b`)

// reported is how many transactions are said to be left behind, once that is known.
func (p *promises) reported(ctx context.Context) (int, error) {
	var words string
	err := harness.Until(ctx, "what was left behind is known", func(ctx context.Context) (bool, string) {
		snap, err := p.site.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		words = snap.Assignment.Loss
		return !snap.Assignment.Estimated, words
	})
	if err != nil || words == "" {
		return 0, err
	}
	found := countOf.FindStringSubmatch(words)
	if found == nil {
		return 0, fmt.Errorf("the record tells of a loss without a number: %s", words)
	}
	return strconv.Atoi(found[1])
}

// compare counts what the old active alone holds; a pair in quarantine gives way to a new one.
func (p *promises) compare(ctx context.Context, old, active *harness.Server, k *kept) error {
	had, err := old.Rows(ctx)
	if err != nil {
		return err
	}
	has, err := active.Rows(ctx)
	if err != nil {
		return err
	}
	for row := range had {
		if !has[row] {
			k.left++
		}
	}
	if k.left+k.reported > 0 {
		p.site.Close()
		p.site = nil
	}
	return nil
}

// promiseTable prints what became of rows in all runs of one kind.
func promiseTable(out io.Writer, mode cluster.Durability, kind string, all []kept) {
	faults := map[string]string{"kill": "SIGKILL of the active, and its return", "stop": "SIGSTOP of the active, and SIGCONT after the switch"}
	fmt.Fprintf(out, "\n`durability=%s`, %s, %d runs; %d clients write a row every %s each, %d more know the old active alone and wait up to %s\n\n",
		mode, faults[kind], len(all), crowd, crowdEvery, heldClients, heldTimeout)
	var first []float64
	var sum kept
	runs := map[string]int{}
	proofs := map[cluster.Proof]int{}
	for _, k := range all {
		first = append(first, k.firstWrite)
		sum.acknowledged += k.acknowledged
		for name, n := range map[string][2]*int{"missing": {&sum.missing, &k.missing}, "late": {&sum.late, &k.late}, "lied": {&sum.lied, &k.lied},
			"left": {&sum.left, &k.left}, "reported": {&sum.reported, &k.reported}} {
			*n[0] += *n[1]
			if *n[1] > 0 {
				runs[name]++
			}
		}
		if k.left != k.reported {
			runs["unequal"]++
		}
		proofs[k.proof]++
	}
	fmt.Fprintln(out, "| what | number | runs with any |")
	fmt.Fprintln(out, "|---|---:|---:|")
	fmt.Fprintf(out, "| rows acknowledged | %d | |\n", sum.acknowledged)
	fmt.Fprintf(out, "| **acknowledged, and missing on the new active** | %d | %d |\n", sum.missing, runs["missing"])
	fmt.Fprintf(out, "| acknowledged by the old active after the first on the new one | %d | %d |\n", sum.late, runs["late"])
	fmt.Fprintf(out, "| **of these, not on the new one at the switch** | %d | %d |\n", sum.lied, runs["lied"])
	fmt.Fprintf(out, "| rows that the old active alone holds | %d | %d |\n", sum.left, runs["left"])
	fmt.Fprintf(out, "| transactions reported as left behind | %d | %d |\n", sum.reported, runs["reported"])
	fmt.Fprintf(out, "\nRuns in which more or fewer were reported than there are rows: %d. First write after the fault: median %.1f ms, p95 %.1f ms. Proofs:", runs["unequal"], quantile(first, 0.5), quantile(first, 0.95))
	for i, proof := range slices.Sorted(maps.Keys(proofs)) {
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintf(out, " %s %d times", proof, proofs[proof])
	}
	fmt.Fprintln(out, ".")
}
