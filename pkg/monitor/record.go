package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// record is what is known of the server.
type record struct {
	seq      uint64
	lastGood time.Duration // last answer of any kind
	lostAt   time.Duration // last answer before the last connection ended
	// refusedAt is when a connect was last refused, since the last sample.
	refusedAt time.Duration

	server      cluster.Server
	known       bool
	sampled     time.Duration // when the newest sample began, full or light
	full        time.Duration // when the newest full sample began
	receivedMax gtid.Set
	receivedAll string // receivedMax in text
	receivedAt  string // text last united
	// atStart and superAtStart are the switches at the first contact after a start.
	atStart, superAtStart cluster.Tri

	reply      cluster.Cause // error reply to the last connect
	replyText  string
	errorBegan time.Duration

	sampleCause cluster.Cause // error reply to the last sample
	sampleText  string
	denied      string // the last such text for want of a privilege
}

// takeSample enters a full sample that began at began and returns what a person
// should know of it.
func (r *record) takeSample(began time.Duration, s cluster.Server) string {
	text := ""
	switch {
	case r.known && (s.Identity != r.server.Identity || s.Flavor != r.server.Flavor):
		text = "another server answers at this address"
		r.receivedMax, r.receivedAll, r.receivedAt = gtid.Set{}, "", ""
		r.atStart, r.superAtStart = cluster.Unknown, cluster.Unknown
	case r.known && r.restarted(began, s.UptimeS):
		text = "the server was restarted"
		r.atStart, r.superAtStart = cluster.Unknown, cluster.Unknown
	}
	awaited := r.refusedAt != 0 && began-r.refusedAt <= time.Second
	fresh := awaited || time.Duration(s.UptimeS)*time.Second <= startWindow
	r.refusedAt = 0
	if fresh && (text != "" || !r.known) {
		r.atStart, r.superAtStart = s.ReadOnly, s.SuperReadOnly
		if text == "" {
			text = "the server has just started"
			if !awaited { // somebody may have opened it before this monitor came
				r.atStart, r.superAtStart = yesOnly(r.atStart), yesOnly(r.superAtStart)
			}
		}
	}
	if text != "" && r.atStart != cluster.Unknown {
		text += fmt.Sprintf("; at the first contact read_only was %s", onOff(r.atStart))
	}
	if s.StartsClosed == cluster.Unknown && text == "" {
		s.StartsClosed = r.server.StartsClosed
	}
	s.Users = slices.Clone(s.Users)
	r.server, r.known, r.sampled, r.full = s, true, began, began
	r.lostAt = 0
	r.sampleCause, r.sampleText = cluster.CauseNone, ""
	r.received()
	return text
}

func yesOnly(t cluster.Tri) cluster.Tri { return max(t, cluster.Unknown) }

// restarted reports whether an uptime, read in a sample that began at began,
// shows a start since the sample before. Servers count uptime by a clock that
// may be set, so a small difference to the expected value means nothing.
func (r *record) restarted(began time.Duration, uptime int64) bool {
	if uptime < r.server.UptimeS {
		return true
	}
	return r.lostAt != 0 && time.Duration(uptime)*time.Second < began-r.lostAt
}

// takeChannel enters a light sample.
func (r *record) takeChannel(began time.Duration, c cluster.Channel) {
	if !r.known {
		return
	}
	r.server.Channel, r.sampled = c, began
	r.received()
}

// received adds what the server has received by now to all that it was seen to have received, but
// for what one that was set up anew does not know of.
func (r *record) received() {
	text := r.server.Channel.Received
	if text == "" || text == r.receivedAt {
		return
	}
	set, err := gtid.Parse(r.server.Flavor, text)
	if err != nil {
		r.sampleCause = cluster.CauseOther
		r.sampleText = fmt.Sprintf("read its received position: %v", err)
		return
	}
	if executed, err := gtid.Parse(r.server.Flavor, r.server.Executed); err == nil && r.server.Flavor == cluster.MariaDB {
		r.receivedMax = r.receivedMax.WithoutForgotten(executed.Union(set))
	}
	r.receivedMax, r.receivedAt = r.receivedMax.Union(set), text
	r.receivedAll = r.receivedMax.String()
}

// observe writes the record as it is at now; ok is false when nothing can be
// said yet.
func (w *Watch) observe(now time.Duration) (o cluster.Observation, ok bool) {
	r := &w.rec
	o = cluster.Observation{
		Monitor: w.set.Monitor, Run: w.set.Run, Node: w.set.Node,
		EndedMS: ms(now), LastGoodMS: ms(r.lastGood), Broken: w.broken,
		Server: r.server, SampledMS: ms(r.sampled), FullMS: ms(r.full),
		ReceivedMax: r.receivedAll, ReadOnlyAtStart: r.atStart, SuperReadOnlyAtStart: r.superAtStart,
	}
	o.Server.Users = slices.Clone(r.server.Users)
	switch {
	case w.out.open:
		cause, text, known := w.verdict(now)
		if !known {
			return o, false
		}
		o.Cause, o.Error = cause, text
		o.UnansweredMS, o.Failures = ms(w.out.since), w.out.failures
		o.BeganMS = ms(max(w.pinned.began, w.dial.began, w.out.since))
	case r.reply != cluster.CauseNone:
		o.Cause, o.Error, o.BeganMS = r.reply, r.replyText, ms(r.errorBegan)
	case r.sampleCause != cluster.CauseNone:
		o.Cause, o.Error, o.BeganMS = r.sampleCause, r.sampleText, ms(r.errorBegan)
	default:
		// Readers date what Server says by BeganMS.
		o.BeganMS = ms(r.sampled)
		return o, r.known
	}
	return o, true
}

// publish gives the record as it is at now to the readers.
func (w *Watch) publish(now time.Duration, wake bool) {
	o, ok := w.observe(now)
	if !ok {
		w.recoverBy = 0
		if !w.out.open && w.published != 0 {
			w.published = now
		}
		return
	}
	w.rec.seq++
	o.Seq = w.rec.seq
	legacy := w.legacy(o, now)
	wake = wake || changed(w.last, o)
	if w.out.open {
		if now >= w.markAt() && !w.out.marked {
			w.out.marked, wake = true, true
		}
		w.out.shown = true
	}
	if w.other.unwell && o.SampledMS >= ms(w.other.since) {
		wake = wake || !w.other.shown || now < w.other.since+wakeFor
		w.other.shown = true
	}
	if wake {
		w.news = now
	}
	wake = wake || w.out.open && now < w.news+wakeOn
	w.report(o)
	w.recoverBy = 0
	w.published, w.last = now, o
	w.do(Publish{Observation: o, Legacy: legacy, TTL: w.set.TTL(), Wake: wake})
}

// publishAt is when a record is due although nothing has happened.
func (w *Watch) publishAt() time.Duration {
	at := never
	if !w.out.open {
		if w.published != 0 {
			at = w.published + w.set.Interval + time.Second
		}
		if w.recoverBy != 0 {
			at = min(at, w.recoverBy)
		}
		return at
	}
	if !w.out.marked {
		at = min(at, w.markAt())
	}
	switch {
	case w.out.shown:
		at = min(at, w.published+PingEvery)
	case w.broken && w.pinned.link == 0:
		at = min(at, w.brokeAt+breakGrace)
	}
	return at
}

const never = time.Duration(1<<63 - 1)

// changed reports whether b differs from a in something to look at at once.
func changed(a, b cluster.Observation) bool {
	s, t := a.Server, b.Server
	return a.Seq == 0 || a.Cause != b.Cause || a.Broken != b.Broken ||
		s.Identity != t.Identity || s.UptimeS > t.UptimeS || s.ReadOnly != t.ReadOnly || s.SuperReadOnly != t.SuperReadOnly ||
		s.GTIDMode != t.GTIDMode || s.Mark != t.Mark || s.LogsReplicaUpdates != t.LogsReplicaUpdates || channelChanged(s.Channel, t.Channel)
}

func channelChanged(a, b cluster.Channel) bool {
	return a.Configured != b.Configured || a.Source != b.Source || a.IO != b.IO || a.SQL != b.SQL || a.GTID != b.GTID ||
		a.IOErrno != b.IOErrno || a.SQLErrno != b.SQLErrno || (a.Delay == 0) != (b.Delay == 0)
}

func ms(d time.Duration) int64 { return d.Milliseconds() }

func onOff(t cluster.Tri) string {
	switch t {
	case cluster.Yes:
		return "on"
	case cluster.No:
		return "off"
	}
	return "not known"
}
