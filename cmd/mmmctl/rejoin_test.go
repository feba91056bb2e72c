package main

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/control"
)

// Before a discard that was interrupted is finished nobody is told that none will be lost.
func TestWhatADiscardLoses(t *testing.T) {
	for want, q := range map[string]control.Quarantine{
		"2 transactions of 127.0.0.1:2 will be lost":              {Node: nodeB, State: "errant", Count: 2},
		"its rows are taken back already":                         {Node: nodeB, State: "unfinished"},
		"what is in the binary logs of 127.0.0.1:2 alone will be": {Node: nodeB, State: "unfinished"},
	} {
		if got := lostFor(q); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", q.State, got, want)
		}
	}
}
