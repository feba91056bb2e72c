package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// LinkOptions are how replication is set up.
type LinkOptions struct {
	// Heartbeat is the period of the source's heartbeats, 1 s when zero; Silence
	// is how long the receiver waits for a sign of life, 4 s when zero; Retry is the
	// pause between its attempts, 1 s when zero.
	Heartbeat, Silence, Retry time.Duration
	// Attempt is how long an attempt lasts that the source does not answer: as
	// long a STOP waits. 22 s of MariaDB and 10 s of MySQL when zero.
	Attempt time.Duration
	// Apply is how long one transaction takes to be applied; nil is no time.
	Apply func() time.Duration
}

// link is the replica's side of replication: its receiver is a coroutine, its
// applier an event.
type link struct {
	o               LinkOptions
	replica, source *Machine

	wake     sched.Signal // something has changed for the receiver
	heard    time.Duration
	applying bool
}

// Replicate points a machine at its source; it must not run yet.
func (m *Machine) Replicate(source *Machine, o LinkOptions) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Heartbeat, time.Second)
	def(&o.Silence, 4*time.Second)
	def(&o.Retry, time.Second)
	if m.opt.Flavor == cluster.MariaDB {
		def(&o.Attempt, 22*time.Second)
	}
	def(&o.Attempt, 10*time.Second)
	l := &link{o: o, replica: m, source: source}
	m.link = l
	m.Server.Replicate(source.Addr(), o.Heartbeat)
	m.Receiver = func() {
		if l.wake != nil {
			l.wake.Set()
		}
	}
	m.Relayed = l.apply
}

// run begins the receiver of a new run of the server.
func (l *link) run() {
	p := l.replica.p
	l.wake, l.applying = p.Runtime().NewSignal(), false
	p.Go(func() {
		for {
			n, dialling := l.replica.Attempt()
			if !dialling {
				l.wake.Wait(context.Background(), -1)
				continue
			}
			rest, why := l.attempt(p, n)
			l.replica.Failed(p.Now(), n, why)
			l.replica.arm()
			if rest > 0 {
				l.wake.Wait(context.Background(), rest)
			}
			l.replica.Redial(n)
		}
	})
}

func (l *link) at(n uint64) bool {
	now, _ := l.replica.Attempt()
	return now == n
}

// attempt connects and receives until that is over, and returns how long the
// receiver rests, and why.
func (l *link) attempt(p *engine.Process, n uint64) (rest time.Duration, why error) {
	r := l.replica
	ctx := p.Within(context.Background(), l.o.Attempt)
	c, err := engine.Dial(ctx, p, l.source.dumps)
	if err != nil {
		return l.o.Retry, fail(ErrCannotConnect, "error connecting to the source: "+err.Error())
	}
	defer c.Close()
	hello := r.Hello()
	c.OnBroken(l.wake.Set)
	_, err = engine.Ask(ctx, c, func(d *sender, reply func(struct{}, error)) {
		r.Greeted(n, hello)
		if hello.acks {
			d.acks = true
			d.m.acks.serves++
		}
		reply(struct{}{}, d.begin(hello, l.replica.ch.heartbeat, func(t *Txn, at int) { l.take(c, n, t, at) }))
	})
	var e *Error
	switch {
	case errors.As(err, &e):
		return l.o.Retry, e
	case err != nil:
		return l.o.Retry, fail(ErrLost, "error connecting to the source: "+err.Error())
	}
	r.Joined(p.Now(), n)
	r.arm()
	l.heard = p.Now()
	for l.at(n) && c.Err() == nil {
		left := l.heard + l.o.Silence - p.Now()
		if left <= 0 {
			break
		}
		l.wake.Wait(context.Background(), left)
	}
	return 0, fail(ErrLost, "error reconnecting to the source: lost connection")
}

// take takes what the source has sent.
func (l *link) take(c *engine.Conn[*sender], n uint64, t *Txn, at int) {
	r := l.replica
	if !l.at(n) {
		return
	}
	l.heard = r.p.Now()
	r.Joined(l.heard, n) // the answer to its greeting came before, and may not have been read yet
	if t == nil {
		r.Heartbeat(n)
		return
	}
	if r.Receive(n, t) && r.Answers(t) {
		engine.Tell(c, func(d *sender) {
			d.m.Acknowledged(d.m.p.Now(), at)
			d.m.arm()
		})
	}
}

// apply has the replica apply what it has received, one by one.
func (l *link) apply() {
	r := l.replica
	if l.applying || !r.Applies() {
		return
	}
	l.applying = true
	var takes time.Duration
	if l.o.Apply != nil {
		takes = l.o.Apply()
	}
	r.p.After(takes, func() {
		l.applying = false
		r.ApplyOne(r.p.Now())
		r.arm()
		l.apply()
	})
}
