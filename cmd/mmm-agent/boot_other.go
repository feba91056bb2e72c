//go:build !linux

package main

import "time"

// bootTime is nil: leases count on the clock of the time package, which may stand
// still while the machine is suspended.
func bootTime() func() time.Duration { return nil }
