package world

import (
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// The causes that cluster leaves to those who write them.
const (
	causeOverride = string(cluster.ProofOperator)
	causeForced   = causeOverride + ", forced"
	causeRebuilt  = "Redis lost the assignment"
	causeDeath    = cluster.CauseDeath
	causeEnded    = causeDeath + string(cluster.CauseEnded)
)

// The kinds of events that the judge tells apart.
const (
	kindRebuilt    = "rebuilt"
	kindFirstStart = "first start"
	kindUnblocked  = "unblocked"
	kindGivenBack  = "given back"
	kindPromoted   = "promoted"
	kindLossKnown  = "loss known"
)

// Row tells that the epoch row on e was written, by an agent or by replication.
func (j *Judge) Row(now time.Duration, e cluster.Endpoint, mark cluster.Mark) {
	m := j.at(e)
	if mark.Epoch < m.mark.Epoch && !j.receivedLate(now, e, mark) {
		j.fail(now, "I3", "the epoch row of %s falls from %d to %d", e, m.mark.Epoch, mark.Epoch)
	}
	if was, ok := j.marks[mark.Epoch]; ok && was != mark.Active {
		j.fail(now, "I3", "the epoch row of %s names %s for epoch %d, another named %s", e, mark.Active, mark.Epoch, was)
	}
	j.marks[mark.Epoch] = mark.Active
	m.mark, m.markedAt = mark, now
}

// receivedLate reports whether e receives a row of before by replication that nobody can
// hold up, and which its agent raises again: when it was forced to take over with something
// unapplied, or has just started and replicates by itself from one that was to be opened
// before it and was not.
func (j *Judge) receivedLate(now time.Duration, e cluster.Endpoint, mark cluster.Mark) bool {
	m, other := j.at(e), j.at(j.other(e))
	if mark.Epoch >= m.named.Epoch {
		return false
	}
	forced := m.named.Cause == causeForced && m.unapplied > 0
	started := j.p.AutoReplicate && m.startedAt > 0 && now-m.startedAt < unseen && mark.Active == j.other(e) && mark == other.mark
	return forced || started
}

// asking is a change of the record for which an identify has asked.
type asking struct {
	id   string
	next cluster.Order
}

// Asks tells that identify id asks for a change of the record to next.
func (j *Judge) Asks(now time.Duration, id string, next cluster.Order) {
	j.asked = append(j.asked, asking{id, next})
}

// Changed tells that a script has changed Redis's record, with the event that it
// wrote; zero for none. An event without a change has before equal to after.
func (j *Judge) Changed(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	j.traced(now, before, after, ev)
	j.numbered(now, before, after, ev)
	j.led(now, before, after)
	j.blocks(now, before, after, ev)
	moved := after.Active != "" && (before.Active != after.Active || before.Epoch != after.Epoch)
	switch {
	case ev.Kind == kindRebuilt || ev.Kind == kindFirstStart && j.holder != "":
		j.restored(now, after)
	case after.Phase == cluster.PhaseRevoked && before.Phase != cluster.PhaseRevoked && !overridden(after):
		j.revoked(now, before, after)
	}
	if moved {
		j.moved(now, before, after, ev)
	}
	if ev.Kind == kindFirstStart {
		j.begun(now, after)
	}
	j.awaited(now, before, after)
	j.promised(after)
	j.tells(now, before, after, ev)
	j.count(before, after, ev)
	for i := range j.m {
		switch {
		case !wants(after, j.p.Members[i]):
			j.m[i].unwanted = true
		case !wants(before, j.p.Members[i]):
			j.m[i].lateUntil = now + underWay
		}
	}
	if after.Phase == cluster.PhaseRevoked && (before.Phase != cluster.PhaseRevoked || before.To != after.To) {
		j.chosen, j.chosenAt = after, now
	}
	j.record = after
	if after.Phase == cluster.PhaseSteady && before.Phase == cluster.PhaseOpening {
		j.opensItself(now, after.Active)
	}
	if !after.Order().Before(j.top.Order()) {
		j.top, j.topAt = after, now
	}
}

// traced judges the event that belongs to a change.
func (j *Judge) traced(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	switch {
	case after.Order() == before.Order():
		j.fail(now, "I14", "event %q tells of no change of the record, which stays at %s", ev.Kind, after.Order())
	case ev.Kind == "" || ev.Assignment.Order() != after.Order():
		j.fail(now, "I14", "the record goes from %s to %s, and the event %q tells of %s", before.Order(), after.Order(), ev.Kind, ev.Assignment.Order())
	case ev.Reason == "" || ev.Actor == "" || after.Cause == "":
		j.fail(now, "I14", "the record goes from %s to %s without a reason, a cause or an actor: %q, %q, %q", before.Order(), after.Order(), ev.Reason, after.Cause, ev.Actor)
	}
}

// numbered judges the epochs of the record.
func (j *Judge) numbered(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	if !before.Order().Before(after.Order()) || ev.Kind != kindRebuilt && !overridden(after) && !follows(before.Order(), after.Order()) {
		j.fail(now, "I3", "the record goes from %s to %s", before.Order(), after.Order())
	}
	if j.lost {
		return
	}
	if before.Order() != j.top.Order() {
		j.fail(now, "I3", "the record is changed from %s, and was %s before", before.Order(), j.top.Order())
	}
	if after.Active == "" {
		return
	}
	if was, ok := j.actives[after.Epoch]; ok && was != after.Active {
		j.fail(now, "I3", "epoch %d has %s as its active, and had %s", after.Epoch, after.Active, was)
	}
	j.actives[after.Epoch] = after.Active
}

// begun judges whom a first start names. A server that is in use is named while the
// other is not seen.
func (j *Judge) begun(now time.Duration, after cluster.Assignment) {
	if after.Proof == cluster.RiskUnseen || j.meddled(now) {
		return
	}
	if a, b := j.p.Members[0], j.p.Members[1]; j.alone(a, b) && j.alone(b, a) {
		j.fail(now, "I4", "%s names %s, and a person has written to %s and to %s what the other lacks", after.Order(), after.Active, a, b)
	}
}

// alone reports whether e has a row of a person that other lacks.
func (j *Judge) alone(e, other cluster.Endpoint) bool {
	return slices.ContainsFunc(j.foreign, func(f foreign) bool { return j.god.Has(e, f.row) && !j.god.Has(other, f.row) })
}

// follows reports whether o is the first, or one step after before, as who has read
// before makes it.
func follows(before, o cluster.Order) bool {
	return before == (cluster.Order{}) || o.Epoch == before.Epoch && o.Version == before.Version+1 || o.Epoch == before.Epoch+1 && o.Version == 1
}

// led judges by whom the record is changed. With two masters each has a leader.
func (j *Judge) led(now time.Duration, before, after cluster.Assignment) {
	other := ""
	for _, a := range j.asked {
		if a.next != after.Order() {
			continue
		}
		if a.id == j.leader {
			return
		}
		other = a.id
	}
	if other != "" && j.leader != "" && !j.forked {
		j.fail(now, "I3", "identify %s changes the record from %s to %s, and %s leads", other, before.Order(), after.Order(), j.leader)
	}
}

// revoked judges the beginning of a failover.
func (j *Judge) revoked(now time.Duration, before, after cluster.Assignment) {
	if before.Phase == cluster.PhaseOpening {
		return // the change before goes on, the other way
	}
	if !j.trouble {
		invariant := "I6"
		if j.lost {
			invariant = "I10"
		}
		j.fail(now, invariant, "%s takes the role from %s (%s), and nothing has happened to a server", after.Order(), after.From, after.Cause)
	}
	stood := j.stood(now, after)
	if n := j.answered(now, after.From); n > max(1, j.p.Monitors)/2 && !j.lost && !j.fell(now, after) && !stood {
		j.fail(now, "I6", "%s takes the role from %s (%s), and %d of %d monitors have its answers", after.Order(), after.From, after.Cause, n, j.p.Monitors)
	}
	if after.Target == "" && !j.lost && j.god.Shown(after.To) {
		j.fail(now, "I2", "%s takes the role to %s, and does not say what that has received", after.Order(), after.To)
	}
	if !before.IsEligible(after.To) {
		j.fail(now, "I4", "%s takes the role to %s, which was not eligible in %s", after.Order(), after.To, before.Order())
	}
}

// stood judges that the role is taken from who takes no writes: they stood still, or did a moment ago.
func (j *Judge) stood(now time.Duration, after cluster.Assignment) bool {
	if after.Cause != cluster.CauseWritesStalled && after.Cause != cluster.CauseWritesDiskFull {
		return false
	}
	m := j.at(after.From)
	if !m.stalls && (m.stalledTo == 0 || now-m.stalledTo > lateWord) {
		j.fail(now, "I6", "%s takes the role from %s (%s), whose writes go on", after.Order(), after.From, after.Cause)
	}
	return true
}

// lateWord is how old an agent's word may be that identify believes, and be late itself.
const lateWord = 6 * time.Second

// fell reports whether the role is taken for the end of a process that no monitor can have seen yet.
func (j *Judge) fell(now time.Duration, after cluster.Assignment) bool {
	return after.Cause == causeEnded && (!j.god.Up(after.From) || now-j.at(after.From).startedAt < newAnswer)
}

// restored judges a record that was made because Redis had lost it. Of two masters each
// has a record of its own.
func (j *Judge) restored(now time.Duration, after cluster.Assignment) {
	if after.Active == "" || after.Active == j.holder || after.Active == j.lastOpen || j.forked {
		return
	}
	if j.lastOpen == "" && !j.believed(j.at(j.holder).named) {
		return // lost before anybody heard of it
	}
	j.fail(now, "I10", "the record that was made anew (%s) names %s, and %s had the role", after.Order(), after.Active, j.holder)
}

// blocks judges failover_block.
func (j *Judge) blocks(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	if j.p.FailoverBlock <= 0 {
		return
	}
	automatic := strings.HasPrefix(after.Cause, causeDeath)
	switch {
	case j.lost: // with what Redis forgot the block may be forgotten
	case ev.Kind == kindUnblocked:
		if j.blocked && now-j.blockedAt < j.p.FailoverBlock/2 && !j.p.Leaps {
			j.fail(now, "I9", "%s lifts the block %s after the failover, before %s", after.Order(), now-j.blockedAt, j.p.FailoverBlock)
		}
		j.blocked = false
	case after.Phase == cluster.PhaseRevoked && (before.Phase == cluster.PhaseSteady || before.Phase == cluster.PhaseSwitching):
		if automatic && j.blocked {
			j.fail(now, "I9", "%s begins another automatic failover, the last was at %s and the block has not been lifted", after.Order(), j.blockedAt)
		}
	case after.Phase == cluster.PhaseOpening && before.Phase == cluster.PhaseRevoked && ev.Kind != kindGivenBack:
		if automatic && !after.Blocked {
			j.fail(now, "I9", "%s ends an automatic failover and blocks no other", after.Order())
		}
		j.blocked, j.blockedAt = after.Blocked, now
	case after.Phase == cluster.PhaseOpening:
		j.blocked = false // planned, overridden or given back
	}
}

// moved judges the naming of an active in a new epoch.
func (j *Judge) moved(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	m, rival := j.at(after.Active), j.other(after.Active)
	x := j.at(rival)
	// Nobody has been opened yet, and whom the lost record named nobody has been told.
	untold := j.lost && j.lastOpen == "" && !x.open && !j.believed(x.named)
	kept := ev.Kind == kindRebuilt && (j.lastOpen == after.Active || j.forked || untold)
	if !kept && (before.Phase == cluster.PhaseRevoked || j.holder != after.Active) {
		j.proved(now, after, rival, x)
	}
	m.owes = ""
	if ev.Kind == kindPromoted && before.Phase == cluster.PhaseRevoked && !overridden(after) {
		m.owes = before.Target
	}
	if (j.risky(after.Proof) || after.Proof == cluster.ProofGone && j.forked) && x.open {
		x.risked, j.split = true, true
	}
	x.mute = x.open && (after.Proof == cluster.ProofAcks || j.heldOpen(after.Proof, rival))
	if ev.Kind != kindRebuilt || m.named.Active != after.Active {
		m.planned = after.Planned()
	}
	if n, ok := j.viewedLoss(after); ok && j.p.MaxLoss >= 0 && !j.record.Waits && int64(n) > j.p.MaxLoss {
		j.fail(now, "I2", "%s names %s, which lacks %d transactions that were known of %s; max_loss is %d", after.Order(), after.Active, n, after.From, j.p.MaxLoss)
	}
	if !after.Order().Before(m.named.Order()) {
		m.named = after
		if ev.Kind == kindPromoted {
			m.unapplied = j.god.Unapplied(after.Active)
		}
	}
	if !after.Order().Before(j.top.Order()) {
		if j.holder != after.Active {
			j.heldSince = now
		}
		j.holder = after.Active
	}
	if m.open {
		j.adopted(now, after, m)
	}
}

// adopted takes a server that a record names and that is open already for one
// that an agent has opened.
func (j *Judge) adopted(now time.Duration, after cluster.Assignment, m *member) {
	m.how, m.risked, m.adopted = ByAgent, false, m.adopted || m.how == ByBoot
	if j.lastOpen != after.Active {
		if j.lastOpen != "" {
			j.settle(now, after.Active, m)
		}
		j.lastOpen, j.settled = after.Active, after.Epoch
	}
}

// proved judges the proof on record that rival is closed.
func (j *Judge) proved(now time.Duration, after cluster.Assignment, rival cluster.Endpoint, x *member) {
	since := x.how != ByAgent && x.openedAt > j.topAt
	switch after.Proof {
	case cluster.ProofNone:
		if j.holder != "" {
			j.fail(now, "I7", "%s names %s after %s without a proof", after.Order(), after.Active, rival)
		}
	case cluster.ProofLease:
		if x.open && !since && !j.risky(after.Proof) && !j.heldOpen(after.Proof, rival) {
			j.fail(now, "I7", "%s names %s with the proof %q, and %s is open since %s", after.Order(), after.Active, after.Proof, rival, x.openedAt)
		}
	case cluster.ProofFenced, cluster.ProofGone, cluster.ProofEnded:
		if x.open && !since && !j.forked {
			j.fail(now, "I7", "%s names %s with the proof %q, and %s is open since %s", after.Order(), after.Active, after.Proof, rival, x.openedAt)
		}
	}
}

// heldOpen reports whether commits that wait may have kept e from closing itself when its
// leases were over: then it can acknowledge nothing.
func (j *Judge) heldOpen(p cluster.Proof, e cluster.Endpoint) bool {
	return p == cluster.ProofLease && !j.risky(p) && j.god.Waits(e)
}

// Obeys tells that an agent has written a record to its memory.
func (j *Judge) Obeys(now time.Duration, agent string, a cluster.Assignment) {
	was := j.obeyed[agent]
	switch {
	case a.Order().Before(was.Order()):
		j.fail(now, "I3", "agent %s obeys %s after %s", agent, a.Order(), was.Order())
	case a.Epoch == was.Epoch && a.Active != "" && was.Active != "" && a.Active != was.Active:
		j.fail(now, "I3", "agent %s obeys %s with %s as the active after %s with %s", agent, a.Order(), a.Active, was.Order(), was.Active)
	}
	j.obeyed[agent] = a
	if j.newest.Before(a.Order()) {
		j.newest = a.Order()
	}
}

// Leads tells that Redis has granted identify's lease to id.
func (j *Judge) Leads(now time.Duration, id string, token uint64) {
	if id == j.leader && token == j.token {
		return
	}
	if token <= j.token && !j.forked {
		j.fail(now, "I3", "identify %s leads with token %d, %s had %d", id, token, j.leader, j.token)
	}
	if j.leader != "" && id != j.leader {
		j.Seen.Count(SawLeaderChanged)
	}
	j.leader, j.token = id, token
}
