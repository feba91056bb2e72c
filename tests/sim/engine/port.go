package engine

import (
	"context"
	"slices"
	"time"
)

// Door is how a port meets who dials it.
type Door uint8

// The doors of a port.
const (
	Open      Door = iota
	Refusing       // answers that nothing listens
	Silent         // answers nothing, as behind a filter or with a full backlog
	Resetting      // ends each stream at once
)

// Port is where a process listens. S is what the server keeps for each client.
type Port[S any] struct {
	// Door may be changed at any time.
	Door   Door
	p      *Process
	accept func(*End) S
}

// Listen has p listen. accept runs as code of p when a client has come, before
// everything that the client sends; the end is the server's. A process that is
// stopped still listens, and accepts when it goes on; when it is dead, its host
// refuses for it.
func Listen[S any](p *Process, accept func(*End) S) *Port[S] {
	if p.host == nil {
		panic("engine: " + p.name + " is on no network")
	}
	return &Port[S]{p: p, accept: accept}
}

// Process is who listens.
func (o *Port[S]) Process() *Process { return o.p }

// Conn is a client's end of a stream to a Port.
type Conn[S any] struct {
	*End
	port    *Port[S]
	session S // of the server, once it has accepted
}

// Dial parks until o has answered p. The error is ErrRefused or ErrReset, that of
// ctx when nothing answers before its end, or ErrTimedOut when ctx has none.
func Dial[S any](ctx context.Context, p *Process, o *Port[S]) (*Conn[S], error) {
	n := o.p.host.n
	t := n.e.spare.dials.take()
	*t = dialling{n: n, from: p.host, to: o}
	if err := t.opens(p, ctx); err != nil {
		return nil, err
	}
	t.happen()
	_, err := t.waits(ctx, noLimit)
	if t.again != 0 {
		n.e.queue.remove(t.again)
	}
	if err != nil {
		return nil, err
	}
	c := &Conn[S]{End: n.stream(p, o.p), port: o}
	c.send((*accepting[S])(c))
	return c, nil
}

// accepting is the arrival of a new client.
type accepting[S any] Conn[S]

func (c *accepting[S]) happen() { c.session = c.port.accept(c.peer) }

func (o *Port[S]) meets() Door {
	if o.p.dead && o.Door == Open {
		return Refusing
	}
	return o.Door
}

func (o *Port[S]) at() *Host { return o.p.host }

// dialling is a host that tries to begin a stream.
type dialling struct {
	call[struct{}]
	n    *Network
	from *Host
	to   interface {
		at() *Host
		meets() Door
	}
	tries int
	again int // the event of the next attempt; none when zero
}

// dialTries is after how many attempts a host gives up: two minutes.
const dialTries = 7

// happen is an attempt.
func (d *dialling) happen() {
	d.again = 0
	switch {
	case !d.lasts():
		return
	case d.tries == dialTries:
		d.fail(ErrTimedOut)
		return
	}
	d.n.send(d.from, d.to.at(), (*dialled)(d))
	d.again = d.n.e.queue.put(d.n.e.now+time.Second<<d.tries, event{do: d})
	d.tries++
}

// dialled is the arrival of an attempt.
type dialled dialling

func (d *dialled) happen() {
	if !d.to.at().runs() {
		return
	}
	var answer action
	switch d.to.meets() {
	case Open:
		answer = (*dialOpened)(d)
	case Refusing:
		answer = (*dialRefused)(d)
	case Resetting:
		answer = (*dialReset)(d)
	case Silent:
		return
	}
	d.n.send(d.to.at(), d.from, answer)
}

// The arrivals of the answers to an attempt.
type (
	dialOpened  dialling
	dialRefused dialling
	dialReset   dialling
)

func (d *dialOpened) happen()  { (*dialling)(d).answers(nil) }
func (d *dialRefused) happen() { (*dialling)(d).answers(ErrRefused) }
func (d *dialReset) happen()   { (*dialling)(d).answers(ErrReset) }

func (d *dialling) answers(err error) {
	if d.from.runs() && d.lasts() {
		d.err = err
		d.arrives()
	}
}

// Ask sends a request over c and parks until it is answered. handle runs at the
// server, as code of its process, in the order in which clients' requests arrive;
// it may call reply later, and all but its first answer are dropped. The error is
// that of reply, ErrReset when the stream breaks and ErrClosed when it is closed
// before the answer is there, or that of ctx: then handle may have run, may still
// run, or may never run.
func Ask[S, T any](ctx context.Context, c *Conn[S], handle func(s S, reply func(T, error))) (T, error) {
	return (&asking[S, T]{conn: c, handle: handle}).ask(ctx, noLimit)
}

// AskAtOnce is Ask of what handle answers at once, or never when it returns
// false. It ends after d on the clock of its process as if ctx had ended so.
func AskAtOnce[S, T any](ctx context.Context, d time.Duration, c *Conn[S], handle func(s S) (T, bool)) (T, error) {
	return (&asking[S, T]{conn: c, atOnce: handle}).ask(ctx, d)
}

// asking is one Ask; it happens at the server.
type asking[S, T any] struct {
	call[T]
	conn    *Conn[S]
	handle  func(s S, reply func(T, error))
	atOnce  func(s S) (T, bool) // in the place of handle; nil otherwise
	replied bool
}

func (a *asking[S, T]) ask(ctx context.Context, d time.Duration) (T, error) {
	c := a.conn
	if err := a.opens(c.p, ctx); err != nil {
		return a.value, err
	}
	if c.err != nil {
		a.fail(c.err)
	} else {
		c.asks = append(c.asks, a)
		c.send(a)
	}
	v, err := a.waits(ctx, c.p.in(d))
	if i := slices.Index(c.asks, failing(a)); i >= 0 {
		c.asks = slices.Delete(c.asks, i, i+1)
	}
	return v, err
}

func (a *asking[S, T]) happen() {
	if a.atOnce == nil {
		a.handle(a.conn.session, a.reply)
		return
	}
	if v, ok := a.atOnce(a.conn.session); ok {
		a.reply(v, nil)
	}
}

func (a *asking[S, T]) reply(v T, err error) {
	if a.replied {
		return
	}
	a.replied = true
	if a.lasts() {
		a.value, a.err = v, err
	}
	a.conn.peer.send((*replied[S, T])(a))
}

// replied is the arrival of the answer.
type replied[S, T any] asking[S, T]

func (a *replied[S, T]) happen() { a.arrives() }

// Tell sends a request that has no answer; f runs at the server as code of its
// process. On a stream that is over it does nothing.
func Tell[S any](c *Conn[S], f func(s S)) {
	c.Send(func() { f(c.session) })
}
