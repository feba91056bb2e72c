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
	w.e.Note("operator", fmt.Sprint(o.Verb, " ", o.To, o.Durability))
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
	case Configure:
		w.configure(o.Durability)
		return nil
	case AskDurability:
		return w.file(cluster.Request{Verb: cluster.VerbDurability, Durability: o.Durability})
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
	r := cluster.Request{To: to, TimeoutMS: 3000, Verb: cluster.VerbSwitchover}
	if o.Verb != Switchover {
		r.Verb, r.Force = cluster.VerbFailover, o.Verb == ForceOverride
	}
	return w.file(r)
}

// file files a request as mmmctl does.
func (w *world) file(r cluster.Request) error {
	w.requests++
	w.requested = true
	r.ID, r.Actor = w.requestID(), "dba"
	return w.deskBus.FileRequest(context.Background(), sign, r)
}

// restarting is how long an identify takes at most to end and to be started anew.
const restarting = 100 * time.Millisecond

// configure has mmm.conf promise d, and each identify that runs end and begin anew.
func (w *world) configure(d cluster.Durability) {
	w.conf, w.requested = d, true
	for i := range w.spec.Identifies {
		id := w.named(identifyName(i))
		if id.p == nil || !id.p.Alive() {
			continue
		}
		p := id.p
		p.Post(id.stop)
		w.e.After(w.e.Between(0, restarting), func() {
			if p.Alive() {
				p.Kill()
				id.start()
			}
		})
	}
}

func (w *world) requestID() string { return fmt.Sprintf("request-%d", w.requests) }
