package monitor

import (
	"context"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/rs/zerolog"
)

// Node is one server as the monitor needs it.
type Node interface {
	// Connect opens one session that is never re-dialled, within connect_timeout.
	Connect(ctx context.Context) (Conn, error)
}

// Conn is one open session, used by one goroutine at a time.
type Conn interface {
	// Close may be called at any moment; a call under way returns with an error.
	Close() error
	// Broken is closed as soon as the session's connection has ended.
	Broken() <-chan struct{}
	Ping(ctx context.Context) error
	Observe(ctx context.Context, exclude []string) (cluster.Server, error)
	Channel(ctx context.Context) (cluster.Channel, error)
}

// prober carries out the actions of one watch. Only its run touches the watch
// and the links; questions and connects run beside it and report as events.
type prober struct {
	watch   *Watch
	node    Node
	exclude []string
	cause   func(error) cluster.Cause
	denied  func(error) bool
	now     func() time.Duration
	publish func(Publish)
	beat    func()
	log     zerolog.Logger

	events chan any // Event or dialed
	done   chan struct{}
	work   sync.WaitGroup
	links  map[Link]*session

	trouble *signal // of this server
	other   *signal // of the other member
}

type session struct {
	conn   Conn            // nil while connecting
	ctx    context.Context // ends with the session
	cancel context.CancelFunc
}

// dialed is how a connection attempt went.
type dialed struct {
	link Link
	conn Conn
	err  error
}

func (p *prober) run(ctx context.Context) {
	p.events = make(chan any) // no buffer: what is posted is taken
	p.done = make(chan struct{})
	p.links = map[Link]*session{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer p.work.Wait()
	defer p.dropAll()
	defer close(p.done)
	for {
		var ev Event
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			ev = Tick{}
		case <-p.other.changed:
			ev = OtherMember{p.other.get()}
		case e := <-p.events:
			if ev = p.take(e); ev == nil {
				continue
			}
		}
		for _, a := range p.watch.Handle(p.now(), ev) {
			p.carryOut(ctx, a)
		}
		p.beat()
		timer.Reset(p.watch.Next() - p.now())
	}
}

// take turns a report into the watch's event; nil when nobody waits for it.
func (p *prober) take(e any) Event {
	switch e := e.(type) {
	case dialed:
		s := p.links[e.link]
		switch {
		case e.err != nil && s == nil:
			return nil
		case e.err != nil:
			s.cancel()
			delete(p.links, e.link)
			return ConnectFailed{e.link, p.cause(e.err), clip(e.err)}
		case s == nil:
			p.close(e.conn)
			return nil
		}
		s.conn = e.conn
		p.work.Go(func() {
			select {
			case <-s.conn.Broken():
				p.post(Ended{e.link})
			case <-s.ctx.Done():
			}
		})
		return Connected{e.link}
	case Event:
		return e
	}
	return nil
}

func (p *prober) carryOut(ctx context.Context, a Action) {
	switch a := a.(type) {
	case Dial:
		s := &session{}
		s.ctx, s.cancel = context.WithCancel(ctx)
		p.links[a.Link] = s
		p.work.Go(func() {
			conn, err := p.node.Connect(s.ctx)
			if !p.post(dialed{a.Link, conn, err}) && err == nil {
				_ = conn.Close()
			}
		})
	case Ask:
		conn := p.links[a.Link].conn
		p.work.Go(func() { p.post(p.question(conn, a)) })
	case Drop:
		p.drop(a.Link)
	case Publish:
		p.publish(a)
		if e := p.log.Debug(); e.Enabled() {
			o := a.Observation
			e.Uint64("seq", o.Seq).Str("cause", string(o.Cause)).Bool("broken", o.Broken).Int64("silent_ms", o.SilentMS()).
				Str("io", string(o.Server.Channel.IO)).Bool("wake", a.Wake).Msg("publish")
		}
	case Tell:
		p.trouble.set(a.Unwell)
	case Say:
		e := p.log.Info()
		if a.Warn {
			e = p.log.Warn()
		}
		if a.Hint != "" {
			e = e.Str("hint", a.Hint)
		}
		if a.Err != "" {
			e = e.Str("err", a.Err)
		}
		e.Msg(a.Text)
	}
}

// question asks without a deadline: the watch minds the time, and closing the
// connection ends the question. A context that can end would cost the driver
// two more switches of goroutine for each ping.
func (p *prober) question(conn Conn, a Ask) Event {
	ctx := context.Background()
	ok := Answered{Link: a.Link, Op: a.Op}
	var err error
	switch a.Op {
	case OpSample:
		ok.Server, err = conn.Observe(ctx, p.exclude)
	case OpChannel:
		ok.Channel, err = conn.Channel(ctx)
	default:
		err = conn.Ping(ctx)
	}
	if err != nil {
		return Failed{Link: a.Link, Op: a.Op, Cause: p.cause(err), Text: clip(err), Denied: p.denied(err)}
	}
	return ok
}

// post reports e unless the prober has ended.
func (p *prober) post(e any) bool {
	select {
	case p.events <- e:
		return true
	case <-p.done:
		return false
	}
}

func (p *prober) drop(link Link) {
	s := p.links[link]
	if s == nil {
		return
	}
	s.cancel()
	delete(p.links, link)
	if s.conn != nil {
		p.close(s.conn)
	}
}

// close ends conn without waiting: saying goodbye may block on a dead network.
func (p *prober) close(conn Conn) { p.work.Go(func() { _ = conn.Close() }) }

func (p *prober) dropAll() {
	for link := range p.links {
		p.drop(link)
	}
}

// signal carries the newest value of a flag to one reader; it never blocks.
type signal struct {
	mu      sync.Mutex
	value   bool
	changed chan struct{}
}

func newSignal() *signal { return &signal{changed: make(chan struct{}, 1)} }

func (s *signal) set(v bool) {
	s.mu.Lock()
	s.value = v
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *signal) get() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// clip keeps error texts to a length that fits a record.
func clip(err error) string {
	text := err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}
