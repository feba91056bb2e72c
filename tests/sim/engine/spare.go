package engine

import "iter"

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
}

// slab is room for things of one kind that live as long as their world.
type slab[T any] struct {
	blocks [][]T
	used   int
}

// A slab has blocks of so many things, and room for so many of one world.
const (
	slabBlock = 32
	slabMost  = 64 * slabBlock
)

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
	s.contexts.used, s.signals.used, s.dials.used, s.streams.used, s.processes.used = 0, 0, 0, 0, 0
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
