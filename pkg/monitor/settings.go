package monitor

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// PingEvery is the greatest time between two probes of a server, and between
	// two records of one that does not answer.
	PingEvery = 250 * time.Millisecond
	// suspectAfter is how long an answer may take before new connects begin
	// beside the probe. It is the time between probes, so that a healthy server
	// needs one timer for both.
	suspectAfter = PingEvery
	// breakGrace is how long the confirming connect may take before the broken
	// connection alone is published.
	breakGrace = 50 * time.Millisecond
	// firstGap is the time between the first light samples while the other
	// member does not answer.
	firstGap = 5 * time.Millisecond
	// startWindow is the uptime up to which a contact counts as the first after a start.
	startWindow = 3 * time.Second
	// quickRetry is the time between connects to a port that refuses them, for
	// the first quickFor: most servers are back soon.
	quickRetry = 100 * time.Millisecond
	quickFor   = time.Minute
	// lateTick is how late the watch may be run before that is taken for a pause
	// of the monitor itself.
	lateTick = 200 * time.Millisecond
	// stuckFirst and stuckMax bound how long a sample that the server holds back
	// is waited for before another is tried: a blocked SHOW SLAVE STATUS is not
	// cancelled by closing its connection, so each try may cost the server a thread.
	stuckFirst = 30 * time.Second
	stuckMax   = time.Hour
	// wakeOn is how long each record of a server that does not answer wakes the readers after one with
	// news, and wakeFor how long each of the other server does. Later ones are read when the readers look.
	wakeOn  = time.Second
	wakeFor = 5 * time.Second
)

// Settings are what one watch must know; durations as configured.
type Settings struct {
	Monitor string // name of this monitor
	Run     string // name of this run
	Node    cluster.Endpoint
	Other   cluster.Endpoint // the other member of the pair

	Interval       time.Duration
	ConnectTimeout time.Duration
	TryTimes       int
}

// Silence is how long a server must not have answered until that is published
// as silence: TryTimes times ConnectTimeout.
func (s Settings) Silence() time.Duration {
	return time.Duration(max(1, s.TryTimes)) * s.ConnectTimeout
}

// TTL is how long a record lives in Redis: three intervals, at least three seconds.
func (s Settings) TTL() time.Duration { return max(3*s.Interval, 3*time.Second) }

func (s Settings) withDefaults() Settings {
	if s.Interval <= 0 {
		s.Interval = 3 * time.Second
	}
	if s.ConnectTimeout <= 0 {
		s.ConnectTimeout = time.Second
	}
	if s.TryTimes <= 0 {
		s.TryTimes = 2
	}
	return s
}
