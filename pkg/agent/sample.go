package agent

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

const mostSteps = 60

// read samples the server on the working connection: in full, or only whether
// it is open and how its channel does.
func (w *worker) read(ctx context.Context, full bool) {
	c := w.links.work
	if c == nil {
		return
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	began := w.p.a.nextTick()
	srv := w.sample.Server
	var err error
	if full {
		srv, err = c.Observe(cctx, nil)
		if err == nil && !c.asked {
			// Whoever sets read_only asks before: sessions end with the server.
			c.startsClosed, err = c.StartsClosed(cctx)
			c.asked = true
		}
	} else {
		srv.ReadOnly, srv.SuperReadOnly, srv.Channel, err = c.Glance(cctx)
	}
	if ctx.Err() != nil {
		return
	}
	w.sampleAt = w.now() + sampleEvery
	if err != nil {
		w.lost(err)
		if cause := w.p.a.o.Cause(err); w.links.work != nil {
			w.unanswered(cause, err)
		}
		return
	}
	w.answered(srv, began, full)
}

// answered takes a good sample that began at tick began.
func (w *worker) answered(srv cluster.Server, began uint64, full bool) {
	before := w.sample
	restarted := full && before.Began != 0 && w.restarted(before, srv)
	w.foreignHand(before, srv, full, restarted)
	if restarted || srv.Channel.IO == cluster.ThreadNo {
		w.stopping, w.stoppingOn = nil, 0 // the session that waits for it may never be told
	}
	if full {
		switch c := w.links.work; {
		case c != nil && c.startsClosed != cluster.Unknown: // of this start: the session would have ended with it
			srv.StartsClosed = c.startsClosed
		case !restarted:
			srv.StartsClosed = before.Server.StartsClosed
		}
	}
	s := &w.sample
	s.Server, s.Cause, s.Failures, s.Lost = srv, cluster.CauseNone, 0, false
	s.Began, s.Ended, s.At = began, w.p.a.nextTick(), w.now()
	w.host.ended, w.host.stopped = 0, false
	if full && (restarted || before.Cause != cluster.CauseNone || before.Began == 0) {
		w.memory.Since = began
	}
	if restarted {
		w.memory.Lost = ""
	}
	if full {
		w.watchProcess(srv, restarted)
		s.PosBegan, s.PosEnded = s.Began, s.Ended
		w.fullAt = w.p.nextRound() + fullEvery - round
	}
	w.sampleAt = w.p.nextRound()
	if srv.ReadOnly == cluster.No {
		w.memory.Closed = cluster.Order{} // restarted open since: it is closed anew
	}
	if restarted || srv.Acks.Source == cluster.No {
		w.memory.Awaited = cluster.Order{}
	}
	if restarted {
		w.memory.Marked = 0 // it may have lost the row, or have received an older one when it started
	}
	w.denied = ""
	w.clear(noteSample)
	if srv.ReadOnly != cluster.Yes || srv.SuperReadOnly != cluster.No {
		w.clear(noteSeal)
	}
	if full {
		w.hidden(srv.Sessions < 0)
	}
	if before.Cause != cluster.CauseNone || before.Began == 0 {
		// What did not hold before it went away says nothing of a server that is back.
		w.starts, w.memory.StartAfter = 0, 0
		w.log.Info().Str("version", srv.Version).Bool("read_only", srv.ReadOnly == cluster.Yes).Msg("server answers")
	}
	w.publish(full || !before.Answers() || before.Server.ReadOnly != srv.ReadOnly)
}

// foreignHand notes whether somebody else has closed the server since it was seen
// last. One that was restarted meanwhile came up as its option file says.
func (w *worker) foreignHand(before reconcile.Sample, srv cluster.Server, full, restarted bool) {
	m := &w.memory
	switch {
	case srv.ReadOnly == cluster.No, restarted:
		m.Shut, w.closing = cluster.Order{}, false
	case w.closing:
	case before.Open():
		m.Shut, m.ShutAt = m.Opened, w.now()
	case full && w.cut != cluster.Order{}:
		m.Shut, m.ShutAt = w.cut, w.now()
	}
	if full {
		w.cut = cluster.Order{}
	}
	if w.leases != nil && before.Server.ReadOnly != srv.ReadOnly {
		w.leases.locking.Set()
	}
}

// restarted reports whether the server was restarted since it answered before.
func (w *worker) restarted(before reconcile.Sample, srv cluster.Server) bool {
	return srv.Identity != before.Server.Identity || srv.UptimeS < before.Server.UptimeS ||
		time.Duration(srv.UptimeS)*time.Second < w.now()-before.At
}

// unanswered takes a call or connect that got no answer.
func (w *worker) unanswered(cause cluster.Cause, err error) {
	if cause == cluster.CauseNone {
		cause = cluster.CauseOther
	}
	before := w.sample.Cause
	w.sample.Cause = cause
	w.sample.Failures++
	w.denied = ""
	if w.refused(err) {
		w.denied = err.Error()
		w.trouble(noteSample, cluster.NoteGrants, "the server cannot be sampled", err)
	} else if before != cause {
		w.log.Warn().Str("cause", string(cause)).Err(err).Msg("server does not answer")
	}
	w.publish(before != cause || w.sample.Failures <= w.p.a.o.TryOnFailure)
}

// hidden takes whether the server hides the sessions of others from us. A
// session that begins or ends while it is sampled looks the same, once.
func (w *worker) hidden(is bool) {
	switch {
	case !is:
		w.clear(noteSessions)
	case w.blind:
		w.setNote(noteSessions, cluster.NoteGrants, "the sessions of others are hidden from us, so that none of them is ended when the server is closed: PROCESS is missing (mmmctl check shows the GRANT)")
	}
	if w.blind = is; is {
		w.links.renew()
	}
}

// readGrants looks at what is granted to our account: by the next step it is too
// late to mend it. It comes after the steps that are due, and on a new session not
// while the next one of a change of role may come at any moment.
func (w *worker) readGrants(ctx context.Context) {
	c := w.links.work
	if c == nil || !w.sample.Answers() || ctx.Err() != nil {
		return
	}
	if w.now() < w.grantsAt && (c == w.grantsOn || w.p.moving()) {
		return
	}
	cctx, cancel := w.call(ctx)
	defer cancel()
	missing, err := c.Missing(cctx)
	if ctx.Err() != nil {
		return
	}
	w.grantsOn, w.grantsAt = c, w.now()+grantsEvery
	before := w.notes[noteGrants]
	switch {
	case err != nil:
		w.log.Debug().Err(err).Msg("the grants cannot be read")
		w.lost(err)
	case len(missing) > 0:
		w.setNote(noteGrants, cluster.NoteGrants, "the agent's account lacks "+strings.Join(missing, ", ")+" (mmmctl check shows the GRANT)")
	case before.Code != "":
		w.clear(noteGrants)
		w.links.renew() // a session that was opened meanwhile is poor
	}
	if w.notes[noteGrants] != before {
		if in := w.input(); in.OrderTick == w.orderTick {
			w.tell(&in)
		}
	}
}

// publish shows the sample to the peer's worker, and wakes it when it may
// change what is to be done there.
func (w *worker) publish(wake bool) {
	w.p.publish(w.self, w.sample)
	if wake {
		w.other.wake.Set()
	}
}

// note takes what a plan says without doing anything, and reports.
func (w *worker) note(ctx context.Context, in *reconcile.Input) {
	p, m := w.plan, &w.memory
	order := in.Record.Order()
	if p.Closed && m.Closed.Before(order) || p.Opened && m.Opened.Before(order) {
		w.keep(ctx, in)
	}
	if p.Closed && m.Closed.Before(order) {
		m.Closed = order
	}
	if p.Opened && m.Opened.Before(order) {
		m.Opened = order
	}
	if p.Suspect != m.Suspect {
		m.Suspect, m.SuspectAt, m.SuspectTick = p.Suspect, w.now(), w.p.a.nextTick()
	}
	m.Lost = cmp.Or(p.Lost, m.Lost)
	if p.Errant != "" && m.Errant == "" {
		w.log.Error().Str("errant", p.Errant).Msg("quarantine: the server has transactions that the active lacks")
	}
	switch {
	case p.Errant != "":
		m.Errant = p.Errant
	case p.Verified || p.Opened:
		m.Errant = ""
	}
	if w.sample.Server.Channel.Replicates(w.peer) {
		w.starts, m.StartAfter = 0, 0
	}
	if !p.Has(w.failedKind) {
		w.failure = cluster.Reason{}
		w.clear(noteStep)
	}
	if len(p.Steps) == 0 || w.failure.Code != "" || p.Deed != cluster.DeedNone {
		w.tell(in)
	}
}

// keep waits until the epoch in force is on disk: nothing is acknowledged under
// an epoch that could be forgotten. A disk that fails is told and goes no further.
func (w *worker) keep(ctx context.Context, in *reconcile.Input) {
	if w.p.a.keeper.keeps(w.p.u, in.Record.Epoch) {
		return
	}
	_ = w.timed(in, "wait for disk", func() error { return w.p.a.keeper.wait(ctx) })
}

// tell saves a report, at once when something changed that others act on. Before
// the bus was read it would take the place of what this process left there.
func (w *worker) tell(in *reconcile.Input) {
	if !in.Known && w.report == nil {
		return
	}
	p, m := w.plan, w.memory
	r := cluster.Report{
		Agent: w.p.a.o.ID, Node: w.self,
		Order: in.Record.Order(), Deed: p.Deed,
		Closed: m.Closed, Opened: m.Opened, Ready: m.Ready,
		Executed: w.sample.Server.Executed,
		Queued:   m.Queued, Cause: w.sample.Cause, Reason: p.Reason.Text, Waits: m.Awaited,
		Errant: m.Errant, Steps: w.steps, StepsOrder: w.stepsOrder, Remembers: in.Remembers,
		Notes: w.allNotes(),
	}
	if r.Closed != (cluster.Order{}) {
		r.ClosedUptimeS = w.sample.Server.UptimeS
	}
	r.StartsClosed = w.sample.Server.StartsClosed
	r.EndedUptimeS, r.Stopped, r.Tail = w.host.ended, w.host.stopped, p.Tail
	r.Writes, r.WritesMS = w.writes.say(w.now())
	r.NoRoom = w.host.full
	w.tellLeases(&r)
	r.Locked, _ = w.p.ledger.ours(w.self)
	if p.Deed == cluster.DeedRefused && w.refusal != "" {
		r.Reason = w.refusal
	}
	if p.Risk != "" {
		r.Reason = "risk: " + p.Risk
	}
	if w.denied != "" && p.Reason.Code == reconcile.CodeUnreachable {
		r.Reason = w.denied
	}
	if w.failure.Code != "" {
		r.Deed, r.Reason = cluster.DeedFailed, w.failure.Text
	} else if len(p.Steps) > 0 && p.Deed == cluster.DeedNone {
		r.Deed = cluster.DeedWorking
	}
	var old cluster.Report
	if w.report != nil {
		old = *w.report
	}
	if r.Deed == cluster.DeedNone && old.Order == r.Order {
		r.Deed = old.Deed
	}
	changed := old.Agent == "" || old.Order != r.Order || old.Deed != r.Deed || old.Closed != r.Closed ||
		old.Opened != r.Opened || old.Ready != r.Ready || old.Queued != r.Queued || old.Cause != r.Cause ||
		old.Lease != r.Lease || old.LeaseMS != r.LeaseMS || old.LockOver != r.LockOver || old.Waits != r.Waits || old.StartsClosed != r.StartsClosed || old.EndedUptimeS != r.EndedUptimeS || old.Stopped != r.Stopped || old.Writes != r.Writes || old.NoRoom != r.NoRoom || old.Tail != r.Tail ||
		old.Reason != r.Reason || old.Errant != r.Errant || !slices.Equal(old.Notes, r.Notes) || !slices.Equal(old.Locked, r.Locked) || old.Remembers.Order() != r.Remembers.Order()
	w.report = &r
	w.reporter.put(w.report, changed)
	if old.Closed != r.Closed {
		w.other.wake.Set()
	}
}

// tellLeases says which leases keep the server open.
func (w *worker) tellLeases(r *cluster.Report) {
	s := w.leases.state()
	if !s.Used {
		return
	}
	r.Lease, r.LockOver, r.LeaseMS = s.words, s.LockOver, w.leases.ttl.Milliseconds()
}
