package site

import (
	"context"
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Well reports whether the pair is as it should be: one open server that takes writes, the other
// closed and replicating from it, ready to take over, and as safe as its durability says.
// It asks the servers themselves, and says what is missing.
func (s *Site) Well(ctx context.Context) (well bool, state string) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return false, err.Error()
	}
	a := snap.Assignment
	words := func(format string, args ...any) (bool, string) {
		return false, fmt.Sprintf("record %s %s, active %q: ", a.Order(), a.Phase, a.Active) + fmt.Sprintf(format, args...)
	}
	active := s.At(a.Active)
	switch {
	case a.Phase != cluster.PhaseSteady || active == nil:
		return words("%s; %s", a.Reason, verdict(snap))
	case snap.Pause != nil:
		return words("paused")
	}
	passive := s.Other(active)
	if closed, err := active.ReadOnly(ctx); err != nil || closed {
		return words("the active is closed or does not answer, %v", err)
	}
	if closed, err := passive.ReadOnly(ctx); err != nil || !closed {
		return words("the passive is open or does not answer, %v", err)
	}
	for _, db := range []*DB{passive, active} {
		channel, err := db.Channel(ctx)
		if err != nil || channel.IO != "Yes" || channel.SQL != "Yes" {
			return words("the channel of %s: IO %s %s, SQL %s %s, %v", db.Addr(), channel.IO, channel.IOError, channel.SQL, channel.SQLError, err)
		}
	}
	if s.opts.Mode.Durability().Acknowledged() && !a.Waits {
		return words("commits do not wait")
	}
	if v := snap.Verdict; v == nil || v.Order != a.Order() || len(v.Blockers) > 0 || v.Candidate != passive.Addr() {
		return words("a failover to %s would not happen: %s", passive.Addr(), verdict(snap))
	}
	return true, ""
}

func verdict(snap cluster.Snapshot) string {
	if snap.Verdict == nil {
		return "no verdict"
	}
	text := snap.Verdict.Reason.Text
	for _, b := range snap.Verdict.Blockers {
		text += "; " + b.Text
	}
	return text
}

// Equal reports whether both servers hold the same transactions.
func (s *Site) Equal(ctx context.Context) (equal bool, state string) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return false, err.Error()
	}
	active := s.At(snap.Assignment.Active)
	if active == nil {
		return false, "no active"
	}
	has, err := active.Executed(ctx)
	if err != nil {
		return false, err.Error()
	}
	holds, err := s.Other(active).Executed(ctx)
	if err != nil {
		return false, err.Error()
	}
	return has == holds, fmt.Sprintf("the active has %s, the passive %s", has, holds)
}
