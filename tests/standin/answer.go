package standin

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// conn is one session.
type conn struct {
	wire
	s     *Server
	id    uint32
	user  string
	until time.Time // @mmm_until
}

// Numbers of errors.
const (
	errSyntax  = 1064
	errNoTable = 1146
)

func (c *conn) serve() {
	defer func() {
		_ = c.Close()
		c.s.pair.mu.Lock()
		delete(c.s.conns, c)
		c.s.pair.mu.Unlock()
	}()
	var err error
	if c.user, err = c.greet(c.id); err != nil {
		return
	}
	for {
		p, err := c.read()
		if err != nil || len(p) == 0 {
			return
		}
		switch p[0] {
		case comQuit:
			return
		case comPing:
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
	c.s.pair.settle()
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
	does   func(c *conn, statement string) *table // nil for none but OK
}{
	{"SET NAMES", nothing},
	{"SET SESSION", nothing},
	{"SET lock_wait_timeout", nothing},
	{"SET @mmm_until", func(c *conn, s string) *table {
		c.until = time.Now().Add(time.Duration(number(s)) * time.Microsecond)
		return nil
	}},
	{"SET GLOBAL super_read_only", func(c *conn, s string) *table {
		on := isOn(s)
		c.s.superReadOnly = on
		if on {
			c.s.set(true)
		}
		return nil
	}},
	{"SET GLOBAL read_only", func(c *conn, s string) *table {
		on := isOn(s)
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
	{"SELECT ID AS Id, USER AS User", sessions},
	{"SHOW REPLICA STATUS", channel},
	{"SELECT s.COUNT_RECEIVED_HEARTBEATS", func(c *conn, _ string) *table {
		n := 0
		if c.s.io {
			n = int(time.Since(c.s.beats) / c.s.beat)
		}
		return row("Slave_received_heartbeats", strconv.Itoa(n), "Slave_heartbeat_period", fmt.Sprintf("%.3f", c.s.beat.Seconds()))
	}},
	{"SELECT epoch, active FROM", func(c *conn, _ string) *table {
		t := &table{columns: []string{"epoch", "active"}}
		if c.s.epoch != "" {
			t.rows = [][]*string{values(c.s.epoch, c.s.active)}
		}
		return t
	}},
	{"SELECT VARIABLE_NAME AS name, i.VARIABLE_SOURCE", func(c *conn, _ string) *table {
		t := &table{columns: []string{"name", "origin", "value"}}
		for _, name := range []string{"read_only", "super_read_only"} {
			t.rows = append(t.rows, values(name, "EXPLICIT", "ON"))
		}
		return t
	}},
	{"SHOW GRANTS", func(*conn, string) *table {
		return row("Grants for mmm@%", "GRANT ALL PRIVILEGES ON *.* TO `mmm`@`%` WITH GRANT OPTION")
	}},
	{"CREATE DATABASE", nothing},
	{"CREATE TABLE", nothing},
	{"INSERT INTO", func(c *conn, s string) *table {
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
	{"SELECT WAIT_FOR_EXECUTED_GTID_SET", func(*conn, string) *table { return row("answer", "0") }},
	{"SELECT GTID_SUBTRACT", func(*conn, string) *table { return row("rest", "") }},
	{"SELECT t.trx_mysql_thread_id", func(*conn, string) *table {
		return &table{columns: []string{"id", "user", "command", "modified", "state", "age_us"}}
	}},
	{"SELECT t.PROCESSLIST_ID", func(*conn, string) *table {
		return &table{columns: []string{"id", "user", "command", "modified", "state", "age_us"}}
	}},
	{"KILL", func(c *conn, s string) *table {
		for other := range c.s.conns {
			if uint64(other.id) == number(s) {
				_ = other.Close()
			}
		}
		return nil
	}},
}

var (
	digits = regexp.MustCompile(`[0-9]+`)
	marked = regexp.MustCompile(`VALUES \('[^']*', ([0-9]+), '([^']*)'\)`)
	onOff  = regexp.MustCompile(`(?i)= *(IF\([^,]*, *)?'?(ON|OFF|1|0)\b`)
)

// statement answers one; false when it failed, and none after it is looked at.
func (c *conn) statement(s string, status uint16) bool {
	for _, a := range answers {
		if !strings.HasPrefix(s, a.begins) {
			continue
		}
		if strings.HasPrefix(s, "SELECT epoch") && c.s.epoch == "" {
			c.fail(errNoTable, "42S02", "Table 'mmm_meta.epoch' doesn't exist")
			return false
		}
		if t := a.does(c, s); t != nil {
			c.result(t, status)
		} else {
			c.ok(status)
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

func (s *Server) marked() uint64 {
	n, _ := strconv.ParseUint(cmp.Or(s.epoch, "0"), 10, 64)
	return n
}

func (c *conn) threads(io, sql bool) *table {
	if io && !c.s.wants {
		c.s.beats = time.Now()
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
		t.rows = append(t.rows, values(strconv.Itoa(int(other.id)), "mmm", other.RemoteAddr().String(), "information_schema", command, "0", "", ""))
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
	received := ""
	if s.received > 0 {
		received = span(source.uuid, s.received)
	}
	t := row("Source_Host", host, "Source_Port", port, "Source_User", "repl", "Replica_IO_Running", io, "Replica_SQL_Running", sql,
		"Source_UUID", source.uuid, "Auto_Position", "1", "Retrieved_Gtid_Set", received, "Channel_Name", "",
		"Last_IO_Errno", "0", "Last_IO_Error", "", "Last_SQL_Errno", "0", "Last_SQL_Error", "", "Seconds_Behind_Source", "")
	t.rows[0][len(t.rows[0])-1] = delay
	return t
}

// row is a result of one row, given as names and values in turn.
func row(all ...string) *table {
	t := &table{rows: [][]*string{nil}}
	for i := 0; i < len(all); i += 2 {
		t.columns = append(t.columns, all[i])
		t.rows[0] = append(t.rows[0], &all[i+1])
	}
	return t
}

func values(all ...string) []*string {
	var out []*string
	for i := range all {
		out = append(out, &all[i])
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
