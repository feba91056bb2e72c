package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// noted waits until an agent's report on node has the note.
func (s *stage) noted(node *harness.Server, code string) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "an agent notes "+code, func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil {
				return false, err.Error()
			}
			for _, r := range snap.Reports[node.Addr()] {
				if slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == code }) {
					return true, ""
				}
			}
			return false, fmt.Sprintf("%+v", snap.Reports[node.Addr()])
		})
	})
}

// Backups and DDL keep the agent's row from being written for longer than write_probe allows, and no role moves for
// it. Afterwards it is written again, and replicates.
func TestABackupIsNoStall(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"write_probe": "1"}})
	before := s.record()
	beats := func(on *harness.Server) string {
		n, err := on.Value(s.short(), "SELECT SUM(beats) FROM mmm_meta.write_probe")
		s.must(err)
		return n
	}
	for name, hold := range map[string]string{
		"FLUSH TABLES WITH READ LOCK": "FLUSH TABLES WITH READ LOCK",
		"a lock of the table":         "LOCK TABLES mmm_meta.write_probe WRITE",
	} {
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, "rows are written", func(context.Context) (bool, string) {
				there, err := s.b.Value(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'write_probe'")
				if err != nil || there != "1" {
					return false, fmt.Sprint(there, err)
				}
				return beats(s.b) != "", ""
			})
		})
		holder, err := s.a.Admin().Conn(s.Context())
		s.must(err)
		if _, err := holder.ExecContext(s.short(), hold); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.noted(s.a, cluster.NoteWrites)
		s.unmoved(5*time.Second, before)
		if _, err := holder.ExecContext(s.short(), "UNLOCK TABLES"); err != nil {
			t.Fatal(err)
		}
		s.must(holder.Close())
		at := beats(s.a)
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, "rows are written again, and replicate", func(context.Context) (bool, string) {
				now := beats(s.b)
				return now != at && len(now) >= len(at), now
			})
		})
	}
	s.unmoved(time.Second, before)
}
