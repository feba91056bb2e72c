package agent_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func hearsStops(o *agent.Options) {
	o.Stopping = func(err error) bool { return errors.Is(err, errLeaving) }
}

// An active that is being stopped is closed with the last statement that it takes, as soon as a monitor has
// doubts, and that is told at once.
func TestAnActiveThatIsStoppedIsClosedBefore(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", hearsStops)
		s.pass(10*time.Second + 500*time.Millisecond)
		s.wantOpen(true, false)
		s.w.a().change(func(a *fakeServer) { a.leaving = true })
		s.pass(10 * time.Millisecond)
		s.wantOpen(true, false) // nobody has been told
		s.bus.say(agent.Wake{UniqSign: uniq, Kind: agent.WakeView})
		s.pass(10 * time.Millisecond)
		s.wantOpen(false, false)
		r := s.want(hostA, "one", cluster.DeedUnreachable)
		if !r.Stopped || r.EndedUptimeS < 3600 || r.EndedUptimeS > 3620 {
			t.Errorf("stopped %v, after %d s", r.Stopped, r.EndedUptimeS)
		}
		s.pass(5 * time.Second)
		s.w.a().kill()
		s.pass(5 * time.Second)
		if again := s.want(hostA, "one", cluster.DeedUnreachable); again.EndedUptimeS != r.EndedUptimeS || !again.Stopped {
			t.Errorf("its end is told as another one: %d s, not %d s", again.EndedUptimeS, r.EndedUptimeS)
		}
		s.w.a().change(func(a *fakeServer) { a.leaving = false })
		s.w.a().start(true)
		s.pass(5 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.EndedUptimeS != 0 || r.Stopped {
			t.Errorf("it is back, and ended after %d s, stopped %v", r.EndedUptimeS, r.Stopped)
		}
	})
}

// One that cannot be closed any more has not ended, nor is a server that is closed anyway said to have.
func TestAServerThatCannotBeClosedBeforeHasNotEnded(t *testing.T) {
	for name, leave := range map[string]func(s *stage){
		"the session has ended": func(s *stage) {
			s.w.a().change(func(a *fakeServer) { a.leaving, a.broken = true, map[string]bool{"last": true} })
		},
		"it is the passive": func(s *stage) { s.w.b().change(func(b *fakeServer) { b.leaving = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one", hearsStops)
				s.pass(10 * time.Second)
				s.wantOpen(true, false)
				leave(s)
				s.pass(3 * time.Second)
				for _, node := range []cluster.Endpoint{hostA, hostB} {
					if r := s.bus.report(s.T, node, "one"); r.Stopped || r.EndedUptimeS != 0 {
						t.Errorf("%s has ended after %d s, stopped %v", node, r.EndedUptimeS, r.Stopped)
					}
				}
				if !s.w.a().open() {
					t.Error("the active is closed")
				}
			})
		})
	}
}
