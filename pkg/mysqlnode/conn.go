package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Conn is one pinned session on a server. One goroutine may use it at a time;
// Close may be called at any moment. It is never dialled again.
type Conn struct {
	node *Node
	link *link
	raw  session
	// mu is held by the call that uses the session, or by a queued order.
	mu      sync.Mutex
	dialect *dialect
	version version
	id      uint64
	// local is our end of the connection.
	local string
	// unknown are wordings and columns that the server does not know.
	unknown map[string]bool
	// heartbeatsAfter and markAfter are when the heartbeats and the epoch row,
	// which were refused or not there, are looked for again.
	heartbeatsAfter, markAfter time.Time
	// replicas are the users who were seen to read the binary log.
	replicas []string
}

// sessionLockWait bounds every lock wait of the session in seconds, so that
// nothing is left waiting on the server for long.
const sessionLockWait = 2

// introduce sets the session up and learns what the server is.
func (c *Conn) introduce(ctx context.Context) error {
	set := fmt.Sprintf("SET NAMES utf8mb4, sql_mode = '', autocommit = 1, time_zone = 'SYSTEM', lock_wait_timeout = %[1]d, innodb_lock_wait_timeout = %[1]d",
		sessionLockWait)
	got, err := c.query(ctx, "connect to", set, "SELECT CONNECTION_ID() AS id, VERSION() AS version, @@version_comment AS comment")
	if err != nil {
		return err
	}
	if len(got) != 1 || len(got[0].rows) != 1 {
		return c.fault("connect to", errors.New("the server did not say who it is"))
	}
	row := got[0].row(0)
	id, ok := row.integer("id")
	if !ok || id <= 0 {
		return c.fault("connect to", fmt.Errorf("connection id %q is not a number", row.text("id")))
	}
	c.id = uint64(id)
	c.version = parseVersion(row.text("version"), row.text("comment"))
	c.dialect = chooseDialect(c.version)
	return nil
}

// Warning says that the server is of a release that this program does not know;
// empty when it knows it.
func (c *Conn) Warning() string { return c.version.warning() }

// Flavor is the family of the server.
func (c *Conn) Flavor() cluster.Flavor { return c.version.flavor }

// ID is the server's number of this session.
func (c *Conn) ID() uint64 { return c.id }

// Broken is closed as soon as the kernel reports that the session's TCP
// connection has ended, whether or not the session is in use. It stays open
// when the connection was closed from this side, by Close or because a context
// ended; wait for those beside it.
func (c *Conn) Broken() <-chan struct{} { return c.link.broken }

// OnBroken has f called once, by whoever finds out, when Broken is closed; at
// once when it is already. f must not wait. OnBroken is called once.
func (c *Conn) OnBroken(f func()) { c.link.onEnd(f) }

// Gone reports whether the connection has ended, by whichever side: after a call whose
// context ended it has.
func (c *Conn) Gone() bool { return c.link.gone() }

// Close ends the session. A call that is under way returns with an error.
func (c *Conn) Close() error {
	c.link.hush()
	if !c.mu.TryLock() {
		// In use: the bare connection is closed under the call, which then returns.
		_ = c.link.Close()
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	_ = c.link.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_ = c.raw.Close()
	return c.link.Close()
}

// Ping makes one cheap round trip.
func (c *Conn) Ping(ctx context.Context) error {
	const op = "ping"
	release, err := c.use(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	if err := c.raw.Ping(ctx); err != nil {
		return sessionError(c.node.opts.Addr, op, c.link, err)
	}
	return nil
}

// use reserves the session for one call. A context that has ended before is no
// evidence against the server.
func (c *Conn) use(ctx context.Context, op string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, c.fault(op, err)
	}
	if !c.mu.TryLock() {
		return nil, c.fault(op, ErrInUse)
	}
	return c.mu.Unlock, nil
}

// fault is an error that the server did not cause.
func (c *Conn) fault(op string, err error) *Error {
	return &Error{Node: c.node.opts.Addr, Op: op, Cause: cluster.CauseOther, Err: err}
}

// failure words why a statement gave no result. Whoever lacks a privilege is told
// the way out: the server names the privilege at best, never the account's GRANT.
func (c *Conn) failure(op string, err error) *Error {
	e := sessionError(c.node.opts.Addr, op, c.link, err)
	if refused(e.Number) {
		e.Err = fmt.Errorf("%w (mmmctl check shows the GRANT)", e.Err)
	}
	return e
}

// exec sends statements that give no rows, in one round trip.
func (c *Conn) exec(ctx context.Context, op string, statements ...string) error {
	release, err := c.use(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	return c.send(ctx, op, statements...)
}

// send is exec for a caller that holds the session.
func (c *Conn) send(ctx context.Context, op string, statements ...string) error {
	if _, err := c.raw.ExecContext(ctx, strings.Join(statements, "; "), nil); err != nil {
		return c.failure(op, err)
	}
	return nil
}

// query sends statements in one round trip and returns the results of those
// that give rows. After an error the results before it are returned with it.
func (c *Conn) query(ctx context.Context, op string, statements ...string) ([]result, error) {
	release, err := c.use(ctx, op)
	if err != nil {
		return nil, err
	}
	defer release()
	rows, err := c.raw.QueryContext(ctx, strings.Join(statements, "; "), nil)
	if err != nil {
		return nil, c.failure(op, err)
	}
	got, err := readAll(rows)
	if closing := rows.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return got, c.failure(op, err)
	}
	return got, nil
}

// first is query for one statement in alternative wordings: the next one is
// tried when the server does not know the one before.
func (c *Conn) first(ctx context.Context, op string, wordings []string) (result, error) {
	var last error
	for _, text := range wordings {
		got, err := c.query(ctx, op, text)
		if err == nil && len(got) == 1 {
			return got[0], nil
		}
		if err == nil {
			err = c.fault(op, errors.New("the server gave no result"))
		}
		last = err
		if !unknownWording(number(err)) {
			break
		}
	}
	return result{}, last
}

// unknownWording reports whether the server did not understand a statement or
// lacks a table, column, function or variable of it.
func unknownWording(number uint16) bool {
	switch number {
	case errParse, errUnknownTable, errNoSuchTable, errUnknownColumn, errUnknownVariable, errNoSuchFunction:
		return true
	}
	return false
}

// refused reports whether we may not run a statement.
func refused(number uint16) bool {
	switch number {
	case errTableDenied, errColumnDenied, errSpecificDenied, errDatabaseDenied, errAccessDenied, errRoutineDenied, errKillDenied:
		return true
	}
	return false
}
