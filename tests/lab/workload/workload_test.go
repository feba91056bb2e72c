package workload_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
	"github.com/mmm-manager/mmm-manager/tests/lab/workload"
)

// A real pair whose active is killed under the workload is found without fault, and
// a row that is deleted, one that is invented and money that is taken are found.
func TestActiveDies(t *testing.T) {
	if missing := harness.Missing(); len(missing) > 0 {
		text := "not installed: " + strings.Join(missing, ", ") + "; make test gets them"
		if harness.MissingIsFailure() {
			t.Fatal(text)
		}
		t.Skip("SKIPPED: " + text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	lab, err := harness.NewLab(harness.Options{Log: t.Output()})
	must(t, err)
	defer lab.Close()
	programs, err := lab.Build(ctx, harness.BuildOptions{})
	must(t, err)
	site, err := lab.NewSite(ctx, harness.SiteOptions{Programs: programs, Tag: map[string]string{
		"interval": "1", "connect_timeout": "1", "try_times": "2", "failover_block": "0", "durability": "semisync",
	}})
	must(t, err)
	defer site.Close()
	must(t, site.StartAll())
	active, passive := site.Pair.A, site.Pair.B
	before := promising(ctx, t, site, active)
	for _, statement := range workload.Schema() {
		must(t, active.Exec(ctx, statement))
	}

	w, err := workload.Start(workload.Options{
		Nodes:       []cluster.Endpoint{active.Addr(), passive.Addr()},
		ClientHosts: []string{"cl1", "cl2"},
		ServerHosts: map[cluster.Endpoint]string{active.Addr(): "db1", passive.Addr(): "db2"},
	})
	must(t, err)
	defer w.Stop()
	trail := check.NewTrail()

	// One round in which nothing happens, and one in which the active dies.
	sums, _ := round(ctx, t, site, w, trail, 1, before, func(h *history.History) {
		must(t, harness.Until(ctx, "each kind of operation has been done", func(context.Context) (bool, string) { return ofEachKind(h.Ops()) }))
	})
	if sums.Acknowledged < 20 || sums.Unknown > 0 || sums.Registers != history.Registers || sums.Transfers == 0 || sums.Totals == 0 || sums.Refused == 0 {
		t.Errorf("sums of a quiet round: %+v; want acknowledged rows, transfers and sums, refusals by the passive, and no outcome unknown", sums)
	}
	sums, last := round(ctx, t, site, w, trail, 2, before, func(*history.History) {
		must(t, w.WaitAck(ctx, time.Now().Add(300*time.Millisecond), active.Addr()))
		active.Kill()
		killed := time.Now()
		must(t, w.WaitAck(ctx, killed, passive.Addr()))
		t.Logf("first write on the other server after %s", w.LastAckOf(passive.Addr()).Sub(killed))
		must(t, w.WaitAck(ctx, time.Now().Add(300*time.Millisecond), passive.Addr()))
	})
	if sums.Registers+sums.RegistersUnknown != history.Registers {
		t.Errorf("sums of a failover: %+v; want every register judged", sums)
	}

	// Behind the back of the workload, in what the last round left.
	for _, broken := range []struct{ statement, finding string }{
		{"DELETE FROM app.op WHERE round = 2 ORDER BY client, seq LIMIT 1", "were acknowledged while it was promised"},
		{"INSERT INTO app.op VALUES (2, 9999, 1, 1, 1)", "nobody has written"},
		{"UPDATE app.account SET balance = balance - 1 WHERE round = 2 AND k = 3", "has 799 in 8 accounts"},
		{"UPDATE app.register SET v = 12345 WHERE round = 2 AND k = 3", "explains register 3"},
		{"UPDATE app.op SET server = 77 WHERE round = 2 AND client = 1 ORDER BY seq DESC LIMIT 1", "one writer"},
	} {
		must(t, passive.Exec(ctx, broken.statement))
		last.Tables = tables(ctx, t, site, 2)
		found, _ := check.Check(last, 10*time.Second)
		text := fmt.Sprint(found)
		if !strings.Contains(text, broken.finding) {
			t.Errorf("%s: findings are %v, want %q", broken.statement, found, broken.finding)
		}
	}

	must(t, w.Forget(ctx, 2))
	left, err := workload.Read(ctx, passive.Admin(), 1)
	must(t, err)
	if len(left.Rows)+len(left.Registers)+len(left.Accounts) > 0 {
		t.Errorf("of a round that is forgotten there are %d rows, %d registers, %d accounts", len(left.Rows), len(left.Registers), len(left.Accounts))
	}
}

// round runs the workload while something happens, and checks that it is without fault;
// what was checked is given for more of that.
func round(ctx context.Context, t *testing.T, site *harness.Site, w *workload.Workload, trail *check.Trail, number int, before cluster.Assignment, happens func(*history.History)) (check.Sums, check.Round) {
	t.Helper()
	began := time.Now()
	h, err := w.Begin(ctx, number)
	must(t, err)
	happens(h)
	end, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	must(t, w.End(end))
	events, err := site.Events(ctx, 100)
	must(t, err)
	trail.Add(1, events...)
	for _, f := range trail.Check() {
		t.Errorf("finding in round %d: %s", number, f)
	}
	r := check.Round{
		Ops: h.Ops(), Tables: tables(ctx, t, site, number), Trail: trail,
		// Acknowledged by the one it was promised of, or by the other who took over and has all.
		Promises: []check.Promise{{From: began, To: time.Now(), Waits: before.Waits}},
	}
	found, sums := check.Check(r, 10*time.Second)
	for _, f := range found {
		t.Errorf("finding in round %d: %s", number, f)
	}
	t.Logf("round %d, %d operations: %+v", number, len(r.Ops), sums)
	return sums, r
}

// ofEachKind reports whether there are twenty rows, and a transfer, a sum and a refusal.
func ofEachKind(ops []history.Op) (bool, string) {
	done, refused := map[history.Kind]int{}, 0
	for _, op := range ops {
		switch op.Outcome {
		case history.OK:
			done[op.Kind]++
		case history.Refused:
			refused++
		}
	}
	return done[history.Insert]+done[history.Probe] >= 20 && done[history.Transfer] > 0 && done[history.Total] > 0 && refused > 0,
		fmt.Sprintf("done %v, %d refused", done, refused)
}

// tables reads the servers that run when they hold the same. Who was killed may come back
// with commits for which nobody had waited yet, and stays away.
func tables(ctx context.Context, t *testing.T, site *harness.Site, number int) map[cluster.Endpoint]history.Tables {
	t.Helper()
	var both map[cluster.Endpoint]history.Tables
	must(t, harness.Until(ctx, "the servers have applied everything", func(ctx context.Context) (bool, string) {
		position := map[string]bool{}
		both = map[cluster.Endpoint]history.Tables{}
		for _, s := range site.Pair.Servers() {
			if !s.Process().Running() {
				continue
			}
			text, err := s.Value(ctx, "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(CRC32(CONCAT_WS(',', client, seq, epoch, server))), 0), ' ', "+
				"(SELECT SUM(CRC32(CONCAT_WS(',', k, v, n))) FROM app.register WHERE round = ?), ' ', "+
				"(SELECT SUM(CRC32(CONCAT_WS(',', k, balance, n))) FROM app.account WHERE round = ?)) FROM app.op WHERE round = ?", number, number, number)
			if err != nil {
				return false, err.Error()
			}
			position[text] = true
			if both[s.Addr()], err = workload.Read(ctx, s.Admin(), number); err != nil {
				return false, err.Error()
			}
		}
		return len(position) == 1, fmt.Sprint(position)
	}))
	return both
}

// promising waits until the pair is whole and commits on the active wait for the passive.
func promising(ctx context.Context, t *testing.T, site *harness.Site, active *harness.Server) cluster.Assignment {
	t.Helper()
	var record cluster.Assignment
	must(t, harness.Until(ctx, "commits wait for the passive", func(ctx context.Context) (bool, string) {
		snap, err := site.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		record = snap.Assignment
		return record.Waits && record.IsEligible(record.Passive), record.Reason
	}))
	_, err := site.WaitWhole(ctx, active)
	must(t, err)
	must(t, site.WaitReady(ctx, site.Pair.Other(active)))
	return record
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
