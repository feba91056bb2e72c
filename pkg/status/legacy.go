package status

import (
	"fmt"
	"io"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// LegacyStale is the age of a -check record from which the predecessor's form says "alive at N seconds ago".
const LegacyStale = 30 * time.Second

type legacyLine struct {
	role, node, state string
}

// Legacy writes the predecessor's form. Tags that could not be read have no block.
func Legacy(w io.Writer, r Report) error {
	for _, t := range r.Tags {
		if t.Error != nil {
			continue
		}
		text := fmt.Sprintf("Current multi master status:\n[%s]\n", t.Tag)
		for _, l := range t.legacy {
			text += fmt.Sprintf("  %s: %s(%s)\n", l.role, plain(l.node), plain(l.state))
		}
		if _, err := io.WriteString(w, text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func legacyOf(t Tag, s cluster.Snapshot, now time.Time) []legacyLine {
	var out []legacyLine
	if t.Active == "" {
		out = append(out, legacyLine{"active", "none", noActiveWords(t)})
	}
	for _, srv := range t.Servers {
		role := "+- passive"
		if srv.Role == "active" {
			role = "active"
		}
		out = append(out, legacyLine{role, string(srv.Node), legacyState(srv, s.Checks, now)})
	}
	return out
}

func noActiveWords(t Tag) string {
	if t.Assignment == nil {
		return "nothing is assigned yet"
	}
	return fmt.Sprintf("%s, %s to %s under way", t.Assignment.Phase, t.Assignment.From, t.Assignment.To)
}

func legacyState(srv Server, checks map[cluster.Endpoint]cluster.LegacyCheck, now time.Time) string {
	word, readOnly := "unknown", -1
	if c, ok := checks[srv.Node]; ok {
		readOnly = c.ReadOnly
		if srv.ReadOnlyBy != "" {
			readOnly = bit(*srv.ReadOnly)
		}
		age, seconds := checkAge(c, now)
		switch {
		case !c.Ping:
			word = "dead"
		case age < LegacyStale:
			word = "alive"
		default:
			word = fmt.Sprintf("alive at %d seconds ago", seconds)
		}
	} else {
		switch srv.State {
		case Alive:
			word = "alive"
		case Down:
			word = "dead"
		}
		if srv.ReadOnly != nil {
			readOnly = bit(*srv.ReadOnly)
		}
	}
	return fmt.Sprintf("%s readonly: %d", word, readOnly)
}

func bit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// checkAge compares whole seconds, as the predecessor did.
func checkAge(c cluster.LegacyCheck, now time.Time) (time.Duration, int64) {
	n := now.Unix() - c.LastCheck
	return time.Duration(n) * time.Second, n
}
