package exhaustive

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// world is everything at one instant, by numbers in the lab: two worlds are one
// state when they are equal.
type world struct {
	redis   uint32
	before  uint32 // Redis before the last change of the record; 0 once it has lost something
	gap     int8   // by how much its newest token is older
	who     [2]uint32
	srv     [2]uint32
	agent   uint32
	late    late
	mail    [3]message // on the way to Redis, in order; a zero one is none
	newest  uint32     // the record that was written last
	named   uint32     // two bits for each epoch: who was named active in it, as far as Redis kept it
	obeyed  uint32     // or the agents obeyed it
	window  bool       // the last automatic promotion was less than failoverBlock ago
	doubled bool       // a transition has been doubled
	waits   [2]bool    // for the answer to a transition
	tokens  [2]token
	left    int8 // faults that may still happen
}

// act is one kind of event.
type act uint8

const (
	actRead act = iota
	actDecide
	actArrive
	actLook
	actWork
	actResume
	actStart
	actReceive
	actApply
	actMoment

	actDie
	actHold
	actGiveUp
	actArriveTwice
	actEmpty
	actRollBack
	actWhile

	actFirstFault = actDie
)

// event is an act upon one of two or three; swapped tells that the identifies
// have changed places in the world that it leads to.
type event struct {
	act     act
	at      uint8
	swapped bool
}

// step is an event, the world that it leads to and what it breaks.
type step struct {
	event
	to    world
	fault string
}

// next gives every event that can happen in w and changes anything.
func (l *lab) next(w world, all []step) []step {
	all = all[:0]
	try := func(a act, at int, do func(w *world) string) {
		to := w
		if a >= actFirstFault && l.o.Faults >= 0 {
			if w.left == 0 {
				return
			}
			to.left--
		}
		bare := to
		fault := do(&to)
		if fault == "" && l.bothOpen(&to) {
			fault = "I1b: both servers are open"
		}
		swapped := l.order(&to)
		if fault != "" || to != bare {
			all = append(all, step{event{a, uint8(at), swapped}, to, fault})
		}
	}
	for i := range 2 {
		switch read := l.brains.of(w.who[i]).snap != nil; {
		case read:
			try(actDecide, i, func(w *world) string { return l.doDecide(w, i) })
		case w.waits[i]:
		case l.o.Apart:
			try(actRead, i, func(w *world) string { return l.doRead(w, i) })
		default:
			try(actDecide, i, func(w *world) string {
				if fault := l.doRead(w, i); fault != "" {
					return fault
				}
				return l.doDecide(w, i)
			})
		}
	}
	for m, msg := range w.mail {
		if msg.what == 0 {
			continue
		}
		try(actArrive, m, func(w *world) string { return l.doArrive(w, m, false) })
		if !msg.late {
			try(actGiveUp, m, func(w *world) string { return l.doGiveUp(w, m) })
		}
		if !w.doubled {
			try(actArriveTwice, m, func(w *world) string { return l.doArrive(w, m, true) })
		}
	}
	try(actLook, 0, l.doLook)
	for i := range 2 {
		try(actWork, i, func(w *world) string { return l.doWork(w, i, acting) })
		if w.late.kind == 0 {
			try(actHold, i, func(w *world) string { return l.doWork(w, i, holding) })
		}
		s := l.servers.of(w.srv[i])
		if s.up {
			try(actDie, i, func(w *world) string { return l.doServer(w, i, s.die()) })
		} else {
			try(actStart, i, func(w *world) string { return l.doServer(w, i, s.start(l.o.BackOpen)) })
		}
		try(actReceive, i, func(w *world) string { return l.doServer(w, i, s.hear(l.servers.of(w.srv[1-i]))) })
		try(actApply, i, func(w *world) string { return l.doServer(w, i, s.apply()) })
	}
	if w.late.kind != 0 {
		try(actResume, int(w.late.server), l.doResume)
	}
	if w.before != 0 {
		try(actEmpty, 0, func(w *world) string {
			w.renumber(-int(l.redis.of(w.redis).snap.Leader.Token))
			w.redis, w.before, w.gap, w.named = l.empty(w.redis), 0, 0, w.obeyed
			return ""
		})
		try(actRollBack, 0, func(w *world) string {
			w.renumber(-int(w.gap))
			w.redis, w.before, w.gap, w.named = w.before, 0, 0, w.obeyed
			return ""
		})
	}
	try(actMoment, 0, func(w *world) string { return l.doTime(w, 1) })
	try(actWhile, 0, func(w *world) string { return l.doTime(w, 2) })
	return all
}

func (l *lab) doRead(w *world, i int) string {
	r := l.read(w.redis, w.who[i], w.srv, i, w.tokens[i])
	w.redis, w.who[i] = r.box, r.brain
	w.renumber(r.newer)
	w.gap += int8(r.newer)
	if r.held {
		w.tokens[i] = 0
	}
	return r.fault
}

// renumber counts all tokens from one that is by newer.
func (w *world) renumber(by int) {
	for i := range w.tokens {
		w.tokens[i] = w.tokens[i].shift(by)
	}
	for i := range w.mail {
		if w.mail[i].what != 0 {
			w.mail[i].token = w.mail[i].token.shift(by)
		}
	}
}

func (l *lab) doDecide(w *world, i int) string {
	d := l.decide(w.who[i])
	if d.what != 0 {
		at := slices.Index(w.mail[:], message{})
		if at < 0 {
			return "" // the network is full
		}
		w.mail[at] = message{what: d.what, token: w.tokens[i], sender: uint8(i)}
		w.waits[i] = true
	}
	w.who[i] = d.brain
	return ""
}

func (l *lab) doArrive(w *world, m int, again bool) string {
	msg := w.mail[m]
	before := w.redis
	r := l.transition(w.redis, msg)
	w.redis = r.box
	if !msg.late {
		w.waits[msg.sender] = false
		w.who[msg.sender] = l.answered(w.who[msg.sender], msg, r.err)
	}
	w.mail[m] = message{}
	if again {
		w.mail[m] = msg
		w.mail[m].late, w.doubled = true, true
	}
	if r.fault != "" || r.err != nil {
		return r.fault
	}
	if w.before != 0 {
		w.before, w.gap = before, 0
	}
	return l.judge(w, before, msg)
}

func (l *lab) doGiveUp(w *world, m int) string {
	msg := &w.mail[m]
	w.waits[msg.sender] = false
	w.who[msg.sender] = l.answered(w.who[msg.sender], *msg, errLost)
	msg.late = true
	return ""
}

func (l *lab) doLook(w *world) string {
	a, fault := l.look(w.agent, l.recordOf(w.redis))
	w.agent = a
	l.tell(w)
	rec := l.recordOf(w.redis)
	if l.agents.of(a).remembers != rec {
		return fault
	}
	bit := bitOf(l.recordAt(rec))
	if fault == "" && clashes(w.obeyed, bit) {
		fault = "I3: the agents obey two actives in one epoch, now " + summary(l.recordAt(rec))
	}
	w.obeyed |= bit
	return fault
}

// tell has the agent save what it last said of each server.
func (l *lab) tell(w *world) {
	for _, r := range l.agents.of(w.agent).reports {
		w.redis = l.report(w.redis, r)
	}
}

func (l *lab) doWork(w *world, i int, how how) string {
	return l.worked(w, i, l.work(workKey{agent: w.agent, live: l.recordOf(w.redis), srv: w.srv, i: uint8(i), how: how}))
}

func (l *lab) doResume(w *world) string {
	h := w.late
	w.late = late{}
	return l.worked(w, int(h.server), l.resume(workKey{agent: w.agent, live: l.recordOf(w.redis), srv: w.srv, i: h.server, late: h}))
}

func (l *lab) worked(w *world, i int, r worked) string {
	fault := ""
	if r.opened != 0 {
		at := *w
		at.srv[i] = r.opened
		fault = l.judgeOpening(&at, i, r.under, r.back)
	}
	w.agent, w.srv[i] = r.agent, r.srv
	if r.kills && !l.o.SparesSessions && w.late.server == uint8(i) {
		w.late = late{}
	}
	if r.held.kind != 0 {
		w.late = r.held
	}
	w.redis = l.report(w.redis, r.report)
	return fault
}

func (l *lab) doServer(w *world, i int, s server) string {
	if !s.up && w.late.server == uint8(i) {
		w.late = late{}
	}
	w.srv[i] = l.servers.number(s, s)
	return ""
}

// doTime lets time pass. In a while an agent looks at its servers and saves its
// reports by itself, and what is suspected is old enough to be confirmed.
func (l *lab) doTime(w *world, by age) string {
	w.redis, w.before = l.later(w.redis, by), l.later(w.before, by)
	for i := range 2 {
		w.who[i] = l.laterBrain(w.who[i], by)
		s := l.servers.of(w.srv[i]).age(by)
		w.srv[i] = l.servers.number(s, s)
	}
	if by == 1 {
		return ""
	}
	w.window = false
	a := l.agents.of(w.agent)
	srv := [2]server{l.servers.of(w.srv[0]), l.servers.of(w.srv[1])}
	for i := range 2 {
		a.seen[i] = l.sight(srv, i)
		a.memory[i].confirmed = a.memory[i].suspect != ""
	}
	w.agent = l.agents.number(a, a)
	for i := range 2 {
		l.doWork(w, i, telling)
	}
	return ""
}

// order gives w the form that stands for all worlds that differ only in the
// order of what is on the way and in which identify is which.
func (l *lab) order(w *world) (swapped bool) {
	slices.SortFunc(w.mail[:], compareMessages)
	o := *w
	o.redis, o.before = l.redis.twin[w.redis], l.redis.twin[w.before]
	o.who[0], o.who[1] = w.who[1], w.who[0]
	o.tokens[0], o.tokens[1] = w.tokens[1], w.tokens[0]
	o.waits[0], o.waits[1] = w.waits[1], w.waits[0]
	for i := range o.mail {
		if o.mail[i].what != 0 {
			o.mail[i].sender ^= 1
		}
	}
	slices.SortFunc(o.mail[:], compareMessages)
	if c := cmp.Or(cmp.Compare(o.who[0], w.who[0]), cmp.Compare(o.redis, w.redis), cmp.Compare(o.before, w.before),
		slices.CompareFunc(o.mail[:], w.mail[:], compareMessages), compareBool(o.waits[0], w.waits[0]), cmp.Compare(o.tokens[0], w.tokens[0])); c < 0 {
		*w = o
		return true
	}
	return false
}

func compareMessages(a, b message) int {
	return cmp.Or(cmp.Compare(b.what, a.what), cmp.Compare(a.token, b.token), cmp.Compare(a.sender, b.sender), compareBool(a.late, b.late))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// words tell of an event in w, in which the identifies have the given names.
func (l *lab) words(w world, e event, identifies [2]string) string {
	at := e.at
	switch e.act {
	case actRead:
		r := l.read(w.redis, w.who[at], w.srv, int(at), w.tokens[at])
		led := ""
		if l.redis.of(r.box).snap.Leader != l.redis.of(w.redis).snap.Leader {
			led = "takes the lease and "
		}
		return "identify " + identifies[at] + " " + led + "reads everything"
	case actDecide:
		reads := ""
		if l.brains.of(w.who[at]).snap == nil {
			reads = strings.TrimPrefix(l.words(w, event{act: actRead, at: at}, identifies), "identify "+identifies[at]+" ") + ", "
			l.doRead(&w, int(at))
		}
		d := l.decide(w.who[at])
		if d.what == 0 {
			return fmt.Sprintf("identify %s %sdecides to hold (%s: %s)", identifies[at], reads, d.rule, d.words)
		}
		return fmt.Sprintf("identify %s %sdecides and sends %s", identifies[at], reads, l.describe(d.what))
	case actArrive, actArriveTwice, actGiveUp:
		m := w.mail[at]
		text := fmt.Sprintf("the transition of identify %s, %s, ", identifies[m.sender], l.describe(m.what))
		if e.act == actGiveUp {
			return "identify " + identifies[m.sender] + " waits no longer for the answer to " + l.describe(m.what)
		}
		if r := l.transition(w.redis, m); r.err != nil {
			text += "arrives and is refused"
		} else {
			text += "arrives and is written"
		}
		switch {
		case m.late:
			text += ", late"
		case e.act == actArriveTwice:
			text += ", and a copy is still on its way"
		}
		return text
	case actLook:
		return "the agent reads the record " + summary(l.record(w.redis))
	case actWork, actHold:
		how := acting
		if e.act == actHold {
			how = holding
		}
		r := l.work(workKey{agent: w.agent, live: l.recordOf(w.redis), srv: w.srv, i: at, how: how})
		text := "the agent looks at " + names[at]
		if r.did != "" && e.act == actHold {
			return text + ", begins \"" + string(r.did) + "\" under " + summary(l.recordAt(r.held.rec)) + " and is held up"
		}
		if r.did != "" {
			text += " and does \"" + string(r.did) + "\""
		}
		report := l.reports.of(r.report)
		return fmt.Sprintf("%s: reports %q under %s", text, report.Deed, report.Order)
	case actResume:
		return fmt.Sprintf("the step %q on %s, begun under %s, goes on", kinds[w.late.kind], names[at], summary(l.recordAt(w.late.rec)))
	case actDie:
		return names[at] + " dies"
	case actStart:
		if l.o.BackOpen {
			return names[at] + " comes back, open"
		}
		return names[at] + " comes back, closed"
	case actReceive:
		return names[at] + " receives what its source has"
	case actApply:
		return names[at] + "'s applier catches up"
	case actEmpty:
		return "Redis comes back empty"
	case actRollBack:
		return "Redis loses its last change of the record and all after it, and has " + summary(l.record(w.before))
	case actMoment:
		return "a moment passes (" + moment.String() + ")"
	}
	return "a while passes (" + while.String() + ")"
}

func (l *lab) describe(what uint32) string {
	t := l.transitions.of(what)
	return fmt.Sprintf("%q from %s to %s", t.Event.Kind, t.Expect, summary(t.Next))
}

func summary(a cluster.Assignment) string {
	if !a.Exists() {
		return "(none)"
	}
	text := a.Order().String() + " " + string(a.Phase)
	for _, part := range []struct {
		name string
		e    cluster.Endpoint
	}{{"active", a.Active}, {"from", a.From}, {"to", a.To}} {
		if part.e != "" {
			text += " " + part.name + " " + names[indexOf(part.e)]
		}
	}
	if a.Proof != "" {
		text += " (" + string(a.Proof) + ")"
	}
	return text
}
