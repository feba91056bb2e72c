package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// rescuer is who reads and takes back what a server in quarantine holds.
const rescuer = "rescuer"

// many is a table with columns of most types, and rows of which some are changed.
var many = []string{
	"CREATE USER " + rescuer + "@'127.0.0.1' IDENTIFIED BY '" + harness.Password + "'",
	"GRANT ALL ON *.* TO " + rescuer + "@'127.0.0.1'",
	"CREATE TABLE app.many (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, small TINYINT UNSIGNED, price DECIMAL(12,3), ratio DOUBLE, " +
		"name VARCHAR(40) CHARACTER SET utf8mb4, old CHAR(10) CHARACTER SET latin1, fixed BINARY(6), raw BLOB, kind ENUM('a','b','c'), flags SET('x','y','z'), " +
		"mask BIT(5), at DATETIME(3), seen TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, length TIME, twice INT GENERATED ALWAYS AS (small * 2) STORED)",
	"INSERT INTO app.many (small, price, ratio, name, old, fixed, raw, kind, flags, mask, at, length) VALUES " +
		"(200, -12.345, 0.1, 'Zo\u00eb''s', 'caf\u00e9', X'0102030000', X'00FF27', 'b', 'x,z', b'10101', '2024-02-29 12:34:56.789', '-12:34:56'), " +
		"(1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL), (2, 7, 1e100, 'stays', 'stays', 'stays', 'stays', 'a', 'y', 0, NOW(), '0:0:1')",
	"CREATE TABLE app.bare (n INT, t TEXT)",
	"INSERT INTO app.bare VALUES (1, 'one'), (2, NULL)",
}

// errantly are the transactions that only the old active has.
var errantly = []string{
	"INSERT INTO app.many (small, name, raw) VALUES (255, 'nobody else has this', X'00')",
	"UPDATE app.many SET small = 199, name = 'ZO\u00cb''S', flags = 'y', fixed = X'AA' WHERE id = 1",
	"DELETE FROM app.many WHERE id IN (1, 2)",
	"UPDATE app.bare SET t = 'uno' WHERE n = 1",
	"DELETE FROM app.bare WHERE n = 2",
}

// diverge makes the primary host return with transactions that nobody received.
func (s *stage) diverge(statements []string) cluster.Report {
	s.Helper()
	for _, statement := range many {
		s.must(s.a.Exec(s.short(), statement))
	}
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the passive has the tables", func(ctx context.Context) (bool, string) {
			n, err := s.b.Value(ctx, "SELECT COUNT(*) FROM app.bare")
			return err == nil && n == "2", fmt.Sprint(n, err)
		})
	})
	before := s.record()
	s.must(s.Daemon(harness.Agent).Freeze())
	s.must(s.b.Exec(s.short(), "STOP REPLICA IO_THREAD"))
	for _, statement := range statements {
		s.must(s.a.Exec(s.short(), statement))
	}
	s.a.Kill()
	s.must(s.Daemon(harness.Agent).Thaw())
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	var report cluster.Report
	s.await(20*time.Second, func(ctx context.Context) (err error) {
		report, err = s.WaitReport(ctx, s.a, "quarantine", func(r cluster.Report) bool { return r.Deed == cluster.DeedQuarantine })
		return err
	})
	return report
}

func (s *stage) rejoin(arguments ...string) harness.Output {
	s.Helper()
	s.Setenv("MYSQL_PWD", harness.Password)
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	s.Cleanup(cancel)
	out, err := s.Tool(ctx, "mmmctl", append([]string{"rejoin", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf,
		"--node", string(s.a.Addr()), "--user", rescuer}, arguments...)...)
	s.must(err)
	return out
}

// purge leaves a server with nothing but a new binary log; one that is still being sent stays until that ends.
func (s *stage) purge(server *harness.Server) {
	s.Helper()
	s.must(server.Exec(s.short(), "FLUSH BINARY LOGS"))
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the binary logs are purged", func(ctx context.Context) (bool, string) {
			if err := server.Exec(ctx, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"); err != nil {
				return false, err.Error()
			}
			rows, err := server.Admin().QueryContext(ctx, "SHOW BINARY LOGS")
			if err != nil {
				return false, err.Error()
			}
			defer rows.Close()
			n := 0
			for rows.Next() {
				n++
			}
			return n == 1, fmt.Sprintf("%d logs, %v", n, rows.Err())
		})
	})
}

// checksums are those of the tables that both servers have.
func (s *stage) checksums(server *harness.Server) string {
	s.Helper()
	var all []string
	for _, table := range []string{"app.many", "app.bare", "app.entry"} {
		rows, err := server.Admin().QueryContext(s.short(), "CHECKSUM TABLE "+table)
		s.must(err)
		for rows.Next() {
			var name, sum string
			s.must(rows.Scan(&name, &sum))
			all = append(all, name+" "+sum)
		}
		s.must(rows.Close())
	}
	return strings.Join(all, ", ")
}

// A returning server in quarantine shows what it holds, and replicates again when a person has discarded that.
func TestQuarantineIsDiscarded(t *testing.T) {
	s := raise(t, options{})
	report := s.diverge(errantly)

	out := s.rejoin("-o", "json")
	var told struct{ Rejoin control.Quarantine }
	s.must(json.Unmarshal([]byte(out.Stdout), &told))
	q := told.Rejoin
	if out.Code != 3 || q.State != "errant" || q.Errant != report.Errant || q.Count != len(errantly) || q.Refused != "" {
		t.Fatalf("rejoin: exit %d, state %q, errant %q of %q, %d of %d transactions, refused %q\n%s%s",
			out.Code, q.State, q.Errant, report.Errant, q.Count, len(errantly), q.Refused, out.Stdout, out.Stderr)
	}
	text := s.rejoin().Stdout
	for _, want := range []string{`small="255"`, `name="nobody else has this"`, "update  app.many", "delete  app.bare", `t="uno"`, q.Transactions[0].GTID} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q\n%s", want, text)
		}
	}
	for _, tx := range q.Transactions {
		if tx.Time == nil || time.Since(*tx.Time) > 5*time.Minute {
			t.Errorf("%s was written at %v", tx.GTID, tx.Time)
		}
	}

	if out := s.rejoin("--discard"); out.Code != 2 || s.checksums(s.a) == s.checksums(s.b) {
		t.Errorf("rejoin --discard with nobody to ask: exit %d, want 2 and nothing changed\n%s", out.Code, out)
	}
	// What came to the active meanwhile is replicated afterwards.
	s.must(s.b.Exec(s.short(), "INSERT INTO app.bare VALUES (3, 'later')"))
	out = s.rejoin("--discard", "--yes")
	if out.Code != 0 {
		t.Fatalf("rejoin --discard --yes: exit %d\n%s", out.Code, out)
	}
	t.Logf("rejoin --discard --yes:\n%s", out)
	s.whole(s.b)
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "both hold the same rows", func(context.Context) (bool, string) {
			a, b := s.checksums(s.a), s.checksums(s.b)
			return a == b, a + " / " + b
		})
	})
	if out := s.rejoin(); out.Code != 0 || !strings.Contains(out.Stdout, "replicates") {
		t.Errorf("rejoin of a server that replicates: exit %d\n%s", out.Code, out)
	}
	if n, err := s.a.Value(s.short(), "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'discarded'"); err != nil || n != "0" {
		t.Errorf("%s tables of the discard are left, %v", n, err)
	}
}

// What cannot be taken back with certainty is not touched at all.
func TestDiscardIsRefused(t *testing.T) {
	s := raise(t, options{})
	s.diverge([]string{"INSERT INTO app.bare VALUES (9, 'lost')", "ALTER TABLE app.bare ADD COLUMN more INT"})
	if out := s.rejoin(); out.Code != 3 || !strings.Contains(out.Stdout, "would be refused") || !strings.Contains(out.Stdout, "ALTER TABLE app.bare") {
		t.Errorf("rejoin: exit %d, want 3, a refusal and the DDL\n%s", out.Code, out)
	}
	before, err := s.a.Value(s.short(), s.Lab.Executed())
	s.must(err)
	if out := s.rejoin("--discard", "--yes"); out.Code != 5 || !strings.Contains(out.Stderr, "altered since") {
		t.Errorf("rejoin --discard: exit %d, want 5 and the reason\n%s", out.Code, out)
	}
	rows, err := s.a.Value(s.short(), "SELECT COUNT(*) FROM app.bare WHERE n = 9")
	s.must(err)
	if after, err := s.a.Value(s.short(), s.Lab.Executed()); err != nil || after != before || rows != "1" {
		t.Errorf("%s rows are left, transactions %s, before %s, %v", rows, after, before, err)
	}
	if out, err := s.Tool(s.short(), "mmmctl", "rejoin", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf, "--node", string(s.b.Addr())); err != nil || out.Code != 5 {
		t.Errorf("rejoin of the active: exit %d, want 5, %v\n%s", out.Code, err, out)
	}
}

// A server that may not replicate, and is in no quarantine, is told apart from others, and with it the way out.
func TestRejoinTellsWhy(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"failback": "manual"}})
	for _, statement := range many {
		s.must(s.a.Exec(s.short(), statement))
	}
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatal(out)
	}
	s.whole(s.b)
	// is waits until both the tool and the agent say so, and sees that nothing is replicated. A
	// receiving thread that is tried again runs until the source has refused it.
	is := func(state string, way string) {
		t.Helper()
		held, err := s.a.Value(s.short(), s.Lab.Executed())
		s.must(err)
		s.await(20*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, "the state is "+state, func(context.Context) (bool, string) {
				out := s.rejoin()
				return out.Code == 3 && strings.Contains(out.Stdout, ": "+state+"\n") && strings.Contains(out.Stdout, way), out.String()
			})
		})
		s.must(harness.Holds(s.Context(), 2*time.Second, "nothing is replicated", func(ctx context.Context) (bool, string) {
			closed, err := s.a.ReadOnly(ctx)
			if err != nil || !closed {
				return false, fmt.Sprintf("read_only %v, %v", closed, err)
			}
			if state == s.Lab.PurgedState() {
				holds, err := s.a.Value(ctx, s.Lab.Executed())
				return err == nil && holds == held, fmt.Sprintf("it held %q and holds %q, %v", held, holds, err)
			}
			channel, err := s.a.Channel(ctx)
			return err == nil && channel.IO != "Yes", channel.IO
		}))
	}

	s.a.Kill()
	s.must(s.b.Exec(s.short(), "INSERT INTO app.bare VALUES (4, 'purged')"))
	s.purge(s.b)
	s.must(s.a.Start(s.short()))
	is(s.Lab.PurgedState(), "rebuild it from "+string(s.b.Addr()))

	s.must(s.halt(s.a))
	undo, err := s.a.Impersonate(s.b)
	s.must(err)
	s.must(s.a.Start(s.short()))
	is("cloned", "")

	s.must(s.halt(s.a))
	s.must(undo())
	s.must(s.a.Reset(s.short()))
	s.must(s.a.Start(s.short()))
	s.must(s.a.Write(s.short(), false, many[:2]...))
	is("empty", "rebuild it")
	if out := s.rejoin(); harness.ChosenFlavor() == harness.MySQL && !strings.Contains(out.Stdout, "another server than before") {
		t.Errorf("it does not say that the server has another server_uuid\n%s", out)
	}
	s.await(10*time.Second, func(ctx context.Context) error {
		_, err := s.WaitReport(ctx, s.a, "emptied", func(r cluster.Report) bool { return strings.Contains(r.Reason, "no transaction at all") })
		return err
	})
}

// A position of MariaDB from before the server's own last writes is refused once the logs with these are
// purged; with the position that is told it replicates.
func TestPositionOfOwnWrites(t *testing.T) {
	if harness.ChosenFlavor() != harness.MariaDB {
		t.Skip("MySQL has one position for both")
	}
	s := raise(t, options{tag: map[string]string{"failback": "manual"}})
	for _, statement := range many {
		s.must(s.a.Exec(s.short(), statement))
	}
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatal(out)
	}
	s.whole(s.b)
	// As if the channel to the passive had never run: what it wrote itself never came back to it.
	s.must(s.Daemon(harness.Agent).Freeze())
	s.must(s.a.Exec(s.short(), "STOP SLAVE"))
	s.must(s.a.Exec(s.short(), "SET GLOBAL gtid_slave_pos = '0-1-1'"))
	s.purge(s.b)
	s.must(s.Daemon(harness.Agent).Thaw())
	told := ""
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the position is refused", func(context.Context) (bool, string) {
			out := s.rejoin().Stdout
			_, rest, found := strings.Cut(out, "SET GLOBAL gtid_slave_pos = '")
			told, _, _ = strings.Cut(rest, "'")
			return found, out
		})
	})
	s.must(s.Daemon(harness.Agent).Freeze())
	s.must(s.a.Exec(s.short(), "STOP SLAVE"))
	s.must(s.a.Exec(s.short(), "SET GLOBAL gtid_slave_pos = '"+told+"'"))
	s.must(s.Daemon(harness.Agent).Thaw())
	s.whole(s.b)
}

// A passive that was rebuilt from a backup of the active does not know the active's position of before; the
// role goes there and back all the same.
func TestRoleMovesToARebuiltPassive(t *testing.T) {
	if harness.ChosenFlavor() != harness.MariaDB {
		t.Skip("MySQL has one position for both")
	}
	s := raise(t, options{tag: map[string]string{"failback": "manual"}})
	for _, statement := range many {
		s.must(s.a.Exec(s.short(), statement))
	}
	backup, err := s.a.Value(s.short(), "SELECT @@gtid_binlog_pos")
	s.must(err)
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "both have it, and it came back", func(ctx context.Context) (bool, string) {
			a, err := s.a.Value(ctx, "SELECT @@gtid_slave_pos")
			if err != nil {
				return false, err.Error()
			}
			b, err := s.b.Value(ctx, "SELECT @@gtid_slave_pos")
			return err == nil && a == backup && b == backup, a + " / " + b
		})
	})
	s.must(s.Daemon(harness.Agent).Freeze())
	for _, server := range []*harness.Server{s.a, s.b} {
		s.must(server.Exec(s.short(), "STOP SLAVE"))
	}
	s.must(s.b.Exec(s.short(), "RESET MASTER"))
	s.must(s.b.Exec(s.short(), "SET GLOBAL gtid_slave_pos = '"+backup+"'"))
	s.must(s.b.Exec(s.short(), "START SLAVE"))
	s.must(s.a.Exec(s.short(), "INSERT INTO app.bare VALUES (5, 'since the backup')"))
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the passive has it", func(ctx context.Context) (bool, string) {
			n, err := s.b.Value(ctx, "SELECT COUNT(*) FROM app.bare WHERE n = 5")
			return err == nil && n == "1", fmt.Sprint(n, err)
		})
	})
	s.must(s.a.Exec(s.short(), "START SLAVE"))
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the position is refused", func(ctx context.Context) (bool, string) {
			channel, err := s.a.Channel(ctx)
			return err == nil && channel.IO == "No", channel.IO
		})
	})
	s.must(s.Daemon(harness.Agent).Thaw())
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the active's channel runs", func(ctx context.Context) (bool, string) {
			channel, err := s.a.Channel(ctx)
			return err == nil && channel.IO == "Yes", channel.IO
		})
	})
	for _, to := range []*harness.Server{s.b, s.a} {
		out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--to", string(to.Addr()), "--yes")
		s.must(err)
		if out.Code != 0 {
			t.Fatal(out)
		}
		s.whole(to)
	}
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "both hold the same rows", func(context.Context) (bool, string) {
			a, b := s.checksums(s.a), s.checksums(s.b)
			return a == b, a + " / " + b
		})
	})
}
