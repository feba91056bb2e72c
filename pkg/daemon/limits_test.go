package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestUseProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(8)
	defer runtime.GOMAXPROCS(before)
	for _, c := range []struct{ have, most, want int }{{1, 4, 1}, {2, 4, 1}, {3, 4, 1}, {6, 4, 3}, {64, 4, 4}, {64, 1, 1}} {
		t.Setenv("GOMAXPROCS", "")
		runtime.GOMAXPROCS(c.have)
		if UseProcessors(c.most); runtime.GOMAXPROCS(0) != c.want {
			t.Errorf("%d of %d at most: %d, want %d", c.most, c.have, runtime.GOMAXPROCS(0), c.want)
		}
		t.Setenv("GOMAXPROCS", "5")
		runtime.GOMAXPROCS(5)
		if UseProcessors(c.most); runtime.GOMAXPROCS(0) != 5 {
			t.Errorf("%d in spite of the environment", runtime.GOMAXPROCS(0))
		}
	}
}

func TestCollectGarbage(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "77")
	CollectGarbage(35)
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d in spite of the environment", got)
	}
	t.Setenv("GOGC", "")
	CollectGarbage(35)
	if got := debug.SetGCPercent(100); got != 35 {
		t.Errorf("%d, want 35", got)
	}
}
