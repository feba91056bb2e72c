package world

import (
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Promise is what a schedule may be held to.
type Promise struct {
	// Members are the two servers, the primary host first.
	Members [2]cluster.Endpoint
	// FailoverBlock and MaxLoss are those of failover.Policy; a negative MaxLoss is any.
	FailoverBlock time.Duration
	MaxLoss       int64
	// Leases: active servers close themselves when their leases are over.
	Leases bool
	// RestartsOpen: the option files lack read_only, so that a server starts open.
	RestartsOpen bool
	// AutoReplicate: replication starts with the servers.
	AutoReplicate bool
	// Leaps: clocks of daemons leap, so that a waiting time may be cut short.
	Leaps bool
	// Blocks: agents lock the application's account on the passive.
	Blocks bool
}

// God answers what the world alone knows. It is asked at rare facts only.
type God interface {
	// Has reports whether e has committed the row.
	Has(e cluster.Endpoint, row uint64) bool
	// Unapplied counts the transactions that e has received and not applied.
	Unapplied(e cluster.Endpoint) int
	// Extra counts the transactions of e that of has not committed: those with rows
	// of applications, and all, epoch rows included.
	Extra(e, of cluster.Endpoint) (rows, all int)
	// Known counts the transactions of e that the newest view of it in Redis
	// shows and that lacks has not committed; false when there is no such view.
	Known(e, lacks cluster.Endpoint) (n int, ok bool)
}

// How says by whom a server was opened or closed.
type How int

// Those who open and close servers.
const (
	ByAgent  How = iota // an agent's SetWritable or SetReadOnly
	ByBoot              // its option file, when it started
	ByDeath             // it was killed, or its host lost power
	ByPerson            // somebody at its console, and before the schedule began
)

// Violation is the breaking of an invariant.
type Violation struct {
	Invariant string        `json:"invariant"`
	At        time.Duration `json:"at"`
	Text      string        `json:"text"`
}

// String gives the violation in one line.
func (v *Violation) String() string {
	return fmt.Sprintf("%s at %s: %s", v.Invariant, v.At, v.Text)
}

// FinalServer is what one server is after the heal.
type FinalServer struct {
	Up, Open bool
	// IO and SQL report whether the threads of its channel run.
	IO, SQL bool
	// Locked: the application's account cannot log in.
	Locked bool
	// Quarantined: the newest report of some agent says so; Reason is its reason.
	Quarantined bool
	Reason      string
}

// FinalFacts are what the world is after the heal, when it has converged or its
// time is over.
type FinalFacts struct {
	Record  cluster.Assignment
	Verdict string
	// Servers are in the order of Promise.Members.
	Servers [2]FinalServer
}

// Judge is told of facts as they happen and finds the first that breaks an
// invariant. It belongs to one schedule.
//
// The invariants, by the names that violations give them:
//
//	I1a after the first write that a server acknowledged as the active, the one
//	    before it acknowledges none
//	I1b two servers are never open at once
//	I2  a planned change of role loses no acknowledged row, a failover none that
//	    its winner had received and no more than max_loss allows
//	I3  epochs and tokens grow for each who sees them, and each epoch has one active
//	I4  nobody is opened with something unapplied, with rows of its own, or, by
//	    itself, without being eligible
//	I5  after the heal the servers are as the record says
//	I6  nothing but trouble with a server moves the role by itself
//	I7  a server is opened only as a record with a proof says
//	I8  a server with rows of its own replicates neither from nor to the active
//	I9  there is one automatic failover until the pair has been whole
//	I10 a Redis that lost or forgot something never moves the role
//	I13 no agent closes a server that was to be open all along
//	I14 each change of the record has one event with its cause, order and actor
//	L1  after the heal the pair is writable
//	L2  after the heal the passive replicates, or is in quarantine for a reason
//
// With leases the proof that a lease is over counts like any other: nothing but
// who overslept, and two Redis masters while hosts are cut off, makes it a risk.
//
// What is excused: two open servers while the record says risk, until the old one
// has been closed; servers that a person or an option file opened, until they have
// been closed; what an operator's override overruled; a pair that is held at the end
// by what a person has written or stopped. After Redis has lost
// something its record may be older than what was already decided: then agents'
// memories, epoch rows and openings are held to I3, no longer the record.
type Judge struct {
	Seen Counters

	p         Promise
	god       God
	violation *Violation
	m         [2]member

	top      cluster.Assignment // the newest record that ever was
	topAt    time.Duration
	record   cluster.Assignment // as the last script left it
	holder   cluster.Endpoint   // whom the newest record named last
	lastOpen cluster.Endpoint   // who was opened last and had the right
	settled  cluster.Epoch      // up to which losses have been counted
	actives  map[cluster.Epoch]cluster.Endpoint
	marks    map[cluster.Epoch]cluster.Endpoint
	obeyed   map[string]cluster.Assignment
	newest   cluster.Order // the newest that an agent obeyed

	blocked   bool // by the last automatic failover
	blockedAt time.Duration

	lost    bool // Redis has lost something
	forked  bool
	trouble bool
	stalled bool
	// overslept: one who keeps or takes back leases was held up for longer than they allow.
	overslept bool
	// interfered is when a person last wrote to a server, below zero for never;
	// foreign are the rows, and halted the servers whose replication a person stopped.
	interfered time.Duration
	foreign    []uint64
	halted     [2]bool
	split      bool // two servers were open, or may have been, by a risk

	leader string
	token  uint64

	rows []row // by number
}

// member is what the judge knows of one server.
type member struct {
	open     bool
	how      How
	openedAt time.Duration
	closedAt time.Duration
	// startedAt is when it was last started.
	startedAt time.Duration
	acked     bool // since it was opened
	// risked: it was open when a record said risk and named the other; riskEnded is
	// when it was closed after that.
	risked    bool
	riskEnded time.Duration
	// unwanted: the record said at some time since it was opened that it should be closed.
	unwanted bool
	// named is the newest record that named it active; planned, whether it came to
	// that by a planned change of role.
	named   cluster.Assignment
	planned bool
	mark    cluster.Mark
}

// excused reports whether m may be open beside another.
func (m *member) excused() bool { return m.risked || m.how != ByAgent }

// row is what is known of one row.
type row uint8

const (
	acked     row = 1 << iota
	gone          // written off
	received0     // by the first member, and not destroyed since
	received1
)

// The causes that cluster leaves to those who write them.
const (
	causeOverride = string(cluster.ProofOperator)
	causeForced   = causeOverride + ", forced"
	causeDeath    = "failover: "
)

// The kinds of events that the judge tells apart.
const (
	kindRebuilt    = "rebuilt"
	kindFirstStart = "first start"
	kindUnblocked  = "unblocked"
	kindGivenBack  = "given back"
)

// NewJudge makes the judge of one schedule.
func NewJudge(p Promise, god God) *Judge {
	return &Judge{p: p, god: god, interfered: -unseen,
		actives: map[cluster.Epoch]cluster.Endpoint{},
		marks:   map[cluster.Epoch]cluster.Endpoint{},
		obeyed:  map[string]cluster.Assignment{},
	}
}

// Violation is the first one; nil for none.
func (j *Judge) Violation() *Violation { return j.violation }

func (j *Judge) fail(now time.Duration, invariant, format string, args ...any) {
	if j.violation == nil {
		j.violation = &Violation{invariant, now, fmt.Sprintf(format, args...)}
	}
}

func (j *Judge) at(e cluster.Endpoint) *member {
	switch e {
	case j.p.Members[0]:
		return &j.m[0]
	case j.p.Members[1]:
		return &j.m[1]
	}
	panic(fmt.Sprintf("judge: %q is no member", e))
}

func (j *Judge) other(e cluster.Endpoint) cluster.Endpoint {
	if e == j.p.Members[0] {
		return j.p.Members[1]
	}
	return j.p.Members[0]
}

// Begin tells of the record and of who is open as the schedule begins.
func (j *Judge) Begin(record cluster.Assignment, open ...cluster.Endpoint) {
	j.record, j.top = record, record
	if record.Active != "" {
		j.holder = record.Active
		j.at(record.Active).named = record
		j.actives[record.Epoch] = record.Active
	}
	j.blocked = record.Blocked
	j.settled = record.Epoch
	for i := range j.m {
		j.m[i].unwanted = j.p.Members[i] != record.Active
	}
	for _, e := range open {
		m := j.at(e)
		m.open = true
		if e == record.Active {
			j.lastOpen = e
		} else {
			m.how = ByPerson
		}
	}
}

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
	m.how, m.openedAt, m.acked = how, now, false
	other := j.at(j.other(e))
	if how != ByAgent {
		j.Seen.Count(SawOpenedBySomebodyElse)
	} else if j.stalled && j.risky(other.named.Proof) && m.named.Epoch < other.named.Epoch {
		m.risked = true // nobody could reach it, nor whoever was about to open it
	}
	switch {
	case !other.open:
	case m.excused() || other.excused():
		j.split = true
		j.Seen.Count(SawBothOpenByRisk)
	default:
		j.fail(now, "I1b", "%s is opened under %s, and %s is open since %s", e, m.named.Order(), j.other(e), other.openedAt)
	}
	if how == ByAgent {
		j.opened(now, e, m, other)
	}
	m.unwanted = !wants(j.record, e)
}

// risky reports whether the old active of a proof may still be open: by the policy,
// or since its lease rests on agents that were not held up, and on one Redis while
// hosts cannot reach each other.
func (j *Judge) risky(p cluster.Proof) bool {
	return p.IsRisk() || p == cluster.ProofLease && (j.overslept || j.forked && j.stalled)
}

// Started tells that e was started.
func (j *Judge) Started(now time.Duration, e cluster.Endpoint) { j.at(e).startedAt = now }

// closed judges the end of an opening.
func (j *Judge) closed(now time.Duration, e cluster.Endpoint, m *member, how How) {
	other := j.at(j.other(e))
	if m.risked && other.open {
		j.Seen.Count(SawClosedAfterRisk)
	}
	if m.risked {
		m.risked, m.riskEnded = false, now
	}
	switch how {
	case ByDeath:
		j.Seen.Count(SawClosedByCrash)
	case ByAgent:
		if !m.unwanted && !j.lost && !j.stalled && !j.p.Leases {
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
	switch {
	case !m.named.Exists():
		j.fail(now, "I7", "%s is opened, and no record has ever named it", e)
		return
	case m.named.Epoch < other.named.Epoch && j.believed(other.named):
		if !m.risked {
			j.fail(now, "I7", "%s is opened under %s, and %s has been named since (%s, %s)", e, m.named.Order(), rival, other.named.Order(), other.named.Proof)
		}
		return
	}
	forced := m.named.Cause == causeForced
	// A server that replicates by itself receives before an agent can stop it, one
	// that closed itself for want of a lease goes on receiving, and the passive may
	// have started open.
	stray := other.how == ByBoot && (other.open || now-other.closedAt < unseen)
	byItself := (j.p.AutoReplicate || j.p.Leases || stray) && j.lastOpen == e
	if n := j.god.Unapplied(e); n > 0 && !forced && !byItself && !j.meddled(now) {
		j.fail(now, "I4", "%s is opened under %s with %d received transactions that it has not applied", e, m.named.Order(), n)
	}
	if j.lastOpen == e {
		if m.named.Epoch == j.settled {
			j.Seen.Count(SawOpeningRepeated)
		}
		j.settled = max(j.settled, m.named.Epoch)
		return
	}
	if j.lastOpen != "" && m.named.Epoch != j.settled {
		if rows, _ := j.god.Extra(e, rival); rows > j.smuggled(e, rival) && !overridden(m.named) && !j.meddled(now) {
			j.fail(now, "I4", "%s is opened under %s with %d transactions that %s never had", e, m.named.Order(), rows, rival)
		}
		j.settle(now, e, m)
	}
	j.lastOpen, j.settled = e, m.named.Epoch
}

// unseen is how long it may take until the daemons have seen what a person did.
const unseen = 3 * time.Second

// smuggled counts the rows that a person wrote to e, and rival has not, if that was
// while nobody was open: a decision that was made before could not know of them.
func (j *Judge) smuggled(e, rival cluster.Endpoint) (n int) {
	if j.interfered < j.at(rival).closedAt {
		return 0
	}
	for _, row := range j.foreign {
		if j.god.Has(e, row) && !j.god.Has(rival, row) {
			n++
		}
	}
	return n
}

// meddled reports whether a person wrote to a server just now.
func (j *Judge) meddled(now time.Duration) bool { return now-j.interfered < unseen }

// believed reports whether a stands: Redis has forgotten nothing, or an agent has
// obeyed it, or a newer one.
func (j *Judge) believed(a cluster.Assignment) bool {
	return !j.lost || !j.newest.Before(a.Order())
}

func overridden(a cluster.Assignment) bool { return strings.HasPrefix(a.Cause, causeOverride) }

// settle counts what is not there when the role has moved to e.
func (j *Judge) settle(now time.Duration, e cluster.Endpoint, m *member) {
	received := received0
	if e == j.p.Members[1] {
		received = received1
	}
	var lost, had int
	var first uint64
	for i, r := range j.rows {
		if r&(acked|gone) != acked || j.god.Has(e, uint64(i)) {
			continue
		}
		j.rows[i] |= gone
		if lost == 0 {
			first = uint64(i)
		}
		lost++
		if r&received != 0 {
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
	case had > 0:
		j.fail(now, "I2", "%s is opened under %s without %d acknowledged rows that it had received", e, m.named.Order(), had)
	}
}

func (j *Judge) row(n uint64) *row {
	for uint64(len(j.rows)) <= n {
		j.rows = append(j.rows, 0)
	}
	return &j.rows[n]
}

// Acked tells that e has answered a client that the row is committed, when the
// answer leaves e.
func (j *Judge) Acked(now time.Duration, e cluster.Endpoint, row uint64) {
	r := j.row(row)
	*r |= acked
	m, other := j.at(e), j.at(j.other(e))
	m.acked = m.acked || m.open
	switch {
	case m.excused() && (j.lastOpen != e || m.named.Order().Before(other.named.Order())), m.risked, m.riskEnded == now:
		*r |= gone
	case other.acked && other.openedAt > m.openedAt && !other.excused() && !j.god.Has(j.other(e), row):
		j.fail(now, "I1a", "%s acknowledges row %d after %s, opened at %s, has acknowledged rows", e, row, j.other(e), other.openedAt)
	}
}

// Received tells that e has written the row to its relay log.
func (j *Judge) Received(now time.Duration, e cluster.Endpoint, row uint64) {
	if e == j.p.Members[0] {
		*j.row(row) |= received0
	} else {
		*j.row(row) |= received1
	}
}

// RelayLost tells that a crash of e has destroyed its relay log; after it.
func (j *Judge) RelayLost(now time.Duration, e cluster.Endpoint) {
	received := received0
	if e == j.p.Members[1] {
		received = received1
	}
	was := false
	for i, r := range j.rows {
		if r&received != 0 && !j.god.Has(e, uint64(i)) {
			j.rows[i] &^= received
			was = true
		}
	}
	if was {
		j.Seen.Count(SawRelayLost)
	}
}

// Row tells that the epoch row on e was written, by an agent or by replication.
func (j *Judge) Row(now time.Duration, e cluster.Endpoint, mark cluster.Mark) {
	m := j.at(e)
	if mark.Epoch < m.mark.Epoch {
		j.fail(now, "I3", "the epoch row of %s falls from %d to %d", e, m.mark.Epoch, mark.Epoch)
	}
	if was, ok := j.marks[mark.Epoch]; ok && was != mark.Active {
		j.fail(now, "I3", "the epoch row of %s names %s for epoch %d, another named %s", e, mark.Active, mark.Epoch, was)
	}
	j.marks[mark.Epoch] = mark.Active
	m.mark = mark
}

// Changed tells that a script has changed Redis's record, with the event that it
// wrote; zero for none. An event without a change has before equal to after.
func (j *Judge) Changed(now time.Duration, before, after cluster.Assignment, ev cluster.Event) {
	j.traced(now, before, after, ev)
	j.numbered(now, before, after)
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
	j.count(before, after, ev)
	for i := range j.m {
		if !wants(after, j.p.Members[i]) {
			j.m[i].unwanted = true
		}
	}
	j.record = after
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
func (j *Judge) numbered(now time.Duration, before, after cluster.Assignment) {
	if !before.Order().Before(after.Order()) {
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
	if !before.IsEligible(after.To) {
		j.fail(now, "I4", "%s takes the role to %s, which was not eligible in %s", after.Order(), after.To, before.Order())
	}
}

// restored judges a record that was made because Redis had lost it.
func (j *Judge) restored(now time.Duration, after cluster.Assignment) {
	if after.Active == "" || after.Active == j.holder || after.Active == j.lastOpen {
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
	kept := ev.Kind == kindRebuilt && j.lastOpen == after.Active
	if !kept && (before.Phase == cluster.PhaseRevoked || j.holder != after.Active) {
		j.proved(now, after, rival, x)
	}
	if j.risky(after.Proof) && x.open {
		x.risked, j.split = true, true
	}
	if ev.Kind != kindRebuilt || m.named.Active != after.Active {
		m.planned = after.Planned()
	}
	if n, ok := j.knownLoss(after); ok && int64(n) > j.p.MaxLoss {
		j.fail(now, "I2", "%s names %s, which lacks %d transactions that were known of %s; max_loss is %d", after.Order(), after.Active, n, after.From, j.p.MaxLoss)
	}
	if !after.Order().Before(m.named.Order()) {
		m.named = after
	}
	if !after.Order().Before(j.top.Order()) {
		j.holder = after.Active
	}
	if m.open {
		j.adopted(now, after, m)
	}
}

// adopted takes a server that a record names and that is open already for one
// that an agent has opened.
func (j *Judge) adopted(now time.Duration, after cluster.Assignment, m *member) {
	m.how, m.risked = ByAgent, false
	if j.lastOpen != after.Active {
		if j.lastOpen != "" {
			j.settle(now, after.Active, m)
		}
		j.lastOpen, j.settled = after.Active, after.Epoch
	}
}

// proved judges the proof on record that rival is closed.
func (j *Judge) proved(now time.Duration, after cluster.Assignment, rival cluster.Endpoint, x *member) {
	switch after.Proof {
	case cluster.ProofNone:
		if j.holder != "" {
			j.fail(now, "I7", "%s names %s after %s without a proof", after.Order(), after.Active, rival)
		}
	case cluster.ProofLease:
		if x.open && x.how == ByAgent && !j.risky(after.Proof) {
			j.fail(now, "I7", "%s names %s with the proof %q, and %s is open since %s", after.Order(), after.Active, after.Proof, rival, x.openedAt)
		}
	case cluster.ProofFenced, cluster.ProofGone:
		since := x.how != ByAgent && x.openedAt > j.topAt
		if x.open && !since {
			j.fail(now, "I7", "%s names %s with the proof %q, and %s is open since %s", after.Order(), after.Active, after.Proof, rival, x.openedAt)
		}
	}
}

// knownLoss counts what a failover leaves behind although a view told of it. It is
// not known where the old active has come back meanwhile: views of that may have
// crossed the decision.
func (j *Judge) knownLoss(after cluster.Assignment) (int, bool) {
	if j.p.MaxLoss < 0 || after.Phase != cluster.PhaseOpening || !strings.HasPrefix(after.Cause, causeDeath) || after.From == "" || after.From == after.Active {
		return 0, false
	}
	if m := j.at(after.From); m.closedAt > j.topAt || m.startedAt > j.topAt {
		return 0, false
	}
	return j.god.Known(after.From, after.Active)
}

// count counts what a change shows.
func (j *Judge) count(before, after cluster.Assignment, ev cluster.Event) {
	saw := j.Seen.Count
	switch ev.Kind {
	case kindFirstStart:
		saw(SawFirstStart)
	case kindRebuilt:
		if after.Phase == cluster.PhaseSteady {
			saw(SawRebuilt)
		} else {
			saw(SawRebuiltRevoked)
		}
	case kindGivenBack:
		saw(SawGivenBack)
	case kindUnblocked:
		saw(SawUnblocked)
	case "eligible":
		saw(SawEligibleAgain)
	case "ineligible":
		saw(SawTakenOut)
	case "rolled back":
		saw(SawSwitchoverRolledBack)
	case "revoked":
		switch {
		case before.Phase == cluster.PhaseSwitching:
			saw(SawSwitchoverThenFailover)
		case before.Phase == cluster.PhaseOpening && !overridden(after):
			saw(SawOpeningLost)
		}
	case "promoted":
		j.countPromotion(after)
	}
	if after.Loss != "" && before.Loss == "" {
		saw(SawLossCounted)
	}
	if after.Blocked && !before.Blocked {
		saw(SawBlocked)
	}
}

func (j *Judge) countPromotion(after cluster.Assignment) {
	saw := j.Seen.Count
	switch after.Cause {
	case cluster.CauseSwitchover:
		saw(SawSwitchoverDone)
		return
	case cluster.CauseFailback:
		saw(SawFailbackDone)
		return
	case causeForced:
		saw(SawOverriddenForced)
		return
	case causeOverride:
		saw(SawOverridden)
		return
	}
	switch after.Proof {
	case cluster.ProofFenced:
		saw(SawFailoverFenced)
	case cluster.ProofGone:
		saw(SawFailoverGone)
	case cluster.ProofLease:
		saw(SawLeaseOver)
	case cluster.RiskRefused:
		saw(SawFailoverRefused)
	case cluster.RiskHung:
		saw(SawFailoverHung)
	case cluster.RiskHungUnasked:
		saw(SawFailoverHungUnasked)
	case cluster.RiskSilent:
		saw(SawFailoverSilent)
	case cluster.RiskWaited:
		saw(SawFailoverWaited)
	}
}

// RedisFault tells that what Redis holds was lost, set back or forked. After it
// Redis may say what is older; nobody may obey that. forked says that there are
// two masters.
func (j *Judge) RedisFault(now time.Duration, forked bool) {
	j.lost, j.forked = true, j.forked || forked
	j.leader, j.token = "", 0
}

// Trouble tells of a fault that may justify an automatic change of role: of a
// server, of its host, or of a link to one of them. Deaths and pauses of daemons and
// faults of Redis are none.
func (j *Judge) Trouble(now time.Duration) { j.trouble = true }

// Stalled tells that an agent, its host or a link between it and a server was
// paused or slowed, so that what it does may be old.
func (j *Judge) Stalled(now time.Duration) { j.stalled = true }

// Overslept tells that an agent with leases, its host or its server, or a clock that
// leases count on, was or will be held up for longer than the leases allow.
func (j *Judge) Overslept(now time.Duration) { j.overslept = true }

// Interfered tells that a person has written the row to a server, read_only or not.
func (j *Judge) Interfered(now time.Duration, row uint64) {
	j.interfered = now
	j.foreign = append(j.foreign, row)
}

// Halted tells that a person has stopped the replication of e.
func (j *Judge) Halted(now time.Duration, e cluster.Endpoint) {
	if e == j.p.Members[0] {
		j.halted[0] = true
	} else {
		j.halted[1] = true
	}
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

// Threads tells that an agent has started the IO thread of e towards source.
func (j *Judge) Threads(now time.Duration, e, source cluster.Endpoint) {
	if j.record.Active == "" || j.lost || j.meddled(now) {
		return
	}
	passive := j.other(j.record.Active)
	if j.at(passive).risked {
		return // what it was told before it hung is carried out when it wakes
	}
	if rows, _ := j.god.Extra(passive, j.record.Active); rows > 0 {
		j.fail(now, "I8", "%s is made to replicate from %s, and %s has %d transactions that %s, the active under %s, lacks",
			e, source, passive, rows, j.record.Active, j.record.Order())
	}
}

// Final tells what the world is at its end.
func (j *Judge) Final(now time.Duration, f FinalFacts) {
	a := f.Record
	if a.Phase != cluster.PhaseSteady || a.Active == "" || a.Passive == "" {
		j.unsettled(now, f)
		return
	}
	i := 0
	if a.Active != j.p.Members[0] {
		i = 1
	}
	active, passive := f.Servers[i], f.Servers[1-i]
	switch {
	case !active.Up || !passive.Up:
		j.fail(now, "I5", "a server is down after the heal: %+v", f.Servers)
	case !active.Open && passive.Open:
		j.fail(now, "I5", "%s is active under %s and closed, %s is open", a.Active, a.Order(), a.Passive)
	case !active.Open || active.Locked:
		j.fail(now, "L1", "%s is active under %s, and takes no writes: %+v; %s", a.Active, a.Order(), active, f.Verdict)
	case passive.Open:
		j.fail(now, "I5", "%s is passive under %s and open", a.Passive, a.Order())
	case j.p.Blocks && !passive.Locked:
		j.fail(now, "I5", "%s is passive under %s and lets the application log in", a.Passive, a.Order())
	}
	j.whole(now, a, active, passive)
	for n, r := range j.rows {
		if r&(acked|gone) == acked && !j.god.Has(a.Active, uint64(n)) {
			j.fail(now, "I2", "row %d was acknowledged, no change of role has left it behind, and %s, the active under %s, lacks it", n, a.Active, a.Order())
			return
		}
	}
}

// unsettled judges a pair that has no active after the heal.
func (j *Judge) unsettled(now time.Duration, f FinalFacts) {
	a, b := j.p.Members[0], j.p.Members[1]
	_, ab := j.god.Extra(a, b)
	_, ba := j.god.Extra(b, a)
	if ab > 0 && ba > 0 && j.split && f.Verdict != "" {
		j.Seen.Count(SawHeldAtTheEnd)
		return
	}
	if j.brokenByPerson(f) && f.Verdict != "" {
		j.Seen.Count(SawHeldForAPerson)
		return
	}
	j.fail(now, "L1", "nobody is active after the heal: %s %s; %s", f.Record.Order(), f.Record.Phase, f.Verdict)
}

// brokenByPerson reports whether the pair is held by what a person has broken and
// left so: a row that only one server has, or a candidate that does not replicate.
func (j *Judge) brokenByPerson(f FinalFacts) bool {
	for _, row := range j.foreign {
		if j.god.Has(j.p.Members[0], row) != j.god.Has(j.p.Members[1], row) {
			return true
		}
	}
	for i, s := range f.Servers {
		if j.halted[i] && f.Record.Phase == cluster.PhaseRevoked && f.Record.To == j.p.Members[i] && !(s.IO && s.SQL) {
			return true
		}
	}
	return false
}

// whole judges the replication of a settled pair.
func (j *Judge) whole(now time.Duration, a cluster.Assignment, active, passive FinalServer) {
	rows, all := j.god.Extra(a.Passive, a.Active)
	switch {
	case !passive.Quarantined && rows > 0:
		j.fail(now, "I8", "%s has %d transactions that %s, the active under %s, lacks, and is not in quarantine", a.Passive, rows, a.Active, a.Order())
	case !passive.Quarantined:
		if !passive.IO || !passive.SQL || !active.IO || !active.SQL {
			j.fail(now, "L2", "the servers do not replicate from each other under %s: %s %+v, %s %+v", a.Order(), a.Active, active, a.Passive, passive)
		}
	case all == 0:
		j.fail(now, "L2", "%s is in quarantine under %s and has nothing that %s lacks: %s", a.Passive, a.Order(), a.Active, passive.Reason)
	case passive.IO || active.IO:
		j.fail(now, "I8", "%s is in quarantine under %s, and replication runs: %s %+v, %s %+v", a.Passive, a.Order(), a.Active, active, a.Passive, passive)
	case passive.Reason == "":
		j.fail(now, "L2", "%s is in quarantine under %s without a reason", a.Passive, a.Order())
	default:
		j.Seen.Count(SawQuarantinedAtTheEnd)
	}
}
