package sched

import (
	"iter"
	"sync"
)

// mostIdle is how many stacks of a kind are kept while nobody works on them.
const mostIdle = 64

// Shared is rt for a process of thousands of loops that mostly wait: what Go runs and what is
// lent to runs on stacks that have been worked on before. The stack of a loop stays small then, and none
// has to grow for a question of a millisecond.
func Shared(rt Runtime) Runtime {
	return shared{rt, &pool[chan func()]{}, &pool[*lent]{}}
}

type shared struct {
	Runtime
	beside *pool[chan func()]
	lent   *pool[*lent]
}

func (s shared) Go(f func()) {
	if work, ok := s.beside.take(); ok {
		work <- f
		return
	}
	go s.serve(f)
}

// serve runs f, and what it is given after it until that is nil.
func (s shared) serve(f func()) {
	for work := make(chan func(), 1); f != nil; f = <-work {
		f()
		if !s.beside.put(work) {
			return
		}
	}
}

func (s shared) Lend(f func()) {
	l, ok := s.lent.take()
	if !ok {
		l = newLent()
	}
	l.f = f
	l.next()
	l.f = nil
	if !s.lent.put(l) {
		l.stop()
	}
}

// lent is a coroutine: its caller changes over to it, and no other processor is woken for that.
type lent struct {
	f    func()
	next func() (struct{}, bool)
	stop func()
}

func newLent() *lent {
	l := &lent{}
	l.next, l.stop = iter.Pull(func(over func(struct{}) bool) {
		for l.f(); over(struct{}{}); l.f() {
		}
	})
	return l
}

// pool keeps what is idle. What came last, and has worked most, goes first.
type pool[T any] struct {
	mu   sync.Mutex
	idle []T
}

func (p *pool[T]) take() (one T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return one, false
	}
	one = p.idle[last]
	clear(p.idle[last:])
	p.idle = p.idle[:last]
	return one, true
}

// put reports whether one is kept.
func (p *pool[T]) put(one T) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == mostIdle {
		return false
	}
	p.idle = append(p.idle, one)
	return true
}
