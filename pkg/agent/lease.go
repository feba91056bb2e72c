package agent

import (
	"context"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	// leaseEvery is how often a lease is renewed at most, and leasePart which part of
	// a shorter one.
	leaseEvery = time.Second
	leasePart  = 10
	// lockEvery is how often whoever is to take over looks for the lock.
	lockEvery = 200 * time.Millisecond
)

// leases keep the server of this host open while it is the active: the grant in
// Redis and the lock on the other server, each renewed by a loop of its own. On the
// one that is to take over they keep the lock from whoever had it.
//
// They count on Options.Boot. What they know is shared; each loop calls others
// without the lock held.
type leases struct {
	p    *pair
	w    *worker // of the server of this host
	boot func() time.Duration
	ttl  time.Duration
	// every is how often each of them is renewed, and call how long that may take.
	every, call time.Duration

	granting, locking sched.Signal

	mu    sync.Mutex
	rec   cluster.Assignment // the newest record that was obeyed
	keep  lease.Keep
	watch lease.Watch
	told  leaseState // what the worker was woken for
}

func newLeases(p *pair, w *worker) *leases {
	o := p.a.o
	// The time to get a first lease counts from the start of the agent, except for a
	// pair that is found later.
	since, now := p.a.began, o.Boot()
	if now-since > lease.Grace(o.Lease) {
		since = now
	}
	return &leases{p: p, w: w, boot: o.Boot, ttl: o.Lease,
		every:    min(leaseEvery, o.Lease/leasePart),
		call:     min(busTimeout, o.ConnectTimeout, o.Lease/5),
		granting: p.a.rt.NewSignal(), locking: p.a.rt.NewSignal(),
		keep: lease.NewKeep(o.Lease, since), watch: lease.NewWatch(o.Lease)}
}

// obey takes the newest record that is obeyed.
func (l *leases) obey(rec cluster.Assignment) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if e := l.w.self; reconcile.MayBeOpen(rec, e) && !reconcile.MayBeOpen(l.rec, e) {
		l.keep.Begin(l.boot())
	}
	l.rec = rec
	l.mu.Unlock()
	l.granting.Set()
	l.locking.Set()
}

// leaseState is what the leases come to at one moment.
type leaseState struct {
	reconcile.Leases
	words cluster.Lease
	// closeIn is how long until the server has to be closed, openFor for how long it may be opened.
	closeIn, openFor time.Duration
}

// state is zero where there are no leases, and until a record is known that could
// give and revoke them.
func (l *leases) state() leaseState {
	if l == nil {
		return leaseState{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.rec.Exists() {
		return leaseState{}
	}
	now := l.boot()
	s := leaseState{closeIn: l.keep.CloseIn(now), openFor: l.keep.OpenFor(now, uint64(l.rec.Epoch))}
	s.Used, s.Keep, s.LockOver = true, s.closeIn > 0, l.watch.Over(now)
	if s.openFor > 0 {
		s.Granted = l.rec.Epoch
	}
	if reconcile.MayBeOpen(l.rec, l.w.self) {
		s.words = leaseWords(l.keep.Holds(now))
	}
	return s
}

func leaseWords(grant, lock bool) cluster.Lease {
	switch {
	case grant && lock:
		return cluster.LeaseBoth
	case grant:
		return cluster.LeaseRedis
	case lock:
		return cluster.LeaseLock
	}
	return cluster.LeaseNone
}

// change edits what is known, and wakes the worker when that comes to something else.
func (l *leases) change(edit func()) {
	l.mu.Lock()
	edit()
	l.mu.Unlock()
	now := l.state()
	now.closeIn, now.openFor = 0, 0
	l.mu.Lock()
	news := now != l.told
	l.told = now
	l.mu.Unlock()
	if news {
		l.w.wake.Set()
	}
}

// next is how long until the next renewal is due. Leases of ten seconds and more are
// renewed in the instants in which the other loops look.
func (l *leases) next() time.Duration {
	return l.every - l.p.a.now()%l.every
}

// grant renews the lease in Redis while the server may be open.
func (l *leases) grant(ctx context.Context) {
	beat, end := l.p.a.o.Loop("renewing the lease of " + string(l.w.self))
	defer end()
	pause := time.Duration(0)
	for {
		beat()
		if l.granting.Wait(ctx, pause) == sched.Ended {
			return
		}
		l.mu.Lock()
		rec := l.rec
		l.mu.Unlock()
		if reconcile.MayBeOpen(rec, l.w.self) {
			l.renew(ctx, rec.Epoch)
		}
		pause = l.next()
	}
}

func (l *leases) renew(ctx context.Context, epoch cluster.Epoch) {
	cctx, cancel := l.p.a.rt.Timeout(ctx, l.call)
	defer cancel()
	began := l.boot()
	held, inForce, err := l.p.a.o.Bus.Renew(cctx, l.p.u, l.w.self, l.p.a.o.ID, epoch, l.ttl)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.p.log.Debug().Err(err).Msg("the lease in redis is not renewed")
	case held:
		l.change(func() { l.keep.Granted(began, uint64(epoch)) })
	default:
		l.p.log.Debug().Str("order", inForce.String()).Msg("the lease in redis is refused")
		l.change(l.keep.Refused)
		l.p.look()
	}
}

// lockAt is the server whose lock is to be held; empty for none. The active takes
// that of the other server. A server that is closed and has no grant takes none: it
// would keep the other from being opened. Whoever is to take over takes its own until it
// is open: Redis may be away before it says that the change of role is over.
func (l *leases) lockAt() cluster.Endpoint {
	l.mu.Lock()
	rec := l.rec
	grant, _ := l.keep.Holds(l.boot())
	l.mu.Unlock()
	open := l.p.sampleOf(l.w.self).Open()
	switch {
	case rec.To == l.w.self && (rec.Phase == cluster.PhaseRevoked || rec.Phase == cluster.PhaseOpening && !rec.Planned() && (!open || safeguard.Off(safeguard.LockMoved))):
		return l.w.self
	case reconcile.MayBeOpen(rec, l.w.self) && (grant || open):
		return l.w.peer
	}
	return ""
}

// held is the session in which a lock is held or waited for.
type held struct {
	*session
	at   cluster.Endpoint
	mine bool
	born time.Duration
}

// lock holds the lock that lockAt names.
func (l *leases) lock(ctx context.Context) {
	beat, end := l.p.a.o.Loop("holding the lock for " + string(l.w.self))
	defer end()
	var h *held
	defer func() { l.release(h) }()
	pause := time.Duration(0)
	for {
		beat()
		if l.locking.Wait(ctx, pause) == sched.Ended {
			return
		}
		at := l.lockAt()
		if h != nil && h.ended() && l.p.a.now()-h.born < l.every {
			// One that does not last is not dialled again at once.
			l.release(h)
			h, pause = nil, l.next()
			continue
		}
		if h != nil && (h.ended() || h.at != at) {
			l.release(h)
			h = nil
		}
		pause = l.next()
		if at == "" {
			continue
		}
		if h = l.hold(ctx, h, at); h == nil {
			continue
		}
		if at == l.w.self {
			pause = l.watching(h.mine, pause)
		}
	}
}

// release ends the session of a lock, and the lock with it.
func (l *leases) release(h *held) {
	if h == nil {
		return
	}
	_ = h.Close()
	l.change(l.watch.Lost)
}

// hold takes the lock at a server, or asks something of the session that has it. It
// returns the session, nil when there is none any more.
func (l *leases) hold(ctx context.Context, h *held, at cluster.Endpoint) *held {
	if h == nil {
		c, err := l.p.workerOf(at).links.node.Connect(ctx)
		if err != nil {
			l.p.log.Debug().Str("node", string(at)).Err(err).Msg("no session for the lock")
			return nil
		}
		h = &held{session: newSession(c, l.locking), at: at, born: l.p.a.now()}
	}
	cctx, cancel := l.p.a.rt.Timeout(ctx, l.call)
	defer cancel()
	began := l.boot()
	err := error(nil)
	found := Lock{Mine: h.mine}
	if h.mine {
		err = h.Ping(cctx)
	} else {
		found, err = h.TakeLock(cctx, LockName(l.p.u), l.ttl)
	}
	answered := l.boot()
	if err != nil {
		l.p.log.Debug().Str("node", string(at)).Err(err).Msg("the session of the lock is given up")
		l.release(h)
		return nil
	}
	took := found.Mine && !h.mine
	h.mine = found.Mine
	l.change(func() {
		switch {
		case at == l.w.peer && h.mine:
			l.keep.Locked(began)
		case at == l.w.self && took:
			l.watch.Took(answered)
		case at == l.w.self && !h.mine:
			l.watch.Saw(answered, found.Idle)
		}
	})
	return h
}

// watching is when to look next at the lock of the server that is to take over.
func (l *leases) watching(mine bool, next time.Duration) time.Duration {
	if !mine {
		return min(next, lockEvery)
	}
	l.mu.Lock()
	left := l.watch.OverIn(l.boot())
	l.mu.Unlock()
	if left == 0 {
		return next
	}
	return min(next, left)
}
