package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent/failpoint"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	// closeLockWait is how long setting read_only may wait; everybody's new
	// writes wait with it.
	closeLockWait = time.Second
	closeAttempts = 4
	// oldWriter is the age from which a write transaction stops a switchover.
	oldWriter = time.Second
	// crowdStays is how long the sessions of applications on a closed server may wait for the other one to be opened.
	crowdStays = time.Second
	// goneWithin is how long a killed session of our own user may take to go.
	goneWithin = 2 * time.Second
)

var (
	errStillOpen     = errors.New("read_only was set and reads back 0")
	errSessionsAlive = errors.New("sessions of our own user were killed and are still there")
)

// close closes the server: accounts first, so that nobody comes in whose session
// is not ended below (in a switchover after read_only), then read_only, so that nothing new is written, then every session that may still hold a way to open or write it is ended,
// and only what reads back closed is acknowledged. Sessions that hold no such way are ended after that.
func (w *worker) close(ctx context.Context, in *reconcile.Input, kind reconcile.Kind) error {
	began := w.now()
	if err := w.timed(in, "check record", func() error { return w.wants(ctx, in, kind) }); err != nil {
		return err
	}
	if err := w.timed(in, "ping", func() error { return w.ping(ctx) }); err != nil {
		return err
	}
	if err := w.lawfullyOpen(ctx, in, kind); err != nil {
		return err
	}
	w.tell(in) // it answers and is being closed: whoever decides waits for that
	gently := kind == reconcile.CloseGently
	if gently {
		if refusal, err := w.busyWriter(ctx, in); err != nil {
			return err
		} else if refusal != "" {
			return w.refuse(in, refusal)
		}
	}
	blocked, err := w.toBlock(ctx, in)
	if err == nil && !gently {
		err = w.block(ctx, in, blocked)
	}
	if err != nil {
		return err
	}
	switch err := w.setReadOnly(ctx, in, kind); {
	case gently && errors.Is(err, ErrLockWait):
		w.p.ledger.drop(w.self, in.Record.Order(), blocked)
		return w.refuse(in, fmt.Sprintf("read_only could not be set within %s: something that writes or a LOCK TABLES holds it up", closeLockWait))
	case err != nil:
		return err
	}
	failpoint.Hit("close.locked")
	// A switchover may be refused up to here: nobody was shut out of a server
	// that stays open.
	if gently {
		if err := w.block(ctx, in, blocked); err != nil {
			return err
		}
	}
	asked := *in
	wanted := sched.Begin(w.rt, func() (struct{}, error) { return struct{}{}, w.wants(ctx, &asked, kind) })
	var all []Session
	err = w.timed(in, "list sessions", func() (err error) {
		all, err = w.listMortals(ctx)
		return err
	})
	if err != nil {
		return err
	}
	err = w.timed(in, "check record", func() error {
		_, err := wanted.Get(ctx, -1)
		return err
	})
	if err != nil {
		return err
	}
	w.memory.Ready = cluster.Order{}
	// Nobody writes to a server with super_read_only: there applications lose their sessions when the
	// other server may open already.
	such, super := isApplication, w.sample.Server.SuperReadOnly != cluster.Unknown
	if super {
		such = nobody
	}
	if err := w.timed(in, "kill sessions", func() error { return w.endOf(ctx, all, such) }); err != nil {
		return err
	}
	if err := w.timed(in, "read back", func() error { return w.readBack(ctx) }); err != nil {
		return err
	}
	if super && w.sample.Server.SuperReadOnly != cluster.Yes {
		if err := w.timed(in, "kill sessions", func() error { return w.killApplications(ctx) }); err != nil {
			return err
		}
		super = false
	}
	if w.crowd = nil; super {
		w.crowd, w.crowdAt = idsOf(all, isApplication), w.now()
	}
	w.keep(ctx, in)
	w.memory.Closed = in.Record.Order()
	w.log.Info().Str("order", in.Record.Order().String()).Str("reason", w.plan.Steps[0].Reason.Text).
		Dur("took", w.now()-began).Msg("closed")
	return nil
}

// lawfullyOpen returns errNewerRow when the server that a pair at rest does not want
// open was opened by a newer record than that: Redis may have gone back behind it, and
// nobody who remembers the newer one has been heard yet. What cannot be read stops no closing.
func (w *worker) lawfullyOpen(ctx context.Context, in *reconcile.Input, kind reconcile.Kind) error {
	if kind != reconcile.Close || in.Record.Phase != cluster.PhaseSteady || in.Record.EpochTable == "" || !in.Mine.Open() {
		return nil
	}
	if err := w.noNewerRow(ctx, in, w.links.work); errors.Is(err, errNewerRow) {
		return err
	}
	return nil
}

func (w *worker) ping(ctx context.Context) error {
	ctx, cancel := w.call(ctx)
	defer cancel()
	return w.links.work.Ping(ctx)
}

// busyWriter returns why a switchover must not close the server now.
func (w *worker) busyWriter(ctx context.Context, in *reconcile.Input) (refusal string, err error) {
	err = w.timed(in, "look for old writers", func() error {
		ctx, cancel := w.call(ctx)
		defer cancel()
		all, err := w.links.work.Writers(ctx)
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.Age >= oldWriter {
				refusal = fmt.Sprintf("session %d of %s has been writing for %s: %s", t.ID, t.User, t.Age.Round(100*time.Millisecond), t.What)
				break
			}
		}
		return nil
	})
	return refusal, err
}

func (w *worker) refuse(in *reconcile.Input, why string) error {
	w.memory.Refused, w.refusal = in.Record.Order(), why
	w.log.Info().Str("order", in.Record.Order().String()).Str("reason", why).Msg("closing for the switchover refused")
	return nil
}

// setReadOnly sets read_only; unless gently, what holds it up is ended: at the second
// attempt, and at the first one of a closing that asks nobody or that leases do not let wait.
func (w *worker) setReadOnly(ctx context.Context, in *reconcile.Input, kind reconcile.Kind) error {
	over := kind == reconcile.CloseAlone || kind == reconcile.Close && w.pressed()
	for attempt := 1; ; attempt++ {
		name, set := "set read_only", w.orderReadOnly
		if over {
			name, set = "set read_only over what blocks", w.closeOver
		}
		err := w.timed(in, name, func() error {
			wait := w.lockWait(kind)
			ctx, cancel := w.rt.Timeout(ctx, wait+w.p.a.o.ConnectTimeout)
			defer cancel()
			w.closing = true
			return set(ctx, wait)
		})
		if err != nil && w.refused(err) && w.readsClosed(ctx) {
			w.setNote(noteGrants, cluster.NoteGrants, fmt.Sprintf("read_only is set already and cannot be set: %v", err))
			w.grantsAt = 0
			return nil
		}
		if err == nil || !errors.Is(err, ErrLockWait) || kind == reconcile.CloseGently || attempt == closeAttempts {
			return err
		}
		if err := w.wants(ctx, in, kind); err != nil {
			return err
		}
		over = true
	}
}

func (w *worker) orderReadOnly(ctx context.Context, wait time.Duration) error {
	return w.links.work.SetReadOnly(ctx, wait)
}

// readsClosed reports whether the server is closed as setting it would leave it.
// A server shows read_only=1 only after it has blocked the commits of all who are
// bound by it, so that whoever set it, nothing is left that setting it again would do.
func (w *worker) readsClosed(ctx context.Context) bool {
	ctx, cancel := w.call(ctx)
	defer cancel()
	readOnly, super, err := w.links.work.ReadOnly(ctx)
	return err == nil && readOnly == cluster.Yes && super != cluster.No
}

// disperse ends the sessions that a closing has found and left to be ended once it was acknowledged: when the other
// server is open, since they connect again at once, and take the processor from what they wait for. Who has connected since
// has found a closed server, and stays.
func (w *worker) disperse(ctx context.Context, in *reconcile.Input) {
	moves := in.Record.Phase == cluster.PhaseSwitching || in.Record.Phase == cluster.PhaseRevoked || in.Record.Phase == cluster.PhaseOpening
	switch {
	case len(w.crowd) == 0, w.links.work == nil, moves && w.now() < w.crowdAt+crowdStays:
		return
	}
	crowd := w.crowd
	w.crowd = nil
	if w.sample.Open() {
		return
	}
	err := w.timed(in, "end sessions", func() error {
		all, err := w.listMortals(ctx)
		if err != nil {
			return err
		}
		return w.killAll(ctx, idsOf(all, func(s Session) bool { return isApplication(s) && slices.Contains(crowd, s.ID) }))
	})
	if err != nil {
		w.log.Info().Err(err).Msg("sessions of applications stay on the closed server")
		w.lost(err)
	}
}

func (w *worker) killApplications(ctx context.Context) error {
	all, err := w.listMortals(ctx)
	if err != nil {
		return err
	}
	return w.killAll(ctx, idsOf(all, isApplication))
}

// endSessions kills the application's sessions and every session of our own
// user but this worker's, and waits until the latter are gone: one of them may
// belong to an agent that was about to open the server.
func (w *worker) endSessions(ctx context.Context) error { return w.end(ctx, isApplication) }

// endOwnUser ends the sessions of our own user that are not this agent's, and waits
// until they are gone.
func (w *worker) endOwnUser(ctx context.Context) error { return w.end(ctx, nobody) }

func (w *worker) end(ctx context.Context, such func(Session) bool) error {
	all, err := w.listMortals(ctx)
	if err != nil {
		return err
	}
	return w.endOf(ctx, all, such)
}

// endOf kills such of these sessions and those of our own user that are not this worker's, and
// waits until the latter are gone. One that waits for an acknowledgement does nothing
// any more, and MySQL keeps it until that has come.
func (w *worker) endOf(ctx context.Context, all []Session, such func(Session) bool) error {
	deadline := w.now() + goneWithin
	ids, killed := idsOf(all, such), idsOf(all, w.foreign)
	if ids = append(ids, killed...); len(ids) == 0 {
		return nil
	}
	if err := w.killAll(ctx, ids); err != nil || len(killed) == 0 {
		return err
	}
	alive := func(s Session) bool { return slices.Contains(killed, s.ID) && !(s.Killed && s.Awaits) }
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := sched.Sleep(ctx, w.rt, pause); err != nil {
			return err
		}
		all, err := w.listMortals(ctx)
		if err != nil || !slices.ContainsFunc(all, alive) {
			return err
		}
		if w.now() > deadline {
			return errSessionsAlive
		}
	}
}

func nobody(Session) bool { return false }

func isApplication(s Session) bool { return s.Kind == SessionApplication }

// foreign reports whether a session is of our own user and not this worker's.
func (w *worker) foreign(s Session) bool {
	return s.Kind == SessionOwnUser && !w.links.owns(s.ID) && !safeguard.Off(safeguard.OwnSessions)
}

// idsOf are those of such sessions; of all when such is nil.
func idsOf(all []Session, such func(Session) bool) (ids []uint64) {
	for _, s := range all {
		if such == nil || such(s) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func (w *worker) killAll(ctx context.Context, ids []uint64) error {
	ctx, cancel := w.call(ctx)
	defer cancel()
	return w.links.work.Kill(ctx, ids...)
}

func (w *worker) listMortals(ctx context.Context) ([]Session, error) {
	ctx, cancel := w.call(ctx)
	defer cancel()
	return w.mortals(ctx, w.links.work)
}

// mortals lists the sessions that a closing may end: all but the one with the
// pair's lock, of whichever user. That opens nothing, and is the right of the active
// to stay open.
func (w *worker) mortals(ctx context.Context, conn Conn) ([]Session, error) {
	all, err := conn.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	holder, err := conn.LockHolder(ctx, LockName(w.p.u))
	return slices.DeleteFunc(all, func(s Session) bool { return s.ID == holder }), err
}

// readBack samples the closed server in full.
func (w *worker) readBack(ctx context.Context) error {
	if safeguard.Off(safeguard.ReadBack) {
		return nil
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	began := w.p.a.nextTick()
	srv, err := w.links.work.Observe(cctx, nil)
	if err != nil {
		return err
	}
	w.answered(srv, began, true)
	if srv.ReadOnly != cluster.Yes {
		return errStillOpen
	}
	return nil
}

// queueClose leaves the closing order on the spare connection of a server that
// hangs, so that it closes itself first when it wakes.
func (w *worker) queueClose(ctx context.Context, in *reconcile.Input, kind reconcile.Kind) error {
	if w.links.spare == nil || w.memory.Queued {
		return errMoved
	}
	if err := w.wants(ctx, in, kind); err != nil {
		return err
	}
	ended := &outcome{}
	err := w.timed(in, "queue read_only", func() error {
		return w.links.spare.QueueReadOnly(func(err error) {
			ended.set(err)
			w.wake.Set()
		})
	})
	if err != nil {
		w.links.dropSpare()
		return err
	}
	w.links.queue, w.memory.Queued, w.closing = ended, true, true
	w.log.Info().Str("order", in.Record.Order().String()).Msg("the server hangs: the closing order is queued")
	return nil
}
