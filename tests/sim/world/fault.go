package world

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
)

// Kinds of faults that others must know of.
const (
	errantWrite     = "a person writes to"
	slowedApplier   = "the applier is slow on"
	stoppedThreads  = "replication is stopped on"
	lockedTable     = "a table is locked on"
	longWriting     = "a long write runs on"
	openTransaction = "a transaction stays open on"
	daemonLeap      = "the clock leaps of"
	redisLeap       = "Redis's clock leaps"
	keptAnswers     = "Redis keeps its answers"
	cutOff          = "the host is cut off:"
	linkCut         = "the link is cut:"
	serverKilled    = "mysqld is killed on"
	serverHangs     = "mysqld hangs on"
	powerGoes       = "power goes at"
	hostFreezes     = "the host freezes:"
	hostSuspended   = "the host is suspended:"
	daemonKilled    = "the daemon is killed:"
	daemonStopped   = "the daemon is stopped:"
	daemonPaused    = "the daemon is paused:"
	diskHangs       = "the disk hangs of"
	firewall        = "a firewall is before"
	writesStall     = "writes stall on"
)

// harmless are the kinds of which a server neither dies nor falls silent.
var harmless = []string{slowedApplier, stoppedThreads, lockedTable, longWriting, openTransaction, errantWrite}

// kind is one kind of fault.
type kind struct {
	name string
	// draw chooses what it happens to.
	draw func(r *rand.Rand, s *Spec, f *Fault)
	// begin makes it happen and returns what undoes it; nil when nothing is left to undo.
	begin func(w *world, f Fault) (end func())
	// trouble: it may justify that the role moves, unless it is harmless. stalls: an agent may be late.
	trouble, stalls bool
}

// fault is a Fault under way.
type fault struct {
	Fault
	*kind
	round int  // the one that it is of
	armed bool // it waits for its phase
	// changed is when it last began or ended; 0 for never.
	changed time.Duration
	end     func()
}

// plan has a fault of this round begin and end in its time.
func (w *world) plan(planned Fault) {
	planned.On, planned.To = w.means(planned.On), w.means(planned.To)
	f := &fault{Fault: planned, kind: kindOf(planned.Kind), round: w.round}
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
	if !w.suffers(f.round) {
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
	f.changed = w.e.Now()
	switch {
	case slices.Contains(harmless, f.Kind):
		w.judge.Disturbed(w.e.Now())
	case f.trouble:
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
	case diskHangs, serverHangs, hostFreezes, hostSuspended, daemonPaused, writesStall: // whose commits stand still cannot be closed
		w.stood += f.For
	case daemonKilled, daemonStopped, powerGoes:
		w.away += f.For
	case firewall: // behind it an agent that is started again cannot log in
		w.shut += f.For
	}
	if w.away > 0 && w.away+w.shut >= lease.Grace(ttl) {
		return true
	}
	return w.stood >= lease.Margin(ttl)-ttl*mostDrift/1_000_000
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
	{serverKilled, onServer, killServer, true, false},
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
	{firewall, onDoor, door, true, true},
	{slowedApplier, onServer, slowApplier, true, false},
	{stoppedThreads, onThreads, stopThreads, true, false},
	{lockedTable, onServer, lockTable, true, false},
	{longWriting, onServer, longWrite, true, false},
	{openTransaction, onServer, longTransaction, true, false},
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
	{writesStall, onServer, stallWrites, true, false},
}

// drawn is how many of kinds are drawn for any world; the others are for some, by a chance of their own.
var drawn = len(kinds) - 1
