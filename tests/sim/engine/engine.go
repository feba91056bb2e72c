package engine

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Engine is one world: its time, its events and its chance. It is not safe for
// use by several goroutines.
type Engine struct {
	now    time.Duration
	events uint64
	still  int // events since time last went on
	queue  queue
	ready  ready
	rand   *rand.Rand
	cur    *coroutine // whose code runs; nil in the engine itself
	all    []*Process
	trace  *Trace
	spare  *Spare
	kept   bool // spare outlives the world
}

// stillLimit is how many events of one instant are taken for a loop that waits
// for nothing.
const stillLimit = 1 << 18

// New makes an empty world. Its time begins at one second, so that every time is
// above zero. A world that is done with needs a Close.
func New(seed uint64) *Engine { return begin(seed, &Spare{}) }

func begin(seed uint64, s *Spare) *Engine {
	return &Engine{now: time.Second, rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), queue: s.queue, ready: s.ready, spare: s}
}

// Now is the time of the world, which no process knows.
func (e *Engine) Now() time.Duration { return e.now }

// Rand is the chance of the world: nothing else may be drawn from.
func (e *Engine) Rand() *rand.Rand { return e.rand }

// Chance is true once in n times; never when n is not above zero.
func (e *Engine) Chance(n int) bool { return n > 0 && e.rand.IntN(n) == 0 }

// Between draws a duration from low to below high; it is low when there is none.
func (e *Engine) Between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(e.rand.Int64N(int64(high-low)))
}

// Events counts what has happened.
func (e *Engine) Events() uint64 { return e.events }

// At has f run at t, or at this instant when t is past. f runs in the engine.
func (e *Engine) At(t time.Duration, f func()) { e.at(t, nil, code(f)) }

// After is At from now.
func (e *Engine) After(d time.Duration, f func()) { e.at(e.now+d, nil, code(f)) }

// at has do happen at t, as code of p when that is not nil.
func (e *Engine) at(t time.Duration, p *Process, do action) {
	if t <= e.now {
		e.ready.put(task{p: p, do: do})
		return
	}
	e.queue.put(t, event{p: p, do: do})
}

// Step lets the next event happen; false when there is none. It panics with a
// *Panic when a coroutine does.
func (e *Engine) Step() bool {
	next, any := e.queue.next()
	switch {
	// Made before this instant began, so before everything that is ready.
	case any && next <= e.now:
		e.due(e.queue.pop())
	case e.ready.n > 0:
		e.count()
		e.do(e.ready.take())
	case any:
		e.now, e.still = next, 0
		e.due(e.queue.pop())
	default:
		return false
	}
	return true
}

func (e *Engine) count() {
	e.events++
	e.still++
	if e.still > stillLimit {
		panic(fmt.Sprintf("engine: more than %d events at %s: something loops and waits for nothing", stillLimit, e.now))
	}
}

func (e *Engine) due(ev event) {
	e.count()
	if ev.co != nil {
		ev.co.timer, ev.co.due = 0, key{}
		ev.co.wake(ev.co.wait, timeUp)
		return
	}
	if ev.p == nil {
		ev.do.happen()
		return
	}
	e.do(task{p: ev.p, do: ev.do})
}

func (e *Engine) do(t task) {
	switch {
	case t.co != nil:
		t.co.wake(t.wait, t.how)
	case t.p == nil:
		t.do.happen()
	case t.p.dead:
	case t.p.stopped():
		t.p.backlog = append(t.p.backlog, t)
	case t.end == nil || t.end.err != ErrClosed:
		t.do.happen()
	}
}

// Until lets everything up to t happen; it is then t.
func (e *Engine) Until(t time.Duration) {
	for {
		next, any := e.queue.next()
		if e.ready.n == 0 && (!any || next > t) {
			break
		}
		e.Step()
	}
	if t > e.now {
		e.now, e.still = t, 0
	}
}

// Close ends every process, so that no goroutine of the world is left but those in
// the Spare that it was made from, and forgets every event. It panics with the first panic of what the processes had
// deferred, after all have ended.
func (e *Engine) Close() {
	var first any
	for i := 0; i < len(e.all); i++ {
		for !e.all[i].end(&first) {
		}
	}
	e.queue.clear()
	e.ready.clear()
	e.spare.queue, e.spare.ready = e.queue, e.ready
	e.queue, e.ready = queue{}, ready{}
	if !e.kept {
		e.spare.Close()
	}
	if first != nil {
		panic(first)
	}
}

func (e *Engine) String() string { return fmt.Sprintf("%s after %d events", e.now, e.events) }
