package monitor

import (
	"context"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/rs/zerolog"
)

// Bus is Redis as the monitor needs it.
type Bus interface {
	PublishPair(ctx context.Context, pair cluster.Pair) error
	PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) error
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
	health   *health
	back     func() // Redis answers again
	beat     func() // the loop has come round

	mu      sync.Mutex
	waiting *Publish
	last    *Publish
	kick    chan struct{}
}

func newOutbox(bus Bus, u cluster.UniqSign, h *health, back func()) *outbox {
	return &outbox{bus: bus, uniqsign: u, health: h, back: back, beat: func() {}, kick: make(chan struct{}, 1)}
}

// put replaces the waiting record by p; what p leaves out of the one replaced is kept.
func (o *outbox) put(p Publish) {
	p.Legacy = stamp(p.Legacy, time.Now())
	o.mu.Lock()
	if o.waiting != nil {
		p.Wake = p.Wake || o.waiting.Wake
		if p.Legacy == nil {
			p.Legacy = o.waiting.Legacy
		}
	}
	o.waiting, o.last = &p, &p
	o.mu.Unlock()
	o.poke()
}

// again sends the last record once more unless a newer one waits.
func (o *outbox) again() {
	o.mu.Lock()
	if o.waiting == nil {
		o.waiting = o.last
	}
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
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
	idle := time.NewTicker(beatEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.kick:
		case <-idle.C:
		}
		for {
			o.beat()
			p := o.take()
			if p == nil {
				break
			}
			err := o.send(ctx, p)
			if ctx.Err() != nil {
				return
			}
			o.health.tell(err)
			if err == nil {
				if retry.failed() {
					o.back()
				}
				retry = 0
				continue
			}
			o.restore(p)
			if !retry.wait(ctx) {
				return
			}
		}
	}
}

func (o *outbox) send(ctx context.Context, p *Publish) error {
	ctx, cancel := context.WithTimeout(ctx, busWait)
	defer cancel()
	return o.bus.PublishObservation(ctx, o.uniqsign, p.Observation, p.Legacy, p.TTL, p.Wake)
}

// announce keeps the static keys of pair in Redis: at start, when kicked, and
// now and then.
func announce(ctx context.Context, bus Bus, pair cluster.Pair, h *health, kick <-chan struct{}) {
	var retry backoff
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-kick:
		}
		one, cancel := context.WithTimeout(ctx, busWait)
		err := bus.PublishPair(one, pair)
		cancel()
		if ctx.Err() != nil {
			return
		}
		h.tell(err)
		if err != nil {
			timer.Reset(retry.next())
			continue
		}
		retry = 0
		timer.Reset(pairEvery)
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

func (b *backoff) wait(ctx context.Context) bool {
	t := time.NewTimer(b.next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// health tells the log once when Redis goes and once when it is back.
type health struct {
	log  zerolog.Logger
	mu   sync.Mutex
	down bool
}

func (h *health) tell(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && !h.down:
		h.log.Warn().Err(err).Str("hint", "samples go on; the newest is published when Redis answers").Msg("redis does not take records")
	case err == nil && h.down:
		h.log.Info().Msg("redis takes records again")
	}
	h.down = err != nil
}
