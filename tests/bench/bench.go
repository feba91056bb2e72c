package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const (
	firstWrite = "first write"
	refused    = "port refuses"
	probeEvery = 5 * time.Millisecond
)

// settings are the defaults, but for the block between two failovers.
var settings = map[string]string{"interval": "3", "try_times": "2", "connect_timeout": "1", "failover_block": "0"}

type bench struct {
	lab      *harness.Lab
	site     *harness.Site
	programs harness.Programs
	clients  int // clients used so far: each run's rows have numbers of their own
}

// result is one run: milliseconds after the fault, by moment.
type result struct {
	ms                 map[string]float64
	acknowledged, lost int
}

func newBench(ctx context.Context, lab *harness.Lab, programs harness.Programs) (*bench, error) {
	b := &bench{lab: lab, programs: programs}
	return b, b.renew(ctx)
}

// renew makes a new site with running daemons in place of the old one.
func (b *bench) renew(ctx context.Context) error {
	if b.site != nil {
		b.site.Close()
	}
	var err error
	if b.site, err = b.lab.NewSite(ctx, harness.SiteOptions{Programs: b.programs, Tag: settings}); err != nil {
		return err
	}
	return b.site.StartAll()
}

// ready waits until the pair is whole and a failover would happen, and gives both roles.
func (b *bench) ready(ctx context.Context) (active, passive *harness.Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	err = harness.Until(ctx, "the pair has an active", func(ctx context.Context) (bool, string) {
		snap, err := b.site.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		active = b.site.Pair.At(snap.Assignment.Active)
		return active != nil && snap.Assignment.Phase == cluster.PhaseSteady, snap.Assignment.Reason
	})
	if err != nil {
		return nil, nil, err
	}
	passive = b.site.Pair.Other(active)
	if _, err := b.site.WaitWhole(ctx, active); err != nil {
		return nil, nil, err
	}
	return active, passive, b.site.WaitReady(ctx, passive)
}

// measure breaks the active once, at a random moment of the monitor's round.
func (b *bench) measure(ctx context.Context, kind string) (result, error) {
	r := result{ms: map[string]float64{}}
	active, passive, err := b.ready(ctx)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	before, err := b.site.Snapshot(ctx)
	if err != nil {
		return r, err
	}
	writer, err := b.start(active)
	if err != nil {
		return r, err
	}
	defer writer.Stop()
	probe, err := b.start(passive)
	if err != nil {
		return r, err
	}
	defer probe.Stop()
	if err := writer.WaitMore(ctx, 20); err != nil {
		return r, err
	}
	if err := wait(ctx, time.Duration(rand.Int64N(int64(3*time.Second)))); err != nil {
		return r, err
	}

	began := time.Now()
	after := func(at time.Time) float64 { return float64(at.Sub(began).Microseconds()) / 1000 }
	switch kind {
	case "kill":
		if err := active.Process().Signal(syscall.SIGKILL); err != nil {
			return r, err
		}
		at, err := refusesAt(ctx, active.Addr())
		if err != nil {
			return r, err
		}
		r.ms[refused] = after(at)
	case "stop":
		if err := active.Process().Freeze(); err != nil {
			return r, err
		}
	default:
		return r, fmt.Errorf("no such fault: %s", kind)
	}
	ack, err := probe.WaitAck(ctx, began, passive.Addr())
	if err != nil {
		return r, err
	}
	r.ms[firstWrite] = after(ack.At)
	change, err := b.site.WaitChange(ctx, before.Assignment.Epoch, passive)
	if err != nil {
		return r, err
	}
	for _, m := range change.Moments {
		r.ms[m.Name] = after(m.At)
	}
	writer.Stop()
	probe.Stop()
	tally, err := passive.Tally(ctx, writer, probe)
	if err != nil {
		return r, err
	}
	r.acknowledged, r.lost = tally.Acknowledged, len(tally.Lost)
	return r, b.mend(ctx, kind, active, passive)
}

// mend brings the pair back, or makes a new one where the old active holds
// transactions of its own.
func (b *bench) mend(ctx context.Context, kind string, old, active *harness.Server) error {
	if kind == "stop" {
		if err := old.Process().Thaw(); err != nil {
			return err
		}
	} else {
		<-old.Process().Done()
		if err := old.Start(ctx); err != nil {
			return err
		}
	}
	if err := old.WaitReady(ctx); err != nil {
		return err
	}
	// A woken server may still finish what it had begun before it is closed.
	err := harness.Until(ctx, "the old active is closed", func(ctx context.Context) (bool, string) {
		closed, err := old.ReadOnly(ctx)
		return err == nil && closed, "open"
	})
	if err != nil {
		return err
	}
	own, err := old.OwnTransactions(ctx, old)
	if err != nil {
		return err
	}
	known, err := active.OwnTransactions(ctx, old)
	if err != nil {
		return err
	}
	if own > known {
		return b.renew(ctx)
	}
	return nil
}

func (b *bench) start(server *harness.Server) (*harness.Writer, error) {
	b.clients++
	return b.lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{server.Addr()}, First: b.clients, Every: probeEvery, Retry: probeEvery,
	})
}

// refusesAt dials until the port refuses.
func refusesAt(ctx context.Context, node cluster.Endpoint) (time.Time, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", string(node), time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return time.Now(), nil
		}
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait until %s refuses: %w", node, ctx.Err())
		}
	}
}

// openingFloor measures what a server alone needs to open.
func (b *bench) openingFloor(ctx context.Context, out io.Writer) error {
	server, err := b.lab.NewServer(ctx, harness.ServerOptions{ID: 9})
	if err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	var values []float64
	for range 50 {
		if err := server.Exec(ctx, b.lab.Closing()); err != nil {
			return err
		}
		began := time.Now()
		if err := server.Exec(ctx, "SET GLOBAL read_only=0"); err != nil {
			return err
		}
		values = append(values, float64(time.Since(began).Microseconds())/1000)
	}
	server.Kill()
	fmt.Fprintf(out, "\n`SET GLOBAL read_only=0` on a server of its own: median %.2f ms, p95 %.2f ms (%d times).\n", quantile(values, 0.5), quantile(values, 0.95), len(values))
	return nil
}

type cost struct {
	name    string
	percent float64
	rss     int64
}

// idle watches what the daemons use of the processor and hold in memory.
func (b *bench) idle(ctx context.Context, d time.Duration) ([]cost, error) {
	if _, _, err := b.ready(ctx); err != nil {
		return nil, err
	}
	before := map[*harness.Daemon]harness.Usage{}
	for _, daemon := range b.site.Daemons() {
		u, err := daemon.Usage()
		if err != nil {
			return nil, err
		}
		before[daemon] = u
	}
	began := time.Now()
	if err := wait(ctx, d); err != nil {
		return nil, err
	}
	var costs []cost
	for _, daemon := range b.site.Daemons() {
		u, err := daemon.Usage()
		if err != nil {
			return nil, err
		}
		used := u.CPU - before[daemon].CPU
		costs = append(costs, cost{daemon.Name, 100 * used.Seconds() / time.Since(began).Seconds(), u.RSS})
	}
	return costs, nil
}

func (b *bench) heading(ctx context.Context) error {
	versions, err := b.lab.Versions(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s; %s; %s, %d cores. interval=%s, try_times=%s, connect_timeout=%s, failover_block=%s; asynchronous replication;\n"+
		"a client writes into the active every %v, another tries the other server every %v, both as an ordinary user.\n",
		strings.Join(versions, "; "), runtime.Version(), runtime.GOARCH, runtime.NumCPU(), settings["interval"], settings["try_times"],
		settings["connect_timeout"], settings["failover_block"], probeEvery, probeEvery)
	return nil
}

// wait lets d pass.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
