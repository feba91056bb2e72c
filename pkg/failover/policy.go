package failover

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// Unfenced says what is accepted when the old active cannot be proved closed.
type Unfenced string

// The policies for an old active without proof.
const (
	UnfencedAuto Unfenced = "auto" // refused or hung: at once; silent: after a waiting time
	UnfencedWait Unfenced = "wait" // never without a proof
	UnfencedRisk Unfenced = "risk" // always at once
)

// Times that no key of the configuration sets.
const (
	// StartGrace is how long a leader listens to agents before it believes that
	// nobody remembers an assignment.
	StartGrace = 2 * time.Second
	// SilentWait is the longest wait for a silent server under UnfencedAuto.
	SilentWait = 10 * time.Second
	// FenceGrace is how long agents have to say what became of the closing
	// order before a hung or silent server is counted as a risk.
	FenceGrace = 200 * time.Millisecond
	// RefusedGrace is FenceGrace for a server whose port refuses: there is
	// nobody to take the order.
	RefusedGrace = 25 * time.Millisecond
	// OpeningPatience is how long agents may fail to open a server before the role
	// goes back to the other, where that is closed and has everything.
	OpeningPatience = 5 * time.Second
	// AgentAway is the age at which an agent that reports nothing counts as away.
	AgentAway = 4 * time.Second
	// RemindEvery is how long the predecessor's agent has to carry out a message
	// before it is sent again.
	RemindEvery = 5 * time.Second
	// FailingFresh is the greatest age of a failing view that still counts
	// towards death; monitors publish one every 250 ms.
	FailingFresh = time.Second
	// ViewLate is how much later a view may be read than it was sampled, and more.
	ViewLate = 5 * time.Second
	// MaxSwitchLag is the largest replication delay, in seconds, with which a
	// switchover is begun.
	MaxSwitchLag = 10
	// WholeLag is the largest replication delay, in seconds, of a pair that
	// counts as whole: a busy one shows 1 now and then.
	WholeLag = 2
	// CaughtUpAfter is how long a pair must have been whole before its passive may
	// take over although it lacks transactions that the active had before.
	CaughtUpAfter = 5 * time.Second
	// DefaultSwitchTimeout bounds a switchover up to the decision.
	DefaultSwitchTimeout = 10 * time.Second
)

// Policy is what the configuration says about one tag.
type Policy struct {
	Pair           cluster.Pair
	Interval       time.Duration
	ConnectTimeout time.Duration
	TryTimes       int
	Unfenced       Unfenced
	// FailoverBlock is how long the pair must have been whole after an automatic
	// failover before the next; 0 means that nothing is blocked.
	FailoverBlock time.Duration
	// RestartGrace is how long a server whose process has ended, as the agent on its host saw, or that
	// was closed while it was being stopped, is waited for; 0 means not at all.
	RestartGrace time.Duration
	// MaxLoss is the largest number of transactions that may be left behind;
	// negative means any.
	MaxLoss int64
	// MaxLossAge is the longest time whose transactions may be left behind; 0 means any.
	MaxLossAge time.Duration
	// Failback says when the role returns to the primary host, FailbackAfter for
	// how long the condition must have held in every sample.
	Failback      Failback
	FailbackAfter time.Duration
	// EpochTable is schema.table of the epoch row; empty for none.
	EpochTable string
	// WriteProbe is how long a row may take to be written on the active, but for Silence where
	// that is longer; 0: none is written.
	WriteProbe time.Duration
	// Durability is what mmm.conf promises for acknowledged writes; empty means async.
	Durability cluster.Durability
	// Monitors are the names whose majority decides; empty means one, of any name.
	Monitors []string
}

// Silence is how long a server must not have answered to count as dead when
// nothing faster tells: TryTimes times ConnectTimeout.
func (p Policy) Silence() time.Duration {
	return time.Duration(max(1, p.TryTimes)) * p.ConnectTimeout
}

// writeLimit is Assignment.WriteLimitMS.
func (p Policy) writeLimit() int64 {
	if p.WriteProbe <= 0 || p.EpochTable == "" {
		return 0
	}
	return max(p.WriteProbe, p.Silence()).Milliseconds()
}

// ageOf is how old a view is of which left remains before it expires: monitors
// give it three intervals to live, and at least 3 s. It is 0 where left is not known.
func (p Policy) ageOf(left time.Duration) time.Duration {
	if left <= 0 {
		return 0
	}
	return max(0, max(3*p.Interval, 3*time.Second)-left)
}

// counts reports whether the word of monitor is asked for.
func (p *Policy) counts(monitor string) bool {
	return len(p.Monitors) == 0 || slices.Contains(p.Monitors, monitor)
}

func (p Policy) majority() int {
	if safeguard.Off(safeguard.Majority) {
		return 1
	}
	return max(1, len(p.Monitors))/2 + 1
}
