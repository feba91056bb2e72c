package monitor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// world is a server of moods and the network before it, in virtual time.
type world struct {
	rnd   *rand.Rand
	mood  mood
	since time.Duration
	slack time.Duration // for a connect under way when the mood began
	hides bool          // the sessions of others; one that fills up goes on with it
	w     *Watch
	now   time.Duration
	queue []coming
	links map[Link]*wire
	seq   uint64

	lastAnswer time.Duration // handed to the watch
	last       cluster.Observation
	published  time.Duration
	faults     []string
}

type mood string

const (
	up    mood = "up"
	dead  mood = "dead"
	hung  mood = "hung"
	black mood = "black hole"
	full  mood = "full"
	slow  mood = "sample held back"
	poor  mood = "sample denied"
	coy   mood = "sessions hidden"
)

type coming struct {
	at time.Duration
	ev Event
}

type wire struct {
	open bool
	op   Op
}

func (x *world) fault(format string, args ...any) {
	x.faults = append(x.faults, fmt.Sprintf("%v (%s since %v): ", x.now, x.mood, x.since)+fmt.Sprintf(format, args...))
}

func (x *world) later(d time.Duration, ev Event) {
	x.queue = append(x.queue, coming{x.now + d, ev})
	slices.SortStableFunc(x.queue, func(a, b coming) int { return int(a.at - b.at) })
}

func (x *world) jitter() time.Duration { return time.Duration(x.rnd.IntN(3000)+100) * time.Microsecond }

func (x *world) dial(l Link) {
	for other, v := range x.links {
		if !v.open {
			x.fault("dials %d while %d is under way", l, other)
		}
	}
	x.links[l] = &wire{}
	switch x.mood {
	case up, slow, poor, coy:
		x.later(x.jitter(), Connected{l})
	case dead:
		x.later(x.jitter()/10, ConnectFailed{l, cluster.CauseRefused, "refused"})
	case hung:
		x.later(time.Second, ConnectFailed{l, cluster.CauseAnswerTimeout, "hung"})
	case black:
		x.later(time.Second, ConnectFailed{l, cluster.CauseConnectTimeout, "silent"})
	case full:
		x.later(x.jitter(), ConnectFailed{l, cluster.CauseTooMany, "full"})
	}
}

func (x *world) ask(l Link, op Op) {
	v := x.links[l]
	if v == nil || !v.open || v.op != OpNone {
		x.fault("asks %v on link %d: %+v", op, l, v)
		return
	}
	if op != OpPing {
		for other, v := range x.links {
			if v.op == OpSample || v.op == OpChannel {
				x.fault("a second sample, on %d beside %d", l, other)
			}
		}
	}
	v.op = op
	x.answerLater(l)
}

func (x *world) answerLater(l Link) {
	v := x.links[l]
	if !v.open || v.op == OpNone {
		return
	}
	server := replica(nodeB)
	if x.hides {
		server.Sessions = -1
	}
	switch {
	case x.mood == up, x.mood == full, x.mood == coy, (x.mood == slow || x.mood == poor) && v.op == OpPing:
		x.later(x.jitter(), Answered{Link: l, Op: v.op, Server: server, Channel: server.Channel})
	case x.mood == poor:
		x.later(x.jitter(), Failed{Link: l, Op: v.op, Cause: cluster.CauseOther, Text: "no privilege", Denied: true})
	}
}

func (x *world) change() {
	was := x.mood
	x.mood = []mood{up, up, dead, hung, black, full, slow, poor, coy}[x.rnd.IntN(9)]
	if was == x.mood {
		return
	}
	x.since, x.slack = x.now, 0
	x.hides = x.mood == coy || x.mood == full && x.hides
	if was == black {
		x.slack = time.Second
	}
	links := make([]Link, 0, len(x.links))
	for l := range x.links {
		links = append(links, l)
	}
	slices.Sort(links)
	if !slices.ContainsFunc(links, func(l Link) bool { return x.links[l].open }) {
		x.slack = 3 * time.Second // nothing ends, and connects have become rare
	}
	for _, l := range links {
		v := x.links[l]
		switch {
		case v.open && x.mood == dead:
			x.later(x.jitter()/10, Ended{l})
		case !v.open && x.mood == dead && was != black:
			x.later(x.jitter()/10, ConnectFailed{l, cluster.CauseReset, "reset"})
		case !v.open && was == hung && (x.mood == up || x.mood == slow || x.mood == poor || x.mood == coy):
			x.later(x.jitter(), Connected{l})
		case !v.open && was == hung && x.mood == full:
			x.later(x.jitter(), ConnectFailed{l, cluster.CauseTooMany, "full"})
		case v.open && (was == hung || was == black || was == slow):
			x.answerLater(l)
		}
	}
}

// deliver reports whether the event still makes sense in the world.
func (x *world) deliver(ev Event) bool {
	switch e := ev.(type) {
	case Connected:
		if v := x.links[e.Link]; v == nil || v.open {
			return false
		} else if x.mood == hung || x.mood == black {
			x.later(time.Second, ConnectFailed{e.Link, cluster.CauseAnswerTimeout, "hung"})
			return false
		} else if x.mood == dead {
			delete(x.links, e.Link)
			x.step(ConnectFailed{e.Link, cluster.CauseReset, "reset"})
			return false
		} else {
			v.open = true
		}
		x.lastAnswer = x.now
	case ConnectFailed:
		if v := x.links[e.Link]; v == nil || v.open {
			return false
		}
		delete(x.links, e.Link)
		if e.Cause == cluster.CauseTooMany {
			x.lastAnswer = x.now
		}
	case Answered:
		v := x.links[e.Link]
		if v == nil || v.op != e.Op || x.mood == dead || x.mood == hung || x.mood == black {
			return false
		}
		v.op = OpNone
		x.lastAnswer = x.now
	case Failed:
		v := x.links[e.Link]
		if v == nil || v.op != e.Op || x.mood == dead || x.mood == hung || x.mood == black {
			return false
		}
		v.op = OpNone
		x.lastAnswer = x.now
	case Ended:
		if x.links[e.Link] == nil {
			return false
		}
	}
	return true
}

func (x *world) step(ev Event) {
	for _, a := range x.w.Handle(x.now, ev) {
		switch a := a.(type) {
		case Dial:
			x.dial(a.Link)
		case Ask:
			x.ask(a.Link, a.Op)
		case Drop:
			delete(x.links, a.Link)
		case Publish:
			x.check(a)
		}
	}
	if x.w.Next() <= x.now {
		x.fault("wants a tick in the past: %v", x.w.Next())
	}
	if len(x.links) > 3 {
		x.fault("%d links", len(x.links))
	}
}

func (x *world) check(p Publish) {
	o := p.Observation
	x.seq++
	if o.Seq != x.seq || o.EndedMS != ms(x.now) {
		x.fault("seq %d, ended %d", o.Seq, o.EndedMS)
	}
	if o.Answered() && (o.UnansweredMS != 0 || o.Failures != 0 || o.Broken) {
		x.fault("answered and yet %+v", o)
	}
	if o.LastGoodMS != ms(x.lastAnswer) {
		x.fault("last good answer %d, was %v", o.LastGoodMS, x.lastAnswer)
	}
	if o.Cause.MayBeDead() && (o.UnansweredMS == 0 || o.UnansweredMS < o.LastGoodMS-1 && o.LastGoodMS != 0) {
		x.fault("unanswered since %d, last good %d", o.UnansweredMS, o.LastGoodMS)
	}
	if p.Legacy != nil && !p.Legacy.Ping && (x.mood == up || x.mood == full || x.mood == slow || x.mood == poor || x.mood == coy) && x.now-x.since > 3500*time.Millisecond {
		x.fault("a living server is given out for dead")
	}
	x.last, x.published = o, x.now
}

// settled checks what must be known once a mood has lasted.
func (x *world) settled() {
	lasted := x.now - x.since
	c := x.last.Cause
	switch {
	case x.mood == dead && lasted > x.slack+300*time.Millisecond && c != cluster.CauseRefused && x.seq > 0 && x.lastAnswer > 0:
		x.fault("dead, and the record says %q", c)
	case x.mood == hung && lasted > 2200*time.Millisecond && (c != cluster.CauseAnswerTimeout && c != cluster.CauseConnectTimeout || x.last.SilentMS() < 1900):
		x.fault("hung, and the record says %q for %d ms", c, x.last.SilentMS())
	case x.mood == black && lasted > 2300*time.Millisecond && (!c.MayBeDead() || x.last.SilentMS() < 1900):
		x.fault("silent, and the record says %q for %d ms", c, x.last.SilentMS())
	case (x.mood == up || x.mood == coy) && lasted > 2500*time.Millisecond+3*time.Second && c != cluster.CauseNone:
		x.fault("up, and the record says %q", c)
	case x.mood == poor && lasted > 9*time.Second && (c != cluster.CauseOther || x.last.UnansweredMS != 0):
		x.fault("denied, and the record says %q", c)
	case x.mood == slow && lasted > 9*time.Second && c != cluster.CauseOther:
		x.fault("held back, and the record says %q", c)
	}
	if x.seq > 0 && x.now-x.published > 9*time.Second {
		x.fault("the last record has expired")
	}
}

func TestRandomSchedules(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		x := &world{rnd: rand.New(rand.NewPCG(uint64(seed), 7)), mood: up, now: time.Second, since: time.Second, links: map[Link]*wire{},
			w: NewWatch(Settings{Monitor: "m", Run: "r", Node: nodeA, Other: nodeB, Interval: 3 * time.Second, ConnectTimeout: time.Second, TryTimes: 2})}
		x.step(Tick{})
		nextMood, nextOther := x.now, x.now
		for x.now < 10*time.Minute && len(x.faults) == 0 {
			at := min(x.w.Next(), nextMood, nextOther)
			if len(x.queue) > 0 {
				at = min(at, x.queue[0].at)
			}
			x.now = at
			x.settled()
			switch {
			case len(x.queue) > 0 && x.queue[0].at == at:
				ev := x.queue[0].ev
				x.queue = x.queue[1:]
				if x.deliver(ev) {
					x.step(ev)
				}
				// What follows an answer at once shows whether it was heard.
				if e, ok := ev.(ConnectFailed); ok && e.Cause == cluster.CauseTooMany && x.rnd.IntN(5) == 0 {
					nextMood = at
				}
			case nextMood == at:
				x.change()
				nextMood = at + time.Duration(x.rnd.IntN(15000)+1)*time.Millisecond
			case nextOther == at:
				x.step(OtherMember{x.rnd.IntN(2) == 0})
				nextOther = at + time.Duration(x.rnd.IntN(10000)+1)*time.Millisecond
			default:
				x.step(Tick{})
			}
		}
		if len(x.faults) > 0 {
			t.Fatalf("seed %d: %s", seed, x.faults[0])
		}
	}
}
