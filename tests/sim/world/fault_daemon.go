package world

import (
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Faults of daemons.

func killDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	w.killed(d)
	d.p.Kill()
	return d.start
}

// killed counts in which phase a daemon dies.
func (w *world) killed(d *daemon) {
	phases := []cluster.Phase{cluster.PhaseSteady, cluster.PhaseSwitching, cluster.PhaseRevoked, cluster.PhaseOpening}
	for i, phase := range phases {
		switch {
		case w.record().Phase != phase:
		case d.name[:2] == "id":
			w.count(SawIdentifyKilledSteady + Counter(i))
		case d.isAgent():
			w.count(SawAgentKilledSteady + Counter(i))
		}
	}
}

func stopDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	w.killed(d)
	d.p.Post(d.stop)
	p := d.p
	return func() {
		p.Kill()
		d.start()
	}
}

func pauseDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	p := d.p
	p.Pause()
	switch {
	case d.isAgent():
		w.count(SawAgentPaused)
	case f.For > identifyLease && w.redis.Store().Snapshot(w.redis.Now()).Leader.ID == d.id():
		w.count(SawLeaderPaused)
	}
	return p.Resume
}

func leapDaemon(w *world, f Fault) func() {
	w.count(SawClockLeapt)
	w.named(f.On).p.Leap(f.For)
	return nil
}

func failDisk(hangs bool) func(w *world, f Fault) func() {
	return func(w *world, f Fault) func() {
		d := w.named(f.On).disk
		d.fails, d.hangs = true, hangs
		w.judge.Forgets(w.e.Now())
		w.count(SawMemoryFailed)
		return func() { d.fails, d.hangs = false, false }
	}
}
