package mysqlnode

import (
	"context"
	"fmt"
)

// releaseFor is how long commits wait for no acknowledgement, in seconds: those who
// wait go on within milliseconds.
const releaseFor = "0.1"

// ReleaseCommits ends the waits of commits for a replica's acknowledgement. With
// semi-synchronous replication of MySQL a killed session waits on, and read_only cannot
// be set meanwhile (tried on 9.7); MariaDB ends the wait with the session, and nothing is
// left to be done there but for the applying thread, whose commits wait as everybody's: it ends with
// what it has applied, and is to be started again (10.11). No client that may still be told of such a commit may be left, since for a
// moment none waits. The server itself goes back to how it was set up, whether or not its
// client is there; who kills its session then has us put it right over another.
func (c *Conn) ReleaseCommits(ctx context.Context) error {
	const op = "end the waits for acknowledgements on"
	if c.dialect.awaiting == "" {
		return c.endAwaitingThreads(ctx)
	}
	got, err := c.query(ctx, op, c.dialect.awaiting)
	if err != nil || len(got) != 1 || len(got[0].rows) == 0 {
		return err
	}
	name := got[0].row(0).text("Variable_name")
	turn := "SET GLOBAL " + name + " = "
	if err = c.exec(ctx, op, turn+"0", "DO SLEEP("+releaseFor+")", turn+"1"); err == nil {
		return nil
	}
	if left := c.withdraw(context.WithoutCancel(ctx), turn+"1"); left != nil {
		return fmt.Errorf("%w; unless the server went on by itself, %s is left switched off: %w", err, name, left)
	}
	return err
}

// endAwaitingThreads ends the server's own threads that wait for an acknowledgement.
func (c *Conn) endAwaitingThreads(ctx context.Context) error {
	all, err := c.Sessions(ctx)
	if err != nil {
		return err
	}
	var ids []uint64
	for _, s := range all {
		if s.Kind == KindSystem && s.Awaits() {
			ids = append(ids, s.ID)
		}
	}
	return c.Kill(ctx, ids...)
}
