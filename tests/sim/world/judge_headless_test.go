package world

import (
	"time"
)

// storiesOfHeadless are of a pair without an active.
var storiesOfHeadless = []story{
	{"nobody takes over for long", Promise{MaxLoss: -1, Silence: time.Second}, "L3", func(h *history) {
		h.die(ja)
		h.Headless(h.t+2*(time.Second+toReplace), ja, h.t)
	}},
	{"nobody takes over yet", Promise{MaxLoss: -1, Silence: time.Second}, "", func(h *history) {
		h.die(ja)
		h.Headless(h.t+2*(time.Second+toReplace)-1, ja, h.t)
	}},
	{"nobody takes over where a person has written", Promise{MaxLoss: -1, Silence: time.Second}, "", func(h *history) {
		h.Interfered(h.tick(), 9)
		h.die(ja)
		h.Headless(h.t+time.Minute, ja, h.t)
	}},
}
