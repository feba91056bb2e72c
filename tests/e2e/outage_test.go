package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// What is left to remember who was active last.
type leftover string

const (
	redisKept  leftover = "Redis kept"
	redisEmpty leftover = "Redis empty, the daemons go on"
	fileKept   leftover = "Redis empty, every daemon restarted, the agent's file kept"
	rowsOnly   leftover = "Redis empty, every daemon restarted, the agent's file lost"
)

var leftovers = []leftover{redisKept, redisEmpty, fileKept, rowsOnly}

// outage kills a, lets b take over and take rows, kills b, and leaves only so
// much of the memory. It returns the record of b's epoch and who wrote there.
func outage(s *stage, left leftover) (cluster.Assignment, *harness.Writer) {
	s.Helper()
	before := s.record()
	s.await(15*time.Second, func(ctx context.Context) error {
		return s.WaitSeen(ctx, s.a, "with its epoch row", func(o cluster.Observation) bool { return o.Server.Mark.Epoch == before.Epoch })
	})
	s.a.Kill()
	change := s.moved(before, s.b)
	w := s.write(1, 5*time.Millisecond)
	s.await(15*time.Second, func(ctx context.Context) error {
		return s.WaitSeen(ctx, s.b, "with its epoch row", func(o cluster.Observation) bool {
			return o.Server.Mark == cluster.Mark{Epoch: change.Record.Epoch, Active: s.b.Addr()}
		})
	})
	s.b.Kill()
	w.Stop()
	restart := left == fileKept || left == rowsOnly
	if restart {
		for _, d := range s.Daemons() {
			d.Kill()
		}
	}
	if left != redisKept {
		s.Redis.Kill()
		s.must(s.Redis.Forget())
		s.must(s.Redis.Start(s.short()))
	}
	if left == rowsOnly {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(s.AgentConf), "*.state*"))
		s.must(err)
		if len(found) == 0 {
			s.Fatal("the agent has no state file")
		}
		for _, path := range found {
			s.must(os.Remove(path))
		}
	}
	if restart {
		for _, d := range s.Daemons() {
			s.must(d.Start())
		}
	}
	return change.Record, w
}

// held waits for a verdict that says so, and then for d that a stays closed and
// is not active.
func (s *stage) held(d time.Duration) {
	s.Helper()
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the verdict says that a change of role is held", func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil || snap.Verdict == nil {
				return false, "no verdict"
			}
			return snap.Verdict.Held && snap.Verdict.Tag == harness.ServiceTag, snap.Verdict.Reason.Text
		})
	})
	s.must(harness.Holds(s.Context(), d, "a stays closed", func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		if err != nil {
			// The agent that closes a server ends root's session with the others.
			closed, err = s.a.ReadOnly(ctx)
		}
		if err != nil || !closed {
			return false, fmt.Sprintf("read_only is %v, %v", closed, err)
		}
		snap, err := s.Snapshot(ctx)
		return err != nil || snap.Assignment.Active != s.a.Addr(), "it is the active by the record"
	}))
	snap, err := s.Snapshot(s.short())
	s.must(err)
	if snap.Verdict != nil {
		s.Logf("held: %s %v", snap.Verdict.Reason, snap.Verdict.Blockers)
	}
}

// A dies, B takes over, B dies, A returns first: it is held until B is back,
// whatever is left of the memory, and nothing that B took is lost.
func TestWholeOutageOldActiveReturnsFirst(t *testing.T) {
	for _, left := range leftovers {
		t.Run(string(left), func(t *testing.T) {
			s := raise(t, options{})
			record, w := outage(s, left)
			s.must(s.a.Start(s.short()))
			s.held(5 * time.Second)
			s.must(s.b.Start(s.short()))
			after := s.open(s.b)
			if left == redisKept && after.Epoch != record.Epoch || left != redisKept && after.Epoch <= record.Epoch {
				t.Errorf("b is active in epoch %d after %d", after.Epoch, record.Epoch)
			}
			if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
				t.Errorf("%d rows that b acknowledged are lost", len(tally.Lost))
			}
			s.rejoined(s.a, s.b)
			s.unmoved(time.Second, after)
		})
	}
}

// Both return at once: the higher epoch is active.
func TestWholeOutageBothReturn(t *testing.T) {
	for _, left := range []leftover{redisKept, rowsOnly} {
		t.Run(string(left), func(t *testing.T) {
			s := raise(t, options{})
			record, w := outage(s, left)
			s.must(s.a.Start(s.short()))
			s.must(s.b.Start(s.short()))
			after := s.open(s.b)
			if after.Epoch < record.Epoch {
				t.Errorf("b is active in epoch %d after %d", after.Epoch, record.Epoch)
			}
			if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
				t.Errorf("%d rows that b acknowledged are lost", len(tally.Lost))
			}
			s.rejoined(s.a, s.b)
			s.unmoved(time.Second, after)
		})
	}
}

// A pair at rest loses Redis and every memory but its rows: the rows are equal,
// and the server that they name goes on, though the other one is the primary host.
func TestRowsNameTheActive(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"failback": "manual"}})
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl switchover: %s", out)
	}
	before := s.whole(s.b)
	for _, server := range s.Pair.Servers() {
		s.await(15*time.Second, func(ctx context.Context) error {
			return s.WaitSeen(ctx, server, "with the row of epoch 2", func(o cluster.Observation) bool {
				return o.Server.Mark == cluster.Mark{Epoch: before.Epoch, Active: s.b.Addr()}
			})
		})
	}
	for _, d := range s.Daemons() {
		d.Kill()
	}
	s.must(s.halt(s.a))
	s.must(s.halt(s.b))
	s.Redis.Kill()
	s.must(s.Redis.Forget())
	s.must(os.Remove(filepath.Join(filepath.Dir(s.AgentConf), "mmm-agent.state")))
	s.must(s.Redis.Start(s.short()))
	s.must(s.a.Start(s.short()))
	s.must(s.b.Start(s.short()))
	for _, d := range s.Daemons() {
		s.must(d.Start())
	}
	after := s.whole(s.b)
	if after.Epoch != before.Epoch+1 {
		t.Errorf("b is active in epoch %d, want %d", after.Epoch, before.Epoch+1)
	}
}
