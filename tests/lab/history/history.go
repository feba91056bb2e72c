// Package history holds what the clients of a workload saw, operation by
// operation, and what the servers held in the end. It is data: it runs nothing
// and judges nothing.
package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Kind says what an operation does.
type Kind string

// The kinds of operations.
const (
	Insert   Kind = "insert"   // a client inserts the row (round, client, Seq)
	Probe    Kind = "probe"    // the same, by a client that asks one server alone
	CAS      Kind = "cas"      // register Key goes from Old to New, if it is Old: Swapped says so
	Read     Kind = "read"     // register Key was Value when the read's own write was committed
	Transfer Kind = "transfer" // Value goes from account Key to account New
	Total    Kind = "total"    // the accounts held Value together when its own write was committed
)

// Outcome is what a client knows of an operation when it is over.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"      // acknowledged
	Refused Outcome = "refused" // certainly not done
	Unknown Outcome = "unknown" // may have been done, or may be done later
)

// Op is one operation of a client as the client saw it.
type Op struct {
	Round  int              `json:"round"`
	Client int              `json:"client"`
	Host   string           `json:"host,omitempty"` // where the client runs
	Kind   Kind             `json:"kind"`
	Server cluster.Endpoint `json:"server"` // who was asked
	// Invoke is before the statement was sent, Return after it was answered or given up.
	Invoke  time.Time `json:"invoke"`
	Return  time.Time `json:"return"`
	Outcome Outcome   `json:"outcome"`
	Seq     int64     `json:"seq,omitempty"`
	Key     int64     `json:"key,omitempty"`
	Old     int64     `json:"old,omitempty"`
	New     int64     `json:"new,omitempty"`
	Swapped bool      `json:"swapped,omitempty"`
	Value   int64     `json:"value,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// IsRow reports whether the operation inserts a row.
func (o Op) IsRow() bool { return o.Kind == Insert || o.Kind == Probe }

// Wrote reports whether the server has acknowledged a write of its own to the
// client: a compare-and-set that swaps nothing commits nothing.
func (o Op) Wrote() bool { return o.Outcome == OK && (o.Kind != CAS || o.Swapped) }

// History collects the operations of one round; it is safe for use by several goroutines.
type History struct {
	mu    sync.Mutex
	round int
	ops   []Op
}

// New makes the empty history of a round.
func New(round int) *History { return &History{round: round} }

// Round is the number of the round.
func (h *History) Round() int { return h.round }

// Add adds an operation that is over.
func (h *History) Add(op Op) {
	op.Round = h.round
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Len counts the operations so far.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Ops are the operations so far, in the order in which they were invoked.
func (h *History) Ops() []Op {
	h.mu.Lock()
	ops := slices.Clone(h.ops)
	h.mu.Unlock()
	slices.SortStableFunc(ops, func(a, b Op) int { return a.Invoke.Compare(b.Invoke) })
	return ops
}

// WriteJSON writes the operations as lines of JSON.
func (h *History) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, op := range h.Ops() {
		if err := enc.Encode(op); err != nil {
			return fmt.Errorf("write history of round %d: %w", h.round, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write history of round %d: %w", h.round, err)
	}
	return nil
}

// ReadJSON reads operations as WriteJSON writes them. Their times are of the wall
// clock alone.
func ReadJSON(r io.Reader) ([]Op, error) {
	var ops []Op
	for dec := json.NewDecoder(r); ; {
		var op Op
		switch err := dec.Decode(&op); {
		case errors.Is(err, io.EOF):
			return ops, nil
		case err != nil:
			return ops, fmt.Errorf("read operation %d: %w", len(ops)+1, err)
		}
		ops = append(ops, op)
	}
}

// What each round begins with: registers of 0, and accounts with something in each.
const (
	Registers = 16
	Accounts  = 8
	Balance   = 100
)

// Row is a row of one round on a server.
type Row struct {
	Client int
	Seq    int64
	// Epoch is what the epoch row said where the row was written, and Server the
	// server_id there.
	Epoch  cluster.Epoch
	Server uint32
}

// Tables are what a server holds of one round.
type Tables struct {
	Rows []Row
	// Registers and Accounts are values and balances by key.
	Registers, Accounts map[int64]int64
}
