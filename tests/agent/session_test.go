package agent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// Nothing is ever sent on the spare connection: only its end tells of its end.
func TestConnectionsThatEndAreReplaced(t *testing.T) {
	s := prepare(t, programs)
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	s.start()
	s.deed(s.b, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedClosed)
	table := "information_schema.processlist"
	if lab.Flavor() == harness.MySQL {
		table = "performance_schema.processlist"
	}
	both := func(above string) (newest string) {
		t.Helper()
		s.must(harness.Until(s.within(10*time.Second), "two sessions of the agent after session "+above, func(ctx context.Context) (bool, string) {
			got, err := s.b.Value(ctx, "SELECT IF(COUNT(*) = 2 AND MIN(id) > ?, MAX(id), '') FROM "+table+" WHERE user = ?", above, harness.ManagerUser)
			newest = got
			return err == nil && got != "", fmt.Sprint(got, err)
		}))
		return newest
	}
	newest := both("0")
	s.must(s.b.Cut(s.within(5*time.Second), harness.ManagerUser))
	both(newest)
}
