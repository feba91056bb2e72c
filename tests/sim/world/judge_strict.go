package world

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// strictness is what semisync-strict is held to.
type strictness struct {
	// since is the first of the records in a row under which commits wait; zero when they do not.
	since cluster.Order
	// kept: strict is promised, and an agent has seen to it that commits wait.
	kept bool
	// lostAt is when Redis lost something last.
	lostAt time.Duration
}

// promised follows what the record promises.
func (j *Judge) promised(after cluster.Assignment) {
	if after.Durability != cluster.SemiSyncStrict {
		j.strict.kept = false
		j.m[0].affirmed, j.m[1].affirmed = false, false
	}
	switch {
	case !after.Durability.Acknowledged(), after.Active != "" && !after.Waits:
		j.strict.since = cluster.Order{}
	case after.Waits && j.strict.since == (cluster.Order{}):
		j.strict.since = after.Order()
	}
}

// Affirmed tells that an agent reports that commits on e wait since it obeyed this order.
func (j *Judge) Affirmed(e cluster.Endpoint, under cluster.Order) {
	a := j.record
	if !a.Waits || a.Active != e || under.Before(j.strict.since) || !j.god.Waits(e) {
		return
	}
	m := j.at(e)
	m.unbound, m.affirmed = false, true
	if a.Durability == cluster.SemiSyncStrict && !j.forked && !j.strict.kept {
		j.strict.kept = true
		j.Seen.Count(SawStrict)
	}
}

// binds reports whether what e acknowledges must be on the other server: one that its
// option file or a person has opened acknowledges by itself until an agent has seen to it.
// What Redis and a disk that failed have both lost nobody knows.
func (j *Judge) binds(m *member) bool {
	return j.strict.kept && !m.unbound && !(j.lost && j.unwritten)
}

// received judges a row that e acknowledges where strict is kept.
func (j *Judge) received(now time.Duration, e cluster.Endpoint, m *member, row uint64) {
	other := j.other(e)
	if !j.binds(m) || !m.affirmed || j.rows[row]&j.reachedBy(other) != 0 || j.god.Has(other, row) {
		return
	}
	if j.lost && now-j.strict.lostAt < unheard && j.away() {
		m.unbound = true
		return
	}
	j.fail(now, "I16", "%s acknowledges row %d under %s, which promises %s, and %s has not received it", e, row, j.record.Order(), j.record.Durability, other)
}

// bound judges that an agent opens e when its commits wait, where strict is kept.
func (j *Judge) bound(now time.Duration, e cluster.Endpoint) {
	m := j.at(e)
	switch {
	case !j.binds(m):
	case j.god.Waits(e):
		m.affirmed = true
	default:
		j.fail(now, "I16", "%s is opened under %s, which promises %s, and its commits do not wait", e, j.record.Order(), j.record.Durability)
	}
}

// unheard is for how long after Redis has lost something not everybody may have told it what he remembers.
const unheard = time.Second

// away reports whether an agent has nothing on disk of the time since commits wait: it
// obeys what Redis has left.
func (j *Judge) away() bool {
	for _, a := range j.obeyed {
		if a.Order().Before(j.strict.since) {
			return true
		}
	}
	return false
}

func (j *Judge) reachedBy(e cluster.Endpoint) row {
	if e == j.p.Members[0] {
		return reached0
	}
	return reached1
}
