package world

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// row is what is known of one row.
type row uint16

const (
	acked     row = 1 << iota
	gone          // written off
	received0     // by the first member, and not destroyed since
	received1
	byBoot0 // acknowledged by the first member when its option file had opened it
	byBoot1
	waits // to be applied by a server that its option file had opened when it was named
	// guarded: acknowledged while the record said that a passive that may take over lacks nothing
	guarded
	reached0 // received by the first member at any time
	reached1
)

// settle counts what is not there when the role has moved to e.
func (j *Judge) settle(now time.Duration, e cluster.Endpoint, m *member) {
	received, rival := j.receivedBy(e), j.at(j.other(e))
	// Its option file opened the other after that was closed; it may be closed again by the decision.
	unnoticed := (rival.open || rival.closedAt >= j.topAt && now-rival.closedAt < underWay) && rival.how == ByBoot && now-rival.openedAt < unseen
	stray := j.bootedBy(j.other(e))
	j.keeps(e)
	_, own := j.god.Extra(e, j.other(e)) // its epoch row is enough
	// Nobody has noticed yet that it was started: it is still applying what it has received since,
	// or what was written to it keeps it from that.
	unseenStart, stuck := now-m.startedAt < unseen, j.god.Stuck(e)
	applying := unseenStart && !stuck && m.adopted && !m.planned && !overridden(m.named)
	barred := unseenStart && stuck && own > 0
	var lost, had, promised int
	var oldest, newest time.Duration
	var first uint64
	for i, r := range j.rows {
		if r&(acked|gone) != acked || j.god.Has(e, uint64(i)) {
			continue
		}
		since := r&received != 0 && slices.Contains(m.astray, uint64(i))
		if applying && since {
			j.rows[i] |= waits
			continue
		}
		j.rows[i] |= gone
		if unnoticed && r&stray != 0 && r&received == 0 {
			continue
		}
		if lost == 0 {
			first, oldest = uint64(i), j.ackedAt[i]
		}
		lost++
		if r&guarded != 0 {
			promised++
		}
		oldest, newest = min(oldest, j.ackedAt[i]), max(newest, j.ackedAt[i])
		if r&received != 0 && !(barred && since) {
			had++
		}
	}
	if lost == 0 {
		return
	}
	j.Seen.Count(SawRowsLost)
	switch {
	case overridden(m.named):
	case m.planned:
		j.fail(now, "I2", "%s is opened by a planned change (%s) without %d acknowledged rows, the first %d", e, m.named.Order(), lost, first)
	case promised > 0:
		j.fail(now, "I2", "%s is opened under %s without %d rows that were acknowledged while it was to have them all, the first %d", e, m.named.Order(), promised, first)
	case had > 0:
		j.fail(now, "I2", "%s is opened under %s without %d acknowledged rows that it had received", e, m.named.Order(), had)
	case j.p.MaxLossAge > 0 && newest-oldest > j.p.MaxLossAge && !j.p.Leaps:
		j.fail(now, "I2", "%s is opened under %s without %d acknowledged rows of %s; max_loss is %s", e, m.named.Order(), lost, newest-oldest, j.p.MaxLossAge)
	}
}

func (j *Judge) receivedBy(e cluster.Endpoint) row {
	if e == j.p.Members[0] {
		return received0
	}
	return received1
}

func (j *Judge) bootedBy(e cluster.Endpoint) row {
	if e == j.p.Members[0] {
		return byBoot0
	}
	return byBoot1
}

// keeps takes what e has as it is given the role for what no later change may leave behind,
// however it came there.
func (j *Judge) keeps(e cluster.Endpoint) {
	for i, r := range j.rows {
		if r&acked != 0 && r&(gone|waits) != 0 && j.god.Has(e, uint64(i)) {
			j.rows[i] &^= gone | waits
		}
	}
}

func (j *Judge) row(n uint64) *row {
	for uint64(len(j.rows)) <= n {
		j.rows = append(j.rows, 0)
		j.ackedAt = append(j.ackedAt, 0)
	}
	return &j.rows[n]
}

// Acked tells that e has answered a client that the row is committed, when the
// answer leaves e.
func (j *Judge) Acked(now time.Duration, e cluster.Endpoint, row uint64) {
	r := j.row(row)
	*r |= acked
	j.ackedAt[row] = now
	m, other := j.at(e), j.at(j.other(e))
	m.acked = m.acked || m.open
	if j.guards(now, e, m) {
		*r |= guarded
	}
	if m.how == ByBoot {
		*r |= j.bootedBy(e)
	}
	j.received(now, e, m, row)
	switch {
	case m.mute && !j.god.Has(j.other(e), row) && !j.lost:
		j.fail(now, "I1a", "%s acknowledges row %d, and %s was named since it can acknowledge nothing", e, row, j.other(e))
	case m.excused() && (j.lastOpen != e || m.named.Order().Before(other.named.Order())), m.risked, m.riskEnded == now:
		*r |= gone
	case other.acked && other.openedAt > m.openedAt && !other.excused() && !j.god.Has(j.other(e), row):
		j.fail(now, "I1a", "%s acknowledges row %d after %s, opened at %s, has acknowledged rows", e, row, j.other(e), other.openedAt)
	}
}

// guards reports whether what e acknowledges now is promised to be on the other server
// too. One that its option file has opened acknowledges by itself until that is seen.
func (j *Judge) guards(now time.Duration, e cluster.Endpoint, m *member) bool {
	a := j.record
	return a.Durability.Acknowledged() && a.Active == e && a.IsEligible(j.other(e)) && !j.lost && m.how == ByAgent &&
		(!j.p.RestartsOpen || now-m.startedAt > unseen)
}

// awaited judges that who may take over from now on, in a pair that promises so, has all
// that was acknowledged before.
func (j *Judge) awaited(now time.Duration, before, after cluster.Assignment) {
	e := after.Passive
	if before.Waits && !after.Waits && before.Phase == cluster.PhaseSteady && after.Phase == cluster.PhaseSteady {
		j.Seen.Count(SawRelaxed)
	}
	if !after.Durability.Acknowledged() || after.Phase != cluster.PhaseSteady || e == "" || before.IsEligible(e) || !after.IsEligible(e) || j.lost {
		return
	}
	j.Seen.Count(SawAwaited)
	// What its option file had the active acknowledge just now, by itself, nobody has seen.
	booted := row(0)
	if active := j.at(after.Active); j.p.RestartsOpen && now-active.startedAt < unseen {
		booted = j.bootedBy(after.Active)
	}
	// Nor that the other was started just now and has lost what it had received; before the role
	// moves to it that is seen.
	lost := now-j.at(e).startedAt < unseen && j.at(e).startedAt > 0
	for i, r := range j.rows {
		if r&booted != 0 || lost && r&j.reachedBy(e) != 0 {
			continue
		}
		if r&(acked|gone) == acked && r&j.receivedBy(e) == 0 && j.god.Has(after.Active, uint64(i)) && !j.god.Has(e, uint64(i)) {
			j.fail(now, "I2", "%s may take over by %s, and has not received row %d, which %s had acknowledged", e, after.Order(), i, after.Active)
			return
		}
	}
}

// Received tells that e has written the row to its relay log. What comes after e was
// promoted is among what the failover left behind.
func (j *Judge) Received(now time.Duration, e cluster.Endpoint, row uint64) {
	*j.row(row) |= j.reachedBy(e)
	if j.record.Active == e && j.lastOpen != e {
		return
	}
	*j.row(row) |= j.receivedBy(e)
	if m := j.at(e); m.how == ByBoot || j.p.AutoReplicate && m.startedAt > 0 && now-m.startedAt < unseen {
		m.astray = append(m.astray, row)
	}
}

// Discarded tells that e throws away received transactions that it has not applied,
// and did not crash. After a person has stopped both threads that is how they start, by
// the record before, or by the one to which Redis was set back while no agent had heard of this.
func (j *Judge) Discarded(now time.Duration, e cluster.Endpoint) {
	m := j.at(e)
	ordered := m.halted && m.haltedAt < j.topAt && now < j.topAt+underWay // by the record before
	crossed := m.halted && m.behind && now < m.haltedAt+underWay          // whoever starts the other had looked at both
	if a := j.record; a.Phase == cluster.PhaseRevoked && a.To == e && !overridden(a) && !ordered && !crossed && !(m.halted && !j.believed(a)) {
		j.fail(now, "I2", "%s is to take over under %s, and is made to throw away what it has received", e, a.Order())
	}
	if m.halted {
		m.halted = false // it runs again
		j.forget(e)
	}
}

// RelayLost tells that a crash of e has destroyed its relay log; after it.
func (j *Judge) RelayLost(now time.Duration, e cluster.Endpoint) {
	if j.forget(e) {
		j.Seen.Count(SawRelayLost)
	}
}

// forget takes what e has received and not committed as not received, and what it was still
// to apply when it took over as left behind; it reports whether there was any.
func (j *Judge) forget(e cluster.Endpoint) (was bool) {
	received := j.receivedBy(e)
	for i, r := range j.rows {
		if r&received != 0 && !j.god.Has(e, uint64(i)) {
			j.rows[i] &^= received | guarded
			if r&waits != 0 {
				j.rows[i] |= gone
			}
			was = true
		}
	}
	return was
}
