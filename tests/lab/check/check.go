// Package check judges what clients saw and servers held. Its checkers are functions of
// a history and of tables: they read nothing else, keep nothing, and tell findings and sums as data.
//
// A finding is meant to be certain. What a client does not know is taken for either,
// and what the record of the pair named as a risk is counted and not found fault with.
package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// Finding is something that must not be.
type Finding struct {
	Checker string `json:"checker"`
	Text    string `json:"text"`
}

// String gives the finding in one line.
func (f Finding) String() string { return f.Checker + ": " + f.Text }

// Promise says whether acknowledged writes were promised to be on both servers in a span of time.
type Promise struct {
	From, To time.Time
	Waits    bool
}

// Round is what is known of one round after the pair has converged.
type Round struct {
	Ops []history.Op
	// Tables are what each server holds.
	Tables map[cluster.Endpoint]history.Tables
	// Promises are spans; outside of all of them nothing is promised.
	Promises []Promise
	// Trail is that of the whole run; nil for none, and then two writers are counted
	// and not found fault with.
	Trail *Trail
	// Weak are proofs that count as risks in this round, such as that of leases when
	// somebody who keeps them was held up.
	Weak []cluster.Proof
	// Durability is what is promised of acknowledged writes; Loose that something has happened after
	// which that is not held, as when Redis was set back or a person has opened a server.
	Durability cluster.Durability
	Loose      bool
	// Undisturbed: nothing has happened to servers, agents and clients.
	Undisturbed bool
	// Down are spans in which servers had no process.
	Down []Down
}

// Down is a span in which a server had no process.
type Down struct {
	Server   cluster.Endpoint
	From, To time.Time
}

// Sums count what happened in one round, or in several.
type Sums struct {
	Acknowledged   int `json:"acknowledged"` // rows
	LostPromised   int `json:"lost_promised"`
	LostUnpromised int `json:"lost_unpromised"`
	Unknown        int `json:"unknown"`
	UnknownPresent int `json:"unknown_present"`
	Refused        int `json:"refused"`
	// ToldLate are rows written before a higher epoch acknowledged its first, and told after.
	ToldLate int `json:"told_late"`
	// DualRows were written by one server while another was the active, for Dual in all.
	DualRows int           `json:"dual_rows"`
	Dual     time.Duration `json:"dual"`
	// Registers, RegistersUnknown and RegistersSkipped count keys that were found
	// linearizable, those for which time was too short, and rounds that were not looked at.
	Registers        int `json:"registers"`
	RegistersUnknown int `json:"registers_unknown"`
	RegistersSkipped int `json:"registers_skipped"`
	Totals           int `json:"totals"` // sums that clients have read
	Transfers        int `json:"transfers"`
}

// Add adds the sums of another round.
func (s *Sums) Add(o Sums) {
	s.Acknowledged += o.Acknowledged
	s.LostPromised += o.LostPromised
	s.LostUnpromised += o.LostUnpromised
	s.Unknown += o.Unknown
	s.UnknownPresent += o.UnknownPresent
	s.Refused += o.Refused
	s.ToldLate += o.ToldLate
	s.DualRows += o.DualRows
	s.Dual += o.Dual
	s.Registers += o.Registers
	s.RegistersUnknown += o.RegistersUnknown
	s.RegistersSkipped += o.RegistersSkipped
	s.Totals += o.Totals
	s.Transfers += o.Transfers
}

// Check runs every checker of a round. Registers are judged where every
// acknowledged operation on them was promised to last or its durability lets none be lost, or one server alone
// has acknowledged anything, and no row was lost that was not promised.
func Check(r Round, limit time.Duration) ([]Finding, Sums) {
	var sums Sums
	var all []Finding
	take := func(found []Finding, s Sums) {
		all = append(all, found...)
		sums.Add(s)
	}
	take(Rows(r))
	take(OneWriter(r))
	take(Durable(r, sums), Sums{})
	take(Available(r), Sums{})
	take(Transfers(r))
	if sums.LostUnpromised > 0 || !r.lasting() {
		take(nil, Sums{RegistersSkipped: 1})
	} else {
		take(Registers(r, limit))
	}
	return all, sums
}

// lasting reports whether no acknowledged write of a register can have been lost rightly.
func (r Round) lasting() bool {
	if r.durable() {
		return true
	}
	servers, promised := map[cluster.Endpoint]bool{}, true
	for _, op := range r.Ops {
		if !op.Wrote() {
			continue
		}
		servers[op.Server] = true
		if !op.IsRow() && !r.promised(op) {
			promised = false
		}
	}
	return promised || len(servers) <= 1
}

// promised reports whether one span of promise lasts from the invocation of op to its return.
func (r Round) promised(op history.Op) bool {
	return slices.ContainsFunc(r.Promises, func(p Promise) bool {
		return p.Waits && !op.Invoke.Before(p.From) && !op.Return.After(p.To)
	})
}

func (r Round) servers() []cluster.Endpoint { return slices.Sorted(maps.Keys(r.Tables)) }

// id names a row.
type id struct {
	client int
	seq    int64
}

func idOf(r history.Row) id { return id{r.Client, r.Seq} }

func (i id) String() string { return fmt.Sprintf("%d/%d", i.client, i.seq) }

func compare(a, b id) int {
	if a.client != b.client {
		return a.client - b.client
	}
	return int(a.seq - b.seq)
}

// some counts rows and names the first ones.
func some(rows []id) string {
	rows = slices.SortedFunc(slices.Values(rows), compare)
	var names []string
	for _, row := range rows[:min(len(rows), 5)] {
		names = append(names, row.String())
	}
	if len(rows) > 5 {
		names = append(names, "...")
	}
	return fmt.Sprintf("%d rows (client/seq %s)", len(rows), strings.Join(names, " "))
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
