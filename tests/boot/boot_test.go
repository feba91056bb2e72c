package boot

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	monitor  = "mmm-monitor@mysql3306.service"
	identify = "mmm-identify@mysql3306.service"
	agent    = "mmm-agent.service"
)

var units = []string{monitor, identify, agent}

const server = `[mysqld]
bind-address=127.0.0.1
port=%d
server-id=%d
datadir=/var/lib/mysql%[1]d
socket=/tmp/mysql%[1]d.sock
log-bin=bin
log-slave-updates
gtid-strict-mode
read-only
skip-name-resolve
innodb-buffer-pool-size=16M
performance-schema=off
init-file=/etc/accounts.sql
`

const accounts = `SET sql_log_bin=0;
CREATE USER IF NOT EXISTS mmm@127.0.0.1 IDENTIFIED BY 'canary';
GRANT ALL ON *.* TO mmm@127.0.0.1;
CREATE USER IF NOT EXISTS repl@127.0.0.1 IDENTIFIED BY 'canary';
GRANT REPLICATION SLAVE ON *.* TO repl@127.0.0.1;
SET sql_log_bin=1;
`

const pairs = `[mysql3306]
primaryhost=127.0.0.1:3306
secondaryhost=127.0.0.1:3307
user=mmm
password=canary
uniqsign=8d9a4b2924dc40baa792d742cb786345
interval=1
failover_block=0
failback=manual
monitor_logfile=/var/log/mmm-manager/mmm-monitor-3306.log
identify_logfile=/var/log/mmm-manager/mmm-identify-3306.log

[other]
primaryhost=nonsense

[redis]
host=127.0.0.1:6379

[log]
logfile=/var/log/mmm-manager/mmm.log
`

const agentConf = `[mysql]
user=mmm
password=canary
[redis]
host=localhost:6379
[log]
logfile=/var/log/mmm-manager/mmm-agent.log
`

// site is a machine with a pair, a Redis and the three units.
func site(t *testing.T) *machine {
	m := unpack(t)
	// What make install needs goes along: it is run on the machine too.
	src := filepath.Join(m.root, "src")
	if err := os.MkdirAll(src+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if bin := os.Getenv("MMM_BIN"); bin != "" {
		must(t, exec.Command("sh", "-c", "cp "+bin+"/* "+src+"/bin/"))
	} else {
		must(t, exec.Command("go", "build", "-trimpath", "-o", src+"/bin/", "../../cmd/..."))
	}
	must(t, exec.Command("cp", "-r", "../../README.md", "../../LICENSE", "../../etc", "../../systemd", "../../scripts", src))
	must(t, exec.Command("make", "-C", "../..", "install", "DESTDIR="+m.root, "BIN="+src+"/bin"))
	m.write("etc/mmm-manager/mmm.conf", pairs)
	m.write("etc/mmm-manager/mmm-agent.conf", agentConf)
	m.write("etc/hosts", "127.0.0.1 localhost\n")
	m.write("etc/accounts.sql", accounts)
	m.write("etc/sysusers.d/mysql.conf", "u mysql -\n")
	m.write("etc/systemd/system/mysql@.service", `[Service]
Type=notify
User=mysql
ExecStartPre=+/bin/sh -c 'test -d /var/lib/mysql%i/mysql || mariadb-install-db --no-defaults --force --user=mysql --datadir=/var/lib/mysql%i --auth-root-authentication-method=normal --skip-test-db >/dev/null'
ExecStart=/usr/sbin/mariadbd --defaults-file=/etc/mysql%i.cnf
[Install]
WantedBy=multi-user.target
`)
	for i, port := range []int{3306, 3307} {
		m.write(fmt.Sprintf("etc/mysql%d.cnf", port), fmt.Sprintf(server, port, i+1))
	}
	m.boot()
	for _, unit := range []string{"redis-server", "mysql@3306", "mysql@3307"} {
		m.run("systemctl", "start", unit)
	}
	for port, source := range map[int]int{3306: 3307, 3307: 3306} {
		m.sql(port, fmt.Sprintf("CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='repl', master_password='canary', master_use_gtid=slave_pos; START SLAVE", source))
	}
	return m
}

func (m *machine) sql(port int, text string) string {
	m.t.Helper()
	return m.run("mariadb", "-uroot", fmt.Sprintf("-S/tmp/mysql%d.sock", port), "-N", "-e", text)
}

func (m *machine) replicates(port int) bool {
	out, err := m.try("mariadb", "-uroot", fmt.Sprintf("-S/tmp/mysql%d.sock", port), "-e", "SHOW SLAVE STATUS\\G")
	return err == nil && strings.Count(out, "Running: Yes") == 2
}

func (m *machine) open(port int) bool {
	out, err := m.try("mariadb", "-uroot", fmt.Sprintf("-S/tmp/mysql%d.sock", port), "-N", "-e", "SELECT @@read_only")
	return err == nil && out == "0"
}

// restarts is how often systemd has started a unit anew.
func (m *machine) restarts(unit string) int {
	m.t.Helper()
	n, err := strconv.Atoi(m.show(unit, "NRestarts"))
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *machine) active(unit string) bool {
	m.t.Helper()
	return m.show(unit, "ActiveState") == "active"
}

func TestUnits(t *testing.T) {
	if os.Getenv("MMM_BOOT") == "" {
		t.Skip("boots a system: make boot")
	}
	if os.Getuid() != 0 || cgroups() == "" {
		t.Fatal("needs root, and cgroup2 mounted")
	}
	m := site(t)

	step := func(name string, f func(t *testing.T)) {
		if t.Failed() {
			return
		}
		t.Run(name, func(t *testing.T) {
			old := m.t
			m.t = t
			defer func() { m.t = old }()
			f(t)
		})
	}

	owned := func(t *testing.T, want map[string]string) {
		t.Helper()
		for path, what := range want {
			got, err := m.try("stat", "-c", "%a %U %G", path)
			if err != nil {
				got = "missing"
			}
			if got != what {
				t.Errorf("%s is %s, want %s", path, got, what)
			}
		}
	}

	step("ownership comes from sysusers.d and tmpfiles.d", func(t *testing.T) {
		owned(t, map[string]string{
			"/etc/mmm-manager": "750 root mmm", "/etc/mmm-manager/mmm.conf": "640 root mmm", "/etc/mmm-manager/mmm-agent.conf": "640 root mmm",
			"/var/log/mmm-manager": "750 mmm mmm", "/var/lib/mmm-manager": "750 mmm mmm",
		})
	})

	step("without Redis and with a bad other tag the units are ready", func(t *testing.T) {
		m.run("systemctl", "stop", "redis-server")
		m.run(append([]string{"systemctl", "enable", "--now"}, units...)...)
		for unit, status := range map[string]string{
			monitor: "mysql3306 over redis 127.0.0.1:6379", identify: "mysql3306 over redis 127.0.0.1:6379", agent: "over redis localhost:6379",
		} {
			if got := m.show(unit, "StatusText"); got != status || !m.active(unit) {
				t.Errorf("%s: %q, active: %v", unit, got, m.active(unit))
			}
			if got := m.run("ps", "-o", "user=", "-p", m.show(unit, "MainPID")); got != "mmm" {
				t.Errorf("%s runs as %s", unit, got)
			}
		}
		m.run("systemctl", "start", "redis-server")
		t.Logf("a server opened after %s", m.until("the primary is open", func() bool { return m.open(3306) && !m.open(3307) }).Round(time.Millisecond))
	})

	step("the watchdog is fed, and ends a process that stands still", func(t *testing.T) {
		for _, unit := range units {
			m.write("run/systemd/system/"+unit+".d/watchdog.conf", "")
			m.run("sh", "-c", "mkdir -p /run/systemd/system/"+unit+".d && printf '[Service]\nWatchdogSec=6\n' >/run/systemd/system/"+unit+".d/watchdog.conf")
		}
		m.run("systemctl", "daemon-reload")
		m.run(append([]string{"systemctl", "restart"}, units...)...)
		fed := map[string]string{}
		for _, unit := range units {
			fed[unit] = m.show(unit, "WatchdogTimestampMonotonic")
		}
		time.Sleep(15 * time.Second) // a time in which nothing must happen
		for _, unit := range units {
			if m.restarts(unit) != 0 || !m.active(unit) || m.show(unit, "WatchdogTimestampMonotonic") == fed[unit] {
				t.Errorf("%s: %d restarts, fed at %s and %s", unit, m.restarts(unit), fed[unit], m.show(unit, "WatchdogTimestampMonotonic"))
			}
		}
		for _, unit := range units {
			m.run("kill", "-STOP", m.show(unit, "MainPID"))
		}
		for _, unit := range units {
			took := m.until(unit+" was started anew", func() bool { return m.restarts(unit) == 1 && m.active(unit) })
			t.Logf("%s was started anew after %s", unit, took.Round(time.Second))
		}
		if log := m.run("journalctl", "--no-pager", "-u", agent); !strings.Contains(log, "Watchdog timeout") || !strings.Contains(log, "goroutine ") {
			t.Errorf("the journal has no stacks:\n%s", log)
		}
		m.run("sh", "-c", "rm -r /run/systemd/system/mmm-*.d")
		m.run("systemctl", "daemon-reload")
		m.run(append([]string{"systemctl", "restart"}, units...)...)
	})

	step("a reload changes no process", func(t *testing.T) {
		for _, unit := range units {
			pid := m.show(unit, "MainPID")
			m.run("systemctl", "reload", unit)
			m.until(unit+" has reloaded", func() bool { return m.show(unit, "SubState") == "running" })
			if got := m.show(unit, "MainPID"); got != pid {
				t.Errorf("%s: process %s became %s", unit, pid, got)
			}
		}
		m.until("all say so", func() bool {
			return strings.Count(m.read("var/log/mmm-manager/mmm.log")+m.read("var/log/mmm-manager/mmm-agent.log"), `"message":"configuration reloaded"`) == 3
		})
	})

	step("stop is quick and clean, and TERM is ignored where it was", func(t *testing.T) {
		for _, unit := range []string{monitor, identify} {
			m.run("kill", "-TERM", m.show(unit, "MainPID"))
		}
		m.until("both say so", func() bool {
			return strings.Count(m.read("var/log/mmm-manager/mmm.log"), `"message":"signal ignored"`) == 2
		})
		for _, unit := range units {
			began := time.Now()
			m.run("systemctl", "stop", unit)
			took := time.Since(began)
			if got := m.show(unit, "Result") + " " + m.show(unit, "ExecMainStatus") + " " + m.show(unit, "ActiveState"); got != "success 0 inactive" || took > 5*time.Second {
				t.Errorf("%s: %s after %s", unit, got, took)
			}
			t.Logf("%s stopped in %s", unit, took.Round(time.Millisecond))
			m.run("systemctl", "start", unit)
		}
		if !m.open(3306) {
			t.Error("the servers were not left as they are")
		}
	})

	step("a killed daemon comes back, however often", func(t *testing.T) {
		for _, unit := range units {
			before := m.restarts(unit)
			for i := range 7 { // systemd's own limit is five within ten seconds
				pid := m.show(unit, "MainPID")
				m.run("kill", "-KILL", pid)
				m.until(unit+" is back", func() bool {
					return m.active(unit) && m.show(unit, "MainPID") != pid && m.restarts(unit) == before+i+1
				})
			}
		}
	})

	step("a bad configuration ends in failure once, and a good one starts again", func(t *testing.T) {
		for unit, c := range map[string]struct{ file, good, bad, says string }{
			monitor:  {"mmm.conf", pairs, strings.Replace(pairs, "interval=1", "interval=soon", 1), "[mysql3306] interval: "},
			identify: {"mmm.conf", pairs, strings.Replace(pairs, "[mysql3306]", "[mysql3307]", 1), "find tag mysql3306"},
			agent:    {"mmm-agent.conf", agentConf, strings.Replace(agentConf, "user=mmm", "", 1), "[mysql] user: "},
		} {
			put := func(text string) {
				m.t.Helper()
				cmd := m.command(t.Context(), "sh", "-c", "cat >/etc/mmm-manager/"+c.file)
				cmd.Stdin = strings.NewReader(text)
				must(t, cmd)
			}
			put(c.bad)
			m.run("systemctl", "reset-failed", unit)
			if out, err := m.try("systemctl", "restart", unit); err == nil {
				t.Errorf("%s starts: %s", unit, out)
			}
			m.until(unit+" has failed", func() bool { return m.show(unit, "ActiveState") == "failed" })
			time.Sleep(3 * time.Second) // a time in which nothing must happen
			if n := m.restarts(unit); n != 0 || m.show(unit, "ActiveState") != "failed" {
				t.Errorf("%s: %d restarts, %s", unit, n, m.show(unit, "ActiveState"))
			}
			if log := m.run("journalctl", "--no-pager", "-o", "cat", "-n", "30", "-u", unit); !strings.Contains(log, c.says) {
				t.Errorf("the journal of %s does not say %q:\n%s", unit, c.says, log)
			}
			put(c.good)
			m.run("systemctl", "start", unit)
		}
	})

	step("logrotate", func(t *testing.T) {
		m.run("logrotate", "-f", "/etc/logrotate.d/mmm-manager")
		for _, name := range []string{"mmm.log", "mmm-monitor-3306.log", "mmm-identify-3306.log", "mmm-agent.log"} {
			path := "/var/log/mmm-manager/" + name
			m.until(name+" is there again", func() bool { out, _ := m.try("stat", "-c", "%a %U %G", path); return out == "640 mmm mmm" })
			if got := m.run("stat", "-c", "%a %U %G", path+".1"); got != "640 mmm mmm" {
				t.Errorf("%s.1 is %s", path, got)
			}
		}
		for _, unit := range units {
			m.until(unit+" writes to the new file only", func() bool {
				return !strings.Contains(m.run("sh", "-c", "ls -l /proc/"+m.show(unit, "MainPID")+"/fd"), ".log.1")
			})
		}
	})

	step("local sendmail needs the drop-in", func(t *testing.T) {
		// As setgid as postfix's postdrop and as nullmailer's queue are setuid.
		m.run("sh", "-c", "cp /usr/bin/id /usr/local/bin/gid && chgrp mail /usr/local/bin/gid && chmod 2755 /usr/local/bin/gid")
		m.run("sh", "-c", "mkdir -p /etc/systemd/system/"+agent+".d && printf '[Service]\nExecStartPost=/usr/local/bin/gid -ng\n' >/etc/systemd/system/"+agent+".d/test.conf")
		last := func() string {
			m.run("systemctl", "daemon-reload")
			m.run("systemctl", "restart", agent)
			return m.run("sh", "-c", "journalctl --no-pager -o cat -t gid | tail -n 1")
		}
		if got := last(); got != "mmm" {
			t.Errorf("under the unit a setgid program has group %s", got)
		}
		m.run("cp", "/usr/local/share/doc/mmm-manager/examples/mmm-agent-sendmail.conf", "/etc/systemd/system/"+agent+".d/sendmail.conf")
		if got := last(); got != "mail" {
			t.Errorf("with the drop-in a setgid program has group %s", got)
		}
		m.run("rm", "-r", "/etc/systemd/system/"+agent+".d")
		m.run("systemctl", "daemon-reload")
		m.run("systemctl", "restart", agent)
	})

	step("the pair fails over", func(t *testing.T) {
		m.until("replication runs", func() bool {
			return m.replicates(3307)
		})
		m.sql(3306, "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); INSERT INTO app.t VALUES (1)")
		m.run("systemctl", "kill", "--signal=KILL", "mysql@3306")
		took := m.until("the other server is open", func() bool { return m.open(3307) })
		t.Logf("the other server was open after %s, asked every 50 ms and more", took.Round(time.Millisecond))
		if got := m.sql(3307, "SELECT COUNT(*) FROM app.t"); got != "1" {
			t.Errorf("%s rows", got)
		}
		m.run("systemctl", "start", "mysql@3306")
		m.until("the old active replicates again and is closed", func() bool {
			return !m.open(3306) && m.replicates(3306)
		})
		if got := m.run("stat", "-c", "%U", "/var/lib/mmm-manager/agent.state"); got != "mmm" {
			t.Errorf("the agent's state belongs to %s", got)
		}
		m.until("mmm-status finds nothing wrong", func() bool { _, err := m.try("mmm-status", "--tag", "mysql3306"); return err == nil })
	})

	step("an upgrade leaves configuration and daemons alone", func(t *testing.T) {
		pids := ""
		for _, unit := range units {
			pids += m.show(unit, "MainPID") + " "
		}
		before := m.run("sha256sum", "/etc/mmm-manager/mmm.conf", "/etc/mmm-manager/mmm-agent.conf")
		m.run("/src/scripts/install.sh", "install")
		if after := m.run("sha256sum", "/etc/mmm-manager/mmm.conf", "/etc/mmm-manager/mmm-agent.conf"); after != before {
			t.Errorf("the configuration was\n%s\nand is\n%s", before, after)
		}
		for _, unit := range units {
			if pid := m.show(unit, "MainPID"); !strings.Contains(pids, pid+" ") || m.show(unit, "NeedDaemonReload") != "no" {
				t.Errorf("%s: process %s, of %s before; NeedDaemonReload=%s", unit, pid, pids, m.show(unit, "NeedDaemonReload"))
			}
		}
	})

	step("uninstall leaves configuration, state and logs", func(t *testing.T) {
		m.run("systemctl", "disable", "--now", monitor, identify, agent)
		m.run("/src/scripts/install.sh", "uninstall")
		owned(t, map[string]string{
			"/etc/mmm-manager/mmm.conf": "640 root mmm", "/var/log/mmm-manager/mmm.log": "640 mmm mmm", "/var/lib/mmm-manager": "750 mmm mmm",
			"/usr/local/bin/mmm-agent": "missing", "/etc/logrotate.d/mmm-manager": "missing",
		})
		if got := m.show(agent, "LoadState"); got != "not-found" {
			t.Errorf("%s is %s", agent, got)
		}
	})

	step("a first installation on a running system makes the account", func(t *testing.T) {
		m.run("userdel", "mmm")
		m.run("rm", "-r", "/etc/mmm-manager", "/var/lib/mmm-manager", "/var/log/mmm-manager")
		m.run("/src/scripts/install.sh", "install")
		owned(t, map[string]string{
			"/etc/mmm-manager": "750 root mmm", "/etc/mmm-manager/mmm.conf": "640 root mmm", "/etc/mmm-manager/mmm-agent.conf": "640 root mmm",
			"/var/log/mmm-manager": "750 mmm mmm", "/var/lib/mmm-manager": "750 mmm mmm",
		})
		m.run("runuser", "-u", "mmm", "--", "mmmctl", "check-config")
	})
}
