package sched

import (
	"context"
	"math/rand/v2"
	"time"
)

// Real is the runtime of the machine: goroutines and its monotonic clock. Signals
// and contexts of one Real serve with any other.
func Real() Runtime { return real{time.Now().Add(-time.Nanosecond)} }

type real struct{ began time.Time }

func (r real) Now() time.Duration { return time.Since(r.began) }
func (real) Go(f func())          { go f() }
func (real) Lend(f func())        { f() }
func (real) NewSignal() Signal    { return &signal{set: make(chan struct{}, 1)} }

func (real) Cancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

func (real) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

func (real) Rand(n time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return rand.N(n)
}

type signal struct {
	set   chan struct{}
	timer *time.Timer // of the one who waits, kept for the next wait
}

func (s *signal) Set() {
	select {
	case s.set <- struct{}{}:
	default:
	}
}

func (s *signal) Wait(ctx context.Context, d time.Duration) Woken {
	if ctx.Err() != nil {
		return Ended
	}
	// A select draws among what is ready: what came before comes first.
	select {
	case <-s.set:
		return Set
	default:
	}
	var late <-chan time.Time
	if d >= 0 {
		if s.timer == nil {
			s.timer = time.NewTimer(d)
		} else {
			s.timer.Reset(d)
		}
		late = s.timer.C
		defer s.timer.Stop()
	}
	select {
	case <-ctx.Done():
		return Ended
	case <-s.set:
		if ctx.Err() != nil {
			s.Set() // it is still to be waited for
			return Ended
		}
		return Set
	case <-late:
		return Late
	}
}
