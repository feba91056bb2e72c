package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// options of one stage; the zero value is fast and has no block after a failover.
type options struct {
	tag, agent    map[string]string
	pair          harness.PairOptions
	leastGrants   bool
	failpoints    bool
	daemons       []string // those to start; nil is one of each
	bothOpenUntil time.Duration
}

// stage is one site under test, with the witness that watches for two open servers.
type stage struct {
	*harness.Site
	*testing.T
	a, b    *harness.Server
	witness *harness.Witness
	opts    options
}

// raise builds a site, starts its daemons and waits until the primary host is
// open and a failover to the secondary host would happen.
func raise(t *testing.T, o options) *stage {
	t.Helper()
	s := prepare(t, o)
	s.await(20*time.Second, func(ctx context.Context) error {
		if _, err := s.WaitWhole(ctx, s.a); err != nil {
			return err
		}
		return s.WaitReady(ctx, s.b)
	})
	return s
}

// prepare builds a site and starts its daemons.
func prepare(t *testing.T, o options) *stage {
	t.Helper()
	tag := map[string]string{"interval": "1", "connect_timeout": "1", "try_times": "2", "failover_block": "0"}
	maps.Copy(tag, o.tag)
	o.tag = tag
	bin := programs
	if o.failpoints {
		bin = failpoints
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	site, err := lab.NewSite(ctx, harness.SiteOptions{Programs: bin, Pair: o.pair, Tag: o.tag, Agent: o.agent, LeastGrants: o.leastGrants})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{Site: site, T: t, a: site.Pair.A, b: site.Pair.B, opts: o}
	if s.witness, err = site.Pair.Watch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.strike)
	if o.daemons == nil {
		s.must(site.StartAll())
	}
	for _, name := range o.daemons {
		s.start(name)
	}
	return s
}

// strike takes the stage down, checks what the witness saw, and shows what the
// daemons said when the test failed.
func (s *stage) strike() {
	s.witness.Stop()
	if seen := s.witness.BothOpen(); len(seen) > 0 {
		if d := seen[len(seen)-1].Sub(seen[0]); s.opts.bothOpenUntil == 0 || d > s.opts.bothOpenUntil {
			s.Errorf("both servers were open at the same time, seen %d times in %v", len(seen), d)
		}
	}
	if s.witness.Rounds() == 0 {
		s.Error("the witness never looked")
	}
	if s.Failed() {
		s.tellAll()
	}
	s.Close()
}

func (s *stage) tellAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, d := range s.Daemons() {
		s.Logf("-- %s (runs: %v), end of its log:\n%s\n-- output:\n%s", d.Name, d.Running(), s.Log(d.Name, 60), d.Output(20))
	}
	s.Logf("-- log of monitor and identify, its end:\n%s", s.Log(harness.MainLog, 20))
	events, err := s.Events(ctx, 30)
	s.Logf("-- audit trail, newest first (%v):", err)
	for _, e := range events {
		s.Logf("%s %s %s %s active %q by %s: %s %v", e.ID, e.Kind, e.Assignment.Order(), e.Assignment.Phase, e.Assignment.Active, e.Actor, e.Reason, e.Steps)
	}
	if out, err := s.Tool(ctx, "mmm-status", "-o", "tree"); err == nil {
		s.Logf("-- mmm-status: %s", out)
	}
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// await runs f with a deadline.
func (s *stage) await(d time.Duration, f func(ctx context.Context) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	s.must(f(ctx))
}

// short is a context for one quick question.
func (s *stage) short() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	s.Cleanup(cancel)
	return ctx
}

// halt stops a server cleanly.
func (s *stage) halt(server *harness.Server) error {
	s.Helper()
	// MySQL takes ten seconds and more to stop when its source is gone, longer on a busy machine.
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	return server.Stop(ctx)
}

func (s *stage) start(name string, env ...string) *harness.Daemon {
	s.Helper()
	d, err := s.Start(name, env...)
	s.must(err)
	return d
}

// write starts an application of n clients that each insert a row every pause.
func (s *stage) write(n int, pause time.Duration) *harness.Writer {
	s.Helper()
	w, err := lab.StartWriter(harness.WriterOptions{
		Nodes: []cluster.Endpoint{s.a.Addr(), s.b.Addr()}, Clients: n, Every: pause, First: 1,
	})
	s.must(err)
	s.Cleanup(w.Stop)
	s.more(w, 50)
	return w
}

// more waits until w has n more rows acknowledged.
func (s *stage) more(w *harness.Writer, n int) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error { return w.WaitMore(ctx, n) })
}

// record is the assignment now.
func (s *stage) record() cluster.Assignment {
	s.Helper()
	snap, err := s.Snapshot(s.short())
	s.must(err)
	return snap.Assignment
}

// whole waits until active is open, the other closed, and both replicate.
func (s *stage) whole(active *harness.Server) cluster.Assignment {
	s.Helper()
	var record cluster.Assignment
	s.await(25*time.Second, func(ctx context.Context) (err error) {
		record, err = s.WaitWhole(ctx, active)
		return err
	})
	return record
}

// open waits until active is open and the record steady.
func (s *stage) open(active *harness.Server) cluster.Assignment {
	s.Helper()
	var record cluster.Assignment
	s.await(25*time.Second, func(ctx context.Context) (err error) {
		record, err = s.WaitOpen(ctx, active)
		return err
	})
	return record
}

// moved waits for the end of a failover that raised the epoch by exactly one.
func (s *stage) moved(before cluster.Assignment, to *harness.Server) harness.Change {
	s.Helper()
	record := s.open(to)
	if record.Epoch != before.Epoch+1 {
		s.Errorf("epoch went from %d to %d, want one step", before.Epoch, record.Epoch)
	}
	var change harness.Change
	s.await(5*time.Second, func(ctx context.Context) (err error) {
		change, err = s.WaitChange(ctx, before.Epoch, to)
		return err
	})
	if change.Record.Proof == cluster.ProofNone {
		s.Errorf("the record of the failover names neither a proof nor a risk: %+v", change.Record)
	}
	return change
}

// unmoved watches for d that nothing about the roles changes.
func (s *stage) unmoved(d time.Duration, before cluster.Assignment) {
	s.Helper()
	s.must(harness.Holds(s.Context(), d, "the roles stay", func(ctx context.Context) (bool, string) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return true, ""
		}
		a := snap.Assignment
		return a.Epoch == before.Epoch && a.Active == before.Active && a.Phase == cluster.PhaseSteady,
			fmt.Sprintf("record %s %s active %q: %s", a.Order(), a.Phase, a.Active, a.Reason)
	}))
}

// told waits until identify's verdict has the code, as its reason, a blocker or a note.
func (s *stage) told(code string) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the verdict says "+code, func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil || snap.Verdict == nil {
				return false, fmt.Sprintf("no verdict (%v)", err)
			}
			v := *snap.Verdict
			for _, r := range append(append([]cluster.Reason{v.Reason}, v.Blockers...), v.Notes...) {
				if r.Code == code {
					return true, ""
				}
			}
			return false, fmt.Sprintf("%+v", v)
		})
	})
}

// shown waits until mmm-status in the given form contains all texts.
func (s *stage) shown(form string, texts ...string) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, fmt.Sprintf("mmm-status -o %s shows %q", form, texts), func(ctx context.Context) (bool, string) {
			out, err := s.Tool(ctx, "mmm-status", "--tag", harness.ServiceTag, "-o", form)
			if err != nil {
				return false, err.Error()
			}
			for _, text := range texts {
				if !strings.Contains(out.Stdout, text) {
					return false, out.String()
				}
			}
			return true, ""
		})
	})
}

// settle ends the application and compares rows: nothing invented, and what is
// lost of the acknowledged is on the old active only, which is then in quarantine.
func (s *stage) settle(active *harness.Server, writers ...*harness.Writer) harness.Tally {
	s.Helper()
	for _, w := range writers {
		w.Stop()
	}
	tally, err := active.Tally(s.short(), writers...)
	s.must(err)
	s.Logf("rows: %s", tally)
	if len(tally.Invented) > 0 {
		s.Errorf("%d rows are present that nobody wrote", len(tally.Invented))
	}
	return tally
}

// closes waits until a server that woke is closed.
func (s *stage) closes(server *harness.Server) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the woken server is closed", func(ctx context.Context) (bool, string) {
			closed, err := server.ReadOnly(ctx)
			return err == nil && closed, "open"
		})
	})
}

// rejoined checks how a restarted server came back: closed, and replicating
// when it holds nothing of its own, in quarantine when it does.
func (s *stage) rejoined(old, active *harness.Server) (quarantine bool) {
	s.Helper()
	own, err := old.OwnTransactions(s.short(), old)
	s.must(err)
	known, err := active.OwnTransactions(s.short(), old)
	s.must(err)
	if own <= known {
		s.whole(active)
		return false
	}
	s.Logf("the old active holds %d transactions that never left it", own-known)
	s.await(20*time.Second, func(ctx context.Context) error {
		_, err := s.WaitReport(ctx, old, "quarantine", func(r cluster.Report) bool { return r.Deed == cluster.DeedQuarantine })
		return err
	})
	closed, err := old.ReadOnly(s.short())
	s.must(err)
	if !closed {
		s.Errorf("%s is in quarantine and open", old.Addr())
	}
	return true
}

// lossExplained checks that rows are lost only where the old active is in quarantine for them.
func (s *stage) lossExplained(tally harness.Tally, quarantine bool) {
	s.Helper()
	if len(tally.Lost) > 0 && !quarantine {
		s.Errorf("%d acknowledged rows are lost, and the old active replicates as if nothing were", len(tally.Lost))
	}
}

// client connects one session of an ordinary user; user is the application or the stranger.
func (s *stage) client(server *harness.Server, user string) *sql.Conn {
	s.Helper()
	pool, err := server.Open(user)
	s.must(err)
	s.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Conn(s.short())
	s.must(err)
	return conn
}

// local executes statements as root without the binary log, on a closed server too.
func (s *stage) local(server *harness.Server, statements ...string) {
	s.Helper()
	s.must(server.Write(s.short(), false, statements...))
}

// cut ends every session of a user.
func (s *stage) cut(server *harness.Server, user string) {
	s.Helper()
	s.must(server.Cut(s.short(), user))
}
