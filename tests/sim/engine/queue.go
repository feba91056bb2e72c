package engine

import "time"

// action is what happens in an event. What happens all the time is a method of
// what it is about, so that it needs no room of its own.
type action interface{ happen() }

// code is an action that is a function.
type code func()

func (f code) happen() { f() }

// event is what will happen at a later instant: do, as code of p when that is
// not nil, or the wait of co is over by time.
type event struct {
	p  *Process
	do action
	co *coroutine
	at int // its place in the heap, or the next free event
}

// key is the place of an event in the order. Keys are moved about and so hold no
// pointer.
type key struct {
	at    time.Duration
	seq   uint64
	event int32
}

func (k key) before(o key) bool { return k.at < o.at || k.at == o.at && k.seq < o.seq }

// queue is a binary heap of events. A coroutine with an event in it knows which,
// so that a wait that ends otherwise takes its timer away.
type queue struct {
	heap   []key
	events []event
	free   int // the first free event, counted from one
	seq    uint64
}

func (q *queue) next() (at time.Duration, any bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

// put returns the number of the event, which is above zero, for remove.
func (q *queue) put(at time.Duration, ev event) int {
	n := q.free
	if n == 0 {
		q.events = append(q.events, ev)
		n = len(q.events)
	} else {
		q.free = q.events[n-1].at
		q.events[n-1] = ev
	}
	q.seq++
	q.heap = append(q.heap, key{at: at, seq: q.seq, event: int32(n - 1)})
	q.up(len(q.heap) - 1)
	return n
}

func (q *queue) pop() event { return q.remove(int(q.heap[0].event) + 1) }

func (q *queue) remove(n int) event {
	ev := q.events[n-1]
	q.events[n-1] = event{at: q.free}
	q.free = n
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap = q.heap[:last]
	if i := ev.at; i < last {
		q.set(i, moved)
		q.down(i)
		q.up(i)
	}
	return ev
}

func (q *queue) set(i int, k key) {
	q.heap[i] = k
	q.events[k.event].at = i
}

func (q *queue) up(i int) {
	k := q.heap[i]
	for i > 0 {
		above := (i - 1) / 2
		if !k.before(q.heap[above]) {
			break
		}
		q.set(i, q.heap[above])
		i = above
	}
	q.set(i, k)
}

func (q *queue) down(i int) {
	k := q.heap[i]
	for {
		below := 2*i + 1
		if below >= len(q.heap) {
			break
		}
		if below+1 < len(q.heap) && q.heap[below+1].before(q.heap[below]) {
			below++
		}
		if !q.heap[below].before(k) {
			break
		}
		q.set(i, q.heap[below])
		i = below
	}
	q.set(i, k)
}

// clear takes everything out and keeps the room.
func (q *queue) clear() {
	clear(q.events)
	*q = queue{heap: q.heap[:0], events: q.events[:0]}
}

// shift moves everything that p waits for by d of the world's time.
func (q *queue) shift(p *Process, d time.Duration) {
	for i := range q.heap {
		if q.events[q.heap[i].event].p == p {
			q.heap[i].at += d
		}
	}
	for i := len(q.heap) - 1; i >= 0; i-- {
		q.down(i)
	}
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
