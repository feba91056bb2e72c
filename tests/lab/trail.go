package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// follower collects the audit trail while a site runs, and what agents tell of openings.
type follower struct {
	site  *site.Site
	trail *check.Trail
	stop  context.CancelFunc
	wait  sync.WaitGroup

	mu         sync.Mutex
	generation int
	seen       map[string]cluster.Event
	events     []cluster.Event // in the order in which they were seen
	offsets    map[string]int64
}

const (
	followEvery = 100 * time.Millisecond
	newest      = 200
)

func follow(s *site.Site) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{site: s, trail: check.NewTrail(), stop: cancel, generation: 1, seen: map[string]cluster.Event{}, offsets: map[string]int64{}}
	f.wait.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			_ = f.read(ctx) // Redis is away now and then
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return f
}

func (f *follower) Stop() {
	f.stop()
	f.wait.Wait()
}

// read adds what is new.
func (f *follower) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	events, err := f.site.Events(ctx, newest)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if _, known := f.seen[e.ID]; known {
			continue
		}
		f.seen[e.ID] = e
		f.events = append(f.events, e)
		f.trail.Add(f.generation, e)
	}
	return nil
}

// Anew says that Redis has lost something, or that there is another master: what comes is another generation.
func (f *follower) Anew(twoMasters bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if twoMasters {
		f.trail.Fork(f.generation)
	}
	f.generation++
	if twoMasters {
		f.trail.Fork(f.generation)
	}
}

// Events are all events so far.
func (f *follower) Events() []cluster.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]cluster.Event(nil), f.events...)
}

// Promises are the spans in which acknowledged writes were promised to be on both servers: from when
// the record had commits wait until it let them go.
func (f *follower) Promises() []check.Promise {
	var spans []check.Promise
	for _, e := range f.Events() {
		ms, _, _ := strings.Cut(e.ID, "-")
		var at int64
		if _, err := fmt.Sscan(ms, &at); err != nil {
			continue
		}
		began := time.UnixMilli(at)
		if n := len(spans); n > 0 {
			if spans[n-1].Waits == e.Assignment.Waits {
				continue
			}
			spans[n-1].To = began
		}
		spans = append(spans, check.Promise{From: began, To: began.Add(100 * 365 * 24 * time.Hour), Waits: e.Assignment.Waits})
	}
	return spans
}

// Check reads what the agents have logged since the last call and judges the trail.
func (f *follower) Check(ctx context.Context) ([]check.Finding, error) {
	err := f.read(ctx)
	openings, problem := f.openings()
	f.trail.Opened(openings...)
	return f.trail.Check(), errors.Join(err, problem)
}

// openings reads what agents told of openings since the last call.
func (f *follower) openings() (all []check.Opening, err error) {
	logs, err := f.site.Logs()
	if err != nil {
		return nil, err
	}
	for _, path := range logs {
		if filepath.Base(path) != "mmm-agent.log" {
			continue
		}
		found, problem := f.openingsIn(path)
		all, err = append(all, found...), errors.Join(err, problem)
	}
	return all, err
}

func (f *follower) openingsIn(path string) (all []check.Opening, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(f.offsets[path], 0); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(file)
	for {
		text, err := lines.ReadString('\n')
		if err != nil { // what is not a whole line yet is read next time
			return all, nil
		}
		f.offsets[path] += int64(len(text))
		var line struct {
			Message, Node, Order, Risk string
			Time                       time.Time
		}
		if json.Unmarshal([]byte(text), &line) != nil || line.Message != "opened" {
			continue
		}
		var order cluster.Order
		if _, err := fmt.Sscanf(line.Order, "%d.%d", &order.Epoch, &order.Version); err != nil {
			return all, fmt.Errorf("%s: order %q: %w", path, line.Order, err)
		}
		all = append(all, check.Opening{Agent: filepath.Base(filepath.Dir(path)), Server: cluster.Endpoint(line.Node), Order: order, At: line.Time, Risk: line.Risk})
	}
}
