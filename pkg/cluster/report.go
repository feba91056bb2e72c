package cluster

// Deed is what an agent says it has done for an order.
type Deed string

// What an agent reports of one node.
const (
	DeedNone        Deed = ""
	DeedOpen        Deed = "open"        // read_only=0 read back under Order
	DeedClosed      Deed = "closed"      // closed as design demands, read_only=1 read back, under Order
	DeedDrained     Deed = "drained"     // closed, IO thread stopped, everything received applied
	DeedCaughtUp    Deed = "caught up"   // closed and everything of the old active applied (switchover)
	DeedRefused     Deed = "refused"     // a switchover step was refused; Reason says why
	DeedUnreachable Deed = "unreachable" // the server could not be reached; Cause says how
	DeedQuarantine  Deed = "quarantine"  // holds transactions that the active lacks; kept out of replication
	DeedFailed      Deed = "failed"      // a step failed; Reason says which
	DeedWorking     Deed = "working"     // in the middle of it
)

// Step is one thing an agent did, with its duration in milliseconds.
type Step struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
	Err  string  `json:"err,omitempty"`
}

// Codes of an agent's notes.
const (
	NoteGrants     = "grants-missing" // the agent's account lacks a privilege that a step or the sampling needs
	NoteStateFile  = "state-file"     // the agent cannot keep its memory on disk
	NoteEpochRow   = "epoch-row"      // the epoch could not be written to the server
	NoteAcks       = "acks"           // commits could not be made to wait for the passive, or be let go
	NoteAccounts   = "accounts"       // accounts could not be locked or released
	NoteWrites     = "writes"         // the row that tells whether the active takes writes is not written, or waits
	NoteWritesFail = "writes-fail"    // the active takes no writes
	NoteDiskFull   = "disk-full"      // no room is left where the server keeps its data or binary log
	NoteMail       = "mail"           // the agent cannot send the mail that its configuration asks for
)

// Lease names the leases by which an agent keeps the active open.
type Lease string

// The leases that an active may have.
const (
	LeaseUnused Lease = ""      // the server stays open without any
	LeaseNone   Lease = "none"  // it needs one and has none
	LeaseRedis  Lease = "redis" // the grant in Redis
	LeaseLock   Lease = "lock"  // the lock on the passive
	LeaseBoth   Lease = "redis and lock"
)

// Writes is what became of the row that an agent writes on the active every second.
type Writes string

// What may become of it.
const (
	WritesUnknown  Writes = ""
	WritesTaken    Writes = "taken"
	WritesStalled  Writes = "stalled"   // one has been under way for Assignment.WriteLimitMS, and waits for nobody
	WritesDiskFull Writes = "disk full" // they fail, or stall, for want of room
)

// Fail reports whether the server takes no writes, for a reason of its own.
func (w Writes) Fail() bool { return w == WritesStalled || w == WritesDiskFull }

// Report is what one agent last did to and saw of one node. Each agent has its
// own report of each node; nobody overwrites another's.
type Report struct {
	Agent string   `json:"agent"`
	Seq   uint64   `json:"seq"` // grows with every report; a report whose Seq stands still is an agent that is away
	Node  Endpoint `json:"node"`
	// Order is the newest order that this agent has read.
	Order Order `json:"order"`
	Deed  Deed  `json:"deed,omitempty"`
	// Closed, Opened and Ready are the newest orders under which this agent saw
	// the node closed, open, and drained or caught up; zero when never.
	Closed Order `json:"closed"`
	Opened Order `json:"opened"`
	Ready  Order `json:"ready"`
	// ClosedUptimeS is the uptime in seconds that the node had when it was seen closed
	// last, where Closed is not zero; 0 when unknown.
	ClosedUptimeS int64 `json:"closed_uptime_s,omitempty"`
	// EndedUptimeS is the uptime in seconds that the node had when the agent on its host saw its process end, or when
	// it was being stopped and any agent has closed it before; 0 when it did not, or has had an answer since.
	EndedUptimeS int64 `json:"ended_uptime_s,omitempty"`
	// Stopped, where EndedUptimeS is not 0, reports that the node was being stopped: what it wrote before may still come.
	Stopped bool `json:"stopped,omitempty"`
	// Tail, of the active, is what it wrote itself and has lost, in gtid text, and the other
	// server has: it is closed, and must not be opened.
	Tail string `json:"tail,omitempty"`
	// Executed is the node's position, read after the deed (after closing, for a closed node).
	Executed string `json:"executed,omitempty"`
	// Queued reports that a closing order waits on an open connection of a hung server.
	Queued bool   `json:"queued,omitempty"`
	Cause  Cause  `json:"cause,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Errant is what the node has and the active lacks, in gtid text.
	Errant string `json:"errant,omitempty"`
	// Steps are what the agent last did to the node, under StepsOrder.
	Steps      []Step `json:"steps,omitempty"`
	StepsOrder Order  `json:"steps_order,omitzero"`
	// Locked are the accounts of the node that agents have locked and not yet released.
	Locked []Account `json:"locked,omitempty"`
	// Lease says which leases keep the node open, when it is the active, and LeaseMS
	// for how long each of them is taken, in milliseconds.
	Lease   Lease `json:"lease,omitempty"`
	LeaseMS int64 `json:"lease_ms,omitempty"`
	// LockOver, of the passive: the lock on this server is this agent's, and
	// whoever had it before can have no right left.
	LockOver bool `json:"lock_over,omitempty"`
	// Waits, of the active, is the newest order under which this agent has seen to it
	// that every commit waits for the passive's acknowledgement, and read it back; zero
	// when never, or since it has let them go.
	Waits Order `json:"waits,omitzero"`
	// Writes, of the active, says what became of the row that this agent writes there, and WritesMS
	// for how long it has been so when writes fail, in milliseconds.
	Writes   Writes `json:"writes,omitempty"`
	WritesMS int64  `json:"writes_ms,omitempty"`
	// NoRoom, of a node on the agent's own host: no room is left for its data or its binary log.
	NoRoom bool `json:"no_room,omitempty"`
	// StartsClosed is what read_only will be at the node's next start, as far as this
	// agent was told.
	StartsClosed Tri `json:"starts_closed,omitempty"`
	// Notes are things that a person should mend, such as missing grants.
	Notes []Reason `json:"notes,omitempty"`
	// Remembers is the newest assignment this agent knows, from which an empty Redis is rebuilt.
	Remembers Assignment `json:"remembers"`
}
