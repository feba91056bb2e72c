package engine

import (
	"cmp"
	"slices"
	"time"
)

// action is what happens in an event. What happens all the time is a method of
// what it is about, so that it needs no room of its own.
type action interface{ happen() }

// code is an action that is a function.
type code func()

func (f code) happen() { f() }

// event is what will happen at a later instant: do, as code of p when that is
// not nil, or the wait of co is over by time.
type event struct {
	p    *Process
	do   action
	co   *coroutine
	key  key
	free int // the next free event
}

// key is the place of an event in the order. Keys are moved about and so hold no
// pointer.
type key struct {
	at    time.Duration
	seq   uint64
	event int32
}

func (k key) before(o key) bool { return k.at < o.at || k.at == o.at && k.seq < o.seq }

// queue is a list of events in their order, the last to happen first: a world has
// some forty, most new ones are due soon, and to move keys up is cheap. A coroutine
// knows its event in it. A wait that ends otherwise leaves that for the next wait,
// which most often ends later: an event that comes too early is put again.
type queue struct {
	keys   []key
	events []event
	free   int // the first free event, counted from one
	seq    uint64
}

func (q *queue) next() (at time.Duration, any bool) {
	for last := len(q.keys) - 1; last >= 0; last = len(q.keys) - 1 {
		k := q.keys[last]
		c := q.events[k.event].co
		if c == nil || c.due.seq == k.seq {
			return k.at, true
		}
		q.pop()
		c.timer = 0
		if c.due.seq != 0 {
			c.timer = q.insert(c.due, event{p: c.p, co: c})
		}
	}
	return 0, false
}

// arm has the wait of c be over at that time.
func (q *queue) arm(c *coroutine, at time.Duration) {
	q.seq++
	c.due = key{at: at, seq: q.seq}
	if c.timer != 0 {
		if q.events[c.timer-1].key.before(c.due) {
			return
		}
		q.remove(c.timer)
	}
	c.timer = q.insert(c.due, event{p: c.p, co: c})
}

// put returns the number of the event, which is above zero, for remove.
func (q *queue) put(at time.Duration, ev event) int {
	q.seq++
	return q.insert(key{at: at, seq: q.seq}, ev)
}

func (q *queue) insert(k key, ev event) int {
	n := q.free
	if n == 0 {
		q.events = append(q.events, event{})
		n = len(q.events)
	} else {
		q.free = q.events[n-1].free
	}
	k.event = int32(n - 1)
	ev.key = k
	q.events[n-1] = ev
	i := q.find(k)
	q.keys = append(q.keys, key{})
	copy(q.keys[i+1:], q.keys[i:])
	q.keys[i] = k
	return n
}

// find is where k is, or belongs.
func (q *queue) find(k key) int {
	low, high := 0, len(q.keys)
	for low < high {
		if mid := int(uint(low+high) >> 1); k.before(q.keys[mid]) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func (q *queue) pop() event {
	last := len(q.keys) - 1
	n := int(q.keys[last].event) + 1
	q.keys = q.keys[:last]
	return q.release(n)
}

func (q *queue) remove(n int) {
	i := q.find(q.events[n-1].key)
	q.keys = append(q.keys[:i], q.keys[i+1:]...)
	q.release(n)
}

func (q *queue) release(n int) event {
	ev := q.events[n-1]
	q.events[n-1] = event{free: q.free}
	q.free = n
	return ev
}

// clear takes everything out and keeps the room.
func (q *queue) clear() {
	clear(q.events)
	*q = queue{keys: q.keys[:0], events: q.events[:0]}
}

// shift moves everything that p waits for by d of the world's time.
func (q *queue) shift(p *Process, d time.Duration) {
	for _, c := range p.cos {
		c.due.at += d
	}
	for i := range q.keys {
		if k := &q.keys[i]; q.events[k.event].p == p {
			k.at += d
			q.events[k.event].key = *k
		}
	}
	slices.SortFunc(q.keys, func(a, b key) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.seq, a.seq)) })
}

// task is what happens in this instant.
type task struct {
	p    *Process
	do   action
	co   *coroutine
	wait uint64 // the wait of co that it ends, as how
	how  how
	end  *End // at which do is an arrival, which is dropped when it was closed
}

// ready is a queue of tasks in the order in which they were made.
type ready struct {
	ring    []task // its length is a power of two
	head, n int
}

func (r *ready) put(t task) {
	if r.n == len(r.ring) {
		ring := make([]task, max(16, 2*len(r.ring)))
		for i := range r.n {
			ring[i] = r.ring[(r.head+i)&(len(r.ring)-1)]
		}
		r.ring, r.head = ring, 0
	}
	r.ring[(r.head+r.n)&(len(r.ring)-1)] = t
	r.n++
}

func (r *ready) take() task {
	at := &r.ring[r.head]
	t := *at
	*at = task{}
	r.head = (r.head + 1) & (len(r.ring) - 1)
	r.n--
	return t
}

// clear takes everything out and keeps the room.
func (r *ready) clear() {
	clear(r.ring)
	*r = ready{ring: r.ring}
}
