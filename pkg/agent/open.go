package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/agent/failpoint"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// openTries is how many openings of one order fail for a fault of the server
// that has nothing to do with its data.
const openTries = 3

var (
	errNotApplied  = errors.New("not everything that the record demands is applied")
	errNoGrant     = errors.New("the lease from redis is not held any more")
	errStillClosed = errors.New("read_only was cleared and reads back 1")
	errHolds       = errors.New("it receives from the server that it takes over from, or has not applied what it received")
	errNewerRow    = errors.New("the epoch row is newer than the record")
)

// open opens the server on one session that is there before the record is
// checked and never dialled again: who closes the server meanwhile ends that session,
// and with it whatever of this is still to come.
func (w *worker) open(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	start := w.now()
	learned := sched.Begin(w.rt, func() (struct{}, error) { return struct{}{}, w.p.ledger.learn(ctx, w.self) })
	theirs := w.rowOfPeer(ctx, in)
	conn, err := w.sessionToOpen(ctx, in)
	if err != nil {
		return err
	}
	defer w.giveBack(conn)

	began := w.p.a.nextTick()
	srv := cluster.Server{}
	err = w.timed(in, "read position", func() (err error) {
		cctx, cancel := w.call(ctx)
		defer cancel()
		if srv, err = conn.Observe(cctx, nil); err != nil {
			return err
		}
		if in.HoldsOfLost(srv) {
			w.asked.Store(true) // restarted since the last sample: it is drained again
			return errHolds
		}
		if s.Target == "" {
			return nil
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
	if theirs != nil {
		err := w.timed(in, "check epoch row of the other", func() error {
			row, err := theirs.Get(ctx, -1)
			if err != nil {
				return nil // it is gone, or has no row: the own one is left
			}
			return newerRow(row, in.Record)
		})
		if err != nil {
			return err
		}
	}
	err = w.timed(in, "check record", func() error {
		now, err := w.wanted(ctx, in, reconcile.Open)
		if err == nil && now.Waits && !in.Record.Waits && !safeguard.Off(safeguard.WaitsAnew) {
			err = errMoved // the server would be open before its commits wait
		}
		return err
	})
	if err != nil && !safeguard.Off(safeguard.RecordCheck) {
		return err
	}
	if err := w.timed(in, "check majority", func() error { return w.held(ctx, in) }); err != nil {
		return err
	}
	failpoint.Hit("open.checked")
	released, err := w.prepareToOpen(ctx, in, conn, srv, learned)
	if err == nil && safeguard.Off(safeguard.PinnedSession) {
		conn, err = w.links.node.Connect(ctx)
	}
	if err == nil {
		err = w.timed(in, "open", func() error {
			cctx, cancel, err := w.whileGranted(ctx, in)
			if err != nil {
				return err
			}
			defer cancel()
			return conn.SetWritable(cctx)
		})
	}
	if err != nil {
		w.reseal(ctx, in, conn, srv, err)
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
	w.released(in, released)
	w.memory.Opened = in.Record.Order()
	w.log.Info().Str("order", in.Record.Order().String()).Str("reason", s.Reason.Text).
		Str("risk", w.plan.Risk).Dur("took", w.now()-start).Msg("opened")
	return nil
}

// whileGranted bounds the one call that opens the server: it ends with the grant that
// allows it, which may have run out since it was decided.
func (w *worker) whileGranted(ctx context.Context, in *reconcile.Input) (context.Context, context.CancelFunc, error) {
	most := w.p.a.o.ConnectTimeout
	if s := w.leases.state(); s.Used {
		if s.Granted != in.Record.Epoch {
			return nil, nil, errNoGrant
		}
		most = min(most, s.openFor)
	}
	w.beat()
	cctx, cancel := w.rt.Timeout(ctx, most)
	return cctx, cancel, nil
}

// prepareToOpen does what has to be so before the first client writes: the epoch
// is on disk and in the server, and accounts can log in, since clients take a
// refused log-in for final. What fails for want of a grant is a note; so is,
// after a few tries, what the server refuses for another reason: a broken table
// of ours must not keep everybody out.
func (w *worker) prepareToOpen(ctx context.Context, in *reconcile.Input, conn Conn, srv cluster.Server, learned *sched.Result[struct{}]) ([]cluster.Account, error) {
	if srv.SuperReadOnly == cluster.Yes {
		err := w.timed(in, "unseal", func() error {
			cctx, cancel := w.call(ctx)
			defer cancel()
			return conn.Unseal(cctx)
		})
		if err != nil {
			return nil, err
		}
	}
	failpoint.Hit("open.unsealed")
	if srv.Acks.Source == cluster.Yes && !in.Record.Waits {
		// What we write first would wait for a passive that follows nobody yet. Where commits are to wait
		// another agent may just have opened the server.
		if err := w.letClosedGo(ctx, in, conn); err != nil {
			return nil, err
		}
	}
	if in.Record.EpochTable != "" {
		var err error
		if w.memory.Marked < in.Record.Epoch && !safeguard.Off(safeguard.EpochRow) {
			err = w.mark(ctx, in, conn)
		}
		if err == nil {
			err = w.noNewerRow(ctx, in, conn)
		}
		if w.stops(err) {
			return nil, err
		}
		w.outcome(noteMark, cluster.NoteEpochRow, "the epoch row is not written", err)
	}
	if in.Record.Waits && !safeguard.Off(safeguard.AwaitFirst) {
		if err := w.awaitCommits(ctx, in, conn); err != nil {
			return nil, err
		}
	}
	_, _ = learned.Get(ctx, -1)
	released, err := w.releaseAll(ctx, in, conn)
	if w.stops(err) {
		return nil, err
	}
	w.outcome(noteRelease, cluster.NoteAccounts, "accounts are not released", err)
	failpoint.Hit("open.released")
	if !safeguard.Off(safeguard.EpochOnDisk) {
		w.keep(ctx, in)
	}
	return released, nil
}

// releaseAll releases what keeps accounts of the coming active from logging in.
func (w *worker) releaseAll(ctx context.Context, in *reconcile.Input, conn Conn) ([]cluster.Account, error) {
	ours, _ := w.p.ledger.ours(w.self)
	if !in.Blocking.On() && len(ours) == 0 {
		return nil, nil
	}
	began := w.p.a.nextTick()
	var all []cluster.AccountState
	err := w.timed(in, "read accounts", func() (err error) {
		all, err = w.listAccounts(ctx, conn)
		return err
	})
	var release []cluster.AccountState
	switch {
	case err == nil:
		w.clear(noteRead)
		w.accounts.Began, w.accounts.All = began, all
		release = in.Blocking.ToRelease(all, ours)
	case w.isLost(err):
		return nil, err
	default:
		// What we have locked can be released unseen.
		w.trouble(noteRead, cluster.NoteAccounts, "accounts cannot be read", err)
		release = in.Blocking.ToRelease(blindly(ours), ours)
	}
	if len(release) == 0 {
		return nil, nil
	}
	if err := w.letIn(ctx, in, conn, release); err != nil {
		return nil, err
	}
	return accountsOf(release), nil
}

// stops reports whether an error of the preparations stops the opening.
func (w *worker) stops(err error) bool {
	return err != nil && (w.isLost(err) || errors.Is(err, errNewerRow) || !w.p.a.o.Refused(err) && w.openTries < openTries)
}

// noNewerRow returns errNewerRow when the server knows of a later epoch than the
// record: the record is one that Redis went back to.
func (w *worker) noNewerRow(ctx context.Context, in *reconcile.Input, conn Conn) error {
	if safeguard.Off(safeguard.NewerRow) {
		return nil
	}
	return w.timed(in, "check epoch row", func() error {
		ctx, cancel := w.call(ctx)
		defer cancel()
		found, err := conn.Mark(ctx, in.Record.EpochTable, w.p.u)
		if err == nil {
			err = newerRow(found, in.Record)
		}
		return err
	})
}

// rowOfPeer reads the epoch row of the other server, if that answers, for an opening in
// a pair at rest or after a closing that was acknowledged: one of a later epoch this
// server may have received and not applied, or not received at all. It is nil where
// nobody is asked: an opening at a risk waits for no server that may hang.
func (w *worker) rowOfPeer(ctx context.Context, in *reconcile.Input) *sched.Result[cluster.Mark] {
	rec := &in.Record
	if rec.Phase != cluster.PhaseSteady && rec.Proof != cluster.ProofFenced || rec.EpochTable == "" || !in.Theirs.Answers() || safeguard.Off(safeguard.NewerRow) {
		return nil
	}
	table, dialled := rec.EpochTable, w.toPeer // the function may outlive the step, and must not keep all of in on the heap
	w.toPeer = nil
	return sched.Begin(w.rt, func() (cluster.Mark, error) {
		ctx, cancel := w.rt.Timeout(ctx, w.p.a.o.ConnectTimeout)
		defer cancel()
		if dialled != nil {
			if conn, err := dialled.Get(ctx, -1); err == nil {
				defer conn.Close()
				if row, err := conn.Mark(ctx, table, w.p.u); err == nil {
					return row, nil
				}
			}
		}
		conn, err := w.other.links.node.Connect(ctx)
		if err != nil {
			return cluster.Mark{}, err
		}
		defer conn.Close()
		return conn.Mark(ctx, table, w.p.u)
	})
}

// reachPeer dials the closed other server while this one catches up with it: its row will be read before
// this one is opened.
func (w *worker) reachPeer(ctx context.Context, in *reconcile.Input) {
	if w.toPeer != nil || in.Record.EpochTable == "" || !in.Theirs.Answers() {
		return
	}
	w.toPeer = sched.Begin(w.rt, func() (Conn, error) {
		ctx, cancel := w.rt.Timeout(ctx, w.p.a.o.ConnectTimeout)
		defer cancel()
		return w.other.links.node.Connect(ctx)
	})
}

// leavePeer gives up a connection to the other server that nobody needs any more.
func (w *worker) leavePeer() {
	dialled := w.toPeer
	if dialled == nil {
		return
	}
	w.toPeer = nil
	w.rt.Go(func() {
		if conn, err := dialled.Get(context.Background(), -1); err == nil {
			_ = conn.Close()
		}
	})
}

// newerRow returns errNewerRow when row is of a later epoch than the record.
func newerRow(row cluster.Mark, rec cluster.Assignment) error {
	if row.Epoch <= rec.Epoch || !row.Epoch.Credible() {
		return nil
	}
	return fmt.Errorf("%w: it says %d with %s active, the record %s", errNewerRow, row.Epoch, row.Active, rec.Order())
}

// reseal sets super_read_only again on a server that was not opened after all.
// Whether it was is not known when the session is lost: the next sample tells.
func (w *worker) reseal(ctx context.Context, in *reconcile.Input, conn Conn, srv cluster.Server, cause error) {
	w.openTries++
	if srv.SuperReadOnly != cluster.Yes || w.isLost(cause) {
		return
	}
	_ = w.timed(in, "seal", func() error {
		cctx, cancel := w.rt.Timeout(ctx, closeLockWait+w.p.a.o.ConnectTimeout)
		defer cancel()
		return conn.SetReadOnly(cctx, closeLockWait)
	})
}

// undoOpen closes what was opened while the record moved on. The ordinary
// closing, with all it ends, follows from the new record.
func (w *worker) undoOpen(ctx context.Context, in *reconcile.Input, conn Conn) error {
	w.log.Warn().Str("order", in.Record.Order().String()).Msg("the record moved while the server was opened: it is closed again")
	err := w.timed(in, "undo", func() error {
		cctx, cancel := w.rt.Timeout(ctx, closeLockWait+w.p.a.o.ConnectTimeout)
		defer cancel()
		return conn.SetReadOnly(cctx, closeLockWait)
	})
	w.read(ctx, true)
	if err != nil {
		return fmt.Errorf("close again: %w", err)
	}
	return errMoved
}
