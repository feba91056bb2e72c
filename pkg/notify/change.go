package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// change is one change of role that has ended.
type change struct {
	tag   cluster.Tag
	event cluster.Event
	story []cluster.Event // what led to it
	steps []done
}

// done is what one agent did to one node.
type done struct {
	stepsOf
	list []cluster.Step
}

// what names the change and the two servers.
func (c change) what() (what string, from, to cluster.Endpoint) {
	a := c.event.Assignment
	from, to = a.From, a.Active
	switch c.event.Kind {
	case "first start":
		return "first start", "", a.Active
	case "rebuilt":
		return "rebuilt", "", cmp.Or(a.Active, a.To)
	case "rolled back":
		what = cluster.CauseSwitchover
		for _, e := range c.story {
			if e.Kind == "switching" {
				from, to = e.Assignment.From, e.Assignment.To
				what = cmp.Or(e.Assignment.Cause, what)
			}
		}
		return what + " rolled back", from, to
	case "steady":
		what = "failover"
		if a.Planned() {
			what = a.Cause
		}
		for _, e := range c.story {
			switch {
			case e.Kind == "given back":
				what = e.Kind
			case e.Kind == "promoted" && what == "given back":
				what = "failover"
			}
		}
		return what, from, to
	}
	return c.event.Kind, from, to
}

func (c change) subject() string {
	what, from, to := c.what()
	return fmt.Sprintf("%s %s -> %s", what, orNone(from), orNone(to))
}

func orNone(e cluster.Endpoint) string { return cmp.Or(string(e), "none") }

func (c change) body() string {
	what, from, to := c.what()
	a := c.event.Assignment
	var b strings.Builder
	planned := a.Planned() || c.event.Kind == "rolled back"
	switch {
	case c.event.Kind == "rolled back":
		fmt.Fprintf(&b, "%s: the %s from %s to %s was not carried out; %s is still the active server.\n\n", c.tag, strings.TrimSuffix(what, " rolled back"), orNone(from), orNone(to), orNone(a.Active))
	case a.Active == "":
		fmt.Fprintf(&b, "%s: the record was lost and has been rebuilt; no server is active yet.\n\n", c.tag)
	default:
		fmt.Fprintf(&b, "%s: %s is the active server.\n\n", c.tag, a.Active)
	}
	row := func(name, text string) { fmt.Fprintf(&b, "%-12s %s\n", name, clean(text)) }
	row("what", fmt.Sprintf("%s %s -> %s", what, orNone(from), orNone(to)))
	row("tag", string(c.tag))
	row("epoch", strconv.FormatUint(uint64(a.Epoch), 10))
	row("active", orNone(a.Active))
	row("passive", orNone(a.Passive))
	row("cause", c.cause())
	if c.event.Kind != "rolled back" {
		switch {
		case a.Proof.IsRisk():
			row("risk", strings.TrimPrefix(a.Proof.Words(), "risk: "))
		case a.Proof == cluster.ProofNone:
			row("proof", "none recorded")
		default:
			row("proof", a.Proof.Words())
		}
		row("left behind", cmp.Or(a.Loss, "none known"))
	}
	row("asked by", c.asker(planned))
	row("reason", cmp.Or(c.reason(), "none given"))
	if at := c.event.ID; at != "" {
		row("at", timeOf(at))
	}
	c.tellStory(&b)
	c.tellSteps(&b)
	if next := c.next(from); len(next) > 0 {
		b.WriteString("\nWhat to do:\n")
		for _, l := range next {
			fmt.Fprintf(&b, "* %s\n", clean(l))
		}
	}
	return b.String()
}

// cause is what the change began with.
func (c change) cause() string {
	cause := cmp.Or(c.event.Assignment.Cause, c.event.Kind)
	for _, e := range c.story {
		if e.Kind == "revoked" && e.Reason != "" {
			return cmp.Or(e.Assignment.Cause, cause) + ": " + e.Reason
		}
	}
	return cause
}

// asker is the person who asked, or the identify that decided.
func (c change) asker(planned bool) string {
	who := c.event.Assignment.Actor
	for _, e := range c.story {
		if e.Kind == "switching" && planned {
			who = cmp.Or(e.Actor, e.Assignment.Actor, who)
		}
	}
	if strings.HasPrefix(who, "identify") {
		return "nobody, it was automatic (" + who + ")"
	}
	return cmp.Or(who, "nobody")
}

// reason is why, in the words of whoever decided.
func (c change) reason() string {
	if c.event.Assignment.Planned() {
		for _, e := range c.story {
			if e.Kind == "switching" && e.Reason != "" {
				return e.Reason
			}
		}
	}
	if c.event.Kind == "steady" && len(c.story) > 0 {
		return c.story[len(c.story)-1].Reason
	}
	return cmp.Or(c.event.Reason, c.event.Assignment.Reason)
}

func (c change) tellStory(b *strings.Builder) {
	if len(c.story) == 0 {
		return
	}
	b.WriteString("\nWhat happened:\n")
	for _, e := range append(c.story[:len(c.story):len(c.story)], c.event) {
		fmt.Fprintf(b, "  %s  %s  %s: %s\n", timeOf(e.ID), e.Assignment.Order(), clean(e.Kind), clean(e.Reason))
	}
}

func (c change) tellSteps(b *strings.Builder) {
	if len(c.event.Steps) > 0 {
		b.WriteString("\nSteps of the change, in milliseconds after the first:\n")
		for _, s := range c.event.Steps {
			tellStep(b, "+", s, 1)
		}
	}
	for _, d := range c.steps {
		fmt.Fprintf(b, "\nSteps of mmm-agent %s on %s under order %s, each with its milliseconds:\n", clean(d.agent), clean(string(d.node)), d.order)
		for _, r := range repeated(d.list) {
			tellStep(b, "", r.step, r.times)
		}
	}
}

// repeat is a step that ended in the same way times times, and took its MS in all.
type repeat struct {
	step  cluster.Step
	times int
}

// repeated tells a step that was tried again and again once, where it was first.
func repeated(steps []cluster.Step) []repeat {
	var out []repeat
	for _, s := range steps {
		i := slices.IndexFunc(out, func(r repeat) bool { return r.step.Name == s.Name && r.step.Err == s.Err })
		if i < 0 {
			out = append(out, repeat{s, 1})
			continue
		}
		out[i].step.MS += s.MS
		out[i].times++
	}
	return out
}

func tellStep(b *strings.Builder, sign string, s cluster.Step, times int) {
	fmt.Fprintf(b, "  %10s ms  %s", sign+strconv.FormatFloat(s.MS, 'f', 1, 64), clean(s.Name))
	if s.Err != "" {
		fmt.Fprintf(b, " (%s)", clean(s.Err))
	}
	if times > 1 {
		fmt.Fprintf(b, ", %d times together", times)
	}
	b.WriteByte('\n')
}

// next is what a person should do.
func (c change) next(old cluster.Endpoint) []string {
	a := c.event.Assignment
	what, _, _ := c.what()
	var do []string
	if a.Proof.IsRisk() && c.event.Kind != "rolled back" {
		do = append(do, fmt.Sprintf("It is not proved that %s takes no more writes: make sure that no application still writes to it.", orNone(cluster.Endpoint(cmp.Or(string(old), string(a.Passive))))))
	}
	if a.Left != "" && c.event.Kind != "rolled back" {
		do = append(do, fmt.Sprintf("What was left behind is on %s only: keep its data until somebody has looked at it.", orNone(old)),
			fmt.Sprintf("If %[1]s returns with it, %[1]s stays closed and is kept out (quarantine), and another mail says so: it names the commands that show what %[1]s holds and end that.", orNone(old)))
	}
	switch what {
	case "failover":
		if a.Left == "" {
			do = append(do, fmt.Sprintf("%s is closed, compared and replicates again by itself when it is back. If it has transactions of its own, it is kept out and another mail says so.", orNone(old)))
		}
		if a.Blocked {
			do = append(do, "No other automatic failover happens until the pair has been whole for the time of failover_block.")
		}
	case "given back":
		do = append(do, fmt.Sprintf("%s could not take over: find out why, the pair has nobody to fall back on until it is well.", orNone(old)))
	case "rebuilt":
		do = append(do, "Redis had lost its records: see why, and whether it saves them (appendonly yes).")
	}
	return do
}

// timeOf reads the time in the id of an event, a time of Redis's clock.
func timeOf(id string) string {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return "at an unknown time"
	}
	return time.UnixMilli(n).UTC().Format("2006-01-02T15:04:05.000Z")
}

const mostText = 2000

// clean makes one bounded line of text from elsewhere.
func clean(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + "..."
	}
	return text
}
