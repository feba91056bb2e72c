package cluster

import (
	"maps"
	"slices"
	"strings"
)

// Phase is where a pair stands between two assignments.
type Phase string

// The phases of an assignment.
const (
	// PhaseSteady: Active is to be open, Passive closed and replicating from it.
	PhaseSteady Phase = "steady"
	// PhaseRevoked: a failover is under way. Nobody may be open: From is to be
	// closed, To drained. Active and Passive are empty.
	PhaseRevoked Phase = "revoked"
	// PhaseOpening: Active is to be opened once it has applied Target.
	PhaseOpening Phase = "opening"
	// PhaseSwitching: a planned switchover is under way. From (still Active) is
	// to be closed without killing what writes, To to catch up; nobody opens.
	PhaseSwitching Phase = "switching"
)

// Proof names how it is known that the old active takes no more writes, as it
// stands on the wire; Words gives what people read.
type Proof string

// Proofs, and what stands in their place.
const (
	ProofNone   Proof = ""
	ProofFenced Proof = "fence acknowledged"
	ProofGone   Proof = "no server was open before"
	// ProofLease: the old active held leases only, and the last of them has run out.
	ProofLease Proof = "lease over"
	// ProofAcks: commits on the old active wait for an acknowledgement that nobody
	// gives any more: it may be open, and tells no client of a success, unless it is one of
	// MySQL and is stopped in order (which tells those who wait of a success, 9.7).
	ProofAcks Proof = "acknowledgements over"
	// ProofEnded: the agent on the old active's host has seen its process end, or any agent has closed it while it was
	// being stopped; nobody has had an answer of it since, and the server is known to start with read_only=1.
	ProofEnded Proof = "process ended"
	// ProofOperator: an operator did without a proof. Readers of the bus know it by this text.
	ProofOperator Proof = "operator's override"
	// ProofLegacy: the pair has the predecessor's agent, which acknowledges nothing.
	ProofLegacy Proof = "none (predecessor's agent)"
	// The risks: less than a proof, accepted by the policy unfenced.
	RiskRefused     Proof = "risk: its port refused connections"
	RiskEnded       Proof = "risk: its process ended, and nobody knows whether it starts closed"
	RiskHung        Proof = "risk: it hung, the closing order is queued"
	RiskHungUnasked Proof = "risk: it hung, and no closing order could be left with it"
	RiskSilent      Proof = "risk: it was silent and its replica received nothing"
	RiskUnseen      Proof = "risk: the other server was not seen"
	RiskBothOpen    Proof = "risk: both servers were writable, the other is being closed"
	RiskWaited      Proof = "risk: it was silent for the waiting time"
)

// IsRisk reports whether p is less than a proof.
func (p Proof) IsRisk() bool {
	return p == ProofLegacy || p == ProofOperator || strings.HasPrefix(string(p), "risk:")
}

// Words says for people what p is; empty for ProofNone.
func (p Proof) Words() string {
	switch p {
	case ProofOperator:
		return "no proof that the old active is closed: decided by an operator's override"
	case ProofGone:
		return "no other server was open before"
	case ProofLease:
		return "the old active's leases are over, so that it has closed itself"
	case ProofEnded:
		return "the old active's process has ended, or was closed when it was being stopped, as an agent saw, and it starts closed"
	case ProofAcks:
		return "commits on the old active wait for a server that receives nothing from it any more, so that it acknowledges none"
	}
	return string(p)
}

// Causes of an assignment that was planned: the old active was alive.
const (
	CauseSwitchover = "switchover" // an operator asked for it
	CauseFailback   = "fail-back"  // the role returns to the primary host
	// CauseOverride and CauseForced: an operator demanded it of a pair that was held.
	CauseOverride = "operator's override"
	CauseForced   = CauseOverride + ", forced"
)

// CauseDeath begins the cause of an automatic failover.
const CauseDeath = "failover: "

// CauseTail is the cause of a failover from an active that has lost transactions of its own in a crash.
const CauseTail = CauseDeath + "it lost transactions that the other has"

// Causes of a failover from an active that answers and takes no writes, as its agent saw.
const (
	CauseWritesStalled  = CauseDeath + "its writes stall"
	CauseWritesDiskFull = CauseDeath + "its disk is full"
)

// CauseFailover is the cause of an assignment by which the role was taken from a server that
// is dead by c.
func CauseFailover(c Cause) string { return CauseDeath + string(c) }

// Durability is the promise made for acknowledged writes.
type Durability string

// The durabilities.
const (
	// Async: a failover may lose what the passive never received; it is told.
	Async Durability = "async"
	// SemiSync: an automatic failover loses no acknowledged write; with the passive
	// away writes go on, and nothing fails over to it.
	SemiSync Durability = "semisync"
	// SemiSyncStrict: no write is acknowledged that the passive has not received.
	SemiSyncStrict Durability = "semisync-strict"
)

// Acknowledged reports whether d has commits wait for the passive, at least while it is there.
func (d Durability) Acknowledged() bool { return d == SemiSync || d == SemiSyncStrict }

// Assignment is the published decision of one tag: the one record that is the
// truth about who is active. A zero Epoch means there is none.
type Assignment struct {
	Epoch   Epoch  `json:"epoch"`
	Version uint64 `json:"version"`
	Phase   Phase  `json:"phase"`
	// Active and Passive are empty while revoked.
	Active  Endpoint `json:"active,omitempty"`
	Passive Endpoint `json:"passive,omitempty"`
	// From and To are the servers between which the role moves or last moved.
	From Endpoint `json:"from,omitempty"`
	To   Endpoint `json:"to,omitempty"`
	// Target is the position, in gtid text, that To must have applied before it is opened.
	Target string `json:"target,omitempty"`
	// Eligible are the servers seen replicating from the active in this epoch:
	// only they are opened automatically.
	Eligible []Endpoint `json:"eligible,omitempty"`
	// Durability is the promise in force, Configured what mmm.conf said when that
	// was last taken over: the last change of either wins.
	Durability Durability `json:"durability,omitempty"`
	Configured Durability `json:"durability_conf,omitempty"`
	// Waits: commits on the active wait for the passive's acknowledgement. While it
	// stands no agent lets them go; of a revoked record it says so of From.
	Waits bool `json:"waits,omitempty"`
	// Blocked: the last change of role was an automatic failover and the pair
	// has not been whole since.
	Blocked bool `json:"blocked,omitempty"`
	// SinceMS is when the record was written, unix milliseconds of Redis's clock; for people only.
	SinceMS int64  `json:"since_ms,omitempty"`
	Cause   string `json:"cause,omitempty"`
	Proof   Proof  `json:"proof,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Actor   string `json:"actor,omitempty"`
	// Loss says what the new active did not receive and in which epoch that was,
	// in words; empty when nothing is known to be missing, and once the server that
	// held it has been made whole.
	Loss string `json:"loss,omitempty"`
	// Left is what is known of that, in gtid text, and Estimated that From has not been
	// compared since: it may hold more.
	Left      string `json:"left,omitempty"`
	Estimated bool   `json:"estimated,omitempty"`
	// EpochTable is the replicated table, schema.table, in which the active
	// remembers its epoch before it is opened; empty for none.
	EpochTable string `json:"epoch_table,omitempty"`
	// WriteLimitMS is how long, in milliseconds, a row that an agent writes beside that may be under
	// way before it is told that the active takes no writes; 0: none is written.
	WriteLimitMS int64 `json:"write_limit_ms,omitempty"`
	// LeaseMS is, while revoked, how long the old active may stay open by leases of
	// its own, in milliseconds counted from the revocation; 0 when none was in force.
	LeaseMS int64 `json:"lease_ms,omitempty"`
	// Known is who was behind each address when it was last seen whole: Server.Who.
	Known map[Endpoint]string `json:"known,omitempty"`
	// Replaced is who was told of as another server behind an address than Known says.
	Replaced map[Endpoint]string `json:"replaced,omitempty"`
}

// Order names this state of the record.
func (a Assignment) Order() Order { return Order{a.Epoch, a.Version} }

// Exists reports whether there is a record.
func (a Assignment) Exists() bool { return a.Epoch != 0 }

// Planned reports whether the old active was alive and asked when the role moved.
func (a Assignment) Planned() bool { return a.Cause == CauseSwitchover || a.Cause == CauseFailback }

// Same reports whether a and b say the same.
func (a Assignment) Same(b Assignment) bool {
	return a.Order() == b.Order() && a.SameRoles(b) && a.Target == b.Target && slices.Equal(a.Eligible, b.Eligible) &&
		a.Durability == b.Durability && a.Configured == b.Configured && a.Waits == b.Waits && a.Blocked == b.Blocked && a.SinceMS == b.SinceMS && a.Cause == b.Cause &&
		a.Proof == b.Proof && a.Reason == b.Reason && a.Actor == b.Actor && a.Loss == b.Loss && a.Left == b.Left && a.Estimated == b.Estimated &&
		a.EpochTable == b.EpochTable && a.WriteLimitMS == b.WriteLimitMS && a.LeaseMS == b.LeaseMS && maps.Equal(a.Known, b.Known) && maps.Equal(a.Replaced, b.Replaced)
}

// SameRoles reports whether a and b give the servers the same roles in the same phase.
func (a Assignment) SameRoles(b Assignment) bool {
	return a.Phase == b.Phase && a.Active == b.Active && a.Passive == b.Passive && a.From == b.From && a.To == b.To
}

// Forced reports whether an operator goes on although not all can be applied.
func (a Assignment) Forced() bool { return a.Cause == CauseForced }

// IsEligible reports whether e is listed as eligible.
func (a Assignment) IsEligible(e Endpoint) bool { return slices.Contains(a.Eligible, e) }

// Clone returns a copy that shares nothing with a.
func (a Assignment) Clone() Assignment {
	a.Eligible, a.Known, a.Replaced = slices.Clone(a.Eligible), maps.Clone(a.Known), maps.Clone(a.Replaced)
	return a
}
