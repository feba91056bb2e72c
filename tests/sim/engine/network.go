package engine

import (
	"slices"
	"time"
)

// Network is what lies between the hosts of one world.
type Network struct {
	e       *Engine
	usual   Link
	local   Link
	hosts   []*Host
	links   []ownLink
	cut     []route // few: they are looked through for each message
	stalled []*End  // whose messages wait for a way, in the order of their stalling
}

// Link is one direction between two hosts.
type Link struct {
	// Low and High bound the delay, which is drawn for each message.
	Low, High time.Duration
	// Lose and Twice are how many of a thousand datagrams get lost and come
	// twice. What a stream loses it sends again, later.
	Lose, Twice int
}

type route struct{ from, to *Host }

// ownLink is the link of a way that is not as usual.
type ownLink struct {
	way route
	Link
}

// Network begins a network whose hosts reach each other, over links like usual,
// and themselves, over one like local.
func (e *Engine) Network(usual, local Link) *Network {
	return &Network{e: e, usual: usual, local: local}
}

// SetLink makes the way from one host to another, not back, like l.
func (n *Network) SetLink(from, to *Host, l Link) {
	way := route{from, to}
	n.links = slices.DeleteFunc(n.links, func(o ownLink) bool { return o.way == way })
	n.links = append(n.links, ownLink{way, l})
}

// Cut has nothing get from one host to the other any more; the way back stays.
func (n *Network) Cut(from, to *Host) {
	n.note(from, "is cut off from "+to.name)
	if way := (route{from, to}); !slices.Contains(n.cut, way) {
		n.cut = append(n.cut, way)
	}
}

// Heal undoes Cut.
func (n *Network) Heal(from, to *Host) {
	n.note(from, "reaches "+to.name+" again")
	n.cut = slices.DeleteFunc(n.cut, func(way route) bool { return way == route{from, to} })
	n.retry()
}

// CutBoth and HealBoth are Cut and Heal of both ways.
func (n *Network) CutBoth(a, b *Host) { n.Cut(a, b); n.Cut(b, a) }

// HealBoth undoes CutBoth.
func (n *Network) HealBoth(a, b *Host) { n.Heal(a, b); n.Heal(b, a) }

// Reaches reports whether what one host sends gets to the other now: both run
// and the way is not cut.
func (n *Network) Reaches(from, to *Host) bool {
	return from.runs() && n.passes(from, to)
}

// passes reports whether what is on its way gets there.
func (n *Network) passes(from, to *Host) bool {
	return to.runs() && !slices.Contains(n.cut, route{from, to})
}

// Send has f run in the engine when a datagram gets from one host to the other:
// after a drawn delay, never, or twice, and in any order. What runs code of a
// process there Posts it.
func (n *Network) Send(from, to *Host, f func()) {
	n.send(from, to, code(func() {
		if to.runs() {
			f()
		}
	}))
}

// send is Send of an action that looks itself whether its host runs.
func (n *Network) send(from, to *Host, do action) {
	l := n.link(from, to)
	if !n.Reaches(from, to) || n.oneIn(l.Lose) {
		return
	}
	n.e.at(n.e.now+n.e.Between(l.Low, l.High), nil, do)
	if n.oneIn(l.Twice) {
		n.e.at(n.e.now+n.e.Between(l.Low, l.High), nil, do)
	}
}

// oneIn is true for so many of a thousand.
func (n *Network) oneIn(thousandth int) bool {
	return thousandth > 0 && n.e.rand.IntN(1000) < thousandth
}

func (n *Network) link(from, to *Host) *Link {
	for i := range n.links {
		if l := &n.links[i]; l.way == (route{from, to}) {
			return &l.Link
		}
	}
	if from == to {
		return &n.local
	}
	return &n.usual
}

// resend is how long a host waits at first before it sends again, and
// resendLimit at last.
const (
	resend      = 200 * time.Millisecond
	resendLimit = 2 * time.Minute
)

// retry has the streams carry on whose way is free again.
func (n *Network) retry() { n.stalled = slices.DeleteFunc(n.stalled, (*End).retry) }

func (n *Network) note(h *Host, text string) {
	if n.e.trace != nil {
		n.e.Note(h.name, text)
	}
}

// InOrder is a sender that keeps the order of what one host sends to another, as
// a stream does, but loses what is sent while the way is cut, and nothing else.
func (n *Network) InOrder() *InOrder { return &InOrder{n: n, last: make(map[route]time.Duration)} }

// InOrder sends in order; see Network.InOrder.
type InOrder struct {
	n    *Network
	last map[route]time.Duration
}

// Send has f run in the engine when it gets from one host to the other, after
// everything that was sent that way before.
func (o *InOrder) Send(from, to *Host, f func()) {
	if !o.n.Reaches(from, to) {
		return
	}
	l, way := o.n.link(from, to), route{from, to}
	at := max(o.last[way], o.n.e.now+o.n.e.Between(l.Low, l.High))
	o.last[way] = at
	o.n.e.At(at, func() {
		if to.runs() {
			f()
		}
	})
}
