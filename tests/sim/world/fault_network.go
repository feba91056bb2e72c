package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Faults of the network.

func cutOneWay(w *world, f Fault) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.count(SawCutOneWay)
	w.net.Cut(a, b)
	return func() { w.net.Heal(a, b) }
}

func cutBothWays(w *world, f Fault) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.count(SawCutBothWays)
	w.net.CutBoth(a, b)
	return func() { w.net.HealBoth(a, b) }
}

// isolate cuts a host off from all others; but for one, when the fault names it.
func isolate(w *world, f Fault) func() {
	h := w.host(f.On)
	var cut []*engine.Host
	for _, o := range w.hosts {
		if o != h && o.Name() != f.To {
			cut = append(cut, o)
			w.net.CutBoth(h, o)
		}
	}
	return func() {
		for _, o := range cut {
			w.net.HealBoth(h, o)
		}
	}
}

func slowLink(w *world, f Fault) func() {
	w.count(SawSlowLink)
	return w.change(f, engine.Link{Low: 100 * time.Millisecond, High: 1500 * time.Millisecond})
}

func lossyLink(w *world, f Fault) func() {
	return w.change(f, engine.Link{Low: usual.Low, High: usual.High, Lose: 300, Twice: 50})
}

func (w *world) change(f Fault, l engine.Link) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.net.SetLink(a, b, l)
	w.net.SetLink(b, a, l)
	return func() {
		w.net.SetLink(a, b, usual)
		w.net.SetLink(b, a, usual)
	}
}

func door(w *world, f Fault) func() {
	s := w.on(f)
	s.Door(engine.Door(f.N))
	return func() { s.Door(engine.Open) }
}
