package daemon

import (
	"os"
	"runtime/debug"
)

// CollectGarbage has the program collect its garbage when that is so many percent of what is in use, rather
// than as much, unless GOGC in its environment says when: fewer for one that keeps much, more
// for one that reads much and keeps little.
func CollectGarbage(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
