package exhaustive

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

var errLost = errors.New("the answer is lost")

// bothOpen reports whether both servers take writes. One that came back open by
// itself is for its option file to answer for.
func (l *lab) bothOpen(w *world) bool {
	a, b := l.servers.of(w.srv[0]), l.servers.of(w.srv[1])
	return a.writes() && b.writes() && !(l.o.BackOpen && (a.itself || b.itself))
}

// judge judges a change of the record that has just been written.
func (l *lab) judge(w *world, before uint32, msg message) string {
	was, is, kind := l.record(before), l.record(w.redis), l.transitions.of(msg.what).Event.Kind
	newest := l.recordAt(w.newest)
	fault := ""
	switch {
	case kind == "rebuilt" || kind == "first start":
		obeyed := l.recordAt(l.agents.of(w.agent).remembers)
		if newest.Exists() && heir(is) != heir(newest) && heir(is) != heir(obeyed) {
			fault = fmt.Sprintf("I10: Redis lost the record %s, and the role went to another server with %s", summary(newest), summary(is))
		}
	case kind == "revoked" && strings.HasPrefix(is.Cause, "failover: ") && was.Phase != cluster.PhaseOpening:
		if !was.IsEligible(is.To) {
			fault = "I4: a server that is not eligible is to take over"
		} else if w.window {
			fault = "I9: two automatic failovers in one window"
		}
	}
	if kind == "promoted" && !is.Planned() {
		w.window = true
	}
	if clashes(w.named, bitOf(is)) && fault == "" {
		fault = "I3: two actives in one epoch, now " + summary(is)
	}
	w.named |= bitOf(is)
	if is.Phase == cluster.PhaseOpening && is.Proof == cluster.ProofFenced && fault == "" {
		if other := l.servers.of(w.srv[indexOf(is.Passive)]); other.writes() && !other.itself {
			fault = fmt.Sprintf("I7: the record says %q, and %s is open", is.Proof, names[indexOf(is.Passive)])
		}
	}
	w.newest = l.recordOf(w.redis)
	return fault
}

// judgeOpening judges the opening of the server i under a record, at that
// instant. What a server that came back has received by itself is not judged.
func (l *lab) judgeOpening(w *world, i int, under uint32, back bool) string {
	rec := l.recordAt(under)
	mine, other := l.servers.of(w.srv[i]), l.servers.of(w.srv[1-i])
	moves := rec.Phase == cluster.PhaseOpening
	own := set{}
	own[i] = mine.executed[i]
	switch {
	case l.bothOpen(w):
		return fmt.Sprintf("I1b: %s is opened while %s is open", names[i], names[1-i])
	case rec.Phase == cluster.PhaseRevoked || rec.Phase == cluster.PhaseSwitching || rec.Active != nodes[i]:
		return fmt.Sprintf("I11: %s is opened under %s", names[i], summary(rec))
	case moves && rec.Proof == cluster.ProofNone:
		return fmt.Sprintf("I7: %s is opened under %s, which has no proof", names[i], summary(rec))
	case moves && !back && !mine.executed.has(mine.received):
		return fmt.Sprintf("I4: %s is opened and has not applied all it received", names[i])
	case !other.executed.union(own).has(mine.executed):
		return fmt.Sprintf("I4: %s is opened with transactions that %s never had", names[i], names[1-i])
	}
	return ""
}

func heir(a cluster.Assignment) cluster.Endpoint {
	if a.Active != "" {
		return a.Active
	}
	return a.To
}

// bitOf tells who is named active in which epoch, two bits for each; epochs
// beyond those of any exploration are left out.
func bitOf(a cluster.Assignment) uint32 {
	if a.Active == "" || a.Epoch > 15 {
		return 0
	}
	return uint32(1+indexOf(a.Active)) << (2 * uint(a.Epoch))
}

// clashes reports whether all names another server in the epoch of bit.
func clashes(all, bit uint32) bool {
	for e := range 16 {
		mask := uint32(3) << (2 * e)
		if bit&mask != 0 && all&mask != 0 && all&mask != bit&mask {
			return true
		}
	}
	return false
}
