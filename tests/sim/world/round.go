package world

import (
	"slices"
	"time"
)

// Round is one bout of faults: they happen, all heals, and the pair has to be well again.
type Round struct {
	Operator []Order `json:",omitempty"`
	Faults   []Fault `json:",omitempty"`
	// Until is when the faults end and the heal begins, of the round's time.
	Until time.Duration
	// Settles is how long the pair must have been well after that to be believed;
	// 1 s when zero.
	Settles time.Duration `json:",omitempty"`
}

// at is the round with a number, from 1 on.
func (s *Spec) at(round int) *Round {
	if round <= 1 {
		return &s.Round
	}
	return &s.Rounds[round-2]
}

// rounds is how many rounds there are to be.
func (s *Spec) rounds() int { return 1 + len(s.Rounds) }

// leaps reports whether clocks leap in the round.
func (r *Round) leaps() bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Kind == daemonLeap || f.Kind == redisLeap })
}

// enter begins a round.
func (w *world) enter(r Round) {
	w.round++
	w.began, w.healed, w.wellFrom, w.headless = w.e.Now(), 0, 0, 0
	w.stood, w.away, w.shut, w.requested, w.writing = 0, 0, 0, false, true
	round := w.round
	for _, o := range r.Operator {
		w.e.At(w.began+o.At, func() { w.operate(o, round) })
	}
	for _, f := range r.Faults {
		w.plan(f)
	}
	w.e.At(w.began+r.Until, w.heal)
	w.e.After(lookEvery, func() { w.lookAfter(round) })
}

// suffers reports whether the faults of a round happen now.
func (w *world) suffers(round int) bool { return w.round == round && w.healed == 0 }

// again begins the next round; it reports whether there is one, and the pair can be
// held to all its promises anew.
func (w *world) again() bool {
	if w.round == w.spec.rounds() || !w.same() {
		return false
	}
	r := w.spec.at(w.round + 1)
	if !w.judge.Again(w.e.Now(), w.record(), r.leaps()) {
		return false
	}
	for _, s := range w.db {
		s.setApply(0)
	}
	w.enter(*r)
	return true
}
