// Package sched is the clock and the concurrency of the daemons' loops.
//
// A loop waits on Signals and on nothing else, starts what runs beside it with
// Go, and takes the time from Now. That is all a simulator needs to run the very
// same loops in a time of its own, one at a time and in an order drawn from a
// seed. So the packages whose loops are simulated keep to these rules:
//
//   - no goroutine, channel, select, timer or clock of their own;
//   - no mutex is held across a call that may wait.
//
// Real is the machine's own runtime; Shared is it for a process with many loops.
package sched

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Runtime is the clock, the waiting and the starting of activities.
type Runtime interface {
	// Now counts from some beginning; it is above zero and never falls.
	Now() time.Duration
	// Go runs f beside its caller.
	Go(f func())
	// Lend runs f and returns when it is over. A loop gives it what wants a deeper stack than waiting does.
	Lend(f func())
	// NewSignal makes a signal.
	NewSignal() Signal
	// Cancel and Timeout derive contexts whose end also ends each Wait under
	// them. Of such a context only Err may be asked: its Done channel may be nil.
	Cancel(ctx context.Context) (context.Context, context.CancelFunc)
	Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
	// Rand is a random duration from 0 to below n; 0 when n is not above zero.
	Rand(n time.Duration) time.Duration
}

// Signal wakes one loop. Sets that nobody has waited for yet count as one.
type Signal interface {
	// Set may be called by anybody at any time, and returns at once.
	Set()
	// Wait returns when Set was called since a Wait last returned Set, when d is
	// over, or when ctx ends; a negative d is no limit. One caller waits at a time.
	Wait(ctx context.Context, d time.Duration) Woken
}

// Woken says what ended a Wait.
type Woken int

// What ends a Wait. The end of ctx goes before a Set, which then counts for the
// next Wait, and a Set that came before the Wait goes before the end of d.
const (
	Set   Woken = iota // Set was called
	Late               // d is over
	Ended              // ctx has ended
)

// Sleep waits for d, not at all when that is negative, or returns the error of
// ctx when that ends before.
func Sleep(ctx context.Context, rt Runtime, d time.Duration) error {
	if rt.NewSignal().Wait(ctx, max(d, 0)) == Ended {
		return ctx.Err()
	}
	return nil
}

// Group is a set of activities that can be waited for.
type Group struct {
	rt  Runtime
	mu  sync.Mutex
	n   int
	end Signal
}

// NewGroup makes an empty group.
func NewGroup(rt Runtime) *Group { return &Group{rt: rt, end: rt.NewSignal()} }

// Go runs f beside its caller.
func (g *Group) Go(f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	g.rt.Go(func() {
		defer func() {
			g.mu.Lock()
			g.n--
			g.mu.Unlock()
			g.end.Set()
		}()
		f()
	})
}

// Wait returns when nothing of the group runs any more. One caller waits at a time.
func (g *Group) Wait() {
	for {
		g.mu.Lock()
		n := g.n
		g.mu.Unlock()
		if n == 0 {
			return
		}
		g.end.Wait(context.Background(), -1)
	}
}

// Result is the outcome of something that runs beside its caller. One caller
// waits for it at a time; it may be asked again and again.
type Result[T any] struct {
	signal Signal
	mu     sync.Mutex
	done   bool
	value  T
	err    error
}

// Begin runs f beside its caller.
func Begin[T any](rt Runtime, f func() (T, error)) *Result[T] {
	r := &Result[T]{signal: rt.NewSignal()}
	rt.Go(func() {
		value, err := f()
		r.mu.Lock()
		r.done, r.value, r.err = true, value, err
		r.mu.Unlock()
		r.signal.Set()
	})
	return r
}

// ErrLate: there was no result in time.
var ErrLate = errors.New("no result in time")

// Get waits for the result until ctx ends, for d at most; a negative d is no
// limit. The error is ErrLate, or that of ctx, when there is none yet.
func (r *Result[T]) Get(ctx context.Context, d time.Duration) (T, error) {
	if value, done, err := r.now(); done {
		return value, err
	}
	woken := r.signal.Wait(ctx, d)
	// It may have come in the instant in which the wait ended.
	value, done, err := r.now()
	switch {
	case done:
		return value, err
	case woken == Ended:
		return value, ctx.Err()
	}
	return value, ErrLate
}

func (r *Result[T]) now() (value T, done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value, r.done, r.err
}
