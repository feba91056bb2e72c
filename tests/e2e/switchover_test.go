package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// Planned, there and back, under more than 500 rows per second: nothing acknowledged is lost.
func TestSwitchoverUnderLoad(t *testing.T) {
	s := raise(t, options{})
	w := s.write(12, 12*time.Millisecond)
	began, first := time.Now(), len(w.Acks())
	s.more(w, 500)
	rate := float64(len(w.Acks())-first) / time.Since(began).Seconds()
	t.Logf("%.0f rows per second", rate)
	if rate < 100 {
		t.Errorf("only %.0f rows per second: too few to show anything", rate)
	}
	from, to := s.a, s.b
	for range 2 {
		before := s.record()
		asked := time.Now()
		out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--to", string(to.Addr()), "--yes")
		s.must(err)
		if out.Code != 0 {
			t.Fatalf("mmmctl switchover: %s", out)
		}
		change := s.moved(before, to)
		if change.Record.Proof != cluster.ProofFenced {
			t.Errorf("proof of a planned switchover is %q, want %q", change.Record.Proof, cluster.ProofFenced)
		}
		var ack harness.Ack
		s.await(10*time.Second, func(ctx context.Context) (err error) {
			ack, err = w.WaitAck(ctx, asked, to.Addr())
			return err
		})
		var last time.Time
		for _, a := range w.Acks() {
			if a.Node == from.Addr() && a.At.Before(ack.At) {
				last = a.At
			}
		}
		t.Logf("switched in %v; no row was taken for %v", ack.At.Sub(asked), ack.At.Sub(last))
		s.whole(to)
		s.more(w, 200)
		s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, from) })
		from, to = to, from
	}
	tally := s.settle(s.a, w)
	if len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}

// What writes is not cut: the switchover is rolled back and the old active goes on.
func TestSwitchoverRollsBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin []string
		end   string
	}{
		{"a write transaction older than a second", []string{"BEGIN", "INSERT INTO entry VALUES (4242, 1)"}, "COMMIT"},
		{"LOCK TABLES", []string{"LOCK TABLES entry WRITE"}, "UNLOCK TABLES"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{})
			before := s.record()
			holder := s.client(s.a, harness.AppUser)
			for _, statement := range c.begin {
				_, err := holder.ExecContext(s.short(), statement)
				s.must(err)
			}
			s.await(5*time.Second, func(ctx context.Context) error {
				return harness.Until(ctx, "the session holds for more than a second", func(ctx context.Context) (bool, string) {
					held, err := s.a.IdleFor(ctx, harness.AppUser, 1300*time.Millisecond)
					return err == nil && held, fmt.Sprint(held, err)
				})
			})
			out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
			s.must(err)
			if out.Code != 1 {
				t.Errorf("mmmctl switchover: %s; want exit 1, rolled back", out)
			}
			t.Logf("%s", out)
			s.open(s.a)
			s.unmoved(time.Second, before)
			if _, err := holder.ExecContext(s.short(), "INSERT INTO entry VALUES (4242, 2)"); err != nil {
				t.Errorf("the session that held the switchover up can not go on: %v", err)
			}
			if _, err := holder.ExecContext(s.short(), c.end); err != nil {
				t.Errorf("%s: %v", c.end, err)
			}
			w := s.write(1, 5*time.Millisecond)
			s.more(w, 20)
			for _, a := range w.Acks() {
				if a.Node != s.a.Addr() {
					t.Fatalf("a row was taken by %s", a.Node)
				}
			}
			// Nothing holds it up any more.
			out, err = s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
			s.must(err)
			if out.Code != 0 {
				t.Errorf("mmmctl switchover afterwards: %s", out)
			}
			s.moved(before, s.b)
			w.Stop()
			if kept, err := s.b.Value(s.short(), "SELECT COUNT(*) FROM app.entry WHERE client = 4242 AND seq = 2"); err != nil || kept != "1" {
				t.Errorf("the row of the session that held it up: %s present, %v", kept, err)
			}
		})
	}
}

// A switchover that cannot be carried out is refused at once, with the reason.
func TestSwitchoverRefused(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	s.b.Kill()
	s.told("candidate-down")
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 5 {
		t.Errorf("mmmctl switchover to a dead server: %s; want exit 5", out)
	}
	s.unmoved(time.Second, before)
	for _, args := range [][]string{
		{"switchover", "--tag", "nosuchtag", "--yes"},
		{"switchover", "--tag", harness.ServiceTag, "--to", "127.0.0.1:1", "--yes"},
	} {
		out, err := s.Tool(s.short(), "mmmctl", args...)
		s.must(err)
		if out.Code != 7 {
			t.Errorf("mmmctl %v: %s; want exit 7, no such tag or node", args, out)
		}
	}
}
