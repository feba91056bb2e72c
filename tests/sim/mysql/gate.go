package mysql

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// sealed reports whether a closing order has nothing left to do.
func (s *Server) sealed() bool {
	return s.readOnly && (s.super || s.opt.Flavor == cluster.MariaDB)
}

// SetReadOnly closes the server, with super_read_only where there is one, and
// waits at most so long for what writes. done gets nil or an *Error; it is not
// called when the session ends before.
func (x *Session) SetReadOnly(now, lockWait time.Duration, done func(error)) {
	x.seal(now, lockWait, true, done)
}

// seal sets super_read_only, and where it is not to close the server that alone.
func (x *Session) seal(now, lockWait time.Duration, closes bool, done func(error)) {
	s := x.s
	x.statement()
	s.begin(&wait{x: x, kind: closing, until: now + lockWait, end: func(now time.Duration, how ending) {
		x.over(now)
		switch how {
		case met:
			s.readOnly = s.readOnly || closes
			s.super, s.switched = s.readOnly && s.opt.Flavor == cluster.MySQL, true
			s.touch()
			done(nil)
		case late:
			done(fail(ErrLockWait, "Lock wait timeout exceeded; try restarting transaction"))
		case cut:
		}
	}})
	s.settle(now)
}

// Limit fixes until when on the server's own clock orders of this session that
// open may still be carried out.
func (x *Session) Limit(now, within time.Duration) { x.until = now + within }

// Unseal takes super_read_only away, within the limit.
func (x *Session) Unseal(now time.Duration) error { return x.open(now, false) }

// SetWritable opens the server, within the limit.
func (x *Session) SetWritable(now time.Duration) error { return x.open(now, true) }

func (x *Session) open(now time.Duration, writable bool) error {
	if now >= x.until {
		return fail(ErrWrongValue, "Variable 'read_only' can't be set to the value of 'too late'")
	}
	s := x.s
	s.super, s.switched = false, true
	if writable {
		s.readOnly = false
	}
	s.touch()
	s.settle(now)
	return nil
}

// Reseal sets super_read_only on a server that is closed, and waits for what SetReadOnly
// would wait for.
func (x *Session) Reseal(now time.Duration, done func(error)) {
	if x.s.opt.Flavor == cluster.MariaDB {
		done(nil)
		return
	}
	x.seal(now, lockWait, false, done)
}

// Accounts lists every account, sorted.
func (x *Session) Accounts() []cluster.AccountState {
	return append([]cluster.AccountState(nil), x.s.accounts...)
}

// AlterAccounts locks or unlocks accounts, without a trace in the binary log;
// those that do not exist are left out.
func (x *Session) AlterAccounts(list []cluster.Account, lock bool) error {
	s := x.s
	if s.super {
		return fail(ErrReadOnly, "The MySQL server is running with the --super-read-only option so it cannot execute this statement")
	}
	for i := range s.accounts {
		for _, a := range list {
			if s.accounts[i].Account == a {
				s.accounts[i].Locked = lock
			}
		}
	}
	return nil
}

// Mark reads an epoch row; zero when there is none.
func (x *Session) Mark(table string, u cluster.UniqSign) cluster.Mark {
	return x.s.marks[markKey{table, u}]
}

// HasTable reports whether there is such a table of epoch rows.
func (x *Session) HasTable(table string) bool { return x.s.tables[table] }

// WriteMark raises an epoch row, and never lowers it: a repetition leaves no
// trace. It makes what is missing, the schema by one transaction, the table by
// another. What the applier waits with for an acknowledgement is locked until then. done gets nil or an *Error; it is not called when the session ends before.
func (x *Session) WriteMark(now time.Duration, table string, u cluster.UniqSign, m cluster.Mark, done func(error)) {
	s := x.s
	x.statement()
	write := func(now time.Duration, how ending) {
		switch {
		case how == cut:
			x.over(now)
			return
		case how == late:
			x.over(now)
			done(fail(ErrLockWait, "Lock wait timeout exceeded; try restarting transaction"))
			return
		case !x.mayWrite():
			x.over(now)
			done(fail(ErrReadOnly, "The server is running with the --read-only option so it cannot execute this statement"))
			return
		}
		if !s.tables[table] {
			s.write(now, &Txn{})
			s.write(now, &Txn{makes: table})
		}
		key := markKey{table, u}
		was, there := s.marks[key]
		if was.Epoch >= m.Epoch && there {
			x.over(now)
			done(nil)
			return
		}
		x.commit(now, &Txn{mark: &marked{key, m, !there}}, func(o Outcome) {
			if o.Result == Acknowledged {
				done(nil)
			}
		})
	}
	begin := func(now time.Duration, how ending) {
		if how == cut || !s.ch.holdsMarks() {
			write(now, how)
			return
		}
		s.begin(&wait{x: x, kind: polling, until: now + lockWait, met: func() bool { return !s.ch.holdsMarks() }, end: write})
	}
	if s.entered(x) {
		begin(now, met)
	} else {
		x.queue(begin)
	}
	s.settle(now)
}

// lockWait is how long a session of mysqlnode waits for a lock.
const lockWait = 2 * time.Second
