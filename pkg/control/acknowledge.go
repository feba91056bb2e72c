package control

import (
	"context"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// Acknowledge lifts the block that the last automatic failover left behind: a
// person has looked at it. Identify has the last word, whether anything is blocked.
func (s *Service) Acknowledge(ctx context.Context, ask Asked) (Outcome, error) {
	out := Outcome{Tag: ask.Pair.Tag}
	snap, err := s.led(ctx, ask.Pair)
	if err != nil {
		return out, err
	}
	out.Active, out.Epoch = activeOf(snap), snap.Assignment.Epoch
	req := cluster.Request{ID: s.opt.NewID(), Verb: failover.VerbAcknowledge, Actor: s.opt.Actor, Reason: ask.Reason, State: cluster.RequestFiled}
	return s.file(ctx, ask, req, snap, out)
}
