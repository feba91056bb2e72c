package standin

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// version is what a stand-in says to be.
const version = "8.4.3"

// Change is one change of read_only.
type Change struct {
	At   time.Time
	Open bool
}

// Server is one stand-in.
type Server struct {
	addr cluster.Endpoint
	uuid string
	pair *Pair

	// Guarded by the pair's lock.
	listener      net.Listener
	conns         map[*conn]bool
	locks         map[string]*conn // by name
	started       time.Time
	readOnly      bool
	superReadOnly bool
	named         map[string]bool // by a SET GLOBAL since the start
	executed      [2]uint64       // by member: its transactions are numbered from 1
	received      uint64          // of the other's
	io, sql       bool
	wants         bool          // the receiver runs, though its source may be away
	beat          time.Duration // between two heartbeats
	hears         bool          // its source beats
	since         time.Time     // when hears began
	heard         int           // heartbeats of before, since the channel was started
	hung          chan struct{} // closed when it wakes; nil when it does not hang
	epoch         string
	active        string
	changes       []Change
	samples       []time.Time // when it was asked for a full sample
}

// Pair are two stand-ins that replicate from each other.
type Pair struct {
	mu      sync.Mutex
	Members [2]*Server
	opts    Options
	both    bool
}

// Options are what a pair tells of what happens to it.
type Options struct {
	// Unknown is called for each statement that is not known, Accepted for each connection; nil
	// for nobody. They are called with locks held, and do not wait.
	Unknown  func(statement string)
	Accepted func()
	// Sampler is the user whose full samples are counted.
	Sampler string
}

var ids atomic.Uint32

// NewPair starts two servers that are closed and whose replication is stopped, on the
// addresses given.
func NewPair(n int, a, b cluster.Endpoint, o Options) (*Pair, error) {
	p := &Pair{opts: o}
	for i, e := range []cluster.Endpoint{a, b} {
		p.Members[i] = &Server{addr: e, pair: p, uuid: fmt.Sprintf("00000000-0000-0000-%04x-%012x", i+1, n),
			readOnly: true, superReadOnly: true, beat: time.Second, conns: map[*conn]bool{}, locks: map[string]*conn{}}
	}
	for i, s := range p.Members {
		s.executed[0] = 1
		if err := s.Start(); err != nil {
			for _, started := range p.Members[:i] {
				started.Kill()
			}
			return nil, err
		}
	}
	return p, nil
}

// Addr is where it listens.
func (s *Server) Addr() cluster.Endpoint { return s.addr }

// BothOpen reports whether both were open at one moment.
func (p *Pair) BothOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.both
}

// Changes are all changes of read_only of s, the oldest first.
func (s *Server) Changes() []Change {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return append([]Change(nil), s.changes...)
}

// Samples are when Options.Sampler asked s for a full sample since they were asked for last,
// the oldest first.
func (s *Server) Samples() []time.Time {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	all := s.samples
	s.samples = nil
	return all
}

// Open reports whether s runs and is open.
func (s *Server) Open() bool {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return s.listener != nil && !s.readOnly
}

// Replicates reports whether s receives from the other and applies that.
func (s *Server) Replicates() bool {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	s.pair.settle()
	return s.io && s.sql
}

// Start starts a server that does not run: closed, and replicating once it is told to.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", string(s.addr))
	if err != nil {
		return fmt.Errorf("start stand-in: %w", err)
	}
	s.pair.mu.Lock()
	s.listener, s.started = l, time.Now()
	s.readOnly, s.superReadOnly, s.named = true, true, map[string]bool{}
	s.pair.mu.Unlock()
	go s.accept(l)
	return nil
}

// Hang has it answer nothing until Wake, as SIGSTOP does: the kernel goes on taking connections,
// and what came meanwhile is done when it wakes.
func (s *Server) Hang() {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.hung == nil {
		s.hung = make(chan struct{})
		s.pair.settle()
	}
}

// Wake ends Hang.
func (s *Server) Wake() {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	s.wake()
}

func (s *Server) wake() {
	if s.hung != nil {
		close(s.hung)
		s.hung = nil
		s.pair.settle()
	}
}

// awake waits until s does not hang.
func (s *Server) awake() {
	s.pair.mu.Lock()
	hung := s.hung
	s.pair.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

// Kill ends it as SIGKILL does: its connections are reset and its port refuses.
func (s *Server) Kill() {
	s.pair.mu.Lock()
	s.wake()
	l := s.listener
	conns := s.conns
	s.listener, s.conns, s.io, s.sql, s.wants = nil, map[*conn]bool{}, false, false, false
	clear(s.locks)
	if !s.readOnly {
		s.changes = append(s.changes, Change{time.Now(), false})
	}
	s.readOnly = true
	s.pair.settle()
	s.pair.mu.Unlock()
	if l == nil {
		return
	}
	_ = l.Close()
	for c := range conns {
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// forget takes c off the sessions, and its locks with it; the lock is held.
func (s *Server) forget(c *conn) {
	delete(s.conns, c)
	for name, holder := range s.locks {
		if holder == c {
			delete(s.locks, name)
		}
	}
}

func (s *Server) accept(l net.Listener) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		c := &conn{wire: wire{Conn: raw, in: bufio.NewReaderSize(raw, 2048)}, s: s, id: ids.Add(1), from: raw.RemoteAddr().String(), asked: time.Now()}
		s.pair.mu.Lock()
		runs := s.listener == l
		if runs {
			s.conns[c] = true
			if f := s.pair.opts.Accepted; f != nil {
				f()
			}
		}
		s.pair.mu.Unlock()
		if !runs {
			_ = raw.Close()
			return
		}
		go c.serve()
	}
}

// settle lets replication happen; the lock is held.
func (p *Pair) settle() {
	for i, s := range p.Members {
		source := p.Members[1-i]
		s.io = s.wants && source.listener != nil && s.listener != nil
		switch hears := s.io && source.hung == nil; {
		case hears && !s.hears:
			s.since, s.hears = time.Now(), true
		case s.hears && !hears:
			s.heard, s.hears = s.heartbeats(), false
		}
		if s.io {
			s.received = max(s.received, source.executed[1-i])
		}
		if s.sql && s.executed[1-i] < s.received {
			s.executed[1-i] = s.received
			s.epoch, s.active = source.epoch, source.active
		}
	}
	p.both = p.both || !p.Members[0].readOnly && !p.Members[1].readOnly
}

// heartbeats are those since the channel was started; the lock is held.
func (s *Server) heartbeats() int {
	if !s.hears {
		return s.heard
	}
	return s.heard + int(time.Since(s.since)/s.beat)
}

// set sets read_only; the lock is held.
func (s *Server) set(readOnly bool) {
	if s.readOnly != readOnly {
		s.readOnly = readOnly
		s.changes = append(s.changes, Change{time.Now(), !readOnly})
	}
	s.pair.settle()
}

// write commits a transaction; the lock is held.
func (s *Server) write() {
	s.executed[s.index()]++
	s.pair.settle()
}

func (s *Server) index() int {
	if s.pair.Members[0] == s {
		return 0
	}
	return 1
}

func (s *Server) other() *Server { return s.pair.Members[1-s.index()] }

// gtids are executed in gtid text.
func (s *Server) gtids() string {
	text := ""
	for i, m := range s.pair.Members {
		if n := s.executed[i]; n > 0 {
			if text != "" {
				text += ",\n"
			}
			text += span(m.uuid, n)
		}
	}
	return text
}

func span(uuid string, n uint64) string {
	if n == 1 {
		return uuid + ":1"
	}
	return fmt.Sprintf("%s:1-%d", uuid, n)
}
