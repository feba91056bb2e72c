package daemon

import (
	"os"
	"runtime"
)

// UseProcessors has the program run on so many processors at most, and on no more than half of
// those that it may use, unless GOMAXPROCS in its environment says how many. It waits nearly all the time, and
// waking another processor for each answer costs more than the answer; Redis and servers beside it want theirs.
func UseProcessors(most int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, min(most, runtime.GOMAXPROCS(0)/2)))
	}
}
