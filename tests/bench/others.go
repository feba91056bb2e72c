package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/cell"
)

// listen is how long is looked at what others do before a run.
const listen = 500 * time.Millisecond

// ticks is processor time, as the kernel counts it: of the whole machine, busy or not, and of this benchmark with all that it has started.
type ticks struct{ machine, busy, ours int64 }

// readTicks needs a namespace of processes: /proc then lists this benchmark's alone.
func readTicks() (t ticks, err error) {
	if !cell.Inside() {
		return t, fmt.Errorf("no namespace of its own for processes")
	}
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	first, _, _ := strings.Cut(string(data), "\n")
	t.machine, t.busy, err = machineTicks(first)
	if err != nil {
		return t, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range processes {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended: whoever waited for it has its time
		}
		t.ours += processTicks(data)
	}
	return t, err
}

// machineTicks reads the line "cpu" of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. What the
// hypervisor gave to others counts as busy.
func machineTicks(line string) (all, busy int64, err error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("read /proc/stat: %q", line)
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		all += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return all, busy, nil
}

// processTicks reads /proc/N/stat: a process's own time and that of its children that have ended.
func processTicks(stat []byte) (sum int64) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0
	}
	for _, field := range fields[11:15] {
		n, _ := strconv.ParseInt(string(field), 10, 64)
		sum += n
	}
	return sum
}

// others is what others used of all processors between two readings, percent.
func (t ticks) others(before ticks) float64 {
	all := t.machine - before.machine
	if all <= 0 {
		return 0
	}
	return max(0, 100*float64(t.busy-before.busy-(t.ours-before.ours))/float64(all))
}

// quiet waits until others have used less than so many percent of the processors for a moment. It is waited for before a
// fault only: no run is judged by what came of it.
func quiet(ctx context.Context, percent float64, end time.Time) error {
	for {
		before, err := readTicks()
		if err != nil {
			return fmt.Errorf("look at what others do: %w", err)
		}
		if err := wait(ctx, listen); err != nil {
			return err
		}
		after, err := readTicks()
		if err != nil {
			return fmt.Errorf("look at what others do: %w", err)
		}
		if after.others(before) < percent || !end.IsZero() && time.Now().After(end) {
			return nil
		}
	}
}
