package agent_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

const (
	hostA = cluster.Endpoint("10.0.0.1:3306")
	hostB = cluster.Endpoint("10.0.0.2:3306")
	uuidA = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
	uuidB = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
)

type causeError struct{ cause cluster.Cause }

func (e causeError) Error() string { return string(e.cause) }

// errLeaving is the answer of a server that is being stopped.
var errLeaving = fmt.Errorf("shutdown in progress: %w", causeError{cluster.CauseReset})

func causeOf(err error) cluster.Cause {
	var c causeError
	if errors.As(err, &c) {
		return c.cause
	}
	return cluster.CauseOther
}

// world is two servers that replicate from each other.
type world struct {
	mu      sync.Mutex
	servers map[cluster.Endpoint]*fakeServer
	nextID  uint64
	dials   map[cluster.Endpoint]int
	// bothOpen is set when both servers answered and were open at one moment.
	bothOpen bool
	// openedLocked are accounts that were locked at the moment of an opening,
	// and not by their owner.
	openedLocked []string
}

// peerOf is the other server of each.
var peerOf = map[cluster.Endpoint]cluster.Endpoint{hostA: hostB, hostB: hostA}

type fakeServer struct {
	w      *world
	addr   cluster.Endpoint
	flavor cluster.Flavor
	super  bool // MySQL's super_read_only
	// startsClosed is how it came up, until somebody sets read_only.
	startsClosed cluster.Tri
	accounts     map[cluster.Account]*fakeAccount
	locks        []string // what was locked and released, in order
	mark         cluster.Mark
	marks        int             // transactions that wrote the epoch row
	denied       map[string]bool // what our account may not do
	lacks        map[string]bool // what sessions opened from now on may not do
	missing      []string        // what our account is not granted now
	asked        int             // how often it was asked for that
	full         bool            // it takes no more connections
	most         int             // connections of ours that it takes at a time, if not any number
	login        time.Duration   // how long a log-in takes
	broken       map[string]bool // what fails for another reason
	stuck        map[string]bool // what never answers
	onLock       func()          // runs before accounts are locked, without any lock
	up           bool
	leaving      bool // it is being stopped: it refuses connections, and ends each session with its next statement
	started      time.Time
	hung         chan struct{} // not nil while hung; closed when it wakes
	readOnly     bool
	executed     string
	identity     string // not told where it is empty
	ch           cluster.Channel
	acks         cluster.Acks
	applierWaits bool // for an acknowledgement, until commits are let go
	letGo        int  // how often commits were let go
	held         bool // the applying thread applies nothing
	dialling     bool // the receiving thread is slow to connect
	stale        bool // the source refuses the position
	sessions     map[uint64]*fakeConn
	clients      map[uint64]agent.Session // sessions that are not ours
	writers      []agent.Writer
	locker       uint64 // the session that holds a table lock; 0 for none
	killed       []uint64
	// awaiting are the sessions whose commits wait for the other server's acknowledgement:
	// the first asks for it, the others wait for the first. told are those whose clients
	// heard of a success without one.
	awaiting, told []uint64
	crowd          bool // somebody always commits, as long as no order to close waits
	// kept is a session that we may not kill.
	kept  uint64
	stops []string // which threads were stopped and started
	// beforeWritable runs before read_only is cleared, without any lock.
	beforeWritable func()
	// slowStop: the receiving thread ends 22 s after it was told to.
	slowStop bool
	// Of the row by which writes are tried: how many were written, and what they come to: nothing where
	// beatErr is set, never an answer while stalls is not nil.
	beats   int
	beatErr error
	stalls  chan struct{}
	beating map[uint64]agent.Session // what the sessions that write it show
	shows   agent.Session            // what the next one shows
	// listings is how many more listings of the sessions another agent cuts short.
	listings int
}

func newWorld() *world {
	w := &world{servers: map[cluster.Endpoint]*fakeServer{}, dials: map[cluster.Endpoint]int{}, nextID: 100}
	for e, peer := range peerOf {
		w.servers[e] = &fakeServer{w: w, addr: e, flavor: cluster.MySQL, up: true, readOnly: true, started: time.Now().Add(-time.Hour),
			beating: map[uint64]agent.Session{}, shows: agent.Session{Command: "Query"},
			super: true, accounts: map[cluster.Account]*fakeAccount{},
			denied: map[string]bool{}, broken: map[string]bool{}, stuck: map[string]bool{},
			executed: uuidA + ":1-10", sessions: map[uint64]*fakeConn{}, clients: map[uint64]agent.Session{},
			ch: cluster.Channel{Configured: true, Source: peer, GTID: true, IO: cluster.ThreadYes, SQL: cluster.ThreadYes}}
	}
	return w
}

func (w *world) a() *fakeServer { return w.servers[hostA] }
func (w *world) b() *fakeServer { return w.servers[hostB] }

func (w *world) node(e cluster.Endpoint) (agent.Node, error) {
	s := w.servers[e]
	if s == nil {
		return nil, fmt.Errorf("no such server %s", e)
	}
	return fakeNode{s}, nil
}

// settle lets replication happen; the lock is held.
func (w *world) settle() {
	open := 0
	for _, s := range w.servers {
		src := w.servers[s.ch.Source]
		runs := s.up && s.hung == nil
		if runs && !s.readOnly {
			open++
		}
		if !runs || !s.ch.Configured || src == nil {
			continue
		}
		if s.ch.IO == cluster.ThreadConnecting && s.stale {
			s.ch.IO, s.ch.IOErrno, s.ch.IOError = cluster.ThreadNo, 1236, "not in the binary log"
		}
		if s.ch.IO == cluster.ThreadConnecting && src.up && !s.dialling {
			s.ch.IO = cluster.ThreadYes
		}
		if s.ch.IO == cluster.ThreadYes && !src.up {
			s.ch.IO = cluster.ThreadConnecting
		}
		if s.ch.IO == cluster.ThreadYes && src.hung == nil {
			s.ch.Received = union(s.flavor, s.ch.Received, src.executed)
		}
		if s.ch.SQL == cluster.ThreadYes && !s.held && !s.applierWaits {
			s.executed = union(s.flavor, s.executed, s.ch.Received)
			if s.ch.IO == cluster.ThreadYes && s.mark.Epoch < src.mark.Epoch {
				s.mark = src.mark
			}
		}
	}
	w.bothOpen = w.bothOpen || open > 1
}

func union(f cluster.Flavor, a, b string) string {
	x, err := gtid.Parse(f, a)
	if err != nil {
		panic(err)
	}
	y, err := gtid.Parse(f, b)
	if err != nil {
		panic(err)
	}
	return x.Union(y).String()
}

// change edits a server under the lock.
func (s *fakeServer) change(f func(*fakeServer)) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	f(s)
	s.w.settle()
	s.w.settle()
}

func (s *fakeServer) kill() {
	s.change(func(s *fakeServer) {
		s.up = false
		for _, c := range s.sessions {
			c.end()
		}
	})
}

// start brings the server back as my.cnf would: not replicating by itself.
func (s *fakeServer) start(readOnly bool) {
	s.change(func(s *fakeServer) {
		s.up, s.readOnly, s.super, s.hung = true, readOnly, readOnly && s.flavor == cluster.MySQL, nil
		s.startsClosed = cluster.TriOf(readOnly)
		s.started = time.Now()
		s.ch.IO, s.ch.SQL = cluster.ThreadNo, cluster.ThreadNo
		s.locker = 0
	})
}

func (s *fakeServer) hang() { s.change(func(s *fakeServer) { s.hung = make(chan struct{}) }) }
func (s *fakeServer) awake() {
	s.change(func(s *fakeServer) { close(s.hung); s.hung = nil })
}

func (s *fakeServer) sealed() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.super
}

func (s *fakeServer) open() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.up && !s.readOnly
}

func (s *fakeServer) has(set string) bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return union(s.flavor, s.executed, set) == union(s.flavor, s.executed, "")
}

type fakeNode struct{ s *fakeServer }

func (n fakeNode) Connect(ctx context.Context) (agent.Conn, error) {
	s := n.s
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s.w.mu.Lock()
	s.w.dials[s.addr]++
	up, login := s.up && !s.leaving, s.login
	s.w.mu.Unlock()
	if !up {
		return nil, causeError{cluster.CauseRefused}
	}
	if login > 0 {
		select {
		case <-ctx.Done():
			return nil, causeError{cluster.CauseAnswerTimeout}
		case <-time.After(login):
		}
	}
	s.w.mu.Lock()
	hung := s.hung
	s.w.mu.Unlock()
	if hung != nil {
		select {
		case <-ctx.Done():
			return nil, causeError{cluster.CauseAnswerTimeout}
		case <-hung:
		}
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.full || s.most > 0 && len(s.sessions) >= s.most {
		return nil, causeError{cluster.CauseTooMany}
	}
	s.w.nextID++
	c := &fakeConn{s: s, id: s.w.nextID, broken: make(chan struct{}), lacks: maps.Clone(s.lacks)}
	s.sessions[c.id] = c
	return c, nil
}

type fakeConn struct {
	s        *fakeServer
	id       uint64
	broken   chan struct{}
	onBroken func() // unless we close it
	dead     bool
	queued   bool            // a closing order waits on it
	queues   bool            // it waits for whoever writes
	stopping bool            // it waits for the receiving thread
	lacks    map[string]bool // as at its log-in
	user     string          // empty for mmm
	locks    map[string]bool // by name
	idle     time.Duration   // for how long it may be asked nothing; 0 for ever
	asked    time.Time       // when it was asked something last
}

// may runs f as do does, unless the session lacks the privilege.
func (c *fakeConn) may(ctx context.Context, name string, f func(s *fakeServer) error) error {
	return c.do(ctx, func(s *fakeServer) error {
		if c.lacks[name] {
			return fmt.Errorf("%s: %w", name, errDenied)
		}
		return f(s)
	})
}

func (c *fakeConn) ID() uint64 { return c.id }

func (c *fakeConn) OnBroken(f func()) {
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	if c.dead {
		f()
	} else {
		c.onBroken = f
	}
}

func (c *fakeConn) Gone() bool {
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	return c.dead
}

// end ends the session; the lock is held.
func (c *fakeConn) end() {
	if !c.dead {
		c.dead = true
		close(c.broken)
		delete(c.s.sessions, c.id)
		if c.onBroken != nil {
			c.onBroken()
		}
	}
}

func (c *fakeConn) Close() error {
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	c.onBroken = nil
	c.end()
	return nil
}

// do runs f as the server would: not while it hangs, and not for a session that was ended.
func (c *fakeConn) do(ctx context.Context, f func(s *fakeServer) error) error {
	c.s.w.mu.Lock()
	hung := c.s.hung
	c.asked = time.Now()
	c.s.w.mu.Unlock()
	if hung != nil {
		select {
		case <-ctx.Done():
			return causeError{cluster.CauseAnswerTimeout}
		case <-hung:
		case <-c.broken:
		}
	}
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	if c.dead {
		return causeError{cluster.CauseReset}
	}
	if c.s.leaving {
		c.end()
		return errLeaving
	}
	c.s.w.settle()
	err := f(c.s)
	c.s.w.settle()
	return err
}

func (c *fakeConn) Ping(ctx context.Context) error {
	return c.do(ctx, func(*fakeServer) error { return nil })
}

func (c *fakeConn) Observe(ctx context.Context, _ []string) (srv cluster.Server, err error) {
	err = c.may(ctx, "sample", func(s *fakeServer) error {
		srv = cluster.Server{Flavor: s.flavor, ReadOnly: cluster.TriOf(s.readOnly), SuperReadOnly: s.superReadOnly(), GTIDMode: true, Executed: s.executed, Channel: s.ch, Acks: s.acks, Identity: s.identity,
			UptimeS: int64(time.Since(s.started).Seconds())}
		if s.applierWaits {
			srv.Acks.Waiting = 1
		}
		if c.lacks["process"] {
			srv.Sessions = -1
		}
		return nil
	})
	return srv, err
}

func (c *fakeConn) Channel(ctx context.Context) (ch cluster.Channel, err error) {
	err = c.may(ctx, "sample", func(s *fakeServer) error { ch = s.ch; return nil })
	return ch, err
}

func (c *fakeConn) ReadOnly(ctx context.Context) (ro, super cluster.Tri, err error) {
	err = c.do(ctx, func(s *fakeServer) error { ro, super = cluster.TriOf(s.readOnly), s.superReadOnly(); return nil })
	return ro, super, err
}

func (c *fakeConn) Glance(ctx context.Context) (ro, super cluster.Tri, ch cluster.Channel, err error) {
	if ro, super, err = c.ReadOnly(ctx); err == nil {
		ch, err = c.Channel(ctx)
	}
	return ro, super, ch, err
}

func (c *fakeConn) StartsClosed(ctx context.Context) (is cluster.Tri, err error) {
	err = c.do(ctx, func(s *fakeServer) error { is = s.startsClosed; return nil })
	return is, err
}

func (c *fakeConn) Missing(ctx context.Context) (names []string, err error) {
	err = c.special(ctx, "grants", func(s *fakeServer) error { names = slices.Clone(s.missing); s.asked++; return nil })
	return names, err
}

func (c *fakeConn) SetReadOnly(ctx context.Context, wait time.Duration) error {
	until := time.Now().Add(max(wait, time.Second))
	for {
		err := c.may(ctx, "close", func(s *fakeServer) error {
			if c.queues = s.written(); !c.queues {
				s.close()
				return nil
			}
			return errHeld
		})
		if !errors.Is(err, errHeld) {
			return err
		}
		if !time.Now().Before(until) {
			c.queues = false
			return fmt.Errorf("set read_only: %w: %w", agent.ErrLockWait, errWaited)
		}
		select {
		case <-ctx.Done():
			return causeError{cluster.CauseAnswerTimeout}
		case <-c.broken:
		case <-time.After(time.Millisecond):
		}
	}
}

// errHeld: something keeps read_only from being set.
var errHeld = errors.New("held up")

// written reports whether something keeps read_only from being set; the lock is held.
func (s *fakeServer) written() bool { return s.locker != 0 || len(s.awaiting) > 0 }

func (c *fakeConn) QueueReadOnly(done func(error)) error {
	c.s.w.mu.Lock()
	c.queued = true
	c.s.w.mu.Unlock()
	go func() {
		for held := true; held; {
			err := c.do(context.Background(), func(s *fakeServer) error {
				if held = s.written(); !held {
					s.close()
				}
				return nil
			})
			if err != nil {
				done(err)
				return
			}
			if held { // it waits for the lock, an hour at most
				select {
				case <-c.broken:
				case <-time.After(10 * time.Millisecond):
				}
			}
		}
		done(nil)
	}()
	return nil
}

func (c *fakeConn) SetWritable(ctx context.Context) error {
	c.s.w.mu.Lock()
	hook := c.s.beforeWritable
	c.s.beforeWritable = nil
	c.s.w.mu.Unlock()
	if hook != nil {
		hook()
	}
	return c.do(ctx, func(s *fakeServer) error {
		for a, state := range s.accounts {
			if (state.locked || state.reversed) && !state.owners {
				s.w.openedLocked = append(s.w.openedLocked, string(s.addr)+" "+a.String())
			}
		}
		s.readOnly, s.super, s.startsClosed = false, false, cluster.Unknown
		return nil
	})
}

func (c *fakeConn) Sessions(ctx context.Context) (all []agent.Session, err error) {
	err = c.do(ctx, func(s *fakeServer) error {
		if s.listings > 0 {
			s.listings--
			c.end()
			return causeError{cluster.CauseReset}
		}
		for id, x := range s.sessions {
			if id != c.id {
				one := agent.Session{ID: id, User: "mmm", Kind: agent.SessionOwnUser, Stopping: x.stopping, Queues: x.queues}
				if b, ok := s.beating[id]; ok {
					one.Command, one.Held, one.Queues, one.Awaits = b.Command, b.Held, b.Queues, b.Awaits
				}
				if x.user != "" {
					one.User, one.Kind = x.user, agent.SessionApplication
				}
				all = append(all, one)
			}
		}
		for id, x := range s.clients {
			x.Awaits = len(s.awaiting) > 0 && s.awaiting[0] == id
			all = append(all, x)
		}
		slices.SortFunc(all, func(a, b agent.Session) int { return cmp.Compare(a.ID, b.ID) })
		return nil
	})
	return all, err
}

// beaten is how many rows were written.
func (s *fakeServer) beaten() int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.beats
}

// underWay is how many are being written.
func (s *fakeServer) underWay() int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return len(s.beating)
}

// WriteBeat takes as long as writes stall.
func (c *fakeConn) WriteBeat(ctx context.Context, _ string, _ cluster.UniqSign, _ cluster.Endpoint) error {
	var wait chan struct{}
	err := c.do(ctx, func(s *fakeServer) error {
		if wait = s.stalls; wait == nil && s.beatErr == nil && !s.readOnly {
			s.beats++
		}
		if wait != nil {
			s.beating[c.id] = s.shows
		}
		return s.beatErr
	})
	if err != nil || wait == nil {
		return err
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.broken:
		err = causeError{cluster.CauseReset}
	case <-wait:
	}
	c.s.change(func(s *fakeServer) { delete(s.beating, c.id) })
	return err
}

func (c *fakeConn) Folders(ctx context.Context) (all []string, err error) {
	return []string{"/var/lib/mysql"}, c.do(ctx, func(*fakeServer) error { return nil })
}

func (c *fakeConn) Kill(ctx context.Context, ids ...uint64) error {
	for _, id := range ids {
		if err := c.kill(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (c *fakeConn) kill(ctx context.Context, id uint64) error {
	return c.may(ctx, "kill", func(s *fakeServer) error {
		if s.kept == id {
			return nil
		}
		if own := s.sessions[id]; own != nil {
			own.end()
		}
		if x, ok := s.clients[id]; ok && slices.Contains(s.awaiting, id) {
			x.Killed = true
			s.clients[id] = x
			s.killed = append(s.killed, id)
			if s.flavor == cluster.MariaDB && s.awaiting[0] == id {
				if s.crowd && !s.closing() {
					s.awaiting = append(s.awaiting, 9)
				}
				s.release()
			}
		} else if ok {
			s.killed = append(s.killed, id)
			delete(s.clients, id)
		}
		if s.locker == id {
			s.locker = 0
		}
		return nil
	})
}

// closing reports whether an order to close waits.
func (s *fakeServer) closing() bool {
	for _, c := range s.sessions {
		if c.queues {
			return true
		}
	}
	return false
}

// release ends the commits that wait; those who were not cut off are told of a success.
func (s *fakeServer) release() {
	for _, id := range s.awaiting {
		if !s.clients[id].Killed {
			s.told = append(s.told, id)
		} else {
			delete(s.clients, id)
		}
	}
	s.awaiting = nil
}

func (c *fakeConn) SetReadOnlyLast(ctx context.Context) error {
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	if c.dead || c.s.broken["last"] {
		c.end()
		return errLeaving
	}
	c.s.readOnly, c.s.super = true, true
	c.end()
	return nil
}

func (c *fakeConn) ReleaseCommits(ctx context.Context) error {
	return c.special(ctx, "release", func(s *fakeServer) error {
		if s.flavor == cluster.MySQL {
			s.release()
		}
		return nil
	})
}

func (c *fakeConn) AwaitCommits(ctx context.Context) error {
	return c.special(ctx, "await commits", func(s *fakeServer) error { s.acks.Source = cluster.Yes; return nil })
}

func (c *fakeConn) LetCommitsGo(ctx context.Context, _ bool) error {
	return c.special(ctx, "let commits go", func(s *fakeServer) error {
		s.acks.Source, s.applierWaits = cluster.No, false
		s.letGo++
		return nil
	})
}

func (c *fakeConn) Acknowledge(ctx context.Context) (does bool, err error) {
	err = c.special(ctx, "acknowledge", func(s *fakeServer) error {
		does, s.acks.Replica = s.acks.Replica == cluster.Yes, cluster.Yes
		return nil
	})
	return does, err
}

func (c *fakeConn) Writers(ctx context.Context) (all []agent.Writer, err error) {
	err = c.do(ctx, func(s *fakeServer) error { all = s.writers; return nil })
	return all, err
}

func (c *fakeConn) thread(ctx context.Context, name string, f func(*cluster.Channel)) error {
	return c.do(ctx, func(s *fakeServer) error {
		before := s.ch
		f(&s.ch)
		if before.IO != s.ch.IO || before.SQL != s.ch.SQL {
			s.stops = append(s.stops, name)
		}
		// MariaDB throws unapplied relay log away when one thread is started after both were stopped.
		if s.flavor == cluster.MariaDB && before.IO == cluster.ThreadNo && before.SQL == cluster.ThreadNo &&
			(s.ch.IO != cluster.ThreadNo || s.ch.SQL != cluster.ThreadNo) {
			s.ch.Received = ""
		}
		return nil
	})
}

func (c *fakeConn) StartSQLThread(ctx context.Context) error {
	return c.thread(ctx, "start sql", func(ch *cluster.Channel) { ch.SQL = cluster.ThreadYes })
}
func (c *fakeConn) StartIOThread(ctx context.Context) error {
	return c.thread(ctx, "start io", func(ch *cluster.Channel) { ch.IO = cluster.ThreadConnecting })
}
func (c *fakeConn) StopIOThread(ctx context.Context) error {
	c.s.w.mu.Lock()
	c.stopping = c.s.slowStop
	slow := c.stopping
	c.s.w.mu.Unlock()
	if slow {
		select {
		case <-time.After(22 * time.Second):
		case <-ctx.Done():
			return causeError{cluster.CauseAnswerTimeout}
		}
	}
	return c.thread(ctx, "stop io", func(ch *cluster.Channel) { ch.IO = cluster.ThreadNo })
}
func (c *fakeConn) StartReplication(ctx context.Context) error {
	return c.thread(ctx, "start", func(ch *cluster.Channel) { ch.IO, ch.SQL = cluster.ThreadConnecting, cluster.ThreadYes })
}
func (c *fakeConn) BeatEachSecond(ctx context.Context) error {
	return c.do(ctx, func(s *fakeServer) error {
		if s.ch.IO != cluster.ThreadNo || s.flavor == cluster.MariaDB && s.ch.SQL != cluster.ThreadNo {
			return errors.New("replication runs")
		}
		if s.denied["beat"] {
			return errDenied
		}
		if s.ch.SQL == cluster.ThreadNo {
			s.ch.Received = ""
		}
		s.ch.HeartbeatPeriodMS = 1000
		s.stops = append(s.stops, "beat")
		return nil
	})
}

func (c *fakeConn) Reposition(ctx context.Context) error {
	return c.do(ctx, func(s *fakeServer) error {
		if !s.ch.Stopped() {
			return errors.New("1198: the channel runs")
		}
		s.stale, s.ch.IOErrno, s.ch.IOError = false, 0, ""
		return nil
	})
}
func (c *fakeConn) StopReplication(ctx context.Context) error {
	return c.thread(ctx, "stop", func(ch *cluster.Channel) { ch.IO, ch.SQL = cluster.ThreadNo, cluster.ThreadNo })
}

func (c *fakeConn) WaitApplied(ctx context.Context, target string, timeout time.Duration) (bool, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return false, causeError{cluster.CauseAnswerTimeout}
	}
	return false, c.Ping(ctx)
}

func (c *fakeConn) TakeLock(ctx context.Context, name string, idle time.Duration) (l agent.Lock, err error) {
	err = c.do(ctx, func(s *fakeServer) error {
		if c.idle == 0 {
			time.AfterFunc(idle, c.expire)
		}
		c.idle = idle
		if l = s.lock(c, name); l.Holder == 0 {
			c.locks = map[string]bool{name: true}
			l = agent.Lock{Mine: true, Holder: c.id}
		}
		return nil
	})
	return l, err
}

func (c *fakeConn) LockHolder(ctx context.Context, name string) (id uint64, err error) {
	err = c.do(ctx, func(s *fakeServer) error { id = s.lock(c, name).Holder; return nil })
	return id, err
}

// lock tells a session who has a named lock; the world's lock is held.
func (s *fakeServer) lock(c *fakeConn, name string) agent.Lock {
	for id, x := range s.sessions {
		if x.locks[name] {
			return agent.Lock{Mine: x == c, Holder: id, Idle: time.Since(x.asked).Truncate(time.Second)}
		}
	}
	return agent.Lock{}
}

// expire ends the session when it was asked nothing for its time, and else looks
// again. A server that hangs first reads what has arrived.
func (c *fakeConn) expire() {
	c.s.w.mu.Lock()
	defer c.s.w.mu.Unlock()
	left := c.idle - time.Since(c.asked)
	switch {
	case c.dead:
	case left > 0:
		time.AfterFunc(left, c.expire)
	case c.s.hung != nil:
		time.AfterFunc(time.Millisecond, c.expire)
	default:
		c.end()
	}
}
