package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Decision is what Decide concludes: at most one change, and always a verdict.
type Decision struct {
	// Rule is the name of the row of Rules that applied.
	Rule string
	// Transition is the change to be made by compare-and-set; nil for none.
	Transition *cluster.Transition
	// Answer replaces the operator's request without a change of the record; nil for none.
	Answer  *cluster.Request
	Verdict cluster.Verdict
	// Tell is what Redis is to be told of the pair before anything else is done.
	Tell Telling
	// Again is when to decide anew at the latest though nothing is heard.
	Again time.Duration
}

// Rule is one row of the transition table.
type Rule struct {
	Phase cluster.Phase // empty: no record, or any
	Name  string
	When  string
	Then  string
	apply func(*situation) (Decision, bool)
}

const anyPhase cluster.Phase = ""

// Rules is the transition table; in each phase the first row that applies is taken.
func Rules() []Rule { return slices.Clone(rules) }

var rules []Rule

func init() {
	rules = []Rule{
		{anyPhase, "not-leading", "another identify holds the lease", "watch", ruleNotLeading},
		{anyPhase, "active-active", "servicemode=0", "observe and report only", ruleServiceMode},
		{anyPhase, "override", "an operator demands a failover (mmmctl failover) to a server that answers, the active is not alive", "revoked, epoch+1; without a record, or with an old one, far above all that is known", ruleOverride},
		{anyPhase, "acknowledge", "an operator acknowledges the last automatic failover (mmmctl acknowledge)", "the same, block lifted", ruleAcknowledge},
		{anyPhase, "unreadable", "the record cannot be read", "freeze, say how to mend it", ruleUnreadable},
		{anyPhase, "rebuild", "the record is missing or older than this process, an agent or a server's epoch row remembers, or another one of the same number", "freeze; then what is remembered, with one epoch more than the highest: at once what this process saw itself, else when the server that is not named is seen", ruleRebuild},
		{anyPhase, "first-start", "no record, and nobody remembers one", "both servers seen: who the newest epoch row names; else the only writable server; else whose GTIDs contain the other's; else the predecessor's mode; else application sessions; else the primary host", ruleFirstStart},
		{anyPhase, "not-a-member", "the record names a server that is not configured", "hold", ruleMembers},

		{cluster.PhaseSteady, "loss-known", "the old active of a failover is back and closed, or replicates from the new one, and has not been compared since", "steady, with what was left behind, once", ruleLossKnown},
		{cluster.PhaseSteady, "switchover", "an operator asks, both servers are well", "switching", ruleSwitchover},
		{cluster.PhaseSteady, "failover", "the active is dead, or was started anew without transactions of its own that the other has (who then need not be eligible), nothing stands in the way; of silence, and not half of the pairs, 3 at least, are silent", "revoked, epoch+1 (predecessor's agent: steady with the other, epoch+1)", ruleUnbroken},
		{cluster.PhaseSteady, "replaced", "another server is behind an address than the pair knew", "steady, told once, the passive not eligible until it is seen replicating", ruleReplaced},
		{cluster.PhaseSteady, "listen", "this process has just begun to look and found this record, to which Redis may have gone back, and an agent that reports has said nothing since", "hold: no promise of the record changes until all have been heard, for StartGrace at most", ruleListenSteady},
		{cluster.PhaseSteady, "durability", "mmm.conf, or an operator (mmmctl durability), promises otherwise for acknowledged writes", "steady, with the new one", ruleDurability},
		{cluster.PhaseSteady, "relax", "commits wait for the passive, and it acknowledges nothing: it is away, was restarted, receives nothing for 2 s, or commits wait for 2 s", "steady, the passive not eligible, and but for semisync-strict commits wait no longer", ruleRelax},
		{cluster.PhaseSteady, "wait", "semisync or semisync-strict, and no commit waits: the passive is seen replicating from the active and acknowledging, and has received all that it had when that began; who had acknowledged nothing: more than then, unless a minute has passed", "steady, commits wait for the passive", ruleAwait},
		{cluster.PhaseSteady, "eligible", "the passive is seen replicating from the active, and has received all that it had when that began; where commits wait: when an agent had just seen to that", "steady, the passive eligible", ruleEligible},
		{cluster.PhaseSteady, "ineligible", "the passive is away while the active answers", "steady, the passive no longer eligible", ruleIneligible},
		{cluster.PhaseSteady, "writes", "an agent tells that the active takes no writes (write_probe): its disk is full or stands still; the passive may take over and has room, and the active can be closed, or acknowledges nothing that the passive has not", "revoked, epoch+1", ruleWrites},
		{cluster.PhaseSteady, "whole", "the pair was whole for failover_block", "steady, block lifted", ruleWhole},
		{cluster.PhaseSteady, "fail-back", "the primary host is the passive, well, and asked for (follow: by a client of the active) in every sample of failback_after", "switching", ruleFailback},
		{cluster.PhaseSteady, "epoch-table", "epoch_table or write_probe was changed in mmm.conf", "steady, with the new one", ruleEpochTable},
		{cluster.PhaseSteady, "remind", "no agent of ours has ever reported, and the servers are not as assigned", "steady, the message again", ruleRemind},
		{cluster.PhaseSteady, "hold", "otherwise", "hold, with the reason", ruleSteady},

		{cluster.PhaseRevoked, "listen", "this process has just begun to look and found this record, to which Redis may have gone back, and an agent that reports has said nothing since", "hold, until all have been heard, for StartGrace at most", ruleListen},
		{cluster.PhaseRevoked, "promote", "the old active is closed (proof) or counted as a risk, the other has applied all it received", "opening", rulePromote},
		{cluster.PhaseRevoked, "give-back", "the other is dead or cannot apply, the old active is back, closed, and has everything (after a rebuild or an override both are seen, and the other has nothing of its own, or the epoch rows tell that it was not opened since)", "opening the old active, epoch+1", ruleGiveBack},
		{cluster.PhaseRevoked, "wait", "otherwise", "hold, with the reason", ruleRevoked},

		{cluster.PhaseOpening, "opened", "an agent read back that the active is open", "steady", ruleOpened},
		{cluster.PhaseOpening, "opening-lost", "the server to be opened died before it was, or could not be opened for 5 s (once, and not after an override), the other is closed and has everything; never after a rebuild", "revoked, epoch+1", ruleOpeningLost},
		{cluster.PhaseOpening, "wait", "otherwise", "hold, with the reason", ruleOpening},

		{cluster.PhaseSwitching, "failover", "the active died meanwhile", "revoked, epoch+1", ruleUnbroken},
		{cluster.PhaseSwitching, "listen", "this process has just begun to look and found this record, to which Redis may have gone back, and an agent that reports has said nothing since", "hold, until all have been heard, for StartGrace at most", ruleListen},
		{cluster.PhaseSwitching, "commit", "the active is closed and the other has the same GTIDs", "opening the other, epoch+1", ruleCommit},
		{cluster.PhaseSwitching, "roll-back", "refused by the server, the passive lost, or the deadline passed", "steady with the old active", ruleRollBack},
		{cluster.PhaseSwitching, "wait", "otherwise", "hold, with the reason", ruleSwitching},
	}
}

// Table prints Rules as Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| phase | rule | when | then |\n|---|---|---|---|\n")
	for _, r := range Rules() {
		phase := string(r.Phase)
		if r.Phase == anyPhase {
			phase = "any"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", phase, r.Name, r.When, r.Then)
	}
	return b.String()
}

// Decide concludes from everything known now. It changes neither st nor v; the
// returned state belongs with the next call. now is monotonic and above zero.
func Decide(st State, v View, p Policy, now time.Duration) (State, Decision) {
	s := newSituation(st, &v, &p, now)
	s.dateWhole()
	s.dateHome()
	s.dateStarts()
	for i := range rules {
		r := &rules[i]
		if r.Phase != anyPhase && r.Phase != s.rec.Phase {
			continue
		}
		d, applies := r.apply(s)
		if !applies {
			continue
		}
		d.Rule = r.Name
		d.Tell = s.tell()
		d.Again = s.wait
		d.Verdict.Leader, d.Verdict.Tag = v.Snapshot.Leader.ID, p.Pair.Tag
		d.Verdict.Held = d.Transition == nil && s.held()
		d.Verdict.Order = s.rec.Order()
		return s.st, d
	}
	return s.st, Decision{Rule: "none", Again: s.wait, Verdict: cluster.Verdict{Order: s.rec.Order(),
		Reason: why(Unreadable, "the record says phase %q, which this version does not know", s.rec.Phase)}}
}

// held reports that nobody takes writes and that it needs a change of role which
// is not made, or not yet.
func (s *situation) held() bool {
	switch {
	case !s.v.Leading || s.p.Pair.ServiceMode != cluster.ActivePassive || s.v.Snapshot.AssignmentFault != "":
		return false
	case !s.rec.Exists(), s.rec.Phase == cluster.PhaseRevoked, s.rec.Phase == cluster.PhaseOpening:
		return true
	}
	return s.member(s.rec.Active) != nil && s.member(s.rec.Active).life == dead
}

func hold(r cluster.Reason) (Decision, bool) {
	return Decision{Verdict: cluster.Verdict{Reason: r}}, true
}

// change proposes next as the new record, with the event that tells of it.
func (s *situation) change(kind string, next cluster.Assignment, r cluster.Reason, announce bool) Decision {
	next.Reason = r.Text
	if next.Actor == "" {
		next.Actor = "identify " + s.v.ID
	}
	next.EpochTable, next.WriteLimitMS = s.p.EpochTable, s.p.writeLimit()
	if next.Known == nil {
		next.Known, next.Replaced = s.rec.Known, s.rec.Replaced
	}
	s.promise(&next)
	return Decision{
		Transition: &cluster.Transition{
			Expect: s.rec.Order(), Next: next, Announce: announce && next.Active != "",
			Event: cluster.Event{Kind: kind, Tag: s.p.Pair.Tag, Assignment: next, Reason: r.Text, Actor: next.Actor},
		},
		Verdict: cluster.Verdict{Reason: r},
	}
}

func ruleNotLeading(s *situation) (Decision, bool) {
	if s.v.Leading {
		return Decision{}, false
	}
	s.st.mute = 0
	if l := s.v.Snapshot.Leader.ID; l != "" && l != s.v.ID {
		return hold(plainly(NotLeading, "identify "+l+" leads"))
	}
	return hold(why(NotLeading, "no identify leads yet"))
}

func ruleServiceMode(s *situation) (Decision, bool) {
	if s.p.Pair.ServiceMode == cluster.ActivePassive {
		return Decision{}, false
	}
	no := why(ActiveActiveMode, "servicemode=0 (active-active): observed and reported, never acted on")
	if r := s.v.Snapshot.Request; r != nil && r.State == cluster.RequestFiled {
		return s.refuse(r.Verb, r, no)
	}
	return hold(no)
}

func ruleUnreadable(s *situation) (Decision, bool) {
	if s.v.Snapshot.AssignmentFault == "" {
		return Decision{}, false
	}
	return hold(why(Unreadable, "the assignment in Redis cannot be read, nothing moves: %s", s.v.Snapshot.AssignmentFault))
}

func ruleMembers(s *situation) (Decision, bool) {
	for _, e := range []cluster.Endpoint{s.rec.Active, s.rec.Passive, s.rec.From, s.rec.To} {
		if e != "" && !s.p.Pair.Has(e) {
			return hold(why(NotAMember, "the assignment names %s, which is not one of %s and %s in mmm.conf: nothing is done; correct mmm.conf, or decide by mmmctl failover",
				e, s.p.Pair.Primary, s.p.Pair.Secondary))
		}
	}
	return Decision{}, false
}
