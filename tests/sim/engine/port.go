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
	session S // of the server, once it has accepted
}

// Dial parks until o has answered p. The error is ErrRefused or ErrReset, that of
// ctx when nothing answers before its end, or ErrTimedOut when ctx has none.
func Dial[S any](ctx context.Context, p *Process, o *Port[S]) (*Conn[S], error) {
	n := o.p.host.n
	_, err := await(p, ctx, func(k *call[struct{}]) {
		(&dialling{n: n, k: k, from: p.host, to: o.p.host, door: o.meets}).try()
	})
	if err != nil {
		return nil, err
	}
	c := &Conn[S]{End: n.stream(p, o.p)}
	server := c.peer
	c.Send(func() { c.session = o.accept(server) })
	return c, nil
}

func (o *Port[S]) meets() Door {
	if o.p.dead && o.Door == Open {
		return Refusing
	}
	return o.Door
}

// dialling is a host that tries to begin a stream.
type dialling struct {
	n        *Network
	k        *call[struct{}]
	from, to *Host
	door     func() Door
	tries    int
}

// dialTries is after how many attempts a host gives up: two minutes.
const dialTries = 7

func (d *dialling) try() {
	switch {
	case !d.k.lasts():
		return
	case d.tries == dialTries:
		d.k.fail(ErrTimedOut)
		return
	}
	d.n.Send(d.from, d.to, d.arrives)
	d.n.e.After(time.Second<<d.tries, d.try)
	d.tries++
}

func (d *dialling) arrives() {
	var err error
	switch d.door() {
	case Open:
	case Refusing:
		err = ErrRefused
	case Resetting:
		err = ErrReset
	case Silent:
		return
	}
	d.n.Send(d.to, d.from, func() { d.k.done(struct{}{}, err) })
}

// Ask sends a request over c and parks until it is answered. handle runs at the
// server, as code of its process, in the order in which clients' requests arrive;
// it may call reply later, and all but its first answer are dropped. The error is
// that of reply, ErrReset when the stream breaks and ErrClosed when it is closed
// before the answer is there, or that of ctx: then handle may have run, may still
// run, or may never run.
func Ask[S, T any](ctx context.Context, c *Conn[S], handle func(s S, reply func(T, error))) (T, error) {
	k := (*call[T])(nil)
	v, err := await(c.p, ctx, func(begun *call[T]) {
		k = begun
		if c.err != nil {
			k.fail(c.err)
			return
		}
		c.asks = append(c.asks, k)
		c.Send(func() {
			handle(c.session, func(v T, err error) {
				c.peer.Send(func() { k.done(v, err) })
			})
		})
	})
	if i := slices.IndexFunc(c.asks, func(f failing) bool { return f == k }); i >= 0 {
		c.asks = slices.Delete(c.asks, i, i+1)
	}
	return v, err
}

// Tell sends a request that has no answer; f runs at the server as code of its
// process. On a stream that is over it does nothing.
func Tell[S any](c *Conn[S], f func(s S)) {
	c.Send(func() { f(c.session) })
}
