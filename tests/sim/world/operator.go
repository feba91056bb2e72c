package world

import (
	"context"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// operate has the operator do what an order of a round says; what Redis does not take is
// tried again for a while.
func (w *world) operate(o Order, round int) {
	w.desk.Go(func() {
		for range 5 {
			if !w.suffers(round) || w.order(o) == nil {
				return
			}
			_ = sched.Sleep(context.Background(), w.desk.Runtime(), 200*time.Millisecond)
		}
	})
}

func (w *world) order(o Order) error {
	ctx := context.Background()
	w.e.Note("operator", o.Verb+" "+o.To)
	switch o.Verb {
	case Pause:
		w.count(SawPausedByOperator)
		return w.deskBus.SetPause(ctx, sign, cluster.Pause{Actor: "dba"})
	case Resume:
		_, err := w.deskBus.ClearPause(ctx, sign)
		return err
	case Withdraw:
		done, err := w.deskBus.WithdrawRequest(ctx, sign, w.requestID())
		if done {
			w.count(SawRequestWithdrawn)
		}
		return err
	}
	a, err := w.deskBus.Assignment(ctx, sign)
	if err != nil {
		return err
	}
	to := a.Passive
	if o.To != "" {
		to = cluster.Endpoint(o.To + ":3306")
	} else if to == "" {
		to = w.pair.Primary
	}
	w.requests++
	w.requested = true
	r := cluster.Request{ID: w.requestID(), To: to, Actor: "dba", TimeoutMS: 3000, Verb: cluster.VerbSwitchover}
	if o.Verb != Switchover {
		r.Verb, r.Force = cluster.VerbFailover, o.Verb == ForceOverride
	}
	return w.deskBus.FileRequest(ctx, sign, r)
}

func (w *world) requestID() string { return fmt.Sprintf("request-%d", w.requests) }
