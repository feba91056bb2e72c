package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	sampleEvery = time.Second
	// fullEvery is how often a server that is as it should be is sampled in full.
	fullEvery = 5 * time.Second
	// grantsEvery is how often a server is asked what our account may do.
	grantsEvery = 15 * time.Second
	// roundsAtOnce bounds how often a worker decides and acts without listening.
	roundsAtOnce = 12
	leastRetry   = 50 * time.Millisecond
	// endedSessions is how many sessions in a row may end during a step before it counts as failed.
	endedSessions = 3
	mostRetry     = time.Second
)

// errMoved: the record no longer wants what was decided.
var errMoved = errors.New("the record has moved on")

// worker brings one server to what the bus wants. Everything but the marked
// fields belongs to its own loop. Whatever happens elsewhere leaves a value and
// sets wake.
type worker struct {
	p          *pair
	acts       bool    // on the server; else it only samples it
	leases     *leases // nil where the server stays open without any
	rt         sched.Runtime
	self, peer cluster.Endpoint
	other      *worker
	log        zerolog.Logger
	reporter   *reporter
	wake       sched.Signal // anybody
	asked      atomic.Bool  // anybody: a full sample is wanted
	doubted    atomic.Bool  // anybody: a monitor has had trouble with a server of the pair
	beat       func()       // the worker comes on: see Options.Loop

	links *links
	// stopping tells when a receiving thread that was told to stop has ended,
	// stoppingOn is the session that waits for it.
	stopping   *outcome
	stoppingOn uint64
	sample     reconcile.Sample
	unseen     string // why the server's process is not watched
	denied     string // why the last sample was refused for want of a privilege
	blind      bool   // the last full sample showed our own sessions only
	grantsOn   Conn   // the working connection on which the grants were read
	memory     reconcile.Memory
	sets       gtid.Memo
	plan       reconcile.Plan
	refusal    string        // why the last switchover step was refused
	closing    bool          // we have told the server to close since it was seen open last
	cut        cluster.Order // under which our session was ended, until the server has answered
	host       hostProcess
	writes     writes

	accounts reconcile.Accounts
	spared   [3]string // who is never locked, as found last
	exempt   []string  // of these, whom there is; replaced, never changed
	// suspects are the accounts seen locked on the active, not by us, since
	// suspectsAt under the order first read at suspectsTick.
	suspects     []cluster.Account
	suspectsTick uint64
	suspectsAt   time.Duration
	notes        map[string]cluster.Reason
	noBlock      bool // a closing of noBlockTick goes without locking accounts
	noBlockTick  uint64
	markedAt     time.Duration
	openTries    int // openings of this order that failed

	steps      []cluster.Step
	stepsOrder cluster.Order
	report     *cluster.Report // the newest; nil before the first
	failure    cluster.Reason  // why the last step failed, as long as it is still planned
	failedKind reconcile.Kind

	orderTick                 uint64
	sampleAt, fullAt, retryAt time.Duration
	grantsAt                  time.Duration
	retries                   int
	starts                    int                 // starts of replication in a row that did not hold
	toPeer                    *sched.Result[Conn] // dialled ahead of an opening
	crowd                     []uint64            // sessions of applications that a closing, acknowledged at crowdAt, has left
	crowdAt                   time.Duration
	logged                    string
}

func newWorker(p *pair, self, peer cluster.Endpoint, n Node) *worker {
	rt := p.a.rt
	wake := rt.NewSignal()
	return &worker{
		p: p, rt: rt, self: self, peer: peer,
		log:      p.log.With().Str("node", string(self)).Logger(),
		reporter: newReporter(p),
		wake:     wake,
		links:    newLinks(n, rt, wake),
		notes:    map[string]cluster.Reason{},
	}
}

func (w *worker) now() time.Duration { return w.rt.Now() }

// ask wants a full sample that begins after now.
func (w *worker) ask() {
	w.asked.Store(true)
	w.wake.Set()
}

func (w *worker) run(ctx context.Context) {
	var end func()
	w.beat, end = w.p.a.o.Loop("serving " + string(w.self))
	defer end()
	defer w.links.shut()
	defer w.leavePeer()
	defer w.host.drop()
	defer w.writes.shut(w)
	pause := time.Duration(0)
	for {
		w.beat()
		if w.wake.Wait(ctx, pause) == sched.Ended {
			return
		}
		w.rt.Lend(func() {
			w.notice(ctx)
			if ctx.Err() == nil {
				w.cycle(ctx)
				pause = w.pause()
			}
		})
		if ctx.Err() != nil {
			return
		}
	}
}

// notice takes what has become of the connections, and of what waits on them.
func (w *worker) notice(ctx context.Context) {
	l := w.links
	w.noticeProcess()
	if l.work != nil && l.work.ended() {
		w.ended()
	}
	// While a closing order waits on the spare, the order itself tells how it ended.
	if l.spare != nil && !w.memory.Queued && l.spare.ended() {
		l.dropSpare()
	}
	if over, _ := w.stopping.is(); over {
		w.stopping, w.stoppingOn = nil, 0
	}
	if over, err := l.queue.is(); over {
		w.queueEnded(ctx, err)
	}
	for _, d := range l.takeDialled() {
		w.dialled(ctx, d)
	}
}

func (w *worker) cycle(ctx context.Context) {
	w.links.dial(ctx, w.now())
	if w.links.work != nil {
		if w.doubtful() {
			w.sampleAt = w.now()
		}
		switch asked := w.asked.Swap(false); {
		case asked || w.now() >= w.fullAt, w.now() >= w.sampleAt && w.unsettled():
			w.read(ctx, true)
		case w.now() >= w.sampleAt:
			w.read(ctx, false)
		}
	}
	if !w.acts {
		w.lookOn(ctx)
		w.links.dial(ctx, w.now())
		return
	}
	w.lookForRoom(ctx)
	w.tryWrites(ctx)
	var in reconcile.Input
	for range roundsAtOnce {
		in = w.input()
		if in.OrderTick != w.orderTick {
			w.orderTick, w.retries, w.retryAt, w.failure = in.OrderTick, 0, 0, cluster.Reason{}
			w.openTries, w.memory.MarkAfter = 0, 0
			w.accounts.After, w.accounts.WorkAfter = 0, 0
			w.starts, w.memory.StartAfter = 0, 0
			in.Memory.MarkAfter, in.Memory.StartAfter = 0, 0
			in.Accounts.After, in.Accounts.WorkAfter = 0, 0
		}
		w.plan = reconcile.Decide(in)
		w.note(ctx, &in)
		if w.plan.AskPeer {
			w.other.ask()
		}
		if len(w.plan.Steps) == 0 || w.now() < w.retryAt || !w.carryOut(ctx, &in) || ctx.Err() != nil {
			break
		}
	}
	w.disperse(ctx, &in)
	if in.Record.Phase != cluster.PhaseSwitching && in.Record.Phase != cluster.PhaseOpening {
		w.leavePeer()
	}
	w.readGrants(ctx)
	w.links.dial(ctx, w.now())
}

// lookOn is all that is done about a server of another host, beside sampling it:
// which accounts its owner has locked is asked on the active.
func (w *worker) lookOn(ctx context.Context) {
	if w.links.work == nil || !w.sample.Answers() || w.now() < w.accounts.After {
		return
	}
	in := w.input()
	active := in.Record.Phase == cluster.PhaseSteady && in.Record.Active == w.self
	if !active || !in.Blocking.On() {
		return
	}
	if err := w.readAccounts(ctx, &in); err != nil {
		w.lost(err)
	}
}

// unsettled reports whether the server is not as it should be, so that each
// sample has to be a full one.
func (w *worker) unsettled() bool {
	return w.sample.Cause != cluster.CauseNone || w.plan.Reason.Code != "" || len(w.plan.Steps) > 0
}

// pause is how long nothing needs to be done unless something happens.
func (w *worker) pause() time.Duration {
	now := w.now()
	d := w.links.wait(now, sampleEvery)
	if w.links.work != nil {
		d = min(d, max(0, w.sampleAt-now))
	}
	if len(w.plan.Steps) > 0 && w.retryAt > now {
		d = min(d, w.retryAt-now)
	}
	if closeIn := w.leases.state().closeIn; closeIn > 0 && w.sample.Open() {
		d = min(d, closeIn)
	}
	if at := w.writes.due(); at > 0 {
		d = min(d, at-now)
	}
	return max(d, time.Millisecond)
}

func (w *worker) input() reconcile.Input {
	in := w.p.input(w.self, w.peer)
	in.Mine, in.Now, in.Sets = w.sample, w.now(), &w.sets
	w.memory.Connected = w.links.work != nil
	w.memory.Spare = w.links.spare != nil
	w.memory.Stopping = w.stopping != nil
	if w.memory.Marked != 0 && w.now() >= w.markedAt+markLasts {
		w.memory.Marked = 0
	}
	in.Memory = w.memory
	in.Leases = w.leases.state().Leases
	in.Blocking = w.blocking(&in.Mine.Server, &in.Theirs.Server)
	in.Accounts = w.accounts
	in.Accounts.Ours, in.Accounts.Mine = w.p.ledger.ours(w.self)
	in.Accounts.Shared = w.p.ledger.shared(w.self)
	return in
}

// carryOut does the plan's steps in their order until one fails.
func (w *worker) carryOut(ctx context.Context, in *reconcile.Input) bool {
	for _, s := range w.plan.Steps {
		err := w.do(ctx, in, s)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, errMoved) {
			w.p.look()
			return false
		}
		w.failed(ctx, in, s, err)
		return false
	}
	w.retries, w.retryAt = 0, 0
	w.failure = cluster.Reason{}
	w.clear(noteStep)
	return true
}

// failed notes a failed step and when to try again. The pause differs between
// agents, so that two which close one server do not end each other's sessions for ever.
func (w *worker) failed(ctx context.Context, in *reconcile.Input, s reconcile.Step, err error) {
	w.lost(err)
	pause := min(mostRetry, leastRetry<<min(w.retries, 10))
	w.retries++
	w.retryAt = w.now() + pause/2 + w.rt.Rand(pause)
	text := fmt.Sprintf("%s: %v", s.Kind, err)
	if w.refused(err) {
		w.setNote(noteStep, cluster.NoteGrants, text)
	} else if !w.isLost(err) {
		w.clear(noteStep)
	}
	// A session that ended says nothing of the step: another agent that closes the
	// server ends it. Who decides is told only when the next ones end too.
	if w.p.a.o.Cause(err) != cluster.CauseReset || w.retries > endedSessions {
		w.failedKind = s.Kind
		w.failure = cluster.Reason{Code: "step-failed", Text: text}
	}
	if text != w.logged {
		w.logged = text
		w.log.Warn().Uint64("epoch", uint64(in.Record.Epoch)).Str("step", string(s.Kind)).
			Str("reason", s.Reason.Text).Err(err).Msg("step failed")
	}
	// The plan says nothing of a record that came while it was carried out.
	if fresh := w.input(); fresh.OrderTick == w.orderTick {
		w.note(ctx, &fresh)
	}
}

func (w *worker) do(ctx context.Context, in *reconcile.Input, s reconcile.Step) error {
	if s.Kind == reconcile.QueueClose || s.Kind == reconcile.QueueAlone {
		return w.queueClose(ctx, in, s.Kind)
	}
	if w.links.work == nil {
		return errMoved
	}
	switch s.Kind {
	case reconcile.Read:
		w.read(ctx, true)
		return nil
	case reconcile.Settle:
		return w.timed(in, string(s.Kind), func() error { return w.settled(ctx) })
	case reconcile.Close, reconcile.CloseGently:
		return w.close(ctx, in, s.Kind)
	case reconcile.CloseAlone:
		return w.closeAlone(ctx, in)
	case reconcile.Drain:
		return w.drain(ctx, in, s)
	case reconcile.CatchUp:
		return w.catchUp(ctx, in, s)
	case reconcile.Open:
		return w.open(ctx, in, s)
	case reconcile.Seal, reconcile.ReadAccounts, reconcile.Forget, reconcile.Lock, reconcile.Release, reconcile.WriteMark,
		reconcile.Await, reconcile.LetGo:
		return w.tend(ctx, in, s)
	}
	return w.replicate(ctx, in, s)
}

// wants reads the record again and returns errMoved when it no longer wants k.
func (w *worker) wants(ctx context.Context, in *reconcile.Input, k reconcile.Kind) error {
	_, err := w.wanted(ctx, in, k)
	return err
}

// wanted is wants with the record that was read, where there is one.
func (w *worker) wanted(ctx context.Context, in *reconcile.Input, k reconcile.Kind) (now cluster.Assignment, err error) {
	if k == reconcile.CloseAlone || k == reconcile.QueueAlone {
		return now, nil // what needs no record is wanted by every record
	}
	ctx, cancel := w.rt.Timeout(ctx, w.p.a.patience())
	defer cancel()
	u := w.p.u
	if in.Record.Exists() {
		if now, err = w.recordNow(ctx, in, k); err != nil {
			return now, fmt.Errorf("check record of %s: %w", u, err)
		}
		if !reconcile.Wants(k, w.self, in.Record, now) {
			return now, errMoved
		}
		return now, nil
	}
	snap, err := w.p.snapshot(ctx)
	if err != nil {
		return now, fmt.Errorf("check mode of %s: %w", u, err)
	}
	if snap.Assignment.Exists() || !reconcile.WantsLegacy(k, w.self, in.Legacy, snap.Legacy) {
		return now, errMoved
	}
	return now, nil
}

// errNotHeld is over when the islands of Redis have met again.
var errNotHeld = errors.New("this redis may be an old master")

// held sees that the record of the plan would outlive the loss of a master of Redis, where
// acknowledged writes are promised to be kept: what an island with an old master says opens no server and
// lets no commit go.
func (w *worker) held(ctx context.Context, in *reconcile.Input) error {
	if !in.Record.Durability.Acknowledged() {
		return nil
	}
	ctx, cancel := w.rt.Timeout(ctx, w.p.a.patience())
	defer cancel()
	inForce, err := w.p.a.o.Bus.Held(ctx, w.p.u, in.Record.Order())
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errNotHeld, err)
	case !inForce:
		return errMoved
	}
	return nil
}

// recordNow reads the record again. That of a pair at rest, by which a server is to be
// opened or closed, is one that Redis may have gone back to: what the other agents
// remember was read seconds ago, and is read again with it.
func (w *worker) recordNow(ctx context.Context, in *reconcile.Input, k reconcile.Kind) (cluster.Assignment, error) {
	if in.Record.Phase != cluster.PhaseSteady || k != reconcile.Open && k != reconcile.Close && k != reconcile.QueueClose {
		return w.p.a.o.Bus.Assignment(ctx, w.p.u)
	}
	snap, err := w.p.snapshot(ctx)
	if err != nil {
		return cluster.Assignment{}, err
	}
	if _, frozen := reconcile.Frozen(snap.Assignment, newestRemembered(w.p.others(snap))); frozen {
		return cluster.Assignment{}, errMoved
	}
	return snap.Assignment, nil
}

// call bounds one plain call to the server.
func (w *worker) call(ctx context.Context) (context.Context, context.CancelFunc) {
	w.beat()
	return w.rt.Timeout(ctx, w.p.a.o.ConnectTimeout)
}

// timed runs one part of a step and notes how long it took.
func (w *worker) timed(in *reconcile.Input, name string, f func() error) error {
	if o := in.Record.Order(); o != w.stepsOrder {
		w.steps, w.stepsOrder = nil, o
	}
	w.beat()
	began := w.now()
	err := f()
	s := cluster.Step{Name: name, MS: float64((w.now() - began).Microseconds()) / 1000}
	if err != nil {
		s.Err = err.Error()
	}
	if len(w.steps) >= mostSteps {
		w.steps = w.steps[1:]
	}
	if err != nil && w.p.a.o.Refused(err) {
		// Tried again and again until somebody grants it.
		w.steps = slices.DeleteFunc(slices.Clone(w.steps), func(old cluster.Step) bool { return old.Name == name && old.Err == s.Err })
	}
	w.steps = append(w.steps, s)
	return err
}
