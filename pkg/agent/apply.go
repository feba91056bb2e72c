package agent

import (
	"cmp"
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
	// waitSlice is how long one wait for the applier lasts before the record is
	// looked at again.
	waitSlice = 200 * time.Millisecond
	// noProgress is how long the applier may stand still.
	noProgress = 30 * time.Second
	// heldUp is how long it may stand still before the sessions are ended that may hold it up.
	heldUp = time.Second
	// stopWait is how long a receiving thread may take to stop before the work goes
	// on without it, stopLimit how long the server may wait for it.
	stopWait  = 100 * time.Millisecond
	stopLimit = time.Minute
	// lastArrivals is how long nothing may come from a source that has ended while its connection stays, and
	// mostArrivals how long something may; lookAgain is how often it is looked whether its replica has lost it.
	lastArrivals = 200 * time.Millisecond
	mostArrivals = 5 * time.Second
	lookAgain    = 5 * time.Millisecond
	// writersLast is for how long servers repeat their list of transactions, and a little.
	writersLast = 150 * time.Millisecond
	// seeRunning is how long a started applier may take to show.
	seeRunning = 2 * time.Second
)

var (
	errNotClosed  = errors.New("the server is open")
	errReceives   = errors.New("the receiving thread has not been told to stop yet")
	errNoProgress = errors.New("the applying thread makes no progress")
	errStopped    = errors.New("the applying thread is stopped and not everything is applied")
	errWrites     = errors.New("something is still being written")
	errApplier    = errors.New("the applying thread cannot apply everything: error")
	// errWouldDiscard: MariaDB throws unapplied relay log away whenever both
	// threads were stopped and either is started.
	errWouldDiscard = errors.New("both threads are stopped and not everything received is applied: starting either would throw the rest away")
)

// drain applies everything that was received: the applying thread runs, then
// the receiving one is stopped, never both.
func (w *worker) drain(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	began := w.now()
	// Whoever said drained before has received more since, or has been restarted.
	w.memory.Ready, w.memory.Behind = cluster.Order{}, in.Record.Order()
	if err := w.timed(in, "check record", func() error { return w.wants(ctx, in, reconcile.Drain) }); err != nil {
		return err
	}
	target := s.Target
	if safeguard.Off(safeguard.RecordedTarget) {
		target = ""
	}
	err := w.timed(in, "stop receiving", func() (err error) {
		target, err = w.stopReceiving(ctx, in, target)
		return err
	})
	if err == nil {
		failpoint.Hit("drain.stopped")
		if safeguard.Off(safeguard.Drain) {
			target = ""
		}
		err = w.timed(in, "apply", func() error { return w.applied(ctx, in, target, true) })
	}
	if err != nil && leaves(in, err) {
		w.log.Warn().Str("order", in.Record.Order().String()).Err(err).Msg("what the other server wrote cannot be applied: it stays there")
	} else if err != nil {
		return err
	}
	w.memory.Ready, w.memory.Behind = in.Record.Order(), cluster.Order{}
	w.log.Info().Str("order", in.Record.Order().String()).Dur("took", w.now()-began).Msg("drained")
	return nil
}

// leaves reports whether the server that is to be opened is opened without what its
// applying thread cannot apply: it has all that was demanded of it before, and the rest
// has come since from the other server, which keeps it.
func leaves(in *reconcile.Input, err error) bool {
	return in.Record.Phase == cluster.PhaseOpening && errors.Is(err, errApplier) ||
		in.Record.Proof == cluster.ProofGone && errors.Is(err, errWouldDiscard)
}

// stuck is the error of an applying thread that has stopped and not applied everything.
func stuck(ch cluster.Channel) error {
	if ch.SQLErrno == 0 {
		return errStopped
	}
	return fmt.Errorf("%w %d: %s", errApplier, ch.SQLErrno, ch.SQLError)
}

// stopReceiving returns target joined with all that was received.
func (w *worker) stopReceiving(ctx context.Context, in *reconcile.Input, target string) (string, error) {
	ch, err := w.channel(ctx)
	if err != nil || !ch.Configured {
		return target, err
	}
	if target, err = w.join(target, ch.Received); err != nil {
		return "", err
	}
	if ch.SQL != cluster.ThreadYes && w.sample.Server.Flavor == cluster.MariaDB && !safeguard.Off(safeguard.DiscardCheck) {
		// An applying thread that is started behind a stop that still lasts starts after it. A stop of
		// both shows that one first: it is among the sessions now, or over when the threads are looked at again.
		stops, err := w.listed(ctx, func(s Session) bool { return s.Stopping })
		if err != nil {
			return "", err
		}
		if ch, err = w.channel(ctx); err != nil {
			return "", err
		}
		if target, err = w.join(target, ch.Received); err != nil {
			return "", err
		}
		if ch.SQL != cluster.ThreadYes && (stops || ch.IO == cluster.ThreadNo || w.stopping != nil) {
			err := w.nothingToDiscard(ctx, target)
			if errors.Is(err, errWouldDiscard) && ch.SQLErrno != 0 {
				err = stuck(ch)
			}
			return target, err
		}
	}
	if ch.SQL != cluster.ThreadYes {
		if safeguard.Off(safeguard.ApplierFirst) {
			if err := w.stopReceiver(ctx, ch.IO); err != nil {
				return "", err
			}
		}
		if err := w.startApplying(ctx); err != nil && !leaves(in, err) {
			return "", err
		}
	}
	if ch, err = w.lastArrivals(ctx, in, ch); err != nil {
		return "", err
	}
	if err := w.stopReceiver(ctx, ch.IO); err != nil {
		return "", err
	}
	if ch, err = w.channel(ctx); err != nil || safeguard.Off(safeguard.LateArrivals) {
		return target, err
	}
	return w.join(target, ch.Received)
}

// lastArrivals lets the receiver take what its source had written before it ended: that is known some 30 ms before
// the connection of a killed one is closed, and one that was closed while it is being stopped sends for seconds.
// Where commits wait for this server what it has not taken was not acknowledged, but by a MySQL that is being stopped.
func (w *worker) lastArrivals(ctx context.Context, in *reconcile.Input, ch cluster.Channel) (cluster.Channel, error) {
	stopped := in.Record.Cause == cluster.CauseFailover(cluster.CauseStopped)
	if !stopped && (in.Record.Cause != cluster.CauseFailover(cluster.CauseEnded) || in.Record.Waits) {
		return ch, nil
	}
	began := w.now()
	for came := began; ch.IO == cluster.ThreadYes && ch.Source == w.peer && w.now() < min(came+lastArrivals, began+mostArrivals); {
		received := ch.Received
		if err := sched.Sleep(ctx, w.rt, lookAgain); err != nil {
			return ch, err
		}
		var err error
		if ch, err = w.channel(ctx); err != nil {
			return ch, err
		}
		if ch.Received != received {
			came = w.now()
		}
	}
	return ch, nil
}

// settled sees that no transaction is open that was before, but for those prepared by XA, which stay.
func (w *worker) settled(ctx context.Context) error {
	idle := w.p.a.nextTick()
	// A list that is asked for may be as old as that.
	if err := sched.Sleep(ctx, w.rt, writersLast); err != nil {
		return err
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	all, err := w.links.work.Writers(cctx)
	if err == nil && slices.ContainsFunc(all, func(t Writer) bool { return t.ID != 0 }) {
		err = errWrites
	}
	if err == nil {
		w.memory.Idle = idle
		w.asked.Store(true)
	}
	return err
}

// stopReceiver stops the receiving thread. Where the source hangs that can take
// until time-outs of the thread's own (MariaDB 10.11: 22 s), but a thread that was
// told to stop drops what it reads: that is enough. The session that waits for it
// is left alone then and another one takes its place.
func (w *worker) stopReceiver(ctx context.Context, io cluster.Thread) error {
	if io == cluster.ThreadNo {
		return nil
	}
	if w.stopping != nil {
		return w.toldToStop(ctx)
	}
	conn := w.links.work
	stop := sched.Begin(w.rt, func() (struct{}, error) {
		sctx, cancel := w.rt.Timeout(ctx, stopLimit)
		defer cancel()
		return struct{}{}, conn.StopIOThread(sctx)
	})
	// It ends with ctx, and the session is its own until then.
	whatever := context.Background()
	if _, err := stop.Get(whatever, stopWait); !errors.Is(err, sched.ErrLate) {
		return err
	}
	ended := &outcome{}
	w.rt.Go(func() {
		_, err := stop.Get(whatever, -1)
		_ = conn.Close()
		w.asked.Store(true) // the last sample shows the thread as it was before
		ended.set(err)
		w.wake.Set()
	})
	w.stopping, w.stoppingOn = ended, conn.ID()
	w.links.work = nil
	fresh, err := w.links.connect(ctx)
	if err != nil {
		return err
	}
	w.links.work, w.links.born = fresh, w.now()
	return w.toldToStop(ctx)
}

// toldToStop sees that the server has told the thread to stop and waits for it.
func (w *worker) toldToStop(ctx context.Context) error {
	told, err := w.listed(ctx, func(s Session) bool { return s.ID == w.stoppingOn && s.Stopping })
	if err == nil && !told {
		err = errReceives
	}
	return err
}

// listed reports whether the server has such a session.
func (w *worker) listed(ctx context.Context, such func(Session) bool) (bool, error) {
	cctx, cancel := w.call(ctx)
	defer cancel()
	all, err := w.links.work.Sessions(cctx)
	return slices.ContainsFunc(all, such), err
}

func (w *worker) nothingToDiscard(ctx context.Context, target string) error {
	cctx, cancel := w.call(ctx)
	defer cancel()
	srv, err := w.links.work.Observe(cctx, nil)
	if err != nil {
		return err
	}
	has, err := reconcile.Contains(srv.Flavor, srv.Executed, target)
	if err == nil && !has {
		err = errWouldDiscard
	}
	return err
}

// startApplying starts the applying thread and sees it run.
func (w *worker) startApplying(ctx context.Context) error {
	cctx, cancel := w.call(ctx)
	defer cancel()
	if err := w.links.work.StartSQLThread(cctx); err != nil {
		return err
	}
	deadline := w.now() + seeRunning
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ch, err := w.channel(ctx)
		switch {
		case err != nil:
			return err
		case ch.SQL == cluster.ThreadYes:
			return nil
		case ch.SQLErrno != 0:
			return stuck(ch)
		case w.now() > deadline:
			return errNoProgress
		}
		if err := sched.Sleep(ctx, w.rt, pause); err != nil {
			return err
		}
	}
}

func (w *worker) channel(ctx context.Context) (cluster.Channel, error) {
	cctx, cancel := w.call(ctx)
	defer cancel()
	return w.links.work.Channel(cctx)
}

func (w *worker) join(a, b string) (string, error) {
	return reconcile.Join(w.sample.Server.Flavor, a, b)
}

// applied waits until the closed server has applied target, as long as there is
// progress and the order is in force. With over, the sessions of applications and those that are of our user
// and not this worker's are ended when there is none: one that reads may hold locks for which the applying
// thread waits, nobody may write before that is done, and an order to write the epoch row that was given up may wait
// for an acknowledgement that a person has set up.
func (w *worker) applied(ctx context.Context, in *reconcile.Input, target string, over bool) error {
	last, since := "", w.now()
	ended := false
	for {
		cctx, cancel := w.call(ctx)
		began := w.p.a.nextTick()
		srv, err := w.links.work.Observe(cctx, nil)
		cancel()
		if err != nil {
			return err
		}
		w.answered(srv, began, true)
		lacks, err := reconcile.Lacks(srv.Flavor, srv.Executed, target)
		switch ch := srv.Channel; {
		case err != nil:
			return err
		case srv.ReadOnly != cluster.Yes:
			return errNotClosed
		case lacks == "" && !awaits(srv):
			return nil
		case ch.Configured && ch.SQL != cluster.ThreadYes:
			return stuck(ch)
		case !w.p.current(in):
			return errMoved
		case srv.Executed != last:
			last, since, ended = srv.Executed, w.now(), false
		case w.now()-since > noProgress:
			return fmt.Errorf("%w: %s is not applied", errNoProgress, cmp.Or(lacks, "what it waits with for an acknowledgement"))
		case over && !ended && w.now()-since > heldUp:
			ended = true
			w.log.Warn().Str("order", in.Record.Order().String()).Str("lacks", lacks).Msg("the applying thread makes no progress: sessions are ended, which may hold it up")
			if err := w.timed(in, "kill sessions", func() error { return w.endSessions(ctx) }); err != nil {
				return err
			}
		}
		w.tell(in)
		if awaits(srv) {
			err = w.letClosedGo(ctx, in, w.links.work)
		}
		if err == nil {
			err = w.await(ctx, target)
		}
		if err != nil {
			return err
		}
	}
}

// awaits reports whether the applying thread may wait for an acknowledgement. What it waits
// with nobody sees yet, though MariaDB shows its position, and nothing more is applied.
func awaits(srv cluster.Server) bool {
	return srv.Acks.Waiting > 0 && srv.Channel.SQL == cluster.ThreadYes && !safeguard.Off(safeguard.ApplierLetGo)
}

func (w *worker) await(ctx context.Context, target string) error {
	began := w.now()
	cctx, cancel := w.rt.Timeout(ctx, waitSlice+w.p.a.o.ConnectTimeout)
	defer cancel()
	if _, err := w.links.work.WaitApplied(cctx, target, waitSlice); err != nil {
		return err
	}
	// A wait function that answers at once must not become a busy loop.
	if w.now()-began < 2*time.Millisecond {
		return sched.Sleep(ctx, w.rt, 2*time.Millisecond)
	}
	return nil
}

// catchUp waits until everything of the closed old active is applied.
func (w *worker) catchUp(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	began := w.now()
	w.reachPeer(ctx, in)
	if err := w.timed(in, "apply", func() error { return w.applied(ctx, in, s.Target, false) }); err != nil {
		return err
	}
	w.memory.Ready = in.Record.Order()
	w.log.Info().Str("order", in.Record.Order().String()).Dur("took", w.now()-began).Msg("caught up")
	return nil
}

// replicate starts or stops replication threads.
func (w *worker) replicate(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	if err := w.wants(ctx, in, s.Kind); err != nil {
		return err
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	c := w.links.work
	do := map[reconcile.Kind]func(context.Context) error{
		reconcile.StopIO: func(context.Context) error { return w.stopReceiver(ctx, w.sample.Server.Channel.IO) }, reconcile.StopReplication: c.StopReplication,
		reconcile.StartIO: c.StartIOThread, reconcile.StartSQL: c.StartSQLThread,
		reconcile.StartReplication: c.StartReplication, reconcile.Acknowledge: w.acknowledge, reconcile.Reposition: w.reposition,
	}[s.Kind]
	if do == nil {
		return fmt.Errorf("step %q is unknown", s.Kind)
	}
	err := w.timed(in, string(s.Kind), func() error {
		if starts := s.Kind == reconcile.StartIO || s.Kind == reconcile.StartReplication || s.Kind == reconcile.Reposition; starts && in.Record.Durability.Acknowledged() {
			// What is received before that is never acknowledged by MySQL.
			if _, err := c.Acknowledge(cctx); w.isLost(err) {
				return err
			} else {
				w.outcome(noteAcks, cluster.NoteAcks, "the receiver does not acknowledge", err)
			}
		}
		if err := w.beatEachSecond(cctx, s.Kind); w.isLost(err) {
			return err
		}
		return do(cctx)
	})
	if err != nil {
		return err
	}
	switch s.Kind {
	case reconcile.StartIO, reconcile.StartSQL, reconcile.StartReplication, reconcile.Reposition:
		w.memory.StartAfter = w.now() + min(30*time.Second, time.Second<<min(w.starts, 5))
		w.starts++
	case reconcile.Acknowledge:
		w.memory.AcksAfter = w.now() + acknowledgeAgain
	}
	w.log.Info().Str("step", string(s.Kind)).Str("reason", s.Reason.Text).Msg("replication changed")
	w.read(ctx, true)
	return nil
}

// seldom is how far apart heartbeats are that say too little of a silent source: the default of
// servers is 30 or 60 s.
const seldom = 2000 // ms

// beatEachSecond sees, before the receiver is started by k, to frequent heartbeats where that costs
// nothing that was received. A server that refuses keeps what it has: mmmctl check tells.
func (w *worker) beatEachSecond(ctx context.Context, k reconcile.Kind) error {
	srv := w.sample.Server
	ch := srv.Channel
	if ch.HeartbeatPeriodMS <= seldom || ch.IO != cluster.ThreadNo || k != reconcile.StartIO && k != reconcile.StartReplication {
		return nil
	}
	switch {
	case srv.Flavor == cluster.MariaDB && ch.SQL != cluster.ThreadNo:
		return nil
	case srv.Flavor == cluster.MySQL && ch.SQL == cluster.ThreadNo:
		if all, err := reconcile.Contains(srv.Flavor, srv.Executed, ch.Received); err != nil || !all {
			return nil
		}
	}
	err := w.links.work.BeatEachSecond(ctx)
	if err == nil {
		w.log.Info().Int64("was_ms", ch.HeartbeatPeriodMS).Msg("heartbeats are sent each second")
	} else if !w.isLost(err) {
		w.log.Info().Err(err).Msg("heartbeats stay as seldom as they are")
	}
	return err
}

// reposition has the channel go on after all that the server has. What was received and not
// applied may go: the server has it.
func (w *worker) reposition(ctx context.Context) error {
	c := w.links.work
	if err := c.StopReplication(ctx); err != nil {
		return err
	}
	return errors.Join(c.Reposition(ctx), c.StartReplication(ctx))
}
