package mysqlnode

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// find gives the one finding of an item.
func find(t *testing.T, list []Finding, item string) Finding {
	t.Helper()
	i := slices.IndexFunc(list, func(f Finding) bool { return f.Item == item })
	if i < 0 {
		t.Fatalf("no finding %q in %+v", item, list)
	}
	return list[i]
}

func severities(t *testing.T, list []Finding, want map[string]Severity) {
	t.Helper()
	for item, s := range want {
		if f := find(t, list, item); f.Severity != s {
			t.Errorf("%s: %s (%s), want %s", item, f.Severity, f.Text, s)
		} else if s == SeverityFail && f.Fix == "" && item != "replication channel" {
			t.Errorf("%s: no fix for %s", item, f.Text)
		}
	}
}

func TestCheckOfAPair(t *testing.T) {
	a, b := startPair(t)
	c := b.connect(agentUser)
	eventually(t, 10*time.Second, "b replicates", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		return ch.Replicates(a.addr())
	})
	facts, err := a.connect(agentUser).Facts(t.Context())
	must(t, err)
	if facts.ServerID != 1 || !strings.Contains(facts.Version, "MariaDB") {
		t.Fatalf("%+v", facts)
	}
	list, err := c.Check(t.Context(), CheckOptions{Role: RoleAgent, Peer: a.addr(), PeerFacts: &facts})
	must(t, err)
	severities(t, list, map[string]Severity{
		"binary log": SeverityOK, "GTID": SeverityOK, "log_slave_updates": SeverityOK, "gtid_strict_mode": SeverityOK,
		"server_id": SeverityOK, "gtid_domain_id": SeverityOK, "read_only at start": SeverityOK, "skip_slave_start": SeverityUnknown,
		"sync_binlog": SeverityWarn, "innodb_flush_log_at_trx_commit": SeverityOK, "relay_log_recovery": SeverityOK,
		"replication channel": SeverityOK, "GTID position": SeverityOK, "connection retries": SeverityOK, "pause between retries": SeverityOK,
		"heartbeat period": SeverityOK, "slave_net_timeout": SeverityOK, "grants of the agent": SeverityOK,
		"accounts that write through read_only": SeverityOK,
	})

	b.do("STOP SLAVE")
	b.do("CHANGE MASTER TO MASTER_USE_GTID=no, MASTER_HEARTBEAT_PERIOD=20, MASTER_CONNECT_RETRY=60, MASTER_PORT=1")
	b.do("SET GLOBAL gtid_strict_mode = 0, GLOBAL slave_net_timeout = 60, GLOBAL gtid_domain_id = 3, GLOBAL server_id = 1")
	b.do("CREATE USER writer@'10.%' IDENTIFIED BY 'pw'")
	b.do("GRANT READ_ONLY ADMIN ON *.* TO writer@'10.%'")
	b.do("CREATE ROLE keeper")
	b.do("GRANT READ_ONLY ADMIN ON *.* TO keeper")
	b.do("CREATE USER super@'%' IDENTIFIED BY 'pw'")
	b.do("GRANT SUPER ON *.* TO super@'%'")
	list, err = c.Check(t.Context(), CheckOptions{Peer: a.addr(), PeerFacts: &facts, ReadOnlyAtStart: cluster.No})
	must(t, err)
	severities(t, list, map[string]Severity{
		"gtid_strict_mode": SeverityWarn, "server_id": SeverityFail, "gtid_domain_id": SeverityFail, "read_only at start": SeverityFail,
		"replication channel": SeverityFail, "GTID position": SeverityFail, "pause between retries": SeverityWarn,
		"heartbeat period": SeverityWarn, "slave_net_timeout": SeverityWarn, "accounts that write through read_only": SeverityWarn,
	})
	bypass := find(t, list, "accounts that write through read_only")
	for text, expected := range map[string]bool{"'writer'@'10.%'": true, "role 'keeper'": true, "'super'@'%'": !c.version.since(10, 11, 0), "'agent'": false} {
		if strings.Contains(bypass.Text, text) != expected {
			t.Errorf("%s named: want %v in %q", text, expected, bypass.Text)
		}
	}
	// The proposed statements are statements, and help.
	for _, item := range []string{"GTID position", "heartbeat period", "pause between retries", "accounts that write through read_only"} {
		for statement := range strings.SplitSeq(strings.ReplaceAll(find(t, list, item).Fix, "\n", " "), ";") {
			if strings.TrimSpace(statement) != "" {
				b.do(statement)
			}
		}
	}
	list, err = c.Check(t.Context(), CheckOptions{})
	must(t, err)
	severities(t, list, map[string]Severity{
		"GTID position": SeverityOK, "heartbeat period": SeverityOK, "pause between retries": SeverityOK, "accounts that write through read_only": SeverityOK,
	})
}

func TestCheckOfGrantsProposesWhatHelps(t *testing.T) {
	s := startServer(t, 1)
	for _, role := range []Role{RoleMonitor, RoleAgent} {
		c := s.connect(poorUser)
		list, err := c.Check(t.Context(), CheckOptions{Role: role})
		must(t, err)
		item := "grants of the " + string(role)
		f := find(t, list, item)
		if f.Severity != SeverityFail {
			t.Fatalf("%s: %+v", role, f)
		}
		if role == RoleMonitor {
			severities(t, list, map[string]Severity{"replication channel": SeverityUnknown, "accounts that write through read_only": SeverityUnknown})
			if want := "GRANT PROCESS, SLAVE MONITOR ON *.* TO 'poor'@'127.0.0.1';"; f.Fix != want {
				t.Errorf("fix %q, want %q", f.Fix, want)
			}
		}
		for _, f := range list {
			if f.Item != item {
				continue
			}
			for statement := range strings.SplitSeq(f.Fix, "\n") {
				s.do(statement)
			}
		}
		list, err = s.connect(poorUser).Check(t.Context(), CheckOptions{Role: role})
		must(t, err)
		severities(t, list, map[string]Severity{item: SeverityOK})
		for _, f := range list {
			if strings.Contains(f.Text+f.Fix, "*") && strings.Contains(f.Text+f.Fix, "PASSWORD") {
				t.Errorf("a finding shows a password hash: %+v", f)
			}
		}
	}
	// What was proposed for the agent is enough for its work.
	c := s.connect(poorUser)
	must(t, c.SetWritable(within(t, time.Second)))
	must(t, c.SetReadOnly(within(t, 3*time.Second), time.Second))
	_, err := c.Observe(t.Context(), nil)
	must(t, err)
	_, err = c.Writers(t.Context())
	must(t, err)
	must(t, c.Kill(t.Context(), s.connect(appUser).ID()))
	must(t, c.StopReplication(t.Context()))
}

func TestCheckTellsWhereReadOnlyComesFrom(t *testing.T) {
	s := startServer(t, 1)
	c := s.connect(agentUser)
	severity := func() Severity {
		t.Helper()
		list, err := c.Check(t.Context(), CheckOptions{})
		must(t, err)
		return find(t, list, "read_only at start").Severity
	}
	if got := severity(); got != SeverityOK {
		t.Errorf("from the command line: %s", got)
	}
	s.do("SET GLOBAL read_only = 1")
	if got := severity(); got != SeverityUnknown {
		t.Errorf("set by hand: %s", got)
	}
	list, err := c.Check(t.Context(), CheckOptions{ReadOnlyAtStart: cluster.Yes})
	must(t, err)
	if got := find(t, list, "read_only at start").Severity; got != SeverityOK {
		t.Errorf("seen at a start: %s", got)
	}
	s.kill()
	s.start("--skip-read-only")
	c = s.connect(agentUser)
	if got := severity(); got != SeverityFail {
		t.Errorf("configured off: %s", got)
	}
}

func TestReadGrants(t *testing.T) {
	lines := func(text ...string) result {
		var r result
		for _, l := range text {
			r.rows = append(r.rows, []value{{l, true}})
		}
		return r
	}
	missing := func(v version, role Role, text ...string) string {
		d := chooseDialect(v)
		p := readGrants(lines(text...), d, v)
		var names []string
		for _, g := range d.grants[role] {
			if !p.has(g) && !g.spare {
				names = append(names, g.privilege)
			}
		}
		return strings.Join(names, ", ")
	}
	super := "GRANT SUPER, PROCESS ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB'"
	for _, tt := range []struct {
		name, version string
		role          Role
		grants        []string
		want          string
	}{
		{"SUPER of 10.5 is everything", "10.5.23-MariaDB", RoleAgent, []string{super}, ""},
		{"SUPER of 10.11 does not set read_only", "10.11.19-MariaDB", RoleAgent, []string{super}, "READ_ONLY ADMIN"},
		{"SUPER of 11.8 is nothing", "11.8.6-MariaDB", RoleAgent, []string{super}, "READ_ONLY ADMIN, CONNECTION ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR"},
		{"all", "11.8.6-MariaDB", RoleAgent, []string{"GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION"}, ""},
		{"of one schema only", "11.8.6-MariaDB", RoleMonitor, []string{"GRANT ALL PRIVILEGES ON `shop`.* TO `a`@`%`"}, "PROCESS, SLAVE MONITOR"},
		{"old wording", "10.5.23-MariaDB", RoleMonitor, []string{"GRANT PROCESS, REPLICA MONITOR ON *.* TO `a`@`%`", "GRANT `r` TO `a`@`%`"}, ""},
		{"5.6", "5.6.24-log", RoleAgent, []string{super}, ""},
		{"9.7", "9.7.4", RoleAgent, []string{"GRANT PROCESS, REPLICATION CLIENT ON *.* TO `a`@`%`", "GRANT CONNECTION_ADMIN,SYSTEM_VARIABLES_ADMIN ON *.* TO `a`@`%`"}, "REPLICATION_SLAVE_ADMIN"},
	} {
		if got := missing(parseVersion(tt.version, ""), tt.role, tt.grants...); got != tt.want {
			t.Errorf("%s: missing %q, want %q", tt.name, got, tt.want)
		}
	}
}
