package check

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// durable reports whether no acknowledged write may be lost, whenever it was.
func (r Round) durable() bool {
	return r.Durability.Acknowledged() && !r.Loose && !r.Trail.forced()
}

// Durable finds what durability does not allow, given the sums of Rows and OneWriter. Where commits are to wait
// for the passive, nobody who lacks an acknowledged row takes over by itself, at times when none waits either;
// so that no two servers acknowledge, whatever risk the record names; and under semisync-strict no
// server acknowledges anything while the other one has no process.
func Durable(r Round, sums Sums) []Finding {
	if !r.durable() {
		return nil
	}
	var found []Finding
	find := func(format string, args ...any) {
		found = append(found, Finding{"durability", fmt.Sprintf(format, args...)})
	}
	if sums.LostUnpromised > 0 {
		find("%d rows are lost that were acknowledged while commits did not wait, and under %s nobody takes over who lacks any", sums.LostUnpromised, r.Durability)
	}
	if sums.DualRows > 0 {
		find("%d rows were acknowledged by one server in the %s since another one did, and under %s none is", sums.DualRows, ms(sums.Dual), r.Durability)
	}
	if r.Durability != cluster.SemiSyncStrict {
		return found
	}
	for _, down := range r.Down {
		var alone []history.Op
		for _, op := range r.Ops {
			if op.Wrote() && op.Server != down.Server && op.Invoke.After(down.From) && op.Return.Before(down.To) {
				alone = append(alone, op)
			}
		}
		if len(alone) > 0 {
			first := alone[0]
			find("%s acknowledged %d writes while %s had no process, the first (client %d, %s) %s after it had ended",
				first.Server, len(alone), down.Server, first.Client, first.Kind, ms(first.Return.Sub(down.From)))
		}
	}
	return found
}
