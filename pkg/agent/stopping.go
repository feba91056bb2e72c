package agent

import (
	"context"
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// doubtAfter is how long an answer of a server stands against a monitor's doubt.
const doubtAfter = 100 * time.Millisecond

var errStopping = errors.New("it is being stopped")

// doubt has an open server asked soon whether it still answers. A server that is being stopped
// leaves idle sessions alone for seconds: it says so only when it is asked.
func (w *worker) doubt() {
	w.doubted.Store(true)
	w.wake.Set()
}

// doubtful reports whether the server is to be asked since somebody has doubts.
func (w *worker) doubtful() bool {
	return w.doubted.Swap(false) && w.acts && w.sample.Open() && w.now() >= w.sample.At+doubtAfter
}

// closedLast reports whether err says that the open server is being stopped, and the spare connection was in time to
// close it: nothing is written from then on, though it may not be gone for seconds.
func (w *worker) closedLast(err error) bool {
	if !w.p.a.o.Stopping(err) || !w.acts || !w.sample.Open() || w.sample.Server.Flavor != cluster.MySQL {
		return false
	}
	s := w.links.takeSpare()
	if s == nil {
		return false
	}
	defer func() { _ = s.Close() }()
	ctx, cancel := w.call(context.Background())
	defer cancel()
	began := w.now()
	if err := s.SetReadOnlyLast(ctx); err != nil {
		w.log.Info().Err(err).Msg("the server is being stopped, and could not be closed before")
		return false
	}
	w.closing = true
	w.host.ended, w.host.stopped = max(1, w.uptime()), true
	w.log.Warn().Int64("uptime_s", w.host.ended).Dur("took", w.now()-began).Msg("the server is being stopped: it was closed with its last statement")
	return true
}

// uptime is for how many seconds the server has been up, from what it said last: a little less when
// its process is not seen.
func (w *worker) uptime() int64 {
	if w.host.p != nil {
		return int64((w.now() - w.host.upAt) / time.Second)
	}
	return w.sample.Server.UptimeS + int64((w.now()-w.sample.At)/time.Second)
}
