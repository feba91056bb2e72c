package standin

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// conn is one session.
type conn struct {
	wire
	s     *Server
	id    uint32
	from  string
	user  string
	until time.Time // @mmm_until
	// idle is how long the session lasts when nothing is asked, 0 for hours; asked is when something was last.
	idle  time.Duration
	asked time.Time
}

// Numbers of errors.
const (
	errSyntax     = 1064
	errNoThread   = 1094
	errNoTable    = 1146
	errWrongValue = 1231
	errReadOnly   = 1290
	errRunning    = 3081
)

func (c *conn) serve() {
	defer func() {
		_ = c.Close()
		c.s.pair.mu.Lock()
		c.s.forget(c)
		c.s.pair.mu.Unlock()
	}()
	c.s.awake()
	var err error
	if c.user, err = c.greet(c.id); err != nil {
		return
	}
	for {
		if c.idle > 0 && c.SetReadDeadline(time.Now().Add(c.idle)) != nil {
			return
		}
		p, err := c.read()
		if err != nil || len(p) == 0 {
			return
		}
		c.s.awake()
		switch p[0] {
		case comQuit:
			return
		case comPing:
			c.s.pair.mu.Lock()
			c.asked = time.Now()
			c.s.pair.mu.Unlock()
			c.ok(0)
		case comQuery:
			c.statements(string(p[1:]))
		default:
			c.fail(errSyntax, "42000", fmt.Sprintf("command %d is not known", p[0]))
		}
		if c.flush() != nil {
			return
		}
	}
}

func (c *conn) statements(text string) {
	var all []string
	for one := range strings.SplitSeq(text, ";") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	c.s.pair.mu.Lock()
	defer c.s.pair.mu.Unlock()
	if !c.s.conns[c] {
		return // it was killed meanwhile
	}
	c.s.pair.settle()
	c.asked = time.Now()
	for i, one := range all {
		status := uint16(0)
		if i < len(all)-1 {
			status = moreResults
		}
		if !c.statement(one, status) {
			return
		}
	}
}

// answers are the statements known by their beginning, the longest first where one begins as another.
var answers = []struct {
	begins string
	does   func(c *conn, statement string) *table // nil where there are no rows
}{
	{"SET NAMES", nothing},
	{"SET SESSION wait_timeout", func(c *conn, s string) *table {
		c.idle = time.Duration(number(s)) * time.Second
		return nil
	}},
	{"SET SESSION", nothing},
	{"SET lock_wait_timeout", nothing},
	{"SET @mmm_until", func(c *conn, s string) *table {
		_, within, _ := strings.Cut(s, "INTERVAL")
		c.until = time.Now().Add(time.Duration(number(within)) * time.Microsecond)
		return nil
	}},
	{"SET GLOBAL super_read_only", func(c *conn, s string) *table {
		if c.late(s) {
			return fault(errWrongValue, "42000", "Variable 'super_read_only' can't be set to the value of 'too late'")
		}
		on := isOn(s)
		c.s.superReadOnly, c.s.named["super_read_only"] = on, true
		if on {
			c.s.set(true)
		}
		return nil
	}},
	{"SET GLOBAL read_only", func(c *conn, s string) *table {
		if c.late(s) {
			return fault(errWrongValue, "42000", "Variable 'read_only' can't be set to the value of 'too late'")
		}
		on := isOn(s)
		c.s.named["read_only"] = true
		if !on {
			c.s.superReadOnly = false
		}
		c.s.set(on)
		return nil
	}},
	{"SELECT CONNECTION_ID() AS id", func(c *conn, _ string) *table {
		return row("id", strconv.Itoa(int(c.id)), "version", version, "comment", "MySQL Community Server - GPL")
	}},
	{"SELECT @@global.read_only AS read_only, @@global.server_uuid", sample},
	{"SELECT @@global.read_only AS read_only, @@global.super_read_only", func(c *conn, _ string) *table {
		return row("read_only", bit(c.s.readOnly), "super_read_only", bit(c.s.superReadOnly))
	}},
	{"SHOW GLOBAL STATUS", func(c *conn, _ string) *table {
		return &table{columns: []string{"Variable_name", "Value"}, rows: [][]*string{
			values("Threads_connected", strconv.Itoa(len(c.s.conns))),
			values("Uptime", strconv.Itoa(int(time.Since(c.s.started)/time.Second))),
		}}
	}},
	{"SHOW GLOBAL VARIABLES", func(*conn, string) *table { return &table{columns: []string{"Variable_name", "Value"}} }},
	{"SHOW PROCESSLIST", sessions},
	{"SHOW FULL PROCESSLIST", sessions},
	{"SELECT ID AS Id, USER AS User", sessions},
	{"SHOW REPLICA STATUS", channel},
	{"SELECT s.COUNT_RECEIVED_HEARTBEATS", func(c *conn, _ string) *table {
		return row("Slave_received_heartbeats", strconv.Itoa(c.s.heartbeats()), "Slave_heartbeat_period", fmt.Sprintf("%.3f", c.s.beat.Seconds()))
	}},
	{"SELECT epoch, active FROM", func(c *conn, _ string) *table {
		if c.s.epoch == "" {
			return fault(errNoTable, "42S02", "Table 'mmm_meta.epoch' doesn't exist")
		}
		return row("epoch", c.s.epoch, "active", c.s.active)
	}},
	{"SELECT VARIABLE_NAME AS name, i.VARIABLE_SOURCE", func(c *conn, _ string) *table {
		t := &table{columns: []string{"name", "origin", "value"}}
		for _, name := range []string{"read_only", "super_read_only"} {
			origin, on := "EXPLICIT", c.s.readOnly
			if name == "super_read_only" {
				on = c.s.superReadOnly
			}
			if c.s.named[name] {
				origin = "DYNAMIC"
			}
			value := "OFF"
			if on {
				value = "ON"
			}
			t.rows = append(t.rows, values(name, origin, value))
		}
		return t
	}},
	{"SHOW GRANTS", func(*conn, string) *table {
		return row("Grants for mmm@%", "GRANT ALL PRIVILEGES ON *.* TO `mmm`@`%` WITH GRANT OPTION")
	}},
	{"CREATE DATABASE", nothing},
	{"CREATE TABLE", nothing},
	{"INSERT INTO", func(c *conn, s string) *table {
		if c.s.superReadOnly {
			return fault(errReadOnly, "HY000", "The MySQL server is running with the --super-read-only option so it cannot execute this statement")
		}
		if m := marked.FindStringSubmatch(s); m != nil {
			if newer, err := strconv.ParseUint(m[1], 10, 64); err == nil && newer > c.s.marked() {
				c.s.epoch, c.s.active = m[1], m[2]
			}
		}
		c.s.write()
		return nil
	}},
	{"STOP REPLICA IO_THREAD", func(c *conn, _ string) *table { return c.threads(false, c.s.sql) }},
	{"STOP REPLICA", func(c *conn, _ string) *table { return c.threads(false, false) }},
	{"START REPLICA IO_THREAD", func(c *conn, _ string) *table { return c.threads(true, c.s.sql) }},
	{"START REPLICA SQL_THREAD", func(c *conn, _ string) *table { return c.threads(c.s.wants, true) }},
	{"START REPLICA", func(c *conn, _ string) *table { return c.threads(true, true) }},
	{"CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=", func(c *conn, s string) *table {
		if c.s.wants {
			return fault(errRunning, "HY000", "This operation cannot be performed with running replication threads; run STOP REPLICA FOR CHANNEL '' first")
		}
		c.s.beat = time.Duration(number(s)) * time.Second
		return nil
	}},
	{"SELECT WAIT_FOR_EXECUTED_GTID_SET", applied},
	{"SELECT 1 AS other FROM DUAL", func(*conn, string) *table { return &table{columns: []string{"other"}} }},
	{"SELECT 1 AS taken, IS_USED_LOCK", lock},
	{"SELECT GET_LOCK", func(c *conn, s string) *table {
		if name := lockName(s); c.s.locks[name] == nil {
			c.s.locks[name] = c
		}
		return lock(c, s)
	}},
	{"SELECT t.trx_mysql_thread_id", func(*conn, string) *table {
		return &table{columns: []string{"id", "user", "command", "modified", "state", "age_us"}}
	}},
	{"KILL", func(c *conn, s string) *table {
		for other := range c.s.conns {
			if uint64(other.id) == number(s) {
				c.s.forget(other)
				_ = other.Close()
				return nil
			}
		}
		return fault(errNoThread, "HY000", "Unknown thread id: "+digits.FindString(s))
	}},
}

var (
	digits = regexp.MustCompile(`[0-9]+`)
	marked = regexp.MustCompile(`VALUES \('[^']*', ([0-9]+), '([^']*)'\)`)
	quoted = regexp.MustCompile(`'([^']*)'`)
	onOff  = regexp.MustCompile(`(?i)= *(IF\([^,]*, *)?'?(ON|OFF|1|0)\b`)
)

// statement answers one; false when it failed, and none after it is looked at.
func (c *conn) statement(s string, status uint16) bool {
	for _, a := range answers {
		if !strings.HasPrefix(s, a.begins) {
			continue
		}
		switch t := a.does(c, s); {
		case t == nil:
			c.ok(status)
		case t.fault != nil:
			c.fail(t.fault.number, t.fault.state, t.fault.text)
			return false
		default:
			c.result(t, status)
		}
		return true
	}
	if c.s.pair.opts.Unknown != nil {
		c.s.pair.opts.Unknown(s)
	}
	c.fail(errSyntax, "42000", "a stand-in does not know: "+s)
	return false
}

func nothing(*conn, string) *table { return nil }

// late reports whether an order that opens has outlived its limit.
func (c *conn) late(s string) bool {
	return strings.Contains(s, "@mmm_until") && !time.Now().Before(c.until)
}

// applied answers a wait at once: what is not there by now does not come.
func applied(c *conn, s string) *table {
	answer := "1" // not in time
	m := quoted.FindStringSubmatch(s)
	has, err := gtid.Parse(cluster.MySQL, c.s.gtids())
	if m != nil && err == nil {
		if target, err := gtid.Parse(cluster.MySQL, m[1]); err == nil && has.Contains(target) {
			answer = "0"
		}
	}
	return row("answer", answer)
}

// lock tells whether c has the lock that the statement asks for or about, and who has.
func lock(c *conn, s string) *table {
	holder := c.s.locks[lockName(s)]
	t := row("taken", bit(holder == c || strings.HasPrefix(s, "SELECT 1")), "holder", "")
	if holder == nil {
		t.rows[0][1] = nil
	} else {
		*t.rows[0][1] = strconv.Itoa(int(holder.id))
	}
	return t
}

func lockName(s string) string {
	if m := quoted.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

func (s *Server) marked() uint64 {
	n, _ := strconv.ParseUint(cmp.Or(s.epoch, "0"), 10, 64)
	return n
}

func (c *conn) threads(io, sql bool) *table {
	c.s.pair.settle()
	if io && !c.s.wants {
		c.s.heard = 0
	}
	c.s.wants, c.s.sql = io, sql
	c.s.pair.settle()
	return nil
}

func sample(c *conn, _ string) *table {
	if c.user == c.s.pair.opts.Sampler {
		c.s.samples = append(c.s.samples, time.Now())
	}
	return row("read_only", bit(c.s.readOnly), "identity", c.s.uuid, "gtid_mode", "ON", "log_bin", "1", "log_updates", "1",
		"executed", c.s.gtids(), "purged", "", "super_read_only", bit(c.s.superReadOnly))
}

func sessions(c *conn, _ string) *table {
	t := &table{columns: []string{"Id", "User", "Host", "db", "Command", "Time", "State", "Info"}}
	for other := range c.s.conns {
		command := "Sleep"
		if other == c {
			command = "Query"
		}
		seconds := strconv.Itoa(int(time.Since(other.asked) / time.Second))
		t.rows = append(t.rows, values(strconv.Itoa(int(other.id)), "mmm", other.from, "information_schema", command, seconds, "", ""))
	}
	return t
}

func channel(c *conn, _ string) *table {
	s := c.s
	source := s.other()
	host, port, _ := strings.Cut(string(source.addr), ":")
	io, sql, delay := "No", "No", (*string)(nil)
	switch {
	case s.io:
		io = "Yes"
	case s.wants:
		io = "Connecting"
	}
	if s.sql {
		sql = "Yes"
	}
	if s.io && s.sql {
		none := "0"
		delay = &none
	}
	errno, text := "0", ""
	if io == "Connecting" {
		errno, text = "2003", "error connecting to source: Can't connect to MySQL server (111)"
	}
	received := ""
	if s.received > 0 {
		received = span(source.uuid, s.received)
	}
	t := row("Source_Host", host, "Source_Port", port, "Source_User", "repl", "Replica_IO_Running", io, "Replica_SQL_Running", sql,
		"Source_UUID", source.uuid, "Auto_Position", "1", "Retrieved_Gtid_Set", received, "Channel_Name", "",
		"Last_IO_Errno", errno, "Last_IO_Error", text, "Last_SQL_Errno", "0", "Last_SQL_Error", "", "Seconds_Behind_Source", "")
	t.rows[0][len(t.rows[0])-1] = delay
	return t
}

// fault is what a statement that the server refuses gives.
func fault(number uint16, state, text string) *table {
	return &table{fault: &failure{number, state, text}}
}

// row is a result of one row, given as names and values in turn.
func row(all ...string) *table {
	t := &table{columns: make([]string, 0, len(all)/2), rows: [][]*string{make([]*string, 0, len(all)/2)}}
	for i := 0; i < len(all); i += 2 {
		t.columns = append(t.columns, all[i])
		t.rows[0] = append(t.rows[0], &all[i+1])
	}
	return t
}

func values(all ...string) []*string {
	out := make([]*string, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	return out
}

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// isOn is what a SET turns a switch to.
func isOn(s string) bool {
	m := onOff.FindStringSubmatch(s)
	return m != nil && (strings.EqualFold(m[2], "ON") || m[2] == "1")
}

// number is the first number in s.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(digits.FindString(s), 10, 64)
	return n
}
