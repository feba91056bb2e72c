package notify

import (
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// replaced tells of another server behind an address: of each server that comes and
// goes there once a day.
func (s *Service) replaced(p *pair, e cluster.Event) {
	a, role := e.Assignment, "the passive"
	if e.Node == a.Active {
		role = "the active"
	}
	s.postEvent(p, e, "replaced "+string(e.Node)+" "+a.Replaced[e.Node],
		fmt.Sprintf("another server behind %s, %s", e.Node, role), replacedBody(p.name(), e, role))
}

func replacedBody(tag cluster.Tag, e cluster.Event, role string) string {
	a := e.Assignment
	var b strings.Builder
	fmt.Fprintf(&b, "%s: another server than before answers at %s, %s. No role has moved, and nothing was closed for it.\n\n", tag, e.Node, role)
	row := func(name, text string) { fmt.Fprintf(&b, "%-12s %s\n", name, clean(text)) }
	row("tag", string(tag))
	row("active", orNone(a.Active))
	row("passive", orNone(a.Passive))
	row("epoch", fmt.Sprint(a.Epoch))
	row("what", e.Reason)
	row("at", timeOf(e.ID))
	rejoin := failover.RejoinCommand(tag, a.Passive)
	b.WriteString("\nWhat to do:\n")
	switch {
	case e.Node == a.Active:
		fmt.Fprintf(&b, "* If it was moved, or has lost its auto.cnf, nothing: %s may take over again as soon as it is seen replicating from it.\n", orNone(a.Passive))
		fmt.Fprintf(&b, "* Else find out which server answers there and what it has. %s may hold what it lacks: discard nothing there and do not rebuild it before you know. %s shows it.\n", orNone(a.Passive), rejoin)
		fmt.Fprintf(&b, "* If %[1]s is the one to go on with, stop the server behind %[2]s, then: %[3]s\n", orNone(a.Passive), e.Node, failover.OverrideCommand(tag, a.Passive))
	default:
		fmt.Fprintf(&b, "* If it was replaced, rebuilt or moved, nothing: it is compared like any other, and may take over when it has caught up. %s says what holds it up.\n", rejoin)
		b.WriteString("* Else find out which server answers there, and where the one before is.\n")
	}
	b.WriteString("* mmm-status says where it stands.\n")
	return b.String()
}
