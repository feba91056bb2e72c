package check

import (
	"fmt"
	"slices"
	"time"
)

// longestGap is far above what a busy machine makes of some milliseconds.
const longestGap = 6 * time.Second

// Available finds a span in which nothing was acknowledged though nothing had happened to servers, agents and
// clients: whatever becomes of Redis and of those who watch, the active goes on.
func Available(r Round) []Finding {
	if !r.Undisturbed {
		return nil
	}
	var told []time.Time
	for _, op := range r.Ops {
		if op.Wrote() {
			told = append(told, op.Return)
		}
	}
	slices.SortFunc(told, time.Time.Compare)
	var since time.Time
	var longest time.Duration
	for i := 1; i < len(told); i++ {
		if gap := told[i].Sub(told[i-1]); gap > longest {
			longest, since = gap, told[i-1]
		}
	}
	if longest <= longestGap {
		return nil
	}
	return []Finding{{"availability", fmt.Sprintf("nothing was acknowledged for %s from %s on, and nothing had happened to servers and agents", ms(longest), since.Format(time.TimeOnly))}}
}
