package notify

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

const (
	// overAfter is how long a condition is gone before that is believed; longer
	// by an agent that never saw it, so that one that did can tell.
	overAfter       = 10 * time.Second
	overAfterUnseen = 2 * time.Minute
)

// condition is something that a person should end, as the records show it now.
type condition struct {
	name  string
	state cluster.Tri // whether it is so; unknown leaves everything as it is
	delay time.Duration
	// subject and body tell of it, overSubject and overBody of its end; the end
	// is not told without overSubject.
	subject, body         string
	overSubject, overBody string
}

// ongoing is what is remembered of a condition.
type ongoing struct {
	on, off time.Time // since when; zero when it is not so
	epoch   cluster.Epoch
	posted  bool
	cleared bool
}

// conditions tells of what has begun and what is over.
func (s *Service) conditions(ctx context.Context, p *pair, snap cluster.Snapshot) {
	nobody, held := p.holds(snap)
	before := p.told(nobody)
	s.follow(ctx, p, snap, nobody)
	if code := holdCode(snap.Verdict); !before && p.told(nobody) && code != "" {
		p.reasons[code] = struct{}{}
	}
	// One mail for one trouble: who was told that nobody took over knows that it is held.
	if p.told(nobody) {
		held.state, held.overSubject = cluster.No, ""
	}
	s.follow(ctx, p, snap, held)
	s.otherwise(ctx, p, snap, held.body, p.told(nobody) || p.told(held))
	for _, node := range slices.Sorted(maps.Keys(snap.Reports)) {
		s.follow(ctx, p, snap, p.quarantine(snap, node))
		s.follow(ctx, p, snap, p.grants(snap, node))
	}
}

// follow moves one condition on.
func (s *Service) follow(ctx context.Context, p *pair, snap cluster.Snapshot, c condition) {
	o := p.ongoing[c.name]
	if o == nil {
		o = &ongoing{}
		p.ongoing[c.name] = o
	}
	now := time.Now()
	switch c.state {
	case cluster.Yes:
		o.off, o.cleared = time.Time{}, false
		if o.on.IsZero() {
			o.on, o.epoch = now, snap.Assignment.Epoch
		}
		if o.posted || now.Sub(o.on) < c.delay {
			return
		}
		o.posted = true
		if s.queue.withdraw(p.u, over(c.name)) != nil {
			return // it was told, and people do not know yet that it had ended
		}
		s.post(&letter{u: p.u, tag: p.name(), notice: Notice{Name: c.name, Fresh: true, Keep: keepOngoing},
			mail: s.compose(p, c.subject, c.body, snap.Assignment.Epoch, 0)})
	case cluster.No:
		o.on = time.Time{}
		if o.off.IsZero() {
			o.off = now
		}
		wait := overAfterUnseen
		if o.posted {
			wait = overAfter
		}
		if o.cleared || now.Sub(o.off) < wait {
			return
		}
		o.cleared = s.over(ctx, p, snap, c, o)
	}
}

// over ends a condition: in one more mail, or silently where another mail said
// so or nobody was told of it.
func (s *Service) over(ctx context.Context, p *pair, snap cluster.Snapshot, c condition, o *ongoing) bool {
	told := true
	switch {
	case o.posted && s.queue.withdraw(p.u, c.name) != nil:
		told = false
		s.log.Info().Str("tag", string(p.name())).Str("uniqsign", string(p.u)).Str("reason", c.name+" was over before a mail could be sent").Msg("mail withdrawn")
	case o.posted && c.overSubject != "" && o.epoch == snap.Assignment.Epoch:
		o.posted = false
		s.post(&letter{u: p.u, tag: p.name(), notice: Notice{Name: over(c.name), Follows: c.name, Fresh: true, Keep: keepChange},
			mail: s.compose(p, c.overSubject, c.overBody, snap.Assignment.Epoch, 0)})
		return true
	}
	_, err := bounded(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.o.Bus.Forget(ctx, p.u, Notice{Name: c.name, Keep: keepOngoing}, told)
	})
	if err != nil {
		s.log.Debug().Err(err).Str("uniqsign", string(p.u)).Msg("end of a condition not recorded")
		return false
	}
	o.posted = false
	return true
}

func over(name string) string { return name + " over" }

// told reports whether c was posted and has not ended.
func (p *pair) told(c condition) bool {
	o := p.ongoing[c.name]
	return o != nil && o.posted
}

// otherwise tells once of each other reason for which a hold that was told goes
// on: what would have ended it at first may not end it now.
func (s *Service) otherwise(ctx context.Context, p *pair, snap cluster.Snapshot, body string, told bool) {
	notice := func(code string) Notice { return Notice{Name: "held for " + code, Fresh: true, Keep: keepOngoing} }
	if !told {
		for code := range p.reasons {
			s.queue.withdraw(p.u, notice(code).Name)
			if _, err := bounded(ctx, func(ctx context.Context) (struct{}, error) {
				return struct{}{}, s.o.Bus.Forget(ctx, p.u, notice(code), true)
			}); err != nil {
				return // the next look goes on
			}
			delete(p.reasons, code)
		}
		return
	}
	code := holdCode(snap.Verdict)
	if code == "" {
		return
	}
	now, delay := time.Now(), HeldFor
	if noneLeft(code) {
		delay = overAfter / 2
	}
	switch _, known := p.reasons[code]; {
	case known:
		p.reason = ""
	case len(p.reasons) == 0:
		p.reasons[code] = struct{}{} // the first mail told it
	case p.reason != code:
		p.reason, p.reasonOn = code, now
	case now.Sub(p.reasonOn) >= delay:
		p.reasons[code] = struct{}{}
		s.post(&letter{u: p.u, tag: p.name(), notice: notice(code),
			mail: s.compose(p, "still held, for another reason, last active "+orNone(lastActive(snap.Assignment)), body, snap.Assignment.Epoch, 0)})
	}
}

// holdCode is what keeps a held pair from having an active; empty when it is not held.
func holdCode(v *cluster.Verdict) string {
	switch {
	case v == nil || !v.Held:
		return ""
	case len(v.Blockers) > 0:
		return v.Blockers[0].Code
	}
	return v.Reason.Code
}

// holds are the two ways in which a pair has no active that takes writes.
func (p *pair) holds(snap cluster.Snapshot) (nobody, held condition) {
	nobody = condition{name: "nobody", delay: overAfter / 2}
	held = condition{name: "held", delay: HeldFor}
	v := snap.Verdict
	if v == nil {
		return nobody, held
	}
	a := snap.Assignment
	switch {
	case !v.Held:
		nobody.state, held.state = cluster.No, cluster.No
	case noneLeft(v.Reason.Code):
		nobody.state, held.state = cluster.Yes, cluster.Yes
	default: // still held, if for another reason: nothing is over
		held.state = cluster.Yes
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no server of the pair takes writes.\n\n", p.name())
	row := func(name, text string) { fmt.Fprintf(&b, "%-12s %s\n", name, clean(text)) }
	row("tag", string(p.name()))
	row("servers", servers(snap))
	row("epoch", fmt.Sprint(a.Epoch))
	if a.Phase != cluster.PhaseSteady { // which reads as if all were well
		row("phase", string(a.Phase))
	}
	row("why", v.Reason.Text)
	for _, r := range cluster.Unsaid(v.Reason, slices.Concat(v.Blockers, v.Notes)) {
		row("also", r.Text)
	}
	b.WriteString("\nWhat to do:\n")
	for _, l := range failover.WayOut(p.name(), snap) {
		fmt.Fprintf(&b, "* %s\n", clean(l))
	}
	b.WriteString("* mmm-status says where it stands.\n")
	old := lastActive(a)
	nobody.subject, nobody.body = "nobody could take over from "+orNone(old), b.String()
	held.subject, held.body = "held for more than a minute, no server takes writes, last active "+orNone(old), b.String()
	nobody.overSubject = fmt.Sprintf("hold over, %s is active", orNone(a.Active))
	nobody.overBody = fmt.Sprintf("%s: %s is active and takes writes again, without a change of role.\n", p.name(), orNone(a.Active))
	held.overSubject, held.overBody = nobody.overSubject, nobody.overBody
	return nobody, held
}

func lastActive(a cluster.Assignment) cluster.Endpoint {
	if a.Phase == cluster.PhaseSteady {
		return a.Active
	}
	return a.From
}

// noneLeft are the reasons that no waiting of ours ends.
func noneLeft(code string) bool {
	switch code {
	case failover.NobodyLeft, failover.DrainFailed, failover.ActiveDead, failover.CandidateDown, failover.NotEligible,
		failover.MaxLoss, failover.Errant, failover.Divergent, failover.ReplicationBroken:
		return true
	}
	return false
}

func servers(snap cluster.Snapshot) string {
	var all []string
	for _, e := range snap.Members {
		all = append(all, string(e))
	}
	if len(all) == 0 {
		for _, e := range []cluster.Endpoint{snap.Assignment.From, snap.Assignment.To, snap.Assignment.Active, snap.Assignment.Passive} {
			if e != "" && !slices.Contains(all, string(e)) {
				all = append(all, string(e))
			}
		}
	}
	return strings.Join(all, ", ")
}

// quarantine is a server kept out for what it has and the active lacks.
func (p *pair) quarantine(snap cluster.Snapshot, node cluster.Endpoint) condition {
	c := condition{name: "quarantine " + string(node), delay: overAfter / 2}
	a := snap.Assignment
	var found cluster.Report
	for _, agent := range slices.Sorted(maps.Keys(snap.Reports[node])) {
		r := snap.Reports[node][agent]
		switch {
		case r.Order.Epoch < a.Epoch:
		case r.Deed == cluster.DeedQuarantine:
			c.state, found = cluster.Yes, r
		case c.state != cluster.Yes && (r.Deed == cluster.DeedClosed || r.Deed == cluster.DeedOpen || r.Deed == cluster.DeedCaughtUp || r.Deed == cluster.DeedDrained):
			c.state = cluster.No
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s is in quarantine: it has transactions that the active lacks and is kept out of replication.\n\n", p.name(), node)
	row := func(name, text string) { fmt.Fprintf(&b, "%-12s %s\n", name, clean(text)) }
	row("tag", string(p.name()))
	row("servers", servers(snap))
	row("active", orNone(a.Active))
	row("epoch", fmt.Sprint(a.Epoch))
	row("errant", cmp.Or(found.Errant, "not named"))
	row("why", found.Reason)
	if a.Loss != "" && !a.Estimated && node == a.From {
		row("left behind", a.Loss)
	}
	rejoin := failover.RejoinCommand(p.name(), node)
	b.WriteString("\nWhat to do:\n")
	if other := replacedNow(snap, a.Active); other != "" {
		fmt.Fprintf(&b, "* Find out first which of both has the data. Of %s, the active: %s.\n", a.Active, clean(other))
	}
	fmt.Fprintf(&b, "* Look at these transactions: %[3]s\n  Apply to %[2]s what is to be kept.\n"+
		"* Then give them up: %[3]s --discard\n  Where that is refused, rebuild %[1]s from a copy of %[2]s.\n"+
		"* It joins by itself. Until then nobody can take over from %[2]s.\n", node, orNone(a.Active), rejoin)
	c.subject, c.body = "quarantine "+string(node), b.String()
	c.overSubject = "out of quarantine " + string(node)
	c.overBody = fmt.Sprintf("%s: %s has no transactions of its own any more and is back in the pair; the active is %s.\n", p.name(), node, orNone(a.Active))
	return c
}

// replacedNow says in words that another server answers at node than the pair knew; empty
// when none does.
func replacedNow(snap cluster.Snapshot, node cluster.Endpoint) string {
	for _, monitor := range slices.Sorted(maps.Keys(snap.Observations[node])) {
		if o := snap.Observations[node][monitor]; o.Answered() {
			if other := o.Server.Replaces(snap.Assignment.Known[node]); other != "" {
				return other
			}
		}
	}
	return ""
}

// grants is an agent's account that may not do what a step needs.
func (p *pair) grants(snap cluster.Snapshot, node cluster.Endpoint) condition {
	c := condition{name: "grants " + string(node), delay: overAfter}
	var texts []string
	for _, agent := range slices.Sorted(maps.Keys(snap.Reports[node])) {
		if c.state == cluster.Unknown {
			c.state = cluster.No
		}
		for _, n := range snap.Reports[node][agent].Notes {
			if n.Code == cluster.NoteGrants {
				c.state = cluster.Yes
				if !slices.Contains(texts, n.Text) {
					texts = append(texts, n.Text)
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the account of mmm-agent on %s lacks privileges.\n\n", p.name(), node)
	row := func(name, text string) { fmt.Fprintf(&b, "%-12s %s\n", name, clean(text)) }
	row("tag", string(p.name()))
	row("servers", servers(snap))
	row("epoch", fmt.Sprint(snap.Assignment.Epoch))
	for _, text := range texts {
		row("missing", text)
	}
	fmt.Fprintf(&b, "\nWhat to do:\n* mmmctl check --tag %s names each missing grant with the statement that gives it.\n", p.name())
	c.subject, c.body = "grants missing on "+string(node), b.String()
	return c
}
