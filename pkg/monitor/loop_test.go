package monitor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pulses notes how the loops of a monitor come round.
type pulses struct {
	mu    sync.Mutex
	last  map[string]time.Time
	worst time.Duration // the longest time between two beats of one loop
	ended []string
}

func (p *pulses) loop(name string) (beat, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[name] = time.Now()
	beat = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.worst = max(p.worst, time.Since(p.last[name]))
		p.last[name] = time.Now()
	}
	return beat, func() { beat(); p.mu.Lock(); defer p.mu.Unlock(); p.ended = append(p.ended, name) }
}

// Whatever servers and Redis do, no loop stands still for long: else the
// service manager would end a monitor for what it is there to see.
func TestLoopsComeRoundWhateverIsAway(t *testing.T) {
	const names = "publishing 10.0.0.1:3306, publishing 10.0.0.2:3306, sampling 10.0.0.1:3306, sampling 10.0.0.2:3306"
	for name, spoil := range map[string]func(x *bench){
		"all is well":      func(*bench) {},
		"a long interval":  func(x *bench) { x.tag.Interval = time.Hour },
		"Redis is away":    func(x *bench) { x.bus.be(errors.New("refused")) },
		"Redis hangs":      func(x *bench) { x.bus.mu.Lock(); x.bus.hangs = true; x.bus.mu.Unlock() },
		"one server hangs": func(x *bench) { x.a.be(hung, nil) },
		"both are dead":    func(x *bench) { x.a.be(dead, nil); x.b.be(dead, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, p := newBench(), &pulses{last: map[string]time.Time{}}
				spoil(x)
				m, err := x.monitor("run")
				if err != nil {
					t.Fatal(err)
				}
				m.opt.Loop = p.loop
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { m.Run(ctx); close(done) }()
				wait(time.Hour)
				if got := strings.Join(slices.Sorted(maps.Keys(p.last)), ", "); got != names {
					t.Errorf("loops %s", got)
				}
				cancel()
				<-done
				slices.Sort(p.ended)
				if got := strings.Join(p.ended, ", "); got != names {
					t.Errorf("ended %s", got)
				}
				if p.worst > 10*time.Second {
					t.Errorf("a loop stood still for %s", p.worst)
				}
			})
		})
	}
}
