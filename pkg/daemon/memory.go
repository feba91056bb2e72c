package daemon

import (
	"os"
	"runtime/debug"
)

// CollectLate has the program collect its garbage when that is twice as much as what is in use, rather than
// as much, unless GOGC in its environment says when. It is for one that reads much and keeps little.
func CollectLate() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}
