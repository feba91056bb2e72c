package redisbus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// pulse is how often a subscription's connection is asked for a sign of
	// life; one that gave none between two pulses is deaf and replaced.
	pulse      = time.Second
	leastPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// Channels says what to listen to.
type Channels struct {
	UniqSigns []cluster.UniqSign // the look channels of these pairs
	All       bool               // the look channels of all pairs
	Topic     bool               // the predecessor's channel
}

// Subscription listens until Close, over as many connections one after the
// other as it takes.
type Subscription struct {
	client  *redis.Client
	refused func(error)
	names   []string
	pattern string
	topic   string

	c      chan Wake
	queue  *wakes
	cancel context.CancelFunc
	ended  chan struct{}
}

// Subscribe listens until ctx ends or the subscription or the bus is closed. It
// returns at once; the first wake-up is "resubscribed", when Redis has confirmed
// the subscription, and so is the first one after each reconnect. Wake-ups of a
// pair and kind that wait for the reader become one.
func (b *Bus) Subscribe(ctx context.Context, channels Channels) *Subscription {
	ctx, cancel := context.WithCancel(ctx)
	s := &Subscription{
		client:  b.client,
		refused: b.refusals(),
		c:       make(chan Wake),
		queue:   newWakes(),
		cancel:  cancel,
		ended:   make(chan struct{}),
	}
	if channels.All {
		s.pattern = lookPattern
	} else {
		for _, u := range channels.UniqSigns {
			s.names = append(s.names, keysOf(u).look())
		}
	}
	if channels.Topic && b.topic != "" {
		s.topic = b.topic
		s.names = append(s.names, b.topic)
	}
	unhook := context.AfterFunc(b.closed, cancel)
	b.subs.Go(func() {
		defer close(s.ended)
		defer unhook()
		defer cancel()
		pumped := make(chan struct{})
		go func() {
			defer close(pumped)
			defer close(s.c)
			s.queue.pump(ctx, s.c)
		}()
		s.listen(ctx)
		<-pumped
	})
	return s
}

// refusals passes on each answer by which Redis refuses a subscription, when it
// is another than the last one.
func (b *Bus) refusals() func(error) {
	last := ""
	return func(err error) {
		answer, is := errors.AsType[redis.Error](err)
		if !is || b.refused == nil || answer.Error() == last {
			return
		}
		last = answer.Error()
		b.refused(b.wrap("listen", err))
	}
}

// C gives the wake-ups; it is closed when the subscription ends.
func (s *Subscription) C() <-chan Wake { return s.c }

// Close ends the subscription and waits until it has ended.
func (s *Subscription) Close() {
	s.cancel()
	<-s.ended
}

// listen runs one session after the other. A session that lasted is replaced at
// once, others after growing pauses.
func (s *Subscription) listen(ctx context.Context) {
	if len(s.names) == 0 && s.pattern == "" {
		<-ctx.Done()
		return
	}
	pause := leastPause
	for ctx.Err() == nil {
		began := time.Now()
		confirmed := s.session(ctx)
		if confirmed && time.Since(began) > pulse {
			pause = leastPause
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, mostPause)
	}
}

// session listens on one connection until it fails or falls silent; it reports
// whether Redis had confirmed the subscription.
func (s *Subscription) session(ctx context.Context) (confirmed bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn := s.client.Subscribe(ctx)
	defer conn.Close()

	if err := s.ask(ctx, conn); err != nil {
		s.refused(err)
		return false
	}

	var heard atomic.Bool
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		// Closing is what unblocks Receive, which a context does not.
		defer conn.Close()
		defer cancel()
		watch(ctx, conn, &heard)
	}()
	defer func() { cancel(); <-watched }()

	for {
		got, err := conn.Receive(ctx)
		if err != nil {
			s.refused(err)
			return confirmed
		}
		heard.Store(true)
		switch got := got.(type) {
		case *redis.Pong:
			if !confirmed {
				confirmed = true
				s.queue.add(Wake{Kind: KindResubscribed})
			}
		case *redis.Subscription:
			// go-redis has changed the connection between two receives.
			if confirmed {
				return confirmed
			}
		case *redis.Message:
			s.message(got)
		}
	}
}

// ask sends what is to be confirmed.
func (s *Subscription) ask(ctx context.Context, conn *redis.PubSub) error {
	if s.pattern != "" {
		if err := conn.PSubscribe(ctx, s.pattern); err != nil {
			return err
		}
	}
	if len(s.names) > 0 {
		if err := conn.Subscribe(ctx, s.names...); err != nil {
			return err
		}
	}
	// Redis answers in order, so that the answer to this comes after all
	// confirmations; a Redis that is still loading refuses it.
	return conn.Ping(ctx)
}

// watch returns when ctx ends or the connection gave no sign of life for a whole pulse.
func watch(ctx context.Context, conn *redis.PubSub, heard *atomic.Bool) {
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !heard.Swap(false) || conn.Ping(ctx) != nil {
				return
			}
		}
	}
}

func (s *Subscription) message(m *redis.Message) {
	if s.topic != "" && m.Channel == s.topic {
		w := Wake{Kind: KindMessage, Message: m.Payload[:min(len(m.Payload), maxMessage)]}
		if _, _, u, _, err := ParseMessage(m.Payload); err == nil {
			w.UniqSign = u
		}
		s.queue.add(w)
		return
	}
	if u, ok := uniqSignOfLook(m.Channel); ok && isLook(m.Payload) {
		s.queue.add(Wake{UniqSign: u, Kind: m.Payload})
	}
}
