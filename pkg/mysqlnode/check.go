package mysqlnode

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	SeverityOK      Severity = "ok"
	SeverityWarn    Severity = "warn"    // works, with a risk or a delay that the text names
	SeverityFail    Severity = "fail"    // does not work, or not safely
	SeverityUnknown Severity = "unknown" // cannot be seen from here
)

// Finding is one prerequisite of a server.
type Finding struct {
	Severity Severity
	Item     string
	Text     string
	// Fix holds SQL statements, or lines for the server's configuration file
	// under [mysqld]; a line of either that begins with # is for the reader.
	// Empty when there is nothing to do.
	Fix string
	// Replicates: Fix enters the binary log, so that it is for the active only.
	// Elsewhere it becomes an errant transaction.
	Replicates bool
}

// Facts are what the servers of a pair must agree or differ in.
type Facts struct {
	ServerID   uint64
	DomainID   uint64 // gtid_domain_id of MariaDB, 0 on MySQL
	ServerUUID string // empty on MariaDB
	Version    string
	ReadOnly   cluster.Tri
}

// AtStart is how a server comes up.
type AtStart struct{ ReadOnly, SuperReadOnly cluster.Tri }

// CheckOptions carry what only the caller knows.
type CheckOptions struct {
	// Role whose grants are looked at; empty for none.
	Role Role
	// StartsClosed is what a monitor or an agent was told that read_only will be at the
	// next start, AtStart are the switches as seen at the first contact after the last.
	StartsClosed cluster.Tri
	AtStart      AtStart
	// Peer is the other member, from which this server should replicate; empty to skip.
	Peer cluster.Endpoint
	// Active is the member that is active; empty when that is not known.
	Active cluster.Endpoint
	// Quarantine is what an agent says that this server has and the active lacks,
	// for which it keeps replication stopped; empty without such a report.
	Quarantine string
	// Ours are the users of our programs, who must write through read_only or may.
	Ours []string
	// Durability is the promise made for acknowledged writes; empty for async.
	Durability cluster.Durability
	// PeerFacts are the other member's, nil when not known.
	PeerFacts *Facts
}

// checker collects findings about one server.
type checker struct {
	conn    *Conn
	options CheckOptions
	vars    map[string]string
	account string
	// privileges are those of the account that we logged in with.
	privileges privileges
	findings   []Finding
}

func (k *checker) add(s Severity, item, text, fix string) {
	k.findings = append(k.findings, Finding{Severity: s, Item: item, Text: text, Fix: fix, Replicates: aboutAccounts(fix)})
}

// aboutAccounts reports whether a fix changes accounts, which enters the binary log.
func aboutAccounts(fix string) bool {
	verb, _, _ := strings.Cut(fix, " ")
	return verb == "GRANT" || verb == "REVOKE"
}

func (k *checker) ok(item, text string)           { k.add(SeverityOK, item, text, "") }
func (k *checker) warn(item, text, fix string)    { k.add(SeverityWarn, item, text, fix) }
func (k *checker) fail(item, text, fix string)    { k.add(SeverityFail, item, text, fix) }
func (k *checker) unknown(item, text, fix string) { k.add(SeverityUnknown, item, text, fix) }

// Facts reads what is compared between the servers of a pair.
func (c *Conn) Facts(ctx context.Context) (Facts, error) {
	const op = "read the settings of"
	got, err := c.query(ctx, op, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_id', 'gtid_domain_id', 'server_uuid', 'read_only')")
	if err != nil {
		return Facts{}, err
	}
	if len(got) != 1 {
		return Facts{}, c.fault(op, errors.New("the server gave no settings"))
	}
	return c.facts(got[0].pairs()), nil
}

func (c *Conn) facts(vars map[string]string) Facts {
	f := Facts{Version: c.version.text, ServerUUID: vars["server_uuid"]}
	f.ServerID, _ = strconv.ParseUint(vars["server_id"], 10, 64)
	f.DomainID, _ = strconv.ParseUint(vars["gtid_domain_id"], 10, 64)
	if v, ok := vars["read_only"]; ok {
		f.ReadOnly = cluster.TriOf(on(v))
	}
	return f
}

// Check looks at the prerequisites of a server. Findings come in a fixed order;
// the error is for a server that did not answer, not for a bad finding.
func (c *Conn) Check(ctx context.Context, o CheckOptions) ([]Finding, error) {
	const op = "check"
	k := &checker{conn: c, options: o}
	queries := []string{variableQuery, accountQuery, grantQuery, statusQuery}
	got, err := c.channelBatch(ctx, op, queries, "")
	hidden := refused(number(err)) && len(got) == len(queries)
	if hidden {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if len(got) < len(queries) || len(got[1].rows) != 1 {
		return nil, c.fault(op, errors.New("the server left statements unanswered"))
	}
	k.vars = got[0].pairs()
	k.account = k.conn.node.opts.User
	if user, host, ok := cutLast(got[1].row(0).text("account"), "@"); ok {
		k.account = account(user, host)
	}

	k.privileges = readGrants(got[2], c.dialect, c.version)
	k.release()
	k.numbering()
	k.identity()
	if err := k.startsClosed(ctx); err != nil {
		return nil, err
	}
	k.startsStopped()
	k.durability()
	k.relayLog()
	if hidden {
		k.unknown("replication channel", k.account+" may not see it", "")
	} else {
		k.channel(got[len(queries):], got[3].pairs())
	}
	k.netTimeout()
	if err := k.acknowledgements(ctx, got[3].pairs()); err != nil {
		return nil, err
	}
	if err := k.bypass(ctx); err != nil {
		return nil, err
	}
	if o.Role != "" {
		k.grants(o.Role)
	}
	return k.findings, nil
}

// cutLast cuts at the last separator: user names may hold an @, hosts may not.
func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// setting is the first of the named variables that the server has.
func (k *checker) setting(names ...string) (name, value string, ok bool) {
	for _, n := range names {
		if v, found := k.vars[n]; found {
			return n, v, true
		}
	}
	return "", "", false
}
