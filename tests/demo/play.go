package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// demo is one performance.
type demo struct {
	lab   *harness.Lab
	site  *harness.Site
	out   io.Writer
	began time.Time
}

func (d *demo) play(ctx context.Context, programs harness.Programs) error {
	site, err := d.setUp(ctx, programs)
	if err != nil {
		return err
	}
	a, b := site.Pair.A, site.Pair.B
	witness, err := site.Pair.Watch()
	if err != nil {
		return err
	}
	before, err := site.WaitWhole(ctx, a)
	if err != nil {
		return err
	}
	if err := site.WaitReady(ctx, b); err != nil {
		return err
	}
	err = site.WaitSeen(ctx, a, "open", func(o cluster.Observation) bool { return o.Answered() && o.Server.ReadOnly == cluster.No })
	if err != nil {
		return err
	}
	d.say("The pair is up: %s open, %s closed and replicating.", a.Addr(), b.Addr())
	if err := d.status(ctx); err != nil {
		return err
	}

	writer, err := d.lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{a.Addr(), b.Addr()}, Clients: 4, Every: 10 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	if err := writer.WaitMore(ctx, 400); err != nil {
		return err
	}
	d.say("An application writes as user %q, 4 clients; %d rows are acknowledged. Now: kill -9 of the active.", harness.AppUser, len(writer.Acks()))

	follower, err := d.follow(ctx)
	if err != nil {
		return err
	}
	killed := time.Now()
	a.Kill()
	follower.since(killed)
	write, err := writer.WaitAck(ctx, killed, b.Addr())
	if err != nil {
		return err
	}
	change, err := site.WaitChange(ctx, before.Epoch, b)
	if err != nil {
		return err
	}
	follower.stop()
	if err := writer.WaitMore(ctx, 200); err != nil {
		return err
	}
	d.timeline(killed, change, write.At)
	if err := checkChange(change); err != nil {
		return err
	}
	if err := d.status(ctx); err != nil {
		return err
	}

	d.say("The old active is started again.")
	if err := a.Start(ctx); err != nil {
		return err
	}
	comeback, err := d.comeback(ctx, a, b)
	if err != nil {
		return err
	}
	writer.Stop()
	if err := d.status(ctx); err != nil {
		return err
	}
	tally, err := b.Tally(ctx, writer)
	if err != nil {
		return err
	}
	d.rows(tally, comeback)
	witness.Stop()
	if seen := witness.BothOpen(); len(seen) > 0 {
		return fmt.Errorf("both servers were open at the same time, first %s after the kill", seen[0].Sub(killed))
	}
	if err := checkRows(ctx, tally, comeback, a, b); err != nil {
		return err
	}
	d.say("Everything that happened is what the programs reported.")
	return nil
}

func (d *demo) setUp(ctx context.Context, programs harness.Programs) (*harness.Site, error) {
	versions, err := d.lab.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range versions {
		d.say("%s", line)
	}
	site, err := d.lab.NewSite(ctx, harness.SiteOptions{Programs: programs})
	if err != nil {
		return nil, err
	}
	d.site = site
	d.say("Two servers in circular GTID replication, both read_only=1, and a Redis on free ports of 127.0.0.1.")
	if err := site.StartAll(); err != nil {
		return nil, err
	}
	d.say("mmm-monitor, mmm-identify and mmm-agent started with %s and %s.", site.Conf, site.AgentConf)
	return site, nil
}

// comeback is how the old active came back.
type comeback struct {
	quarantine bool
	errant     uint64 // transactions that only the old active has
	report     cluster.Report
}

// comeback waits until the old active is in one of the two valid endings, and
// compares it with what the servers themselves hold.
func (d *demo) comeback(ctx context.Context, old, active *harness.Server) (comeback, error) {
	var c comeback
	own, err := old.OwnTransactions(ctx, old)
	if err != nil {
		return c, err
	}
	known, err := active.OwnTransactions(ctx, old)
	if err != nil {
		return c, err
	}
	c.errant = own - min(own, known)
	if c.errant == 0 {
		if err := old.WaitReplicates(ctx); err != nil {
			return c, err
		}
		if _, err := d.site.WaitOpen(ctx, active); err != nil {
			return c, err
		}
		d.say("It is back: closed, and replicating from the new active.")
		return c, d.site.WaitSeen(ctx, old, "replicating", func(o cluster.Observation) bool {
			return o.Answered() && o.Server.Channel.Replicates(active.Addr())
		})
	}
	c.quarantine = true
	c.report, err = d.site.WaitReport(ctx, old, "quarantine", func(r cluster.Report) bool { return r.Deed == cluster.DeedQuarantine })
	if err != nil {
		return c, err
	}
	d.say("It is back, closed and in quarantine: it holds %d transaction(s) that never left it (%s).", c.errant, c.report.Errant)
	return c, nil
}

// checkChange reports what a complete account of a failover lacks.
func checkChange(c harness.Change) error {
	for _, name := range []string{harness.Seen, harness.Decided, harness.Closed, harness.Drained, harness.Opened} {
		if _, ok := c.Moment(name); !ok {
			return fmt.Errorf("the audit trail does not say when it %s", name)
		}
	}
	if c.Record.Proof == cluster.ProofNone {
		return fmt.Errorf("the record names neither a proof nor a risk")
	}
	return nil
}

// checkRows reports rows whose fate is not what the programs reported.
func checkRows(ctx context.Context, tally harness.Tally, c comeback, old, active *harness.Server) error {
	if len(tally.Invented) > 0 {
		return fmt.Errorf("%d rows are present that nobody wrote", len(tally.Invented))
	}
	if len(tally.Lost) > 0 && !c.quarantine {
		return fmt.Errorf("%d acknowledged rows are lost, and nothing reports it", len(tally.Lost))
	}
	if c.quarantine {
		return nil
	}
	return harness.Until(ctx, "both servers hold the same rows", func(ctx context.Context) (bool, string) {
		mine, err := old.Rows(ctx)
		if err != nil {
			return false, err.Error()
		}
		theirs, err := active.Rows(ctx)
		if err != nil {
			return false, err.Error()
		}
		for row := range theirs {
			if !mine[row] {
				return false, fmt.Sprintf("the old active lacks row %v", row)
			}
		}
		return len(mine) == len(theirs), fmt.Sprintf("%d rows and %d rows", len(mine), len(theirs))
	})
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "[%5.1f s] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// status shows what mmm-status prints on a terminal.
func (d *demo) status(ctx context.Context) error {
	out, err := d.site.Tool(ctx, "mmm-status", "--tag", harness.ServiceTag, "-o", "tree")
	if err != nil {
		return err
	}
	if out.Stdout == "" {
		return fmt.Errorf("mmm-status prints nothing: %s", out)
	}
	fmt.Fprintf(d.out, "\n    $ mmm-status --tag %s\n", harness.ServiceTag)
	for line := range strings.Lines(strings.TrimRight(out.Stdout, "\n") + "\n") {
		fmt.Fprint(d.out, "    ", line)
	}
	fmt.Fprintln(d.out)
	return nil
}

func (d *demo) logs() {
	fmt.Fprintf(d.out, "\n-- log of monitor and identify, its end:\n%s\n", d.site.Log(harness.MainLog, 10))
	for _, daemon := range d.site.Daemons() {
		fmt.Fprintf(d.out, "\n-- %s, the end of its log:\n%s\n%s\n", daemon.Name, d.site.Log(daemon.Name, 15), daemon.Output(10))
	}
}
