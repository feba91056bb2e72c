package world

import "slices"

// await goes on with a pair that is well until it keeps what it promises for acknowledged
// writes, or takes too long.
func (w *world) await() {
	snap := w.redis.Store().Snapshot(w.redis.Now())
	a := Acknowledging{Record: snap.Assignment, Paused: snap.Pause != nil}
	a.Unled = snap.Leader.ID != "" && !slices.ContainsFunc(w.daemons, func(d *daemon) bool { return d.id() == snap.Leader.ID })
	if a.Record.Active != "" {
		active := w.server(a.Record.Active)
		passive := active.other
		a.Quarantined = w.quarantined(passive)
		a.Waits, a.Receivers, a.Passive = active.AwaitsForEver(), active.Acknowledgers(), passive.Acknowledges()
	}
	if w.over = w.judge.Promises(w.e.Now(), a, w.settles()); !w.over {
		w.e.After(lookEvery, w.await)
	}
}
