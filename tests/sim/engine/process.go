package engine

import (
	"slices"
	"time"
)

// Process is one run of one program. When it is killed nothing of it ever runs
// again; while it is stopped whatever would run is kept, in order.
type Process struct {
	e       *Engine
	name    string
	clock   Clock
	host    *Host        // nil for one that is on no network
	cos     []*coroutine // in the order of their beginning
	begun   int
	ends    []*End // of its living streams
	dead    bool
	paused  bool
	stopAt  time.Duration // what its clock showed when it was last stopped
	backlog []task
}

// Process begins an empty process on no host. It panics for a clock that shows
// nothing above zero or whose drift is a million or more.
func (e *Engine) Process(name string, c Clock) *Process {
	c.check(e.now)
	p := e.spare.processes.take()
	*p = Process{e: e, name: name, clock: c, cos: p.cos[:0], ends: p.ends[:0], backlog: p.backlog[:0]}
	e.all = append(e.all, p)
	return p
}

// Name is what the process was called.
func (p *Process) Name() string { return p.name }

// Host is where it runs; nil for a process that is on no network.
func (p *Process) Host() *Host { return p.host }

// Alive reports whether it was not killed.
func (p *Process) Alive() bool { return !p.dead }

// Paused reports whether it was paused; a frozen host does not count.
func (p *Process) Paused() bool { return p.paused }

// Now is the process's own clock: above zero, never falling.
func (p *Process) Now() time.Duration { return p.clock.read(p.e.now) }

// Go begins f beside its caller at this instant. A dead process begins nothing.
func (p *Process) Go(f func()) {
	if p.dead {
		return
	}
	p.begun++
	c := p.e.spare.coroutine()
	c.p, c.id, c.f, c.waiting = p, p.begun, f, true
	p.cos = append(p.cos, c)
	c.end(begins)
}

// Post has f run at this instant as code of the process, as a signal handler
// would: it must not wait. It is kept while the process is stopped and dropped
// when it is dead.
func (p *Process) Post(f func()) {
	if !p.dead {
		p.e.ready.put(task{p: p, do: code(f)})
	}
}

// After is Post when d is over on the process's clock.
func (p *Process) After(d time.Duration, f func()) { p.at(p.in(d), f) }

func (p *Process) at(due time.Duration, f func()) {
	if p.dead {
		return
	}
	p.e.at(p.clock.when(due), p, code(func() {
		if p.Now() < due { // its clock was set back meanwhile
			p.at(due, f)
			return
		}
		f()
	}))
}

// Leap sets the clock ahead by d, as after a suspension that it counted: what
// waits for it ends so much sooner.
func (p *Process) Leap(d time.Duration) {
	if d > 0 {
		p.shift(d)
	}
}

// Lag takes the last d of a stop out of the clock, as a machine does that did not
// count the time in which it was suspended. It panics when the process is not
// stopped, or was not stopped for so long.
func (p *Process) Lag(d time.Duration) {
	if d < 0 || !p.stopped() || p.Now()-d < p.stopAt {
		panic("engine: the clock of " + p.name + " would fall")
	}
	p.shift(-d)
}

func (p *Process) shift(ahead time.Duration) {
	if p.e.trace != nil {
		p.e.Note(p.name, "its clock moves by "+ahead.String())
	}
	// What the clock would have taken for as much.
	span := p.clock.when(p.Now()+ahead) - p.e.now
	p.clock.Offset += ahead
	p.e.queue.shift(p, -span)
}

// Kill ends the process at this instant: its coroutines are unwound, the newest
// first, and what they deferred sees a dead process, in which every wait ends the
// coroutine. The peers of its streams are told as its host can. When its own
// code calls Kill, that does not return; when a Call of its own leads to it, the
// Call does not.
func (p *Process) Kill() {
	if p.dead {
		return
	}
	if p.e.trace != nil {
		p.e.Note(p.name, "dies")
	}
	p.dead, p.backlog = true, nil
	for _, x := range slices.Clone(p.ends) {
		x.drop()
	}
	if h := p.host; h != nil {
		h.procs = slices.DeleteFunc(h.procs, func(o *Process) bool { return o == p })
	}
	p.unwind()
	if p.e.cur != nil && p.e.cur.p == p {
		panic(killed{})
	}
}

// unwind ends the coroutines that wait; those that run are below us on the stack
// and end themselves.
func (p *Process) unwind() {
	for i := len(p.cos) - 1; i >= 0; i = min(i, len(p.cos)) - 1 {
		p.cos[i].unwind()
	}
}

// end kills and unwinds for Close; it is true when nothing is left to unwind.
func (p *Process) end(first *any) (done bool) {
	defer func() {
		if r := recover(); r != nil && *first == nil {
			*first = r
		}
	}()
	p.e.cur = nil
	p.Kill()
	p.unwind()
	return true
}

func (p *Process) stopped() bool { return p.paused || p.host != nil && p.host.frozen }

// Pause stops the process as SIGSTOP does.
func (p *Process) Pause() {
	if p.paused || p.dead {
		return
	}
	p.stopping()
	p.paused = true
}

// Resume lets it run again: everything that would have run does so now, in the
// order in which it would have. On a frozen host that comes with the thaw.
func (p *Process) Resume() {
	if !p.paused {
		return
	}
	p.paused = false
	p.resuming()
}

func (p *Process) stopping() {
	if p.e.trace != nil {
		p.e.Note(p.name, "stops")
	}
	if !p.stopped() {
		p.stopAt = p.Now()
	}
}

func (p *Process) resuming() {
	if p.dead || p.stopped() {
		return
	}
	if p.e.trace != nil {
		p.e.Note(p.name, "goes on")
	}
	for i, t := range p.backlog {
		p.e.ready.put(t)
		p.backlog[i] = task{}
	}
	p.backlog = p.backlog[:0]
}
