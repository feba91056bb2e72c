package world

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// acknowledges is the pair as it keeps a promise.
func (h *history) acknowledges() Acknowledging {
	return Acknowledging{Record: h.rec, Waits: true, Receivers: 1, Passive: true}
}

// healed looks at a pair that is well, whose promise is broken in some way or not, until nothing is waited
// for any more, for so long at most.
func (h *history) healed(most time.Duration, change func(a *Acknowledging)) (done bool) {
	for end := h.t + most; h.t <= end && !done; h.t += lookEvery {
		a := h.acknowledges()
		change(&a)
		done = h.Promises(h.t, a, short)
	}
	return done
}

const tooLate = toPromise + time.Second

func kept(*Acknowledging) {}

// storiesOfPromise are of what a healed pair does for acknowledged writes.
var storiesOfPromise = []story{
	{"a healed pair keeps its promise", async, "", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, kept)
	}},
	{"the record never has commits wait again", async, "L4", func(h *history) {
		h.durable(false)
		h.healed(tooLate, kept)
	}},
	{"the record has commits wait again in time", async, "", func(h *history) {
		h.durable(false)
		h.healed(toPromise-time.Second, kept)
		h.durable(true, jb)
		h.healed(tooLate, kept)
	}},
	{"the record never has commits wait where it promises nothing", async, "", func(h *history) {
		h.healed(tooLate, kept)
	}},
	{"commits wait, and the passive never may take over", async, "L4", func(h *history) {
		h.durable(true)
		h.healed(tooLate, kept)
	}},
	{"commits wait in the record alone", async, "L4", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, func(a *Acknowledging) { a.Waits = false })
	}},
	{"the passive never acknowledges", async, "L4", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, func(a *Acknowledging) { a.Passive, a.Receivers = false, 0 })
	}},
	{"another server never ends to acknowledge", async, "L4", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, func(a *Acknowledging) { a.Receivers = 2 })
	}},
	{"the change of a role never ends", async, "L4", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, func(a *Acknowledging) { a.Record.Phase = cluster.PhaseSwitching })
	}},
	{"the promise is kept for moments alone", async, "L4", func(h *history) {
		h.durable(true, jb)
		moment := 0
		h.healed(tooLate, func(a *Acknowledging) {
			moment++
			a.Waits = moment%2 == 0
		})
	}},
	{"the passive is in quarantine", async, "", func(h *history) {
		h.durable(false)
		h.healed(tooLate, func(a *Acknowledging) { a.Quarantined = true })
	}},
	{"the lease of who is gone does not end", async, "", func(h *history) {
		h.durable(false)
		h.healed(tooLate, func(a *Acknowledging) { a.Unled = true })
	}},
	{"the promise is kept for moments alone, and the lease of who is gone does not end", async, "", func(h *history) {
		h.durable(true, jb)
		h.healed(tooLate, func(a *Acknowledging) { a.Unled = true })
	}},
	{"the promise is not kept while an operator has paused the pair, and in time after that", async, "", func(h *history) {
		h.durable(false)
		h.healed(tooLate, func(a *Acknowledging) { a.Paused = true })
		h.healed(toPromise-time.Second, kept)
		h.durable(true, jb)
		h.healed(tooLate, kept)
	}},
	{"the promise is never kept after an operator had paused the pair", async, "L4", func(h *history) {
		h.durable(false)
		h.healed(time.Second, func(a *Acknowledging) { a.Paused = true })
		h.healed(tooLate, kept)
	}},
}

// A world ends when its promise is kept, and that it came back is counted.
func TestJudgeWaitsForThePromise(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(a *Acknowledging) // for a second; nil: kept from the beginning on
		back  uint32
	}{
		{"kept from the beginning on", nil, 0},
		{"kept again", func(a *Acknowledging) { a.Waits = false }, 1},
		{"nothing is promised any more", func(a *Acknowledging) { a.Record.Durability = cluster.Async }, 0},
		{"a quarantine", func(a *Acknowledging) { a.Quarantined = true }, 0},
		{"a pause", func(a *Acknowledging) { a.Paused = true }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := begin(async)
			h.durable(true, jb)
			done := c.first != nil && h.healed(time.Second, c.first)
			done = done || h.healed(time.Second, kept)
			if !done || h.Seen[SawPromiseBack] != c.back || h.Violation() != nil {
				t.Errorf("done: %v, came back %d times, %v", done, h.Seen[SawPromiseBack], h.Violation())
			}
		})
	}
}
