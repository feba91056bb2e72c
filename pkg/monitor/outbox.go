package monitor

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// Bus is Redis as the monitor needs it.
type Bus interface {
	PublishPair(ctx context.Context, pair cluster.Pair) error
	PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) (listed bool, err error)
	RunID(ctx context.Context) (string, error)
}

const (
	// busWait bounds one write to Redis.
	busWait = 3 * time.Second
	// pairEvery is how often the static keys are written although nothing happened.
	pairEvery = 5 * time.Second
	// lookEvery is how often the monitor asks which run of Redis it talks to.
	lookEvery   = 3 * time.Second
	firstRetry  = 50 * time.Millisecond
	longestWait = time.Second
	// beatEvery is how often an outbox without anything to send shows that it works.
	beatEvery = 5 * time.Second
)

// outbox brings the records of one server to Redis: the newest one, as soon as
// Redis takes it.
type outbox struct {
	bus      Bus
	uniqsign cluster.UniqSign
	rt       sched.Runtime
	wall     func() time.Time
	health   *health
	back     func() // Redis answers again
	unlisted func() // Redis does not know the pair
	beat     func() // the loop has come round
	kick     sched.Signal

	mu      sync.Mutex
	waiting *Publish
	last    *Publish
}

// put replaces the waiting record by p; what p leaves out of the one replaced is kept.
func (o *outbox) put(p Publish) {
	p.Legacy = stamp(p.Legacy, o.wall)
	o.mu.Lock()
	if o.waiting != nil {
		p.Wake = p.Wake || o.waiting.Wake
		if p.Legacy == nil {
			p.Legacy = o.waiting.Legacy
		}
	}
	o.waiting, o.last = &p, &p
	o.mu.Unlock()
	o.kick.Set()
}

// again sends the last record once more unless a newer one waits, and wakes
// whoever reads it.
func (o *outbox) again() {
	o.mu.Lock()
	if o.waiting == nil && o.last != nil {
		p := *o.last
		p.Wake = true
		o.waiting = &p
	}
	o.mu.Unlock()
	o.kick.Set()
}

func (o *outbox) take() *Publish {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.waiting
	o.waiting = nil
	return p
}

// restore puts p, which Redis did not take, back unless a newer record waits;
// that one inherits what p had to say.
func (o *outbox) restore(p *Publish) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == nil {
		o.waiting = p
		return
	}
	newer := *o.waiting
	newer.Wake = newer.Wake || p.Wake
	if newer.Legacy == nil {
		newer.Legacy = p.Legacy
	}
	o.waiting = &newer
}

func (o *outbox) run(ctx context.Context) {
	var retry backoff
	for o.kick.Wait(ctx, beatEvery) != sched.Ended {
		for {
			o.beat()
			p := o.take()
			if p == nil {
				break
			}
			var listed bool
			var err error
			o.rt.Lend(func() { listed, err = o.send(ctx, p) })
			if ctx.Err() != nil {
				return
			}
			o.health.tell(err)
			if err == nil {
				switch {
				case !listed:
					o.unlisted()
				case retry.failed():
					o.back()
				}
				retry = 0
				continue
			}
			o.restore(p)
			if sched.Sleep(ctx, o.rt, retry.next()) != nil {
				return
			}
		}
	}
}

func (o *outbox) send(ctx context.Context, p *Publish) (listed bool, err error) {
	ctx, cancel := o.rt.Timeout(ctx, busWait)
	defer cancel()
	return o.bus.PublishObservation(ctx, o.uniqsign, p.Observation, p.Legacy, p.TTL, p.Wake)
}

// announce keeps the static keys of pair in Redis: at start, when kicked, and
// now and then. Each time it calls done.
func announce(ctx context.Context, rt sched.Runtime, bus Bus, pair cluster.Pair, h *health, kick sched.Signal, done func()) {
	var retry backoff
	for wait := time.Duration(0); kick.Wait(ctx, wait) != sched.Ended; {
		var err error
		rt.Lend(func() {
			one, cancel := rt.Timeout(ctx, busWait)
			defer cancel()
			err = bus.PublishPair(one, pair)
		})
		if ctx.Err() != nil {
			return
		}
		h.tell(err)
		if err != nil {
			wait = retry.next()
			continue
		}
		done()
		retry = 0
		wait = pairEvery
	}
}

// backoff is the last waiting time; 0 when the last try succeeded.
type backoff time.Duration

func (b backoff) failed() bool { return b != 0 }

func (b *backoff) next() time.Duration {
	if *b == 0 {
		*b = backoff(firstRetry)
	} else {
		*b = min(2**b, backoff(longestWait))
	}
	return time.Duration(*b)
}

// health tells the log once when Redis goes, once for each other reason that
// keeps it away, and once when it is back.
type health struct {
	log  zerolog.Logger
	mu   sync.Mutex
	told map[string]bool // the reasons since it went
}

func (h *health) tell(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		if len(h.told) > 0 {
			h.log.Info().Msg("redis takes records again")
		}
		h.told = nil
		return
	}
	if reason := reasonOf(err); !h.told[reason] {
		h.log.Warn().Err(err).Str("hint", "samples go on; the newest is published when Redis answers").Msg("redis does not take records")
		if h.told == nil {
			h.told = map[string]bool{}
		}
		h.told[reason] = true
	}
}

// reasonOf is an error without what was to be done, and without numbers: ports differ each time.
func reasonOf(err error) string {
	_, text, found := strings.Cut(err.Error(), ": redis ")
	if !found {
		text = err.Error()
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}
