package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// how is what ended a wait.
type how uint8

const (
	answered how = iota // what was waited for
	timeUp              // its time
	ended               // its context
	begins              // the beginning of the coroutine, which waits as well
)

var hows = [...]string{answered: "is woken", timeUp: "has waited", ended: "is called off", begins: "begins"}

// killed unwinds a coroutine of a process that is dead.
type killed struct{}

// Panic is a panic of simulated code.
type Panic struct {
	// Process is the name of the process whose code it was.
	Process string
	// Value is what the code gave to panic.
	Value any
	// Stack is the stack of the simulated code.
	Stack []byte
}

func (p *Panic) Error() string {
	return fmt.Sprintf("%s panics: %v\n%s", p.Process, p.Value, p.Stack)
}

// coroutine is one activity of a process.
type coroutine struct {
	p       *Process
	id      int
	f       func()  // until it begins
	on      *strand // from then on
	killed  bool
	caller  *coroutine // whose code ran when this one was resumed
	waiting bool
	wait    uint64 // the number of its present or next wait
	how     how
	ctx     context.Context // of its wait
	until   time.Duration   // of its wait, on the clock of the process; noLimit
	due     key             // when until is, in the order of events; none when its seq is zero
	timer   int             // its event in the queue, at due or before; none when zero
}

// noLimit is later than everything.
const noLimit = time.Duration(1 << 62)

// current is the coroutine that runs, which must be one of p.
func (p *Process) current() *coroutine {
	if p.dead {
		panic(killed{})
	}
	c := p.e.cur
	if c == nil || c.p != p {
		panic("engine: code waits in " + p.name + " and is no coroutine of it")
	}
	return c
}

// park waits until something ends this wait: its context, until on the clock of
// the process, or end.
func (c *coroutine) park(ctx context.Context, until time.Duration) how {
	if ctx.Done() != nil {
		panic("engine: " + c.p.name + " waits under a context that is not of its Runtime")
	}
	c.ctx, c.until = ctx, min(until, dueOf(ctx))
	c.waiting = true
	c.arm()
	c.on.yield(struct{}{})
	if c.killed {
		panic(killed{})
	}
	c.ctx = nil
	return c.how
}

func (c *coroutine) arm() {
	if c.until == noLimit {
		return
	}
	e := c.p.e
	if at := c.p.clock.when(c.until); at > e.now {
		e.queue.arm(c, at)
		return
	}
	c.end(timeUp)
}

// end has the present wait end at this instant, unless something else does before.
func (c *coroutine) end(how how) {
	c.p.e.ready.put(task{co: c, wait: c.wait, how: how})
}

// endLast is end as the last thing of an event: where no other event of this
// instant comes first, it needs none of its own.
func (c *coroutine) endLast(how how) {
	e := c.p.e
	if next, any := e.queue.next(); e.ready.n > 0 || any && next <= e.now {
		c.end(how)
		return
	}
	c.wake(c.wait, how)
}

// wake carries on when that wait still lasts.
func (c *coroutine) wake(wait uint64, how how) {
	p := c.p
	if !c.waiting || c.wait != wait {
		return
	}
	if p.stopped() {
		p.backlog = append(p.backlog, task{co: c, wait: wait, how: how})
		return
	}
	if how == timeUp && p.Now() < c.until { // its clock was set back meanwhile
		c.arm()
		return
	}
	c.due = key{}
	c.waiting, c.how = false, how
	c.wait++
	if p.e.trace != nil {
		p.e.Note(c.String(), hows[how])
	}
	if c.f != nil {
		c.begin()
	}
	c.caller, p.e.cur = p.e.cur, c
	c.on.next()
	p.e.cur = c.caller
}

func (c *coroutine) begin() {
	c.on = c.p.e.spare.strand()
	c.on.c = c
}

func (c *coroutine) run() {
	defer c.over()
	f := c.f
	c.f = nil
	f()
}

// over ends the coroutine; a panic of the simulated code keeps its stack.
func (c *coroutine) over() {
	c.gone()
	c.p.e.cur = c.caller
	switch r := recover().(type) {
	case nil, killed:
	default:
		panic(&Panic{Process: c.p.name, Value: r, Stack: debug.Stack()})
	}
}

func (c *coroutine) gone() {
	c.waiting = false
	if c.timer != 0 {
		c.p.e.queue.remove(c.timer)
		c.timer = 0
	}
	if i := slices.Index(c.p.cos, c); i >= 0 {
		c.p.cos = slices.Delete(c.p.cos, i, i+1)
	}
}

// unwind ends a coroutine that waits.
func (c *coroutine) unwind() {
	if !c.waiting {
		return
	}
	e := c.p.e
	c.due = key{}
	if c.f != nil {
		c.gone()
		return
	}
	c.waiting, c.killed = false, true
	c.caller, e.cur = e.cur, c
	c.on.next()
	e.cur = c.caller
}

func (c *coroutine) String() string { return fmt.Sprintf("%s/%d", c.p.name, c.id) }
