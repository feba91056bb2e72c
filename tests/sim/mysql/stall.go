package mysql

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Stall says what becomes of the commits of sessions. Replication goes on in each case, as if it had a disk of its own.
type Stall int

// The ways of a disk.
const (
	Flows  Stall = iota
	Frozen       // a commit comes back when the disk does, be its session killed
	Full         // it waits for room; MySQL lets it be killed, MariaDB sleeps over it
)

// Stall has commits wait from now on, or lets those go on that wait.
func (s *Server) Stall(now time.Duration, how Stall) {
	s.stalls = how
	s.touch()
	s.settle(now)
}

// Stalls reports whether commits wait for the disk.
func (s *Server) Stalls() bool { return s.stalls != Flows }

// Full reports whether the disk has no room.
func (s *Server) Full() bool { return s.stalls == Full }

// endsStalled reports whether a session that waits for the disk can be ended.
func (s *Server) endsStalled() bool { return s.stalls == Full && s.opt.Flavor == cluster.MySQL }

// stall commits t when the disk goes on. Whoever is killed meanwhile is told nothing more.
func (x *Session) stall(t *Txn, done func(Outcome)) {
	x.s.begin(&wait{x: x, kind: stalling, until: Never,
		met: func() bool { return x.s.stalls == Flows },
		end: func(now time.Duration, how ending) {
			switch how {
			case orphaned:
				done(Outcome{Result: Unknown})
				done = func(Outcome) {}
			case cut:
				x.answer(now, Outcome{Result: Unknown}, done)
			default:
				if t.mark != nil && t.mark.first { // whoever came to the row first has made it
					_, there := x.s.marks[t.mark.markKey]
					t.mark.first = !there
				}
				if x.killed && x.s.opt.Flavor == cluster.MariaDB { // it does not begin to wait for an acknowledgement
					x.s.write(now, t)
					x.answer(now, Outcome{Result: Unknown}, done)
					return
				}
				x.commit(now, t, done)
			}
		}})
}

// WriteBeat changes a row of a table beside that of the epoch rows; nothing on a server that is closed. done gets nil or
// an *Error; it is not called when the session ends before.
func (x *Session) WriteBeat(now time.Duration, table string, done func(error)) {
	s := x.s
	x.statement()
	write := func(now time.Duration, how ending) {
		switch {
		case how == cut:
			x.over(now)
		case s.readOnly:
			x.over(now)
			if s.opt.Flavor == cluster.MySQL {
				done(fail(ErrReadOnly, "The server is running with the --read-only option so it cannot execute this statement"))
			} else {
				done(nil)
			}
		case !s.tables[table]: // it was not opened with an epoch row yet
			x.over(now)
			done(nil)
		default:
			x.commit(now, &Txn{}, func(o Outcome) {
				if o.Result == Acknowledged {
					done(nil)
				}
			})
		}
	}
	if s.entered(x) {
		write(now, met)
	} else {
		x.queue(write)
	}
	s.settle(now)
}

// Untold has the server tell how it starts as if nobody had set read_only since: so a monitor knows it that has asked before.
func (s *Server) Untold() { s.switched = false }
