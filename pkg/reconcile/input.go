package reconcile

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// FreshFor is how long a sample speaks for the present.
const FreshFor = 3 * time.Second

// ConfirmErrant is how long transactions must stay unknown to the active before
// they count as errant. A replica can hold a transaction for a moment before
// the source lists it: MySQL adds to gtid_executed after the event was sent.
const ConfirmErrant = 250 * time.Millisecond

// Sample is what is known of one server. Ticks order the reads of one agent:
// each beginning and each end of a read takes the next number.
type Sample struct {
	// Server is the newest answer; parts of it may be older than others, see Pos.
	Server cluster.Server
	// Cause says why the newest read was not answered; empty when it was.
	Cause cluster.Cause
	// Began and Ended are the ticks of the newest answered read of any kind; 0 when there was none.
	Began, Ended uint64
	// PosBegan and PosEnded are those of the read that brought Server.Executed.
	PosBegan, PosEnded uint64
	// At is when the newest answered read ended, on the agent's own clock.
	At time.Duration
	// Failures counts connects and reads unanswered in a row.
	Failures int
	// Lost reports that the connection ended since and the next connect has not
	// told yet what that means.
	Lost bool
}

// Answers reports whether the server answered the newest read.
func (s Sample) Answers() bool { return s.Cause == cluster.CauseNone && s.Began != 0 }

// lives reports whether the server answers, be it with a refusal to log in.
func (s Sample) lives() bool {
	return s.Answers() || s.Cause != cluster.CauseNone && !s.Cause.MayBeDead() && s.Cause != cluster.CauseUnreachable
}

// answersNow reports whether it did so recently enough to speak for the present.
func (s Sample) answersNow(now time.Duration) bool { return s.Answers() && now-s.At <= FreshFor }

// Closed reports whether the newest answer was read_only=1.
func (s Sample) Closed() bool { return s.Server.ReadOnly == cluster.Yes }

// Open reports whether the newest answer was read_only=0.
func (s Sample) Open() bool { return s.Server.ReadOnly == cluster.No }

// positionCurrent reports whether the newest read brought the position too.
func (s Sample) positionCurrent() bool { return s.Began != 0 && s.PosBegan == s.Began }

// Memory is what the agent remembers of its own doing with one server.
type Memory struct {
	// Closed, Opened, Ready and Refused are the newest orders under which this
	// agent closed, opened, drained or caught up, and refused.
	Closed, Opened, Ready, Refused cluster.Order
	// Since is the tick of the first full sample of the server's present run.
	Since uint64
	// Idle is the tick after which nothing was being written that had begun before; 0 when never
	// looked at. Lost is the newest Plan.Lost of this run.
	Idle uint64
	Lost string
	// Behind is the order under which a drain was begun and not ended.
	Behind cluster.Order
	// Queued reports that a closing order waits on an open connection; Spare
	// that there is an open connection to leave one on.
	Queued, Spare bool
	// Stopping reports that the receiving thread was told to stop and the server
	// waits for its end: what it still reads is dropped.
	Stopping bool
	// Connected reports that the working connection is open.
	Connected bool
	// Suspect and SuspectAt are Plan.Suspect and when it was first said.
	Suspect     string
	SuspectAt   time.Duration
	SuspectTick uint64
	// Errant is the newest Plan.Errant, until a Plan is Verified.
	Errant string
	// StartAfter is when replication may be started again after a start that did not hold.
	StartAfter time.Duration
	// SealAfter and MarkAfter are when sealing and writing the epoch row may be
	// tried again after they failed.
	SealAfter, MarkAfter time.Duration
	// Marked is the epoch of the newest epoch row known to be on the server.
	Marked cluster.Epoch
	// Awaited is the newest order under which this agent has seen to it that every commit
	// waits, LetGo under which none does; zero when never, and since the opposite was done.
	Awaited, LetGo cluster.Order
	// AcksAfter is when what concerns acknowledgements may be tried again after it failed.
	AcksAfter time.Duration
	// Shut is the order under which somebody else closed the open server, or ended
	// our sessions on the closed one; ShutAt is when that was found out.
	Shut   cluster.Order
	ShutAt time.Duration
}

// Leases is what is known of the leases that keep this server open; the zero
// value where it stays open without any.
type Leases struct {
	// Used reports that the server is open by leases only.
	Used bool
	// Keep reports that a lease keeps it open, and that it is not yet time to close.
	Keep bool
	// Granted is the epoch whose grant lets it be opened; 0 for none.
	Granted cluster.Epoch
	// LockOver, of the server that is to take over, reports that the lock on it is
	// this agent's and that whoever had it before can have no right left.
	LockOver bool
}

// Input is everything a decision rests on.
type Input struct {
	Self, Peer cluster.Endpoint
	// Known reports that Redis answered the newest read.
	Known bool
	// Record is the assignment in force, Legacy the predecessor's mode, which
	// counts only where there is no record.
	Record cluster.Assignment
	Legacy cluster.LegacyMode
	// Paused reports that an operator has paused the pair.
	Paused bool
	// Remembers is the newest record that this agent ever obeyed.
	Remembers cluster.Assignment
	// OrderTick is the tick at which the record or mode in force was first read.
	OrderTick uint64
	// Mine is this server's sample, Theirs the peer's.
	Mine, Theirs Sample
	Memory       Memory
	Leases       Leases
	// MyReports and PeerReports are what all agents report of the two servers, the
	// latter where the record asks for them: see ReadsPeer. ReportsTick is the tick at
	// which they were read.
	MyReports, PeerReports []cluster.Report
	ReportsTick            uint64
	// Blocking says which accounts are locked where the server is not the active.
	Blocking Blocking
	// Accounts is what is known of this server's accounts; Owned are accounts
	// that their owner has locked on the peer while that was the open active.
	Accounts Accounts
	Owned    []cluster.Account
	// Tries is how many connects must fail before a server counts as unreachable.
	Tries int
	// Now is the agent's own clock.
	Now time.Duration
	// Sets is where positions may be kept that were parsed; nil is nowhere.
	Sets *gtid.Memo
}

// ReadsPeer reports whether rec makes a decision rest on what agents report of the peer.
func ReadsPeer(rec cluster.Assignment) bool { return rec.Phase == cluster.PhaseSwitching }

func (in *Input) members() []cluster.Endpoint { return []cluster.Endpoint{in.Self, in.Peer} }

// stranger returns the first named server that is no member; empty when all are.
func (in *Input) stranger(named ...cluster.Endpoint) cluster.Endpoint {
	for _, e := range named {
		if e != "" && !slices.Contains(in.members(), e) {
			return e
		}
	}
	return ""
}
