package mysqlnode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Lock is the state of a named lock: whether this session has it, which session
// has it, 0 for nobody, and for how long at least that one has asked nothing. The type has no
// name of its own, so that callers can word it themselves.
type Lock = struct {
	Mine   bool
	Holder uint64
	Idle   time.Duration
}

// TakeLock takes a named lock unless another session has it. Idle needs PROCESS when that one is of another
// user, is 0 without, and on MySQL trusts that nobody sets the server's clock. From then on,
// taken or not, the server ends this session, and the lock with it, when nothing
// was asked of it for idle, in whole seconds rounded up. The lock also ends with
// KILL, with the connection and with the server, and outlasts KILL QUERY. It needs
// no privilege and no server that is open.
//
// What MariaDB 10.11 and MySQL 9.7 do: every command, a ping too, begins the time
// anew, and the end comes within some milliseconds of it. A server that was stopped
// first reads what has arrived meanwhile; else MariaDB, which counts that time, ends
// the session at once, and MySQL, which does not, only after the rest of it.
func (c *Conn) TakeLock(ctx context.Context, name string, idle time.Duration) (Lock, error) {
	quoted := literal(lockName(name))
	return c.lock(ctx, "take lock "+name+" on",
		fmt.Sprintf("SET SESSION wait_timeout = %d", wholeSeconds(idle)),
		fmt.Sprintf("SELECT GET_LOCK(%s, 0) AS taken, IS_USED_LOCK(%s) AS holder", quoted, quoted), processQuery)
}

// LockHolder is the session that has a named lock, 0 for none. For how long it has asked nothing is not read:
// on a busy server the list of sessions takes milliseconds.
func (c *Conn) LockHolder(ctx context.Context, name string) (uint64, error) {
	l, err := c.lock(ctx, "look at lock "+name+" on", fmt.Sprintf("SELECT 1 AS taken, IS_USED_LOCK(%s) AS holder", literal(lockName(name))))
	return l.Holder, err
}

// lock is the answer to statements of which the first with rows tells who has the lock, and the
// second, if there is one, for how long sessions have asked nothing.
func (c *Conn) lock(ctx context.Context, op string, statements ...string) (Lock, error) {
	got, err := c.query(ctx, op, statements...)
	if err != nil {
		return Lock{}, err
	}
	if len(got) == 0 || len(got[0].rows) != 1 || len(got) == 1 && slices.Contains(statements, processQuery) {
		return Lock{}, c.fault(op, errors.New("the server left statements unanswered"))
	}
	r := got[0].row(0)
	if r.text("taken") == "" {
		return Lock{}, c.fault(op, errors.New("the server neither gave nor refused it"))
	}
	holder, _ := r.integer("holder")
	l := Lock{Mine: uint64(holder) == c.id, Holder: uint64(holder)}
	if len(got) == 1 {
		return l, nil
	}
	for i := range got[1].rows {
		s := got[1].row(i)
		if id, _ := s.integer("Id"); id != holder {
			continue
		}
		seconds, _ := s.integer("Time")
		if c.version.flavor == cluster.MySQL {
			seconds-- // the difference of two times of day that are rounded down
		}
		l.Idle = time.Duration(max(0, seconds)) * time.Second
	}
	return l, nil
}

// plainLock are names that every server takes as they are and tells apart.
var plainLock = regexp.MustCompile(`^[a-z0-9:._-]{1,64}$`)

// lockName is how a server knows a lock. MySQL refuses names of more than 64
// characters, MariaDB of more than 192 bytes, and MySQL takes names for the same
// that differ in case: such names are replaced by a hash of 64 characters.
func lockName(name string) string {
	if plainLock.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "mmm:" + hex.EncodeToString(sum[:30])
}
