package control

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// PrintQuarantine writes what is known of a server that is to rejoin.
func PrintQuarantine(w io.Writer, q Quarantine) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s, beside the active %s: %s\n  %s\n", q.Node, q.Tag, q.Active, q.State, Printable(q.Reason))
	for _, n := range q.Notes {
		fmt.Fprintf(&b, "  note: %s\n", Printable(n))
	}
	if q.WayOut != "" {
		fmt.Fprintf(&b, "  way out: %s\n", Printable(q.WayOut))
	}
	if q.Refused != "" {
		fmt.Fprintf(&b, "  --discard would be refused: %s\n", Printable(q.Refused))
	}
	if q.Unread != "" {
		fmt.Fprintf(&b, "  not shown: %s\n", Printable(q.Unread))
	}
	for _, t := range q.Transactions {
		at := "at an unknown time"
		if t.Time != nil {
			at = t.Time.Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s  %s\n", Printable(t.GTID), at)
		for _, s := range t.Statements {
			fmt.Fprintf(&b, "    statement  %s\n", Printable(s))
		}
		for _, c := range t.Changes {
			fmt.Fprintf(&b, "    %s  %s\n", c.Kind, Printable(c.Table))
			printFields(&b, "before", c.Before)
			printFields(&b, "after", c.After)
		}
		if t.More > 0 {
			fmt.Fprintf(&b, "    and %d more rows\n", t.More)
		}
	}
	if n := q.Count - len(q.Transactions); n > 0 {
		fmt.Fprintf(&b, "and %d more transactions\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printFields(b *strings.Builder, name string, all []Field) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "      %-6s ", name)
	for _, f := range all {
		value := "NULL"
		if f.Value != nil {
			value = fmt.Sprintf("%q", *f.Value)
		}
		fmt.Fprintf(b, " %s=%s", Printable(f.Name), value)
	}
	b.WriteByte('\n')
}
