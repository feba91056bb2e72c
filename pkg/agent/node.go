package agent

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ErrLockWait: read_only could not be set within the lock wait.
var ErrLockWait = errors.New("lock wait timeout")

// Node is one server.
type Node interface {
	// Connect opens one session that is never dialled again, within the connect timeout.
	Connect(ctx context.Context) (Conn, error)
}

// Conn is one session with a server, used by one caller at a time. After a
// call whose context ended it can only be closed.
type Conn interface {
	ID() uint64
	Close() error
	// OnBroken has f called once as soon as the connection has ended, while idle
	// too, by anybody; at once when it has already. f does not wait. After Close it
	// need not be called. OnBroken is called once.
	OnBroken(f func())
	// Gone reports whether the connection has ended, be it that a call ran out of time.
	Gone() bool
	Ping(ctx context.Context) error

	Reader
	Closer
	Replicator
	Accountant
	Marker
	Locker
	Acker
	// Unseal takes super_read_only away and leaves read_only; nothing where the
	// server has none.
	Unseal(ctx context.Context) error
	// SetWritable opens the server.
	SetWritable(ctx context.Context) error
}

// Reader reads the state of a server.
type Reader interface {
	Observe(ctx context.Context, exclude []string) (cluster.Server, error)
	Channel(ctx context.Context) (cluster.Channel, error)
	ReadOnly(ctx context.Context) (readOnly, superReadOnly cluster.Tri, err error)
	// Glance is ReadOnly and Channel in one round trip.
	Glance(ctx context.Context) (readOnly, superReadOnly cluster.Tri, ch cluster.Channel, err error)
	// StartsClosed tells how the server comes up, as far as it says.
	StartsClosed(ctx context.Context) (cluster.Tri, error)
	// Folders are where it keeps its data and its binary log.
	Folders(ctx context.Context) ([]string, error)
	// Missing names the privileges that our account needs and is not granted now,
	// whatever this session may still do. With an error nothing is known of them.
	Missing(ctx context.Context) ([]string, error)
}

// Closer closes a server.
type Closer interface {
	// SetReadOnly sets read_only; the error is ErrLockWait when something that writes blocks it.
	SetReadOnly(ctx context.Context, lockWait time.Duration) error
	// SetReadOnlyLast sets it on a server that is being stopped, in the one statement that such a server may still
	// take of an idle session; the session has ended then.
	SetReadOnlyLast(ctx context.Context) error
	// QueueReadOnly sends SetReadOnly and does not wait; the session then belongs to
	// the queue until done has been called, once, by anybody. done does not wait.
	QueueReadOnly(done func(error)) error
	Sessions(ctx context.Context) ([]Session, error)
	Kill(ctx context.Context, ids ...uint64) error
	// ReleaseCommits ends the waits for a replica's acknowledgement that the end of a
	// session does not end. For a moment no commit waits for any.
	ReleaseCommits(ctx context.Context) error
	Writers(ctx context.Context) ([]Writer, error)
}

// Replicator starts and stops replication threads. Starting what runs and
// stopping what is stopped is no error.
type Replicator interface {
	StartSQLThread(ctx context.Context) error
	StartIOThread(ctx context.Context) error
	StopIOThread(ctx context.Context) error
	StartReplication(ctx context.Context) error
	StopReplication(ctx context.Context) error
	// Reposition has a stopped channel of MariaDB go on after all that the server has.
	Reposition(ctx context.Context) error
	// BeatEachSecond has the source send a heartbeat for each second in which it sends nothing else. The
	// receiving thread must be stopped, on MariaDB the applying one too. Where
	// both are, what was received and not applied is thrown away.
	BeatEachSecond(ctx context.Context) error
	// WaitApplied waits until target is applied; false when timeout came first.
	WaitApplied(ctx context.Context, target string, timeout time.Duration) (bool, error)
}

// Accountant locks and releases accounts. Nothing of it ever enters the binary
// log, and super_read_only is afterwards as it was before.
type Accountant interface {
	// Accounts lists every account.
	Accounts(ctx context.Context) ([]cluster.AccountState, error)
	LockAccounts(ctx context.Context, all []cluster.Account) error
	ReleaseAccounts(ctx context.Context, all []cluster.AccountState) error
}

// Marker keeps the epoch row, which replicates.
type Marker interface {
	// Mark reads the row of u; zero when there is none.
	Mark(ctx context.Context, table string, u cluster.UniqSign) (cluster.Mark, error)
	// WriteMark raises the row, and never lowers it; it makes what is missing.
	WriteMark(ctx context.Context, table string, u cluster.UniqSign, m cluster.Mark) error
	// WriteBeat changes the row of node in a table beside that, where the server is open. It makes what is
	// missing and takes as long as a commit there takes; Options.NoRoom tells of a full disk.
	WriteBeat(ctx context.Context, table string, u cluster.UniqSign, node cluster.Endpoint) error
}

// Locker holds a named lock of the server, which ends with the session.
type Locker interface {
	// TakeLock takes the lock for this session unless another has it. From then on,
	// taken or not, the server ends this session, and the lock with it, when nothing
	// was asked of it for idle, in whole seconds rounded up.
	TakeLock(ctx context.Context, name string, idle time.Duration) (Lock, error)
	// LockHolder is the session that has it, 0 for none.
	LockHolder(ctx context.Context, name string) (uint64, error)
}

// Acker sets up semi-synchronous replication. What it sets is gone after a restart.
type Acker interface {
	// AwaitCommits has every commit wait until a replica has acknowledged it, for ever, and
	// with no replica too, and reads that back.
	AwaitCommits(ctx context.Context) error
	// LetCommitsGo has no commit wait; ours leaves alone what AwaitCommits did not set up.
	LetCommitsGo(ctx context.Context, ours bool) error
	// Acknowledge has the receiver acknowledge what it receives, and reports whether it does
	// so already: one that was running does not before it is started again.
	Acknowledge(ctx context.Context) (does bool, err error)
}

// Lock is the state of a named lock. It is an alias, so that what a server's
// adapter gives needs no translation.
type Lock = struct {
	Mine   bool
	Holder uint64        // the session that has it; 0 for nobody
	Idle   time.Duration // for how long at least the holder has asked nothing
}

// LockName is the lock by which the agent of a pair's active keeps its right, on
// the server of the passive.
func LockName(u cluster.UniqSign) string { return "mmm:" + string(u) }

// SessionKind says whose a session is.
type SessionKind int

// The kinds of sessions.
const (
	SessionOther       SessionKind = iota // replication and the server's own: never killed
	SessionApplication                    // everybody else's
	SessionOwnUser                        // of our own user, other than the asking one
)

// Session is one session on a server.
type Session struct {
	ID      uint64
	User    string
	Command string
	Kind    SessionKind
	// Stopping reports that it has told a replication thread to stop and waits for it.
	Stopping bool
	// Killed reports that it was killed and is not gone yet, Awaits that it waits for a
	// replica's acknowledgement of what it and others have committed, and Queues that it
	// waits for a lock of the whole server, as one does that sets read_only.
	Killed, Awaits, Queues bool
	// Held reports that it waits for what another session holds, such as a lock of the server, a table or its definition.
	Held bool
}

// Writer is a session that would lose work if the server were closed now.
type Writer struct {
	ID   uint64
	User string
	Age  time.Duration
	What string
}
