package mysqlnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// queueLockWait is how long a queued closing order waits for locks.
const queueLockWait = time.Hour

// openLimit is how long an opening order stays valid at most.
const openLimit = 2 * time.Second

// SetReadOnly closes the server for writes, with super_read_only where it
// exists. It waits for running writes at most lockWait,
// in whole seconds of at least one, and then returns an error that is
// ErrLockWait, with nothing changed. When ctx ends or the session is lost
// before the answer, the order is withdrawn over a second connection, because
// servers go on waiting without their client and close later; that may take up
// to ConnectTimeout longer.
func (c *Conn) SetReadOnly(ctx context.Context, lockWait time.Duration) error {
	const op = "set read_only on"
	err := c.exec(ctx, op, c.dialect.closing(lockWait)...)
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Number == errLockWait:
		e.Err = fmt.Errorf("waited %d s: %w (%w)", wholeSeconds(lockWait), ErrLockWait, e.Err)
	case e.Number == 0 && c.link.gone():
		if undone := c.withdraw(context.WithoutCancel(ctx)); undone != nil {
			e.Err = fmt.Errorf("%w; the order could not be withdrawn: %w", e.Err, undone)
		}
	}
	return err
}

// SetReadOnlyLast closes a server that is being stopped. MySQL 9.7 tells every session to end, but while a replica
// is connected it waits for some 10 s, in which each session that was idle may end one more statement: a
// COMMIT, or this. After it no COMMIT succeeds. A server without super_read_only ends its sessions at once.
func (c *Conn) SetReadOnlyLast(ctx context.Context) error {
	const op = "set read_only, before it stops, on"
	if !c.dialect.superReadOnly {
		return c.fault(op, errors.New("the server takes no more statements"))
	}
	return c.exec(ctx, op, "SET GLOBAL super_read_only = 1")
}

// QueueReadOnly sends the same order with a long lock wait and returns once it
// is on its way: a server that hangs carries it out first when it wakes. The
// session belongs to the order until done has its answer; Close before that
// leaves the order with the server.
func (c *Conn) QueueReadOnly() (done <-chan error, err error) {
	const op = "queue read_only on"
	if !c.mu.TryLock() {
		return nil, c.fault(op, ErrInUse)
	}
	if c.link.gone() {
		c.mu.Unlock()
		return nil, sessionError(c.node.opts.Addr, op, c.link, errors.New("the session is closed"))
	}
	sent := c.link.nextWrite()
	answer := make(chan error, 1)
	go func() {
		err := c.send(context.Background(), op, c.dialect.closing(queueLockWait)...)
		c.mu.Unlock()
		answer <- err
	}()
	select {
	case <-sent:
	case <-c.link.broken:
	case <-time.After(c.node.opts.ConnectTimeout):
		_ = c.link.Close()
		<-answer
		return nil, c.fault(op, errors.New("the connection takes nothing more"))
	}
	return answer, nil
}

// SetWritable opens the server for writes. The order carries its own limit on
// the server's clock, the deadline of ctx and at most 2 s: a server or a program
// that pauses in between cannot open later; the error is then ErrTooLate or the
// context's.
func (c *Conn) SetWritable(ctx context.Context) error {
	const op = "set read_only=0 on"
	if err := c.exec(ctx, op, c.dialect.limit(timeToOpen(ctx))); err != nil {
		return err
	}
	return c.openGate(ctx)
}

// timeToOpen is how long an order that opens may be on its way.
func timeToOpen(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(openLimit, time.Until(deadline))
	}
	return openLimit
}

// Unseal takes super_read_only away; read_only stays as it is. The order has
// the limit of SetWritable. Where there is no super_read_only nothing is done.
func (c *Conn) Unseal(ctx context.Context) error {
	if !c.dialect.superReadOnly {
		return nil
	}
	return c.unseal(ctx, "set super_read_only=0 on")
}

func (c *Conn) unseal(ctx context.Context, op string) error {
	if err := c.exec(ctx, op, c.dialect.limit(timeToOpen(ctx))); err != nil {
		return err
	}
	got, err := c.query(ctx, op, c.dialect.unsealing(), c.dialect.readOnly())
	if err != nil {
		return tooLate(err)
	}
	if len(got) != 1 || len(got[0].rows) != 1 || tri(got[0].row(0), "super_read_only") != cluster.No {
		return c.fault(op, errors.New("the server is still super_read_only"))
	}
	return nil
}

// tooLate makes the answer to an order after its time recognisable.
func tooLate(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Number == errWrongValue {
		e.Err = fmt.Errorf("%w (%w)", ErrTooLate, e.Err)
	}
	return err
}

// openGate sends the order whose limit the session holds, and reads back.
func (c *Conn) openGate(ctx context.Context) error {
	const op = "set read_only=0 on"
	got, err := c.query(ctx, op, append(c.dialect.opening(), c.dialect.readOnly())...)
	if err != nil {
		return tooLate(err)
	}
	if len(got) != 1 || len(got[0].rows) != 1 || tri(got[0].row(0), "read_only") != cluster.No {
		return c.fault(op, errors.New("the server is still read_only"))
	}
	return nil
}

// withdraw kills this session, which is lost to us, sees it gone and then runs
// statements in its place.
func (c *Conn) withdraw(ctx context.Context, then ...string) error {
	ctx, cancel := context.WithTimeout(ctx, c.node.opts.ConnectTimeout)
	defer cancel()
	second, err := c.node.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = second.Close() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		lives, err := second.lives(ctx, c)
		if err != nil {
			return err
		}
		if !lives {
			break
		}
		if err := second.Kill(ctx, c.id); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(then) == 0 {
		return nil
	}
	return second.exec(ctx, "withdraw an order on", then...)
}

// lives reports whether the server still has another session of ours. It may
// have restarted and given the number to somebody else, whom the port tells;
// behind something that translates ports, the order under way does.
func (c *Conn) lives(ctx context.Context, lost *Conn) (bool, error) {
	const op = "look for a lost session on"
	got, err := c.query(ctx, op, "SHOW FULL PROCESSLIST")
	if err != nil || len(got) != 1 {
		return false, err
	}
	_, port, _ := net.SplitHostPort(lost.local)
	for i := range got[0].rows {
		r := got[0].row(i)
		n, _ := r.integer("Id")
		if uint64(n) == lost.id && r.text("User") == c.node.opts.User {
			return strings.HasSuffix(r.text("Host"), ":"+port) || strings.Contains(r.text("Info"), "read_only"), nil
		}
	}
	return false, nil
}
