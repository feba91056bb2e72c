package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

type causeError struct{ cause cluster.Cause }

func (e causeError) Error() string { return "fake: " + string(e.cause) }

func causeOf(err error) cluster.Cause {
	var e causeError
	if errors.As(err, &e) {
		return e.cause
	}
	return cluster.CauseOther
}

// fakeServer is a server that can be killed, stopped and filled up. Answers
// take latency; connects are bounded by timeout.
type fakeServer struct {
	timeout time.Duration
	latency time.Duration

	mu      sync.Mutex
	mood    mood
	changed chan struct{}
	server  cluster.Server
	conns   map[*fakeConn]bool
	opened  int
	asked   time.Time // the last question
}

func newFakeServer(source cluster.Endpoint) *fakeServer {
	return &fakeServer{timeout: time.Second, latency: time.Millisecond, mood: up, changed: make(chan struct{}),
		server: replica(source), conns: map[*fakeConn]bool{}}
}

// be changes the server's mood; edit changes what it says.
func (f *fakeServer) be(m mood, edit func(*cluster.Server)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = m
	if edit != nil {
		edit(&f.server)
	}
	if m == dead {
		for c := range f.conns {
			c.end()
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeServer) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

func (f *fakeServer) connects() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

func (f *fakeServer) now() (mood, <-chan struct{}, cluster.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mood, f.changed, f.server
}

func (f *fakeServer) Connect(ctx context.Context) (Conn, error) {
	deadline := time.After(f.timeout)
	for {
		m, changed, _ := f.now()
		late := cluster.CauseAnswerTimeout
		switch m {
		case up, slow:
			if err := pass(ctx, f.latency); err != nil {
				return nil, err
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			c := &fakeConn{f: f, broken: make(chan struct{}), closed: make(chan struct{})}
			f.conns[c] = true
			f.opened++
			return c, nil
		case dead:
			return nil, causeError{cluster.CauseRefused}
		case full:
			return nil, causeError{cluster.CauseTooMany}
		case black:
			late = cluster.CauseConnectTimeout
		}
		select {
		case <-changed:
		case <-deadline:
			return nil, causeError{late}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type fakeConn struct {
	f      *fakeServer
	mu     sync.Mutex
	broken chan struct{}
	told   func()
	shut   sync.Once
	closed chan struct{}
}

// end ends the session from the server's side.
func (c *fakeConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.broken:
		return
	default:
	}
	close(c.broken)
	if c.told != nil {
		c.told()
	}
}

func (c *fakeConn) OnBroken(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.broken:
		f()
	default:
		c.told = f
	}
}

func (c *fakeConn) Close() error {
	c.shut.Do(func() {
		close(c.closed)
		c.f.mu.Lock()
		delete(c.f.conns, c)
		c.f.mu.Unlock()
	})
	return nil
}

func (c *fakeConn) ask(ctx context.Context, op Op) (cluster.Server, error) {
	c.f.mu.Lock()
	c.f.asked = time.Now()
	c.f.mu.Unlock()
	for {
		m, changed, s := c.f.now()
		if m == up || m == full || m == slow && op == OpPing {
			if err := pass(ctx, c.f.latency); err != nil {
				return s, err
			}
			return s, nil
		}
		select {
		case <-changed:
		case <-c.broken:
			return s, causeError{cluster.CauseReset}
		case <-c.closed:
			return s, io.ErrClosedPipe
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

func (c *fakeConn) Ping(ctx context.Context) error {
	_, err := c.ask(ctx, OpPing)
	return err
}

func (c *fakeConn) Observe(ctx context.Context, _ []string) (cluster.Server, error) {
	s, err := c.ask(ctx, OpSample)
	s.StartsClosed = cluster.Unknown
	return s, err
}

func (c *fakeConn) StartsClosed(ctx context.Context) (cluster.Tri, error) {
	s, err := c.ask(ctx, OpSample)
	return s.StartsClosed, err
}

func (c *fakeConn) Channel(ctx context.Context) (cluster.Channel, error) {
	s, err := c.ask(ctx, OpChannel)
	return s.Channel, err
}

// fakeBus is a Redis that can go, hang and come back empty.
type fakeBus struct {
	mu      sync.Mutex
	err     error
	hangs   bool
	run     int
	pairs   map[cluster.UniqSign]int
	records map[cluster.Endpoint][]kept
	checks  map[cluster.Endpoint]cluster.LegacyCheck
}

type kept struct {
	cluster.Observation
	at   time.Time
	wake bool
}

func newFakeBus() *fakeBus {
	return &fakeBus{pairs: map[cluster.UniqSign]int{}, records: map[cluster.Endpoint][]kept{}, checks: map[cluster.Endpoint]cluster.LegacyCheck{}}
}

func (b *fakeBus) be(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// restart empties Redis as a restart without data does.
func (b *fakeBus) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run++
	clear(b.pairs)
	clear(b.records)
	clear(b.checks)
}

// empty forgets all records while connections and run stay, as FLUSHALL does.
func (b *fakeBus) empty() {
	b.restart()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run--
}

func (b *fakeBus) enter(ctx context.Context) error {
	err := pass(ctx, 300*time.Microsecond)
	b.mu.Lock()
	if err != nil {
		return err
	}
	if b.hangs {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return ctx.Err()
	}
	return b.err
}

func (b *fakeBus) PublishPair(ctx context.Context, p cluster.Pair) error {
	err := b.enter(ctx)
	defer b.mu.Unlock()
	if err == nil {
		b.pairs[p.UniqSign]++
	}
	return err
}

func (b *fakeBus) PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, l *cluster.LegacyCheck, _ time.Duration, wake bool) (listed bool, err error) {
	err = b.enter(ctx)
	defer b.mu.Unlock()
	if err != nil {
		return false, err
	}
	b.records[o.Node] = append(b.records[o.Node], kept{o, time.Now(), wake})
	if l != nil {
		b.checks[o.Node] = *l
	}
	return b.pairs[u] > 0, nil
}

func (b *fakeBus) RunID(ctx context.Context) (string, error) {
	err := b.enter(ctx)
	defer b.mu.Unlock()
	return fmt.Sprint("run ", b.run), err
}

func (b *fakeBus) of(node cluster.Endpoint) []kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]kept(nil), b.records[node]...)
}

func (b *fakeBus) check(node cluster.Endpoint) cluster.LegacyCheck {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.checks[node]
}

func (b *fakeBus) pairsOf(u cluster.UniqSign) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pairs[u]
}

func (b *fakeBus) last(node cluster.Endpoint) kept {
	all := b.of(node)
	if len(all) == 0 {
		return kept{}
	}
	return all[len(all)-1]
}

// wall is a calendar that no other clock of the tests agrees with.
func wall() time.Time { return time.Now().Add(100 * time.Hour) }

// bench is a monitor of one pair of fakes.
type bench struct {
	bus  *fakeBus
	a, b *fakeServer
	tag  Tag
	logs *logBook
	rt   sched.Runtime
	runs int
}

type logBook struct {
	mu   sync.Mutex
	text []byte
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func newBench() *bench {
	x := &bench{bus: newFakeBus(), a: newFakeServer(nodeB), b: newFakeServer(nodeA), logs: &logBook{}}
	x.b.server.ReadOnly, x.b.server.Identity = cluster.Yes, "2"
	x.tag = Tag{Pair: cluster.Pair{Tag: "t", UniqSign: "u", Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive},
		Monitor: "m", Legacy: true, Interval: 3 * time.Second, ConnectTimeout: time.Second, TryTimes: 2}
	return x
}

func (x *bench) monitor(run string) (*Monitor, error) {
	return New(Options{Tag: x.tag, Run: run, Bus: x.bus, Cause: causeOf, Wall: wall, Runtime: x.rt, Log: zerolog.New(x.logs),
		Open: func(e cluster.Endpoint) (Node, error) {
			switch e {
			case nodeA:
				return x.a, nil
			case nodeB:
				return x.b, nil
			}
			return nil, fmt.Errorf("open %s: bad address", e)
		}})
}

// run starts a monitor and returns what stops it and waits.
func (x *bench) run(t *testing.T) (stop func()) {
	x.runs++
	m, err := x.monitor(fmt.Sprint("run", x.runs))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}
