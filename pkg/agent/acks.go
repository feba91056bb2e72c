package agent

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// acknowledgeAgain is how long a receiver that was connected anew may take to show that
// it acknowledges.
const acknowledgeAgain = 3 * time.Second

// acks has commits wait, or lets them go. An agent that was paused before it let them go
// must not do so when it wakes: before commits wait the sessions of our user are ended,
// and after the record was looked at no session is dialled anew.
func (w *worker) acks(ctx context.Context, in *reconcile.Input, k reconcile.Kind) error {
	conn := w.links.work
	if k == reconcile.Await {
		if err := w.timed(in, "end other agents' sessions", func() error { return w.endOwnUser(ctx) }); err != nil {
			return err
		}
		if err := w.awaitCommits(ctx, in, conn); err != nil {
			return err
		}
		w.read(ctx, true)
		if w.links.work != conn || !w.sample.Answers() {
			return errMoved
		}
		w.memory.Awaited = in.Record.Order()
		w.log.Info().Str("order", in.Record.Order().String()).Msg("commits wait for the passive")
		return nil
	}
	if err := w.timed(in, "check majority", func() error { return w.held(ctx, in) }); errors.Is(err, errMoved) {
		return nil // the newer record says what is to be done
	} else if err != nil {
		return err
	}
	err := w.timed(in, string(k), func() error {
		cctx, cancel := w.call(ctx)
		defer cancel()
		if in.Record.Durability.Acknowledged() && w.sample.Server.Acks.Source == cluster.Unknown {
			if err := conn.AwaitCommits(cctx); err != nil {
				return err
			}
		}
		return conn.LetCommitsGo(cctx, !in.Record.Durability.Acknowledged())
	})
	if err != nil {
		return err
	}
	w.memory.Awaited, w.memory.LetGo = cluster.Order{}, in.Record.Order()
	w.log.Info().Str("order", in.Record.Order().String()).Msg("commits wait for nobody")
	w.read(ctx, true)
	return nil
}

func (w *worker) awaitCommits(ctx context.Context, in *reconcile.Input, conn Conn) error {
	return w.timed(in, "wait for acknowledgements", func() error {
		cctx, cancel := w.call(ctx)
		defer cancel()
		w.memory.LetGo = cluster.Order{}
		return conn.AwaitCommits(cctx)
	})
}

// letClosedGo ends, over conn, what an earlier record had the commits of the closed server wait for, be it
// the applying thread's: who is to acknowledge them may be gone. What a person set up ends by its timeout.
func (w *worker) letClosedGo(ctx context.Context, in *reconcile.Input, conn Conn) error {
	return w.timed(in, "let commits of the closed server go", func() error {
		cctx, cancel := w.call(ctx)
		defer cancel()
		w.memory.Awaited = cluster.Order{}
		return conn.LetCommitsGo(cctx, true)
	})
}

// acknowledge has the receiver acknowledge: it is told so when it connects.
func (w *worker) acknowledge(ctx context.Context) error {
	c := w.links.work
	if does, err := c.Acknowledge(ctx); err != nil || does {
		return err
	}
	if err := c.StopIOThread(ctx); err != nil {
		return err
	}
	return c.StartIOThread(ctx)
}
