// Package safeguard names the safeguards that keep a pair from harm, so that a build
// can leave one of them out: a mutant, in which the simulator must find the harm.
//
// Built with the tags mutant and a safeguard's text, Off is true for that one. In
// every other build it is false for all, and the compiler leaves out what asks it.
package safeguard

// Safeguard is one of them. Its text is the build tag that leaves it out.
type Safeguard string

// The safeguards, each with what holds as long as it is there.
const (
	// EpochRaised: a failover raises the epoch.
	EpochRaised Safeguard = "no_epoch_raised"
	// LateLeader: what is written is refused when the record or the lease is not as it was decided upon.
	LateLeader Safeguard = "no_late_leader"
	// Token: what is written is refused when its writer does not hold the lease any more.
	Token Safeguard = "no_token"
	// CompareAndSet: what is written is refused when the record is not the one that it was decided upon.
	CompareAndSet Safeguard = "no_compare_and_set"
	// Majority: a server is dead when a majority of the monitors sees it dead.
	Majority Safeguard = "no_majority"
	// Advancing: only a replica that goes on receiving, not one that says that it does, contradicts a death.
	Advancing Safeguard = "no_advancing"
	// ClosedFirst: a role is given only when its last holder is proved closed, or the policy accepts less and the record says so.
	ClosedFirst Safeguard = "no_closed_first"
	// ClosingDoubted: a closing is believed while its server answers, comes up closed, or is reached by the agent that closed it: else it may have been started open since.
	ClosingDoubted Safeguard = "no_closing_doubted"
	// Eligible: only a server that was seen caught up in this epoch takes over by itself.
	Eligible Safeguard = "no_eligible"
	// ErrantCheck: a server with transactions of its own does not take over.
	ErrantCheck Safeguard = "no_errant_check"
	// MaxLoss: no more than max_loss transactions are left behind.
	MaxLoss Safeguard = "no_max_loss"
	// Awaited: where commits wait for the passive, it takes over by itself only when an agent had just seen to that, and it has all that was acknowledged before.
	Awaited Safeguard = "no_awaited"
	// AwaitFirst: where commits are to wait, a server is opened when its commits do.
	AwaitFirst Safeguard = "no_await_first"
	// WaitsAnew: an opening that was planned before the record had commits wait is planned anew.
	WaitsAnew Safeguard = "no_waits_anew"
	// StartsClosed: that nobody acknowledges what the old active commits is a proof when it is known to start closed.
	StartsClosed Safeguard = "no_starts_closed"
	// ToldStart: how a server starts is what it tells of its option file while nobody has set read_only since its start, not what a first contact shows.
	ToldStart Safeguard = "no_told_start"
	// ReadSinceStart: who may take over has what was acknowledged by a position that was read after its last start.
	ReadSinceStart Safeguard = "no_read_since_start"
	// ReadSinceWait: who may take over has what was acknowledged by a position that was read after commits came to wait.
	ReadSinceWait Safeguard = "no_read_since_wait"
	// StrictFirst: under semisync-strict the record has commits wait from the opening on.
	StrictFirst Safeguard = "no_strict_first"
	// StrictKept: under semisync-strict commits wait however long nobody acknowledges.
	StrictKept Safeguard = "no_strict_kept"
	// RecordFirst: commits are let go when the record says that they do not wait, and not before.
	RecordFirst Safeguard = "no_record_first"
	// AcksAnew: where commits are to wait, a receiver that runs and does not acknowledge is connected anew.
	AcksAnew Safeguard = "no_acks_anew"
	// AwaitAgain: that commits wait is tried again after it was given up since no agent could see to it.
	AwaitAgain Safeguard = "no_await_again"
	// FailoverBlock: no second automatic failover follows while the block stands.
	FailoverBlock Safeguard = "no_failover_block"
	// WholeFirst: the block stands until the pair was whole for failover_block.
	WholeFirst Safeguard = "no_whole_first"
	// Vouching: a memory that may be out of date is believed only while the server that it does not name is seen.
	Vouching Safeguard = "no_vouching"
	// AgentsHeard: who has just begun to look goes on with no change of role, and changes no promise, before the agents have been heard.
	AgentsHeard Safeguard = "no_agents_heard"
	// OlderLeftOut: samples and reports to which Redis has gone back count as not there.
	OlderLeftOut Safeguard = "no_older_left_out"
	// EpochAbove: a record is rebuilt with a higher epoch than anybody remembers.
	EpochAbove Safeguard = "no_epoch_above"
	// OlderRefused: an agent obeys no record that is older than one it knows of.
	OlderRefused Safeguard = "no_older_refused"
	// HeardMemory: an agent also knows of the records that other agents remember.
	HeardMemory Safeguard = "no_heard_memory"
	// EpochFile: an agent knows the newest record after a restart.
	EpochFile Safeguard = "no_epoch_file"
	// NewerRow: an agent opens no server whose epoch row is newer than the record.
	NewerRow Safeguard = "no_newer_row"
	// Reconciling: an agent reads the record on a timer and when it hears again, not on messages alone.
	Reconciling Safeguard = "no_reconciling"
	// PassiveClosed: who is open and is not the active is closed.
	PassiveClosed Safeguard = "no_passive_closed"
	// RecordCheck: the record is read again just before a server is opened.
	RecordCheck Safeguard = "no_record_check"
	// PinnedSession: a server is opened on a session that was dialled before the record was read.
	PinnedSession Safeguard = "no_pinned_session"
	// EpochRow: a server is opened with the epoch row of the record.
	EpochRow Safeguard = "no_epoch_row"
	// EpochOnDisk: a server is opened when the agent that opens it has the epoch on disk.
	EpochOnDisk Safeguard = "no_epoch_on_disk"
	// OwnSessions: a closing ends every other session of the agents' user.
	OwnSessions Safeguard = "no_own_sessions"
	// NoteKept: that accounts are locked stays noted in Redis when the record under which they were released is another by then.
	NoteKept Safeguard = "no_note_kept"
	// FullClosing: a server that is found closed is closed in full all the same before that is a proof.
	FullClosing Safeguard = "no_full_closing"
	// ApplierReleased: a closing also ends the wait of the applying thread for an acknowledgement.
	ApplierReleased Safeguard = "no_applier_released"
	// ReleasedLast: a closing ends waits for an acknowledgement when nobody is left who could be told of a success.
	ReleasedLast Safeguard = "no_released_last"
	// ReadBack: a closing is acknowledged with what the closed server then says of itself.
	ReadBack Safeguard = "no_read_back"
	// Drain: a server counts as drained when it has applied what it received.
	Drain Safeguard = "no_drain"
	// LateArrivals: a drain waits for what arrived while the receiving thread was being stopped.
	LateArrivals Safeguard = "no_late_arrivals"
	// DiscardCheck: a drain starts no thread where that throws away what was received.
	DiscardCheck Safeguard = "no_discard_check"
	// ApplierFirst: a drain has the applying thread run before it stops the receiving one, so that never both stand.
	ApplierFirst Safeguard = "no_applier_first"
	// ApplierLetGo: a drain has applied nothing that the applying thread waits with for an acknowledgement, and lets it go.
	ApplierLetGo Safeguard = "no_applier_let_go"
	// Target: what the next active has received is recorded when the role is taken.
	Target Safeguard = "no_target"
	// RecordedTarget: a drain lasts until what was recorded is applied, whatever is there now.
	RecordedTarget Safeguard = "no_recorded_target"
	// SubsetCheck: replication is started only between servers that were compared.
	SubsetCheck Safeguard = "no_subset_check"
	// ReadSinceStop: the active is made to receive from a passive that was read since the active was seen not to.
	ReadSinceStop Safeguard = "no_read_since_stop"
	// Quarantine: a server with transactions of its own replicates nothing.
	Quarantine Safeguard = "no_quarantine"
	// LoneClosing: an active that no lease keeps open closes itself.
	LoneClosing Safeguard = "no_lone_closing"
	// GrantAwaited: leases are a proof when the refused grant has run out, too.
	GrantAwaited Safeguard = "no_grant_awaited"
	// LockAge: the lock is a proof when whoever had it before has no right left by it, which a restart hides.
	LockAge Safeguard = "no_lock_age"
	// LockMoved: an active holds the lock of the other server, not its own, from its opening on.
	LockMoved Safeguard = "no_lock_moved"
)

// Off reports whether this build leaves s out.
func Off(s Safeguard) bool { return s == off }
