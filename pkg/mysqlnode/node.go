package mysqlnode

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Options say which server it is and how to log in.
type Options struct {
	Addr     cluster.Endpoint
	User     string
	Password cluster.Secret
	// Database is the default schema of the session; the predecessor's monitor
	// leaves sessions in information_schema out of its count.
	Database string
	// Charset must be a name of a character set and changes nothing: names of
	// accounts come and go as UTF-8, so that every session speaks utf8mb4.
	Charset string
	// ConnectTimeout bounds a whole Connect: name look-up, dial, log-in and the
	// first statement together; 1 s when zero.
	ConnectTimeout time.Duration
	// Name is sent as the connection attribute program_name.
	Name string
	// Epoch is the row that Observe reads into Server.Mark; no table, no reading.
	Epoch EpochAt
}

// Node is one server that can be connected to. It holds no connection itself
// and is safe for concurrent use.
type Node struct {
	opts   Options
	config *mysql.Config
}

var charsetName = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// New checks the options; it does not connect.
func New(o Options) (*Node, error) {
	addr, err := cluster.ParseEndpoint(string(o.Addr))
	if err != nil {
		return nil, err
	}
	if o.Charset == "" {
		o.Charset = "utf8mb4"
	}
	if !charsetName.MatchString(o.Charset) {
		return nil, fmt.Errorf("use character set %q for %s: not a name of a character set", o.Charset, o.Addr)
	}
	if o.ConnectTimeout < 0 {
		return nil, fmt.Errorf("use connect timeout %s for %s: it is negative", o.ConnectTimeout, o.Addr)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = time.Second
	}

	c := mysql.NewConfig()
	c.User = o.User
	c.Passwd = o.Password.Reveal()
	c.Net = "tcp"
	c.Addr = string(addr)
	c.DBName = o.Database
	c.TLSConfig = "preferred"
	c.Logger = &mysql.NopLogger{}
	c.AllowNativePasswords = true
	c.AllowCleartextPasswords = false
	c.AllowOldPasswords = false
	c.AllowAllFiles = false
	c.CheckConnLiveness = false
	c.RejectReadOnly = false
	// Several statements in one packet save round trips. No caller's text
	// enters a statement unquoted, see quote.go.
	c.MultiStatements = true
	if o.Name != "" {
		c.ConnectionAttributes = "program_name:" + strings.Map(attribute, o.Name)
	}
	return &Node{opts: o, config: c}, nil
}

// attribute replaces what separates connection attributes.
func attribute(r rune) rune {
	if r == ',' || r == ':' {
		return '_'
	}
	return r
}

// Addr is the address as it was configured.
func (n *Node) Addr() cluster.Endpoint { return n.opts.Addr }

// Connect opens one session. It returns within ConnectTimeout; every error is
// an *Error whose Cause tells a silent host from a server that hangs.
func (n *Node) Connect(ctx context.Context) (*Conn, error) {
	const op = "connect to"
	if err := ctx.Err(); err != nil {
		return nil, &Error{Node: n.opts.Addr, Op: op, Cause: cluster.CauseOther, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ConnectTimeout)
	defer cancel()

	var l *link
	// The driver writes into its configuration when a server has no TLS, so
	// that each session needs its own.
	config := n.config.Clone()
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{KeepAliveConfig: keepAlive}
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l, err = newLink(conn.(*net.TCPConn))
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, &Error{Node: n.opts.Addr, Op: op, Cause: cluster.CauseOther, Err: err}
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, n.connectError(l, err)
	}
	c := &Conn{node: n, link: l, raw: raw.(session), local: l.LocalAddr().String()}
	if err := c.introduce(ctx); err != nil {
		_ = c.Close()
		var e *Error
		if errors.As(err, &e) {
			e.Op = op
		}
		return nil, err
	}
	return c, nil
}

// connectError words why no session came about; l is nil when TCP did not connect.
func (n *Node) connectError(l *link, err error) *Error {
	if l == nil {
		return dialError(n.opts.Addr, err, n.opts.ConnectTimeout)
	}
	_ = l.Close()
	e := sessionError(n.opts.Addr, "connect to", l, err)
	if e.Cause == cluster.CauseAnswerTimeout {
		e.Err = fmt.Errorf("TCP connected, no answer of the server within %s: %w", n.opts.ConnectTimeout, err)
	}
	return e
}

// session is what this package uses of the driver's connection. The driver's
// own type is used, not a pool: a pool would dial again behind our back.
type session interface {
	driver.Conn
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
}
