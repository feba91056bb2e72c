package control

import (
	"context"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// FailoverTimeout is how long a failover by override may take before its
// request ends; what was begun goes on.
const FailoverTimeout = 30 * time.Second

// Failover is an operator's override: To becomes active although something
// keeps an automatic failover from it.
type Failover struct {
	Asked
	// Policy is the tag's, for what is told beforehand.
	Policy failover.Policy
	Force  bool
}

// Failover files the request and follows it to its end. Identify has the last
// word: it has watched the pair, this program has looked once. What looks refused
// from here is filed only where somebody has seen the plan or Force is set.
func (s *Service) Failover(ctx context.Context, fo Failover) (Outcome, error) {
	out := Outcome{Tag: fo.Pair.Tag, To: fo.To}
	if fo.Timeout <= 0 {
		fo.Timeout = FailoverTimeout
	}
	if !fo.Pair.Has(fo.To) {
		return out, noSuchNode(fo.Pair, fo.To)
	}
	snap, err := s.led(ctx, fo.Pair)
	if err != nil {
		return out, err
	}
	out.Active, out.Epoch, out.From = activeOf(snap), snap.Assignment.Epoch, fo.Pair.Other(fo.To)
	req := cluster.Request{
		ID: s.opt.NewID(), Verb: cluster.VerbFailover, To: fo.To, Actor: s.opt.Actor, Reason: fo.Reason, Force: fo.Force,
		State: cluster.RequestFiled, TimeoutMS: fo.Timeout.Milliseconds(),
	}
	plan := overridePlan(fo, snap, req)
	if fo.Confirm != nil {
		if err := fo.Confirm(plan); err != nil {
			return out, err
		}
	}
	if plan.Refused != "" && fo.Unasked && !fo.Force {
		return out, &Error{Code: "refused", Exit: ExitRefused, Message: plan.Refused + "; nothing was filed", Hint: "--force lets identify decide"}
	}
	return s.file(ctx, fo.Asked, req, snap, out)
}

func overridePlan(fo Failover, snap cluster.Snapshot, req cluster.Request) Plan {
	from := fo.Pair.Other(fo.To)
	p := Plan{Verb: cluster.VerbFailover, Tag: fo.Pair.Tag, From: from, To: fo.To, Epoch: snap.Assignment.Epoch, Leader: snap.Leader.ID}
	f := failover.Foresee(failover.View{Snapshot: snap, ID: snap.Leader.ID, Leading: true}, fo.Policy, req)
	if p.Refused = f.Refusal.Text; p.Refused != "" {
		return p
	}
	p.Warnings = f.Told
	p.Steps = []string{
		"the role is taken away: from now on nobody may be open",
		fmt.Sprintf("%s is closed if an agent reaches it", from),
		fmt.Sprintf("%s applies what it received", fo.To),
		fmt.Sprintf("%s becomes active and takes writes, whatever %s has besides", fo.To, from),
		fmt.Sprintf("when %s comes back it is closed and compared; what only it has keeps it out of replication until a person has looked", from),
	}
	return p
}
