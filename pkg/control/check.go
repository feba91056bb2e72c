package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Severities of a Finding, from good to bad.
const (
	FindingOK      = "ok"
	FindingUnknown = "unknown"
	FindingWarn    = "warn"
	FindingFail    = "fail"
)

// Finding is one prerequisite that a server meets or not.
type Finding struct {
	Severity string `json:"severity"`
	Item     string `json:"item"`
	Text     string `json:"text"`
	// Fix is the exact statement or configuration line that mends it.
	Fix string `json:"fix,omitempty"`
	// FixOn names the server on which Fix is to be executed; empty for the one checked.
	FixOn string `json:"fix_on,omitempty"`
	// Roles are the programs for which it was found: monitor, agent.
	Roles []string `json:"roles,omitempty"`
}

// Inspection is what is to be checked: one server as one program logs in to it.
type Inspection struct {
	Node cluster.Endpoint
	Role string
}

// Inspector checks a server. An *Error says how the server could not be asked;
// findings beside it, how to mend that.
type Inspector interface {
	Inspect(ctx context.Context, what Inspection) ([]Finding, error)
}

// Checked is the result for one server.
type Checked struct {
	Tag      cluster.Tag      `json:"tag"`
	Node     cluster.Endpoint `json:"node"`
	Findings []Finding        `json:"findings"`
	// Errors are logins that did not succeed, by role.
	Errors map[string]string `json:"errors,omitempty"`
	// Exit is 0 when nothing is wrong, though something may not be known, 3 with a warning, 5 with
	// a failed prerequisite or a refused login, 69 when the server was not reached.
	Exit int `json:"exit_code"`
}

// Check inspects both servers of a pair under each role, side by side. What is
// found alike under several roles is told once.
func Check(ctx context.Context, with Inspector, p cluster.Pair, roles []string) []Checked {
	out := make([]Checked, 2)
	var wg sync.WaitGroup
	for i, node := range p.Members() {
		wg.Go(func() { out[i] = checkNode(ctx, with, p.Tag, node, roles) })
	}
	wg.Wait()
	return out
}

func checkNode(ctx context.Context, with Inspector, tag cluster.Tag, node cluster.Endpoint, roles []string) Checked {
	c := Checked{Tag: tag, Node: node, Errors: map[string]string{}, Findings: []Finding{}}
	for _, role := range roles {
		found, err := with.Inspect(ctx, Inspection{node, role})
		if err != nil {
			c.Errors[role] = err.Error()
			exit := ExitUnreachable
			var e *Error
			if errors.As(err, &e) {
				exit = e.Exit
			}
			c.Exit = max(c.Exit, exit)
		}
		for _, f := range found {
			c.add(f, role)
		}
	}
	c.forgetUnknown()
	slices.SortStableFunc(c.Findings, func(a, b Finding) int { return cmp.Compare(rank(b.Severity), rank(a.Severity)) })
	for _, f := range c.Findings {
		switch f.Severity {
		case FindingOK, FindingUnknown:
		case FindingFail:
			c.Exit = max(c.Exit, ExitRefused)
		default:
			c.Exit = max(c.Exit, ExitDegraded)
		}
	}
	return c
}

func (c *Checked) add(f Finding, role string) {
	for i, have := range c.Findings {
		if have.Severity == f.Severity && have.Item == f.Item && have.Text == f.Text && have.Fix == f.Fix && have.FixOn == f.FixOn {
			c.Findings[i].Roles = append(c.Findings[i].Roles, role)
			return
		}
	}
	f.Roles = []string{role}
	c.Findings = append(c.Findings, f)
}

// forgetUnknown drops what one login could not see and another did.
func (c *Checked) forgetUnknown() {
	seen := map[string]bool{}
	for _, f := range c.Findings {
		seen[f.Item] = seen[f.Item] || f.Severity != FindingUnknown
	}
	c.Findings = slices.DeleteFunc(c.Findings, func(f Finding) bool { return f.Severity == FindingUnknown && seen[f.Item] })
}

func rank(severity string) int {
	return slices.Index([]string{FindingOK, FindingUnknown, FindingWarn, FindingFail}, severity)
}
