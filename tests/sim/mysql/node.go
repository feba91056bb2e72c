package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// NodeOptions say who connects.
type NodeOptions struct {
	User string
	// Table and UniqSign are the epoch row that Observe reads; no table, no reading.
	Table    string
	UniqSign cluster.UniqSign
	// ConnectTimeout bounds a Connect; 1 s when zero.
	ConnectTimeout time.Duration
}

// Node is a server as one process on some host reaches it. Its errors are those
// of mysqlnode.
type Node struct {
	p *engine.Process
	m *Machine
	o NodeOptions
}

// NewNode makes the handle of a server for a process.
func NewNode(p *engine.Process, m *Machine, o NodeOptions) *Node {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = time.Second
	}
	return &Node{p: p, m: m, o: o}
}

func (n *Node) fault(op string, cause cluster.Cause, err error) *mysqlnode.Error {
	return &mysqlnode.Error{Node: n.m.Addr(), Op: op, Cause: cause, Err: err}
}

// word words an error of the server, the network or a context.
func (n *Node) word(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	var known *mysqlnode.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &e):
		return n.answer(op, e)
	case errors.Is(err, engine.ErrRefused):
		return n.fault(op, cluster.CauseRefused, err)
	case errors.Is(err, engine.ErrReset):
		return n.fault(op, cluster.CauseReset, err)
	case errors.Is(err, context.DeadlineExceeded):
		return n.fault(op, cluster.CauseAnswerTimeout, fmt.Errorf("no answer in time: %w", err))
	case errors.Is(err, engine.ErrClosed):
		return n.fault(op, cluster.CauseOther, errors.New("the session is closed"))
	}
	return n.fault(op, cluster.CauseOther, err)
}

func (n *Node) answer(op string, e *Error) error {
	out := n.fault(op, cluster.CauseOther, e)
	out.Number = e.Number
	switch e.Number {
	case ErrAccessDenied, ErrLockedMySQL, ErrLockedMariaDB:
		out.Cause = cluster.CauseAccessDenied
	case ErrLockWait:
		out.Err = fmt.Errorf("%w (%w)", agent.ErrLockWait, e)
	case ErrWrongValue:
		out.Err = fmt.Errorf("%w (%w)", mysqlnode.ErrTooLate, e)
	}
	return out
}

// Connect opens one session within the connect timeout.
func (n *Node) Connect(ctx context.Context) (agent.Conn, error) {
	c, err := n.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Dial is Connect with the session's own type.
func (n *Node) Dial(ctx context.Context) (*Conn, error) {
	const op = "connect to"
	if err := ctx.Err(); err != nil {
		return nil, n.fault(op, cluster.CauseOther, err)
	}
	ctx = n.p.Within(ctx, n.o.ConnectTimeout)
	stream, err := engine.Dial(ctx, n.p, n.m.port)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, engine.ErrTimedOut):
		return nil, n.fault(op, cluster.CauseConnectTimeout, fmt.Errorf("no TCP answer in time: %w", err))
	case err != nil:
		return nil, n.word(op, err)
	}
	server, err := engine.Ask(ctx, stream, func(c *client, reply func(*client, error)) { reply(c.login(n.o.User, true)) })
	if err != nil {
		stream.Close()
		return nil, n.word(op, err)
	}
	return &Conn{n: n, server: server, id: server.x.ID(), stream: stream}, nil
}

// ForMonitor is the node as a monitor takes it.
func (n *Node) ForMonitor() monitor.Node { return monitored{n} }

type monitored struct{ *Node }

func (n monitored) Connect(ctx context.Context) (monitor.Conn, error) {
	c, err := n.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Conn is one session of the process. One coroutine uses it at a time.
type Conn struct {
	n      *Node
	server *client // what the server keeps of it; only code of the server looks inside
	id     uint64
	stream *engine.Conn[*client]
	asking bool
	queued func(error) // the outcome of a queued order
}

// ID is the server's number of the session.
func (c *Conn) ID() uint64 { return c.id }

// OnBroken has f called once when the server has ended the connection.
func (c *Conn) OnBroken(f func()) { c.stream.OnBroken(f) }

// Gone reports whether the connection has ended, by whichever side.
func (c *Conn) Gone() bool { return c.stream.Err() != nil }

// Close ends the session; what was queued stays with the server.
func (c *Conn) Close() error {
	c.stream.Close()
	c.dequeue(engine.ErrClosed)
	return nil
}

// usable is why the session cannot be used.
func (c *Conn) usable(ctx context.Context, op string) error {
	switch {
	case ctx.Err() != nil:
		return c.n.fault(op, cluster.CauseOther, ctx.Err())
	case c.asking || c.queued != nil:
		return c.n.fault(op, cluster.CauseOther, mysqlnode.ErrInUse)
	}
	return c.n.word(op, c.stream.Err())
}

// ask is one round trip. After a context that ended the session is closed.
func ask[T any](ctx context.Context, c *Conn, op string, run func(now time.Duration, x *Session, done func(T, error))) (T, error) {
	var none T
	if err := c.usable(ctx, op); err != nil {
		return none, err
	}
	c.asking = true
	v, err := engine.Ask(ctx, c.stream, func(s *client, reply func(T, error)) {
		run(s.m.p.Now(), s.x, reply)
		s.served()
	})
	if err := c.asked(ctx, op, err); err != nil {
		return none, err
	}
	return v, nil
}

// asked ends a round trip with this error.
func (c *Conn) asked(ctx context.Context, op string, err error) error {
	c.asking = false
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		c.stream.Close()
	}
	return c.n.word(op, err)
}

// read is ask of what the server can always say at once.
func read[T any](ctx context.Context, c *Conn, op string, take func(now time.Duration) T) (T, error) {
	var none T
	if err := c.usable(ctx, op); err != nil {
		return none, err
	}
	c.asking = true
	v, err := engine.AskAtOnce(ctx, Never, c.stream, func(s *client) (T, bool) {
		v := take(s.m.p.Now())
		s.served()
		return v, true
	})
	if err := c.asked(ctx, op, err); err != nil {
		return none, err
	}
	return v, nil
}

// tell is ask without an answer but an error.
func tell(ctx context.Context, c *Conn, op string, run func(now time.Duration, x *Session, done func(error))) error {
	_, err := ask(ctx, c, op, func(now time.Duration, x *Session, done func(struct{}, error)) {
		run(now, x, func(err error) { done(struct{}{}, err) })
	})
	return err
}

// Ping makes one round trip.
func (c *Conn) Ping(ctx context.Context) error {
	_, err := read(ctx, c, "ping", func(time.Duration) struct{} { return struct{}{} })
	return err
}

// Observe takes a full sample.
func (c *Conn) Observe(ctx context.Context, exclude []string) (cluster.Server, error) {
	return read(ctx, c, "observe", func(now time.Duration) cluster.Server {
		return c.n.m.Observe(now, exclude, c.n.o.Table, c.n.o.UniqSign)
	})
}

// Channel takes the light sample.
func (c *Conn) Channel(ctx context.Context) (cluster.Channel, error) {
	return read(ctx, c, "read the replication channel of", c.n.m.Channel)
}

// StartsClosed tells how the server comes up, as far as it says.
func (c *Conn) StartsClosed(ctx context.Context) (cluster.Tri, error) {
	return read(ctx, c, "read where read_only comes from on", func(time.Duration) cluster.Tri { return c.n.m.StartsClosed() })
}

// ReadOnly reads the switches.
func (c *Conn) ReadOnly(ctx context.Context) (readOnly, superReadOnly cluster.Tri, err error) {
	got, err := read(ctx, c, "read read_only of", func(time.Duration) [2]cluster.Tri {
		ro, super := c.n.m.ReadOnly()
		return [...]cluster.Tri{ro, super}
	})
	return got[0], got[1], err
}

// Glance is both, one after the other: more may happen in between than on a server that is asked once.
func (c *Conn) Glance(ctx context.Context) (readOnly, superReadOnly cluster.Tri, ch cluster.Channel, err error) {
	if readOnly, superReadOnly, err = c.ReadOnly(ctx); err == nil {
		ch, err = c.Channel(ctx)
	}
	return readOnly, superReadOnly, ch, err
}

// Missing is empty: the model has no privileges to lack.
func (c *Conn) Missing(ctx context.Context) ([]string, error) {
	return read(ctx, c, "read the grants of", func(time.Duration) []string { return nil })
}

// Sessions lists all sessions but this one.
func (c *Conn) Sessions(ctx context.Context) ([]agent.Session, error) {
	return ask(ctx, c, "list the sessions of", func(_ time.Duration, self *Session, done func([]agent.Session, error)) {
		var all []agent.Session
		for _, x := range c.n.m.Server.Sessions() {
			if x == self {
				continue
			}
			kind := agent.SessionApplication
			if x.user == c.n.o.User {
				kind = agent.SessionOwnUser
			}
			command := "Sleep"
			if x.busy {
				command = "Query"
			}
			all = append(all, agent.Session{ID: x.id, User: x.user, Command: command, Kind: kind, Stopping: x.stops,
				Killed: x.killed, Awaits: x.waits(acking), Queues: x.waits(closing, queued), Held: x.waits(closing, queued)})
		}
		if id, awaits := c.n.m.Applier(); awaits {
			all = append(all, agent.Session{ID: id, User: "system user", Command: "Connect", Kind: agent.SessionOther, Awaits: true})
		}
		done(all, nil)
	})
}

// Kill ends sessions; one that is gone is no error.
func (c *Conn) Kill(ctx context.Context, ids ...uint64) error {
	if len(ids) == 0 {
		return nil
	}
	return tell(ctx, c, "kill sessions on", func(now time.Duration, _ *Session, done func(error)) {
		for _, id := range ids {
			_ = c.n.m.KillSession(now, id)
		}
		done(nil)
	})
}

// SetReadOnlyLast fails: these servers are never stopped slowly.
func (c *Conn) SetReadOnlyLast(ctx context.Context) error {
	return tell(ctx, c, "set read_only, before it stops, on", func(_ time.Duration, _ *Session, done func(error)) {
		done(errors.New("the server is not being stopped"))
	})
}

// ReleaseCommits ends the waits for the replica's acknowledgement, on MariaDB that of the
// applier with the applier.
func (c *Conn) ReleaseCommits(ctx context.Context) error {
	if c.n.m.opt.Flavor == cluster.MariaDB {
		all, err := c.Sessions(ctx)
		for _, s := range all {
			if err == nil && s.Kind == agent.SessionOther && s.Awaits {
				err = c.Kill(ctx, s.ID)
			}
		}
		return err
	}
	return tell(ctx, c, "end the waits for acknowledgements on", func(now time.Duration, x *Session, done func(error)) {
		x.ReleaseCommits(now, done)
	})
}

// AwaitCommits has every commit wait for ever.
func (c *Conn) AwaitCommits(ctx context.Context) error {
	return tell(ctx, c, "have commits wait on", func(now time.Duration, _ *Session, done func(error)) {
		c.n.m.AwaitCommits(now)
		done(nil)
	})
}

// LetCommitsGo has no commit wait.
func (c *Conn) LetCommitsGo(ctx context.Context, ours bool) error {
	return tell(ctx, c, "let commits go on", func(now time.Duration, _ *Session, done func(error)) {
		c.n.m.LetCommitsGo(now, ours)
		done(nil)
	})
}

// Acknowledge turns the replica side on.
func (c *Conn) Acknowledge(ctx context.Context) (does bool, err error) {
	return ask(ctx, c, "acknowledge on", func(_ time.Duration, _ *Session, done func(bool, error)) {
		done(c.n.m.Acknowledge(), nil)
	})
}

// Writers lists the open transactions that have changed rows.
func (c *Conn) Writers(ctx context.Context) ([]agent.Writer, error) {
	return ask(ctx, c, "list the open transactions of", func(now time.Duration, x *Session, done func([]agent.Writer, error)) {
		var all []agent.Writer
		for _, w := range x.Writers(now) {
			all = append(all, agent.Writer{ID: w.Session.id, User: w.Session.user, Age: w.Age, What: fmt.Sprintf("an open transaction that has changed %d rows", w.Rows)})
		}
		done(all, nil)
	})
}

type control func(x *Session, now time.Duration, io, sql bool, done func(error))

func (c *Conn) threads(ctx context.Context, op string, run control, io, sql bool) error {
	return tell(ctx, c, op, func(now time.Duration, x *Session, done func(error)) { run(x, now, io, sql, done) })
}

// StartSQLThread starts the applier.
func (c *Conn) StartSQLThread(ctx context.Context) error {
	return c.threads(ctx, "start the SQL thread of", (*Session).StartThreads, false, true)
}

// StartIOThread starts the receiver.
func (c *Conn) StartIOThread(ctx context.Context) error {
	return c.threads(ctx, "start the IO thread of", (*Session).StartThreads, true, false)
}

// StopIOThread stops the receiver.
func (c *Conn) StopIOThread(ctx context.Context) error {
	return c.threads(ctx, "stop the IO thread of", (*Session).StopThreads, true, false)
}

// StartReplication starts both threads.
func (c *Conn) StartReplication(ctx context.Context) error {
	return c.threads(ctx, "start replication on", (*Session).StartThreads, true, true)
}

// StopReplication stops both threads.
func (c *Conn) StopReplication(ctx context.Context) error {
	return c.threads(ctx, "stop replication on", (*Session).StopThreads, true, true)
}

// Reposition sets the position of a stopped channel to what the server has.
func (c *Conn) Reposition(ctx context.Context) error {
	return tell(ctx, c, "set the position of", func(_ time.Duration, x *Session, done func(error)) { x.Reposition(done) })
}

// BeatEachSecond has the source send a heartbeat each second.
func (c *Conn) BeatEachSecond(ctx context.Context) error {
	return tell(ctx, c, "have a heartbeat sent each second to", func(_ time.Duration, x *Session, done func(error)) { x.BeatEachSecond(done) })
}

// WaitApplied waits until target is applied; false when timeout came first.
func (c *Conn) WaitApplied(ctx context.Context, target string, timeout time.Duration) (bool, error) {
	return ask(ctx, c, "wait for the applier of", func(now time.Duration, x *Session, done func(bool, error)) {
		x.WaitApplied(now, target, timeout, done)
	})
}

// Mark reads the epoch row.
func (c *Conn) Mark(ctx context.Context, table string, u cluster.UniqSign) (cluster.Mark, error) {
	return ask(ctx, c, "read the epoch row of", func(_ time.Duration, x *Session, done func(cluster.Mark, error)) {
		done(x.Mark(table, u), nil)
	})
}

// WriteMark raises the epoch row.
func (c *Conn) WriteMark(ctx context.Context, table string, u cluster.UniqSign, m cluster.Mark) error {
	return tell(ctx, c, "write the epoch row of", func(now time.Duration, x *Session, done func(error)) {
		x.WriteMark(now, table, u, m, done)
	})
}

// WriteBeat changes a row beside the epoch row.
func (c *Conn) WriteBeat(ctx context.Context, table string, _ cluster.UniqSign, _ cluster.Endpoint) error {
	return tell(ctx, c, "write a row on", func(now time.Duration, x *Session, done func(error)) {
		x.WriteBeat(now, table, done)
	})
}

// Folders is the address of the server, whose disk has no other name.
func (c *Conn) Folders(ctx context.Context) ([]string, error) {
	return read(ctx, c, "read the folders of", func(time.Duration) []string { return []string{string(c.n.m.Addr())} })
}

var (
	_ agent.Node = (*Node)(nil)
	_ agent.Conn = (*Conn)(nil)
)

// TakeLock takes a named lock for this session unless another has it.
func (c *Conn) TakeLock(ctx context.Context, name string, idle time.Duration) (agent.Lock, error) {
	return ask(ctx, c, "take lock "+name+" on", func(now time.Duration, x *Session, done func(agent.Lock, error)) {
		done(x.TakeLock(now, name, idle), nil)
	})
}

// LockHolder is the session that has a named lock.
func (c *Conn) LockHolder(ctx context.Context, name string) (uint64, error) {
	return ask(ctx, c, "look at lock "+name+" on", func(now time.Duration, x *Session, done func(uint64, error)) {
		done(x.Lock(now, name).Holder, nil)
	})
}
