package failover

import (
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// WayOut says what ends the hold of snap's verdict, in sentences for people: the
// server that has to return, and the command by which an operator does without
// it. It is empty where nothing is held.
func WayOut(tag cluster.Tag, snap cluster.Snapshot) []string {
	if snap.Verdict == nil || !snap.Verdict.Held {
		return nil
	}
	w := wayOut{tag: tag, snap: snap, codes: map[string]bool{snap.Verdict.Reason.Code: true}}
	for _, b := range snap.Verdict.Blockers {
		w.codes[b.Code] = true
	}
	if w.codes[Paused] {
		w.say("mmmctl resume --tag %s ends the pause.", tag)
	}
	if w.codes[Blocked] {
		w.say("%s lifts the block, by a person who has looked at the last failover.", AcknowledgeCommand(tag))
	}
	if w.codes[Breaker] {
		w.say("It goes on by itself when fewer pairs are silent: look at this manager's own network first.")
	}
	switch a := snap.Assignment; a.Phase {
	case cluster.PhaseSteady, cluster.PhaseSwitching:
		w.ofDeadActive(a.Active, a.Passive)
	case cluster.PhaseRevoked:
		w.ofRevoked(a.From, a.To)
	case cluster.PhaseOpening:
		if !w.answers(a.Active) {
			w.say("Bring %s back: it was about to be opened, and then is.", a.Active)
		}
		w.override(a.Active, a.Passive)
	default:
		w.ofNoRecord()
	}
	return w.lines
}

type wayOut struct {
	tag   cluster.Tag
	snap  cluster.Snapshot
	codes map[string]bool // of the reason and of what blocks
	lines []string
}

func (w *wayOut) say(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *wayOut) answers(node cluster.Endpoint) bool {
	for _, o := range w.snap.Observations[node] {
		if o.Answered() {
			return true
		}
	}
	return len(w.snap.Observations) == 0 && w.snap.Checks[node].Ping // the predecessor's monitor
}

func (w *wayOut) ofDeadActive(active, other cluster.Endpoint) {
	onlyDown := w.snap.Assignment.IsEligible(other) && w.codes[CandidateDown]
	for _, b := range w.snap.Verdict.Blockers {
		onlyDown = onlyDown && b.Code == CandidateDown
	}
	switch {
	case onlyDown:
		w.say("Bring %s back, which goes on as the active, or %s, which takes over.", active, other)
	case w.answers(other):
		w.say("Bring %s back: it was active last and goes on by itself.", active)
	default:
		w.say("Bring %s back: it was active last and goes on by itself. %s alone does not help.", active, other)
	}
	w.override(active, other)
}

func (w *wayOut) ofRevoked(from, to cluster.Endpoint) {
	switch {
	case w.answers(to) && (w.answers(from) || w.codes[WaitDrain] || w.codes[NoAgent]):
	case w.answers(to):
		w.say("Bring %s back: it is closed and compared, and the change goes on by itself.", from)
	case w.snap.Assignment.Cause == causeRebuilt:
		w.say("Bring %s back: it may have been open last. %s alone does not help.", to, from)
	default:
		w.say("Bring %s back: it then takes over from %s. %s alone goes on only if it has everything that %s has.", to, from, from, to)
	}
	w.override(from, to)
}

func (w *wayOut) ofNoRecord() {
	members := w.snap.Members
	if len(members) != 2 {
		members = []cluster.Endpoint{w.snap.Primary, w.snap.Secondary}
	}
	var answer []cluster.Endpoint
	for _, m := range members {
		switch {
		case m == "":
		case w.answers(m):
			answer = append(answer, m)
		default:
			w.say("Bring %s back.", m)
		}
	}
	for _, m := range answer {
		if !w.codes[Starting] {
			w.command("To make %s active all the same", m)
		}
	}
}

// override names the command that makes to active without lost.
func (w *wayOut) override(lost, to cluster.Endpoint) {
	switch {
	case to == "":
	case w.answers(lost) && w.answers(to):
		w.command("To make %s active all the same, without what only "+orNobody(lost)+" has", to)
	case w.answers(to):
		w.command("If "+orNobody(lost)+" cannot come back, to make %s active without what only "+orNobody(lost)+" has", to)
	default:
		w.command("If "+orNobody(lost)+" cannot come back, bring %s back, and to make it active without what only "+orNobody(lost)+" has", to)
	}
}

// command leaves out what would be refused even then.
func (w *wayOut) command(format string, to cluster.Endpoint) {
	if w.codes[NoGTID] || w.codes[Unreadable] || w.codes[NoAgent] || w.codes[NotAMember] {
		return
	}
	line := OverrideCommand(w.tag, to)
	if w.codes[Errant] || w.codes[ReplicationBroken] || w.codes[DrainFailed] {
		line += " --force"
	}
	w.say("%s: %s", strings.Replace(format, "%s", string(to), 1), line)
}
