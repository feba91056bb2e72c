package engine

import (
	"fmt"
	"strings"
	"time"
)

// Trace is what happened in a world, as far as it was recorded.
type Trace struct {
	// Entries are in the order in which they happened.
	Entries []Entry
	last    int
}

// Entry is one thing that happened.
type Entry struct {
	// Event is its number: entries with the same one were one event.
	Event uint64
	// At is the time of the world.
	At time.Duration
	// Who is the process, with the number of its coroutine, or the host.
	Who string
	// Text says what happened.
	Text string
}

func (n Entry) String() string {
	return fmt.Sprintf("%15s %8d  %-20s %s", n.At, n.Event, n.Who, n.Text)
}

// String is one line for each entry.
func (t *Trace) String() string {
	var b strings.Builder
	for _, n := range t.Entries {
		b.WriteString(n.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Record begins a trace of all that happens from now on. It keeps at least the
// last entries, and fewer than twice as many; all of them when last is zero.
func (e *Engine) Record(last int) *Trace {
	e.trace = &Trace{last: last}
	return e.trace
}

// Recording reports whether there is a trace. Ask it before a Note whose text has
// to be built.
func (e *Engine) Recording() bool { return e.trace != nil }

// Note adds to the trace; without one it does nothing.
func (e *Engine) Note(who, text string) {
	t := e.trace
	if t == nil {
		return
	}
	// The oldest go in one copy now and then.
	if t.last > 0 && len(t.Entries) >= 2*t.last {
		t.Entries = append(t.Entries[:0], t.Entries[len(t.Entries)-t.last+1:]...)
	}
	t.Entries = append(t.Entries, Entry{Event: e.events, At: e.now, Who: who, Text: text})
}
