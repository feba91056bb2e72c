package engine

import (
	"fmt"
	"time"
)

// Clock is how a process's monotonic clock runs beside the world's.
type Clock struct {
	// Offset is what it shows above the world's time.
	Offset time.Duration
	// Drift is how many millionths it runs too fast; below a million either way.
	Drift int64
}

const million = 1_000_000

func (c Clock) check(now time.Duration) {
	if c.Drift <= -million || c.Drift >= million || c.read(now) <= 0 {
		panic(fmt.Sprintf("engine: no clock: offset %s, drift %d millionths", c.Offset, c.Drift))
	}
}

// read is what the clock shows at now; it never falls while now does not.
func (c Clock) read(now time.Duration) time.Duration {
	own := now + c.Offset
	if c.Drift != 0 {
		drift := time.Duration(c.Drift)
		own += now/million*drift + now%million*drift/million
	}
	return own
}

// when is the first instant at which the clock shows own.
func (c Clock) when(own time.Duration) time.Duration {
	if c.Drift == 0 {
		return own - c.Offset
	}
	now := time.Duration(float64(own-c.Offset) * (million / float64(million+c.Drift)))
	for short := own - c.read(now); short > 0; short = own - c.read(now) {
		now += short
	}
	for c.read(now-1) >= own {
		now--
	}
	return now
}
