package check

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

func TestAvailable(t *testing.T) {
	for _, c := range []struct {
		name        string
		undisturbed bool
		next        int // when the next write is acknowledged, in milliseconds
		outcome     history.Outcome
		finding     string
	}{
		{"a short gap", true, 6100, history.OK, ""},
		{"a long one", true, 6300, history.OK, "nothing was acknowledged for 6100.0 ms"},
		{"a long one after something had happened to a server", false, 6300, history.OK, ""},
		{"what is not acknowledged ends no gap", true, 3000, history.Refused, "nothing was acknowledged for 9800.0 ms"},
	} {
		s := newStory()
		s.Undisturbed = c.undisturbed
		s.op(history.Transfer, a, 100, 200, history.OK)
		s.op(history.Transfer, a, c.next-10, c.next, c.outcome)
		s.op(history.Transfer, a, 110, 9000, history.Unknown)
		if c.outcome != history.OK {
			s.op(history.Transfer, a, 9990, 10000, history.OK)
		}
		expect(t, c.name, Available(s.Round), c.finding)
	}

	s := newStory()
	s.Undisturbed = true
	s.op(history.Transfer, a, 100, 9000, history.OK) // one that waits for long, while others are acknowledged
	for ms := 200; ms < 9000; ms += 500 {
		s.op(history.Transfer, a, ms, ms+5, history.OK)
	}
	expect(t, "a slow write", Available(s.Round), "")
}
