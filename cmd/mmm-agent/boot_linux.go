package main

import (
	"syscall"
	"time"
	"unsafe"
)

// clockBoottime goes on while the machine is suspended: clock_getres(2). That of the
// time package, CLOCK_MONOTONIC, stands still.
const clockBoottime = 7

// bootTime is the clock on which leases count.
func bootTime() func() time.Duration {
	if _, err := readClock(clockBoottime); err != 0 {
		return nil
	}
	return func() time.Duration {
		now, _ := readClock(clockBoottime)
		return now
	}
}

func readClock(id uintptr) (time.Duration, syscall.Errno) {
	var t syscall.Timespec
	_, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano()), err
}
