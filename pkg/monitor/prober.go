package monitor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// Node is one server as the monitor needs it.
type Node interface {
	// Connect opens one session that is never re-dialled, within connect_timeout.
	Connect(ctx context.Context) (Conn, error)
}

// Conn is one open session, used by one caller at a time.
type Conn interface {
	// Close may be called at any moment; a call under way returns with an error.
	Close() error
	// OnBroken has f called once as soon as the session's connection has ended, by
	// anybody; at once when it has already. f does not wait. After Close it need
	// not be called. OnBroken is called once.
	OnBroken(f func())
	Ping(ctx context.Context) error
	Observe(ctx context.Context, exclude []string) (cluster.Server, error)
	Channel(ctx context.Context) (cluster.Channel, error)
	// StartsClosed tells how the server comes up, as far as it says.
	StartsClosed(ctx context.Context) (cluster.Tri, error)
}

// prober carries out the actions of one watch. Only its run touches the watch
// and the links; questions and connects run beside it, leave a report and set wake.
type prober struct {
	watch   *Watch
	node    Node
	exclude []string
	cause   func(error) cluster.Cause
	denied  func(error) bool
	now     func() time.Duration
	publish func(Publish)
	tell    func(unwell bool) // the other member's prober
	beat    func()
	log     zerolog.Logger

	rt    sched.Runtime
	wake  sched.Signal // anybody
	work  *sched.Group
	links map[Link]*session

	mu      sync.Mutex
	reports []any // Event or dialed, the oldest first
	taken   []any // what run works off, kept for its room
	over    bool  // nobody takes reports any more
}

// session is a connection, or the attempt to make it.
type session struct {
	conn Conn               // nil while connecting
	stop context.CancelFunc // of the attempt
	// sampled: it has been asked for a full sample.
	sampled bool
}

// dialed is how a connection attempt went.
type dialed struct {
	link Link
	conn Conn
	err  error
}

func (p *prober) run(ctx context.Context) {
	p.links = map[Link]*session{}
	defer p.work.Wait()
	defer p.end()
	for wait := time.Duration(0); ; wait = max(0, p.watch.Next()-p.now()) {
		woken := p.wake.Wait(ctx, wait)
		if woken == sched.Ended {
			return
		}
		p.rt.Lend(func() { p.turn(ctx, woken == sched.Late) })
		p.beat()
	}
}

// turn handles what was reported, and time where nothing was.
func (p *prober) turn(ctx context.Context, late bool) {
	reports := p.take()
	for i, r := range reports {
		reports[i] = nil
		if ev := p.event(r); ev != nil {
			p.handle(ctx, ev)
		}
	}
	if late && len(reports) == 0 {
		p.handle(ctx, Tick{})
	}
}

func (p *prober) handle(ctx context.Context, ev Event) {
	for _, a := range p.watch.Handle(p.now(), ev) {
		p.carryOut(ctx, a)
	}
}

// post reports r; nobody hears it once the prober has ended.
func (p *prober) post(r any) (heard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.reports = append(p.reports, r)
	p.wake.Set()
	return true
}

// take returns the reports that came since it was last called.
func (p *prober) take() []any {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports, p.taken = p.taken[:0], p.reports
	return p.taken
}

// event turns a report into the watch's event; nil when nobody waits for it.
func (p *prober) event(r any) Event {
	d, ok := r.(dialed)
	if !ok {
		return r.(Event)
	}
	s := p.links[d.link]
	switch {
	case d.err != nil && s == nil:
		return nil
	case d.err != nil:
		delete(p.links, d.link)
		return ConnectFailed{d.link, p.cause(d.err), clip(d.err)}
	case s == nil:
		p.close(d.conn)
		return nil
	}
	s.conn = d.conn
	d.conn.OnBroken(func() { p.post(Ended{d.link}) })
	return Connected{d.link}
}

func (p *prober) carryOut(ctx context.Context, a Action) {
	switch a := a.(type) {
	case Dial:
		ctx, stop := p.rt.Cancel(ctx)
		p.links[a.Link] = &session{stop: stop}
		p.work.Go(func() {
			defer stop()
			p.rt.Lend(func() {
				conn, err := p.node.Connect(ctx)
				if !p.post(dialed{a.Link, conn, err}) && err == nil {
					_ = conn.Close()
				}
			})
		})
	case Ask:
		s := p.links[a.Link]
		first := a.Op == OpSample && !s.sampled
		s.sampled = s.sampled || first
		conn := s.conn
		p.work.Go(func() {
			p.rt.Lend(func() { p.post(p.question(conn, a, first)) })
		})
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
		p.tell(a.Unwell)
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
// two more switches of goroutine for each ping. Sessions end with the server, so that
// the first sample of one is the time to ask how the server comes up.
func (p *prober) question(conn Conn, a Ask, first bool) Event {
	ctx := context.Background()
	ok := Answered{Link: a.Link, Op: a.Op}
	var err error
	switch a.Op {
	case OpSample:
		ok.Server, err = conn.Observe(ctx, p.exclude)
		if err == nil && first {
			ok.Server.StartsClosed, err = conn.StartsClosed(ctx)
		}
	case OpChannel:
		ok.Channel, err = conn.Channel(ctx)
	default:
		if err = conn.Ping(ctx); err == nil {
			return Ponged{a.Link}
		}
	}
	if err != nil {
		return Failed{Link: a.Link, Op: a.Op, Cause: p.cause(err), Text: clip(err), Denied: p.denied(err)}
	}
	return ok
}

func (p *prober) drop(link Link) {
	s := p.links[link]
	if s == nil {
		return
	}
	s.stop()
	delete(p.links, link)
	if s.conn != nil {
		p.close(s.conn)
	}
}

// close ends conn without waiting: saying goodbye may block on a dead network.
func (p *prober) close(conn Conn) { p.work.Go(func() { _ = conn.Close() }) }

// end closes all connections, also those of which nobody has heard.
func (p *prober) end() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	for _, link := range slices.Sorted(maps.Keys(p.links)) {
		p.drop(link)
	}
	for _, r := range p.take() {
		if d, ok := r.(dialed); ok && d.err == nil {
			p.close(d.conn)
		}
	}
}

// clip keeps error texts to a length that fits a record.
func clip(err error) string {
	text := err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}
