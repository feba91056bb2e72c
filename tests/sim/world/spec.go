package world

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Spec is one schedule: all that decides what happens in a world, beside the code.
type Spec struct {
	// Seed is the seed of the engine's chance: delays and the like.
	Seed   uint64
	Flavor cluster.Flavor
	// Monitors and Identifies are how many of them there are, each on a host of its own.
	Monitors, Identifies int
	// Agents is how many agents act on both servers; Local puts them on the
	// servers' hosts instead of hosts of their own.
	Agents int
	Local  bool
	// Lease, with two Local agents: each acts on its own server only, and the active
	// has leases of this length; 0 for agents that act on both.
	Lease  time.Duration `json:",omitempty"`
	Policy Policy
	// Steady: the pair has been up for long and is well; otherwise all begins
	// from nothing.
	Steady bool
	// Apart is how many rows a person has written to each server before all begins,
	// which the other one never gets by itself.
	Apart int `json:",omitempty"`
	// Forgotten, of what is not Steady: the pair has been up for long, all of it was down
	// and came back, and nobody but the servers knows who was active.
	Forgotten bool `json:",omitempty"`
	// Home: the active of a steady beginning is the primary host.
	Home bool
	// StartsOpen: the servers' option files lack read_only.
	StartsOpen bool `json:",omitempty"`
	// Recovers: relay_log_recovery of MySQL.
	Recovers bool `json:",omitempty"`
	// AutoReplicate: replication starts with the servers.
	AutoReplicate bool `json:",omitempty"`
	// Blocks: agents lock the application's account on the passive.
	Blocks bool `json:",omitempty"`
	// Clocks are those of daemons by name; others have the world's.
	Clocks map[string]engine.Clock `json:",omitempty"`
	// Heartbeat is the period of the sources' heartbeats; 1 s when zero.
	Heartbeat time.Duration `json:",omitempty"`
	// AckWait is how long a commit waits for the passive's acknowledgement where somebody
	// has set up semi-synchronous replication; 0 where nobody has.
	AckWait time.Duration `json:",omitempty"`
	// Durability is what is promised for acknowledged writes; empty means async.
	Durability cluster.Durability `json:",omitempty"`
	// WriteProbe is how long a row of the agents' may take to be written on the active, but for the silence of
	// death where that is longer; 0: none is written.
	WriteProbe time.Duration `json:",omitempty"`
	// Lasts: the world lasts until the pair does again what it promises for acknowledged writes.
	Lasts bool `json:",omitempty"`
	// Clients write every WriteEvery each.
	Clients    int
	WriteEvery time.Duration
	// Apply is how long a transaction takes to be applied at most.
	Apply time.Duration `json:",omitempty"`
	Round
	// Rounds are those that follow in the same world, each when the pair has come to
	// be well after the one before.
	Rounds []Round `json:",omitempty"`
}

// Policy is what the tag's configuration says.
type Policy struct {
	Unfenced       failover.Unfenced
	FailoverBlock  time.Duration
	MaxLoss        int64
	MaxLossAge     time.Duration `json:",omitempty"`
	Failback       failover.Failback
	FailbackAfter  time.Duration
	TryTimes       int
	ConnectTimeout time.Duration
	Interval       time.Duration
}

// Order is something that an operator does.
type Order struct {
	At   time.Duration
	Verb string
	// To is a database host's name; empty: the passive of that moment.
	To string `json:",omitempty"`
	// Durability is what AskDurability and Configure promise.
	Durability cluster.Durability `json:",omitempty"`
}

// The verbs of an Order.
const (
	Switchover    = "switchover"
	Override      = "failover"
	ForceOverride = "failover with force"
	Pause         = "pause"
	Resume        = "resume"
	Withdraw      = "withdraw"
	// AskDurability is mmmctl's verb; Configure changes mmm.conf, which every identify is
	// started anew to read.
	AskDurability = "durability"
	Configure     = "mmm.conf"
)

// Fault is one thing that goes wrong for a while.
type Fault struct {
	At, For time.Duration
	Kind    string
	// When is a phase: from At on, the fault begins with the next change of the
	// record to it, After that; empty: at At.
	When  cluster.Phase `json:",omitempty"`
	After time.Duration `json:",omitempty"`
	// On is the host or daemon that it happens to, To the other end of a link;
	// TheActive and ThePassive are the hosts of those as the round begins.
	On string `json:",omitempty"`
	To string `json:",omitempty"`
	N  int    `json:",omitempty"`
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s for %s: %s", f.At, f.For, f.Kind)
	if f.When != "" {
		s = fmt.Sprintf("%s, %s after %s, for %s: %s", f.At, f.After, f.When, f.For, f.Kind)
	}
	if f.On != "" {
		s += " " + f.On
	}
	if f.To != "" {
		s += " - " + f.To
	}
	if f.N != 0 {
		s += fmt.Sprintf(" (%d)", f.N)
	}
	return s
}

// String is the spec as JSON.
func (s Spec) String() string {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Outcome is what became of a schedule.
type Outcome struct {
	// Violation is the first broken promise; nil when all were kept.
	Violation *Violation
	// Rounds is how many were begun. All but the last of a violation were completed.
	Rounds int
	// Events is how many events there were, Took the time of the world.
	Events uint64
	Took   time.Duration
	Seen   Counters
	// Trace is what happened, when it was asked for.
	Trace string
}
