package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

// Kinds of faults that others must know of.
const (
	errantWrite   = "a person writes to"
	daemonLeap    = "the clock leaps of"
	redisLeap     = "Redis's clock leaps"
	keptAnswers   = "Redis keeps its answers"
	cutOff        = "the host is cut off:"
	linkCut       = "the link is cut:"
	serverHangs   = "mysqld hangs on"
	powerGoes     = "power goes at"
	hostFreezes   = "the host freezes:"
	hostSuspended = "the host is suspended:"
	daemonKilled  = "the daemon is killed:"
	daemonStopped = "the daemon is stopped:"
	daemonPaused  = "the daemon is paused:"
	diskHangs     = "the disk hangs of"
)

// kind is one kind of fault.
type kind struct {
	name string
	// draw chooses what it happens to.
	draw func(r *rand.Rand, s *Spec, f *Fault)
	// begin makes it happen and returns what undoes it; nil when nothing is left to undo.
	begin func(w *world, f Fault) (end func())
	// trouble: it may justify that the role moves. stalls: an agent may be late.
	trouble, stalls bool
}

// fault is a Fault under way.
type fault struct {
	Fault
	*kind
	armed bool // it waits for its phase
	end   func()
}

// plan has a fault begin and end in its time.
func (w *world) plan(planned Fault) {
	f := &fault{Fault: planned, kind: kindOf(planned.Kind)}
	w.faults = append(w.faults, f)
	w.e.At(w.began+f.At, func() {
		if f.When == "" {
			w.happen(f)
		} else {
			f.armed = true
		}
	})
}

// entered has the faults happen that were planned for a phase.
func (w *world) entered(phase cluster.Phase) {
	for _, f := range w.faults {
		switch {
		case !f.armed || f.When != phase:
			continue
		case f.Kind == keptAnswers: // this one's too
			w.happen(f)
		default:
			w.e.After(f.After, func() { w.happen(f) })
		}
		f.armed = false
	}
}

func (w *world) happen(f *fault) {
	if w.healed != 0 {
		return
	}
	if d := w.named(f.On); d != nil && d.p == nil {
		return // it has never been started
	}
	if w.e.Recording() {
		w.e.Note("fault", f.Fault.String())
	}
	if w.oversleeps(f.Fault) {
		w.judge.Overslept(w.e.Now())
	}
	w.told(f)
	f.end = f.begin(w, f.Fault)
	w.told(f)
	if f.end != nil {
		w.e.After(f.For, func() { w.undo(f) })
	}
}

func (w *world) told(f *fault) {
	if f.trouble {
		w.judge.Trouble(w.e.Now())
	}
	if f.stalls {
		w.judge.Stalled(w.e.Now())
	}
}

// oversleeps reports whether what holds up agents with leases, their hosts or servers
// is with this fault longer than leases allow, or a clock leaps on which they count.
// What remains of the margin is for clocks that drift.
func (w *world) oversleeps(f Fault) bool {
	ttl := w.spec.Lease
	keeps := strings.HasPrefix(f.On, "agent") || strings.HasPrefix(f.On, "db-")
	switch {
	case ttl == 0:
		return false
	case f.Kind == daemonLeap && (keeps || strings.HasPrefix(f.On, "id")):
		return true
	case !keeps:
		return false
	}
	switch f.Kind {
	case diskHangs, serverHangs, hostFreezes, hostSuspended, daemonPaused:
		w.stood += f.For
	case daemonKilled, daemonStopped, powerGoes:
		w.away += f.For
	}
	return w.stood >= lease.Margin(ttl)-ttl*mostDrift/1_000_000 || w.away >= lease.Grace(ttl)
}

func (w *world) undo(f *fault) {
	if f.end == nil {
		return
	}
	if w.e.Recording() {
		w.e.Note("fault", "ends: "+f.Fault.String())
	}
	end := f.end
	f.end = nil
	w.told(f)
	end()
	w.told(f)
}

func kindOf(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	panic("world: no kind of fault is called " + name)
}

var kinds = []kind{
	{"mysqld is killed on", onServer, killServer, true, false},
	{serverHangs, onServer, hangServer, true, true},
	{powerGoes, onHost, powerOff, true, true},
	{hostFreezes, onHost, freeze(false), true, true},
	{hostSuspended, onHost, freeze(true), true, true},
	{daemonKilled, onDaemon, killDaemon, false, true},
	{daemonStopped, onDaemon, stopDaemon, false, true},
	{daemonPaused, onDaemon, pauseDaemon, false, true},
	{daemonLeap, onDaemon, leapDaemon, false, true},
	{"nothing gets from", onLink, cutOneWay, true, true},
	{linkCut, onLink, cutBothWays, true, true},
	{cutOff, onHost, isolate, true, true},
	{"the link is slow:", onLink, slowLink, true, true},
	{"the link loses:", onLink, lossyLink, true, true},
	{"a firewall is before", onDoor, door, true, true},
	{"the applier is slow on", onServer, slowApplier, true, false},
	{"replication is stopped on", onThreads, stopThreads, true, false},
	{"a table is locked on", onServer, lockTable, true, false},
	{"a long write runs on", onServer, longWrite, true, false},
	{"a transaction stays open on", onServer, longTransaction, true, false},
	{errantWrite, onServer, writeErrant, true, false},
	{"Redis is killed", onNothing, killRedis, false, false},
	{"Redis hangs", onNothing, hangRedis, false, false},
	{"Redis is emptied", onNothing, emptyRedis, false, false},
	{"Redis loses its last writes", onNumber(20), setBackRedis, false, false},
	{"Redis is restored from a copy", onNothing, restoreRedis, false, false},
	{keptAnswers, onNumber(6), cutAnswers, false, false},
	{redisLeap, onNumber(30), leapRedis, false, false},
	{"there are two Redis masters", onNumber(1 << 12), forkRedis, false, false},
	{"the message is repeated", onNumber(4), repeatMessage, false, false},
	{"a message is forged", onNumber(8), forgeMessage, false, false},
	{"the disk fails of", onAgent, failDisk(false), false, true},
	{diskHangs, onAgent, failDisk(true), false, true},
}

// What faults happen to.

var servers = [2]string{"db-a", "db-b"}

func onNothing(*rand.Rand, *Spec, *Fault) {}

func onNumber(n int) func(*rand.Rand, *Spec, *Fault) {
	return func(r *rand.Rand, _ *Spec, f *Fault) { f.N = 1 + r.IntN(n) }
}

func onServer(r *rand.Rand, s *Spec, f *Fault) {
	f.On = servers[r.IntN(2)]
	if r.IntN(4) == 0 {
		f.On = s.active()
	}
}

func onDaemon(r *rand.Rand, s *Spec, f *Fault) {
	all := s.daemons()
	f.On = all[r.IntN(len(all))]
}

func onAgent(r *rand.Rand, s *Spec, f *Fault) { f.On = fmt.Sprintf("agent%d", 1+r.IntN(s.Agents)) }

func onHost(r *rand.Rand, s *Spec, f *Fault) {
	all := s.machines()
	f.On = all[r.IntN(len(all))]
}

func onLink(r *rand.Rand, s *Spec, f *Fault) {
	onHost(r, s, f)
	if r.IntN(2) == 0 {
		f.On = servers[r.IntN(2)]
	}
	for f.To = f.On; f.To == f.On; {
		all := s.machines()
		f.To = all[r.IntN(len(all))]
	}
}

func onDoor(r *rand.Rand, s *Spec, f *Fault) {
	onServer(r, s, f)
	f.N = 1 + r.IntN(3)
}

func onThreads(r *rand.Rand, s *Spec, f *Fault) {
	onServer(r, s, f)
	f.N = 1 + r.IntN(3)
}

// daemons are the names of the daemons, machines those of the hosts.
func (s *Spec) daemons() []string {
	var all []string
	for _, of := range []struct {
		name string
		n    int
	}{{"mon", s.Monitors}, {"id", s.Identifies}, {"agent", s.Agents}} {
		for i := range of.n {
			all = append(all, fmt.Sprintf("%s%d", of.name, i+1))
		}
	}
	return all
}

func (s *Spec) machines() []string {
	all := []string{servers[0], servers[1], "redis"}
	for _, d := range s.daemons() {
		if !s.Local || d[:2] != "ag" {
			all = append(all, d)
		}
	}
	return all
}

func (w *world) on(f Fault) *server { return w.db[min(1, int(f.On[3]-'a'))] }

// Faults of servers and hosts.

func killServer(w *world, f Fault) func() {
	s := w.on(f)
	w.dies(s)
	s.kill()
	return s.start
}

// dies counts what kind of death it is.
func (w *world) dies(s *server) {
	if !s.Up() {
		return
	}
	switch {
	case !s.other.Up():
		w.count(SawBothDown)
	case w.record().Active == s.Addr():
		w.count(SawActiveKilled)
	default:
		w.count(SawPassiveKilled)
	}
}

func hangServer(w *world, f Fault) func() {
	s := w.on(f)
	p := s.Process()
	if w.record().Active == s.Addr() {
		w.count(SawActiveHung)
	}
	p.Pause()
	return func() {
		w.wakes(s)
		p.Resume()
	}
}

func (w *world) wakes(s *server) {
	if a := w.record().Active; s.Open() && a != "" && a != s.Addr() {
		w.count(SawHungWokenAfterPromotion)
	}
}

func powerOff(w *world, f Fault) func() {
	h := w.host(f.On)
	w.count(SawPowerLost)
	for _, s := range w.db {
		if s.host == h {
			w.dies(s)
			s.powerOff()
		}
	}
	h.Crash()
	return func() { w.boot(h) }
}

// boot starts a host with all that runs there.
func (w *world) boot(h *engine.Host) {
	h.Boot()
	w.revive(h)
}

// revive starts what is dead on a host that runs.
func (w *world) revive(h *engine.Host) {
	for _, s := range w.db {
		if s.host == h {
			s.start()
		}
	}
	for _, m := range []*master{w.redis, w.fork} {
		if m != nil && m.host == h {
			m.Start()
		}
	}
	for _, d := range w.daemons {
		if d.host == h {
			d.start()
		}
	}
}

func freeze(suspends bool) func(w *world, f Fault) func() {
	return func(w *world, f Fault) func() {
		h := w.host(f.On)
		if !h.Up() || h.Frozen() {
			return nil
		}
		began := w.e.Now()
		h.Freeze()
		return func() {
			if !h.Frozen() {
				return
			}
			for _, s := range w.db {
				if s.host == h {
					w.wakes(s)
				}
			}
			if suspends {
				// A little less than it was, for clocks that drift.
				lost := (w.e.Now() - began) / 1000 * 999
				if w.spec.Lease > 0 {
					lost = lost / 10 * 9
				}
				for _, p := range w.processes(h) {
					p.Lag(lost)
				}
			}
			h.Thaw()
			w.revive(h)
		}
	}
}

// processes are those that live on a host.
func (w *world) processes(h *engine.Host) []*engine.Process {
	var all []*engine.Process
	add := func(p *engine.Process) {
		if p != nil && p.Alive() && p.Host() == h {
			all = append(all, p)
		}
	}
	for _, s := range w.db {
		add(s.Process())
	}
	for _, d := range w.daemons {
		add(d.p)
	}
	return all
}

// Faults of daemons.

func killDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	w.killed(d)
	d.p.Kill()
	return d.start
}

// killed counts in which phase a daemon dies.
func (w *world) killed(d *daemon) {
	phases := []cluster.Phase{cluster.PhaseSteady, cluster.PhaseSwitching, cluster.PhaseRevoked, cluster.PhaseOpening}
	for i, phase := range phases {
		switch {
		case w.record().Phase != phase:
		case d.name[:2] == "id":
			w.count(SawIdentifyKilledSteady + Counter(i))
		case d.isAgent():
			w.count(SawAgentKilledSteady + Counter(i))
		}
	}
}

func stopDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	w.killed(d)
	d.p.Post(d.stop)
	p := d.p
	return func() {
		p.Kill()
		d.start()
	}
}

func pauseDaemon(w *world, f Fault) func() {
	d := w.named(f.On)
	p := d.p
	p.Pause()
	switch {
	case d.isAgent():
		w.count(SawAgentPaused)
	case f.For > identifyLease && w.redis.Store().Snapshot(w.redis.Now()).Leader.ID == d.id():
		w.count(SawLeaderPaused)
	}
	return p.Resume
}

func leapDaemon(w *world, f Fault) func() {
	w.count(SawClockLeapt)
	w.named(f.On).p.Leap(f.For)
	return nil
}

func failDisk(hangs bool) func(w *world, f Fault) func() {
	return func(w *world, f Fault) func() {
		d := w.named(f.On).disk
		d.fails, d.hangs = true, hangs
		w.count(SawMemoryFailed)
		return func() { d.fails, d.hangs = false, false }
	}
}

// Faults of the network.

func cutOneWay(w *world, f Fault) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.count(SawCutOneWay)
	w.net.Cut(a, b)
	return func() { w.net.Heal(a, b) }
}

func cutBothWays(w *world, f Fault) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.count(SawCutBothWays)
	w.net.CutBoth(a, b)
	return func() { w.net.HealBoth(a, b) }
}

// isolate cuts a host off from all others; but for one, when the fault names it.
func isolate(w *world, f Fault) func() {
	h := w.host(f.On)
	var cut []*engine.Host
	for _, o := range w.hosts {
		if o != h && o.Name() != f.To {
			cut = append(cut, o)
			w.net.CutBoth(h, o)
		}
	}
	return func() {
		for _, o := range cut {
			w.net.HealBoth(h, o)
		}
	}
}

func slowLink(w *world, f Fault) func() {
	w.count(SawSlowLink)
	return w.change(f, engine.Link{Low: 100 * time.Millisecond, High: 1500 * time.Millisecond})
}

func lossyLink(w *world, f Fault) func() {
	return w.change(f, engine.Link{Low: usual.Low, High: usual.High, Lose: 300, Twice: 50})
}

func (w *world) change(f Fault, l engine.Link) func() {
	a, b := w.host(f.On), w.host(f.To)
	w.net.SetLink(a, b, l)
	w.net.SetLink(b, a, l)
	return func() {
		w.net.SetLink(a, b, usual)
		w.net.SetLink(b, a, usual)
	}
}

func door(w *world, f Fault) func() {
	s := w.on(f)
	s.Door(engine.Door(f.N))
	return func() { s.Door(engine.Open) }
}

// Faults of replication, and what keeps a server from closing.

func slowApplier(w *world, f Fault) func() {
	s := w.on(f)
	s.setApply(200 * time.Millisecond)
	return func() { s.setApply(0) }
}

// stopThreads has a person stop the applier, the receiver, or both.
func stopThreads(w *world, f Fault) func() {
	s := w.on(f)
	if s.Up() {
		w.judge.Halted(w.e.Now(), s.Addr())
		s.person(func(x *mysql.Session, now time.Duration) { x.StopThreads(now, f.N&2 != 0, f.N&1 != 0, func(error) {}) })
	}
	return nil
}

// as runs what an application does in a process of its own until the fault ends.
func (w *world) as(f Fault, do func(ctx context.Context, p *engine.Process, c *mysql.App)) func() {
	p := w.host("batch").Process("batch", engine.Clock{})
	s := w.on(f)
	p.Go(func() {
		ctx, cancel := p.Runtime().Timeout(context.Background(), patience)
		c, err := mysql.DialApp(ctx, p, s.Machine, appUser)
		cancel()
		if err == nil {
			do(context.Background(), p, c)
			c.Close()
		}
	})
	return p.Kill
}

func lockTable(w *world, f Fault) func() {
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		if c.Lock(ctx).Result == mysql.Acknowledged {
			_ = sched.Sleep(ctx, p.Runtime(), f.For)
			c.Unlock(ctx)
		}
	})
}

func longWrite(w *world, f Fault) func() {
	row := w.row()
	s := w.on(f)
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		c.Write(ctx, row, f.For, s.answers(row))
	})
}

func longTransaction(w *world, f Fault) func() {
	row := w.row()
	s := w.on(f)
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		none := func(mysql.Outcome) {}
		if c.Begin(ctx).Result != mysql.Acknowledged || c.Write(ctx, row, 0, none).Result != mysql.Acknowledged {
			return
		}
		_ = sched.Sleep(ctx, p.Runtime(), f.For)
		c.Commit(ctx, s.answers(row))
	})
}

func writeErrant(w *world, f Fault) func() {
	s := w.on(f)
	if s.Up() {
		row := w.row()
		w.judge.Interfered(w.e.Now(), row)
		s.person(func(x *mysql.Session, now time.Duration) { x.Write(now, row, 0, func(mysql.Outcome) {}) })
	}
	return nil
}

// Faults of Redis.

func killRedis(w *world, f Fault) func() {
	m := w.redis
	w.count(SawRedisDown)
	m.Kill()
	return m.Start
}

func hangRedis(w *world, f Fault) func() {
	p := w.redis.Process()
	p.Pause()
	return p.Resume
}

func emptyRedis(w *world, f Fault) func() {
	m := w.redis
	m.Kill()
	m.Store().Empty()
	w.count(SawRedisEmptied)
	w.setBack(m, false)
	return m.Start
}

func setBackRedis(w *world, f Fault) func() {
	m := w.redis
	m.Kill()
	m.Store().LoseLast(f.N)
	w.count(SawRedisSetBack)
	w.setBack(m, false)
	return m.Start
}

func restoreRedis(w *world, f Fault) func() {
	m := w.redis
	older := m.Store().Clone()
	return func() {
		m.Kill()
		m.Restore(older)
		w.count(SawRedisSetBack)
		w.setBack(m, false)
		m.Start()
	}
}

func (w *world) setBack(m *master, forked bool) {
	w.watch(m)
	w.judge.RedisFault(w.e.Now(), forked)
}

func cutAnswers(w *world, f Fault) func() {
	m := w.redis
	m.CutAnswers(f.N)
	w.count(SawAnswerLost)
	return func() { m.CutAnswers(0) }
}

func leapRedis(w *world, f Fault) func() {
	if f.N%2 == 0 {
		w.redis.Leap(-time.Duration(f.N) * time.Second)
	} else {
		w.redis.Leap(time.Duration(f.N) * time.Second)
	}
	w.count(SawClockLeapt)
	return nil
}

// forkRedis makes a second master that some daemons see: one for each bit of N;
// its lowest bits say how much it lacks and who stays in the end. Agents without
// leases see the same one while it lasts for long: what others have closed by a newer
// record an agent opens again after a while, and nothing in the pair can tell it.
func forkRedis(w *world, f Fault) func() {
	if w.fork != nil || !w.redis.Up() {
		return nil
	}
	h := w.host("redis2")
	first := w.redis
	second := &master{Server: first.Fork(h, f.N&3), host: h}
	w.fork = second
	w.count(SawRedisForked)
	w.setBack(second, true)
	together := w.spec.Lease == 0 && f.For >= reconcile.ReopenAfter
	for i, d := range w.daemons {
		bit := i + 4
		if d.isAgent() && together {
			bit = 3
		}
		if d.onFork = f.N>>bit&1 == 1; d.onFork && d.p != nil {
			d.bus.MoveTo(second.Server)
		}
	}
	return func() {
		w.fork = nil
		gone := second
		if f.N>>2&1 == 1 {
			w.redis, gone = second, first
		}
		for _, d := range w.daemons {
			d.onFork = false
			if d.p != nil {
				d.bus.MoveTo(w.redis.Server)
			}
		}
		w.deskBus.MoveTo(w.redis.Server)
		gone.Kill()
		w.judge.RedisFault(w.e.Now(), false)
	}
}

func repeatMessage(w *world, f Fault) func() {
	w.count(SawMessageRepeated)
	w.say(w.record(), f.N)
	return nil
}

func forgeMessage(w *world, f Fault) func() {
	w.count(SawMessageForged)
	a := w.record()
	a.Active, a.Passive = a.Passive, a.Active
	if a.Active == "" {
		a.Active, a.Passive = w.pair.Primary, w.pair.Secondary
	}
	a.Epoch = max(1, a.Epoch+4-min(a.Epoch+3, cluster.Epoch(f.N)))
	w.say(a, 1)
	return nil
}

func (w *world) say(a cluster.Assignment, times int) {
	for range times {
		w.redis.Say(fmt.Sprintf("active: %s, passive: %s, uniqsign: %s, epoch: %d", a.Active, a.Passive, sign, a.Epoch))
	}
}
