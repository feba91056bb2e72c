package mysqlnode

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	mariadb.need(t)
	a, b := startPair(t, mariadb)
	c := b.connect(agentUser)
	eventually(t, 10*time.Second, "b replicates", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		return ch.Replicates(a.addr())
	})
	facts, err := a.connect(agentUser).Facts(t.Context())
	must(t, err)
	if facts.ServerID != 1 || facts.ReadOnly != cluster.No || facts.Version != a.value("SELECT VERSION()") {
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
	b.do("SET GLOBAL read_only = 1")
	list, err = c.Check(t.Context(), CheckOptions{Peer: a.addr(), PeerFacts: &facts, AtStart: AtStart{ReadOnly: cluster.No}})
	must(t, err)
	severities(t, list, map[string]Severity{
		"gtid_strict_mode": SeverityWarn, "server_id": SeverityFail, "gtid_domain_id": SeverityFail, "read_only at start": SeverityFail,
		"replication channel": SeverityFail, "GTID position": SeverityFail, "pause between retries": SeverityWarn,
		"heartbeat period": SeverityWarn, "slave_net_timeout": SeverityWarn, "accounts that write through read_only": SeverityWarn,
	})
	bypass := find(t, list, "accounts that write through read_only")
	if !bypass.Replicates || find(t, list, "GTID position").Replicates {
		t.Error("what replicates is not told from what does not")
	}
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

func TestCheckOfAPairOfMySQL(t *testing.T) {
	mysql9.need(t)
	a, b := startPair(t, mysql9)
	b.kill()
	b.start("--relay-log-recovery=ON")
	b.do("START REPLICA")
	c := b.connect(agentUser)
	eventually(t, 10*time.Second, "b replicates", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		return ch.Replicates(a.addr())
	})
	facts, err := a.connect(agentUser).Facts(t.Context())
	must(t, err)
	list, err := c.Check(t.Context(), CheckOptions{Role: RoleAgent, Peer: a.addr(), PeerFacts: &facts})
	must(t, err)
	severities(t, list, map[string]Severity{
		"release": SeverityOK, "binary log": SeverityOK, "GTID": SeverityOK, "log_replica_updates": SeverityOK, "server_id": SeverityOK,
		"read_only at start": SeverityOK, "super_read_only at start": SeverityOK, "skip_replica_start": SeverityOK, "sync_binlog": SeverityOK,
		"innodb_flush_log_at_trx_commit": SeverityOK, "relay_log_recovery": SeverityWarn, "replication channel": SeverityOK, "GTID position": SeverityOK,
		"connection retries": SeverityOK, "pause between retries": SeverityOK, "heartbeat period": SeverityOK, "replica_net_timeout": SeverityOK,
		"grants of the agent": SeverityOK, "accounts that write through read_only": SeverityOK, "accounts that the agent may not lock": SeverityUnknown,
	})

	b.do("STOP REPLICA")
	b.do("CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=0, SOURCE_HEARTBEAT_PERIOD=20, SOURCE_CONNECT_RETRY=60, SOURCE_RETRY_COUNT=10")
	b.do("SET GLOBAL replica_net_timeout = 60, GLOBAL sync_binlog = 0, GLOBAL server_id = 1")
	b.quietly("CREATE USER boss@'10.%' IDENTIFIED BY 'pw'", "GRANT ALL ON *.* TO boss@'10.%'", "GRANT SELECT ON mysql.global_grants TO agent@'127.0.0.1'")
	c = b.connect(agentUser)
	list, err = c.Check(t.Context(), CheckOptions{Role: RoleAgent, Peer: b.addr(), PeerFacts: &facts})
	must(t, err)
	severities(t, list, map[string]Severity{
		"server_id": SeverityFail, "read_only at start": SeverityUnknown, "super_read_only at start": SeverityUnknown, "sync_binlog": SeverityWarn,
		"replication channel": SeverityFail, "GTID position": SeverityFail, "connection retries": SeverityWarn, "pause between retries": SeverityWarn,
		"heartbeat period": SeverityWarn, "replica_net_timeout": SeverityWarn, "accounts that the agent may not lock": SeverityWarn,
	})
	if f := find(t, list, "accounts that the agent may not lock"); !strings.Contains(f.Text, "'boss'@'10.%'") || strings.Contains(f.Text, "root") {
		t.Error(f.Text)
	}
	apply := func(fix string) {
		t.Helper()
		for statement := range strings.SplitSeq(strings.ReplaceAll(fix, "\n", " "), ";") {
			if strings.TrimSpace(statement) != "" {
				b.quietly(statement)
			}
		}
	}
	apply(find(t, list, "GTID position").Fix)
	apply(find(t, list, "accounts that the agent may not lock").Fix)
	list, err = b.connect(agentUser).Check(t.Context(), CheckOptions{Role: RoleAgent})
	must(t, err)
	severities(t, list, map[string]Severity{
		"GTID position": SeverityOK, "heartbeat period": SeverityOK, "pause between retries": SeverityOK, "connection retries": SeverityOK,
	})
	for _, f := range list {
		if f.Item == "accounts that the agent may not lock" {
			t.Errorf("with SYSTEM_USER: %+v", f)
		}
	}

	b.kill()
	b.start("--super-read-only=0", "--read-only=1", "--performance-schema=OFF")
	c = b.connect(agentUser)
	list, err = c.Check(t.Context(), CheckOptions{AtStart: AtStart{ReadOnly: cluster.Yes}})
	must(t, err)
	severities(t, list, map[string]Severity{"read_only at start": SeverityOK, "super_read_only at start": SeverityWarn, "heartbeat period": SeverityOK})
	b.kill()
	b.start("--super-read-only=0", "--read-only=1")
	list, err = b.connect(agentUser).Check(t.Context(), CheckOptions{})
	must(t, err)
	severities(t, list, map[string]Severity{"read_only at start": SeverityOK, "super_read_only at start": SeverityWarn})
}

func TestCheckOfGrantsProposesWhatHelps(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		for _, role := range []Role{RoleMonitor, RoleAgent} {
			c := s.marked(poorUser, shop)
			list, err := c.Check(t.Context(), CheckOptions{Role: role})
			must(t, err)
			item := "grants of the " + string(role)
			f := find(t, list, item)
			if f.Severity != SeverityFail {
				t.Fatalf("%s: %+v", role, f)
			}
			if role == RoleMonitor {
				bypass, second := SeverityUnknown, "SLAVE MONITOR"
				if kind.flavor == cluster.MySQL {
					bypass, second = SeverityOK, "REPLICATION CLIENT"
				}
				severities(t, list, map[string]Severity{"replication channel": SeverityUnknown, "accounts that write through read_only": bypass})
				if want := "GRANT PROCESS, " + second + " ON *.* TO 'poor'@'127.0.0.1';"; f.Fix != want {
					t.Errorf("fix %q, want %q", f.Fix, want)
				}
			}
			for _, f := range list {
				if about := strings.Contains(f.Fix, "GRANT ") || strings.Contains(f.Fix, "REVOKE "); about != f.Replicates {
					t.Errorf("%s: replicates %v", f.Fix, f.Replicates)
				}
				if f.Item != item {
					continue
				}
				s.quietly(strings.Split(f.Fix, "\n")...)
			}
			list, err = s.marked(poorUser, shop).Check(t.Context(), CheckOptions{Role: role})
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
		must(t, c.LockAccounts(t.Context(), []cluster.Account{{User: appUser, Host: here}}))
		must(t, c.Unseal(t.Context()))
		must(t, c.WriteMark(t.Context(), shop, mark(1)))
	})
}

// problems tries what a program does with an account and names what does not work.
func (s *server) problems(role Role, user string) (list []string) {
	s.t.Helper()
	ctx := within(s.t, 20*time.Second)
	c := s.marked(user, shop)
	app := s.connect(appUser)
	try := func(what string, err error) {
		if err != nil {
			list = append(list, what)
		}
	}
	got, err := c.Observe(ctx, nil)
	try("observe", err)
	if err == nil && got.Sessions < 1 {
		list = append(list, "sessions")
	}
	if err == nil && got.Mark == (cluster.Mark{}) {
		list = append(list, "mark")
	}
	if err == nil && got.Channel.HeartbeatPeriodMS == 0 {
		list = append(list, "heartbeats")
	}
	if role == RoleMonitor {
		return list
	}
	try("list accounts", func() error { _, err := c.Accounts(ctx); return err }())
	try("writers", func() error { _, err := c.Writers(ctx); return err }())
	try("kill", func() error {
		if err := c.Kill(ctx, app.ID()); err != nil || app.Ping(ctx) != nil {
			return err
		}
		return errors.New("it lives")
	}())
	try("stop", c.StopReplication(ctx))
	try("lock", c.LockAccounts(ctx, []cluster.Account{{User: poorUser, Host: here}}))
	try("close", c.SetReadOnly(ctx, time.Second))
	try("unseal", c.Unseal(ctx))
	try("raise", c.WriteMark(ctx, shop, mark(got.Mark.Epoch+1)))
	try("insert", c.WriteMark(ctx, EpochAt{Table: shop.Table, UniqSign: cluster.UniqSign(fmt.Sprint(c.ID()))}, mark(1)))
	s.quietly("DROP TABLE IF EXISTS mmm_meta.other")
	try("create", c.WriteMark(ctx, EpochAt{Table: "mmm_meta.other", UniqSign: "x"}, mark(1)))
	try("open", c.SetWritable(ctx))
	return list
}

func TestEveryGrantIsNeededAndAllAreEnough(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, s := startPair(t, kind)
		must(t, a.connect(agentUser).WriteMark(t.Context(), shop, mark(1)))
		c := s.connect(agentUser)
		eventually(t, 10*time.Second, "the mark is there", func() bool {
			m, err := c.Mark(t.Context(), shop)
			must(t, err)
			return m == mark(1)
		})
		// No function of this package needs these yet.
		unused := []string{"RELOAD", "BINLOG MONITOR"}
		for _, role := range []Role{RoleMonitor, RoleAgent} {
			all := slices.Concat(c.dialect.grants[role], epochGrants(shop.Table, role))
			to := account("tried", here)
			try := func(without *grant) []string {
				t.Helper()
				s.quietly("DROP USER IF EXISTS "+to, "CREATE USER "+to+" IDENTIFIED BY 'pw'")
				for _, g := range all {
					if without == nil || g != *without {
						s.quietly("GRANT " + g.privilege + " ON " + g.on + " TO " + to)
					}
				}
				s.do("SET GLOBAL read_only = 1")
				return s.problems(role, "tried")
			}
			if list := try(nil); list != nil {
				t.Errorf("%s with everything: %v", role, list)
			}
			for _, g := range all {
				list := try(&g)
				t.Logf("%s without %s on %s: %v", role, g.privilege, g.on, list)
				if len(list) == 0 && !slices.Contains(unused, g.privilege) {
					t.Errorf("%s does not need %s on %s", role, g.privilege, g.on)
				}
			}
		}
	})
}

func TestCheckTellsWhereReadOnlyComesFrom(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		off := []string{"--skip-read-only"}
		if kind.flavor == cluster.MySQL {
			off = append(off, "--super-read-only=0")
		}
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
		if kind.flavor == cluster.MySQL {
			s.do("SET GLOBAL super_read_only = 1")
		}
		if got := severity(); got != SeverityUnknown {
			t.Errorf("set by hand: %s", got)
		}
		list, err := c.Check(t.Context(), CheckOptions{AtStart: AtStart{ReadOnly: cluster.Yes}})
		must(t, err)
		if got := find(t, list, "read_only at start").Severity; got != SeverityOK {
			t.Errorf("seen at a start: %s", got)
		}
		s.kill()
		s.start(off...)
		c = s.connect(agentUser)
		if got := severity(); got != SeverityFail {
			t.Errorf("configured off: %s", got)
		}
	})
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

func TestCheckTellsOfAnOlderPassive(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		own, err := c.Facts(t.Context())
		must(t, err)
		major, rest, _ := strings.Cut(own.Version, ".")
		n, err := strconv.Atoi(major)
		must(t, err)
		newer, older := fmt.Sprintf("%d.%s", n+1, rest), fmt.Sprintf("%d.%s", n-1, rest)
		for _, tt := range []struct {
			name, peer string
			active     cluster.Endpoint
			want       Severity
		}{
			{"the active is newer", newer, "other:1", SeverityWarn},
			{"the active is older", older, "other:1", SeverityOK},
			{"the active is of the same release", own.Version, "other:1", SeverityOK},
			{"the passive is newer", newer, s.addr(), SeverityOK},
			{"nobody is active", newer, "", SeverityOK},
			{"the other flavour", "99.1.0" + map[cluster.Flavor]string{cluster.MySQL: "-MariaDB"}[kind.flavor], "other:1", SeverityOK},
		} {
			list, err := c.Check(t.Context(), CheckOptions{Peer: "other:1", Active: tt.active, PeerFacts: &Facts{ServerID: 2, Version: tt.peer}})
			must(t, err)
			if f := find(t, list, "release"); f.Severity != tt.want || (f.Severity == SeverityWarn) != strings.Contains(f.Text, "older than the active's "+tt.peer) {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
	})
}
