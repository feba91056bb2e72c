package agent_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// fakeProcess is the process of a server on the agent's host.
type fakeProcess struct {
	onEnd  func()
	closed bool
}

func (p *fakeProcess) OnEnd(f func()) { p.onEnd = f }
func (p *fakeProcess) Close() error   { p.closed = true; return nil }

// processHost has an agent live on the host of a, whose server runs in the newest of the processes.
type processHost struct {
	mu        sync.Mutex
	processes []*fakeProcess
	uptime    time.Duration // that the last was looked for with
	hidden    bool
}

func (h *processHost) on(o *agent.Options) {
	o.Local = func(e cluster.Endpoint) bool { return e == hostA }
	o.Process = func(e cluster.Endpoint, uptime time.Duration) (agent.Process, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.hidden || e != hostA {
			return nil, errors.New("hidden")
		}
		h.uptime = uptime
		h.processes = append(h.processes, &fakeProcess{})
		return h.processes[len(h.processes)-1], nil
	}
}

func (h *processHost) newest() *fakeProcess { return h.processes[len(h.processes)-1] }

// The end of the process is told before any connection has ended, and stands until the server answers again.
func TestTheEndOfAProcessIsToldAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		h := &processHost{}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.on)
		s.pass(10 * time.Second)
		s.wantOpen(true, false)
		if len(h.processes) != 1 || h.uptime < time.Hour || h.uptime > time.Hour+time.Minute {
			t.Fatalf("%d processes, the last up for %s", len(h.processes), h.uptime)
		}
		s.w.a().hang() // what connects to it, and what is connected, hears nothing yet
		h.newest().onEnd()
		s.pass(0)
		r := s.want(hostA, "one", cluster.DeedUnreachable)
		if r.EndedUptimeS < 3600 || r.EndedUptimeS > 3620 || r.Cause != cluster.CauseEnded {
			t.Errorf("ended after %d s, cause %q", r.EndedUptimeS, r.Cause)
		}
		s.pass(30 * time.Millisecond)
		s.w.a().kill()
		s.pass(10 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedUnreachable); r.EndedUptimeS < 3600 || r.EndedUptimeS > 3620 || r.Cause != cluster.CauseRefused {
			t.Errorf("10 s later: ended after %d s, cause %q", r.EndedUptimeS, r.Cause)
		}
		if !h.newest().closed {
			t.Error("the process that ended is still watched")
		}
		s.w.a().start(true)
		s.pass(5 * time.Second)
		if r := s.want(hostA, "one", cluster.DeedOpen); r.EndedUptimeS != 0 {
			t.Errorf("it is back, and ended after %d s", r.EndedUptimeS)
		}
		if len(h.processes) != 2 || h.newest().closed || h.uptime > 10*time.Second {
			t.Errorf("%d processes, the last up for %s", len(h.processes), h.uptime)
		}
	})
}

// A server that was started anew has another process, though nobody saw the old one end;
// one that is not found is looked for now and then.
func TestEachProcessIsLookedFor(t *testing.T) {
	play(t, func(s *stage) {
		h := &processHost{hidden: true}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", h.on)
		s.pass(30 * time.Second)
		h.mu.Lock()
		h.hidden = false
		h.mu.Unlock()
		s.pass(40 * time.Second)
		if len(h.processes) != 1 {
			t.Fatalf("%d processes", len(h.processes))
		}
		first := h.newest()
		s.w.a().kill()
		s.w.a().start(true)
		s.pass(5 * time.Second)
		if len(h.processes) != 2 || !first.closed || h.newest().closed {
			t.Errorf("%d processes, the first still watched: %v", len(h.processes), !first.closed)
		}
		s.stop[0]()
		s.stop = nil
		if !h.newest().closed {
			t.Error("the agent has ended and still watches")
		}
	})
}

// What the source sent before its process ended is taken in before the receiver is stopped, where
// it may have been acknowledged without: with semi-synchronous replication by one that was stopped in order.
func TestLastArrivalsAreTakenIn(t *testing.T) {
	for _, c := range []struct {
		cause        cluster.Cause
		waits, taken bool
	}{
		{cluster.CauseEnded, false, true},
		{cluster.CauseEnded, true, false},
		{cluster.CauseStopped, false, true},
		{cluster.CauseStopped, true, true},
		{cluster.CauseRefused, false, false},
	} {
		play(t, func(s *stage) {
			s.bus.put(steady(5, 3, hostA, hostB))
			s.agent("one")
			s.pass(5 * time.Second)
			s.w.a().hang() // nothing more is received, and the connection stays
			s.w.b().change(func(b *fakeServer) { b.stops = nil })
			rec := revoked(6, hostA, hostB)
			rec.Cause, rec.Waits = cluster.CauseFailover(c.cause), c.waits
			if c.waits {
				rec.Durability = cluster.SemiSync
			}
			s.put(rec)
			s.pass(30 * time.Millisecond)
			stopped := func() (is bool) {
				s.w.b().change(func(b *fakeServer) {
					is = slices.ContainsFunc(b.stops, func(what string) bool { return what == "stop io" })
				})
				return is
			}
			if stopped() == c.taken {
				t.Errorf("%+v: the receiver was stopped: %v", c, stopped())
			}
			s.w.a().change(func(a *fakeServer) { a.executed = union(a.flavor, a.executed, uuidA+":11") })
			s.w.a().awake()
			s.w.a().kill()
			s.pass(20 * time.Millisecond)
			if !stopped() {
				t.Errorf("%+v: the source is gone, and the receiver goes on", c)
			}
			s.pass(time.Second)
			if s.want(hostB, "one", cluster.DeedDrained); s.w.b().has(uuidA+":11") != c.taken {
				t.Errorf("%+v: what the source sent last was received: %v", c, !c.taken)
			}
		})
	}
}

// A source that is being stopped may send for seconds: as long as something comes it is taken in, and not for ever.
func TestASourceThatStillSendsIsHeard(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(5 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.stops = nil })
		rec := revoked(6, hostA, hostB)
		rec.Cause = cluster.CauseFailover(cluster.CauseStopped)
		s.put(rec)
		began, n := time.Now(), 10
		receives := func() (is bool) {
			s.w.b().change(func(b *fakeServer) { is = b.ch.IO == cluster.ThreadYes })
			return is
		}
		for ; receives(); n++ {
			if time.Since(began) > 10*time.Second {
				t.Fatal("it is heard for ever")
			}
			s.w.a().change(func(a *fakeServer) { a.executed = union(a.flavor, a.executed, fmt.Sprintf("%s:%d", uuidA, n)) })
			s.pass(100 * time.Millisecond)
		}
		if d := time.Since(began); d < 4*time.Second {
			t.Errorf("it was heard for %s", d)
		}
	})
}
