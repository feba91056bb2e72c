package status

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// AwayAfter is how long an agent's sequence number must have stood still,
// watched by us, before it is called away; agents report every second.
const AwayAfter = 2 * time.Second

// lastWord is the number of the last report of an agent that was stopped.
const lastWord = 0

type seenKey struct {
	u    cluster.UniqSign
	node cluster.Endpoint
	who  string
}

type mark struct {
	run   string
	seq   uint64
	at    time.Time // when this number was first seen
	moved bool      // it was another number before
}

// Tracker remembers sequence numbers from look to look, on our own monotonic clock.
type Tracker struct {
	views, agents map[seenKey]mark
}

// NewTracker returns a Tracker that has seen nothing yet.
func NewTracker() *Tracker {
	return &Tracker{views: map[seenKey]mark{}, agents: map[seenKey]mark{}}
}

// Look takes in one snapshot.
func (t *Tracker) Look(s cluster.Snapshot, now time.Time) {
	for node, byMonitor := range s.Observations {
		for name, o := range byMonitor {
			note(t.views, seenKey{s.UniqSign, node, name}, o.Run, o.Seq, now)
		}
	}
	for node, byAgent := range s.Reports {
		for name, r := range byAgent {
			note(t.agents, seenKey{s.UniqSign, node, name}, "", r.Seq, now)
		}
	}
}

func note(marks map[seenKey]mark, k seenKey, run string, seq uint64, now time.Time) {
	m, known := marks[k]
	if known && m.run == run && m.seq == seq {
		return
	}
	marks[k] = mark{run: run, seq: seq, at: now, moved: known}
}

// heard reports whether the agent is at work; unknown when it was not watched for long enough.
func (t *Tracker) heard(u cluster.UniqSign, node cluster.Endpoint, agent string, now time.Time) cluster.Tri {
	m, known := t.agents[seenKey{u, node, agent}]
	switch {
	case !known:
		return cluster.Unknown
	case m.seq == lastWord, now.Sub(m.at) >= AwayAfter:
		return cluster.No
	case m.moved:
		return cluster.Yes
	}
	return cluster.Unknown
}

// age gives the age of a view's record; exact is false when it is only an upper bound.
func (t *Tracker) age(s cluster.Snapshot, node cluster.Endpoint, monitor string, life time.Duration, now time.Time) (age time.Duration, exact bool) {
	if left := s.ViewLeft(node, monitor); left > 0 {
		return max(0, life-left), true
	}
	if m, known := t.views[seenKey{s.UniqSign, node, monitor}]; known && m.moved {
		return now.Sub(m.at), true
	}
	return life, false
}

// unsettled reports whether a second look would tell something that matters:
// which of several agents are at work, or whether the only one is while no
// identify is there to say so.
func (t *Tracker) unsettled(s cluster.Snapshot, now time.Time) bool {
	for node, byAgent := range s.Reports {
		if len(byAgent) < 2 && s.Verdict != nil && s.Leader.ID != "" {
			continue
		}
		for name := range byAgent {
			if t.heard(s.UniqSign, node, name, now) == cluster.Unknown {
				return true
			}
		}
	}
	return false
}
