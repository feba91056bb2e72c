package cluster

import (
	"slices"
	"strings"
	"time"
)

// RequestState is how far an operator's request has come.
type RequestState string

// The states of a request.
const (
	RequestFiled      RequestState = "filed"
	RequestRunning    RequestState = "running"
	RequestDone       RequestState = "done"
	RequestRefused    RequestState = "refused"
	RequestRolledBack RequestState = "rolled back"
	RequestFailed     RequestState = "failed" // begun, and neither done nor rolled back
)

// Ended reports whether nothing more will happen to the request.
func (s RequestState) Ended() bool {
	switch s {
	case RequestDone, RequestRefused, RequestRolledBack, RequestFailed:
		return true
	}
	return false
}

// Request is what an operator asked for; the leading identify carries it out
// and writes State and Answer.
type Request struct {
	ID     string       `json:"id"`
	Verb   string       `json:"verb"`
	To     Endpoint     `json:"to,omitempty"`
	Actor  string       `json:"actor"`
	Reason string       `json:"reason,omitempty"`
	State  RequestState `json:"state"`
	Answer string       `json:"answer,omitempty"`
	// Force goes on although To has transactions that the active lacks, or cannot
	// apply all it received.
	Force bool `json:"force,omitempty"`
	// Durability is what a request for another durability asks for.
	Durability Durability `json:"durability,omitempty"`
	// TimeoutMS bounds a switchover from its first step to the decision; 0 means 10 s.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
}

// The verbs of a request.
const (
	VerbSwitchover = "switchover" // a planned change of role
	VerbDurability = "durability" // another promise for acknowledged writes
	VerbFailover   = "failover"   // the operator's override: open To although the active is dead and something blocks it
)

// Pause holds automatic changes of role back while it exists.
type Pause struct {
	Actor   string `json:"actor"`
	Reason  string `json:"reason,omitempty"`
	SinceMS int64  `json:"since_ms"` // unix milliseconds of Redis's clock, for people
}

// LegacyMode is the predecessor's record of who is active.
type LegacyMode struct {
	Active, Passive Endpoint
	Master          Endpoint // mysql-<U>-master, field host
}

// Leader is identify's lease as Redis holds it; empty ID when nobody leads.
type Leader struct {
	ID    string
	Token uint64
}

// Grant is the lease in Redis by which the active's agent keeps its server open.
type Grant struct {
	Node  Endpoint
	Agent string
	Epoch Epoch         // in which it was given
	TTL   time.Duration // for which it was last given
	Left  time.Duration // what was left of TTL when it was read, by Redis's clock
}

// Snapshot is everything Redis holds about one tag, read in one step.
type Snapshot struct {
	UniqSign UniqSign
	// Members, Primary, Secondary and ServiceMode are the predecessor's static keys as found.
	Members            []Endpoint
	Primary, Secondary Endpoint
	ServiceMode        string
	Assignment         Assignment
	Incarnation        string
	Leader             Leader
	// Grant is nil when there is none, and when it could not be read and is named
	// in Faults. A Redis that lost writes may lack one that its holder still counts on.
	Grant  *Grant
	Legacy LegacyMode
	Checks map[Endpoint]LegacyCheck
	// Observations by node, then by monitor. Expired records are absent.
	Observations map[Endpoint]map[string]Observation
	// Reports by node, then by agent.
	Reports map[Endpoint]map[string]Report
	Request *Request
	Pause   *Pause
	Verdict *Verdict
	// AssignmentFault says why the assignment record, which is there, could not
	// be read; then Assignment is zero although there is one.
	AssignmentFault string
	// Faults names records that could not be read (wrong type, broken JSON), for people; they are otherwise absent.
	Faults []string
	// RedisMS is Redis's clock when this was read, unix milliseconds, 0 when not
	// read. It is only ever compared with other times of Redis's clock, and for people.
	RedisMS int64
	// ViewEnds is when each observation expires, by node, then by monitor, in
	// milliseconds as RedisMS: see ViewLeft.
	ViewEnds map[Endpoint]map[string]int64
}

// ViewLeft is how long a monitor's observation of node still lives, which gives
// its age without comparing clocks; 0 when that is not known or it is over.
func (s *Snapshot) ViewLeft(node Endpoint, monitor string) time.Duration {
	return time.Duration(max(0, s.ViewEnds[node][monitor]-s.RedisMS)) * time.Millisecond
}

// Reason is a typed ground for a decision, above all for a "no". Status, log
// and mail print Text; Code is stable and for machines.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// String gives the words.
func (r Reason) String() string { return r.Text }

// Verdict is what the leading identify thinks of the pair now: its answer to
// "why" and to "what if the active died this second".
type Verdict struct {
	Leader string `json:"leader"`
	Tag    Tag    `json:"tag,omitempty"`
	Order  Order  `json:"order"`
	Reason Reason `json:"reason"`
	// Held reports that a change of role is due and cannot be made, or not yet:
	// there is no active that takes writes.
	Held bool `json:"held,omitempty"`
	// Blockers are what stands in the way of an automatic failover now; empty when it would happen.
	Blockers []Reason `json:"blockers,omitempty"`
	// Candidate is who would be opened.
	Candidate Endpoint `json:"candidate,omitempty"`
	// Notes are things a person should know that block nothing.
	Notes []Reason `json:"notes,omitempty"`
}

// Equal reports whether v and o say the same.
func (v Verdict) Equal(o Verdict) bool {
	return v.Leader == o.Leader && v.Tag == o.Tag && v.Order == o.Order && v.Reason == o.Reason && v.Held == o.Held &&
		v.Candidate == o.Candidate && slices.Equal(v.Blockers, o.Blockers) && slices.Equal(v.Notes, o.Notes)
}

// Unsaid gives those of more whose words said does not hold already.
func Unsaid(said Reason, more []Reason) []Reason {
	var rest []Reason
	for _, r := range more {
		if !strings.Contains(said.Text, r.Text) {
			rest = append(rest, r)
		}
	}
	return rest
}

// Event is one entry of the audit trail.
type Event struct {
	ID         string     `json:"id,omitempty"` // stream id, milliseconds of Redis's clock before the dash
	Kind       string     `json:"kind"`
	Tag        Tag        `json:"tag,omitempty"`
	Assignment Assignment `json:"assignment"`
	// Node is the server that it is about; empty where that is the pair.
	Node   Endpoint `json:"node,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Actor  string   `json:"actor,omitempty"`
	// Steps is the timeline of a finished change of role, milliseconds since the fault was first seen.
	Steps []Step `json:"steps,omitempty"`
}

// Transition is a proposed change of the assignment. It is carried out by one
// script, or not at all.
type Transition struct {
	// Expect is the order that must be in force; zero when there must be no record.
	Expect Order
	// Next is the whole new record; its Order must be after Expect.
	Next Assignment
	// Announce: write the predecessor's keys and publish on the topic. Only ever
	// set when Next.Active is set.
	Announce bool
	Event    Event
	// Request, when set, replaces the operator's request in the same step.
	Request *Request
}
