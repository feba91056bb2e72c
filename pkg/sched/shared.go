package sched

import (
	"iter"
	"sync"
)

// mostIdle is how many stacks are kept while nobody works on them.
const mostIdle = 64

// Shared is rt for a process of thousands of loops that mostly wait: what is lent to runs on
// stacks that have been worked on before. The stack of a loop stays small then, and none
// has to grow for a question of a millisecond.
func Shared(rt Runtime) Runtime { return shared{rt, &stacks{}} }

type shared struct {
	Runtime
	stacks *stacks
}

func (s shared) Lend(f func()) {
	one := s.stacks.take()
	one.f = f
	one.next()
	one.f = nil
	s.stacks.put(one)
}

// stack is a coroutine: its caller changes over to it, and no other processor is woken for that.
type stack struct {
	f    func()
	next func() (struct{}, bool)
	stop func()
}

func newStack() *stack {
	one := &stack{}
	one.next, one.stop = iter.Pull(func(over func(struct{}) bool) {
		for one.f(); over(struct{}{}); one.f() {
		}
	})
	return one
}

// stacks keeps those that are idle. What came last, and has grown most, goes first.
type stacks struct {
	mu   sync.Mutex
	idle []*stack
}

func (s *stacks) take() *stack {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return newStack()
	}
	one := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return one
}

func (s *stacks) put(one *stack) {
	s.mu.Lock()
	full := len(s.idle) == mostIdle
	if !full {
		s.idle = append(s.idle, one)
	}
	s.mu.Unlock()
	if full {
		one.stop()
	}
}
