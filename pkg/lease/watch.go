package lease

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// idleError is by how much a holder may have been idle for longer than the server
// tells, which rounds.
const idleError = 2 * time.Second

// Watch is kept by whoever takes a lock, over what it knows of those who had it
// before. The server ends the session of a holder that asks nothing for ttl, and a
// holder counts ttl from its last request that was answered.
type Watch struct {
	ttl  time.Duration
	held bool
	// over is when the holders seen up to now have no right left.
	over time.Duration
	// took is what over is at least, for those who had the lock before it was taken last.
	took time.Duration
	// Of the newest look at a holder since the lock was taken last.
	seen      bool
	looked    time.Duration
	idleSince time.Duration // at the latest
}

// Two looks that come within lookSoon of each other see one silence of the holder when the second
// finds it idle for longSince: longer than both and their answers took.
const (
	lookSoon  = time.Second
	longSince = 3 * time.Second
)

// NewWatch begins a watch over leases of length ttl.
func NewWatch(ttl time.Duration) Watch { return Watch{ttl: ttl} }

// Saw takes a look, answered by answered, at a holder that was idle for at least idle. Servers
// round by up to two seconds: the look that tells most of one silence counts.
func (w *Watch) Saw(answered, idle time.Duration) {
	since := answered - idle
	if w.seen && answered-w.looked <= lookSoon && idle >= longSince {
		since = min(since, w.idleSince)
	}
	w.held, w.seen, w.looked, w.idleSince = false, true, answered, since
	w.over = max(w.took, since+w.ttl)
}

// Took takes that the lock was got by answered. Where the last holder seen was not
// ended for being idle, it may have asked something since, as may one that was not seen.
func (w *Watch) Took(answered time.Duration) {
	timedOut := w.seen && answered-w.idleSince+idleError >= w.ttl
	if !timedOut {
		w.took = answered + w.ttl
	}
	w.over = max(w.over, w.took)
	w.held, w.seen = true, false
}

// Lost takes that the lock is not ours any more.
func (w *Watch) Lost() { w.held = false }

// Over reports whether the lock is ours at now and nobody else has a right left by it.
func (w Watch) Over(now time.Duration) bool {
	return w.held && (now >= w.over || safeguard.Off(safeguard.LockAge))
}

// OverIn is how long after now Over can become true at the earliest; 0 when it is, or
// waits for the lock.
func (w Watch) OverIn(now time.Duration) time.Duration {
	if !w.held {
		return 0
	}
	return max(0, w.over-now)
}
