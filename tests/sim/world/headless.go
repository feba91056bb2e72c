package world

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// calmAgain is how long after a fault all that it has delayed has come.
const calmAgain = 2 * time.Second

// lookAfter has the judge told, until the heal of a round, for how long nobody has
// taken writes although nothing is in the way of a failover.
func (w *world) lookAfter(round int) {
	if !w.suffers(round) || w.over {
		return
	}
	switch lost := w.lost(); {
	case lost == nil:
		w.headless = 0
	case w.headless == 0 && w.ready(lost):
		w.headless = w.e.Now()
	case w.headless != 0:
		w.judge.Headless(w.e.Now(), lost.Addr(), w.headless)
	}
	w.e.After(lookEvery, func() { w.lookAfter(round) })
}

// lost is the server whose death is all that is wrong; nil while more is, or nobody is dead.
func (w *world) lost() *server {
	for _, s := range w.db {
		if s.dead() && s.other.Up() && !s.other.dead() && !s.other.Open() && w.calmBut(s) {
			return s
		}
	}
	return nil
}

// dead reports whether nobody can write to s, on a host that runs: it is not there, or
// stands still.
func (s *server) dead() bool {
	return s.host.Up() && !s.host.Frozen() && (!s.Up() || s.Process().Paused())
}

// calmBut reports whether all goes well but for s.
func (w *world) calmBut(s *server) bool {
	if w.redis.Process().Paused() || !w.redis.Up() || w.fork != nil || w.requested {
		return false
	}
	snap := w.redis.Store().Snapshot(w.redis.Now())
	if snap.Pause != nil || snap.Request != nil && !snap.Request.State.Ended() {
		return false
	}
	for _, f := range w.faults {
		death := f.On == s.name && slices.Contains([]string{serverKilled, serverHangs}, f.Kind)
		if f.end != nil && !death || f.end == nil && f.changed != 0 && w.e.Now()-f.changed < calmAgain {
			return false
		}
	}
	return !slices.ContainsFunc(w.daemons, func(d *daemon) bool { return d.p == nil || !d.p.Alive() || d.p.Paused() })
}

// ready reports whether the other may take over from lost by itself, at once.
func (w *world) ready(lost *server) bool {
	a, p := w.record(), w.spec.Policy
	c := lost.other.Channel(0)
	return a.Phase == cluster.PhaseSteady && a.Active == lost.Addr() && a.IsEligible(lost.other.Addr()) && !a.Blocked &&
		p.Unfenced != failover.UnfencedWait && p.MaxLoss < 0 && p.MaxLossAge == 0 && lost.other.Unapplied() == 0 && lost.Lacks(lost.other.Server) == 0 &&
		(c.IO == cluster.ThreadYes || !lost.Up()) && c.SQL == cluster.ThreadYes &&
		w.spec.Lease == 0 && !w.judge.p.Leaps
}
