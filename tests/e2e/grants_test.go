package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// A session keeps the privileges that it had at its log-in. A grant that monitor
// and agent lack is told, moves nothing, and takes effect without a restart.
func TestMissingGrantIsToldAndTakesEffect(t *testing.T) {
	m := mailServer(t)
	s := mailing(t, m, 1)
	w := s.write(1, 5*time.Millisecond)
	before := s.record()
	servers := []*harness.Server{s.a, s.b}
	missing := lab.WatchGrant()
	for _, server := range servers {
		s.local(server, "REVOKE "+missing+" ON *.* FROM '"+harness.ManagerUser+"'@'%'")
		s.cut(server, harness.ManagerUser)
	}
	for _, server := range servers {
		s.shown("tree", "not sampled: error: observe "+string(server.Addr()), string(server.Addr())+": the server cannot be sampled: ",
			missing, "mmmctl check shows the GRANT")
		d := s.mailed(m, "grants missing on "+string(server.Addr()))
		s.says(d, missing, "mmmctl check --tag "+harness.ServiceTag)
	}
	s.unmoved(3*time.Second, before)
	s.more(w, 20)

	for _, server := range servers {
		s.local(server, "GRANT "+missing+" ON *.* TO '"+harness.ManagerUser+"'@'%'")
	}
	granted := time.Now()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "monitor and agent sample again", func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil {
				return false, err.Error()
			}
			for _, server := range servers {
				for _, o := range snap.Observations[server.Addr()] {
					if !o.Answered() {
						return false, o.Error
					}
				}
				for _, r := range snap.Reports[server.Addr()] {
					denied := slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == cluster.NoteGrants })
					if denied || r.Cause != cluster.CauseNone {
						return false, fmt.Sprintf("%s %s %v", r.Cause, r.Reason, r.Notes)
					}
				}
			}
			return true, ""
		})
	})
	took := time.Since(granted)
	t.Logf("both sample again %v after the grant", took.Round(time.Millisecond))
	if took > 4*time.Second {
		t.Errorf("the grant took effect after %v, and they sample every second", took)
	}
	if after := s.whole(s.a); after.Epoch != before.Epoch {
		t.Errorf("epoch %d became %d", before.Epoch, after.Epoch)
	}
	s.more(w, 20)
	s.settle(s.a, w)
	out, err := s.Tool(s.short(), "mmm-status", "--tag", harness.ServiceTag, "-o", "tree")
	s.must(err)
	if strings.Contains(out.Stdout, "GRANT") {
		t.Errorf("status still asks for it:\n%s", out.Stdout)
	}
}
