package status

import (
	"math"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// SchemaVersion is the version of the JSON form.
const SchemaVersion = 1

// Condition is how a tag stands, in one word.
type Condition string

// The conditions, from best to worst.
const (
	Good          Condition = "good"
	Degraded      Condition = "degraded"
	NoActive      Condition = "no active"
	UnknownTag    Condition = "unknown tag"
	Unreachable   Condition = "bus unreachable"
	Misconfigured Condition = "misconfigured"
)

// ExitCode is the exit code of the same meaning.
func (c Condition) ExitCode() int {
	switch c {
	case Good:
		return 0
	case Degraded:
		return 3
	case NoActive:
		return 4
	case UnknownTag:
		return 7
	case Unreachable:
		return 69
	case Misconfigured:
		return 78
	}
	return 1
}

func worse(a, b Condition) Condition {
	if b.ExitCode() > a.ExitCode() {
		return b
	}
	return a
}

// Report is everything one look found out.
type Report struct {
	SchemaVersion int       `json:"schema_version"`
	Time          time.Time `json:"time"`
	Condition     Condition `json:"condition"`
	ExitCode      int       `json:"exit_code"`
	// Error is set when the bus could not be reached at all.
	Error *Failure `json:"error,omitempty"`
	// Refused is set when the bus can be read and takes no writes.
	Refused *Failure `json:"refused,omitempty"`
	Tags    []Tag    `json:"tags"`
}

// Failure says why something could not be read, and what to do about it.
type Failure struct {
	Code string `json:"code"`
	// Answer is the code word with which Redis refused, such as LOADING.
	Answer  string `json:"answer,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String gives both in one line.
func (f *Failure) String() string {
	if f.Hint == "" {
		return f.Message
	}
	return f.Message + " (" + f.Hint + ")"
}

// Tag is one pair as it stands.
type Tag struct {
	Tag         cluster.Tag      `json:"tag"`
	UniqSign    cluster.UniqSign `json:"uniqsign,omitempty"`
	ServiceMode string           `json:"service_mode,omitempty"`
	Condition   Condition        `json:"condition"`
	ExitCode    int              `json:"exit_code"`
	Error       *Failure         `json:"error,omitempty"`
	Source      Source           `json:"source,omitempty"`
	Active      cluster.Endpoint `json:"active,omitempty"`
	Passive     cluster.Endpoint `json:"passive,omitempty"`
	Assignment  *Assignment      `json:"assignment,omitempty"`
	Servers     []Server         `json:"servers,omitempty"`
	Verdict     *Verdict         `json:"verdict,omitempty"`
	Pause       *Pause           `json:"pause,omitempty"`
	Request     *cluster.Request `json:"request,omitempty"`
	Daemons     *Daemons         `json:"daemons,omitempty"`
	Protection  *Protection      `json:"protection,omitempty"`
	Problems    []cluster.Reason `json:"problems,omitempty"`
	Notes       []cluster.Reason `json:"notes,omitempty"`
	Faults      []string         `json:"faults,omitempty"`

	legacy  []legacyLine
	refused *Failure // why nobody can write its records
}

// Source says from which record the roles are.
type Source string

// The sources of the roles.
const (
	FromRecord      Source = "record"
	FromPredecessor Source = "predecessor"
	FromNothing     Source = "none"
)

// Assignment is the record in force.
type Assignment struct {
	Epoch      cluster.Epoch    `json:"epoch"`
	Version    uint64           `json:"version"`
	Phase      cluster.Phase    `json:"phase"`
	Since      *time.Time       `json:"since"`
	ForSeconds *Seconds         `json:"for_seconds"`
	From       cluster.Endpoint `json:"from,omitempty"`
	To         cluster.Endpoint `json:"to,omitempty"`
	Cause      string           `json:"cause,omitempty"`
	Proof      cluster.Proof    `json:"proof,omitempty"`
	Risk       bool             `json:"risk"`
	// ClosedSince, beside Risk: the passive has been seen closed since the change of role.
	ClosedSince bool   `json:"closed_since,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Actor       string `json:"actor,omitempty"`
	Loss        string `json:"loss,omitempty"`
	// Left is what of it is known, in gtid text; Estimated: there may be more, the old
	// active has not been compared since.
	Left      string             `json:"left,omitempty"`
	Estimated bool               `json:"loss_estimated,omitempty"`
	Eligible  []cluster.Endpoint `json:"eligible,omitempty"`
	Blocked   bool               `json:"blocked"`
}

// Seconds is a duration as JSON has it, with milliseconds.
type Seconds float64

func secondsOf(d time.Duration) *Seconds {
	s := Seconds(math.Round(d.Seconds()*1000) / 1000)
	return &s
}

func (s *Seconds) duration() time.Duration { return time.Duration(float64(*s) * float64(time.Second)) }

// State is what is known of a server now.
type State string

// The states of a server.
const (
	Alive      State = "alive"      // the last sample was answered
	Down       State = "down"       // it was not, in a way that a dead server shows
	Unreadable State = "unreadable" // a server is there, but it did not let the monitor sample it
	Unseen     State = "unseen"     // nobody has sampled it lately
)

// Server is one server of the pair.
type Server struct {
	Node          cluster.Endpoint `json:"node"`
	Role          string           `json:"role"`
	State         State            `json:"state"`
	Cause         cluster.Cause    `json:"cause,omitempty"`
	Error         string           `json:"error,omitempty"`
	SilentSeconds *Seconds         `json:"silent_seconds,omitempty"`
	ReadOnly      *bool            `json:"read_only"`
	SuperReadOnly *bool            `json:"super_read_only"`
	// ReadOnlyBy is "agent" where an agent's newer word replaces the last sample's.
	ReadOnlyBy    string         `json:"read_only_by,omitempty"`
	Flavor        cluster.Flavor `json:"flavor,omitempty"`
	Version       string         `json:"version,omitempty"`
	UptimeSeconds *int64         `json:"uptime_seconds,omitempty"`
	Sessions      *int           `json:"sessions"`
	// SharedSessions is how many of Sessions are an application's only perhaps.
	SharedSessions int          `json:"shared_sessions,omitempty"`
	Users          []string     `json:"users,omitempty"`
	SampleAge      *Seconds     `json:"sample_age_seconds"`
	SampleAtMost   *Seconds     `json:"sample_age_at_most_seconds,omitempty"`
	Replication    *Replication `json:"replication,omitempty"`
	Executed       string       `json:"executed,omitempty"`
	// EpochRow is the row by which the server remembers the last opening.
	EpochRow *cluster.Mark `json:"epoch_row,omitempty"`
	// Locked are the accounts that agents have locked.
	Locked   []cluster.Account `json:"locked,omitempty"`
	Monitors []MonitorView     `json:"monitors,omitempty"`
	Agents   []AgentView       `json:"agents,omitempty"`

	// fullAge is the age of the last sample that read everything.
	fullAge time.Duration
}

// Replication is a server's channel in a DBA's terms.
type Replication struct {
	Source   cluster.Endpoint `json:"source,omitempty"`
	IO       cluster.Thread   `json:"io,omitempty"`
	SQL      cluster.Thread   `json:"sql,omitempty"`
	GTID     bool             `json:"gtid"`
	Delay    *int64           `json:"delay_seconds"`
	Received string           `json:"received,omitempty"`
	// Text says the same in words.
	Text string `json:"text"`
}

// MonitorView is what one monitor has of a server.
type MonitorView struct {
	Name     string        `json:"name"`
	Answered bool          `json:"answered"`
	Cause    cluster.Cause `json:"cause,omitempty"`
	Age      *Seconds      `json:"age_seconds"`
}

// AgentView is what one agent says of a server.
type AgentView struct {
	Name   string       `json:"name"`
	Heard  *bool        `json:"heard"`
	Order  string       `json:"order"`
	Deed   cluster.Deed `json:"deed,omitempty"`
	Reason string       `json:"reason,omitempty"`
	Errant string       `json:"errant,omitempty"`
	// Notes are what a person should mend for it.
	Notes []cluster.Reason `json:"notes,omitempty"`

	stopped bool // what it reports is its last word
}

// Verdict is what the leading identify last said.
type Verdict struct {
	Leader string         `json:"leader"`
	Order  string         `json:"order"`
	Reason cluster.Reason `json:"reason"`
	// Held reports that nobody takes writes and that a change of role is due and is not made, or not yet.
	Held bool `json:"held"`
	// WayOut are sentences that say what ends the hold.
	WayOut []string `json:"way_out,omitempty"`
	// WouldFailOver reports whether an automatic failover would happen if the active died now.
	WouldFailOver bool             `json:"would_fail_over"`
	Candidate     cluster.Endpoint `json:"candidate,omitempty"`
	Blockers      []cluster.Reason `json:"blockers,omitempty"`
	Notes         []cluster.Reason `json:"notes,omitempty"`
}

// Pause is an operator's order to leave the roles where they are.
type Pause struct {
	Actor      string     `json:"actor"`
	Reason     string     `json:"reason,omitempty"`
	Since      *time.Time `json:"since"`
	ForSeconds *Seconds   `json:"for_seconds"`
}

// Daemons names who is seen at work.
type Daemons struct {
	Identify string   `json:"identify,omitempty"`
	Monitors []string `json:"monitors,omitempty"`
	Agents   []string `json:"agents,omitempty"`
}

// Protection is what an acknowledged write may rely on.
type Protection struct {
	// Line says in one line what protects the pair now, Missing what is lacking for
	// an automatic failover.
	Line       string             `json:"line"`
	Missing    []string           `json:"missing,omitempty"`
	Durability cluster.Durability `json:"durability"`
	// Waits: commits wait for the passive; Acknowledged: it has all that was acknowledged.
	Waits         bool     `json:"waits,omitempty"`
	Acknowledged  bool     `json:"acknowledged,omitempty"`
	Unfenced      string   `json:"unfenced,omitempty"`
	MaxLoss       string   `json:"max_loss,omitempty"`
	FailoverBlock *Seconds `json:"failover_block_seconds,omitempty"`
	Failback      string   `json:"failback,omitempty"`
	FailbackAfter *Seconds `json:"failback_after_seconds,omitempty"`
	Text          []string `json:"text"`
}
