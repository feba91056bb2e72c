package control

import (
	"cmp"
	"context"
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Durability asks for another promise for acknowledged writes; the leading identify
// changes the record, and agents follow it.
func (s *Service) Durability(ctx context.Context, ask Asked, want cluster.Durability) (Outcome, error) {
	out := Outcome{Tag: ask.Pair.Tag}
	snap, err := s.led(ctx, ask.Pair)
	if err != nil {
		return out, err
	}
	out.Active, out.Epoch = activeOf(snap), snap.Assignment.Epoch
	req := cluster.Request{ID: s.opt.NewID(), Verb: cluster.VerbDurability, Actor: s.opt.Actor, Reason: ask.Reason, State: cluster.RequestFiled, Durability: want}
	return s.file(ctx, ask, req, snap, out)
}

// Promised says what is promised for acknowledged writes now, and whether it holds, from
// the record.
func (s *Service) Promised(ctx context.Context, pair cluster.Pair) (Outcome, error) {
	out := Outcome{Tag: pair.Tag}
	snap, err := s.opt.Bus.Snapshot(ctx, pair.UniqSign)
	if err != nil {
		return out, unreachable(err)
	}
	a := snap.Assignment
	passive := cmp.Or(a.Passive, pair.Other(a.Active))
	out.Active, out.Epoch = activeOf(snap), a.Epoch
	switch {
	case !a.Exists():
		out.Answer = "there is no assignment yet, and nothing is promised"
	case !a.Durability.Acknowledged():
		out.Answer = "async: a failover may lose what the passive has not received"
	case a.Active == "":
		out.Answer = fmt.Sprintf("%s: nobody is active, whose commits could wait (mmm-status says why)", a.Durability)
	case !a.Waits:
		out.Answer = fmt.Sprintf("%s: commits do not wait at present, and nothing fails over by itself: the passive is away, or has just come back", a.Durability)
	case !a.IsEligible(passive):
		out.Answer = fmt.Sprintf("%s: commits wait for %s, which may not take over before it has all that was acknowledged", a.Durability, passive)
	default:
		out.Answer = fmt.Sprintf("%s: every commit waits until %s has received it", a.Durability, passive)
	}
	return out, nil
}
