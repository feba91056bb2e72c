package monitor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
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
	// Wall is the machine's calendar, which dates the predecessor's checks; it
	// may be nil when Tag.Legacy is not set.
	Wall func() time.Time
	// Runtime is what the loops run on; nil is the machine's own. Monitors of one
	// process share one, and then probe at the same instants.
	Runtime sched.Runtime
	Log     zerolog.Logger
}

// Monitor samples the servers of one pair.
type Monitor struct {
	opt   Options
	rt    sched.Runtime
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
	if opt.Runtime == nil {
		opt.Runtime = sched.Real()
	}
	if opt.Tag.Legacy && opt.Wall == nil {
		return nil, errors.New("build monitor: the predecessor's checks need the wall clock")
	}
	m := &Monitor{opt: opt, rt: opt.Runtime, log: opt.Log.With().Str("tag", string(opt.Tag.Pair.Tag)).Logger()}
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
	t, bus, rt := m.opt.Tag, m.opt.Bus, m.rt
	// In a record 0 ms means never.
	now := func() time.Duration { return rt.Now() + time.Millisecond }
	redis := &health{log: m.log}
	announceNow := rt.NewSignal()
	var lost atomic.Bool // Redis may have lost everything
	allAgain := func() {
		lost.Store(true)
		announceNow.Set()
	}
	m.log.Info().Str("uniqsign", string(t.UniqSign)).Str("run", m.opt.Run).Msg("sampling the pair")
	work := sched.NewGroup(rt)
	defer work.Wait()
	members := t.Members()
	boxes, probers := make([]*outbox, len(members)), make([]*prober, len(members))
	for i, e := range members {
		box := &outbox{bus: bus, uniqsign: t.UniqSign, rt: rt, wall: m.opt.Wall, health: redis, back: announceNow.Set, unlisted: allAgain, kick: rt.NewSignal()}
		boxes[i] = box
		probers[i] = &prober{
			watch: NewWatch(Settings{Monitor: t.Monitor, Run: m.opt.Run, Node: e, Other: t.Other(e),
				Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes}),
			node: m.nodes[i], exclude: t.Exclude, cause: m.opt.Cause, denied: m.opt.Denied, now: now,
			publish: func(p Publish) {
				if !t.Legacy {
					p.Legacy = nil
				}
				box.put(p)
			},
			tell: func(unwell bool) { probers[1-i].post(OtherMember{unwell}) },
			log:  m.log.With().Str("node", string(e)).Logger(),
			rt:   rt, wake: rt.NewSignal(), work: sched.NewGroup(rt),
		}
	}
	for i, e := range members {
		sampling, publishing := probers[i], boxes[i]
		var ended [2]func()
		sampling.beat, ended[0] = m.opt.Loop("sampling " + string(e))
		publishing.beat, ended[1] = m.opt.Loop("publishing " + string(e))
		work.Go(func() { defer ended[1](); publishing.run(ctx) })
		work.Go(func() { defer ended[0](); sampling.run(ctx) })
	}
	work.Go(func() {
		announce(ctx, rt, bus, t.Pair, redis, announceNow, func() {
			if !lost.Swap(false) {
				return
			}
			for _, b := range boxes {
				b.again()
			}
		})
	})
	m.whenReplaced(ctx, allAgain)
}

// whenReplaced calls again when another run of Redis answers than before,
// until ctx ends.
func (m *Monitor) whenReplaced(ctx context.Context, again func()) {
	known := ""
	for idle := m.rt.NewSignal(); idle.Wait(ctx, lookEvery) != sched.Ended; {
		var run string
		m.rt.Lend(func() { run = m.askRun(ctx) })
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
	ctx, cancel := m.rt.Timeout(ctx, busWait)
	defer cancel()
	run, err := m.opt.Bus.RunID(ctx)
	if err != nil {
		return ""
	}
	return run
}
