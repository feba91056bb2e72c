package monitor

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// outage is the time since the first probe without an answer.
type outage struct {
	open     bool
	since    time.Duration
	cause    cluster.Cause // of the last connect that failed in it
	text     string
	failures int
	marked   bool // its silence was published as such
	shown    bool // a record of it was published
}

// unanswered opens the outage unless it is open.
func (w *Watch) unanswered(since time.Duration) {
	if w.out.open {
		return
	}
	w.out = outage{open: true, since: since}
	w.dial.gap, w.dial.cause = 0, cluster.CauseNone
}

// alive ends the outage: the server answered something.
func (w *Watch) alive(now time.Duration) {
	w.rec.lastGood = now
	w.out = outage{}
	if w.pinned.link != 0 {
		w.dial.next = now
	}
}

// markAt is when the silence of the outage has lasted as long as is to be published.
func (w *Watch) markAt() time.Duration {
	base := w.rec.lastGood
	if base == 0 {
		base = w.out.since
	}
	return base + w.set.Silence()
}

// verdict is why the server does not answer; known is false until that can be said.
func (w *Watch) verdict(now time.Duration) (cause cluster.Cause, text string, known bool) {
	switch {
	case w.out.cause != cluster.CauseNone:
		return w.out.cause, w.out.text, true
	case w.broken && w.pinned.link == 0 && now >= w.brokeAt+breakGrace:
		return cluster.CauseReset, "the connection ended", true
	case now >= w.markAt():
		return cluster.CauseConnectTimeout, "no answer", true
	}
	return cluster.CauseNone, "", false
}

// connectFailed takes a connect that did not succeed. An error reply is an
// answer; it leaves the server without a pinned connection and alive.
func (w *Watch) connectFailed(now time.Duration, e ConnectFailed) {
	if e.Link == 0 || e.Link != w.dial.link {
		return
	}
	w.dial.link = 0
	silent := e.Cause.MayBeDead() || e.Cause == cluster.CauseUnreachable
	if w.pinned.link != 0 && !w.out.open {
		if !silent {
			w.alive(now)
		}
		if w.renewAt != 0 {
			w.nextSample = now
		}
		return
	}
	if !silent {
		w.alive(now)
		w.rec.reply, w.rec.replyText, w.rec.errorBegan = e.Cause, e.Text, w.dial.began
		w.redialLater(now, e.Cause)
		w.publish(now, false)
		return
	}
	timedOut := e.Cause == cluster.CauseConnectTimeout || e.Cause == cluster.CauseAnswerTimeout
	if w.dial.void && timedOut {
		w.dial.next = now
		return
	}
	w.rec.reply, w.rec.replyText = cluster.CauseNone, ""
	w.unanswered(w.dial.began)
	w.redialLater(now, e.Cause)
	w.out.failures++
	if e.Cause == cluster.CauseUnreachable && w.out.cause.MayBeDead() {
		// A host that has been silent becomes "no route to host" on its own
		// network once its neighbours have forgotten it.
		return
	}
	news := w.out.cause != e.Cause
	w.out.cause, w.out.text = e.Cause, e.Text
	if news {
		w.publish(now, false)
	}
}

// redialLater sets the time of the next connect after one that failed by cause.
func (w *Watch) redialLater(now time.Duration, cause cluster.Cause) {
	first, most := firstGap, PingEvery
	switch cause {
	case cluster.CauseReset:
		first = time.Millisecond
	case cluster.CauseRefused:
		w.rec.refusedAt = now
		if now-w.out.since < quickFor {
			most = quickRetry
		}
	case cluster.CauseConnectTimeout:
		// The attempt itself lasted connect_timeout.
		w.dial.next = max(now, w.dial.began+PingEvery)
		return
	case cluster.CauseAnswerTimeout:
		// A hung server keeps each connect in its queue and counts it against
		// max_connect_errors when it wakes; the question pending on the pinned
		// connection hears it wake at once.
		if now < w.markAt()+w.set.ConnectTimeout {
			w.dial.next = max(now, w.dial.began+PingEvery)
			return
		}
		first, most = PingEvery, 2*time.Second
		if w.pinned.op == OpPing {
			most = 15 * time.Second
		}
	case cluster.CauseUnreachable, cluster.CauseTooMany:
		first, most = PingEvery/2, time.Second
	default:
		// Each attempt is a line in the server's log.
		first, most = PingEvery, max(time.Second, w.set.Interval)
	}
	if w.dial.gap == 0 || w.dial.cause != cause {
		w.dial.gap, w.dial.cause = first, cause
	} else {
		w.dial.gap = min(2*w.dial.gap, most)
	}
	w.dial.next = now + w.dial.gap
}
