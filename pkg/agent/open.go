package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent/failpoint"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

var (
	errNotApplied  = errors.New("not everything that the record demands is applied")
	errStillClosed = errors.New("read_only was cleared and reads back 1")
)

// open opens the server on one session that is dialled before the record is
// checked and never again: who closes the server meanwhile ends that session,
// and with it whatever of this is still to come.
func (w *worker) open(ctx context.Context, in reconcile.Input, s reconcile.Step) error {
	start := time.Now()
	var conn Conn
	err := w.timed(in, "dial", func() (err error) {
		conn, err = w.links.node.Connect(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()

	began := w.p.a.nextTick()
	srv := cluster.Server{}
	err = w.timed(in, "read position", func() (err error) {
		cctx, cancel := w.call(ctx)
		defer cancel()
		if srv, err = conn.Observe(cctx, nil); err != nil || s.Target == "" {
			return err
		}
		has, err := reconcile.Contains(srv.Flavor, srv.Executed, s.Target)
		if err == nil && !has {
			err = errNotApplied
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := w.timed(in, "check record", func() error { return w.wants(ctx, in, reconcile.Open) }); err != nil {
		return err
	}
	failpoint.Hit("open.checked")
	err = w.timed(in, "open", func() error {
		cctx, cancel := w.call(ctx)
		defer cancel()
		return conn.SetWritable(cctx)
	})
	if err != nil {
		return err
	}
	if err := w.timed(in, "check record again", func() error { return w.wants(ctx, in, reconcile.Open) }); errors.Is(err, errMoved) {
		return w.undoOpen(ctx, in, conn)
	}
	err = w.timed(in, "read back", func() error {
		cctx, cancel := w.call(ctx)
		defer cancel()
		ro, sro, err := conn.ReadOnly(cctx)
		if err == nil && ro != cluster.No {
			err = errStillClosed
		}
		srv.ReadOnly, srv.SuperReadOnly = ro, sro
		return err
	})
	if err != nil {
		return err
	}
	w.answered(srv, began, true)
	w.memory.Opened = in.Record.Order()
	w.log.Info().Str("order", in.Record.Order().String()).Str("reason", s.Reason.Text).
		Str("risk", w.plan.Risk).Dur("took", time.Since(start)).Msg("opened")
	return nil
}

// undoOpen closes what was opened while the record moved on. The ordinary
// closing, with all it ends, follows from the new record.
func (w *worker) undoOpen(ctx context.Context, in reconcile.Input, conn Conn) error {
	w.log.Warn().Str("order", in.Record.Order().String()).Msg("the record moved while the server was opened: it is closed again")
	err := w.timed(in, "undo", func() error {
		cctx, cancel := context.WithTimeout(ctx, closeLockWait+w.p.a.o.ConnectTimeout)
		defer cancel()
		return conn.SetReadOnly(cctx, closeLockWait)
	})
	w.read(ctx, true)
	if err != nil {
		return fmt.Errorf("close again: %w", err)
	}
	return errMoved
}
