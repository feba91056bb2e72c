package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// An agent that is paused between its epoch check and the opening, while another
// closes that server and opens the other, cannot open it when it wakes: the
// closer has ended the connection that it was going to use.
func TestPausedOpenerCannotOpen(t *testing.T) {
	s := prepare(t, options{failpoints: true, daemons: []string{harness.Monitor, harness.Identify}})
	paused := s.start(harness.Agent, "MMM_FAILPOINT=open.checked:stop")
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the first agent stops itself before it opens the primary host", func(context.Context) (bool, string) {
			return paused.Stopped(), "it runs"
		})
	})
	if closed, err := s.a.ReadOnly(s.short()); err != nil || !closed {
		t.Fatalf("read_only of the primary host %v, %v: the agent stopped after the opening", closed, err)
	}
	before := s.record()
	if before.Active != s.a.Addr() {
		t.Fatalf("the record names %q", before.Active)
	}

	s.start(harness.Agent)
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	w := s.write(1, 5*time.Millisecond)
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl switchover: %s", out)
	}
	change := s.moved(before, s.b)
	s.must(paused.Thaw())
	s.must(harness.Holds(s.Context(), 4*time.Second, "the primary host stays closed", func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && closed, fmt.Sprintf("read_only %v, %v", closed, err)
	}))
	s.unmoved(time.Second, change.Record)
	// The woken agent is not broken for good: it reports the order now in force.
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "both agents know the order in force", func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil {
				return false, err.Error()
			}
			current := 0
			for _, r := range snap.Reports[s.a.Addr()] {
				if r.Order == snap.Assignment.Order() && r.Deed != cluster.DeedOpen {
					current++
				}
			}
			return current == 2, fmt.Sprintf("%d of 2: %+v", current, snap.Reports[s.a.Addr()])
		})
	})
	if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}
