package monitor

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Watch follows one server. It is a value machine: Handle takes an event and
// the time at which it happened and returns what is to be done; Next says when
// it wants a Tick at the latest. Times count from the beginning of the run and
// must be greater than zero and never fall.
type Watch struct {
	set   Settings
	armed time.Duration // what Next said last; 0 before the first event

	lastLink Link
	pinned   line // the connection kept open; asked one question at a time
	stuck    line // a connection on which the server holds back a sample
	stuckFor time.Duration
	dial     dialing
	// renewAt is when a new connection is to take the place of the pinned one,
	// whose session goes on without privileges that were granted since; 0 when not.
	renewAt time.Duration

	nextPing, nextSample, nextChannel time.Duration
	channelGap                        time.Duration
	pingTook, sampleTook              time.Duration // the last answers of their kind

	other otherMember
	told  bool // the other watch was told of trouble here

	broken  bool // the pinned connection ended and none was made since
	brokeAt time.Duration
	out     outage
	rec     record

	recoverBy time.Duration // publish by then that it answers again; 0 when not due
	published time.Duration // when a record was last published; 0 never
	news      time.Duration // when one had something to look at at once
	last      cluster.Observation
	said      saying

	actions []Action
}

// line is one open connection and the question pending on it.
type line struct {
	link  Link
	op    Op
	began time.Duration
}

type dialing struct {
	link  Link // attempt under way
	began time.Duration
	void  bool          // the attempt spans a pause of ours: its time-out says nothing
	next  time.Duration // not before
	gap   time.Duration
	cause cluster.Cause // of the gap
}

// otherMember is what is known of the other member's trouble.
type otherMember struct {
	unwell bool
	since  time.Duration
	shown  bool // a sample begun since then was published
}

// NewWatch makes the watch of one server.
func NewWatch(set Settings) *Watch {
	return &Watch{set: set.withDefaults(), stuckFor: stuckFirst}
}

// Handle takes ev, which happened at now, and returns the actions in the order
// in which they are to be begun. They are the caller's until it calls again.
func (w *Watch) Handle(now time.Duration, ev Event) []Action {
	clear(w.actions)
	w.actions = w.actions[:0]
	w.forgive(now)
	switch e := ev.(type) {
	case Connected:
		w.connected(now, e.Link)
	case ConnectFailed:
		w.connectFailed(now, e)
	case Ponged:
		w.answered(now, Answered{Link: e.Link, Op: OpPing})
	case Answered:
		w.answered(now, e)
	case Failed:
		w.failed(now, e)
	case Ended:
		w.ended(now, e.Link)
	case OtherMember:
		w.otherChanged(now, e.Unwell)
	}
	w.step(now)
	w.armed = w.next(now)
	return w.actions
}

// Next is when the watch wants a Tick unless another event comes first.
func (w *Watch) Next() time.Duration { return w.armed }

func (w *Watch) do(a Action) { w.actions = append(w.actions, a) }

// forgive takes time for which the monitor did not run out of every measure of
// silence: answers may have come that nobody read.
func (w *Watch) forgive(now time.Duration) {
	lag := now - w.armed
	if w.armed == 0 || lag <= lateTick {
		return
	}
	for _, t := range []*time.Duration{&w.rec.lastGood, &w.rec.lostAt, &w.out.since, &w.brokeAt, &w.pinned.began,
		&w.stuck.began, &w.dial.began, &w.recoverBy, &w.other.since} {
		if *t != 0 {
			*t += lag
		}
	}
	w.dial.void = w.dial.link != 0
	w.do(Say{Warn: true, Text: "the monitor itself was held up", Hint: "its host was paused, or has too little processor time",
		Err: lag.Round(time.Millisecond).String()})
}

// step does what time and the new state make due.
func (w *Watch) step(now time.Duration) {
	if w.pinned.op != OpNone && now >= w.suspectAt() {
		w.unanswered(w.pendingSince())
	}
	w.minds(now)
	if now >= w.dialAt() {
		if w.renewAt != 0 && !w.out.open {
			// The new connection is sampled at once, and the old one in its place
			// when there is no new one.
			w.renewAt = now + w.set.Interval
			w.nextSample = w.renewAt
		}
		w.lastLink++
		w.dial.link, w.dial.began, w.dial.void = w.lastLink, now, false
		w.do(Dial{w.lastLink})
	}
	if w.pinned.link != 0 && w.pinned.op == OpNone {
		if op, at := w.nextOp(now); now >= at {
			w.ask(now, op)
		}
	}
	if w.out.open != w.told {
		w.told = w.out.open
		w.do(Tell{w.told})
	}
	if now >= w.publishAt() {
		w.publish(now, false)
	}
}

// next is the earliest instant at which step has something to do.
func (w *Watch) next(now time.Duration) time.Duration {
	at := now + PingEvery
	if w.pinned.op != OpNone && !w.out.open {
		at = min(at, w.suspectAt())
	}
	at = min(at, w.dialAt())
	if w.pinned.link != 0 && w.pinned.op == OpNone {
		_, due := w.nextOp(now)
		at = min(at, due)
	}
	return max(min(at, w.publishAt()), now+time.Millisecond)
}

// dialAt is when a new connect is to be tried.
func (w *Watch) dialAt() time.Duration {
	switch {
	case w.dial.link != 0:
	case w.pinned.link == 0 || w.out.open:
		return w.dial.next
	case w.renewAt != 0 && w.stuck.link == 0:
		return w.renewAt
	}
	return never
}

// pendingSince is from when on the pending question counts as unanswered: an
// answer on another connection meanwhile was an answer.
func (w *Watch) pendingSince() time.Duration { return max(w.pinned.began, w.rec.lastGood) }

func (w *Watch) suspectAt() time.Duration {
	took := w.pingTook
	if w.pinned.op != OpPing {
		took = w.sampleTook
	}
	return w.pendingSince() + min(max(suspectAfter, 3*took), w.set.ConnectTimeout/2)
}

// nextOp is the next question on the idle pinned connection, and its time; of
// several that are due, the one that tells most.
func (w *Watch) nextOp(now time.Duration) (Op, time.Duration) {
	op, at := OpPing, max(w.nextPing, now)
	if w.stuck.link != 0 {
		return op, at
	}
	if w.other.unwell {
		// Light samples never are further apart than pings.
		op, at = OpChannel, max(w.nextChannel, now)
	}
	if w.nextSample <= at {
		op, at = OpSample, max(w.nextSample, now)
	}
	return op, at
}

func (w *Watch) ask(now time.Duration, op Op) {
	w.pinned.op, w.pinned.began = op, now
	w.nextPing = beat(now + PingEvery)
	switch op {
	case OpSample:
		w.nextSample = now + w.set.Interval
		if w.set.Interval >= 4*PingEvery {
			w.nextSample = beat(w.nextSample)
		}
	case OpChannel:
		w.nextChannel = now + w.channelGap
		if w.channelGap >= PingEvery {
			w.nextChannel = w.nextPing
		}
		w.channelGap = min(w.channelGap*3/2, PingEvery)
	}
	w.do(Ask{w.pinned.link, op})
}

// beat is the last multiple of PingEvery up to t. All watches of a run probe on
// the beat: a process that is woken once for all of them costs less.
func beat(t time.Duration) time.Duration { return t / PingEvery * PingEvery }

// minds watches over a sample that the server holds back.
func (w *Watch) minds(now time.Duration) {
	if w.stuck.link == 0 {
		return
	}
	held := now - w.stuck.began
	if held >= w.set.Silence() && w.rec.sampleCause == cluster.CauseNone {
		w.rec.sampleCause = cluster.CauseOther
		w.rec.sampleText = "it answers pings and holds back its replication status"
		w.rec.errorBegan = w.stuck.began
		w.publish(now, false)
	}
	if held >= w.stuckFor {
		w.do(Drop{w.stuck.link})
		w.stuck = line{}
		w.stuckFor = min(2*w.stuckFor, stuckMax)
		w.nextSample = now
	}
}

func (w *Watch) otherChanged(now time.Duration, unwell bool) {
	if unwell == w.other.unwell {
		return
	}
	w.other = otherMember{unwell: unwell, since: now}
	w.nextChannel, w.channelGap = now, firstGap
}

// connected makes link the pinned connection unless the one there is has
// answered meanwhile and serves as well.
func (w *Watch) connected(now time.Duration, link Link) {
	if link != w.dial.link {
		w.do(Drop{link})
		return
	}
	w.dial.link = 0
	shown := w.out.shown
	waiting := w.pinned.link != 0
	if waiting && !w.out.open && w.renewAt == 0 {
		w.do(Drop{link})
		w.alive(now)
		return
	}
	w.alive(now)
	switch w.pinned.op {
	case OpSample, OpChannel:
		w.stuck = w.pinned
	default:
		if waiting {
			w.do(Drop{w.pinned.link})
		}
	}
	w.pinned = line{link: link}
	w.broken, w.brokeAt, w.renewAt = false, 0, 0
	w.rec.reply, w.rec.replyText = cluster.CauseNone, ""
	w.nextPing, w.nextSample, w.dial.next = beat(now+PingEvery), now, now
	if shown || w.last.Cause != cluster.CauseNone {
		w.recoverBy = now + PingEvery
	}
}

func (w *Watch) answered(now time.Duration, e Answered) {
	var asked line
	switch e.Link {
	case 0:
		return
	case w.pinned.link:
		asked = w.pinned
		w.pinned.op = OpNone
	case w.stuck.link:
		asked = w.stuck
		w.stuck = line{}
		w.do(Drop{e.Link})
	default:
		return
	}
	shown := w.out.shown || w.rec.reply != cluster.CauseNone
	w.alive(now)
	w.rec.reply, w.rec.replyText = cluster.CauseNone, ""
	if e.Op == OpPing {
		w.pingTook = now - asked.began
		if shown {
			w.nextSample = now
			w.publish(now, true)
		}
		return
	}
	if e.Op == OpSample {
		w.sampleTook = now - asked.began
		w.stuckFor = stuckFirst
		if text := w.rec.takeSample(asked.began, e.Server); text != "" {
			w.do(Say{Text: text})
		}
		w.renewAt = 0
		if e.Server.Sessions < 0 && e.Link == w.pinned.link {
			w.renewAt = w.nextSample // it hides the sessions of others: PROCESS is missing
		}
		w.publish(now, false)
		return
	}
	w.rec.takeChannel(asked.began, e.Channel)
	due := w.other.unwell && (!w.other.shown || now >= w.published+PingEvery)
	if due || shown || w.moved(w.rec.server.Channel) {
		w.publish(now, shown)
	}
}

// moved reports whether the channel differs from the published one in anything
// that tells of its source.
func (w *Watch) moved(c cluster.Channel) bool {
	p := w.last.Server.Channel
	return channelChanged(p, c) || p.Received != c.Received || p.Heartbeats != c.Heartbeats
}

// failed takes a question that was not answered: the connection is lost, unless
// it was an error reply to a sample. No server refuses a ping, so that a ping
// that fails for any reason ends the use of its connection.
func (w *Watch) failed(now time.Duration, e Failed) {
	if e.Link == 0 || e.Link != w.pinned.link && e.Link != w.stuck.link {
		return
	}
	if e.Cause == cluster.CauseReset {
		w.ended(now, e.Link)
		return
	}
	lost := e.Op == OpPing || e.Cause.MayBeDead() || e.Cause == cluster.CauseUnreachable
	if e.Link == w.stuck.link {
		w.do(Drop{e.Link})
		w.stuck = line{}
		if !lost {
			w.sampleFailed(now, e)
		}
		return
	}
	if !lost {
		w.pinned.op = OpNone
		if e.Denied && w.renewAt == 0 {
			w.renewAt = max(now, w.nextSample)
		}
		w.sampleFailed(now, e)
		return
	}
	since := w.pendingSince()
	w.lose(e.Link)
	w.unanswered(since)
	w.out.failures++
	w.dial.next = min(w.dial.next, now)
}

// sampleFailed takes an error reply to a sample: the server lives.
func (w *Watch) sampleFailed(now time.Duration, e Failed) {
	w.alive(now)
	w.rec.sampleCause, w.rec.sampleText, w.rec.errorBegan = e.Cause, e.Text, now
	if e.Denied {
		w.rec.denied = e.Text
	}
	w.publish(now, false)
}

// ended takes the end of an open connection: the new connect follows at once.
func (w *Watch) ended(now time.Duration, link Link) {
	switch link {
	case 0:
		return
	case w.stuck.link:
		w.do(Drop{link})
		w.stuck = line{}
		return
	case w.pinned.link:
	default:
		return
	}
	since := now
	if w.pinned.op != OpNone {
		since = min(since, w.pendingSince())
	}
	w.lose(link)
	w.broken, w.brokeAt = true, now
	w.unanswered(since)
	w.out.failures++
	w.dial.next, w.dial.gap, w.dial.cause = now, 0, cluster.CauseNone
}

// lose gives the pinned connection up.
func (w *Watch) lose(link Link) {
	w.do(Drop{link})
	w.pinned = line{}
	if w.rec.lostAt == 0 {
		w.rec.lostAt = w.rec.lastGood
	}
}
