package agent_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
)

// pulses notes how the loops of an agent come round.
type pulses struct {
	mu    sync.Mutex
	last  map[string]time.Time
	worst map[string]time.Duration // the longest time between two beats
	ended int
}

func (p *pulses) loop(name string) (beat, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 2; !p.last[name].IsZero(); i++ {
		name = fmt.Sprint(strings.TrimRight(name, "0123456789# "), " #", i)
	}
	p.last[name] = time.Now()
	beat = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.worst[name] = max(p.worst[name], time.Since(p.last[name]))
		p.last[name] = time.Now()
	}
	return beat, func() { beat(); p.mu.Lock(); defer p.mu.Unlock(); p.ended++ }
}

// Whatever servers and Redis do, no loop stands still for long: else the
// service manager would end an agent for what it is there to see.
func TestLoopsComeRoundWhateverIsAway(t *testing.T) {
	for name, spoil := range map[string]func(s *stage){
		"all is well":      func(*stage) {},
		"Redis is away":    func(s *stage) { s.bus.setAway(true) },
		"one server hangs": func(s *stage) { s.w.a().hang() },
		"both are dead":    func(s *stage) { s.w.a().kill(); s.w.b().kill() },
		"the applying thread is slow": func(s *stage) {
			s.w.b().change(func(b *fakeServer) { b.held = true; b.ch.Received = uuidA + ":1-20" })
			s.put(revoked(2, hostA, hostB))
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				p := &pulses{last: map[string]time.Time{}, worst: map[string]time.Duration{}}
				s.put(steady(1, 1, hostA, hostB))
				s.agent("x", func(o *agent.Options) { o.Loop = p.loop })
				spoil(s)
				s.pass(time.Hour)
				for _, stop := range s.stop {
					stop()
				}
				s.stop = nil
				names := strings.Join(slices.Sorted(maps.Keys(p.last)), ", ")
				if strings.Count(names, "serving ") != 2 || strings.Count(names, "reporting ") != 2 || strings.Count(names, "reading ") != 1 || p.ended != 6 {
					t.Errorf("%d ended of the loops %s", p.ended, names)
				}
				for name, worst := range p.worst {
					if worst > 12*time.Second { // of an agent with connect_timeout=1
						t.Errorf("%s stood still for %s", name, worst)
					}
				}
			})
		})
	}
}
