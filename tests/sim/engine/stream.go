package engine

import (
	"net"
	"slices"
	"syscall"
	"time"
)

// What ends a stream or answers a Dial. They are the errors of the machine's own
// network.
var (
	// ErrRefused: nothing listens there.
	ErrRefused error = syscall.ECONNREFUSED
	// ErrReset: the peer has ended the stream or is no more.
	ErrReset error = syscall.ECONNRESET
	// ErrTimedOut: a Dial without an answer for as long as a host tries.
	ErrTimedOut error = syscall.ETIMEDOUT
	// ErrClosed: this end was closed by its own process.
	ErrClosed = net.ErrClosed
)

// End is one end of a stream. What one end sends arrives at the other in order
// and once, or not at all. While the way is cut or a host frozen it waits, and
// nobody is told: to give up is up to who waits. It arrives after the healing,
// when the sender tries again.
//
// An end is broken when its peer was closed or the peer's process has died, as
// soon as the peer's host can tell. A host that has crashed tells nothing; when it
// has booted it answers what still is sent to it.
type End struct {
	n      *Network
	p      *Process
	host   *Host
	boot   int // of the host when the stream began
	peer   *End
	err    error // why it is over, as its process knows it
	broken []func()
	asks   []failing
	room   struct { // for these, as long as they are few
		broken [1]func()
		asks   [1]failing
	}

	out     outbox
	since   time.Duration // when it stalled
	stuck   bool
	replies bool // that it is no more, for a host that may have forgotten it
}

// failing is a call that waits for an answer over a stream.
type failing interface{ fail(error) }

// message is do at the peer; without one it says that this end is over.
type message struct {
	due    time.Duration
	do     action
	unsent bool // did not get away at first
}

// outbox is a queue of messages, the oldest at head.
type outbox struct {
	all  []message
	head int
	room [2]message // for all, as long as they are few
}

func (o *outbox) len() int { return len(o.all) - o.head }

func (o *outbox) oldest() *message { return &o.all[o.head] }

func (o *outbox) put(m message) {
	if o.head > 0 && len(o.all) == cap(o.all) {
		n := copy(o.all, o.all[o.head:])
		clear(o.all[n:])
		o.all, o.head = o.all[:n], 0
	}
	o.all = append(o.all, m)
}

func (o *outbox) take() message {
	m := o.all[o.head]
	o.all[o.head] = message{}
	o.head++
	if o.head == len(o.all) {
		o.all, o.head = o.all[:0], 0
	}
	return m
}

// endsStream reports whether the newest says that the end is over.
func (o *outbox) endsStream() bool { return o.len() > 0 && o.all[len(o.all)-1].do == nil }

func (o *outbox) clear() {
	clear(o.all)
	o.all, o.head = o.all[:0], 0
}

// stream makes the two ends of a stream between two processes.
func (n *Network) stream(client, server *Process) *End {
	ends := n.e.spare.streams.take()
	for i, p := range [...]*Process{client, server} {
		x := &ends[i]
		*x = End{n: n, p: p, host: p.host, boot: p.host.boots, peer: &ends[1-i]}
		x.out.all, x.broken, x.asks = x.out.room[:0], x.room.broken[:0], x.room.asks[:0]
		if x.p.dead {
			x.err = ErrReset
			continue
		}
		x.p.ends = append(x.p.ends, x)
	}
	return &ends[0]
}

// Process is whose end it is.
func (x *End) Process() *Process { return x.p }

// Err says why the end is over as far as its process knows: ErrClosed or ErrReset.
func (x *End) Err() error { return x.err }

// OnBroken has f run as code of the process, once, when the end is broken: now, if
// it is already; never after Close.
func (x *End) OnBroken(f func()) {
	switch x.err {
	case nil:
		x.broken = append(x.broken, f)
	case ErrReset:
		x.p.Post(f)
	}
}

// Send has f run as code of the process at the other end when it arrives there. On
// an end that is over it does nothing.
func (x *End) Send(f func()) { x.send(code(f)) }

func (x *End) send(do action) {
	if x.err == nil {
		x.put(message{do: do})
	}
}

// Close ends the stream from this side, after all that was sent. Whoever waits for
// an answer on it gets ErrClosed.
func (x *End) Close() {
	if x.err != nil {
		return
	}
	x.over(ErrClosed)
	x.put(message{})
}

// drop is the death of the process: its host closes what it had open.
func (x *End) drop() {
	x.over(ErrReset)
	x.put(message{}) // which does not get away from a host without power
}

func (x *End) over(err error) {
	x.err = err
	if i := slices.Index(x.p.ends, x); i >= 0 {
		x.p.ends = slices.Delete(x.p.ends, i, i+1)
	}
	asks := x.asks
	x.asks = nil
	for _, k := range asks {
		k.fail(err)
	}
}

// breaks is what the process learns when the peer is no more.
func (x *End) breaks() {
	if x.err != nil {
		return
	}
	if x.n.e.trace != nil {
		x.n.e.Note(x.p.name, "loses its stream with "+x.peer.p.name)
	}
	x.over(ErrReset)
	broken := x.broken
	x.broken = nil
	for _, f := range broken {
		f()
	}
}

func (x *End) put(m message) {
	e, l := x.n.e, x.n.link(x.host, x.peer.host)
	m.due = e.now + e.Between(l.Low, l.High)
	if x.n.oneIn(l.Lose) {
		m.due += resend
	}
	m.unsent = !x.n.Reaches(x.host, x.peer.host)
	x.out.put(m)
	if x.out.len() == 1 {
		x.arm()
	}
}

// arm has the oldest message arrive when it is due.
func (x *End) arm() {
	m := x.out.oldest()
	if m.unsent {
		x.stall()
		return
	}
	x.n.e.at(m.due, nil, x)
}

func (x *End) stall() {
	if !x.stuck {
		x.stuck, x.since = true, x.n.e.now
	}
	if !x.retry() {
		x.n.stalled = append(x.n.stalled, x)
	}
}

// retry tries again when that can help; it reports whether it has, or never can.
func (x *End) retry() bool {
	if x.boot != x.host.boots && !x.replies { // its host has forgotten it
		x.out.clear()
		x.stuck = false
		return true
	}
	if !x.n.Reaches(x.host, x.peer.host) {
		return false
	}
	// A sender doubles its waits, so the next may be as long as it has waited.
	for i := range x.out.all {
		x.out.all[i].unsent = false
	}
	now := x.n.e.now
	again := now + x.n.e.Between(0, min(now-x.since+resend, resendLimit))
	x.n.e.at(max(again, x.out.oldest().due), nil, x)
	return true
}

// happen is the arrival of the oldest message.
func (x *End) happen() {
	// After its host has forgotten what it sent, a newer message has its own event.
	if x.out.len() == 0 || x.out.oldest().due > x.n.e.now {
		return
	}
	if !x.n.passes(x.host, x.peer.host) || x.stuck && !x.host.runs() {
		x.stall()
		return
	}
	x.stuck = false
	m := x.out.take()
	if x.out.len() > 0 {
		x.arm()
	}
	y := x.peer
	switch {
	case y.err == nil:
		if m.do == nil {
			y.p.Post(y.breaks)
			return
		}
		if x.n.e.trace != nil {
			x.n.e.Note(y.p.name, "hears from "+x.p.name)
		}
		x.n.e.do(task{p: y.p, end: y, do: m.do})
	case m.do != nil && !y.out.endsStream():
		y.replies = true
		y.put(message{})
	}
}
