package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	// wholeEvery is how often everything that the bus holds of a pair at rest is
	// read, rather than its record alone. Whatever else is of importance wakes us.
	wholeEvery = 5 * time.Second
	// forgetReportAfter is how long another agent's report may stand still
	// before it is removed; each process has a report of its own.
	forgetReportAfter = 10 * time.Minute
)

// pair is one pair of servers: what the bus says of it, read by one loop, and a
// worker for each server.
type pair struct {
	a       *Agent
	u       cluster.UniqSign
	members [2]cluster.Endpoint
	workers [2]*worker
	log     zerolog.Logger
	wake    sched.Signal
	phase   time.Duration // of its rounds: see sched.Phase
	stale   staleReports  // of the reading loop
	ledger  *ledger
	leases  *leases // nil where the active needs none

	mu      sync.Mutex
	moved   bool // the bus names other members
	bus     busState
	samples map[cluster.Endpoint]reconcile.Sample
	own     map[cluster.Endpoint]*cluster.Report // this agent's newest, saved or not; never changed
	said    string                               // the last trouble that was logged
}

// busState is what the newest reading of the bus gave.
type busState struct {
	known     bool
	record    cluster.Assignment
	legacy    cluster.LegacyMode
	paused    bool
	remembers cluster.Assignment
	// heard is the newest record that another agent remembers: Redis may have gone
	// back behind it while this one was away.
	heard       cluster.Assignment
	incarnation string
	orderTick   uint64
	reports     map[cluster.Endpoint][]cluster.Report // of other agents
	reportsTick uint64
	// former are the reports that this process left before a reload: what was
	// closed under an order stays closed under it, whoever did it.
	former map[cluster.Endpoint]cluster.Report
}

func newPair(a *Agent, u cluster.UniqSign, m [2]cluster.Endpoint) (*pair, error) {
	p := &pair{
		a: a, u: u, members: m,
		log:     a.o.Log.With().Str("uniqsign", string(u)).Logger(),
		wake:    a.rt.NewSignal(),
		samples: map[cluster.Endpoint]reconcile.Sample{},
		own:     map[cluster.Endpoint]*cluster.Report{},
	}
	p.ledger = newLedger(p)
	for i, e := range m {
		n, err := a.o.Node(e)
		if err != nil {
			return nil, fmt.Errorf("build node %s: %w", e, err)
		}
		p.workers[i] = newWorker(p, e, m[1-i], n)
	}
	p.workers[0].other, p.workers[1].other = p.workers[1], p.workers[0]
	p.settleScope()
	return p, nil
}

// settleScope says which workers act, and what keeps the active open.
func (p *pair) settleScope() {
	o, all := p.a.o, p.workers
	local := [2]bool{true, true}
	if o.Local != nil {
		local = [2]bool{o.Local(p.members[0]), o.Local(p.members[1])}
	}
	for i, w := range all {
		w.acts, w.links.spares = local[i], local[i]
	}
	switch {
	case o.Local == nil:
	case local[0] && local[1]:
		p.log.Warn().Msg("both servers of the pair are on this host: the agent acts on both, without leases")
		for _, w := range all {
			w.setNote(noteScope, NoteScope, "both servers of the pair are on this host: the agent acts on both as with scope=all, and no lease closes the active")
		}
	case !local[0] && !local[1]:
		p.log.Warn().Msg("no server of the pair is on this host: the agent only looks on")
	case o.Lease > 0:
		i := 0
		if local[1] {
			i = 1
		}
		p.leases = newLeases(p, all[i])
		all[i].leases = p.leases
	}
}

func (p *pair) workerOf(e cluster.Endpoint) *worker {
	if p.workers[0].self == e {
		return p.workers[0]
	}
	return p.workers[1]
}

func (p *pair) has(e cluster.Endpoint) bool { return slices.Contains(p.members[:], e) }

func (p *pair) look() { p.wake.Set() }

// readsReports reports whether another agent's report can change what to do now.
func (p *pair) readsReports() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ph := p.bus.record.Phase
	return ph == cluster.PhaseSwitching || ph == cluster.PhaseRevoked
}

// moving reports whether a change of role is under way.
func (p *pair) moving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bus.record.Exists() && p.bus.record.Phase != cluster.PhaseSteady
}

func (p *pair) run(ctx context.Context) {
	work := sched.NewGroup(p.a.rt)
	defer work.Wait()
	for _, w := range p.workers {
		work.Go(func() { w.run(ctx) })
		if w.acts {
			work.Go(func() { w.reporter.run(ctx) })
		}
	}
	if l := p.leases; l != nil {
		work.Go(func() { l.grant(ctx) })
		work.Go(func() { l.lock(ctx) })
	}
	beat, end := p.a.o.Loop("reading " + string(p.u))
	defer end()
	again, whole := time.Duration(0), time.Duration(0)
	for {
		beat()
		woken := p.wake.Wait(ctx, again)
		if woken == sched.Ended {
			return
		}
		p.a.rt.Lend(func() {
			if woken == sched.Set || p.a.now() >= whole || !p.unchanged(ctx) {
				p.read(ctx)
				whole = p.nextRound() + wholeEvery - round
			}
		})
		again = p.nextRound() - p.a.now()
		if safeguard.Off(safeguard.Reconciling) {
			again = -1
		}
	}
}

// unchanged reports whether the pair was at rest when it was read last, and its
// record is still the same.
func (p *pair) unchanged(ctx context.Context) bool {
	p.mu.Lock()
	b := p.bus
	p.mu.Unlock()
	if !b.known || b.record.Phase != cluster.PhaseSteady {
		return false
	}
	ctx, cancel := p.a.rt.Timeout(ctx, busTimeout)
	defer cancel()
	now, err := p.a.o.Bus.Assignment(ctx, p.u)
	return err == nil && now.Same(b.record)
}

// read asks the bus what is in force and wakes the workers when that changed.
func (p *pair) read(ctx context.Context) {
	began := p.a.nextTick()
	snap, err := p.snapshot(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	before := p.bus
	if err != nil {
		p.bus.known = false
	} else {
		p.bus = p.absorb(before, snap, began)
		m, ok := membersOf(snap)
		p.moved = ok && !(p.has(m[0]) && p.has(m[1]))
	}
	after, moved := p.bus, p.moved
	p.mu.Unlock()
	if moved {
		p.a.discover.Set()
	}
	if after.remembers.Order() != before.remembers.Order() {
		p.leases.obey(after.remembers)
		// A new epoch is written while the workers act on it; they wait for it
		// before they acknowledge anything. Who has been opened in it is written at
		// once too, when that is over, and that commits wait: Redis may go back behind it.
		now := after.remembers.Epoch != before.remembers.Epoch || after.remembers.Waits && !before.remembers.Waits ||
			after.remembers.Phase == cluster.PhaseSteady && before.remembers.Phase != cluster.PhaseSteady
		p.a.keeper.change(p.u, now, func(m *cluster.Memory) {
			if m.Record.Order().Before(after.remembers.Order()) {
				m.Record = after.remembers.Clone()
			}
		})
	}

	p.tell(before, after, snap, err)
	if err == nil {
		p.dropStale(ctx, after)
	}
	if _, is := after.frozen(); is && err == nil {
		if _, was := before.frozen(); !was {
			p.remind()
		}
	}
	if err != nil || after.differs(before) {
		for _, w := range p.workers {
			w.wake.Set()
		}
	}
}

// remind tells what this agent remembers at once: Redis has gone back, what agents had reported there with it, and
// another agent may obey what it says now.
func (p *pair) remind() {
	for _, w := range p.workers {
		if w.acts {
			w.reporter.repeat()
		}
	}
}

// snapshot reads the pair. A record that is there and cannot be read is an
// error, never "no record".
func (p *pair) snapshot(ctx context.Context) (cluster.Snapshot, error) {
	ctx, cancel := p.a.rt.Timeout(ctx, busTimeout)
	defer cancel()
	snap, err := p.a.o.Bus.Snapshot(ctx, p.u)
	if err == nil && !snap.Assignment.Exists() && len(snap.Faults) > 0 {
		snap.Assignment, err = p.a.o.Bus.Assignment(ctx, p.u)
	}
	return snap, err
}

func (p *pair) absorb(b busState, snap cluster.Snapshot, tick uint64) busState {
	if !b.known || snap.Assignment.Order() != b.record.Order() ||
		snap.Assignment.Active != b.record.Active || snap.Assignment.Phase != b.record.Phase || snap.Legacy != b.legacy {
		b.orderTick = tick
	}
	b.known, b.record, b.legacy, b.incarnation = true, snap.Assignment, snap.Legacy, snap.Incarnation
	b.paused = snap.Pause != nil
	b.reports, b.reportsTick = p.others(snap), p.a.nextTick()
	if b.former == nil {
		b.former = map[cluster.Endpoint]cluster.Report{}
		for _, e := range p.members {
			if r, ok := snap.Reports[e][p.a.o.ID]; ok {
				b.former[e] = r
			}
		}
	}
	b.heard = newestRemembered(b.reports)
	if _, frozen := b.frozen(); !frozen && b.record.Exists() && p.stranger(b.record) == "" {
		b.remembers = b.record.Clone()
	}
	return b
}

// others are the reports of other agents.
func (p *pair) others(snap cluster.Snapshot) map[cluster.Endpoint][]cluster.Report {
	reports := map[cluster.Endpoint][]cluster.Report{}
	var room [4]string
	for _, e := range p.members {
		ids := room[:0]
		for id := range snap.Reports[e] {
			if id != p.a.o.ID {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		slices.Sort(ids)
		all := make([]cluster.Report, 0, len(ids))
		for _, id := range ids {
			all = append(all, snap.Reports[e][id])
		}
		reports[e] = all
	}
	return reports
}

// newestRemembered is the newest record of which reports tell that a pair may have
// come to.
func newestRemembered(reports map[cluster.Endpoint][]cluster.Report) (newest cluster.Assignment) {
	if safeguard.Off(safeguard.HeardMemory) {
		return cluster.Assignment{}
	}
	for _, all := range reports {
		for _, r := range all {
			if newest.Order().Before(r.Remembers.Order()) && r.Remembers.Epoch.Credible() {
				newest = r.Remembers
			}
		}
	}
	return newest
}

// newest is the newest record that this agent or another one remembers.
func (b busState) newest() cluster.Assignment {
	if b.remembers.Order().Before(b.heard.Order()) {
		return b.heard
	}
	return b.remembers
}

func (b busState) frozen() (cluster.Reason, bool) { return reconcile.Frozen(b.record, b.newest()) }

// recall takes a record that another process of this machine has obeyed.
func (p *pair) recall(rec cluster.Assignment) {
	p.mu.Lock()
	newer := p.bus.remembers.Order().Before(rec.Order())
	if newer {
		p.bus.remembers = rec.Clone()
	}
	p.mu.Unlock()
	if newer {
		p.leases.obey(rec.Clone())
	}
}

// inForce is the order that was read last.
func (p *pair) inForce() cluster.Order {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bus.record.Order()
}

// incarnation is which Redis it was that was read last.
func (p *pair) incarnation() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bus.incarnation
}

func (p *pair) stranger(rec cluster.Assignment) cluster.Endpoint {
	for _, e := range []cluster.Endpoint{rec.Active, rec.Passive, rec.From, rec.To} {
		if e != "" && !p.has(e) {
			return e
		}
	}
	return ""
}

func (b busState) differs(o busState) bool {
	return b.known != o.known || b.orderTick != o.orderTick || b.paused != o.paused || b.newest().Order() != o.newest().Order() ||
		!maps.EqualFunc(b.reports, o.reports, sameClosings)
}

// sameClosings reports whether the same agents report the same closings.
func sameClosings(a, b []cluster.Report) bool {
	return slices.EqualFunc(a, b, func(r, q cluster.Report) bool { return r.Agent == q.Agent && r.Closed == q.Closed })
}

// tell logs what changed on the bus, once.
func (p *pair) tell(before, after busState, snap cluster.Snapshot, err error) {
	trouble, epoch := "", uint64(after.record.Epoch)
	switch frozen, is := after.frozen(); {
	case err != nil:
		trouble = err.Error()
	case is:
		trouble = frozen.Text
	case p.stranger(after.record) != "":
		trouble = fmt.Sprintf("the record names %q, which is no member: refused", string(p.stranger(after.record)))
	case len(snap.Faults) > 0:
		trouble = fmt.Sprintf("records that cannot be read: %q", snap.Faults)
	}
	if trouble != p.said {
		if trouble != "" {
			p.log.Warn().Uint64("epoch", epoch).Str("reason", trouble).Msg("the bus cannot be obeyed in full")
		} else {
			p.log.Info().Uint64("epoch", epoch).Msg("the bus is obeyed again")
		}
		p.said = trouble
	}
	if trouble == "" && after.orderTick != before.orderTick && after.record.Exists() {
		p.log.Info().Uint64("epoch", epoch).Str("order", after.record.Order().String()).Str("phase", string(after.record.Phase)).
			Str("active", string(after.record.Active)).Str("reason", after.record.Reason).Msg("order read")
	}
}

type staleReports map[staleKey]staleReport

type staleKey struct {
	node  cluster.Endpoint
	agent string
}

type staleReport struct {
	seq   uint64
	since time.Duration
}

// dropStale removes reports of processes that are long gone.
func (p *pair) dropStale(ctx context.Context, b busState) {
	if len(b.reports) == 0 {
		p.stale = nil
		return
	}
	now := p.a.now()
	seen := staleReports{}
	for _, e := range p.members {
		for i := range b.reports[e] {
			r := &b.reports[e][i]
			key := staleKey{e, r.Agent}
			s, ok := p.stale[key]
			if !ok || s.seq != r.Seq {
				s = staleReport{r.Seq, now}
			}
			if now-s.since > forgetReportAfter && b.record.Phase == cluster.PhaseSteady {
				_ = p.a.o.Bus.DropReport(ctx, p.u, e, r.Agent)
				continue
			}
			seen[key] = s
		}
	}
	p.stale = seen
}

// publish makes a worker's sample known to the other one.
func (p *pair) publish(e cluster.Endpoint, s reconcile.Sample) {
	p.mu.Lock()
	p.samples[e] = s
	p.mu.Unlock()
}

func (p *pair) sampleOf(e cluster.Endpoint) reconcile.Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.samples[e]
}

func (p *pair) setOwn(r *cluster.Report) {
	p.mu.Lock()
	p.own[r.Node] = r
	p.mu.Unlock()
}

// input gathers what a decision about self rests on, apart from the worker's own part.
func (p *pair) input(self, peer cluster.Endpoint) reconcile.Input {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := slices.Clip(p.bus.reports[self])
	if r, ok := p.bus.former[self]; ok {
		mine = append(mine, r)
	}
	var peers []cluster.Report
	if reconcile.ReadsPeer(p.bus.record) {
		peers = slices.Clip(p.bus.reports[peer])
		if r, ok := p.own[peer]; ok {
			peers = append(peers, *r)
		}
	}
	return reconcile.Input{
		Self: self, Peer: peer,
		Known: p.bus.known, Record: p.bus.record, Legacy: p.bus.legacy, Remembers: p.bus.newest(),
		OrderTick: p.bus.orderTick, Paused: p.bus.paused,
		Theirs:    p.samples[peer],
		Owned:     p.ledger.ownedOn(peer, p.bus.orderTick),
		MyReports: mine, PeerReports: peers, ReportsTick: p.bus.reportsTick,
		Tries: p.a.o.TryOnFailure,
	}
}

// current reports whether the order in force is still the one of in.
func (p *pair) current(in *reconcile.Input) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bus.known && p.bus.orderTick == in.OrderTick
}
