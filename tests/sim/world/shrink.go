package world

import (
	"maps"
	"slices"
	"time"
)

// Shrink makes spec smaller while fails holds of it: fewer rounds, fewer faults and
// orders, shorter ones, fewer daemons and clients, less that is unusual. It asks fails
// budget times at most and returns the smallest spec found; spec itself is taken to
// fail and is not changed.
func Shrink(spec Spec, fails func(Spec) bool, budget int) Spec {
	s := shrinker{best: clone(spec), fails: fails, left: budget}
	for s.left > 0 {
		was := s.left
		s.better = false
		s.sooner()
		for round := 1; round <= s.best.rounds(); round++ {
			fewer(&s, func(spec *Spec) *[]Fault { return &spec.at(round).Faults })
			fewer(&s, func(spec *Spec) *[]Order { return &spec.at(round).Operator })
		}
		s.simpler()
		for round := 1; round <= s.best.rounds(); round++ {
			s.shorter(round)
		}
		if !s.better || s.left == was {
			break
		}
	}
	return s.best
}

type shrinker struct {
	best   Spec
	fails  func(Spec) bool
	left   int
	better bool // since it went through all of it last
}

// try takes what change makes of the best spec when that still fails.
func (s *shrinker) try(change func(*Spec)) bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	next := clone(s.best)
	change(&next)
	if !s.fails(clone(next)) {
		return false
	}
	s.best, s.better = next, true
	return true
}

// clone copies what a change may touch.
func clone(spec Spec) Spec {
	spec.Rounds = slices.Clone(spec.Rounds)
	for i := 1; i <= spec.rounds(); i++ {
		r := spec.at(i)
		r.Faults, r.Operator = slices.Clone(r.Faults), slices.Clone(r.Operator)
	}
	spec.Clocks = maps.Clone(spec.Clocks)
	return spec
}

// sooner leaves out rounds after the first one, and then first ones.
func (s *shrinker) sooner() {
	fewer(s, func(spec *Spec) *[]Round { return &spec.Rounds })
	for len(s.best.Rounds) > 0 && s.try(func(spec *Spec) { spec.Round, spec.Rounds = spec.Rounds[0], spec.Rounds[1:] }) {
	}
}

// fewer leaves out runs of one list, long ones first.
func fewer[T any](s *shrinker, list func(*Spec) *[]T) {
	for size := len(*list(&s.best)); size > 0; size /= 2 {
		for at := 0; at < len(*list(&s.best)); {
			end := min(at+size, len(*list(&s.best)))
			if !s.try(func(spec *Spec) {
				all := list(spec)
				*all = slices.Delete(*all, at, end)
			}) {
				at = end
			}
		}
	}
}

// simpler tries what is less in number or less unusual.
func (s *shrinker) simpler() {
	agents := func(spec *Spec) *int { return &spec.Agents }
	here := func(spec *Spec) *bool { return &spec.Local }
	if s.best.Lease > 0 && !s.try(func(spec *Spec) { spec.Lease = 0 }) {
		// Leases are for one agent on each server's host.
		agents = func(*Spec) *int { return new(int) }
		here = func(*Spec) *bool { return new(bool) }
	}
	for _, number := range []func(*Spec) *int{
		func(spec *Spec) *int { return &spec.Monitors },
		func(spec *Spec) *int { return &spec.Identifies },
		agents,
		func(spec *Spec) *int { return &spec.Clients },
	} {
		for less := 1; less < *number(&s.best); less++ {
			if s.try(func(spec *Spec) { *number(spec) = less }) {
				break
			}
		}
	}
	for _, flag := range []func(*Spec) *bool{
		here,
		func(spec *Spec) *bool { return &spec.StartsOpen },
		func(spec *Spec) *bool { return &spec.Recovers },
		func(spec *Spec) *bool { return &spec.AutoReplicate },
		func(spec *Spec) *bool { return &spec.Blocks },
	} {
		if *flag(&s.best) {
			s.try(func(spec *Spec) { *flag(spec) = false })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.best.Clocks)) {
		s.try(func(spec *Spec) { delete(spec.Clocks, name) })
	}
	if s.best.Apply > 0 {
		s.try(func(spec *Spec) { spec.Apply = 0 })
	}
}

// finest is below what a time is not made shorter.
const finest = 10 * time.Millisecond

// shorter halves times of a round, and ends the faults when the last of them ends.
func (s *shrinker) shorter(round int) {
	for i := range s.best.at(round).Faults {
		s.halve(func(spec *Spec) *time.Duration { return &spec.at(round).Faults[i].For })
		s.halve(func(spec *Spec) *time.Duration { return &spec.at(round).Faults[i].At })
	}
	for i := range s.best.at(round).Operator {
		s.halve(func(spec *Spec) *time.Duration { return &spec.at(round).Operator[i].At })
	}
	var end time.Duration
	for _, f := range s.best.at(round).Faults {
		end = max(end, f.At+f.For)
	}
	for _, o := range s.best.at(round).Operator {
		end = max(end, o.At)
	}
	if end += finest; end < s.best.at(round).Until {
		s.try(func(spec *Spec) { spec.at(round).Until = end })
	}
	s.halve(func(spec *Spec) *time.Duration { return &spec.at(round).Until })
}

func (s *shrinker) halve(of func(*Spec) *time.Duration) {
	for d := *of(&s.best); d >= 2*finest; d = *of(&s.best) {
		half := (d / 2).Truncate(time.Millisecond)
		if !s.try(func(spec *Spec) { *of(spec) = half }) {
			return
		}
	}
}
