package control

import (
	"context"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Paused says what Pause or Resume did with one tag.
type Paused struct {
	Tag    cluster.Tag `json:"tag"`
	Paused bool        `json:"paused"`
	// Changed is false when the tag stood so before.
	Changed bool   `json:"changed"`
	Actor   string `json:"actor,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Since is when the pause began, by Redis's clock.
	Since *time.Time `json:"since,omitempty"`
	Text  string     `json:"text"`
}

// Pause holds automatic changes of role back. A pause that is there already is
// kept, with its author and reason, unless a reason is given.
func (s *Service) Pause(ctx context.Context, p cluster.Pair, reason string) (Paused, error) {
	out := Paused{Tag: p.Tag, Paused: true}
	snap, err := s.opt.Bus.Snapshot(ctx, p.UniqSign)
	if err != nil {
		return out, unreachable(err)
	}
	if old := snap.Pause; old != nil && reason == "" {
		out.fill(*old)
		out.Text = fmt.Sprintf("%s was paused already: %s", p.Tag, pausedWords(*old))
		return out, nil
	}
	if err := s.opt.Bus.SetPause(ctx, p.UniqSign, cluster.Pause{Actor: s.opt.Actor, Reason: reason}); err != nil {
		return out, unreachable(err)
	}
	now, err := s.opt.Bus.Snapshot(ctx, p.UniqSign)
	if err != nil {
		return out, unreachable(err)
	}
	if now.Pause == nil {
		return out, &Error{Code: "failed", Exit: ExitFailed, Message: fmt.Sprintf("pause %s: the pause was taken back by somebody else at once", p.Tag)}
	}
	out.Changed = true
	out.fill(*now.Pause)
	active := activeOf(now)
	if active == "" {
		out.Text = fmt.Sprintf("%s: %s; nobody is active, and nobody is made active until mmmctl resume", p.Tag, pausedWords(*now.Pause))
	} else {
		out.Text = fmt.Sprintf("%s: %s; %s stays active, dead or alive, until mmmctl resume", p.Tag, pausedWords(*now.Pause), active)
	}
	if now.Leader.ID == "" {
		out.Text += " (no mmm-identify leads now; the next one will obey)"
	}
	if snap.Pause != nil {
		out.Text += "; before: " + pausedWords(*snap.Pause)
	}
	return out, nil
}

// Resume takes a pause back.
func (s *Service) Resume(ctx context.Context, p cluster.Pair) (Paused, error) {
	out := Paused{Tag: p.Tag}
	snap, err := s.opt.Bus.Snapshot(ctx, p.UniqSign)
	if err != nil {
		return out, unreachable(err)
	}
	out.Changed, err = s.opt.Bus.ClearPause(ctx, p.UniqSign)
	if err != nil {
		return out, unreachable(err)
	}
	switch {
	case !out.Changed:
		out.Text = fmt.Sprintf("%s was not paused", p.Tag)
	case snap.Pause != nil:
		out.fill(*snap.Pause)
		out.Text = fmt.Sprintf("%s is resumed; it was %s", p.Tag, pausedWords(*snap.Pause))
	default:
		out.Text = fmt.Sprintf("%s is resumed", p.Tag)
	}
	return out, nil
}

func (o *Paused) fill(p cluster.Pause) {
	o.Actor, o.Reason = p.Actor, p.Reason
	o.Since = cluster.DateOf(p.SinceMS)
}

func pausedWords(p cluster.Pause) string {
	text := "paused by " + p.Actor
	if at := cluster.DateOf(p.SinceMS); at != nil {
		text += at.Format(" since 2006-01-02 15:04:05 UTC")
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}
