package monitor

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Tag is what the monitor must know of its pair.
type Tag struct {
	cluster.Pair
	Monitor string // name of this monitor
	// Legacy: this monitor writes the predecessor's checks of the pair.
	Legacy         bool
	Exclude        []string // users whose sessions do not count
	Interval       time.Duration
	ConnectTimeout time.Duration
	TryTimes       int
}

// Options are what a Monitor works with.
type Options struct {
	Tag Tag
	// Run is a name that no other run has.
	Run string
	Bus Bus
	// Open makes the handle of one server; it does not connect.
	Open func(cluster.Endpoint) (Node, error)
	// Cause classifies the errors of Node and Conn.
	Cause func(error) cluster.Cause
	// Denied reports whether an error of a Conn is the want of a privilege; may be nil.
	Denied func(error) bool
	// Loop watches over one loop; may be nil. Each calls beat every few seconds,
	// whatever servers and Redis do, and end when it ends.
	Loop func(name string) (beat, end func())
	Log  zerolog.Logger
}

// Monitor samples the servers of one pair.
type Monitor struct {
	opt   Options
	nodes []Node // in the order of Members
	log   zerolog.Logger
}

// New makes a monitor; Run starts it.
func New(opt Options) (*Monitor, error) {
	if opt.Loop == nil {
		opt.Loop = func(string) (beat, end func()) { return func() {}, func() {} }
	}
	if opt.Denied == nil {
		opt.Denied = func(error) bool { return false }
	}
	m := &Monitor{opt: opt, log: opt.Log.With().Str("tag", string(opt.Tag.Pair.Tag)).Logger()}
	for _, e := range opt.Tag.Members() {
		node, err := opt.Open(e)
		if err != nil {
			return nil, err
		}
		m.nodes = append(m.nodes, node)
	}
	return m, nil
}

// Run samples until ctx ends. It never fails: what is away is waited for.
func (m *Monitor) Run(ctx context.Context) {
	t, bus := m.opt.Tag, m.opt.Bus
	began := time.Now()
	now := func() time.Duration { return time.Since(began) + time.Millisecond }
	redis := &health{log: m.log}
	announceNow := make(chan struct{}, 1)
	back := func() {
		select {
		case announceNow <- struct{}{}:
		default:
		}
	}
	m.log.Info().Str("uniqsign", string(t.UniqSign)).Str("run", m.opt.Run).Msg("sampling the pair")
	var work sync.WaitGroup
	defer work.Wait()
	var boxes []*outbox
	troubles := []*signal{newSignal(), newSignal()}
	for i, e := range t.Members() {
		box := newOutbox(bus, t.UniqSign, redis, back)
		boxes = append(boxes, box)
		p := &prober{
			watch: NewWatch(Settings{Monitor: t.Monitor, Run: m.opt.Run, Node: e, Other: t.Other(e),
				Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes}),
			node: m.nodes[i], exclude: t.Exclude, cause: m.opt.Cause, denied: m.opt.Denied, now: now,
			publish: func(p Publish) {
				if !t.Legacy {
					p.Legacy = nil
				}
				box.put(p)
			},
			log:     m.log.With().Str("node", string(e)).Logger(),
			trouble: troubles[i], other: troubles[1-i],
		}
		var ended [2]func()
		p.beat, ended[0] = m.opt.Loop("sampling " + string(e))
		box.beat, ended[1] = m.opt.Loop("publishing " + string(e))
		work.Go(func() { defer ended[1](); box.run(ctx) })
		work.Go(func() { defer ended[0](); p.run(ctx) })
	}
	work.Go(func() { announce(ctx, bus, t.Pair, redis, announceNow) })
	m.whenReplaced(ctx, func() {
		back()
		for _, b := range boxes {
			b.again()
		}
	})
}

// whenReplaced calls again when another run of Redis answers than before,
// until ctx ends.
func (m *Monitor) whenReplaced(ctx context.Context, again func()) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	known := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		run := m.askRun(ctx)
		if run == "" {
			continue
		}
		if known != "" && run != known {
			m.log.Info().Msg("redis was restarted or replaced")
			again()
		}
		known = run
	}
}

func (m *Monitor) askRun(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, busWait)
	defer cancel()
	run, err := m.opt.Bus.RunID(ctx)
	if err != nil {
		return ""
	}
	return run
}
