package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// heartbeat is how often a replica hears its source where hosts are cut off: silence is told from a long way by it.
const heartbeat = 500 * time.Millisecond

// stage is a pair with its daemons: all on loopback, or each on a host of its own.
type stage struct {
	harness.Trail
	pair   *harness.Pair
	client harness.Place // from where applications connect; this machine when nil
	hosts  *site.Site    // nil on loopback
	tool   func(ctx context.Context, name string, args ...string) (harness.Output, error)
	whole  func(ctx context.Context, active *harness.Server) error
	close  func()
	since  time.Time // since when the pair is whole
}

// theatre is what stages are made with.
type theatre struct {
	lab      *harness.Lab
	programs harness.Programs
	freezer  *disk.Freezer // nil without root: then there is loopback alone
}

// stageOf says what a stage has to be; cells with the same one share it.
type stageOf struct {
	hosts, local bool
	planned      bool // for switchovers: a pair that no fault has made anew again and again
	durability   cluster.Durability
	timeout      float64 // connect_timeout, seconds
}

// raise makes a stage with running daemons.
func (t *theatre) raise(ctx context.Context, o stageOf) (*stage, error) {
	tag := maps.Clone(settings)
	tag["durability"], tag["failback"] = string(o.durability), "manual"
	tag["connect_timeout"] = strconv.FormatFloat(o.timeout, 'g', -1, 64)
	agent := map[string]string{"connect_timeout": tag["connect_timeout"]}
	if o.hosts {
		return t.raiseHosts(ctx, o, tag, agent)
	}
	s, err := t.lab.NewSite(ctx, harness.SiteOptions{Programs: t.programs, Tag: tag, Agent: agent})
	if err != nil {
		return nil, err
	}
	st := &stage{Trail: s, pair: s.Pair, tool: s.Tool, close: s.Close}
	st.whole = func(ctx context.Context, active *harness.Server) error {
		if _, err := s.WaitWhole(ctx, active); err != nil {
			return err
		}
		return s.WaitReady(ctx, s.Pair.Other(active))
	}
	return st, s.StartAll()
}

func (t *theatre) raiseHosts(ctx context.Context, o stageOf, tag, agent map[string]string) (*stage, error) {
	mode := site.Classic
	if o.local {
		mode = site.Mode(o.durability)
	}
	s, err := site.New(ctx, t.lab, site.Options{Mode: mode, Programs: t.programs, Freezer: t.freezer, Single: true, Heartbeat: heartbeat, Tag: tag, Agent: agent})
	if err != nil {
		return nil, err
	}
	st := &stage{Trail: s, pair: s.Pair(), client: s.Net.Host(site.Clients[0]), hosts: s, tool: s.Tool}
	st.close = func() {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "clean up:", err)
		}
	}
	st.whole = func(ctx context.Context, _ *harness.Server) error {
		return harness.Until(ctx, "the pair is well", s.Well)
	}
	return st, nil
}

// ready waits until the pair is whole, keeps its promise, and a failover would happen.
func (st *stage) ready(ctx context.Context, mode cluster.Durability) (active, passive *harness.Server, before cluster.Assignment, err error) {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	err = harness.Until(ctx, "the pair has an active and keeps its promise", func(ctx context.Context) (bool, string) {
		snap, err := st.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		before = snap.Assignment
		active = st.pair.At(before.Active)
		return active != nil && before.Phase == cluster.PhaseSteady && before.Waits == mode.Acknowledged() && (!before.Waits || before.IsEligible(before.Passive)),
			fmt.Sprintf("%s %s, waits %v: %s", before.Order(), before.Phase, before.Waits, before.Reason)
	})
	if err != nil {
		return nil, nil, before, err
	}
	passive = st.pair.Other(active)
	return active, passive, before, st.whole(ctx, active)
}
