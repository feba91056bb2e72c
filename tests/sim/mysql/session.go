package mysql

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Session is one session on a server. It runs one statement at a time.
type Session struct {
	s     *Server
	id    uint64
	user  string
	inner bool // its default schema is one of the server's own: it does not count
	ended bool
	onEnd func()

	trx    *transaction
	tables bool // it holds LOCK TABLES ... WRITE
	busy   bool
	stops  bool          // it waits for the receiving thread to stop
	until  time.Duration // an order that opens is void from then on
	left   bool          // its client is gone; it ends with its statement
	killed bool          // and was cut off
	locks  []string      // that it has, by name
	idle   time.Duration // for how long its client may ask nothing; 0 for ever
	asked  time.Duration // when its client has asked something last
}

// transaction is an open one.
type transaction struct {
	began time.Duration
	rows  []uint64
}

// Result is what a client knows of a statement of its own.
type Result int

// The results. What is unknown may have been done.
const (
	Acknowledged Result = iota
	Refused
	Unknown
)

// Outcome is how a statement of a client ended; Errno is why it was refused.
type Outcome struct {
	Result Result
	Errno  uint16
}

// Login opens a session. onEnd is called when the server ends it, and may be nil.
// The sessions of an inner one are in the server's own schemas, as the daemons'
// are, and do not count as an application's.
func (s *Server) Login(user string, inner bool, onEnd func()) (*Session, error) {
	known := false
	for _, a := range s.accounts {
		if a.Account.User != user {
			continue
		}
		known = true
		if a.Locked {
			if s.opt.Flavor == cluster.MySQL {
				return nil, fail(ErrLockedMySQL, "Access denied for user. Account is locked.")
			}
			return nil, fail(ErrLockedMariaDB, "Access denied, this account is locked")
		}
	}
	if !known {
		return nil, fail(ErrAccessDenied, "Access denied for user")
	}
	s.next++
	x := &Session{s: s, id: s.next, user: user, inner: inner, onEnd: onEnd}
	s.sessions = append(s.sessions, x)
	s.sample.counted = false
	s.touch()
	return x, nil
}

// ID is the server's number of the session.
func (x *Session) ID() uint64 { return x.id }

// User is who has logged in.
func (x *Session) User() string { return x.user }

// Ended reports whether the server has ended it.
func (x *Session) Ended() bool { return x.ended }

// InTransaction reports whether a transaction is open.
func (x *Session) InTransaction() bool { return x.trx != nil }

// bypasses reports whether read_only does not bind the session.
func (x *Session) bypasses() bool { return x.user == Root || x.user == x.s.opt.Manager }

// mayWrite reports whether the switches let the session write.
func (x *Session) mayWrite() bool { return !x.s.readOnly || x.bypasses() && !x.s.super }

// end ends a session: what it waits for is cut, its transaction rolled back, its
// table lock released.
func (s *Server) end(now time.Duration, x *Session) {
	if x.ended {
		return
	}
	x.ended = true
	s.sessions = slices.DeleteFunc(s.sessions, func(o *Session) bool { return o == x })
	for i := 0; i < len(s.waits); {
		if w := s.waits[i]; w.x == x {
			s.drop(w)
			w.end(now, cut)
			continue
		}
		i++
	}
	if x.tables && s.Relayed != nil {
		s.Relayed()
	}
	x.trx, x.tables = nil, false
	s.sample.counted = false
	s.touch()
	if x.onEnd != nil {
		x.onEnd()
	}
	s.settle(now)
}

// Hangup tells the server that the client of x is gone. MariaDB looks after the
// clients of statements that wait, but for those that wait for an acknowledgement (one whose client
// had gone was seen to wait on for 31 s on 10.11); MySQL finishes the statement first.
func (s *Server) Hangup(now time.Duration, x *Session) {
	x.onEnd = nil
	if x.busy && (s.opt.Flavor == cluster.MySQL || x.waits(acking, stalling)) {
		x.left = true
		return
	}
	s.end(now, x)
}

// KillSession ends the session with this number; the error is 1094 when there is none.
// One of MySQL whose commit waits for the replica's acknowledgement loses its client and
// waits on, as the applier does; that of MariaDB stops without an error, and what it
// waited with is committed.
func (s *Server) KillSession(now time.Duration, id uint64) error {
	if id == s.ch.thread && s.ch.sql == cluster.ThreadYes {
		if s.opt.Flavor == cluster.MariaDB {
			s.killApplier(now)
		}
		return nil
	}
	for _, x := range s.sessions {
		if x.id == id {
			if s.opt.Flavor == cluster.MySQL && x.waits(acking) || x.waits(stalling) && !s.endsStalled() {
				s.cutOff(now, x)
				return nil
			}
			s.end(now, x)
			return nil
		}
	}
	return fail(ErrNoThread, "Unknown thread id")
}

// cutOff takes its client from a session whose commit waits for the acknowledgement.
func (s *Server) cutOff(now time.Duration, x *Session) {
	if x.killed {
		return
	}
	for _, w := range s.waits {
		if w.x == x && w.kind == stalling {
			w.end(now, orphaned)
		} else if w.x == x {
			w.end(now, orphaned)
			w.end = func(now time.Duration, how ending) {
				s.degraded = s.degraded || how == late
				x.over(now)
			}
		}
	}
	x.left, x.killed = true, true
	if x.onEnd != nil {
		x.onEnd()
	}
}

// waits reports whether the session is in a wait of one of these kinds.
func (x *Session) waits(kinds ...kind) bool {
	return slices.ContainsFunc(x.s.waits, func(w *wait) bool { return w.x == x && slices.Contains(kinds, w.kind) })
}

// Sessions are all sessions, the oldest first; it must not be changed.
func (s *Server) Sessions() []*Session { return s.sessions }

// statement begins a statement, over ends it, answer with an outcome.
func (x *Session) statement() {
	if x.busy || x.ended {
		panic("mysql: a session has two statements, or one after its end")
	}
	x.busy = true
}

func (x *Session) over(now time.Duration) {
	x.busy, x.asked = false, now
	if x.left {
		x.s.end(now, x)
	}
}

func (x *Session) answer(now time.Duration, o Outcome, done func(Outcome)) {
	x.over(now)
	done(o)
}

// Begin opens a transaction.
func (x *Session) Begin(now time.Duration) { x.trx = &transaction{began: now} }

// Rollback ends the open transaction without a trace.
func (x *Session) Rollback() { x.trx = nil }

// Write inserts a row, in the open transaction or in one of its own, by a
// statement that takes so long. done is called once.
func (x *Session) Write(now time.Duration, row uint64, takes time.Duration, done func(Outcome)) {
	x.statement()
	if x.s.entered(x) {
		x.write(now, row, takes, done)
	} else {
		x.queue(func(now time.Duration, how ending) {
			if how == cut {
				x.answer(now, Outcome{Result: Unknown}, done)
				return
			}
			x.write(now, row, takes, done)
		})
	}
	x.s.settle(now)
}

// entered reports whether a write of x may begin now: it waits while somebody
// sets read_only, and while another session holds the table. Whoever holds the
// table goes on, though others wait for read_only.
func (s *Server) entered(x *Session) bool {
	if x.tables {
		return true
	}
	return s.locker() == nil && !slices.ContainsFunc(s.waits, func(w *wait) bool { return w.kind == closing })
}

// queue has a write wait until it may begin.
func (x *Session) queue(then func(now time.Duration, how ending)) {
	x.s.begin(&wait{x: x, kind: queued, until: Never, end: then})
}

func (x *Session) write(now time.Duration, row uint64, takes time.Duration, done func(Outcome)) {
	switch {
	case !x.mayWrite():
		x.answer(now, Outcome{Refused, ErrReadOnly}, done)
	case takes == 0:
		x.insert(now, row, done)
	default:
		x.s.begin(&wait{x: x, kind: running, until: now + takes, end: func(now time.Duration, how ending) {
			if how == cut {
				x.answer(now, Outcome{Result: Unknown}, done)
				return
			}
			x.insert(now, row, done)
		}})
	}
}

func (x *Session) insert(now time.Duration, row uint64, done func(Outcome)) {
	if x.trx != nil {
		x.trx.rows = append(x.trx.rows, row)
		x.answer(now, Outcome{}, done)
		return
	}
	t := &Txn{}
	t.one[0] = row
	t.Rows = t.one[:]
	x.commit(now, t, done)
}

// Commit commits the open transaction, or rolls it back when the server was
// closed meanwhile. done is called once.
func (x *Session) Commit(now time.Duration, done func(Outcome)) {
	x.statement()
	t := x.trx
	x.trx = nil
	switch {
	case t == nil || len(t.rows) == 0:
		x.answer(now, Outcome{}, done)
	case !x.mayWrite():
		x.answer(now, Outcome{Refused, ErrReadOnly}, done)
	default:
		x.commit(now, &Txn{Rows: t.rows}, done)
	}
	x.s.settle(now)
}

// commit writes t and answers, after the replica's acknowledgement where that is
// waited for. Whoever waits for it and is cut has committed all the same.
func (x *Session) commit(now time.Duration, t *Txn, done func(Outcome)) {
	s := x.s
	if s.stalls != Flows {
		x.stall(t, done)
		return
	}
	s.write(now, t)
	if !s.Awaits() {
		x.answer(now, Outcome{}, done)
		return
	}
	at := len(s.binlog)
	s.begin(&wait{x: x, kind: acking, until: now + s.acks.wait,
		met: func() bool { return s.acked(at) },
		end: func(now time.Duration, how ending) {
			switch how {
			case orphaned:
				done(Outcome{Result: Unknown})
				return
			case cut:
				x.answer(now, Outcome{Result: Unknown}, done)
				return
			}
			s.degraded = s.degraded || how == late
			x.answer(now, Outcome{}, done)
		}})
}

// releaseFor is for how long ReleaseCommits has commits wait for nobody.
const releaseFor = 100 * time.Millisecond

// ReleaseCommits ends all waits for the replica's acknowledgement, as if it
// had come. done is called when commits wait again, and not when the session ends before.
func (x *Session) ReleaseCommits(now time.Duration, done func(error)) {
	s := x.s
	x.statement()
	s.relaxed = true
	s.begin(&wait{x: x, kind: polling, until: now + releaseFor, met: func() bool { return false }, end: func(now time.Duration, how ending) {
		s.relaxed = false
		x.over(now)
		if how != cut {
			done(nil)
		}
	}})
	s.settle(now)
}

// LockTables takes the lock of the application's table for x alone. It waits
// for the open transactions of others, and for the applier's. done is called once.
func (x *Session) LockTables(now time.Duration, done func(Outcome)) {
	s := x.s
	x.statement()
	begin := func(now time.Duration, how ending) {
		switch {
		case how == cut:
			x.answer(now, Outcome{Result: Unknown}, done)
			return
		case !x.mayWrite():
			x.answer(now, Outcome{Refused, ErrReadOnly}, done)
			return
		}
		s.begin(&wait{x: x, kind: polling, until: Never, met: func() bool {
			return !s.ch.holdsRows() && !slices.ContainsFunc(s.sessions, func(o *Session) bool { return o != x && (o.tables || o.trx != nil && len(o.trx.rows) > 0) })
		}, end: func(now time.Duration, how ending) {
			if how == cut {
				x.answer(now, Outcome{Result: Unknown}, done)
				return
			}
			x.tables = true
			x.answer(now, Outcome{}, done)
		}})
	}
	if s.entered(x) {
		begin(now, met)
	} else {
		x.queue(begin)
	}
	s.settle(now)
}

// UnlockTables releases it.
func (x *Session) UnlockTables(now time.Duration) {
	x.tables = false
	x.s.settle(now)
	if x.s.Relayed != nil {
		x.s.Relayed()
	}
}
