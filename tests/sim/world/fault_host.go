package world

import (
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Faults of servers and hosts.

func killServer(w *world, f Fault) func() {
	s := w.on(f)
	w.dies(s)
	s.kill()
	return s.start
}

// dies counts what kind of death it is.
func (w *world) dies(s *server) {
	if !s.Up() {
		return
	}
	switch {
	case !s.other.Up():
		w.count(SawBothDown)
	case w.record().Active == s.Addr():
		w.count(SawActiveKilled)
	default:
		w.count(SawPassiveKilled)
	}
}

func hangServer(w *world, f Fault) func() {
	s := w.on(f)
	p := s.Process()
	if w.record().Active == s.Addr() {
		w.count(SawActiveHung)
	}
	p.Pause()
	return func() {
		w.wakes(s)
		p.Resume()
	}
}

func (w *world) wakes(s *server) {
	if a := w.record().Active; s.Open() && a != "" && a != s.Addr() {
		w.count(SawHungWokenAfterPromotion)
	}
}

func powerOff(w *world, f Fault) func() {
	h := w.host(f.On)
	w.count(SawPowerLost)
	for _, s := range w.db {
		if s.host == h {
			w.dies(s)
			s.powerOff()
		}
	}
	h.Crash()
	return func() { w.boot(h) }
}

// boot starts a host with all that runs there.
func (w *world) boot(h *engine.Host) {
	h.Boot()
	w.revive(h)
}

// revive starts what is dead on a host that runs.
func (w *world) revive(h *engine.Host) {
	for _, s := range w.db {
		if s.host == h {
			s.start()
		}
	}
	for _, m := range []*master{w.redis, w.fork} {
		if m != nil && m.host == h {
			m.Start()
		}
	}
	for _, d := range w.daemons {
		if d.host == h {
			d.start()
		}
	}
}

func freeze(suspends bool) func(w *world, f Fault) func() {
	return func(w *world, f Fault) func() {
		h := w.host(f.On)
		if !h.Up() || h.Frozen() {
			return nil
		}
		began := w.e.Now()
		h.Freeze()
		w.froze[h] = began
		return func() {
			if !h.Frozen() || w.froze[h] != began { // it has lost its power since
				return
			}
			for _, s := range w.db {
				if s.host == h {
					w.wakes(s)
				}
			}
			if suspends {
				// A little less than it was, for clocks that drift.
				lost := (w.e.Now() - began) / 1000 * 999
				if w.spec.Lease > 0 {
					lost = lost / 10 * 9
				}
				for _, p := range w.processes(h) {
					p.Lag(lost)
				}
			}
			h.Thaw()
			w.revive(h)
		}
	}
}

// processes are those that live on a host.
func (w *world) processes(h *engine.Host) []*engine.Process {
	var all []*engine.Process
	add := func(p *engine.Process) {
		if p != nil && p.Alive() && p.Host() == h {
			all = append(all, p)
		}
	}
	for _, s := range w.db {
		add(s.Process())
	}
	for _, d := range w.daemons {
		add(d.p)
	}
	return all
}
