package redis

import (
	"context"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// How a subscription watches over its connection, as in pkg/redisbus.
const (
	pulse      = time.Second
	leastPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// AgentBus is a Bus in the agent's words.
type AgentBus struct{ *Bus }

// Listen is Subscribe with the predecessor's topic.
func (b AgentBus) Listen(ctx context.Context, hear func(agent.Wake)) {
	b.Subscribe(ctx, true, func(w redisbus.Wake) {
		wake := agent.Wake{UniqSign: w.UniqSign, Kind: w.Kind, Message: w.Message}
		if w.Kind == redisbus.KindMessage {
			active, passive, _, _, err := redisbus.ParseMessage(w.Message)
			if err != nil {
				return
			}
			wake.Named = []cluster.Endpoint{active, passive}
		}
		hear(wake)
	})
}

// Subscribe calls hear for each wake-up of the pair, and for the messages on the
// predecessor's topic, until ctx ends. It reconnects for ever; after each time
// the first wake-up is "resubscribed". Wake-ups of a kind that wait for hear
// become one.
func (b *Bus) Subscribe(ctx context.Context, topic bool, hear func(redisbus.Wake)) {
	rt := b.p.Runtime()
	var heard wakes
	pause := leastPause
	for ctx.Err() == nil {
		began := rt.Now()
		if b.session(ctx, topic, &heard, hear) && rt.Now()-began > pulse {
			pause = leastPause
			continue
		}
		if sched.Sleep(ctx, rt, pause) != nil {
			return
		}
		pause = min(2*pause, mostPause)
	}
}

// session listens on one connection until it ends or falls silent; it reports
// whether Redis had confirmed the subscription.
func (b *Bus) session(ctx context.Context, topic bool, heard *wakes, hear func(redisbus.Wake)) bool {
	rt := b.p.Runtime()
	server := b.server
	conn, err := b.dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	l := &session{signal: rt.NewSignal(), wakes: heard}
	b.listening = append(b.listening, l)
	defer func() { b.listening = slices.DeleteFunc(b.listening, func(o *session) bool { return o == l }) }()
	conn.OnBroken(l.end)
	if b.server != server {
		l.end()
	}
	engine.Tell(conn, func(c *client) {
		c.topic, c.hear = topic, l.hear
		server.listeners = append(server.listeners, c)
		c.send(redisbus.Wake{Kind: redisbus.KindResubscribed})
	})
	next := rt.Now() + pulse
	for {
		for w, ok := heard.take(); ok && ctx.Err() == nil; w, ok = heard.take() {
			hear(w)
		}
		if ctx.Err() != nil || l.ended {
			return l.confirmed
		}
		// The end of ctx shows in it, everything else in the session.
		_ = l.signal.Wait(ctx, max(0, next-rt.Now()))
		if now := rt.Now(); now >= next && ctx.Err() == nil {
			if !l.alive {
				l.ended = true
				continue
			}
			l.alive = false
			engine.Tell(conn, func(c *client) { c.send(redisbus.Wake{}) })
			next = now + pulse
		}
	}
}

// session is one connection of a subscription as its process sees it.
type session struct {
	signal    sched.Signal
	wakes     *wakes
	alive     bool // it gave a sign of life since the last pulse
	confirmed bool
	ended     bool
}

// hear takes what the server sent; what has no kind is a sign of life alone.
func (l *session) hear(w redisbus.Wake) {
	l.alive = true
	if w.Kind != "" && !l.ended {
		l.confirmed = true
		l.wakes.add(w)
		l.signal.Set()
	}
}

func (l *session) end() {
	l.ended = true
	l.signal.Set()
}

// wakes is a queue that holds one wake-up per pair and kind, the newest.
type wakes struct{ all []redisbus.Wake }

func (q *wakes) add(w redisbus.Wake) {
	for i, o := range q.all {
		if o.Kind == w.Kind && o.UniqSign == w.UniqSign {
			q.all[i] = w
			return
		}
	}
	q.all = append(q.all, w)
}

func (q *wakes) take() (redisbus.Wake, bool) {
	if len(q.all) == 0 {
		return redisbus.Wake{}, false
	}
	w := q.all[0]
	q.all = append(q.all[:0], q.all[1:]...)
	return w, true
}
