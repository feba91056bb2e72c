package gtid

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// realMariaDB starts a server of its own and returns a function that runs SQL
// on it and gives the rows, tab-separated.
func realMariaDB(t *testing.T) func(sql string) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	for _, program := range []string{"mariadbd", "mariadb", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("MariaDB is missing: ", err)
			}
			t.Skip("NOT TESTED: MariaDB is missing: ", err)
		}
	}
	dir, err := os.MkdirTemp("", "gtid") // t.TempDir() may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	user := "--user=nobody"
	if os.Getuid() != 0 {
		user = "--no-defaults"
	} else if out, err := exec.Command("chown", "nobody", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--datadir="+data, user)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return serve(t, socket, exec.Command("mariadbd", "--no-defaults", user, "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--log-bin=bin", "--server-id=1", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--pid-file="+filepath.Join(dir, "pid")))
}

// serve starts a server and returns a function that runs SQL on it.
func serve(t *testing.T, socket string, server *exec.Cmd) func(sql string) []string {
	t.Helper()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })

	run := func(ctx context.Context, sql string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--socket="+socket, "--user=root", "--batch", "--skip-column-names")
		cmd.Stdin = strings.NewReader(sql)
		return cmd.CombinedOutput()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := run(ctx, "SELECT 1")
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the server does not come up: %v: %s", err, out)
		case <-tick.C:
		}
	}
	return func(sql string) []string {
		t.Helper()
		out, err := run(context.Background(), sql)
		if err != nil {
			t.Fatalf("%s: %v: %s", sql, err, out)
		}
		return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	}
}

func TestRealMariaDBPositions(t *testing.T) {
	query := realMariaDB(t)
	query("CREATE DATABASE d; CREATE TABLE d.t (n INT)")

	// Each line: a transaction of that server in that domain, then what the
	// binary log state says and which transaction it was.
	var script strings.Builder
	origins := [][2]int{{0, 1}, {0, 2}, {0, 1}, {1, 2}, {0, 3}, {0, 2}, {0, 2}, {1, 1}, {7, 4294967295}, {0, 1}}
	for _, o := range origins {
		fmt.Fprintf(&script, "SET SESSION gtid_domain_id=%d, server_id=%d; INSERT INTO d.t VALUES (1);\n", o[0], o[1])
		script.WriteString("SELECT @@last_gtid, @@global.gtid_binlog_state, @@global.gtid_binlog_pos;\n")
	}
	var states []Set
	seen := Set{}
	for i, row := range query(script.String()) {
		cells := strings.Split(row, "\t")
		if len(cells) != 3 {
			t.Fatalf("row %q", row)
		}
		last, state, pos := mustParse(t, cluster.MariaDB, cells[0]), mustParse(t, cluster.MariaDB, cells[1]), mustParse(t, cluster.MariaDB, cells[2])
		if want := fmt.Sprintf("%d-%d-", origins[i][0], origins[i][1]); !strings.HasPrefix(last.String(), want) {
			t.Fatalf("transaction %s, want %s", last, want)
		}
		if i == 0 {
			seen = state
		}
		seen = seen.Union(last)
		if !seen.Equal(state) {
			t.Errorf("union of all transactions %s, binlog state %s", seen, state)
		}
		if !state.Contains(pos) || !state.Highest().Equal(pos) {
			t.Errorf("binlog state %s, its newest entries %s, binlog pos %s", state, state.Highest(), pos)
		}
		for _, older := range states {
			if !state.Contains(older) || older.Contains(state) || older.Contains(last) {
				t.Errorf("containment between %s and the older %s", state, older)
			}
		}
		if i > 0 {
			if lost := state.Minus(states[i-1]); !lost.Equal(last) {
				t.Errorf("%s minus %s = %s, want %s", state, states[i-1], lost, last)
			}
			if n, _ := state.Missing(states[i-1]); n != 1 {
				t.Errorf("%s has %d more than %s, want 1", state, n, states[i-1])
			}
		}
		states = append(states, state)
	}

	// What we print is what the server takes.
	end := states[len(states)-1]
	rows := query(fmt.Sprintf("SET GLOBAL gtid_slave_pos='%s'; SELECT MASTER_GTID_WAIT('%s', 0), @@global.gtid_slave_pos", end.Highest(), end.Highest()))
	if want := "0\t" + end.Highest().String(); rows[len(rows)-1] != want {
		t.Errorf("waited for %s: %q", end.Highest(), rows)
	}
	rows = query(fmt.Sprintf(`RESET MASTER; SET GLOBAL gtid_binlog_state='%s'; SELECT @@global.gtid_binlog_state`, end))
	if got := mustParse(t, cluster.MariaDB, rows[len(rows)-1]); !got.Equal(end) {
		t.Errorf("binlog state %s reads back as %s", end, got)
	}
	rows = query(`DELIMITER //
BEGIN NOT ATOMIC
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN GET DIAGNOSTICS CONDITION 1 @no = MYSQL_ERRNO; SELECT @no; END;
  SET GLOBAL gtid_slave_pos='0-1-5,0-2-6';
END//
SET GLOBAL gtid_slave_pos='0-2-6'//
SELECT MASTER_GTID_WAIT('0-1-5,0-2-6', 0), MASTER_GTID_WAIT('0-1-5,0-2-7', 0)//
`)
	if want := "1943|0\t-1"; strings.Join(rows, "|") != want {
		t.Errorf("lists with two entries of one domain: %q, want %q", rows, want)
	}
}
