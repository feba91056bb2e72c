package status

import (
	"fmt"
	"io"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// branch is one entry of the tree: a first line and what is indented under it.
type branch struct {
	head line
	body []line
}

// Tree writes the form for people.
func Tree(w io.Writer, r Report, style Style) error {
	var b strings.Builder
	for i, t := range r.Tags {
		if i > 0 {
			b.WriteByte('\n')
		}
		style.tag(&b, t)
	}
	out := b.String()
	if style.ASCII {
		out = toASCII(out)
	}
	_, err := io.WriteString(w, out)
	return err
}

func (s Style) tag(b *strings.Builder, t Tag) {
	sym := s.symbols()
	head := line{{string(t.Tag), bold}, {"  ", plainText}}
	switch t.Condition {
	case Good:
		head = head.add(green, "good")
	case Degraded:
		head = head.add(yellow, sym.alarm+" degraded")
	default:
		head = head.add(red, sym.alarm+" "+strings.ToUpper(string(t.Condition)))
	}
	if t.UniqSign != "" {
		head = head.add(faint, fmt.Sprintf("  %s, uniqsign %s", t.ServiceMode, t.UniqSign))
	}
	s.print(b, "", "", head)
	if t.Error != nil {
		s.print(b, sym.last, sym.gap, text(t.Error.Message))
		if t.Error.Hint != "" {
			s.print(b, sym.gap, sym.gap, text(t.Error.Hint))
		}
		return
	}
	if t.Pause != nil {
		s.print(b, sym.bar, sym.bar+"  ", pauseBanner(sym, *t.Pause))
	}
	for _, p := range t.Problems {
		s.print(b, sym.bar, sym.bar+"  ", line{{sym.alarm + " ", yellow}, {p.Text, problemColour(p.Code)}})
	}
	// Whatever makes the head yellow stands right under it.
	if t.blockedOnly() {
		for _, r := range t.Verdict.Blockers {
			s.print(b, sym.bar, sym.bar+"  ", wouldNot(sym, false, r))
		}
	}
	branches := s.branches(t)
	for i, br := range branches {
		first, rest := sym.branch, sym.bar
		if i == len(branches)-1 {
			first, rest = sym.last, sym.gap
		}
		s.print(b, first, rest+"    ", br.head)
		for _, l := range br.body {
			s.print(b, rest+"  ", rest+"    ", l)
		}
	}
}

// print writes l behind first, wrapped with rest before the lines that follow.
func (s Style) print(b *strings.Builder, first, rest string, l line) {
	width := 0
	if s.Width > 0 {
		width = max(20, s.Width-len([]rune(rest)))
	}
	for i, part := range wrap(l, width) {
		prefix := rest
		if i == 0 {
			prefix = first
		}
		if s.Colour && prefix != "" {
			prefix = "\x1b[2m" + prefix + "\x1b[0m"
		}
		b.WriteString(strings.TrimRight(prefix+s.paint(part), " ") + "\n")
	}
}

func problemColour(code string) colour {
	switch code {
	case CodeNoActive, CodeActiveDown, CodeActiveClosed, CodeTwoWritable:
		return red
	}
	return yellow
}

func pauseBanner(sym symbols, p Pause) line {
	l := line{{sym.alarm + " PAUSED", red}}.add(plainText, " by "+p.Actor)
	if p.ForSeconds != nil {
		l = l.add(plainText, " "+inWords(p.ForSeconds.duration())+" ago")
	}
	if p.Reason != "" {
		l = l.add(plainText, ": "+p.Reason)
	}
	return l.add(faint, " (no automatic change of role; mmmctl resume ends it)")
}

func (s Style) branches(t Tag) []branch {
	sym := s.symbols()
	var out []branch
	for _, srv := range t.Servers {
		out = append(out, serverBranch(sym, srv, t.Assignment))
	}
	out = append(out, recordBranch(sym, t), whyBranch(sym, t))
	if t.Request != nil && !t.Request.State.Ended() {
		l := line{{fmt.Sprintf("request: %s", t.Request.Verb), bold}}
		if t.Request.To != "" {
			l = l.add(plainText, " to "+string(t.Request.To))
		}
		l = l.add(yellow, " "+string(t.Request.State)).add(plainText, ", asked for by "+t.Request.Actor)
		out = append(out, branch{head: l})
	}
	// Where the predecessor decides, our policy protects nothing.
	if t.Protection != nil && len(t.Protection.Text) > 0 && (t.Source != FromPredecessor || t.Daemons.Identify != "") {
		br := branch{head: line{{"protection: ", bold}, {t.Protection.Line, plainText}}}
		for _, p := range t.Protection.Text[1:] {
			br.body = append(br.body, line{{p, faint}})
		}
		out = append(out, br)
	}
	return append(out, daemonsBranch(t))
}

func serverBranch(sym symbols, srv Server, a *Assignment) branch {
	mark, word, c := stateWords(sym, srv)
	role := srv.Role
	if role == "none" {
		role = "no role"
	}
	br := branch{head: line{{mark + " ", c}, {fmt.Sprintf("%-7s ", role), bold}, {string(srv.Node), bold}, {"  ", plainText}, {word, c}}}
	var facts []string
	if srv.Version != "" {
		name := map[cluster.Flavor]string{cluster.MariaDB: "MariaDB ", cluster.MySQL: "MySQL "}[srv.Flavor]
		version := srv.Version
		if srv.Flavor == cluster.MariaDB {
			version, _, _ = strings.Cut(version, "-")
		}
		facts = append(facts, name+version)
	}
	if srv.Sessions != nil {
		facts = append(facts, sessionWords(*srv.Sessions, srv.SharedSessions, srv.Users))
	}
	if srv.ReadOnlyBy != "" {
		facts = append(facts, "read_only as its "+srv.ReadOnlyBy+" says since")
	}
	past := srv.State == Down || srv.State == Unreadable
	if sampled := sampleWords(srv); sampled != "" {
		if past {
			sampled = "last " + sampled
		}
		facts = append(facts, sampled)
	}
	if len(facts) > 0 {
		br.body = append(br.body, line{{strings.Join(facts, ", "), faint}})
	}
	if srv.Replication != nil {
		l := line{{srv.Replication.Text, plainText}}
		if past {
			l = line{{"then: " + srv.Replication.Text, faint}}
		} else if srv.Role == "active" {
			l[0].colour = faint
		}
		br.body = append(br.body, l)
	}
	if n := len(srv.Locked); n > 0 {
		names := make([]string, 0, n)
		for _, l := range srv.Locked[:min(n, 5)] {
			names = append(names, plain(l.String()))
		}
		if n > 5 {
			names = append(names, fmt.Sprintf("%d more", n-5))
		}
		br.body = append(br.body, line{{fmt.Sprintf("locked by its agent: %s", strings.Join(names, ", ")), faint}})
	}
	if row := srv.EpochRow; row != nil && (a == nil || row.Epoch != a.Epoch) {
		br.body = append(br.body, line{{fmt.Sprintf("its epoch row: %s was opened in epoch %d", plain(string(row.Active)), row.Epoch), yellow}})
	}
	for _, a := range srv.Agents {
		if a.Heard != nil && !*a.Heard {
			continue
		}
		switch a.Deed {
		case cluster.DeedNone, cluster.DeedOpen, cluster.DeedClosed:
		default:
			br.body = append(br.body, line{{fmt.Sprintf("agent: %s%s", a.Deed, colon(a.Reason)), yellow}})
		}
	}
	return br
}

func stateWords(sym symbols, srv Server) (mark, word string, c colour) {
	switch srv.State {
	case Down:
		return sym.down, "DOWN" + whyNot(&srv), red
	case Unreadable:
		return sym.none, "not sampled: " + string(srv.Cause) + colon(srv.Error), yellow
	case Unseen:
		return sym.none, "not seen by any monitor", yellow
	}
	switch {
	case srv.ReadOnly == nil:
		return sym.none, "alive, read_only not known", yellow
	case !*srv.ReadOnly && srv.Role == "active":
		return sym.open, "open (read_only=0)", green
	case !*srv.ReadOnly:
		return sym.open, "OPEN (read_only=0)", red
	case srv.Role == "active":
		return sym.closed, "CLOSED (read_only=1)", red
	}
	return sym.closed, "closed (read_only=1)", green
}

func sampleWords(srv Server) string {
	switch {
	case srv.SampleAge != nil:
		return "sampled " + inWords(srv.SampleAge.duration()) + " ago"
	case srv.SampleAtMost != nil:
		return "sampled within the last " + inWords(srv.SampleAtMost.duration())
	}
	if srv.State == Unseen {
		return ""
	}
	return "from the -check record"
}

func recordBranch(sym symbols, t Tag) branch {
	a := t.Assignment
	switch {
	case a == nil && t.Source == FromPredecessor:
		return branch{head: line{{"no assignment record", yellow}, {": roles as the predecessor's keys have them", plainText}}}
	case a == nil:
		return branch{head: line{{"no assignment record", yellow}}}
	}
	br := branch{head: line{{fmt.Sprintf("epoch %d", a.Epoch), bold}, {fmt.Sprintf(".%d, ", a.Version), faint}}}
	words, c := stands(t)
	br.head = br.head.add(c, words)
	switch {
	case a.ForSeconds == nil:
	case words == string(a.Phase):
		br.head = br.head.add(plainText, " for "+inWords(a.ForSeconds.duration()))
	default:
		br.head = br.head.add(plainText, ", assigned "+inWords(a.ForSeconds.duration())+" ago")
	}
	if a.Since != nil {
		br.head = br.head.add(faint, a.Since.Format(" (since 2006-01-02 15:04:05 UTC)"))
	}
	if a.To != "" {
		move := "role given to " + string(a.To)
		if a.From != "" && a.From != a.To && a.Proof != cluster.ProofGone {
			move = fmt.Sprintf("role moved from %s to %s", a.From, a.To)
			if a.Phase != cluster.PhaseSteady {
				move = fmt.Sprintf("role moves from %s to %s", a.From, a.To)
			}
		}
		br.body = append(br.body, text(move+colon(a.Reason)))
	} else if a.Reason != "" {
		br.body = append(br.body, text(a.Reason))
	}
	var by []string
	if a.Cause != "" {
		by = append(by, "cause: "+a.Cause)
	}
	if a.Actor != "" {
		by = append(by, "by "+a.Actor)
	}
	if len(by) > 0 {
		br.body = append(br.body, line{{strings.Join(by, ", "), faint}})
	}
	switch {
	case a.Risk && a.ClosedSince:
		br.body = append(br.body, line{{closedLater(a.Proof, t.Passive), faint}})
	case a.Risk:
		br.body = append(br.body, line{{sym.alarm + " " + unproven(a.Proof), yellow}})
	case a.Proof != "":
		br.body = append(br.body, line{{"proof: " + a.Proof.Words(), green}})
	}
	if a.Loss != "" {
		br.body = append(br.body, line{{sym.alarm + " left behind: " + a.Loss, yellow}})
	}
	return br
}

// stands is the phase of the record, or what is true where a steady record has
// no active that takes writes.
func stands(t Tag) (words string, c colour) {
	p := t.Assignment.Phase
	switch {
	case p != cluster.PhaseSteady:
		return string(p), yellow
	case t.Verdict != nil && t.Verdict.Held:
		return "held", red
	case t.Condition == NoActive:
		return "no active", red
	}
	return string(p), green
}

func whyBranch(sym symbols, t Tag) branch {
	br := branch{head: line{{"why: ", bold}}}
	v := t.Verdict
	if v == nil {
		br.head = br.head.add(yellow, "no verdict of an identify")
	} else {
		br.head = br.head.add(plainText, v.Reason.Text)
		if v.Held {
			br.body = append(br.body, line{{sym.alarm + " held: ", red}, {"nobody takes writes until this has an end", plainText}})
			for _, l := range v.WayOut {
				br.body = append(br.body, text(plain(l)))
			}
		}
		if !t.blockedOnly() {
			for _, r := range cluster.Unsaid(v.Reason, v.Blockers) {
				br.body = append(br.body, wouldNot(sym, v.Held, r))
			}
		}
		if v.WouldFailOver && v.Candidate != "" && (t.Assignment == nil || t.Assignment.Phase == cluster.PhaseSteady) {
			br.body = append(br.body, line{{"would fail over to " + string(v.Candidate), green}})
		}
		for _, r := range v.Notes {
			br.body = append(br.body, line{{"note: " + r.Text, faint}})
		}
	}
	for _, r := range t.Notes {
		// Told by the record's own branch already.
		if r.Code != CodeRisk && r.Code != CodeLoss && r.Code != CodePredecessor {
			br.body = append(br.body, line{{"note: " + r.Text, faint}})
		}
	}
	return br
}

// blockedOnly reports that nothing but what keeps a failover back is wrong.
func (t *Tag) blockedOnly() bool {
	return t.Condition == Degraded && t.Pause == nil && len(t.Problems) == 0 && t.Verdict != nil
}

func wouldNot(sym symbols, held bool, r cluster.Reason) line {
	words := " would not fail over now: "
	if held {
		words = " also: "
	}
	return line{{sym.alarm + words, yellow}, {r.Text, plainText}}
}

func daemonsBranch(t Tag) branch {
	d := t.Daemons
	br := branch{head: line{{"daemons: ", bold}}}
	if d == nil {
		return br
	}
	if t.refused != nil {
		br.head = br.head.add(plainText, "not known while the bus takes no writes")
		return br
	}
	if t.Source == FromPredecessor && d.Identify == "" && len(d.Monitors)+len(d.Agents) == 0 {
		br.head = br.head.add(plainText, "none of ours is seen; the predecessor's leave no sign of life but last_check")
		return br
	}
	if d.Identify != "" {
		br.head = br.head.add(plainText, "identify "+d.Identify+" leads")
	} else {
		br.head = br.head.add(yellow, "no identify leads")
	}
	br.head = br.head.add(plainText, "; ").list("monitor", d.Monitors).add(plainText, "; ").list("agent", d.Agents)
	silent := 0
	names := map[string]bool{}
	for _, srv := range t.Servers {
		for _, a := range srv.Agents {
			if a.Heard != nil && !*a.Heard && !a.stopped && !names[a.Name] {
				names[a.Name] = true
				silent++
			}
		}
	}
	if silent > 0 {
		br.body = append(br.body, line{{fmt.Sprintf("agents that stand still: %d (stopped, killed or hung)", silent), faint}})
	}
	return br
}

func (l line) list(what string, names []string) line {
	switch len(names) {
	case 0:
		return l.add(yellow, "no "+what)
	case 1:
		return l.add(plainText, what+" "+names[0])
	}
	return l.add(plainText, what+"s "+strings.Join(names, ", "))
}

func toASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, s)
}
