package harness

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// JDBC are the properties of a Connector/J URL that decide where a connection
// goes. The zero value is a plain connection that tries its hosts in order.
type JDBC struct {
	// SecondsBeforeRetry is secondsBeforeRetryMaster (Source since 8.0), 0 is never.
	SecondsBeforeRetry time.Duration
	// QueriesBeforeRetry is queriesBeforeRetryMaster, 0 is never. The driver's
	// own default is 50, whatever SecondsBeforeRetry says.
	QueriesBeforeRetry int
	// AutoReconnect tries each host MaxReconnects times and waits InitialTimeout
	// after each of them but the first; its error is always a communications error.
	AutoReconnect  bool
	MaxReconnects  int
	InitialTimeout time.Duration
	// ConnectTimeout and SocketTimeout are for ever in the driver; here they are
	// a second and ten when zero, so that a test ends.
	ConnectTimeout, SocketTimeout time.Duration
}

// DriverDefaults are the properties of a URL that names hosts and nothing else.
func DriverDefaults() JDBC {
	return JDBC{SecondsBeforeRetry: 30 * time.Second, QueriesBeforeRetry: 50}
}

// PredecessorURL are the properties that the predecessor's documentation names:
// failOverReadOnly=false&secondsBeforeRetryMaster=60&initialTimeout=1&maxReconnects=2&autoReconnect=true.
func PredecessorURL() JDBC {
	return JDBC{SecondsBeforeRetry: time.Minute, QueriesBeforeRetry: 50, AutoReconnect: true, MaxReconnects: 2, InitialTimeout: time.Second}
}

const (
	nowhere        = -1
	primaryHost    = 0
	retriesAllDown = 120
	fullTurnPause  = 250 * time.Millisecond
)

// errStatementClosed is what execute says after its connection went back to the
// primary host between prepareStatement and execute: nothing was sent.
var errStatementClosed = errors.New("no operations allowed after statement closed")

// errUnreachable is the SQLSTATE 08001 of a connect with AutoReconnect, which
// hides what the server said.
type errUnreachable struct{ cause error }

func (e errUnreachable) Error() string { return "could not create connection: " + e.cause.Error() }

// jdbcConn behaves as a java.sql.Connection of Connector/J 5.1.35 to 9 with
// several hosts does (class FailoverConnectionProxy), in autocommit mode.
type jdbcConn struct {
	opts  JDBC
	user  string
	hosts []cluster.Endpoint

	at   int // index of the host in use
	conn driver.Conn
	// node is the server behind the connection, as it names itself by its port; none without one.
	node     cluster.Endpoint
	failedAt time.Time
	queries  int
}

// openJDBC connects to the primary host, or to the next one that takes it.
func openJDBC(ctx context.Context, opts JDBC, user string, hosts []cluster.Endpoint) (*jdbcConn, error) {
	c := &jdbcConn{opts: opts, user: user, hosts: hosts, at: nowhere}
	if err := c.pick(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// exec is prepareStatement and execute. unknown says that the statement may have
// been carried out in spite of the error.
func (c *jdbcConn) exec(ctx context.Context, statement string) (unknown bool, err error) {
	if c.isDueAtPrimary() && c.fallBack(ctx) {
		return false, errStatementClosed
	}
	if c.onSecondary() {
		c.queries++
	}
	if c.conn == nil {
		return false, errUnreachable{io.ErrClosedPipe}
	}
	if _, err := c.conn.(driver.ExecerContext).ExecContext(ctx, statement, nil); err != nil {
		unknown := !wasRefused(err)
		if isCommunications(err) {
			c.close()
			if pickErr := c.pick(ctx); pickErr != nil {
				return unknown, pickErr
			}
		}
		return unknown, err
	}
	if c.isDueAtPrimary() {
		c.fallBack(ctx)
	}
	return false, nil
}

func (c *jdbcConn) onSecondary() bool { return c.at > primaryHost }

func (c *jdbcConn) isDueAtPrimary() bool {
	return c.onSecondary() &&
		(c.opts.SecondsBeforeRetry > 0 && time.Since(c.failedAt) >= c.opts.SecondsBeforeRetry ||
			c.opts.QueriesBeforeRetry > 0 && c.queries >= c.opts.QueriesBeforeRetry)
}

func (c *jdbcConn) resetCounters() { c.failedAt, c.queries = time.Now(), 0 }

// pick finds a host for a connection that has none or lost its own.
func (c *jdbcConn) pick(ctx context.Context) error {
	if c.at != nowhere && !c.isDueAtPrimary() {
		return c.failOver(ctx, c.at)
	}
	err := c.connectTo(ctx, primaryHost)
	if err == nil || len(c.hosts) == 1 {
		return err
	}
	c.resetCounters()
	return c.failOver(ctx, primaryHost)
}

// failOver tries the hosts after the failed one in turn. Only communications
// errors lead to the next; with one host it is a single attempt.
func (c *jdbcConn) failOver(ctx context.Context, failed int) error {
	passedPrimary := c.at == nowhere || c.at == primaryHost
	next := c.next(failed, false)
	first := next
	for turns := 0; ; {
		passedPrimary = passedPrimary || next == primaryHost
		err := c.connectTo(ctx, next)
		if err == nil {
			if passedPrimary && c.onSecondary() {
				c.resetCounters()
			}
			return nil
		}
		if !isCommunications(err) || len(c.hosts) == 1 || ctx.Err() != nil {
			return err
		}
		following := c.next(next, turns > 0)
		if following == first {
			if following = c.next(next, true); following == first {
				if turns++; turns == retriesAllDown || rest(ctx, fullTurnPause) != nil {
					return err
				}
			}
		}
		next = following
	}
}

// next skips the primary host while it is not due, unless vouched for.
func (c *jdbcConn) next(from int, vouched bool) int {
	n := (from + 1) % len(c.hosts)
	falls := c.opts.SecondsBeforeRetry > 0 || c.opts.QueriesBeforeRetry > 0
	if n == primaryHost && len(c.hosts) > 1 && c.at != nowhere && !vouched && falls && !c.isDueAtPrimary() {
		return c.next(n, vouched)
	}
	return n
}

// fallBack moves to the primary host if that takes a connection.
func (c *jdbcConn) fallBack(ctx context.Context) (moved bool) {
	if err := c.connectTo(ctx, primaryHost); err != nil {
		c.resetCounters()
		return false
	}
	return true
}

// connectTo replaces the connection by one to the host; it stays when that fails.
func (c *jdbcConn) connectTo(ctx context.Context, host int) error {
	tries := 1
	if c.opts.AutoReconnect {
		tries = max(1, c.opts.MaxReconnects)
	}
	var err error
	for try := range tries {
		var conn driver.Conn
		var node cluster.Endpoint
		if conn, node, err = c.dial(ctx, c.hosts[host]); err == nil {
			c.close()
			c.conn, c.node, c.at = conn, node, host
			return nil
		}
		if try > 0 && rest(ctx, c.opts.InitialTimeout) != nil {
			break
		}
	}
	if c.opts.AutoReconnect {
		return errUnreachable{err}
	}
	return err
}

func (c *jdbcConn) dial(ctx context.Context, host cluster.Endpoint) (driver.Conn, cluster.Endpoint, error) {
	cfg := appConfig(host, c.user, clientTimeout)
	if c.opts.ConnectTimeout > 0 {
		cfg.Timeout = c.opts.ConnectTimeout
	}
	cfg.ReadTimeout = c.opts.SocketTimeout
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	cfg.WriteTimeout = cfg.ReadTimeout
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("prepare client: %w", err)
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, "", err
	}
	// The driver reads the server's variables at each connect.
	node, err := ownName(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, "", err
	}
	return conn, node, nil
}

func (c *jdbcConn) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.node = nil, ""
	}
}

// ownName asks the server behind a connection, which may be behind a proxy, for its port.
func ownName(ctx context.Context, conn driver.Conn) (cluster.Endpoint, error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT CAST(@@port AS CHAR)", nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return "", err
	}
	var text string
	switch v := value[0].(type) {
	case []byte:
		text = string(v)
	case string:
		text = v
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", fmt.Errorf("read the server's port: %w", err)
	}
	return cluster.Endpoint("127.0.0.1:" + strconv.Itoa(port)), nil
}

// isCommunications tells an error of the connection, SQLSTATE 08, from an answer
// of the server: 1290, the answer of a server that is read-only, is none.
func isCommunications(err error) bool {
	var answer *mysql.MySQLError
	switch {
	case errors.Is(err, errStatementClosed):
		return false
	case errors.As(err, &errUnreachable{}):
		return true
	case errors.As(err, &answer):
		return strings.HasPrefix(string(answer.SQLState[:]), "08")
	}
	return true
}

// wasRefused reports whether the row of a failed statement was certainly not taken.
func wasRefused(err error) bool {
	var answer *mysql.MySQLError
	switch {
	case errors.Is(err, driver.ErrBadConn): // nothing was sent
		return true
	case errors.As(err, &answer):
		switch answer.Number {
		case 1053, 1317, 1927: // shutdown, interrupted, killed: maybe after the commit
			return false
		}
		return true
	}
	return false
}

// rest pauses, unless ctx ends first.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
