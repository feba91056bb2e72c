package world

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

const (
	// settled is how long a pair must have been well to be believed unless the
	// schedule says otherwise, and mostHealing how long the world may take to be well after the faults.
	settled     = time.Second
	mostHealing = 90 * time.Second
	// lookEvery is how often the pair is looked at meanwhile, and lookAgain when
	// nothing but the end is waited for.
	lookEvery = 50 * time.Millisecond
	lookAgain = 5 * time.Millisecond
	// identifyLease is the life of identify's lease.
	identifyLease = 3 * time.Second
)

// heal ends every fault.
func (w *world) heal() {
	w.e.Note("world", "heals")
	for _, f := range w.faults {
		w.undo(f)
	}
	w.healed = w.e.Now()
	for _, h := range w.hosts {
		h.Thaw()
		h.Boot()
	}
	w.redis.Start()
	w.redis.Process().Resume()
	w.redis.CutAnswers(0)
	for _, s := range w.db {
		s.Process().Resume()
		s.start()
		if s.Server.Stalls() {
			s.stall(mysql.Flows)
		}
		s.setApply(0)
	}
	for _, d := range w.daemons {
		d.p.Resume()
		d.start()
	}
	round := w.round
	w.desk.Go(func() { w.resume(round) })
	w.e.After(lookEvery, w.check)
}

// resume has the operator end every pause, a late one too, until the next round begins, and
// the wait of an applier that was there at the last look: where somebody has commits wait for
// an hour an acknowledgement that was lost is waited for so long, and no agent ends that.
func (w *world) resume(round int) {
	waited := map[*server]bool{}
	for w.round == round {
		for _, s := range w.db {
			_, awaits := s.Applier()
			awaits = awaits && !s.AwaitsForEver()
			if awaits && waited[s] {
				s.person(func(x *mysql.Session, now time.Duration) { x.ReleaseCommits(now, func(error) {}) })
			}
			waited[s] = awaits
		}
		if w.redis.Store().Snapshot(w.redis.Now()).Pause != nil {
			_ = w.order(Order{Verb: Resume})
		}
		_ = sched.Sleep(context.Background(), w.desk.Runtime(), settled/2)
	}
}

// check ends the world when the pair has been well for a while, or takes too long.
func (w *world) check() {
	now := w.e.Now()
	missing := w.missing()
	switch {
	case missing != "":
		w.wellFrom = 0
	case w.wellFrom == 0:
		w.wellFrom = now
	case w.writing && now-w.wellFrom >= w.settles():
		// The passive must come to have everything.
		w.writing, w.wellFrom = false, 0
		for _, s := range w.db {
			s.Slow(func() time.Duration { return 0 })
		}
	case !w.writing && w.level():
		w.tell("")
		switch {
		case w.again():
		case w.spec.Lasts:
			w.writing = true
			w.await()
		default:
			w.over = true
		}
		return
	}
	if now-w.healed >= mostHealing {
		w.tell(missing)
		w.over = true
		return
	}
	again := lookEvery
	if !w.writing {
		again = lookAgain
	}
	w.e.After(again, w.check)
}

func (w *world) settles() time.Duration {
	if d := w.spec.at(w.round).Settles; d > 0 {
		return d
	}
	return settled
}

// missing is what keeps the pair from being well; empty when it is.
func (w *world) missing() string {
	a := w.record()
	if !a.Exists() || a.Phase != cluster.PhaseSteady {
		return fmt.Sprintf("the record is %s in phase %q", a.Order(), a.Phase)
	}
	active := w.server(a.Active)
	passive := active.other
	switch {
	case !active.Open():
		return fmt.Sprintf("%s is not open", active.Addr())
	case !passive.Up() || passive.Open():
		return fmt.Sprintf("%s is up: %v, open: %v", passive.Addr(), passive.Up(), passive.Open())
	case active.Locked(appAccount), w.spec.Blocks && !passive.Locked(appAccount):
		return fmt.Sprintf("the application is locked out of %s: %v, of %s: %v", active.Addr(), active.Locked(appAccount), passive.Addr(), passive.Locked(appAccount))
	}
	if a.Estimated && a.IsEligible(a.Passive) {
		return fmt.Sprintf("what was left behind on %s is not known", a.Passive)
	}
	if w.quarantined(passive) {
		if active.Receives() || passive.Receives() {
			return fmt.Sprintf("%s is in quarantine, and replication runs", passive.Addr())
		}
		return ""
	}
	if r := w.report(passive); r.Deed == cluster.DeedQuarantine {
		return fmt.Sprintf("%s says that %s is in quarantine, which has nothing of its own: %s", r.Agent, passive.Addr(), r.Reason)
	}
	for _, s := range w.db {
		if c := s.Channel(0); !c.Replicates(s.other.Addr()) {
			return fmt.Sprintf("%s does not replicate: IO %s %q, SQL %s %q", s.Addr(), c.IO, c.IOError, c.SQL, c.SQLError)
		}
	}
	return ""
}

// quarantined reports whether an agent that is there says so of a server, and it is so.
func (w *world) quarantined(s *server) bool {
	return s.other.Lacks(s.Server) > 0 && w.report(s).Deed == cluster.DeedQuarantine
}

// report is the newest of an agent that runs now.
func (w *world) report(s *server) cluster.Report {
	all := w.redis.Store().Snapshot(w.redis.Now()).Reports[s.Addr()]
	var newest cluster.Report
	for _, d := range w.daemons {
		if r, ok := all[d.id()]; ok && (newest.Agent == "" || newest.Order.Before(r.Order)) {
			newest = r
		}
	}
	return newest
}

// level reports whether both have the same, or the passive is in quarantine.
func (w *world) level() bool {
	active := w.server(w.record().Active)
	passive := active.other
	return active.Open() && (w.quarantined(passive) || w.same())
}

// same reports whether both servers have the same.
func (w *world) same() bool {
	return w.db[0].Lacks(w.db[1].Server) == 0 && w.db[1].Lacks(w.db[0].Server) == 0
}

// tell tells the judge what has become of the round.
func (w *world) tell(missing string) {
	snap := w.redis.Store().Snapshot(w.redis.Now())
	f := FinalFacts{Record: snap.Assignment, Verdict: missing}
	if snap.Verdict != nil {
		f.Verdict = snap.Verdict.Reason.Text
	}
	for i, s := range w.db {
		c, r := s.Channel(0), w.report(s)
		f.Servers[i] = FinalServer{Up: s.Up(), Open: s.Open(), Locked: s.Locked(appAccount), IO: c.IO == cluster.ThreadYes, SQL: c.SQL == cluster.ThreadYes,
			Quarantined: r.Deed == cluster.DeedQuarantine, Reason: r.Reason}
	}
	w.e.Note("world", fmt.Sprintf("ends round %d: %s", w.round, missing))
	w.judge.Final(w.e.Now(), f)
}

// What the judge asks of the world.

// Has reports whether e has committed the row.
func (w *world) Has(e cluster.Endpoint, row uint64) bool { return w.server(e).Has(row) }

// Unapplied counts what e has received and not applied.
func (w *world) Unapplied(e cluster.Endpoint) int { return w.server(e).Unapplied() }

// Stuck reports whether the applier of e has stopped with an error.
func (w *world) Stuck(e cluster.Endpoint) bool { return w.server(e).Stuck() }

// Extra counts what e has committed and of has not.
func (w *world) Extra(e, of cluster.Endpoint) (rows, all int) {
	have := w.server(of).History()
	for _, t := range w.server(e).History() {
		if slices.Contains(have, t) {
			continue
		}
		all++
		if len(t.Rows) > 0 {
			rows++
		}
	}
	return rows, all
}

// Lacks reports whether e has not committed all of a set.
func (w *world) Lacks(e cluster.Endpoint, set string) bool {
	wanted, err := gtid.Parse(w.spec.Flavor, set)
	if err != nil {
		return true
	}
	for _, t := range w.server(e).History() {
		if one, err := gtid.Parse(w.spec.Flavor, t.GTID(w.spec.Flavor)); err == nil {
			wanted = wanted.Minus(one)
		}
	}
	return !wanted.IsEmpty()
}

// Shown reports whether the newest view that the last identify to ask for a change
// had read tells that e has received something.
func (w *world) Shown(e cluster.Endpoint) bool {
	return newestView(*w.asked, e).Server.Channel.Received != ""
}

func newestView(s cluster.Snapshot, e cluster.Endpoint) (newest cluster.Observation) {
	for _, o := range s.Observations[e] {
		if o.Seq > newest.Seq {
			newest = o
		}
	}
	return newest
}

// Untold counts what e has committed, and of has not nor set lists.
func (w *world) Untold(e, of cluster.Endpoint, set string) int {
	told, err := gtid.Parse(w.spec.Flavor, set)
	if err != nil {
		return 0
	}
	n := 0
	for _, t := range w.server(e).History() {
		one, err := gtid.Parse(w.spec.Flavor, t.GTID(w.spec.Flavor))
		if err == nil && !told.Contains(one) && !slices.Contains(w.server(of).History(), t) {
			n++
		}
	}
	return n
}

// Known counts what that view shows of e and lacks has not.
func (w *world) Known(e, lacks cluster.Endpoint) (int, bool) {
	newest := newestView(*w.asked, e)
	seen, err := gtid.Parse(w.spec.Flavor, newest.Server.Executed)
	if err != nil || newest.Seq == 0 {
		return 0, false
	}
	n := 0
	for _, t := range w.server(e).History() {
		one, err := gtid.Parse(w.spec.Flavor, t.GTID(w.spec.Flavor))
		if err == nil && seen.Contains(one) && !slices.Contains(w.server(lacks).History(), t) {
			n++
		}
	}
	return n, true
}

// Up reports whether e runs.
func (w *world) Up(e cluster.Endpoint) bool { return w.server(e).Server.Up() }

// Waits reports whether commits on e wait for an acknowledgement.
func (w *world) Waits(e cluster.Endpoint) bool { return w.server(e).AwaitsForEver() }

var _ God = (*world)(nil)

// Run carries out a schedule.
func Run(s Spec) Outcome { return run(s, false) }

// RunTraced is Run with a trace.
func RunTraced(s Spec) Outcome { return run(s, true) }

// spares are what worlds have left behind; there are as many as worlds ran side by side.
var spares pool

type pool struct {
	mu  sync.Mutex
	all []*engine.Spare
}

func (p *pool) take() *engine.Spare {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.all) - 1
	if last < 0 {
		return &engine.Spare{}
	}
	s := p.all[last]
	p.all = p.all[:last]
	return s
}

func (p *pool) give(s *engine.Spare) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, s)
}

func run(s Spec, traced bool) (out Outcome) {
	spare := spares.take()
	defer spares.give(spare)
	w := worldOn(spare.New(s.Seed), s)
	var trace *engine.Trace
	if traced {
		trace = w.e.Record(0)
	}
	defer func() {
		if p := recover(); p != nil {
			out.Violation = &Violation{Invariant: "panic", At: w.e.Now(), Text: fmt.Sprint(p)}
		}
		if trace != nil {
			out.Trace = trace.String()
		}
	}()
	defer w.e.Close()
	w.build()
	for !w.over && w.judge.Violation() == nil && w.e.Step() {
		w.look()
	}
	out = Outcome{Violation: w.judge.Violation(), Events: w.e.Events(), Took: w.e.Now() - w.start, Rounds: w.round, Seen: w.judge.Seen}
	return out
}
