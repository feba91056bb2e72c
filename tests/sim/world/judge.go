package world

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Promise is what a schedule may be held to.
type Promise struct {
	// Members are the two servers, the primary host first.
	Members [2]cluster.Endpoint
	// FailoverBlock, MaxLoss and MaxLossAge are those of failover.Policy; a negative
	// MaxLoss is any.
	FailoverBlock time.Duration
	MaxLoss       int64
	MaxLossAge    time.Duration
	// Silence is that of failover.Policy.
	Silence time.Duration
	// Monitors is how many there are; 0 is one.
	Monitors int
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
	// Stuck reports whether the applier of e has stopped with an error.
	Stuck(e cluster.Endpoint) bool
	// Extra counts the transactions of e that of has not committed: those with rows
	// of applications, and all, epoch rows included.
	Extra(e, of cluster.Endpoint) (rows, all int)
	// Lacks reports whether e has not committed all of a set of transactions, and
	// Shown whether the newest view of e tells of received ones that was read for the last change that was asked for.
	Lacks(e cluster.Endpoint, set string) bool
	Shown(e cluster.Endpoint) bool
	// Known counts the transactions of e that the newest view of it shows which was
	// read for that, and that lacks has not committed; false when there is no such view.
	Known(e, lacks cluster.Endpoint) (n int, ok bool)
	// Untold counts the transactions of e that of has not committed and that a set of
	// them does not list.
	Untold(e, of cluster.Endpoint, set string) int
	// Up reports whether e runs.
	Up(e cluster.Endpoint) bool
	// Waits reports whether commits on e wait for an acknowledgement.
	Waits(e cluster.Endpoint) bool
}

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

// Judge is told of facts as they happen and finds the first that breaks an
// invariant. It belongs to one schedule.
//
// The invariants, by the names that violations give them:
//
//	I1a after the first write that a server acknowledged as the active, the one
//	    before it acknowledges none, nor does one that is proved unable to
//	I1b two servers are never open at once
//	I2  a planned change of role loses no acknowledged row, a failover none that
//	    its winner had received, what a crash destroyed since that was recorded
//	    included, and no more than max_loss allows; who is to take over throws
//	    nothing away that it has received; where commits are to wait, who may take over
//	    has all that was acknowledged
//	I3  epochs and tokens grow for each who sees them, each epoch has one active, and
//	    the record changes step by step, by who leads
//	I4  nobody is opened with something unapplied, with rows of its own, or, by
//	    itself, without being eligible; a first start names nobody while a person has
//	    written to both servers what the other lacks
//	I5  after the heal the servers are as the record says
//	I6  nothing but trouble with a server moves the role by itself, and not while a
//	    majority of the monitors has its answers, but for one whose writes stand still
//	I7  a server is opened only as a record with a proof says, whose epoch is in its
//	    epoch row and on the disk of an agent
//	I8  a server with rows of its own replicates neither from nor to the active
//	I9  there is one automatic failover until the pair has been whole
//	I10 a Redis that lost or forgot something never moves the role
//	I13 no agent closes a server that was to be open all along
//	I14 each change of the record has one event with its cause, order and actor
//	I15 what a failover leaves behind is told: all that a view showed, and once the old
//	    active is back and compared all that it has; once
//	I16 where semisync-strict is promised and an agent has seen to it that commits wait,
//	    no client is told of a success that the other server has not received, and no agent
//	    opens a server whose commits do not wait, until the record promises otherwise
//	L1  after the heal the pair is writable
//	L2  after the heal the passive replicates, or is in quarantine for a reason
//	L3  an active that dies while all else is well is replaced before long
//	L4  where acknowledged writes are to be on both servers, a healed pair comes to do so:
//	    the record says that commits wait, they do, the passive alone acknowledges, and it
//	    may take over
//
// With leases the proof that a lease is over counts like any other: nothing but
// who overslept, and two Redis masters while hosts are cut off, makes it a risk. Whom
// commits that wait keep open then acknowledges none.
//
// What is excused: two open servers while the record says risk, until the old one
// has been closed; servers that a person or an option file opened, until they have
// been closed; what an operator's override overruled; a pair that is held at the end
// by what a person has written or stopped, or by what both servers took while they
// were open beside each other: no agent has one of them open, and where nobody was
// ever active the reason names both. After Redis has lost something its record may be
// older than what was already decided: then agents' memories, epoch rows and openings
// are held to I3, no longer the record.
type Judge struct {
	Seen Counters

	p         Promise
	god       God
	violation *Violation
	m         [2]member

	top       cluster.Assignment // the newest record that ever was
	topAt     time.Duration
	chosen    cluster.Assignment // the newest that says who is to take over
	chosenAt  time.Duration
	record    cluster.Assignment // as the last script left it
	holder    cluster.Endpoint   // whom the newest record named last
	heldSince time.Duration      // when another was named for the last time
	lastOpen  cluster.Endpoint   // who was opened last and had the right
	settled   cluster.Epoch      // up to which losses have been counted
	actives   map[cluster.Epoch]cluster.Endpoint
	marks     map[cluster.Epoch]cluster.Endpoint
	obeyed    map[string]cluster.Assignment
	strict    strictness
	promising promising
	newest    cluster.Order // the newest that an agent obeyed

	blocked   bool // by the last automatic failover
	blockedAt time.Duration

	lost    bool // Redis has lost something
	forked  bool
	trouble bool
	stalled bool
	// disturbed is when something last happened of which either was told.
	disturbed time.Duration
	// overslept: one who keeps or takes back leases was held up for longer than they allow.
	overslept bool
	forgetful bool // an agent's disk has failed in this round
	// unwritten: one has failed, now or in a round before, so that what is locked may be
	// noted in Redis alone; unnoted: Redis has lost that in a round before.
	unwritten, unnoted bool
	foreign            []foreign
	split              bool // two servers were open, or may have been, by a risk

	leader string
	token  uint64
	asked  []asking

	looks []look

	rows    []row           // by number
	ackedAt []time.Duration // when, by number
}

// NewJudge makes the judge of one schedule.
func NewJudge(p Promise, god God) *Judge {
	return &Judge{p: p, god: god,
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
		j.at(record.Active).mark = cluster.Mark{Epoch: record.Epoch, Active: record.Active}
		j.actives[record.Epoch] = record.Active
	}
	j.newest = record.Order()
	j.promised(record)
	j.strict.kept = record.Durability == cluster.SemiSyncStrict && record.Waits
	if record.Active != "" {
		j.at(record.Active).affirmed = j.strict.kept
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
			m.how, m.unbound = ByPerson, true
		}
	}
	j.split = len(open) > 1
}

// RedisFault tells that what Redis holds was lost, set back or forked. After it
// Redis may say what is older; nobody may obey that. forked says that there are
// two masters.
func (j *Judge) RedisFault(now time.Duration, forked bool) {
	j.lost, j.forked = true, j.forked || forked
	j.strict.kept, j.strict.lostAt = j.strict.kept && !forked, now
	j.leader, j.token = "", 0
}

// Trouble tells of a fault that may justify an automatic change of role: of a
// server, of its host, or of a link to one of them. Deaths and pauses of daemons and
// faults of Redis are none.
func (j *Judge) Trouble(now time.Duration) { j.trouble, j.disturbed = true, now }

// Stalls tells whether commits on e stand still from now on, for the disk's sake.
func (j *Judge) Stalls(now time.Duration, e cluster.Endpoint, is bool) {
	m := j.at(e)
	m.stalls, m.stalledTo = is, now
}

// Disturbed tells of a fault that justifies no automatic change of role.
func (j *Judge) Disturbed(now time.Duration) { j.disturbed = now }

// Stalled tells that an agent, its host or a link between it and a server was
// paused or slowed, so that what it does may be old.
func (j *Judge) Stalled(now time.Duration) { j.stalled, j.disturbed = true, now }

// Overslept tells that an agent with leases, its host or its server, or a clock that
// leases count on, was or will be held up for longer than the leases allow.
func (j *Judge) Overslept(now time.Duration) { j.overslept = true }

// Forgets tells that the disk of an agent fails: what it has locked is then known to
// Redis alone.
func (j *Judge) Forgets(now time.Duration) { j.forgetful, j.unwritten = true, true }

// Interfered tells that a person has written the row to a server, read_only or not.
func (j *Judge) Interfered(now time.Duration, row uint64) {
	j.foreign = append(j.foreign, foreign{row, now})
}

// Landed tells that such a row was committed, where that took its time: nobody could see it before.
func (j *Judge) Landed(now time.Duration, row uint64) {
	for i := range j.foreign {
		if j.foreign[i].row == row {
			j.foreign[i].at = now
		}
	}
}

// Parted tells that a person wrote the row to a server before the schedule begins.
func (j *Judge) Parted(row uint64) { j.foreign = append(j.foreign, foreign{row, -unseen}) }

// Halted tells that a person has stopped the replication of e; behind when that is its
// receiving thread, and the applying one stood before.
func (j *Judge) Halted(now time.Duration, e cluster.Endpoint, behind bool) {
	m := j.at(e)
	m.halted, m.haltedAt, m.behind = true, now, behind
}
