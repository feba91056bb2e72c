package control

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// SchemaVersion is the version of every JSON document of this package.
const SchemaVersion = 1

// PrintJSON writes one document: schema_version and what stands under name.
func PrintJSON(w io.Writer, name string, what any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"schema_version": SchemaVersion, name: what})
}

// Printable takes out of a text in which others may have had a hand what a terminal would
// obey; it is one line then.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
}

// PrintPlan writes what a switchover or a failover will do.
func PrintPlan(w io.Writer, p Plan) {
	switch {
	case p.Refused != "":
		fmt.Fprintf(w, "Failover of %s to %s will be refused, as it looks from here:\n  ! %s\n", p.Tag, p.To, Printable(p.Refused))
		return
	case p.Verb == cluster.VerbFailover:
		fmt.Fprintf(w, "Failover of %s against the rules: %s is to be active, not %s\n", p.Tag, p.To, p.From)
	default:
		fmt.Fprintf(w, "Switchover of %s: %s (active in epoch %d) -> %s\n", p.Tag, p.From, p.Epoch, p.To)
	}
	fmt.Fprintf(w, "identify %s will carry it out:\n", Printable(p.Leader))
	for i, s := range p.Steps {
		fmt.Fprintf(w, "  %d. %s\n", i+1, Printable(s))
	}
	for _, s := range p.Warnings {
		fmt.Fprintf(w, "  ! %s\n", Printable(s))
	}
}

// PrintRows writes the list as a table.
func PrintRows(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TAG\tUNIQSIGN\tACTIVE\tPHASE\tEPOCH\tPAUSED\tWHY")
	for _, r := range rows {
		if r.Error != nil {
			fmt.Fprintf(t, "%s\t%s\t?\t?\t?\t?\t%s\n", r.Tag, r.UniqSign, Printable(r.Error.Message))
			continue
		}
		paused, active := "no", string(r.Active)
		if r.Paused {
			paused = "by " + r.PausedBy
		}
		if active == "" {
			active = "none"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Tag, r.UniqSign, Printable(active), Printable(r.Phase), r.Epoch, Printable(paused), Printable(r.Why))
	}
	return t.Flush()
}

// PrintHistory writes events, each with the steps of its change of role.
func PrintHistory(w io.Writer, events []Happening) error {
	var b strings.Builder
	for _, e := range events {
		at := "at an unknown time       "
		if e.Time != nil {
			at = e.Time.Format("2006-01-02T15:04:05.000Z")
		}
		a := e.Record
		fmt.Fprintf(&b, "%s  %s  epoch %s  %s", at, e.Tag, a.Order(), Printable(e.Kind))
		switch {
		case a.From != "" && a.To != "" && a.From != a.To:
			fmt.Fprintf(&b, "  %s -> %s", a.From, a.To)
		case a.Active != "":
			fmt.Fprintf(&b, "  active %s", a.Active)
		}
		b.WriteByte('\n')
		reason := e.Reason
		if reason == "" {
			reason = a.Reason
		}
		for _, l := range []struct{ name, text string }{
			{"why", reason}, {"proof", a.Proof.Words()}, {"loss", a.Loss}, {"by", e.Actor},
		} {
			if l.text != "" {
				fmt.Fprintf(&b, "    %-6s %s\n", l.name, Printable(l.text))
			}
		}
		for _, s := range e.Steps {
			fmt.Fprintf(&b, "    %+10.1f ms  %s", s.MS, Printable(s.Name))
			if s.Err != "" {
				fmt.Fprintf(&b, ": %s", Printable(s.Err))
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintChecked writes the findings of each server, the worst first.
func PrintChecked(w io.Writer, all []Checked) error {
	var b strings.Builder
	for i, c := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s] %s\n", c.Tag, c.Node)
		for _, role := range slices.Sorted(maps.Keys(c.Errors)) {
			fmt.Fprintf(&b, "  %-7s  as %s: %s\n", FindingFail, role, Printable(c.Errors[role]))
		}
		for _, f := range c.Findings {
			fmt.Fprintf(&b, "  %-7s  %s: %s\n", f.Severity, Printable(f.Item), Printable(f.Text))
			fix := "fix"
			if f.FixOn != "" {
				fix += ", on " + Printable(f.FixOn)
			}
			for l := range strings.Lines(f.Fix) {
				fmt.Fprintf(&b, "           %s: %s\n", fix, Printable(strings.TrimRight(l, "\n")))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
