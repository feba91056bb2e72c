package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// Codes of the problems and notes that status itself finds; the texts are for people.
const (
	CodeNoActive        = "no-active"
	CodeActiveDown      = "active-down"
	CodeActiveClosed    = "active-closed"
	CodeNotSampled      = "not-sampled"
	CodeMonitorsDiffer  = "monitors-differ"
	CodePassiveDown     = "passive-down"
	CodeTwoWritable     = "two-writable"
	CodePassiveOpen     = "passive-open"
	CodeNotReplicating  = "not-replicating"
	CodeQuarantine      = "quarantine"
	CodeAgentTrouble    = "agent-trouble"
	CodeAgentAway       = "agent-away"
	CodeNoIdentify      = "no-identify"
	CodeNoVerdict       = "no-verdict"
	CodeOldVerdict      = "old-verdict"
	CodeForgotten       = "forgotten"
	CodeMembersDiffer   = "members-differ"
	CodeUnreadable      = "unreadable-record"
	CodeBusRefuses      = "bus-refuses-writes"
	CodeNoAgentReports  = "no-agent-reports"
	CodePredecessor     = "predecessor"
	CodeObservedOnly    = "observed-only"
	CodeChangeUnderway  = "change-underway"
	CodeRisk            = "risk"
	CodeLoss            = "loss"
	CodeFailoverBlocked = "failover-block"
	CodeReplaced        = "replaced"
	CodeOlder           = "older"
)

type findings struct {
	t         *Tag
	condition Condition
}

func (f *findings) problem(c Condition, code, format string, args ...any) {
	f.condition = worse(f.condition, c)
	f.t.Problems = append(f.t.Problems, cluster.Reason{Code: code, Text: plain(fmt.Sprintf(format, args...))})
}

func (f *findings) note(code, format string, args ...any) {
	f.t.Notes = append(f.t.Notes, cluster.Reason{Code: code, Text: plain(fmt.Sprintf(format, args...))})
}

// judge finds the problems of a tag and from them its condition.
func judge(t *Tag, sub Subject, s cluster.Snapshot) {
	f := &findings{t: t, condition: Good}
	f.refusal()
	f.roles(sub, s)
	f.servers(sub.Pair, s)
	f.strangers(s)
	f.daemons(sub.Pair, s)
	f.records(sub.Pair, s)
	if t.Verdict != nil && len(t.Verdict.Blockers) > 0 && sub.Pair.ServiceMode == cluster.ActivePassive {
		f.condition = worse(f.condition, Degraded)
	}
	if t.Pause != nil {
		f.condition = worse(f.condition, Degraded)
	}
	t.Condition, t.ExitCode = f.condition, f.condition.ExitCode()
}

func (f *findings) roles(sub Subject, s cluster.Snapshot) {
	t, a := f.t, s.Assignment
	switch {
	case t.Active != "":
	case s.AssignmentFault != "":
		f.problem(NoActive, CodeNoActive, "nobody is known to be active: the assignment record cannot be read")
	case a.Exists():
		f.problem(NoActive, CodeNoActive, "nobody is active: the role was taken from %s and %s is not open yet", a.From, a.To)
	default:
		f.problem(NoActive, CodeNoActive, "nobody is active: there is no assignment yet")
	}
	if sub.Pair.ServiceMode == cluster.ActiveActive {
		f.note(CodeObservedOnly, "servicemode=0: observed, never acted on")
	}
	if a.Exists() && a.Phase != cluster.PhaseSteady {
		f.note(CodeChangeUnderway, "a change of role from %s to %s is under way (%s)", a.From, a.To, a.Phase)
	}
	switch {
	case !a.Proof.IsRisk():
	case t.Assignment != nil && t.Assignment.ClosedSince:
		f.note(CodeRisk, "the last change of role: %s", closedLater(a.Proof, t.Passive))
	default:
		f.note(CodeRisk, "the last change of role, from %s: %s", a.From, unproven(a.Proof))
	}
	if a.Loss != "" {
		f.note(CodeLoss, "%s", a.Loss)
	}
	if t.Source == FromPredecessor && s.AssignmentFault == "" {
		f.note(CodePredecessor, "roles as the predecessor's identify keeps them: there is no assignment record")
	}
}

// strangers tells of servers that are not those that the pair knew, or that may not
// understand what they replicate.
func (f *findings) strangers(s cluster.Snapshot) {
	seen, _ := bestView(s.Observations[f.t.Active])
	active := seen.Server
	for _, srv := range f.t.Servers {
		for _, o := range s.Observations[srv.Node] {
			if !o.Answered() {
				continue
			}
			if text := o.Server.Replaces(s.Assignment.Known[srv.Node]); text != "" {
				who, shows := "", srv.Node
				if srv.Node == f.t.Active { // which is compared with the other, and not the other way about
					who, shows = ", the active", f.t.Passive
				}
				f.noteOnce(CodeReplaced, fmt.Sprintf("%s%s: %s (%s)", srv.Node, who, text, failover.RejoinCommand(f.t.Tag, shows)))
			}
			if srv.Node == f.t.Passive && o.Server.Older(active) {
				f.noteOnce(CodeOlder, fmt.Sprintf("%s is older than the active (%s, the active %s): no release is made to replicate from a newer one", srv.Node, o.Server.Version, active.Version))
			}
		}
	}
}

func (f *findings) servers(p cluster.Pair, s cluster.Snapshot) {
	active, passive := f.t.server(f.t.Active), f.t.server(f.t.Passive)
	single := p.ServiceMode == cluster.ActivePassive
	if active != nil {
		switch active.State {
		case Down:
			f.problem(NoActive, CodeActiveDown, "the active %s does not answer%s", active.Node, whyNot(active))
		case Alive:
			if active.ReadOnly != nil && *active.ReadOnly {
				f.problem(NoActive, CodeActiveClosed, "the active %s is read-only: nobody takes writes", active.Node)
			}
		default:
			f.notSampled("active", active)
		}
	}
	for i := range f.t.Servers {
		srv := &f.t.Servers[i]
		f.monitorsDiffer(srv)
		if srv == active {
			continue
		}
		switch srv.State {
		case Down:
			f.problem(Degraded, CodePassiveDown, "%s does not answer%s", srv.Node, whyNot(srv))
			continue
		case Alive:
		default:
			f.notSampled("other server", srv)
			continue
		}
		if single && srv.ReadOnly != nil && !*srv.ReadOnly {
			if open(active) {
				f.problem(Degraded, CodeTwoWritable, "both servers take writes: %s is active, but %s is not read-only", active.Node, srv.Node)
			} else {
				f.problem(Degraded, CodePassiveOpen, "%s takes writes and is not the active", srv.Node)
			}
		}
		if srv == passive && f.t.Source == FromRecord && !f.replicates(s, srv.Node, f.t.Active) {
			f.problem(Degraded, CodeNotReplicating, "%s: %s", srv.Node, srv.replicationText())
		}
		if srv == passive && f.t.Source == FromPredecessor && strings.HasSuffix(srv.replicationText(), "Error") {
			f.problem(Degraded, CodeNotReplicating, "%s does not replicate: repl_check says Error", srv.Node)
		}
	}
}

func open(s *Server) bool {
	return s != nil && s.State == Alive && s.ReadOnly != nil && !*s.ReadOnly
}

func (s *Server) replicationText() string {
	if s.Replication == nil {
		return "says nothing about its replication"
	}
	return s.Replication.Text
}

func (f *findings) replicates(s cluster.Snapshot, node, source cluster.Endpoint) bool {
	if o, ok := bestView(s.Observations[node]); ok {
		return o.Server.Channel.Replicates(source)
	}
	c, ok := s.Checks[node]
	return ok && c.ReplCheck != "Error"
}

func whyNot(s *Server) string {
	if s.Cause == cluster.CauseNone {
		return ""
	}
	text := ": " + causeWords(s.Cause)
	if s.SilentSeconds != nil && s.SilentSeconds.duration() >= time.Second {
		text += ", for " + inWords(s.SilentSeconds.duration())
	}
	return text
}

func (f *findings) notSampled(what string, srv *Server) {
	if srv.State == Unseen {
		if f.t.refused != nil {
			return
		}
		f.problem(Degraded, CodeNotSampled, "no monitor has a fresh sample of %s", srv.Node)
		return
	}
	f.problem(Degraded, CodeNotSampled, "the monitor cannot sample the %s %s: %s%s", what, srv.Node, srv.Cause, colon(srv.Error))
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func (f *findings) monitorsDiffer(srv *Server) {
	var yes, no []string
	for _, m := range srv.Monitors {
		if m.Answered {
			yes = append(yes, m.Name)
		} else {
			no = append(no, m.Name)
		}
	}
	if len(yes) > 0 && len(no) > 0 {
		f.problem(Degraded, CodeMonitorsDiffer, "monitors differ about %s: %s reached it, %s did not", srv.Node, strings.Join(yes, ", "), strings.Join(no, ", "))
	}
}

func (f *findings) daemons(p cluster.Pair, s cluster.Snapshot) {
	t := f.t
	agents, heard := 0, 0
	for _, srv := range t.Servers {
		current := 0
		for _, a := range srv.Agents {
			agents++
			if a.Heard != nil && !*a.Heard {
				continue
			}
			heard++
			current++
			f.agent(srv.Node, a)
			for _, n := range a.Notes {
				text := fmt.Sprintf("%s: %s", srv.Node, n.Text)
				if n.Code == cluster.NoteDiskFull || n.Code == cluster.NoteWritesFail {
					f.once(n.Code, text)
				} else {
					f.noteOnce(n.Code, text)
				}
			}
		}
		if len(srv.Agents) > 0 && current == 0 && t.refused == nil {
			how := "stands still"
			if srv.Agents[0].stopped {
				how = "was stopped"
			}
			f.problem(Degraded, CodeAgentAway, "no agent is at work on %s: %s %s", srv.Node, srv.Agents[0].Name, how)
		}
	}
	if t.refused != nil || t.Source == FromPredecessor && s.AssignmentFault == "" {
		return
	}
	if agents == 0 {
		f.note(CodeNoAgentReports, "no agent reports: none is at work, or the predecessor's is")
	}
	switch {
	case s.Leader.ID == "" && p.ServiceMode == cluster.ActivePassive:
		f.problem(Degraded, CodeNoIdentify, "no mmm-identify leads: nothing would be decided")
		if t.Verdict != nil {
			f.note(CodeOldVerdict, "the verdict is the last word of %s, which leads no more", t.Verdict.Leader)
		}
	case s.Leader.ID != "" && t.Verdict == nil:
		f.note(CodeNoVerdict, "identify %s leads and has given no verdict yet", s.Leader.ID)
	}
}

func (f *findings) agent(node cluster.Endpoint, a AgentView) {
	switch a.Deed {
	case cluster.DeedQuarantine:
		errant := a.Errant
		if errant == "" {
			errant = a.Reason
		}
		f.once(CodeQuarantine, fmt.Sprintf("%s is in quarantine: it holds transactions that the active lacks: %s", node, errant))
	case cluster.DeedFailed:
		f.once(CodeAgentTrouble, fmt.Sprintf("a step on %s failed%s", node, colon(a.Reason)))
	}
}

// once keeps two agents from telling the same twice.
func (f *findings) once(code, text string) {
	r := cluster.Reason{Code: code, Text: plain(text)}
	if !slices.Contains(f.t.Problems, r) {
		f.problem(Degraded, code, "%s", text)
	}
}

func (f *findings) noteOnce(code, text string) {
	if !slices.Contains(f.t.Notes, cluster.Reason{Code: code, Text: plain(text)}) {
		f.note(code, "%s", text)
	}
}

func (f *findings) records(p cluster.Pair, s cluster.Snapshot) {
	for _, fault := range s.Faults {
		f.problem(Degraded, CodeUnreadable, "a record on the bus cannot be read: %s", fault)
	}
	for _, n := range []cluster.Endpoint{f.t.Active, f.t.Passive} {
		if n != "" && !p.Has(n) {
			f.problem(Degraded, CodeMembersDiffer, "%s has a role but is no server of this tag's section", n)
		}
	}
	var newest cluster.Order
	var who string
	for _, byAgent := range s.Reports {
		for name, r := range byAgent {
			if newest.Before(r.Remembers.Order()) {
				newest, who = r.Remembers.Order(), name
			}
		}
	}
	if newest.Epoch > s.Assignment.Epoch {
		f.problem(Degraded, CodeForgotten, "the bus has epoch %d, agent %s remembers epoch %d: agents change nothing until identify has rebuilt it", s.Assignment.Epoch, who, newest.Epoch)
	}
	for _, srv := range f.t.Servers {
		if srv.EpochRow != nil && srv.EpochRow.Epoch > s.Assignment.Epoch {
			f.problem(Degraded, CodeForgotten, "the bus has epoch %d, the epoch row of %s has %d (%s active)", s.Assignment.Epoch, srv.Node, srv.EpochRow.Epoch, srv.EpochRow.Active)
		}
	}
	said := s.Verdict != nil && slices.ContainsFunc(s.Verdict.Blockers, func(r cluster.Reason) bool { return r.Code == failover.Blocked })
	if s.Assignment.Blocked && !said {
		f.note(CodeFailoverBlocked, "no further automatic failover until the pair has been whole again, or: %s", failover.AcknowledgeCommand(p.Tag))
	}
}
