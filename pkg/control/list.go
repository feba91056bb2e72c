package control

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// What Row.Phase says of a steady record where nobody takes writes.
const (
	phaseHeld     = "held"
	phaseNoActive = "no active"
)

// Row is one tag in the list.
type Row struct {
	Tag      cluster.Tag      `json:"tag"`
	UniqSign cluster.UniqSign `json:"uniqsign"`
	Active   cluster.Endpoint `json:"active,omitempty"`
	// Phase is the record's, or what is true in its place: held or no active
	// where nobody takes writes, predecessor or no record where there is none.
	Phase    string        `json:"phase"`
	Epoch    cluster.Epoch `json:"epoch"`
	Paused   bool          `json:"paused"`
	PausedBy string        `json:"paused_by,omitempty"`
	Why      string        `json:"why"`
	// Exit is 0 when the tag is well, 3 when it is paused, changes its role, an
	// automatic failover would not happen now, or a record cannot be read, 4 when nobody is active or takes
	// writes, 69 when the bus does not answer.
	Exit int `json:"exit_code"`
	// Error is set when the tag could not be read; then nothing else is known.
	Error *Error `json:"error,omitempty"`
}

// List reads the tags side by side; the rows are in the order of pairs.
func (s *Service) List(ctx context.Context, pairs []cluster.Pair) []Row {
	rows := make([]Row, len(pairs))
	var wg sync.WaitGroup
	for i, p := range pairs {
		wg.Go(func() {
			rows[i] = Row{Tag: p.Tag, UniqSign: p.UniqSign}
			snap, err := s.opt.Bus.Snapshot(ctx, p.UniqSign)
			if err != nil {
				rows[i].Error = unreachable(err)
				rows[i].Exit = rows[i].Error.Exit
				return
			}
			rows[i].fill(snap)
			rows[i].judge(p, snap)
		})
	}
	wg.Wait()
	return rows
}

func (r *Row) fill(s cluster.Snapshot) {
	r.Active, r.Epoch, r.Phase = activeOf(s), s.Assignment.Epoch, string(s.Assignment.Phase)
	if !s.Assignment.Exists() {
		r.Phase = "no record"
		if r.Active != "" {
			r.Phase = "predecessor"
		}
	}
	if v := s.Verdict; v != nil && s.Assignment.Phase == cluster.PhaseSteady {
		switch {
		case v.Held:
			r.Phase = phaseHeld
		case slices.ContainsFunc(v.Notes, func(n cluster.Reason) bool { return n.Code == failover.ActiveClosed }):
			r.Phase = phaseNoActive
		}
	}
	if s.Pause != nil {
		r.Paused, r.PausedBy = true, s.Pause.Actor
	}
	switch {
	case s.Verdict != nil:
		r.Why = s.Verdict.Reason.Text
		var no []string
		for _, b := range cluster.Unsaid(s.Verdict.Reason, s.Verdict.Blockers) {
			no = append(no, b.Text)
		}
		switch {
		case len(no) > 0 && s.Verdict.Held:
			r.Why += "; also: " + strings.Join(no, "; ")
		case len(no) > 0:
			r.Why += "; would not fail over now: " + strings.Join(no, "; ")
		}
	case s.Leader.ID != "":
		r.Why = "identify " + s.Leader.ID + " has given no verdict yet"
	default:
		r.Why = "no mmm-identify leads"
	}
	if len(s.Faults) > 0 {
		r.Why += "; a record on the bus cannot be read: " + s.Faults[0]
	}
}

// judge sets Exit as mmm-status does, as far as one look at the bus tells.
func (r *Row) judge(p cluster.Pair, s cluster.Snapshot) {
	a := s.Assignment
	switch {
	case r.Active == "" || r.Phase == phaseHeld || r.Phase == phaseNoActive:
		r.Exit = ExitNoActive
	case r.Paused || s.AssignmentFault != "" || len(s.Faults) > 0 || a.Exists() && a.Phase != cluster.PhaseSteady:
		r.Exit = ExitDegraded
	case p.ServiceMode == cluster.ActiveActive:
	case s.Verdict != nil && len(s.Verdict.Blockers) > 0, s.Leader.ID == "" && a.Exists():
		r.Exit = ExitDegraded
	}
}

// Happening is one event of the audit trail.
type Happening struct {
	Tag    cluster.Tag        `json:"tag"`
	ID     string             `json:"id"`
	Time   *time.Time         `json:"time"`
	Kind   string             `json:"kind"`
	Epoch  cluster.Epoch      `json:"epoch"`
	Record cluster.Assignment `json:"assignment"`
	Reason string             `json:"reason,omitempty"`
	Actor  string             `json:"actor,omitempty"`
	Steps  []cluster.Step     `json:"steps,omitempty"`
}

// History gives the last n events of a tag, the newest last.
func (s *Service) History(ctx context.Context, p cluster.Pair, n int) ([]Happening, error) {
	events, err := s.opt.Bus.Events(ctx, p.UniqSign, n)
	if err != nil {
		return nil, unreachable(err)
	}
	out := make([]Happening, 0, len(events))
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		out = append(out, Happening{Tag: p.Tag, ID: e.ID, Time: cluster.DateOf(streamMS(e.ID)), Kind: e.Kind, Epoch: e.Assignment.Epoch, Record: e.Assignment, Reason: e.Reason, Actor: e.Actor, Steps: e.Steps})
	}
	return out, nil
}

func streamMS(id string) int64 {
	text, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return ms
}
