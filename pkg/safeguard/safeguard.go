// Package safeguard names the safeguards that keep a pair from harm, so that a build
// can leave one of them out: a mutant, in which the simulator must find the harm.
//
// Built with the tags mutant and a safeguard's name, Off is true for that one. In
// every other build it is false for all, and the compiler leaves out what is asked.
package safeguard

// Safeguard is one of them. Its text is the build tag that turns it off.
type Safeguard string

// The safeguards, each with what holds as long as it is on.
const (
	// CompareAndSet: identify writes a record only over the one that it decided on.
	CompareAndSet Safeguard = "compare_and_set"
	// Token: identify writes only with the token of its own lease.
	Token Safeguard = "token"
	// ClosedFirst: a role is given only when there is a proof that its last holder is closed, or a risk that the policy accepts.
	ClosedFirst Safeguard = "closed_first"
	// EpochFile: an agent keeps the newest record on disk over a restart.
	EpochFile Safeguard = "epoch_file"
	// RecordCheck: an agent reads the record again before it opens a server.
	RecordCheck Safeguard = "record_check"
	// SecondLook: an agent reads the record again after it has opened a server.
	SecondLook Safeguard = "second_look"
	// ApplierRuns: draining never stops both threads of a channel.
	ApplierRuns Safeguard = "applier_runs"
	// Drain: a server has applied what it received before it counts as drained.
	Drain Safeguard = "drain"
	// RecordedTarget: what was ever seen to be received is demanded before a promotion.
	RecordedTarget Safeguard = "recorded_target"
	// LateArrivals: draining waits for what arrived until the receiving thread had stopped, too.
	LateArrivals Safeguard = "late_arrivals"
	// SubsetCheck: replication starts only between servers that were compared.
	SubsetCheck Safeguard = "subset_check"
	// Reconciling: an agent reads the record on a timer and when it hears again, and not on messages alone.
	Reconciling Safeguard = "reconciling"
	// Quorum: death needs the majority of the monitors.
	Quorum Safeguard = "quorum"
	// PinnedSession: a server is opened on a session that was dialled before the record was read.
	PinnedSession Safeguard = "pinned_session"
	// OwnSessions: a closing ends the other sessions of the agents' user.
	OwnSessions Safeguard = "own_sessions"
	// FullClosing: a server that is found closed is closed in full all the same before that counts as a proof.
	FullClosing Safeguard = "full_closing"
	// Eligible: only a server that was seen to be caught up in this epoch takes over by itself.
	Eligible Safeguard = "eligible"
	// OlderRefused: an agent refuses a record that is older than the one it remembers.
	OlderRefused Safeguard = "older_refused"
	// ErrantCheck: a server with transactions of its own never takes over.
	ErrantCheck Safeguard = "errant_check"
	// ReadBack: a closing is acknowledged when the closed server has been read again.
	ReadBack Safeguard = "read_back"
	// FailoverBlock: there is one automatic failover until the pair has been whole.
	FailoverBlock Safeguard = "failover_block"
	// MaxLoss: no more than max_loss transactions are left behind.
	MaxLoss Safeguard = "max_loss"
	// Vouching: a memory that may be out of date is believed only while the server that it does not name is seen.
	Vouching Safeguard = "vouching"
	// Listening: who begins to lead listens to the others before it elects or rebuilds.
	Listening Safeguard = "listening"
	// EqualSets: a switchover is committed when both servers have the same transactions.
	EqualSets Safeguard = "equal_sets"
	// Quarantine: a server with transactions of its own stops replicating.
	Quarantine Safeguard = "quarantine"
	// GivenBackWhole: the role returns only to a server that lacks nothing of the other.
	GivenBackWhole Safeguard = "given_back_whole"
	// OwnMemory: identify remembers the newest record itself.
	OwnMemory Safeguard = "own_memory"
	// DiskFirst: an epoch is on disk before anything is acknowledged under it.
	DiskFirst Safeguard = "disk_first"
	// RowFirst: the epoch row is written before a server is opened.
	RowFirst Safeguard = "row_first"
	// SampleOrder: only a sample that was begun after an order was read speaks for it.
	SampleOrder Safeguard = "sample_order"
)

// Off reports whether this build leaves s out.
func Off(s Safeguard) bool { return s == off }
