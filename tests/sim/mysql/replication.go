package mysql

import (
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// channel is the replication channel of a server.
type channel struct {
	configured bool
	source     cluster.Endpoint
	heartbeat  time.Duration

	io, sql cluster.Thread
	// attempt numbers the receiver's attempts to connect, and the connection that
	// comes of one; what belongs to an older one counts no more.
	attempt  uint64
	dialling bool // the present attempt has no answer yet
	stopping bool // it was told to stop and waits for the attempt
	// stopSQL: the applier was told to stop and waits for its commit, and stopIO: the
	// receiver was, too, and is when the applier has stopped.
	stopSQL, stopIO bool
	thread          uint64 // the applier's number among the sessions
	commits         *wait  // of the applier: its commit waits for an acknowledgement
	ioErr           fault
	sqlErr          fault

	relay    []*Txn
	received set // of MySQL
	ioPos    pos // of MariaDB
	applied  pos // of MariaDB: gtid_slave_pos
	// ignored, of MariaDB, is the server's own transaction that came back last. It
	// is not in the relay log: the applier notes it when that is empty, and never
	// when another's transaction comes before.
	ignored pos
	beats   uint64
	acks    bool // the receiver acknowledges to its source
	acked   int  // by the other server's receiver, of the binary log
}

type fault struct {
	number int
	text   string
}

// Replicate configures the channel, by GTID; both threads must be stopped.
func (s *Server) Replicate(source cluster.Endpoint, heartbeat time.Duration) {
	s.ch.configured, s.ch.source, s.ch.heartbeat = true, source, heartbeat
	s.ch.io, s.ch.sql = cluster.ThreadNo, cluster.ThreadNo
	s.touch()
}

// restart is what a start of the server does to the channel: MariaDB throws its
// relay log away, as does MySQL with relay_log_recovery.
func (c *channel) restart(s *Server) {
	c.acked = 0
	if s.opt.Flavor == cluster.MariaDB || s.opt.RelayLogRecovery {
		c.relay, c.received, c.ioPos, c.ignored = nil, set{}, pos{}, pos{}
	}
}

func (c *channel) crash() {
	if !c.configured {
		return
	}
	c.io, c.sql, c.stopping, c.dialling = cluster.ThreadNo, cluster.ThreadNo, false, false
	c.stopSQL, c.stopIO = false, false
	c.ioErr, c.sqlErr = fault{}, fault{}
	c.beats = 0
	c.attempt++
}

// start starts threads that are stopped.
func (c *channel) start(s *Server, io, sql bool) {
	if c.io == cluster.ThreadNo && c.sql == cluster.ThreadNo && s.opt.Flavor == cluster.MariaDB {
		c.relay, c.ioPos, c.ignored = nil, c.applied, pos{}
	}
	if sql && c.sql == cluster.ThreadNo {
		c.sql, c.sqlErr = cluster.ThreadYes, fault{}
		s.next++
		c.thread = s.next
		if s.Relayed != nil {
			s.Relayed()
		}
	}
	if io && c.io == cluster.ThreadNo {
		c.ioErr = fault{}
		c.dial(s)
	}
	s.touch()
}

func (c *channel) dial(s *Server) {
	c.io, c.dialling = cluster.ThreadConnecting, true
	c.attempt++
	s.touch()
	if s.Receiver != nil {
		s.Receiver()
	}
}

// StartThreads starts one thread or both; what runs goes on. A receiver that
// waits for its end is waited for. done gets nil or an *Error; it is not called
// when the session ends before.
func (x *Session) StartThreads(now time.Duration, io, sql bool, done func(error)) {
	s := x.s
	if !s.ch.configured {
		done(fail(ErrNotReplica, "The server is not configured as replica"))
		return
	}
	x.afterStop(now, false, func(how ending) {
		if how != cut {
			s.ch.start(s, io, sql)
			done(nil)
		}
	})
}

// Reposition sets gtid_slave_pos to gtid_current_pos.
func (x *Session) Reposition(done func(error)) {
	s := x.s
	if s.ch.io != cluster.ThreadNo || s.ch.sql != cluster.ThreadNo {
		done(fail(ErrReplicaMustStop, "This operation cannot be performed as you have a running slave; run STOP SLAVE first"))
		return
	}
	if s.last.seq > s.ch.applied.seq {
		s.ch.applied = s.last
	}
	s.touch()
	done(nil)
}

// BeatEachSecond has the source send a heartbeat each second. With both threads stopped what was received and not
// applied goes.
func (x *Session) BeatEachSecond(done func(error)) {
	c := &x.s.ch
	stopped := c.sql == cluster.ThreadNo
	if c.io != cluster.ThreadNo || !stopped && x.s.opt.Flavor == cluster.MariaDB {
		done(fail(ErrReplicaMustStop, "This operation cannot be performed with a running replica; run STOP REPLICA first"))
		return
	}
	if stopped {
		c.relay, c.received, c.ioPos, c.ignored = nil, set{}, c.applied, pos{}
	}
	c.heartbeat = time.Second
	x.s.touch()
	done(nil)
}

// StopThreads stops one thread or both, the applier first. A receiver that has not
// connected yet stops when its attempt has ended, an applier whose commit waits for an
// acknowledgement when that has come, and the session waits for both.
func (x *Session) StopThreads(now time.Duration, io, sql bool, done func(error)) {
	s := x.s
	c := &s.ch
	if !c.configured {
		done(nil)
		return
	}
	stops := io
	switch {
	case sql && c.commits != nil:
		c.stopSQL, c.stopIO = true, c.stopIO || io
		stops, io = true, false
	case sql && c.sql == cluster.ThreadYes:
		c.sql = cluster.ThreadNo
	}
	if io {
		c.halt(s)
	}
	s.touch()
	x.afterStop(now, stops, func(how ending) {
		if how != cut {
			done(nil)
		}
	})
}

// halt tells the receiver to stop.
func (c *channel) halt(s *Server) {
	switch {
	case c.io == cluster.ThreadNo:
	case c.dialling:
		c.stopping = true
	default:
		s.stopReceiver()
	}
}

func (s *Server) stopReceiver() {
	c := &s.ch
	c.io, c.dialling, c.stopping = cluster.ThreadNo, false, false
	c.attempt++
	s.touch()
	if s.Receiver != nil {
		s.Receiver()
	}
}

// afterStop calls then when no thread is on its way to stop.
func (x *Session) afterStop(now time.Duration, stops bool, then func(ending)) {
	s := x.s
	if !s.ch.halts() {
		then(met)
		s.settle(now)
		return
	}
	x.statement()
	x.stops = stops
	s.begin(&wait{x: x, kind: polling, until: Never, met: func() bool { return !s.ch.halts() },
		end: func(now time.Duration, how ending) {
			x.stops = false
			x.over(now)
			then(how)
		}})
}

// halts reports whether a thread is on its way to stop.
func (c *channel) halts() bool { return c.stopping || c.stopSQL }

// Stopping reports whether the session waits for a thread that it has told to stop.
func (x *Session) Stopping() bool { return x.stops }

// Attempt is the receiver's present attempt or connection; dialling when it
// wants to connect to the source and has no answer, and 0 when it does not run.
func (s *Server) Attempt() (n uint64, dialling bool) {
	if !s.up || s.ch.io == cluster.ThreadNo || s.ch.io == "" {
		return 0, false
	}
	return s.ch.attempt, s.ch.dialling
}

// Source is where the channel points.
func (s *Server) Source() cluster.Endpoint { return s.ch.source }

// Hello is what a receiver tells its source: who it is and where to begin.
type Hello struct {
	replica uint32
	have    set  // of MySQL
	from    pos  // of MariaDB
	acks    bool // its replica side is on
}

// Hello is the greeting of the receiver at this moment.
func (s *Server) Hello() Hello {
	h := Hello{replica: s.opt.ID, have: s.done, from: s.ch.ioPos, acks: s.acks.replica}
	h.have.join(s.ch.received)
	return h
}

// Dump is the sending side of one connection of a receiver, on its source.
type Dump struct {
	s    *Server
	have set
	next int
}

// Sent is how much of the binary log was sent, or need not be.
func (d *Dump) Sent() int { return d.next }

// Dump begins to send what the greeting asks for; the error is an *Error that
// stops the receiver.
func (s *Server) Dump(h Hello) (*Dump, error) {
	if s.opt.Flavor == cluster.MySQL {
		if theirs := h.have[s.opt.ID-1].hi; theirs > s.done[s.opt.ID-1].hi {
			return nil, fail(ErrSourceMySQL, "Replica has more GTIDs than the source has, using the source's SERVER_UUID.")
		}
		return &Dump{s: s, have: h.have}, nil
	}
	if h.from.seq == 0 {
		return &Dump{s: s}, nil
	}
	for i, t := range s.binlog {
		if t.Origin == h.from.id && t.Seq == h.from.seq {
			return &Dump{s: s, next: i + 1}, nil
		}
	}
	if len(s.binlog) == 0 {
		return &Dump{s: s}, nil
	}
	return nil, fail(ErrSource, fmt.Sprintf("Error: connecting slave requested to start from GTID %s, which is not in the master's binlog", h.from))
}

// Next is the next transaction to send; nil when there is none yet.
func (d *Dump) Next() *Txn {
	for d.next < len(d.s.binlog) {
		t := d.s.binlog[d.next]
		d.next++
		if d.s.opt.Flavor == cluster.MariaDB || !d.have.has(t) {
			return t
		}
	}
	return nil
}

// Joined says that the attempt has ended with a connection.
func (s *Server) Joined(now time.Duration, attempt uint64) {
	c := &s.ch
	if !s.dials(now, attempt) {
		return
	}
	c.dialling, c.io, c.ioErr = false, cluster.ThreadYes, fault{}
	s.touch()
}

// dials reports whether the answer to an attempt is awaited; one that was told
// to stop stops with it.
func (s *Server) dials(now time.Duration, attempt uint64) bool {
	c := &s.ch
	if attempt != c.attempt || !c.dialling {
		return false
	}
	if !c.stopping {
		return true
	}
	s.stopReceiver()
	s.settle(now)
	return false
}

// Failed says that the attempt or its connection has ended by an error. A
// receiver that is not stopped by it waits for Redial.
func (s *Server) Failed(now time.Duration, attempt uint64, err error) {
	c := &s.ch
	e := err.(*Error)
	fatal := e.Number == ErrSource || e.Number == ErrSourceMySQL
	if c.dialling && !s.dials(now, attempt) || attempt != c.attempt || c.io == cluster.ThreadNo {
		return
	}
	c.dialling, c.io, c.ioErr = false, cluster.ThreadConnecting, fault{int(e.Number), e.Text}
	s.touch()
	if fatal {
		s.stopReceiver()
	}
}

// Redial has the receiver try again after the attempt failed.
func (s *Server) Redial(attempt uint64) {
	if n, dialling := s.Attempt(); n == attempt && !dialling && s.ch.io == cluster.ThreadConnecting {
		s.ch.dial(s)
	}
}

// Receive takes what the source sends on the connection; false when that is of
// the past.
func (s *Server) Receive(attempt uint64, t *Txn) bool {
	c := &s.ch
	if !s.up || attempt != c.attempt || c.io != cluster.ThreadYes {
		return false
	}
	at := pos{t.Origin, t.Seq}
	switch {
	case s.opt.Flavor == cluster.MySQL && t.Origin == s.opt.ID:
		return true
	case s.opt.Flavor == cluster.MySQL:
		c.received.add(t.Origin, t.Seq)
		c.relay = append(c.relay, t)
	case t.Origin == s.opt.ID:
		c.ioPos, c.ignored = at, at
	default:
		c.ioPos, c.ignored = at, pos{}
		c.relay = append(c.relay, t)
	}
	s.touch()
	if s.Relayed != nil {
		s.Relayed()
	}
	return true
}

// Heartbeat takes a heartbeat of the source.
func (s *Server) Heartbeat(attempt uint64) {
	if s.up && attempt == s.ch.attempt && s.ch.io == cluster.ThreadYes {
		s.ch.beats++
		s.touch()
	}
}

// Applies reports whether the applier runs and has something to do.
func (s *Server) Applies() bool {
	if !s.up || s.ch.sql != cluster.ThreadYes || s.ch.commits != nil {
		return false
	}
	if len(s.ch.relay) == 0 {
		return s.ch.ignored.seq != 0
	}
	return len(s.ch.relay[0].Rows) == 0 || s.locker() == nil
}

// ApplyOne applies the next transaction of the relay log, or stops the applier
// by an error; false when there is nothing to do. A table lock holds it up, and so does a
// commit that waits for an acknowledgement as everybody's.
func (s *Server) ApplyOne(now time.Duration) bool {
	if !s.Applies() {
		return false
	}
	c := &s.ch
	if len(c.relay) == 0 {
		c.applied, c.ignored = c.ignored, pos{}
		s.touch()
		s.settle(now)
		return true
	}
	t := c.relay[0]
	switch {
	case s.opt.Flavor == cluster.MySQL && s.done.has(t):
	case s.opt.Flavor == cluster.MariaDB && t.Seq <= s.last.seq:
		c.sql = cluster.ThreadNo
		c.sqlErr = fault{ErrOutOfOrder, fmt.Sprintf("An attempt was made to binlog GTID 0-%d-%d which would create an out-of-order sequence number "+
			"with existing GTID %s, and gtid strict mode is enabled", t.Origin, t.Seq, s.last)}
		s.touch()
		return true
	case s.made(t):
		c.sql = cluster.ThreadNo
		c.sqlErr = fault{ErrDuplicate, "Could not execute Write_rows event; Duplicate entry for key 'PRIMARY'"}
		s.touch()
		return true
	default:
		s.log(t)
		if s.Awaits() {
			s.awaitApplied(now, t)
			return true
		}
		s.commit(t)
		c.applied = pos{t.Origin, t.Seq}
	}
	c.relay = slices.Delete(c.relay, 0, 1)
	s.touch()
	s.settle(now)
	return true
}

// awaitApplied has the applier wait for the acknowledgement of t, the first of the relay
// log. Until then it is in the binary log alone.
func (s *Server) awaitApplied(now time.Duration, t *Txn) {
	c := &s.ch
	at := len(s.binlog)
	c.commits = &wait{kind: acking, until: now + s.acks.wait,
		met: func() bool { return s.acked(at) },
		end: func(_ time.Duration, how ending) {
			s.degraded = s.degraded || how == late
			s.commit(t)
			c.commits, c.applied = nil, pos{t.Origin, t.Seq}
			c.relay = slices.Delete(c.relay, 0, 1)
			if c.stopSQL {
				c.sql, c.stopSQL = cluster.ThreadNo, false
			}
			if c.stopIO {
				c.stopIO = false
				c.halt(s)
			}
			s.touch()
			if s.Relayed != nil {
				s.Relayed()
			}
		}}
	s.begin(c.commits)
}

// Applier is the number of the applying thread, and whether it waits for the acknowledgement
// of what it has applied.
func (s *Server) Applier() (id uint64, awaits bool) { return s.ch.thread, s.ch.commits != nil }

// holdsRows reports whether the applier waits with rows of the application's table.
func (c *channel) holdsRows() bool { return c.commits != nil && len(c.relay[0].Rows) > 0 }

// holdsMarks reports whether the applier waits with an epoch row or its table.
func (c *channel) holdsMarks() bool { return c.commits != nil && len(c.relay[0].Rows) == 0 }

// killApplier stops the applier, and commits what it waits with.
func (s *Server) killApplier(now time.Duration) {
	s.endApplying(now, cut)
	s.ch.sql = cluster.ThreadNo
	s.touch()
	s.settle(now)
}

// endApplying ends the applier's wait for an acknowledgement.
func (s *Server) endApplying(now time.Duration, how ending) {
	if w := s.ch.commits; w != nil {
		s.drop(w)
		w.end(now, how)
	}
}

// made reports whether t makes an epoch row that is there already.
func (s *Server) made(t *Txn) bool {
	if t.mark == nil || !t.mark.first {
		return false
	}
	_, there := s.marks[t.mark.markKey]
	return there
}

// WaitApplied waits until target is applied, at most so long. On MariaDB what
// the server committed itself counts as applied, and the highest number of the
// rest is waited for. It is not answered when the session ends before.
func (x *Session) WaitApplied(now time.Duration, target string, limit time.Duration, done func(bool, error)) {
	s := x.s
	want, err := gtid.Parse(s.opt.Flavor, target)
	if err != nil {
		done(false, err)
		return
	}
	reached := func() bool { return s.executed().Contains(want) }
	if s.opt.Flavor == cluster.MariaDB {
		rest := want.Minus(s.executed()).Highest()
		if !rest.IsEmpty() {
			var domain, id uint32
			var seq uint64
			_, _ = fmt.Sscanf(rest.String(), "%d-%d-%d", &domain, &id, &seq)
			reached = func() bool { return domain == 0 && s.ch.applied.seq >= seq }
		}
	}
	if reached() {
		done(true, nil)
		return
	}
	x.statement()
	s.begin(&wait{x: x, kind: polling, until: now + limit, met: reached, end: func(now time.Duration, how ending) {
		x.over(now)
		if how != cut {
			done(how == met, nil)
		}
	}})
}
