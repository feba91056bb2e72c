package failover

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Codes of the reasons that this package gives; the texts are for people.
const (
	Steady            = "steady"
	NotLeading        = "not-leading"
	ActiveActiveMode  = "active-active"
	NoGTID            = "no-gtid"
	Divergent         = "divergent"
	Unseen            = "unseen"
	Starting          = "starting"
	Amnesia           = "amnesia"
	NotAMember        = "not-a-member"
	NotDeath          = "not-death"
	Suspect           = "suspect"
	Contradicted      = "contradicted"
	ActiveDead        = "active-dead"
	Paused            = "paused"
	Blocked           = "failover-block"
	CandidateDown     = "candidate-down"
	NotEligible       = "not-eligible"
	Errant            = "errant"
	NotReplicating    = "not-replicating"
	ReplicationBroken = "replication-broken"
	Lagging           = "lagging"
	NoAgent           = "no-agent"
	MaxLoss           = "max-loss"
	WaitProof         = "wait-proof"
	WaitDrain         = "wait-drain"
	WaitOpen          = "wait-open"
	WaitClose         = "wait-close"
	DrainFailed       = "drain-failed"
	NobodyLeft        = "nobody-left"
	Unreadable        = "unreadable"
	SwitchRefused     = "switchover-refused"
	Grants            = "grants-missing"
	Override          = "override"
	RolledBack        = "rolled-back"
	FailbackWaits     = "fail-back-waits"
	FailbackDue       = "fail-back-due"
	FailbackLocked    = "fail-back-locked"
	PassiveOpen       = "passive-open"
	ActiveClosed      = "active-closed"
	FewMonitors       = "few-monitors"
	MonitorAway       = "monitor-away"
	StrangeMonitor    = "monitor-not-named"
	Breaker           = "breaker"
	RestartGrace      = "restart-grace"
	LostTail          = "lost-tail"
	WritesFail        = "writes-fail"
	NoRoom            = "no-room"
	NotClosable       = "not-closable"
)

// plural counts things: "1 second", "2 seconds".
func plural[N int64 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// plainly is why for what is said in most decisions.
func plainly(code, text string) cluster.Reason { return cluster.Reason{Code: code, Text: text} }

func why(code, format string, args ...any) cluster.Reason {
	return cluster.Reason{Code: code, Text: fmt.Sprintf(format, args...)}
}
