package mysqlnode

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Role is a program that logs in to the server.
type Role string

// The programs with accounts of their own.
const (
	RoleMonitor Role = "monitor"
	RoleAgent   Role = "agent"
)

// grant is one privilege that a program's account needs.
type grant struct {
	privilege, on string
	// spare: everything but what it says in use works without.
	spare bool
	use   string
}

var grantsMariaDB = map[Role][]grant{
	RoleMonitor: {
		{"PROCESS", "*.*", false, "seeing all sessions"},
		{"SLAVE MONITOR", "*.*", false, "reading the replication status"},
		{"BINLOG MONITOR", "*.*", true, "reading the list of binary logs"},
	},
	RoleAgent: {
		{"READ_ONLY ADMIN", "*.*", false, "setting read_only"},
		{"CONNECTION ADMIN", "*.*", false, "killing sessions and getting in when the server is full"},
		{"REPLICATION SLAVE ADMIN", "*.*", false, "starting and stopping replication"},
		{"SLAVE MONITOR", "*.*", false, "reading the replication status"},
		{"PROCESS", "*.*", false, "seeing all sessions and transactions"},
		{"BINLOG MONITOR", "*.*", true, "reading the list of binary logs"},
		{"BINLOG ADMIN", "*.*", true, "locking accounts without a trace in the binary log"},
		{"CREATE USER", "*.*", true, "locking accounts"},
		{"RELOAD", "*.*", true, "resetting replication"},
		{"SELECT", "mysql.global_priv", true, "reading which accounts there are"},
	},
}

var grantsMySQL56 = map[Role][]grant{
	RoleMonitor: {
		{"PROCESS", "*.*", false, "seeing all sessions"},
		{"REPLICATION CLIENT", "*.*", false, "reading the replication status"},
	},
	RoleAgent: {
		{"SUPER", "*.*", false, "setting read_only, killing sessions, starting and stopping replication"},
		{"PROCESS", "*.*", false, "seeing all sessions and transactions"},
		{"RELOAD", "*.*", true, "resetting replication"},
		{"SELECT", "mysql.user", true, "reading which accounts there are"},
		{"UPDATE", "mysql.user", true, "locking accounts"},
	},
}

var grantsMySQL8 = map[Role][]grant{
	RoleMonitor: {
		{"PROCESS", "*.*", false, "seeing all sessions"},
		{"REPLICATION CLIENT", "*.*", false, "reading the replication status"},
		{"SELECT", "performance_schema.*", true, "reading the heartbeats of replication"},
	},
	RoleAgent: {
		{"SYSTEM_VARIABLES_ADMIN", "*.*", false, "setting read_only"},
		{"CONNECTION_ADMIN", "*.*", false, "killing sessions and getting in when the server is full"},
		{"REPLICATION_SLAVE_ADMIN", "*.*", false, "starting and stopping replication"},
		{"REPLICATION CLIENT", "*.*", false, "reading the replication status"},
		{"PROCESS", "*.*", false, "seeing all sessions and transactions"},
		{"CREATE USER", "*.*", true, "locking accounts"},
		{"RELOAD", "*.*", true, "resetting replication"},
		{"SELECT", "mysql.user", true, "reading which accounts there are"},
		{"SELECT", "performance_schema.*", true, "reading the heartbeats of replication"},
	},
}

// epochGrants are for the table of the epoch rows; none without one.
func epochGrants(table string, role Role) (list []grant) {
	schema, _, _ := strings.Cut(table, ".")
	switch {
	case table == "":
	case role == RoleMonitor:
		list = []grant{{"SELECT", schema + ".*", true, "reading the epoch row"}}
	default:
		for _, privilege := range []string{"CREATE", "INSERT", "SELECT", "UPDATE"} {
			list = append(list, grant{privilege, schema + ".*", true, "keeping the epoch row"})
		}
	}
	return list
}

// What having commits wait for the passive needs besides.
var (
	acksGrantsMariaDB = map[Role][]grant{RoleAgent: {{"REPLICATION MASTER ADMIN", "*.*", false, "having commits wait for the passive"}}}
	acksGrantsMySQL   = map[Role][]grant{RoleAgent: {{"INSERT", "mysql.plugin", false, "installing semi-synchronous replication"}}}
)

// acksGrants are for a promise that commits wait for the passive; none without it.
func (d *dialect) acksGrants(promise cluster.Durability, role Role) []grant {
	if !promise.Acknowledged() {
		return nil
	}
	return d.acks[role]
}

// What SUPER stands for.
var (
	superOfMySQL56 = []string{"REPLICATION CLIENT"}
	superOfMySQL8  = []string{"REPLICATION CLIENT", "SYSTEM_VARIABLES_ADMIN", "CONNECTION_ADMIN", "REPLICATION_SLAVE_ADMIN"}
)

// superOfMariaDB follows how SUPER was taken apart: 10.11 took READ_ONLY ADMIN
// out of it, 11.0 the rest.
func superOfMariaDB(v version) []string {
	switch {
	case v.since(11, 0, 0):
		return nil
	case v.since(10, 11, 0):
		return []string{"SLAVE MONITOR", "BINLOG MONITOR", "CONNECTION ADMIN", "REPLICATION SLAVE ADMIN", "REPLICATION MASTER ADMIN", "BINLOG ADMIN"}
	}
	return []string{"SLAVE MONITOR", "BINLOG MONITOR", "CONNECTION ADMIN", "REPLICATION SLAVE ADMIN", "REPLICATION MASTER ADMIN", "BINLOG ADMIN", "READ_ONLY ADMIN"}
}

// privileges is what SHOW GRANTS lists: privileges by object.
type privileges map[string][]string

var (
	grantLine    = regexp.MustCompile(`^GRANT (.+?) ON (?:TABLE )?(\S+) TO `)
	grantee      = regexp.MustCompile(`^GRANT .+? TO (\S+)`)
	columnList   = regexp.MustCompile(`\([^)]*\)`)
	otherWording = map[string]string{
		"REPLICATION CLIENT":        "BINLOG MONITOR",
		"REPLICA MONITOR":           "SLAVE MONITOR",
		"REPLICATION REPLICA ADMIN": "REPLICATION SLAVE ADMIN",
		"READ ONLY ADMIN":           "READ_ONLY ADMIN",
	}
)

// readGrants reads SHOW GRANTS. Only the privileges are kept: the lines may
// hold password hashes.
func readGrants(r result, d *dialect, v version) privileges {
	p := privileges{}
	for _, line := range r.rows {
		m := grantLine.FindStringSubmatch(line[0].text)
		if m == nil {
			continue
		}
		on := strings.ReplaceAll(m[2], "`", "")
		for name := range strings.SplitSeq(columnList.ReplaceAllString(m[1], ""), ",") {
			name = strings.ToUpper(strings.TrimSpace(name))
			p[on] = append(p[on], name)
			if v.flavor == cluster.MariaDB && otherWording[name] != "" {
				p[on] = append(p[on], otherWording[name])
			}
			if name == "SUPER" && on == "*.*" {
				p[on] = append(p[on], d.implied(v)...)
			}
		}
	}
	return p
}

// has reports whether the privileges hold g, on its object or a larger one.
func (p privileges) has(g grant) bool {
	for on, list := range p {
		if covers(on, g.on) && (slices.Contains(list, g.privilege) || slices.Contains(list, "ALL PRIVILEGES") || slices.Contains(list, "ALL")) {
			return true
		}
	}
	return false
}

// covers reports whether what is granted on one object holds for another. The
// schema of a grant on a whole schema is a pattern as for LIKE.
func covers(on, object string) bool {
	pattern, whole := strings.CutSuffix(on, ".*")
	if on == "*.*" || on == object || !whole {
		return on == "*.*" || on == object
	}
	schema, _, _ := strings.Cut(object, ".")
	var b strings.Builder
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			b.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '_':
			b.WriteString(".")
		case r == '%':
			b.WriteString(".*")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	matched, err := regexp.MatchString("^"+b.String()+"$", schema)
	return err == nil && matched
}

// statements words the missing grants, one statement for each object.
func statements(missing []grant, to string) string {
	var objects []string
	byObject := map[string][]string{}
	for _, g := range missing {
		if byObject[g.on] == nil {
			objects = append(objects, g.on)
		}
		byObject[g.on] = append(byObject[g.on], g.privilege)
	}
	var lines []string
	for _, on := range objects {
		lines = append(lines, "GRANT "+strings.Join(byObject[on], ", ")+" ON "+on+" TO "+to+";")
	}
	return strings.Join(lines, "\n")
}

// name is the privilege, with its object where that is not the whole server.
func (g grant) name() string {
	if g.on == "*.*" {
		return g.privilege
	}
	return g.privilege + " on " + g.on
}

// lacking are the grants for a role, and more, that p does not hold: those without
// which it does not work, and the spare ones.
func (c *Conn) lacking(role Role, p privileges, more ...grant) (missing, spare []grant) {
	for _, g := range slices.Concat(c.dialect.grants[role], epochGrants(c.node.opts.Epoch.Table, role), more) {
		switch {
		case p.has(g):
		case g.spare:
			spare = append(spare, g)
		default:
			missing = append(missing, g)
		}
	}
	return missing, spare
}

// Missing names the privileges without which the role does not work and which the
// account does not have: by what is granted now, whatever this session may still
// do. Those that Check warns of only are left out. With an error nothing is known;
// it is this session's own unless its cause is CauseOther.
func (c *Conn) Missing(ctx context.Context, role Role) ([]string, error) {
	p, roles, err := c.granted(ctx)
	if err != nil {
		return nil, err
	}
	missing, _ := c.lacking(role, p)
	if roles || len(missing) > 0 {
		// A session keeps the roles of its log-in: who logs in now may have others.
		const op = "log in once more to read the grants on"
		fresh, err := c.node.Connect(ctx)
		if err != nil {
			return nil, c.fault(op, err)
		}
		defer func() { _ = fresh.Close() }()
		if p, _, err = fresh.granted(ctx); err != nil {
			return nil, c.fault(op, err)
		}
		missing, _ = c.lacking(role, p)
	}
	var names []string
	for _, g := range missing {
		names = append(names, g.name())
	}
	return names, nil
}

// granted reads the privileges of our account and of the session's roles, and
// whether roles have a hand in it.
func (c *Conn) granted(ctx context.Context) (p privileges, roles bool, err error) {
	const op = "read the grants on"
	got, err := c.query(ctx, op, grantQuery)
	if err != nil {
		return nil, false, err
	}
	if len(got) == 1 {
		p, roles = readGrants(got[0], c.dialect, c.version), rolesIn(got[0])
	}
	if len(p) == 0 { // Whoever has nothing has USAGE.
		return nil, false, c.fault(op, errors.New("the answer is not understood"))
	}
	return p, roles, nil
}

// rolesIn reports whether SHOW GRANTS lists roles or more than one account's privileges.
func rolesIn(list result) bool {
	first := ""
	for _, line := range list.rows {
		if strings.HasPrefix(line[0].text, "GRANT `") {
			return true
		}
		if m := grantee.FindStringSubmatch(line[0].text); m != nil {
			if first != "" && m[1] != first {
				return true
			}
			first = m[1]
		}
	}
	return false
}

// grants finds what the account that we logged in with lacks for a role.
func (k *checker) grants(role Role) {
	more := k.conn.dialect.acksGrants(k.options.Durability, role)
	if s := readEnds(k.vars, nil); k.conn.dialect.plugins && s.source != "" && s.replica != "" {
		more = nil
	}
	missing, spare := k.conn.lacking(role, k.privileges, more...)
	item := "grants of the " + string(role)
	if len(missing) > 0 {
		k.fail(item, k.account+" lacks "+uses(missing), statements(missing, k.account))
	}
	if len(spare) > 0 {
		k.warn(item, k.account+" lacks, for functions that may not be in use, "+uses(spare), statements(spare, k.account))
	}
	if len(missing)+len(spare) == 0 {
		k.ok(item, k.account+" has what the "+string(role)+" needs")
	}
}

// uses lists privileges with what they are for.
func uses(list []grant) string {
	var parts []string
	for _, g := range list {
		parts = append(parts, g.name()+" ("+g.use+")")
	}
	return strings.Join(parts, ", ")
}
