package mysql

import (
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Options describe a server; those of its option file hold at each start.
type Options struct {
	Addr cluster.Endpoint
	// ID is server_id, from 1 to Servers; the UUID follows from it.
	ID     uint32
	Flavor cluster.Flavor
	// ReadOnly and SuperReadOnly are the switches in the option file.
	ReadOnly, SuperReadOnly bool
	// AutoReplicate: replication starts with the server.
	AutoReplicate bool
	// RelayLogRecovery is MySQL's; on MariaDB it makes no difference.
	RelayLogRecovery bool
	// Manager is the user of the daemons; "mmm" when empty.
	Manager string
	// Replicator is the user of replication; "repl" when empty.
	Replicator string
	// Accounts are those of applications; the users above have theirs.
	Accounts []cluster.Account
	// AckWait is how long by its option file a commit waits for the replica's
	// acknowledgement, and both sides of semi-synchronous replication are on; 0: they are off.
	AckWait time.Duration
}

// Root is the administrator, who has an account everywhere.
const Root = "root"

// Never is a time that does not come.
const Never = time.Duration(1<<63 - 1)

// Error numbers of servers, as far as the model gives them.
const (
	ErrAccessDenied    = 1045
	ErrDuplicate       = 1062
	ErrNoTable         = 1146
	ErrNoThread        = 1094
	ErrNotReplica      = 1200
	ErrLockWait        = 1205
	ErrWrongValue      = 1231
	ErrReplicaMustStop = 1198
	ErrSource          = 1236  // of MariaDB's receiver: the source refuses the position
	ErrSourceMySQL     = 13114 // the same of MySQL's
	ErrReadOnly        = 1290
	ErrOutOfOrder      = 1950
	ErrCannotConnect   = 2003
	ErrLost            = 2013
	ErrLockedMySQL     = 3118
	ErrLockedMariaDB   = 4151
)

// Error is an error that a server answers with.
type Error struct {
	Number uint16
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("Error %d: %s", e.Number, e.Text) }

func fail(number uint16, text string) error { return &Error{number, text} }

// Server is one server and its data.
type Server struct {
	opt Options
	// Committed, Relayed and Receiver are told of what the world carries on: a new
	// transaction in the binary log; that the applier may have something to do; that
	// the receiver wants to connect, or is stopped. They may be nil, must not call
	// back, and may be called when nothing changed.
	Committed, Relayed, Receiver func()
	// Touched is told after each change of what the server says of itself, as above.
	Touched func()

	up       bool
	started  time.Duration
	readOnly bool
	super    bool
	switched bool // somebody has set one of them since the start

	// Data.
	binlog []*Txn
	done   set // of MariaDB the binary log's state, where hi is all that counts
	last   pos // of MariaDB the newest entry of the binary log
	rows   []uint8
	tables map[string]bool
	marks  map[markKey]cluster.Mark

	accounts []cluster.AccountState
	ch       channel

	sessions []*Session // by number
	next     uint64
	waits    []*wait // in the order in which they began
	settling bool
	relaxed  bool // for a moment commits wait for no acknowledgement
	degraded bool // a commit has waited for its acknowledgement in vain
	acks     acks
	stalls   Stall

	sample sample
}

// New makes a server without any transaction, which does not run yet.
func New(o Options) *Server {
	s := &Server{}
	s.empty(o)
	return s
}

// empty makes s new, which may have served another world.
func (s *Server) empty(o Options) {
	if o.ID < 1 || o.ID > Servers {
		panic(fmt.Sprintf("mysql: server id %d", o.ID))
	}
	if o.Manager == "" {
		o.Manager = "mmm"
	}
	if o.Replicator == "" {
		o.Replicator = "repl"
	}
	*s = Server{opt: o, tables: map[string]bool{}, marks: map[markKey]cluster.Mark{},
		binlog: s.binlog[:0], rows: s.rows[:0], accounts: s.accounts[:0], sessions: s.sessions[:0], waits: s.waits[:0],
		ch: channel{relay: s.ch.relay[:0]}}
	for _, a := range append([]cluster.Account{{User: Root, Host: "localhost"}, {User: o.Manager, Host: "%"}, {User: o.Replicator, Host: "%"}}, o.Accounts...) {
		s.accounts = append(s.accounts, cluster.AccountState{Account: a})
	}
	slices.SortFunc(s.accounts, func(a, b cluster.AccountState) int { return a.Account.Compare(b.Account) })
}

// Addr is its address.
func (s *Server) Addr() cluster.Endpoint { return s.opt.Addr }

// Up reports whether its process runs.
func (s *Server) Up() bool { return s.up }

// Open reports whether a client that logs in now could write.
func (s *Server) Open() bool { return s.up && !s.readOnly }

// Count is how often a row was inserted.
func (s *Server) Count(row uint64) int {
	if row >= uint64(len(s.rows)) {
		return 0
	}
	return int(s.rows[row])
}

// Has reports whether a row is there.
func (s *Server) Has(row uint64) bool { return s.Count(row) > 0 }

// History is the binary log, oldest first; it must not be changed.
func (s *Server) History() []*Txn { return s.binlog }

// MarkOf is the epoch row, for whoever watches the world.
func (s *Server) MarkOf(table string, u cluster.UniqSign) cluster.Mark {
	return s.marks[markKey{table, u}]
}

// Start starts the process as its option file says.
func (s *Server) Start(now time.Duration) {
	if s.up {
		return
	}
	s.up, s.started = true, now
	s.super = s.opt.SuperReadOnly && s.opt.Flavor == cluster.MySQL
	s.readOnly, s.switched = s.opt.ReadOnly || s.super, false
	s.next, s.degraded = 0, false
	s.acks = acks{wait: s.opt.AckWait, replica: s.opt.AckWait > 0}
	s.ch.restart(s)
	s.touch()
	if s.opt.AutoReplicate && s.ch.configured {
		s.ch.start(s, true, true)
	}
}

// Kill ends the process as a crash does: statements under way are cut, what was
// committed stays, and every session ends.
func (s *Server) Kill(now time.Duration) {
	if !s.up {
		return
	}
	s.up = false
	s.endApplying(now, cut) // its recovery commits what the binary log has
	s.ch.crash()
	for len(s.sessions) > 0 {
		s.end(now, s.sessions[len(s.sessions)-1])
	}
	s.touch()
}

// write puts a new transaction of its own into the binary log.
func (s *Server) write(now time.Duration, t *Txn) {
	t.Origin, t.At = s.opt.ID, now
	t.Seq = s.done[s.opt.ID-1].hi + 1
	if s.opt.Flavor == cluster.MariaDB {
		t.Seq = s.last.seq + 1
	}
	s.log(t)
	s.commit(t)
}

// log puts a transaction into the binary log, from where replicas get it. MariaDB shows
// its position from then on.
func (s *Server) log(t *Txn) {
	s.binlog = append(s.binlog, t)
	if s.opt.Flavor == cluster.MariaDB {
		s.done.add(t.Origin, t.Seq)
	}
	s.last = pos{t.Origin, t.Seq}
	s.touch()
	if s.Committed != nil {
		s.Committed()
	}
}

// commit has everybody see what is in the binary log.
func (s *Server) commit(t *Txn) {
	s.done.add(t.Origin, t.Seq)
	for _, row := range t.Rows {
		for uint64(len(s.rows)) <= row {
			s.rows = append(s.rows, make([]uint8, max(64, row+1-uint64(len(s.rows))))...)
		}
		s.rows[row]++
	}
	if t.makes != "" {
		s.tables[t.makes] = true
	}
	if t.mark != nil {
		s.marks[t.mark.markKey] = t.mark.mark
	}
	s.touch()
}
