package world

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

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
	// Who stays is the one that most servers of Redis follow.
	stays, gone := first, second
	if f.N>>2&1 == 1 {
		stays, gone = second, first
	}
	stays.Forked, gone.Forked, gone.Island = true, true, true
	return func() {
		stays.Forked = false
		w.fork = nil
		w.redis = stays
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
