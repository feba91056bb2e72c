//go:build failpoint && linux

package failpoint

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

var (
	wanted, isStop = strings.CutSuffix(os.Getenv("MMM_FAILPOINT"), ":stop")
	once           sync.Once
)

// Hit stops the process with SIGSTOP the first time the wanted name is hit.
func Hit(name string) {
	if isStop && name == wanted {
		once.Do(stop)
	}
}

// stop sends the signal to the calling thread: sent to the process, another
// thread may take it and this one runs on for a while.
func stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGSTOP))
}
