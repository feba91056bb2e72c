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

// What opening needs and the agent's user has lost is told while nothing hangs on
// it: open sessions still have it. A switchover there is refused until it is granted.
func TestMissingGrantRefusesTheSwitchover(t *testing.T) {
	s := raise(t, options{})
	w := s.write(1, 5*time.Millisecond)
	before := s.record()
	grants := lab.OpenGrants()
	lacks := "the agent's account lacks " + strings.Join(grants, ", ") + " (mmmctl check shows the GRANT)"
	// What hinders the agent at once, such as keeping super_read_only, is told beside it.
	noted := func(want bool) time.Duration {
		t.Helper()
		began := time.Now()
		s.await(20*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, fmt.Sprintf("all agents note %q: %v", lacks, want), func(ctx context.Context) (bool, string) {
				snap, err := s.Snapshot(ctx)
				reports := snap.Reports[s.b.Addr()]
				for _, r := range reports {
					var notes []string
					for _, n := range r.Notes {
						if n.Code == cluster.NoteGrants {
							notes = append(notes, n.Text)
						}
					}
					if slices.Contains(notes, lacks) != want || !want && len(notes) > 0 {
						return false, fmt.Sprintf("%s: %q %v", r.Agent, r.Reason, r.Notes)
					}
				}
				return err == nil && len(reports) > 0, fmt.Sprint(err)
			})
		})
		return time.Since(began)
	}
	switchover := func() harness.Output {
		t.Helper()
		out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
		s.must(err)
		return out
	}

	s.local(s.b, "REVOKE "+strings.Join(grants, ", ")+" ON *.* FROM '"+harness.ManagerUser+"'@'%'")
	took := noted(true)
	t.Logf("told %v after the REVOKE", took.Round(time.Millisecond))
	s.shown("tree", string(s.b.Addr())+": "+lacks)
	if out := switchover(); out.Code != 5 || !strings.Contains(out.Stderr, "lacks a privilege on "+string(s.b.Addr())) || !strings.Contains(out.Stderr, grants[0]) {
		t.Errorf("mmmctl switchover: %s; want exit 5, and %s named", out, grants[0])
	}
	s.unmoved(2*time.Second, before)
	s.more(w, 20)

	s.local(s.b, "GRANT "+strings.Join(grants, ", ")+" ON *.* TO '"+harness.ManagerUser+"'@'%'")
	t.Logf("taken back %v after the GRANT", noted(false).Round(time.Millisecond))
	if out := switchover(); out.Code != 0 {
		t.Fatalf("mmmctl switchover after the GRANT: %s", out)
	}
	s.moved(before, s.b)
	s.whole(s.b)
	s.more(w, 20)
	if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}
