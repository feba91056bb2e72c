package failover

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// VerbAcknowledge is the verb of a request that lifts the block which an
// automatic failover left behind.
const VerbAcknowledge = "acknowledge"

// AcknowledgeCommand is the command line by which an operator allows the next
// automatic failover.
func AcknowledgeCommand(tag cluster.Tag) string {
	return fmt.Sprintf("mmmctl acknowledge --tag %s", tag)
}

// ruleAcknowledge lifts the block of the last automatic failover for a person who
// has looked at it.
func ruleAcknowledge(s *situation) (Decision, bool) {
	r := s.v.Snapshot.Request
	if r == nil || r.State != cluster.RequestFiled || r.Verb != VerbAcknowledge {
		return Decision{}, false
	}
	switch {
	case s.v.Snapshot.AssignmentFault != "":
		return s.refuse(r.Verb, r, why(Unreadable, "the assignment in Redis cannot be read: %s", s.v.Snapshot.AssignmentFault))
	case s.outdatedBy(s.remembered()):
		return Decision{}, false // it is rebuilt first, with its block
	case !s.rec.Exists():
		return s.refuse(r.Verb, r, why(Starting, "there is no assignment yet, and nothing to acknowledge"))
	case !s.rec.Blocked:
		return s.refuse(r.Verb, r, why(Steady, "nothing is blocked: there was no automatic failover, or the pair has been whole since"))
	}
	next := s.rec.Clone()
	next.Version++
	next.Blocked = false
	text := fmt.Sprintf("%s has acknowledged the failover of epoch %d: the next one is allowed", r.Actor, s.rec.Epoch)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	d := s.change("unblocked", next, cluster.Reason{Code: Steady, Text: text}, false)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	d.Transition.Event.Actor = r.Actor
	q := *r
	q.State, q.Answer = cluster.RequestDone, "the next automatic failover is allowed"
	d.Transition.Request = &q
	return d, true
}
