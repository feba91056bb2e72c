package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// What the passive has received and not applied when the active dies is there when it opens.
func TestReceivedIsAppliedBeforeOpening(t *testing.T) {
	for _, c := range []struct {
		name string
		// lag makes the passive receive without applying; release ends it.
		lag func(s *stage) (release func())
	}{
		{"the applier waits for a lock", func(s *stage) func() {
			lock := s.client(s.b, harness.StrangerUser)
			_, err := lock.ExecContext(s.short(), "LOCK TABLES entry READ")
			s.must(err)
			// The agent may end this session while it closes the server; that releases the lock too.
			return func() { _, _ = lock.ExecContext(s.short(), "UNLOCK TABLES") }
		}},
		{"the applier waits for a lock that nobody releases", func(s *stage) func() {
			lock := s.client(s.b, harness.StrangerUser)
			_, err := lock.ExecContext(s.short(), "LOCK TABLES entry READ")
			s.must(err)
			return func() {}
		}},
		{"the SQL thread is stopped", func(s *stage) func() {
			s.must(s.Daemon(harness.Agent).Freeze())
			s.must(s.b.Exec(s.short(), "STOP REPLICA SQL_THREAD"))
			return func() { s.must(s.Daemon(harness.Agent).Thaw()) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{})
			w := s.write(4, 2*time.Millisecond)
			before := s.record()
			applied, err := s.b.OwnTransactions(s.short(), s.a)
			s.must(err)
			release := c.lag(s)
			s.more(w, 400)
			s.a.Kill()
			s.await(5*time.Second, func(ctx context.Context) error {
				return harness.Until(ctx, "the passive notices that its source is gone", func(ctx context.Context) (bool, string) {
					channel, err := s.b.Channel(ctx)
					return err == nil && channel.IO != "Yes", channel.IO
				})
			})
			channel, err := s.b.Channel(s.short())
			s.must(err)
			received := channel.Received(s.a)
			lagging, err := s.b.OwnTransactions(s.short(), s.a)
			s.must(err)
			if received < lagging+100 {
				t.Fatalf("the passive received %d and applied %d: it does not lag enough for this test (it had %d)", received, lagging, applied)
			}
			release()
			s.moved(before, s.b)
			has, err := s.b.OwnTransactions(s.short(), s.a)
			s.must(err)
			t.Logf("received %d, applied at the kill %d, applied after opening %d", received, lagging, has)
			if has < received {
				t.Errorf("opened with %d of %d received transactions applied", has, received)
			}
			s.more(w, 20)
			tally := s.settle(s.b, w)
			s.must(s.a.Start(s.short()))
			s.lossExplained(tally, s.rejoined(s.a, s.b))
		})
	}
}

// A returning server that holds a transaction of its own is kept out, closed and
// untouched; the new active never pulls that transaction, and status tells.
func TestErrantTransaction(t *testing.T) {
	s := raise(t, options{})
	w := s.write(1, 5*time.Millisecond)
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	// The server writes this row during its own start, before anybody may connect.
	script := filepath.Join(lab.Dir(), "errant.sql")
	s.must(os.WriteFile(script, []byte("INSERT INTO app.entry VALUES (4242, 1);\n"), 0o644))
	s.a.WriteAtStart(script)
	s.must(s.a.Start(s.short()))
	var report cluster.Report
	s.await(20*time.Second, func(ctx context.Context) (err error) {
		report, err = s.WaitReport(ctx, s.a, "quarantine", func(r cluster.Report) bool { return r.Deed == cluster.DeedQuarantine })
		return err
	})
	if report.Errant == "" {
		t.Errorf("the report does not say which transactions: %+v", report)
	}
	s.told("errant")
	s.shown("tree", string(s.a.Addr()), "quarantine")
	s.must(harness.Holds(s.Context(), 3*time.Second, "the errant row stays where it is", func(ctx context.Context) (bool, string) {
		theirs, err := s.b.Value(ctx, "SELECT COUNT(*) FROM app.entry WHERE client = 4242")
		if err != nil || theirs != "0" {
			return false, fmt.Sprintf("%s rows on the new active, %v", theirs, err)
		}
		closed, err := s.a.ReadOnly(ctx)
		if err != nil || !closed {
			return false, fmt.Sprintf("read_only of the quarantined server %v, %v", closed, err)
		}
		for _, server := range s.Pair.Servers() {
			if channel, err := server.Channel(ctx); err == nil && channel.IO == "Yes" {
				return false, string(server.Addr()) + " receives from the other"
			}
		}
		return true, ""
	}))
	out, err := s.Tool(s.short(), "mmmctl", "check", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf)
	s.must(err)
	if out.Code != 5 || !strings.Contains(out.Stdout, "in quarantine, it holds transactions that the active lacks: "+report.Errant) ||
		!strings.Contains(out.Stdout, "warn     replication channel: from "+string(s.a.Addr())) {
		t.Errorf("mmmctl check: exit %d, want 5 and both channels named\n%s", out.Code, out.Stdout)
	}
	s.more(w, 20)

	// Whatever happens to the active now, the quarantined server is not opened.
	after := s.record()
	s.b.Kill()
	s.must(harness.Holds(s.Context(), 4*time.Second, "the quarantined server stays closed", func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && closed, fmt.Sprintf("read_only %v, %v", closed, err)
	}))
	if now := s.record(); now.Active == s.a.Addr() {
		t.Errorf("the quarantined server is active: %+v (before: %+v)", now, after)
	}
}

// Two servers that each hold what the other lacks: nobody is opened, and it is told.
func TestDivergentPair(t *testing.T) {
	s := prepare(t, options{daemons: []string{}})
	for _, server := range s.Pair.Servers() {
		s.must(server.Exec(s.short(), "STOP REPLICA"))
	}
	for i, server := range s.Pair.Servers() {
		s.must(server.Write(s.short(), true, fmt.Sprintf("INSERT INTO app.entry VALUES (4242, %d)", i)))
	}
	s.must(s.StartAll())
	s.told("divergent")
	s.must(harness.Holds(s.Context(), 3*time.Second, "both stay closed", func(ctx context.Context) (bool, string) {
		for _, server := range s.Pair.Servers() {
			if closed, err := server.ReadOnly(ctx); err != nil || !closed {
				return false, fmt.Sprintf("%s: read_only %v, %v", server.Addr(), closed, err)
			}
		}
		return true, ""
	}))
	if out, err := s.Tool(s.short(), "mmm-status", "-o", "legacy"); err != nil || out.Code != 4 {
		t.Errorf("mmm-status of a pair without an active: %s, %v; want exit 4", out, err)
	}
}

// At the first start the writable server is kept, whichever host it is.
func TestFirstStartKeepsTheWritableServer(t *testing.T) {
	s := prepare(t, options{daemons: []string{}})
	s.must(s.b.Exec(s.short(), "SET GLOBAL read_only=0"))
	w := s.write(1, 5*time.Millisecond)
	s.must(s.StartAll())
	s.whole(s.b)
	s.more(w, 100)
	if n := len(w.Unknown()); n > 0 {
		t.Errorf("the application lost its connection %d times at the start of the daemons", n)
	}
	s.settle(s.b, w)
}
