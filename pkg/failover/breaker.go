package failover

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Times and numbers of the breaker, which keeps the fault of a manager's own
// network from moving many roles at once.
const (
	// SilentLife is how long the word that a pair is silent counts.
	SilentLife = 30 * time.Second
	// silentEvery is how often it is said again; silentYoung how long a pair goes on
	// to say it whose active stays away and cannot be replaced: one that was given up
	// long ago is no sign of a fault that many pairs share.
	silentEvery = 5 * time.Second
	silentYoung = 10 * time.Minute
	// silentSettles is how long a pair must have been known as silent before it
	// moves: what cuts one pair off cuts the others off within one probe.
	silentSettles = 500 * time.Millisecond
	// breakerLeast is the number of silent pairs below which nothing is held.
	breakerLeast = 3
)

// Telling is what identify is to tell Redis of its pair for the breaker.
type Telling int

// What there is to tell.
const (
	TellNothing Telling = iota
	// TellSilent: the active is silent. Before the Transition decided is made, if
	// there is one, it is to be decided anew with the answer in the View.
	TellSilent
	// TellOver: the active answers again.
	TellOver
)

// Silence is how many of the pairs that Redis knows are silent now.
type Silence struct{ Silent, Pairs int }

// trips reports whether so many pairs are silent that the servers are not the likely cause.
func (c Silence) trips() bool { return c.Silent >= max(breakerLeast, (c.Pairs+1)/2) }

// told is since when and when last Redis was told that the pair is silent; zero for never.
type told struct{ since, last time.Duration }

// silent reports whether nothing at all comes from m: no answer, and no refusal
// by which its host shows that it is there.
func (m *member) silent() bool {
	return (m.life == suspect || m.life == dead) && (m.cause == cluster.CauseConnectTimeout || m.cause.Hung())
}

// ruleUnbroken is ruleFailover, held while so many pairs are silent that it looks
// like the manager's own network. Without an answer of Redis nothing is held.
func ruleUnbroken(s *situation) (Decision, bool) {
	active := s.member(s.rec.Active)
	d, ok := ruleFailover(s)
	if !ok || d.Transition == nil || !active.silent() {
		return d, ok
	}
	if s.v.Silence == nil {
		s.tellSilent()
		return d, true
	}
	var no cluster.Reason
	count, left := *s.v.Silence, silentSettles-(s.now-s.st.told.since)
	switch {
	case count.Pairs < breakerLeast:
		return d, true
	case count.trips():
		no = why(Breaker, "%d of %d pairs are silent at the same time: this looks like this manager's own network, not like so many dead servers; no automatic failover of a silent server while so many are",
			count.Silent, count.Pairs)
	case left > 0:
		no = why(Breaker, "whether other pairs fell silent too is seen in %s", round(left))
		s.again(left)
	default:
		return d, true
	}
	if s.rec.Phase == cluster.PhaseSwitching {
		return Decision{}, false // it rolls back at its deadline
	}
	h, _ := hold(why(ActiveDead, "%s; held: %s", active.reason.Text, no.Text))
	h.Verdict.Blockers, h.Verdict.Candidate = []cluster.Reason{no}, s.p.Pair.Other(active.node)
	return h, true
}

func (s *situation) tellSilent() {
	if t := &s.st.told; t.last == 0 || s.now-t.last > SilentLife {
		t.since = s.now
	}
	s.st.told.last, s.telling = s.now, TellSilent
}

// tell says what Redis is to be told now, beside what a failover that is due asks.
// It is told already when the active is suspected, so that at the time of the first
// verdict the others are known.
func (s *situation) tell() Telling {
	active := s.member(s.rec.Active)
	switch {
	case s.telling != TellNothing || s.v.Silence != nil || !s.v.Leading || s.rec.Active == "":
	case s.rec.Phase != cluster.PhaseSteady && s.rec.Phase != cluster.PhaseSwitching:
	case active.silent():
		if s.st.told.last == 0 || s.now-s.st.told.last >= silentEvery && s.now-s.st.told.since < silentYoung {
			s.tellSilent()
		}
	case active.life == alive && s.st.told.last != 0:
		s.st.told, s.telling = told{}, TellOver
	}
	return s.telling
}
