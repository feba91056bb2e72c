package check

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// Registers finds registers that no order of their operations explains: each
// acknowledged compare-and-set that swapped, and each read that committed, has to have
// happened at one instant between its invocation and its return, and what the servers hold is read at the end.
// A compare-and-set whose outcome is unknown may have happened at any time after its
// invocation, or never. One that was told that nothing was swapped has committed nothing:
// a server that does not know better may have said so, and it is left out.
//
// A write that was lost makes a register inexplicable, whether it was promised to last or
// not: whoever calls decides whether it was. Keys that limit is too short for are counted.
func Registers(r Round, limit time.Duration) ([]Finding, Sums) {
	var found []Finding
	var sums Sums
	var began, over time.Time
	for _, op := range r.Ops {
		if began.IsZero() || op.Invoke.Before(began) {
			began = op.Invoke
		}
		over = latest(over, op.Return)
	}
	keys := map[int64][]porcupine.Operation{}
	for _, op := range r.Ops {
		o := porcupine.Operation{ClientId: op.Client, Input: op, Call: int64(op.Invoke.Sub(began)), Return: int64(op.Return.Sub(began))}
		switch {
		case op.Kind == history.Read && op.Outcome == history.OK, op.Kind == history.CAS && op.Wrote():
		case op.Kind == history.CAS && op.Outcome == history.Unknown:
			o.Return = math.MaxInt64
		default:
			continue
		}
		keys[op.Key] = append(keys[op.Key], o)
	}
	for _, tables := range r.Tables {
		for key := range tables.Registers {
			if _, ok := keys[key]; !ok {
				keys[key] = nil // nobody has touched it, and it is read in the end
			}
		}
	}
	end := int64(over.Sub(began)) + 1
	deadline := time.Duration(0)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ops := keys[key]
		for _, e := range r.servers() {
			value, ok := r.Tables[e].Registers[key]
			if !ok {
				found = append(found, Finding{"registers", fmt.Sprintf("%s has no register %d", e, key)})
				continue
			}
			ops = append(ops, porcupine.Operation{Input: history.Op{Kind: history.Read, Key: key, Value: value, Server: e, Outcome: history.OK}, Call: end, Return: end})
		}
		if deadline >= limit {
			sums.RegistersUnknown++
			continue
		}
		before := time.Now()
		result := porcupine.CheckOperationsTimeout(register, ops, limit-deadline)
		deadline += time.Since(before)
		switch result {
		case porcupine.Ok:
			sums.Registers++
		case porcupine.Unknown:
			sums.RegistersUnknown++
		default:
			found = append(found, Finding{"registers", fmt.Sprintf("no order of its %d operations explains register %d", len(ops), key)})
		}
	}
	return found, sums
}

// register is one register, 0 in the beginning.
var register = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		value, op := state.(int64), input.(history.Op)
		switch {
		case op.Kind == history.Read:
			return value == op.Value, value
		case value == op.Old:
			return true, op.New
		}
		// Unknown: it does nothing, now as at any other time when it finds another value.
		return op.Outcome == history.Unknown, value
	},
	Hash: func(state any) uint64 { return uint64(state.(int64)) },
}
