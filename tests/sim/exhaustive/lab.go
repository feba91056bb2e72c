package exhaustive

import (
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

// Options are what is explored.
type Options struct {
	// Depth is how many events follow each other at most.
	Depth int
	// Starts are the names of those Starts from which to go; empty means all.
	Starts []string
	// Faults is how many of them are faults at most; negative means any number. A
	// fault is the death of a server, a loss of Redis, a step or a transition that
	// is held up, a transition that arrives twice, and a while that passes.
	Faults int
	// Apart: an identify may be held up between reading and deciding too.
	Apart bool
	// BackOpen: a server that died comes back open, not as its option file should say.
	BackOpen bool
	// Most is how many states are visited at most; 0 means any number.
	Most int

	// What decides and keeps, each replaceable by a broken one; nil is the real one.
	Decide     func(failover.State, failover.View, failover.Policy, time.Duration) (failover.State, failover.Decision)
	Reconcile  func(reconcile.Input) reconcile.Plan
	Wants      func(k reconcile.Kind, e cluster.Endpoint, then, now cluster.Assignment) bool
	Frozen     func(record, remembers cluster.Assignment) (cluster.Reason, bool)
	Transition func(s *redis.Store, now time.Duration, id string, token uint64, t cluster.Transition) error
	// SparesSessions: a full closing leaves the sessions of other agents alone.
	SparesSessions bool
}

func (o Options) withDefaults() Options {
	if o.Decide == nil {
		o.Decide = failover.Decide
	}
	if o.Reconcile == nil {
		o.Reconcile = reconcile.Decide
	}
	if o.Wants == nil {
		o.Wants = reconcile.Wants
	}
	if o.Frozen == nil {
		o.Frozen = reconcile.Frozen
	}
	if o.Transition == nil {
		o.Transition = Transition
	}
	return o
}

// lab keeps the parts of which worlds consist, each kind numbered, and what
// comes of each when something happens to it: every function of the deciding
// code is called once for each input.
type lab struct {
	o Options

	redis       boxes
	brains      table[string, brain]
	agents      table[agent, agent]
	servers     table[server, server]
	reports     table[string, cluster.Report]
	transitions table[string, cluster.Transition]
	texts       []string

	laters, aged, saved memo[boxPlus, uint32]
	answers             memo[boxPlus, uint32]
	emptied             memo[uint32, uint32]
	leads               memo[leadKey, led]
	sends               memo[sendKey, sent]
	reads               memo[readKey, read]
	decisions           memo[uint32, decided]
	works               memo[workKey, worked]
}

func newLab(o Options) *lab {
	return &lab{
		o: o.withDefaults(), redis: boxes{table: newTable[string, box](), records: newTable[string, cluster.Assignment]()}, brains: newTable[string, brain](),
		agents: newTable[agent, agent](), servers: newTable[server, server](),
		reports: newTable[string, cluster.Report](), transitions: newTable[string, cluster.Transition](), texts: []string{""},
		laters: memo[boxPlus, uint32]{}, aged: memo[boxPlus, uint32]{}, saved: memo[boxPlus, uint32]{}, answers: memo[boxPlus, uint32]{},
		emptied: memo[uint32, uint32]{}, leads: memo[leadKey, led]{}, sends: memo[sendKey, sent]{}, reads: memo[readKey, read]{},
		decisions: memo[uint32, decided]{}, works: memo[workKey, worked]{},
	}
}

// recordOf is the number of the record in force in a Redis.
func (l *lab) recordOf(box uint32) uint32 { return l.redis.of(box).rec }

func (l *lab) recordAt(n uint32) cluster.Assignment { return l.redis.records.of(n) }

func (l *lab) text(s string) uint32 {
	for i, t := range l.texts {
		if t == s {
			return uint32(i)
		}
	}
	l.texts = append(l.texts, strings.Clone(s))
	return uint32(len(l.texts) - 1)
}
