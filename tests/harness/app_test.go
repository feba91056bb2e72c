package harness

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What a tally of applications says has to be wrong when the rows are: one is
// deleted, one is doubled, one is invented.
func TestAppTally(t *testing.T) {
	if missing := Missing(); len(missing) > 0 {
		t.Skipf("SKIPPED: not installed: %v", missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	lab, err := NewLab(Options{})
	check(t, err)
	defer lab.Close()
	server, err := lab.NewServer(ctx, ServerOptions{ID: 1})
	check(t, err)
	check(t, server.Start(ctx))
	check(t, server.Exec(ctx, "SET GLOBAL read_only=0"))
	check(t, server.MakeLedger(ctx))
	app := lab.StartApp(AppOptions{Hosts: []cluster.Endpoint{server.Addr()}, First: 1, Clients: 2, Every: time.Millisecond})
	for len(app.Acks()) < 50 {
		check(t, app.WaitAck(ctx, 2, server.Addr(), time.Now()))
	}
	app.Stop()
	tally, err := server.TallyApps(ctx, app)
	check(t, err)
	if len(tally.Lost)+len(tally.Doubled)+len(tally.Invented) > 0 || tally.Acknowledged < 50 || tally.Present < tally.Acknowledged {
		t.Errorf("tally of an undisturbed application: %s", tally)
	}
	check(t, server.Exec(ctx, "DELETE FROM "+ledger+" WHERE client = 1 AND seq = 3"))
	check(t, server.Exec(ctx, "INSERT INTO "+ledger+" (client, seq) VALUES (2, 4), (1, 1000000), (77, 1)"))
	// A repetition that looks first takes no row twice.
	check(t, server.Exec(ctx, app.statement(2, 5, true)))
	tally, err = server.TallyApps(ctx, app)
	check(t, err)
	if !slices.Equal(tally.Lost, []Row{{1, 3}}) || !slices.Equal(tally.Doubled, []Row{{2, 4}}) || !slices.Equal(tally.Invented, []Row{{1, 1000000}}) {
		t.Errorf("lost %v, doubled %v, invented %v", tally.Lost, tally.Doubled, tally.Invented)
	}
}

// A client that leaves the old active before it closes was refused, one that
// stays until then was paused.
func TestReturn(t *testing.T) {
	const from, to = "127.0.0.1:2", "127.0.0.1:1"
	zero := time.Now()
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	ack := func(client, ms int, node cluster.Endpoint) Ack { return Ack{Row{client, int64(ms)}, at(ms), node} }
	a := &App{
		acks: []Ack{
			ack(3, -5, from), ack(3, 1050, to), // its last row there was before the time asked about
			ack(1, 10, from), ack(2, 10, from), ack(1, 990, from), ack(1, 1040, to), ack(2, 1030, to), ack(1, 1060, to),
		},
		refusals: []Refusal{
			{Row: Row{2, 1}, At: at(230), Node: to}, {Row: Row{2, 1}, At: at(530), Node: to},
			{Row: Row{1, 1}, At: at(1010), Node: to}, // after the decision: part of the pause
		},
	}
	r := a.Return(at(0), at(1000), from, to)
	if want := []time.Duration{50 * time.Millisecond}; !slices.Equal(r.Pauses, want) {
		t.Errorf("paused for %v, want %v", r.Pauses, want)
	}
	if want := []time.Duration{800 * time.Millisecond}; !slices.Equal(r.Early, want) {
		t.Errorf("refused early for %v, want %v", r.Early, want)
	}
}

// The order in which the driver tries its hosts.
func TestJDBCOrder(t *testing.T) {
	hosts := []cluster.Endpoint{"primary", "secondary"}
	due := JDBC{SecondsBeforeRetry: time.Minute, QueriesBeforeRetry: 50}
	for _, c := range []struct {
		name    string
		opts    JDBC
		at      int
		since   time.Duration
		queries int
		due     bool
		next    int
		vouched int
	}{
		{"on the primary host the secondary is next", due, primaryHost, 0, 0, false, 1, 1},
		{"on the secondary host the primary is left out until it is due", due, 1, 0, 49, false, 1, 0},
		{"fifty queries make it due, whatever the seconds are", due, 1, 0, 50, true, 0, 0},
		{"a minute makes it due", due, 1, time.Minute, 0, true, 0, 0},
		{"without either it is a host as any other, and never due", JDBC{}, 1, time.Hour, 1000, false, 0, 0},
	} {
		conn := &jdbcConn{opts: c.opts, hosts: hosts, at: c.at, queries: c.queries, failedAt: time.Now().Add(-c.since)}
		if conn.isDueAtPrimary() != c.due {
			t.Errorf("%s: due is %v", c.name, !c.due)
		}
		if got := conn.next(c.at, false); got != c.next {
			t.Errorf("%s: next is %d, want %d", c.name, got, c.next)
		}
		if got := conn.next(c.at, true); got != c.vouched {
			t.Errorf("%s: next, vouched for, is %d, want %d", c.name, got, c.vouched)
		}
	}
}

// A server that is read-only answers: no reason for the driver to go elsewhere.
func TestCommunicationsErrors(t *testing.T) {
	state := func(text string) (s [5]byte) { copy(s[:], text); return s }
	for _, c := range []struct {
		err            error
		communications bool
		refused        bool
	}{
		{&mysql.MySQLError{Number: 1290, SQLState: state("HY000")}, false, true},
		{&mysql.MySQLError{Number: 4151, SQLState: state("HY000")}, false, true},
		{&mysql.MySQLError{Number: 1040, SQLState: state("08004")}, true, true},
		{&mysql.MySQLError{Number: 1053, SQLState: state("08S01")}, true, false},
		{&mysql.MySQLError{Number: 1927, SQLState: state("70100")}, false, false},
		{errUnreachable{&mysql.MySQLError{Number: 4151, SQLState: state("HY000")}}, true, true},
		{mysql.ErrInvalidConn, true, false},
		{errStatementClosed, false, false},
		{errors.New("unexpected EOF"), true, false},
	} {
		if got := isCommunications(c.err); got != c.communications {
			t.Errorf("%v: a communications error: %v", c.err, got)
		}
		if _, ok := c.err.(errUnreachable); !ok && wasRefused(c.err) != c.refused {
			t.Errorf("%v: certainly refused: %v", c.err, !c.refused)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
