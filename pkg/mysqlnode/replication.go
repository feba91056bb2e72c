package mysqlnode

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// StartSQLThread starts the applier; already running is no error. MariaDB drops
// what it has received and not applied when both threads were stopped: the
// caller must know that they were not.
func (c *Conn) StartSQLThread(ctx context.Context) error {
	return c.control(ctx, "start the SQL thread of", "START ", " SQL_THREAD")
}

// StartIOThread starts the receiver; already running is no error. The warning
// of StartSQLThread holds here too.
func (c *Conn) StartIOThread(ctx context.Context) error {
	return c.control(ctx, "start the IO thread of", "START ", " IO_THREAD")
}

// StopIOThread stops the receiver; already stopped is no error.
func (c *Conn) StopIOThread(ctx context.Context) error {
	return c.control(ctx, "stop the IO thread of", "STOP ", " IO_THREAD")
}

// StartReplication starts both threads; already running is no error. The
// warning of StartSQLThread holds here too.
func (c *Conn) StartReplication(ctx context.Context) error {
	return c.control(ctx, "start replication on", "START ", "")
}

// StopReplication stops both threads; already stopped is no error.
func (c *Conn) StopReplication(ctx context.Context) error {
	return c.control(ctx, "stop replication on", "STOP ", "")
}

// repositionTries is how often a position is tried while the server commits.
const repositionTries = 5

// Reposition has a stopped channel of MariaDB go on after all that the server has: what it wrote itself
// counts as applied, though it never came back. In strict mode no position before that is taken.
func (c *Conn) Reposition(ctx context.Context) error {
	const op = "set the position of"
	if c.version.flavor != cluster.MariaDB {
		return c.fault(op, errors.New("MySQL has one position for both"))
	}
	var err error
	for range repositionTries {
		if err = c.exec(ctx, op, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos"); number(err) != errPositionBehind {
			break
		}
	}
	return err
}

// BeatEachSecond has the source of a channel send a heartbeat for each second in which it sends nothing
// else, from the next start of the receiver on. The receiver must be stopped, on
// MariaDB the applier too. Where both are, what was received and not applied is thrown away.
func (c *Conn) BeatEachSecond(ctx context.Context) error {
	return c.exec(ctx, "have a heartbeat sent each second to", c.dialect.beat)
}

func (c *Conn) control(ctx context.Context, op, verb, thread string) error {
	err := c.exec(ctx, op, verb+c.dialect.replica+thread)
	switch number(err) {
	case errReplicaRunning, errReplicaStopped:
		return nil
	}
	return err
}

// WaitApplied waits until the server has applied target, at most timeout; false
// means that it has not. On MariaDB what the server committed itself counts as
// applied, and of several entries of a domain the highest is waited for: compare
// the sets when it matters.
func (c *Conn) WaitApplied(ctx context.Context, target string, timeout time.Duration) (bool, error) {
	const op = "wait for the applier of"
	if deadline, ok := ctx.Deadline(); ok {
		// The answer must come before the context ends, which would cost the session.
		timeout = min(timeout, time.Until(deadline)*9/10)
	}
	rest, err := c.missing(ctx, op, target)
	if err != nil || rest == "" {
		return rest == "" && err == nil, err
	}
	got, err := c.query(ctx, op, c.dialect.wait(rest, timeout))
	if err != nil {
		return false, err
	}
	if len(got) != 1 || len(got[0].rows) != 1 || len(got[0].rows[0]) != 1 {
		return false, c.fault(op, errors.New("the wait function gave no answer"))
	}
	applied, err := c.dialect.ready(got[0].rows[0][0])
	if err != nil {
		return false, c.fault(op, err)
	}
	return applied, nil
}

// missing is the part of target to wait for, in the form the wait function
// reads: MariaDB's wants one entry for each domain.
func (c *Conn) missing(ctx context.Context, op, target string) (string, error) {
	want, err := gtid.Parse(c.version.flavor, target)
	if err != nil {
		return "", c.fault(op, err)
	}
	if want.IsEmpty() || !c.dialect.blind {
		return want.String(), nil
	}
	got, err := c.query(ctx, op, c.dialect.sample)
	if err != nil {
		return "", err
	}
	if len(got) != 1 || len(got[0].rows) != 1 {
		return "", c.fault(op, errors.New("the server gave no position"))
	}
	vars := got[0].row(0)
	has, err := gtid.Parse(c.version.flavor, join(vars.text("executed"), vars.text("applied")))
	if err != nil {
		return "", c.fault(op, err)
	}
	rest := want.Minus(has)
	if c.version.flavor == cluster.MariaDB {
		rest = rest.Highest()
	}
	return rest.String(), nil
}
