package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// mostGrowth is what a daemon may take up more in the end than in the beginning.
var mostGrowth = check.Sample{Threads: 15, FDs: 12, RSS: 40 << 20}

// sample reads what the daemons take up: their goroutines, files and memory.
func (r *seedRun) sample(ctx context.Context) (map[string]check.Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all := map[string]check.Sample{}
	for _, d := range r.site.Daemons {
		s, err := sampleOf(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("sample %s: %w", d, err)
		}
		all[d.String()] = s
	}
	return all, nil
}

func sampleOf(ctx context.Context, d *site.Daemon) (s check.Sample, err error) {
	before := len(resources(d))
	if err := d.Process().Signal(syscall.SIGUSR2); err != nil {
		return s, err
	}
	err = harness.Until(ctx, d.String()+" tells what it takes up", func(context.Context) (bool, string) {
		told := resources(d)
		if len(told) == before {
			return false, "it told nothing"
		}
		s.Threads = told[len(told)-1]
		return true, ""
	})
	if err != nil {
		return s, err
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Process().PID()))
	if err != nil {
		return s, err
	}
	s.FDs = len(fds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Process().PID()))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			if _, err := fmt.Sscan(value, &s.RSS); err != nil {
				return s, err
			}
			s.RSS *= 1024
		}
	}
	return s, nil
}

// resources are the numbers of goroutines that a daemon has told so far.
func resources(d *site.Daemon) (told []int) {
	text, _ := os.ReadFile(d.Log())
	for line := range strings.Lines(string(text)) {
		var entry struct {
			Message    string
			Goroutines int
		}
		if strings.Contains(line, `"resources"`) && json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "resources" {
			told = append(told, entry.Goroutines)
		}
	}
	return told
}
