package world

import (
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// How says by whom a server was opened or closed.
type How int

// Those who open and close servers.
const (
	ByAgent  How = iota // an agent's SetWritable or SetReadOnly
	ByBoot              // its option file, when it started
	ByDeath             // it was killed, or its host lost power
	ByPerson            // somebody at its console, and before the schedule began
)

// member is what the judge knows of one server.
type member struct {
	open     bool
	how      How
	openedAt time.Duration
	closedAt time.Duration
	// startedAt is when it was last started.
	startedAt time.Duration
	acked     bool // since it was opened
	stalls    bool // its commits stand still, or did until stalledTo
	stalledTo time.Duration
	adopted   bool // it was named while its option file had it open, and no agent has opened it since
	// risked: it was open when a record said risk and named the other; riskEnded is
	// when it was closed after that.
	risked    bool
	riskEnded time.Duration
	// mute: it was open when a record named the other since it could acknowledge nothing, and
	// was only killed and started since.
	mute bool
	// unbound: its option file or a person has opened it, and no agent has seen to it since
	// that its commits wait.
	unbound bool
	// affirmed: its commits wait, as strict demands, since an agent has seen to it.
	affirmed bool
	// unwanted: the record said at some time since it was opened that it should be closed.
	unwanted bool
	// lateUntil: an agent that looked at the record before it wanted e open again may
	// close e until then.
	lateUntil time.Duration
	// named is the newest record that named it active; planned, whether it came to
	// that by a planned change of role.
	named   cluster.Assignment
	planned bool
	// owes is what the record demanded of it when it was to take over by itself.
	owes     string
	mark     cluster.Mark
	markedAt time.Duration
	// unapplied counts what it had received and not applied when it was promoted.
	unapplied int
	// halted: a person has stopped its replication, last at haltedAt, and then
	// its receiving thread behind an applying one that stood before.
	halted   bool
	haltedAt time.Duration
	behind   bool
	// astray are the rows that it has received by itself since it was started last.
	astray []uint64
}

// excused reports whether m may be open beside another.
func (m *member) excused() bool { return m.risked || m.how != ByAgent }

// Open tells that e now accepts, or does not accept, an ordinary user's write: it
// is up and read_only is 0. A paused process stays as it was. It is told after the
// server has changed.
func (j *Judge) Open(now time.Duration, e cluster.Endpoint, open bool, how How) {
	m := j.at(e)
	if m.open == open {
		return
	}
	m.open = open
	if !open {
		m.closedAt = now
		j.closed(now, e, m, how)
		return
	}
	m.how, m.openedAt, m.acked, m.adopted = how, now, false, false
	m.mute = m.mute && how == ByBoot
	m.unbound = how != ByAgent
	other := j.at(j.other(e))
	if how != ByAgent {
		j.Seen.Count(SawOpenedBySomebodyElse)
	} else if j.stalled && j.risky(other.named.Proof) && m.named.Epoch < other.named.Epoch {
		m.risked = true // nobody could reach it, nor whoever was about to open it
	} else if j.forked && now-m.startedAt < young {
		m.risked = true // what another Redis has it closed for looks like a restart
	}
	switch {
	case !other.open:
	case m.excused() || other.excused() || other.mute:
		j.split = true
		j.Seen.Count(SawBothOpenByRisk)
	default:
		j.fail(now, "I1b", "%s is opened under %s, and %s is open since %s", e, m.named.Order(), j.other(e), other.openedAt)
	}
	if how == ByAgent {
		j.opened(now, e, m, other)
		j.bound(now, e)
	}
	m.unwanted = !wants(j.record, e)
}

// young is for how long a closing of a server that was started cannot be told from a
// restart: uptimes are in seconds, and an agent looks twice a second.
const young = 2 * time.Second

// risky reports whether the old active of a proof may still be open: by the policy,
// or since its lease rests on agents that were not held up, and on one Redis while
// hosts cannot reach each other.
func (j *Judge) risky(p cluster.Proof) bool {
	return p.IsRisk() || p == cluster.ProofLease && (j.overslept || j.forked && j.stalled)
}

// Started tells that e was started.
func (j *Judge) Started(now time.Duration, e cluster.Endpoint) {
	m := j.at(e)
	m.startedAt, m.astray = now, nil
}

// closed judges the end of an opening.
func (j *Judge) closed(now time.Duration, e cluster.Endpoint, m *member, how How) {
	other := j.at(j.other(e))
	if m.risked && other.open {
		j.Seen.Count(SawClosedAfterRisk)
	}
	if m.risked {
		m.risked, m.riskEnded, m.acked = false, now, false // what it acknowledged was told as lost
	}
	m.mute = m.mute && how == ByDeath
	switch how {
	case ByDeath:
		j.Seen.Count(SawClosedByCrash)
	case ByAgent:
		if !m.unwanted && now >= m.lateUntil && !j.lost && !j.stalled && !(j.p.Leases && j.trouble) {
			j.fail(now, "I13", "%s is closed by an agent, and the record has wanted it open since it was opened (%s)", e, j.record.Order())
		}
	}
}

// wants reports whether a wants e to be open.
func wants(a cluster.Assignment, e cluster.Endpoint) bool {
	return a.Active == e && a.Phase != cluster.PhaseSwitching
}

// opened judges an opening by an agent.
func (j *Judge) opened(now time.Duration, e cluster.Endpoint, m, other *member) {
	rival := j.other(e)
	if j.forked && m.named.Epoch < other.named.Epoch && j.forgotten(other) {
		m.risked = true // by a Redis that knows no better
	}
	switch {
	case !m.named.Exists():
		j.fail(now, "I7", "%s is opened, and no record has ever named it", e)
		return
	case m.named.Epoch < other.named.Epoch && j.believed(other.named):
		if !m.risked && !j.forgotten(other) && !(j.forked && now-other.markedAt < underWay) {
			j.fail(now, "I7", "%s is opened under %s, and %s has been named since (%s, %s)", e, m.named.Order(), rival, other.named.Order(), other.named.Proof)
		}
		return
	}
	j.marked(now, e, m)
	if m.owes != "" && j.god.Lacks(e, m.owes) {
		j.fail(now, "I2", "%s is opened under %s without all of %s, which was recorded as received", e, m.named.Order(), m.owes)
	}
	m.owes = ""
	forced := m.named.Cause == causeForced
	// A server that replicates by itself receives before an agent can stop it, one
	// that closed itself for want of a lease goes on receiving, and the passive may
	// have started open, just before the decision at the earliest.
	looked := now
	if j.topAt > other.closedAt {
		looked = j.topAt
	}
	stray := other.how == ByBoot && (other.open || looked-other.closedAt < unseen)
	byItself := stray || (j.p.AutoReplicate || j.p.Leases) && j.lastOpen == e
	// It cannot apply what a person wrote to the other, and is as it was when it was open,
	// or when it was to be; or nobody has noticed yet.
	n := j.god.Unapplied(e)
	asBefore := n <= j.waiting(e) && (j.lastOpen == e || j.god.Stuck(e) || j.meddled(now))
	// It receives by itself when it starts, and cannot apply what came since it was to be opened.
	since := j.p.AutoReplicate && m.unapplied == 0 && (m.halted || j.god.Stuck(e))
	// It cannot apply what the other took while that was open by its option file, however late it received it.
	barred := j.lastOpen == e && other.how == ByBoot && j.god.Stuck(e) && !j.holdsBack(e, rival)
	// Another Redis knows nothing of the change of role, nor that it has received from the other since.
	untoldOf := j.forked && m.named.Epoch < other.named.Epoch
	if n > 0 && !forced && !byItself && !asBefore && !since && !barred && !untoldOf {
		j.fail(now, "I4", "%s is opened under %s with %d received transactions that it has not applied", e, m.named.Order(), n)
	}
	if j.lastOpen == e {
		j.keeps(e)
		if m.named.Epoch == j.settled {
			j.Seen.Count(SawOpeningRepeated)
		}
		j.settled = max(j.settled, m.named.Epoch)
		return
	}
	// Nobody can tell any more that the other, which its option file had opened, was the active.
	untold := j.lost && other.adopted && m.named.Proof == cluster.ProofGone
	if j.lastOpen != "" && m.named.Epoch != j.settled {
		if rows, _ := j.god.Extra(e, rival); rows > j.smuggled(now, e, rival)+j.stray(now, m.named, rival, rows) && !overridden(m.named) && !untold {
			j.fail(now, "I4", "%s is opened under %s with %d transactions that %s never had", e, m.named.Order(), rows, rival)
		}
		j.settle(now, e, m)
	}
	j.lastOpen, j.settled = e, m.named.Epoch
}

// opensItself takes the active that its option file opened before an agent did for
// opened by the record, which now says so.
func (j *Judge) opensItself(now time.Duration, e cluster.Endpoint) {
	m := j.at(e)
	if !m.open || m.how != ByBoot || j.lastOpen == e {
		return
	}
	j.settle(now, e, m)
	j.lastOpen, j.settled = e, m.named.Epoch
}

// underWay is how long a closing may take from the look at the record to the server's answer.
const underWay = 100 * time.Millisecond

// marked judges what tells of an opening when Redis has forgotten it: the epoch row,
// and the disk of an agent, unless one has failed. What one opens whom another Redis
// told something else is not judged.
func (j *Judge) marked(now time.Duration, e cluster.Endpoint, m *member) {
	if j.lost {
		return
	}
	if m.mark.Epoch < m.named.Epoch {
		j.fail(now, "I7", "%s is opened under %s, and its epoch row is of epoch %d", e, m.named.Order(), m.mark.Epoch)
	}
	if !j.forgetful && j.newest.Epoch < m.named.Epoch {
		j.fail(now, "I7", "%s is opened under %s, and no agent has more than %s on disk", e, m.named.Order(), j.newest)
	}
}

// unseen is how long it may take until the daemons have seen what a person did.
const unseen = 3 * time.Second

// foreign is a row that a person has written.
type foreign struct {
	row uint64
	at  time.Duration
}

// smuggled counts the rows that a person wrote to e, and rival has not, just now, while
// nobody was open, or after the last decision, or the one that chose e: that could not know
// of them. Who is named again keeps what it has been given since it was named.
func (j *Judge) smuggled(now time.Duration, e, rival cluster.Endpoint) int {
	since := j.topAt
	if j.holder == e {
		since = min(since, j.heldSince)
	}
	if j.chosen.To == e && j.chosen.Epoch == j.at(e).named.Epoch {
		since = min(since, j.chosenAt)
	}
	return j.writtenSince(min(now-unseen+1, j.at(rival).closedAt, since), e, rival)
}

// writtenSince counts the rows that a person has written to e since then, and rival has not.
func (j *Judge) writtenSince(then time.Duration, e, rival cluster.Endpoint) (n int) {
	for _, f := range j.foreign {
		if f.at >= then && j.god.Has(e, f.row) && !j.god.Has(rival, f.row) {
			n++
		}
	}
	return n
}

// waiting counts the rows of a person that e lacks: as many it may have received and
// not applied.
func (j *Judge) waiting(e cluster.Endpoint) (n int) {
	for _, f := range j.foreign {
		if !j.god.Has(e, f.row) {
			n++
		}
	}
	return n
}

// holdsBack reports whether e has received a row that it has not applied and that was acknowledged,
// but not by rival while its option file had that open.
func (j *Judge) holdsBack(e, rival cluster.Endpoint) bool {
	for i, r := range j.rows {
		if r&(acked|gone|j.bootedBy(rival)) == acked && r&j.receivedBy(e) != 0 && !j.god.Has(e, uint64(i)) {
			return true
		}
	}
	return false
}

// stray counts those of the rows that a server has and rival has not, when a gives it the
// role back, or a role that was lost, that are of a time in which its option file had opened it,
// or were never acknowledged. They cannot be undone, and nobody else is left, or it has just been closed again.
func (j *Judge) stray(now time.Duration, a cluster.Assignment, rival cluster.Endpoint, rows int) int {
	unnoticed := a.Proof == cluster.ProofGone || now-j.at(a.Active).closedAt < unseen || j.lost && a.Cause == causeRebuilt
	if !unnoticed || a.Phase != cluster.PhaseOpening || !j.p.RestartsOpen {
		return 0
	}
	for i, r := range j.rows {
		if r&acked != 0 && r&j.bootedBy(a.Active) == 0 && j.god.Has(a.Active, uint64(i)) && !j.god.Has(rival, uint64(i)) {
			rows--
		}
	}
	return rows
}

// meddled reports whether a person wrote to a server just now.
func (j *Judge) meddled(now time.Duration) bool {
	return slices.ContainsFunc(j.foreign, func(f foreign) bool { return now-f.at < unseen })
}

// forgotten reports whether Redis has lost the record that named m before anybody
// went about opening m: the epoch row would tell.
func (j *Judge) forgotten(m *member) bool { return j.lost && m.mark.Epoch < m.named.Epoch }

// believed reports whether a stands: Redis has forgotten nothing, or an agent has
// obeyed it, or a newer one.
func (j *Judge) believed(a cluster.Assignment) bool {
	return !j.lost || !j.newest.Before(a.Order())
}

func overridden(a cluster.Assignment) bool { return strings.HasPrefix(a.Cause, causeOverride) }

// Threads tells that an agent has started the IO thread of e towards source.
func (j *Judge) Threads(now time.Duration, e, source cluster.Endpoint) {
	if j.record.Active == "" || j.lost {
		return
	}
	passive := j.other(j.record.Active)
	switch p := j.at(passive); {
	case p.risked:
		return // what it was told before it hung is carried out when it wakes
	case p.how == ByBoot && (p.open || now-p.closedAt < underWay) && now-p.openedAt < unseen:
		return // it was closed when both were compared
	}
	if rows, _ := j.god.Extra(passive, j.record.Active); rows > j.writtenSince(now-unseen+1, passive, j.record.Active) {
		j.fail(now, "I8", "%s is made to replicate from %s, and %s has %d transactions that %s, the active under %s, lacks",
			e, source, passive, rows, j.record.Active, j.record.Order())
	}
}
