package engine

import (
	"iter"
	"reflect"
)

// Spare is what worlds leave behind for those after them, which are then cheaper
// to make: goroutines and room. One world at a time uses it. A Spare that is done
// with needs a Close.
type Spare struct {
	strands    []*strand
	coroutines []*coroutine // that are over
	queue      queue
	ready      ready
	contexts   slab[bounded]
	signals    slab[signal]
	dials      slab[dialling]
	streams    slab[[2]End]
	processes  slab[Process]
	left       map[reflect.Type]renewed // slabs of what Left gives out
}

// renewed is a slab whose things go to the next world.
type renewed interface{ renew() }

// Left is a T that nothing else of the world of h has, as a world before left it,
// or a zero one: who takes it clears it and keeps the room that it has grown.
func Left[T any](h *Host) *T {
	s := h.n.e.spare
	kind := reflect.TypeFor[T]()
	all, ok := s.left[kind].(*slab[T])
	if !ok {
		if s.left == nil {
			s.left = map[reflect.Type]renewed{}
		}
		all = &slab[T]{}
		s.left[kind] = all
	}
	return all.take()
}

// slab is room for things of one kind that live as long as their world.
type slab[T any] struct {
	blocks [][]T
	used   int
}

// A slab has blocks of so many things, and room for so many of one world.
const (
	slabBlock = 16
	slabMost  = 128 * slabBlock
)

func (s *slab[T]) renew() { s.used = 0 }

// take is a thing as its last user left it, so that it can keep what it has grown.
func (s *slab[T]) take() *T {
	if s.used == slabMost {
		return new(T)
	}
	block, i := s.used/slabBlock, s.used%slabBlock
	if block == len(s.blocks) {
		s.blocks = append(s.blocks, make([]T, slabBlock))
	}
	s.used++
	return &s.blocks[block][i]
}

// strand is a goroutine that carries one coroutine after the other: to begin one,
// whose stack has to grow first, costs more than most coroutines do.
type strand struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	c     *coroutine
}

// New is the function New for a world that uses s.
func (s *Spare) New(seed uint64) *Engine {
	for _, all := range [...]renewed{&s.contexts, &s.signals, &s.dials, &s.streams, &s.processes} {
		all.renew()
	}
	for _, all := range s.left {
		all.renew()
	}
	e := begin(seed, s)
	e.kept = true
	return e
}

// Close ends the goroutines.
func (s *Spare) Close() {
	for _, x := range s.strands {
		x.stop()
	}
	s.strands = nil
}

// coroutine is one that has not begun. The numbers of its waits go on, so that
// nothing that was to end a wait of before ends one of now.
func (s *Spare) coroutine() *coroutine {
	n := len(s.coroutines)
	if n == 0 {
		return &coroutine{}
	}
	c := s.coroutines[n-1]
	s.coroutines = s.coroutines[:n-1]
	*c = coroutine{wait: c.wait + 1}
	return c
}

// strand is one that carries nothing.
func (s *Spare) strand() *strand {
	if n := len(s.strands); n > 0 {
		x := s.strands[n-1]
		s.strands = s.strands[:n-1]
		return x
	}
	x := &strand{}
	x.next, x.stop = iter.Pull(func(yield func(struct{}) bool) {
		x.yield = yield
		for carries := true; carries; carries = yield(struct{}{}) {
			x.c.run()
			s.coroutines = append(s.coroutines, x.c)
			x.c = nil
			s.strands = append(s.strands, x)
		}
	})
	return x
}
