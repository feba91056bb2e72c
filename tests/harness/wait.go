package harness

import (
	"context"
	"fmt"
	"time"
)

const pollEvery = 10 * time.Millisecond

// Until polls cond until it holds. When ctx ends first, the error names what
// was waited for and what cond said last. cond gets a context of its own that
// ends after two seconds, so that one hanging look does not use up the deadline.
func Until(ctx context.Context, what string, cond func(ctx context.Context) (ok bool, state string)) error {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	state := "never looked"
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: not within %.1f s; last seen: %s", what, time.Since(began).Seconds(), state)
		case <-timer.C:
		}
		look, cancel := context.WithTimeout(ctx, 2*time.Second)
		ok, seen := cond(look)
		cancel()
		if ok {
			return nil
		}
		if ctx.Err() == nil || state == "never looked" {
			state = seen
		}
		timer.Reset(pollEvery)
	}
}

// Holds polls cond for the whole of d and returns an error as soon as it does not hold.
func Holds(ctx context.Context, d time.Duration, what string, cond func(ctx context.Context) (ok bool, state string)) error {
	end := time.Now().Add(d)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for time.Now().Before(end) {
		look, cancel := context.WithTimeout(ctx, 2*time.Second)
		ok, state := cond(look)
		cancel()
		if !ok {
			return fmt.Errorf("hold that %s for %s: broken after %s: %s", what, d, d-time.Until(end), state)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("hold that %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
