package agent

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/lease"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// closeAlone closes the server whose leases run out, within their margin. It asks
// nobody, so whoever writes is ended at once; accounts come last, since they may
// have to wait for the disk. It acknowledges nothing: no order was read.
func (w *worker) closeAlone(ctx context.Context, in *reconcile.Input) error {
	began := w.now()
	err := w.timed(in, string(reconcile.CloseAlone), func() error {
		if err := w.setReadOnly(ctx, in, reconcile.CloseAlone); err != nil {
			return err
		}
		if err := w.readBack(ctx); err != nil {
			return err
		}
		return w.endSessions(ctx)
	})
	if err != nil {
		return err
	}
	w.log.Error().Str("order", in.Record.Order().String()).Str("reason", w.plan.Steps[0].Reason.Text).
		Dur("took", w.now()-began).Msg("closed without a lease")
	list, locked := w.toBlock(ctx, in)
	if locked == nil {
		locked = w.block(ctx, in, list)
	}
	if locked == nil && len(list) > 0 {
		locked = w.endSessionsOf(ctx, list)
	}
	return locked
}

// lockWait is how long setting read_only may wait for those who write.
func (w *worker) lockWait(kind reconcile.Kind) time.Duration {
	if kind == reconcile.CloseAlone {
		return min(closeLockWait, lease.Margin(w.leases.ttl)/3)
	}
	return closeLockWait
}

// pressed reports whether a closing that waits for those who write may last until the
// server would have to be closed for want of a lease.
func (w *worker) pressed() bool {
	s := w.leases.state()
	return s.Used && s.closeIn < closeLockWait
}
