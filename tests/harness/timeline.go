package harness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Moments of a change of role, as identify names them.
const (
	Seen    = "seen"
	Decided = "decided"
	Closed  = "closed"
	Drained = "drained"
	Opened  = "opened"
)

// Moment is one step of a change of role, on this machine's clock.
type Moment struct {
	Name string
	At   time.Time
	Note string
}

// Change is a finished change of role as the audit trail tells it.
type Change struct {
	Record  cluster.Assignment // the steady record at its end
	Moments []Moment
}

// Moment finds one moment by name.
func (c Change) Moment(name string) (Moment, bool) {
	i := slices.IndexFunc(c.Moments, func(m Moment) bool { return m.Name == name })
	if i < 0 {
		return Moment{}, false
	}
	return c.Moments[i], true
}

// WaitChange waits until the audit trail holds the end of a change of role to
// active in an epoch above the given one.
func (s *Site) WaitChange(ctx context.Context, above cluster.Epoch, active *Server) (Change, error) {
	return WaitChange(ctx, s, above, active)
}

// Trail is what Redis holds about a pair.
type Trail interface {
	Snapshot(context.Context) (cluster.Snapshot, error)
	// Events reads the newest n entries of the audit trail, newest first.
	Events(ctx context.Context, n int) ([]cluster.Event, error)
}

// WaitChange is Site.WaitChange for any trail.
func WaitChange(ctx context.Context, s Trail, above cluster.Epoch, active *Server) (Change, error) {
	var change Change
	err := Until(ctx, "the audit trail tells of a change to "+string(active.Addr()), func(ctx context.Context) (bool, string) {
		events, err := s.Events(ctx, 100)
		if err != nil {
			return false, err.Error()
		}
		var ok bool
		change, ok = readChange(events, above, active.Addr())
		if ok {
			return true, ""
		}
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		return false, describe(snap)
	})
	return change, err
}

// readChange puts a change together from events, newest first. The times of the
// steps count from the moment that the fault was seen; the script's own entries
// carry Redis's clock, which is this machine's: the first entry of the epoch, and
// of a planned change the one that begins it in the epoch before, was written right
// after "decided".
func readChange(events []cluster.Event, above cluster.Epoch, active cluster.Endpoint) (Change, bool) {
	var end, first *cluster.Event
	for i := range events {
		e := &events[i]
		a := e.Assignment
		switch {
		case a.Epoch <= above:
			if end != nil && end.Assignment.Planned() && first.Assignment.Phase != cluster.PhaseSwitching && a.Phase == cluster.PhaseSwitching {
				first = e
			}
			continue
		case end == nil && a.Phase == cluster.PhaseSteady && a.Active == active && len(e.Steps) > 0:
			end = e
		}
		if end != nil && a.Epoch == end.Assignment.Epoch {
			first = e
		}
	}
	if end == nil {
		return Change{}, false
	}
	written, err := eventTime(first.ID)
	if err != nil {
		return Change{}, false
	}
	since := written
	for _, step := range end.Steps {
		if step.Name == Decided {
			since = written.Add(-millis(step.MS))
		}
	}
	c := Change{Record: end.Assignment}
	for _, step := range end.Steps {
		c.Moments = append(c.Moments, Moment{step.Name, since.Add(millis(step.MS)), step.Err})
	}
	slices.SortStableFunc(c.Moments, func(a, b Moment) int { return a.At.Compare(b.At) })
	return c, true
}

func eventTime(id string) (time.Time, error) {
	text, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read stream id %q: %w", id, err)
	}
	return time.UnixMilli(ms), nil
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
