package main

import (
	"fmt"
	"testing"
)

func TestOthersAreTheMachineWithoutOurs(t *testing.T) {
	read := func(line string, processes ...string) (k ticks) {
		var err error
		if k.machine, k.busy, err = machineTicks(line); err != nil {
			t.Fatal(err)
		}
		for _, p := range processes {
			k.ours += processTicks([]byte(p))
		}
		return k
	}
	process := func(user, system, childUser, childSystem int) string {
		return fmt.Sprintf("7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 %d %d %d %d 20 0 1 0 5", user, system, childUser, childSystem)
	}
	before := read("cpu  100 0 50 800 50 0 0 0 0 0", process(10, 5, 0, 0), process(20, 0, 0, 0))
	// 200 ticks later: 20 idle, 10 waiting for a disk, 170 busy. Ours are 50: one process used 20, and one used 30, ended, and is its parent's.
	after := read("cpu  200 10 90 820 60 5 5 10 0 0", process(20, 15, 45, 5))
	if got := after.others(before); got != 60 {
		t.Errorf("others used %v%%, want 60", got)
	}
	if _, _, err := machineTicks("cpu0 1 2"); err == nil {
		t.Error("a line that is not of the whole machine was read")
	}
}
