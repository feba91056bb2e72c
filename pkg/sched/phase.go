package sched

import (
	"context"
	"time"
)

const (
	// together is how many loops of one kind are to work in the same instants, so that a processor
	// is woken once for all of them. More would wait for each other.
	together = 8
	// apart is by how much of a second the next one is set off against the one before it: what
	// divides a second most evenly, however many there are.
	apart = 618_034 * time.Microsecond
	// startEach is the time between the starts of two loops after the first ones.
	startEach = 3 * time.Millisecond
)

// Phase is by how much the instants of the n-th loop of its kind, from 0, are set off against those of the
// first: at least 0 and below a second.
func Phase(n int) time.Duration {
	if n < together {
		return 0
	}
	return time.Duration(n) * apart % time.Second
}

// Phased is rt for the n-th loop of its kind: its clock is ahead by the Phase of it.
func Phased(rt Runtime, n int) Runtime {
	if Phase(n) == 0 {
		return rt
	}
	return phased{rt, Phase(n)}
}

type phased struct {
	Runtime
	ahead time.Duration
}

func (p phased) Now() time.Duration { return p.Runtime.Now() + p.ahead }

// StartAfter lets the time pass after which the n-th loop of its kind starts, so that many do not
// all connect at once, and returns the error of ctx when that ends before.
func StartAfter(ctx context.Context, rt Runtime, n int) error {
	if n < together {
		return ctx.Err()
	}
	return Sleep(ctx, rt, time.Duration(n-together+1)*startEach)
}
