package failover

import (
	"fmt"
	"slices"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// causeRebuilt is the cause of a record rebuilt from memory. What happened in the
// epoch that was remembered is not known to the end.
const causeRebuilt = "Redis lost the assignment"

// memory is the newest assignment that anybody but Redis remembers.
type memory struct {
	record cluster.Assignment
	// own: this process saw it in force and has led since, so that nobody can know
	// better; an agent's file, a server's row and what was seen under another leader
	// may be older than another's.
	own  bool
	mark bool // it is a server's row
}

// contradicts reports whether a is another record of the same number.
func (s *situation) contradicts(a *cluster.Assignment) bool {
	return a.Order() == s.rec.Order() && (a.Phase != s.rec.Phase || a.Active != s.rec.Active || a.From != s.rec.From || a.To != s.rec.To)
}

// remembered is what this process, the agents and the servers' rows remember.
func (s *situation) remembered() memory {
	best := memory{record: s.st.remember, own: s.v.Leading && s.st.inForce >= s.st.alone}
	for _, node := range s.p.Pair.Members() {
		reports := s.v.Snapshot.Reports[node]
		for _, agent := range s.st.reports.of(node) {
			a := reports[agent.voice.name].Remembers
			if sound(&a) && (best.record.Order().Before(a.Order()) || best.record.Order() == s.rec.Order() && s.contradicts(&a)) {
				best = memory{record: a}
			}
		}
	}
	mark := s.newestMark()
	opened := mark.Epoch == best.record.Epoch && mark.Active == heir(best.record) && best.record.Phase == cluster.PhaseRevoked
	if mark.Epoch > best.record.Epoch || opened && !best.own {
		version := best.record.Version
		if !opened {
			version = 0
		}
		best = memory{mark: true, record: cluster.Assignment{Epoch: mark.Epoch, Version: version, Phase: cluster.PhaseSteady,
			Active: mark.Active, Passive: s.p.Pair.Other(mark.Active), From: s.p.Pair.Other(mark.Active), To: mark.Active}}
	}
	return best
}

// sound reports whether a is a record as identify writes it.
func sound(a *cluster.Assignment) bool {
	if !a.Exists() || !a.Epoch.Credible() || a.Version > uint64(cluster.MaxEpoch/2) {
		return false
	}
	switch a.Phase {
	case cluster.PhaseRevoked:
		return a.Active == "" && a.From != "" && a.To != "" && a.From != a.To
	case cluster.PhaseSteady, cluster.PhaseOpening, cluster.PhaseSwitching:
		return a.Active != "" && a.Active != a.Passive
	}
	return false
}

// newestMark is the newest epoch row of any server that a sample is known of.
func (s *situation) newestMark() cluster.Mark {
	var newest cluster.Mark
	for _, node := range s.p.Pair.Members() {
		if m := s.member(node).server.Mark; s.member(node).known && m.Epoch.Credible() && m.Epoch > newest.Epoch {
			newest = m
		}
	}
	return newest
}

// highestEpoch is the highest epoch that Redis or anybody remembers.
func (s *situation) highestEpoch() cluster.Epoch {
	return max(s.rec.Epoch, s.remembered().record.Epoch)
}

// heir is who is to be active by what a names: its active, or who was about to be.
func heir(a cluster.Assignment) cluster.Endpoint {
	if a.Active != "" {
		return a.Active
	}
	return a.To
}

// vouched reports whether a memory that may be out of date can be believed: when
// the server that it does not name answers, and no row speaks against it. What we
// remember ourselves is believed, once it is seen whether it was carried out.
func (s *situation) vouched(best memory) (cluster.Reason, bool) {
	named := s.member(heir(best.record))
	other := s.member(s.p.Pair.Other(named.node))
	if best.own && best.record.Phase == cluster.PhaseOpening && named.life == unseen {
		return why(Amnesia, "%s was about to be opened in epoch %d, and may have been: %s", named.node, best.record.Epoch, orUnseen(named)), false
	}
	if best.own || safeguard.Off(safeguard.Vouching) {
		return cluster.Reason{}, true
	}
	if other.life != alive {
		return why(Amnesia, "%s is not seen and may remember a newer epoch than %d: it is waited for, or a person decides (mmmctl failover): %s",
			other.node, best.record.Epoch, orUnseen(other)), false
	}
	if p := best.record.Phase; named.life != alive && (p == cluster.PhaseRevoked || p == cluster.PhaseOpening) {
		return why(Amnesia, "%s was about to be opened in epoch %d, and may have been; it is waited for, or a person decides (mmmctl failover): %s",
			named.node, best.record.Epoch, orUnseen(named)), false
	}
	if !best.mark {
		return cluster.Reason{}, true
	}
	return s.undisputed(cluster.Mark{Epoch: best.record.Epoch, Active: named.node}, named, other)
}

// undisputed reports whether the servers themselves agree with the newest row,
// which names one of them: what is to be seen of them must not tell another story.
func (s *situation) undisputed(mark cluster.Mark, named, other *member) (cluster.Reason, bool) {
	if no, ok := s.unreadable(named, other); !ok {
		return no, false
	}
	if named.life != alive {
		return cluster.Reason{}, true // it is named, and waited for
	}
	if named.server.Mark.Epoch < mark.Epoch {
		return why(Divergent, "the epoch row of %s says that %s was opened in epoch %d, and %s has no such row: it has lost transactions, a person must decide (mmmctl failover)",
			other.node, named.node, mark.Epoch, named.node), false
	}
	if other.server.ReadOnly == cluster.No && other.use() != unused && named.server.ReadOnly != cluster.No {
		return why(Divergent, "the newest epoch row names %s (epoch %d), and %s is writable and %s: a person must decide (mmmctl failover)",
			named.node, mark.Epoch, other.node, other.usage()), false
	}
	lacks := other.executed.Minus(named.executed)
	if named.server.ReadOnly == cluster.No {
		lacks = s.errant(named, other) // its sample may be older than the other's
	}
	if other.server.Mark.Epoch == mark.Epoch && !lacks.IsEmpty() {
		return why(Divergent, "the epoch rows name %s (epoch %d), and %s has what it lacks: %s; a person must decide (mmmctl failover)",
			named.node, mark.Epoch, other.node, short(lacks.String())), false
	}
	return cluster.Reason{}, true
}

// outdatedBy reports whether best is newer than the record, or another one of
// the same number.
func (s *situation) outdatedBy(best memory) bool {
	if !best.record.Exists() || best.mark && !s.rec.Exists() && !s.anyRecord() {
		return false
	}
	return s.rec.Order().Before(best.record.Order()) || s.contradicts(&best.record)
}

// adrift reports whether the record is known to be outdated, and what is
// remembered is not believed: the record then says nothing of who is active.
func (s *situation) adrift() bool {
	best := s.remembered()
	if !s.outdatedBy(best) {
		return false
	}
	if s.stranger(best.record) != "" {
		return true
	}
	_, ok := s.vouched(best)
	return !ok
}

// stranger is a server that a names and that is no member; empty when all are.
func (s *situation) stranger(a cluster.Assignment) cluster.Endpoint {
	for _, e := range []cluster.Endpoint{a.Active, a.Passive, a.From, a.To} {
		if e != "" && !s.p.Pair.Has(e) {
			return e
		}
	}
	return ""
}

func ruleRebuild(s *situation) (Decision, bool) {
	best := s.remembered()
	if !s.outdatedBy(best) {
		s.st.lostSince = 0
		return Decision{}, false
	}
	if s.st.lostSince == 0 {
		s.st.lostSince = s.now
	}
	who := "a daemon remembers " + best.record.Order().String()
	if best.mark {
		who = fmt.Sprintf("the epoch row of a server names %s for epoch %d", best.record.Active, best.record.Epoch)
	}
	// In an empty Redis nobody is heard before its monitor has published the pair.
	if s.st.seenSince == 0 {
		return hold(why(Amnesia, "Redis has %s, %s: nothing moves before a monitor has published a sample of the pair", describe(s.rec), who))
	}
	// Who did not lead looked at nothing of this in between.
	if waited := s.now - max(s.st.lostSince, s.st.seenSince, s.st.ledSince); waited < StartGrace {
		s.again(StartGrace - waited)
		return hold(why(Amnesia, "Redis has %s, %s: nothing moves while the others are heard", describe(s.rec), who))
	}
	if e := s.stranger(best.record); e != "" {
		return hold(why(NotAMember, "Redis has %s, %s, and %s is not a member: correct mmm.conf, or decide by mmmctl failover", describe(s.rec), who, e))
	}
	if no, ok := s.vouched(best); !ok {
		return hold(why(no.Code, "Redis has %s, %s: nothing moves: %s", describe(s.rec), who, no.Text))
	}
	lost := best.record
	if s.contradicts(&lost) && s.carriedOut(heir(lost)) {
		lost = s.rec
		who += " otherwise, and " + string(lost.Active) + " is open"
	}
	next := lost.Clone()
	next.Epoch, next.Version = max(s.rec.Epoch, best.record.Epoch)+1, 1
	if safeguard.Off(safeguard.EpochAbove) {
		next.Epoch--
	}
	if next.Phase != cluster.PhaseRevoked || next.Cause != cluster.CauseOverride && next.Cause != cluster.CauseForced {
		next.Cause, next.Actor = causeRebuilt, "" // an override that is under way stays one
	}
	switch {
	case next.Phase == cluster.PhaseSwitching:
		next.Phase = cluster.PhaseSteady
	case next.Phase == cluster.PhaseOpening && !s.hasOpened(lost):
		// Who was closed then may have been opened since: it is closed again first.
		next.Phase, next.From, next.To = cluster.PhaseRevoked, next.Passive, next.Active
		next.Active, next.Passive, next.Proof, next.Waits = "", "", cluster.ProofNone, false
	case next.Phase == cluster.PhaseRevoked:
		next.Waits = false // the old active may have been opened since, and wait for nobody
	}
	if !best.own {
		next.Eligible = nil // of that epoch, and perhaps long ago
	}
	switch {
	case next.Active != "" && s.isOpen(next.Passive):
		next.Proof = cluster.RiskBothOpen
	case best.mark:
		next.Proof = cluster.ProofGone
	}
	s.st.marks = nil
	return s.change("rebuilt", next, why(Amnesia, "Redis had %s; rebuilt, since %s", describe(s.rec), who), true), true
}

// ruleListen holds a change of role that this process found under way: the record and the
// reports may be of before, in a Redis that lost its last writes. Whoever saw what came after
// says so in its next report. Who has looked all the while remembers it himself.
func ruleListen(s *situation) (Decision, bool) {
	agent := s.unheard()
	if agent == "" {
		return Decision{}, false
	}
	return hold(why(Amnesia, "Redis has %s, to which it may have gone back: nothing moves before agent %s is heard, for %s at most",
		describe(s.rec), agent, StartGrace))
}

// ruleListenSteady changes no promise of a record that this process has just found.
func ruleListenSteady(s *situation) (Decision, bool) {
	if s.unheard() == "" {
		return Decision{}, false
	}
	return ruleSteady(s)
}

// unheard is an agent that has said nothing since this process found the record, and is
// waited for; nobody when the record is another by now.
func (s *situation) unheard() string {
	left := StartGrace - (s.now - s.st.foundAt)
	i := slices.IndexFunc(s.st.reports, func(r row[heard]) bool { return r.value.seq > 0 && r.value.at <= s.st.foundAt })
	if left <= 0 || i < 0 || s.rec.Order() != s.st.found || safeguard.Off(safeguard.AgentsHeard) {
		return ""
	}
	s.again(left)
	return s.st.reports[i].voice.name
}

// carriedOut reports whether the servers are as the record says, and not as one
// does that names other.
func (s *situation) carriedOut(other cluster.Endpoint) bool {
	is, not := s.member(s.rec.Active), s.member(other)
	return s.rec.Active != "" && s.rec.Active != other && is.life == alive && is.server.ReadOnly == cluster.No &&
		not.life == alive && not.server.ReadOnly == cluster.Yes
}

// hasOpened reports whether the server that a names was opened by it: what it holds
// alone since then is no errant transaction. Of an opening that was rebuilt as one that
// was known already.
func (s *situation) hasOpened(a cluster.Assignment) bool {
	if a.Cause == causeRebuilt && a.Version == 1 {
		return true
	}
	is := s.member(a.Active)
	row := is.server.Mark
	_, reported := is.report(func(r cluster.Report) bool { return r.Opened.Epoch == a.Epoch })
	return reported || row.Epoch == a.Epoch && row.Active == is.node ||
		is.life == alive && is.server.ReadOnly == cluster.No && !s.isOpen(a.Passive)
}

// isOpen reports whether e is seen to take writes.
func (s *situation) isOpen(e cluster.Endpoint) bool {
	return s.member(e).life == alive && s.member(e).server.ReadOnly == cluster.No
}

// anyRecord reports whether anybody remembers a whole record.
func (s *situation) anyRecord() bool {
	return s.st.remember.Exists() || slices.ContainsFunc(s.p.Pair.Members(), func(e cluster.Endpoint) bool {
		for _, r := range s.v.Snapshot.Reports[e] {
			if sound(&r.Remembers) {
				return true
			}
		}
		return false
	})
}

func describe(a cluster.Assignment) string {
	if !a.Exists() {
		return "no assignment"
	}
	return "the assignment " + a.Order().String()
}
