package monitor

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/rs/zerolog"
)

// Tag is what the monitor must know of one pair. Two tags that are deeply equal
// are the same work.
type Tag struct {
	cluster.Pair
	Monitor string // name of this monitor
	// Legacy: this monitor writes the predecessor's checks of the pair.
	Legacy         bool
	Exclude        []string // users whose sessions do not count
	Interval       time.Duration
	ConnectTimeout time.Duration
	TryTimes       int
	// Login is what Open needs beside the address; the monitor only compares it.
	Login any
}

// Options are what a Monitor works with.
type Options struct {
	Bus Bus
	// Open makes the handle of one server; it does not connect.
	Open func(Tag, cluster.Endpoint) (Node, error)
	// Cause classifies the errors of Node and Conn.
	Cause func(error) cluster.Cause
	// NewRun makes a name that no other run has.
	NewRun func() string
	// Log is for what concerns no tag, TagLog for each tag.
	Log    zerolog.Logger
	TagLog func(cluster.Tag) zerolog.Logger
}

// Monitor samples the servers of any number of tags.
type Monitor struct {
	opt    Options
	health *health
	reload chan []Tag
}

// New makes a monitor.
func New(opt Options) *Monitor {
	return &Monitor{opt: opt, health: &health{log: opt.Log}, reload: make(chan []Tag)}
}

// running is one tag at work.
type running struct {
	tag    Tag
	cancel context.CancelFunc
	done   chan struct{}
	again  func() // everything of the tag is to be written to Redis once more
}

// Run samples tags until ctx ends. A tag that cannot be started is told to the
// log and does not stop the others.
func (m *Monitor) Run(ctx context.Context, tags []Tag) {
	now := map[cluster.Tag]*running{}
	m.adopt(ctx, now, tags)
	defer m.adopt(ctx, now, nil)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	runs := make(chan string, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	known, asked := "", false
	for {
		select {
		case <-ctx.Done():
			return
		case tags := <-m.reload:
			m.adopt(ctx, now, tags)
		case <-look.C:
			if !asked {
				asked = true
				asking.Go(func() { runs <- m.askRun(ctx) })
			}
		case run := <-runs:
			asked = false
			if run != "" && known != "" && run != known {
				m.opt.Log.Info().Msg("redis was restarted or replaced")
				for _, r := range now {
					r.again()
				}
			}
			if run != "" {
				known = run
			}
		}
	}
}

// Reload replaces the tags: those that are equal go on untouched.
func (m *Monitor) Reload(ctx context.Context, tags []Tag) {
	select {
	case m.reload <- tags:
	case <-ctx.Done():
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

// adopt makes the tags at work be tags.
func (m *Monitor) adopt(ctx context.Context, now map[cluster.Tag]*running, tags []Tag) {
	want := map[cluster.Tag]Tag{}
	for _, t := range tags {
		want[t.Pair.Tag] = t
	}
	var ending []*running
	for name, r := range now {
		if t, ok := want[name]; ok && reflect.DeepEqual(t, r.tag) {
			delete(want, name)
			continue
		}
		r.cancel()
		ending = append(ending, r)
		delete(now, name)
	}
	for _, r := range ending {
		<-r.done
	}
	for name, t := range want {
		log := m.opt.TagLog(name).With().Str("tag", string(name)).Logger()
		r, err := m.start(ctx, t, log)
		if err != nil {
			log.Error().Err(err).Msg("tag not started")
			continue
		}
		now[name] = r
	}
}

// start begins the work on one tag.
func (m *Monitor) start(ctx context.Context, t Tag, log zerolog.Logger) (*running, error) {
	members := t.Members()
	nodes := make([]Node, len(members))
	for i, e := range members {
		node, err := m.opt.Open(t, e)
		if err != nil {
			return nil, err
		}
		nodes[i] = node
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{tag: t, cancel: cancel, done: make(chan struct{})}
	began, run := time.Now(), m.opt.NewRun()
	now := func() time.Duration { return time.Since(began) + time.Millisecond }
	announceNow := make(chan struct{}, 1)
	back := func() {
		select {
		case announceNow <- struct{}{}:
		default:
		}
	}
	var work sync.WaitGroup
	var boxes []*outbox
	troubles := []*signal{newSignal(), newSignal()}
	for i, e := range members {
		box := newOutbox(m.opt.Bus, t.UniqSign, m.health, back)
		boxes = append(boxes, box)
		p := &prober{
			watch: NewWatch(Settings{Monitor: t.Monitor, Run: run, Node: e, Other: t.Other(e),
				Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes}),
			node: nodes[i], exclude: t.Exclude, cause: m.opt.Cause, now: now,
			publish: func(p Publish) {
				if !t.Legacy {
					p.Legacy = nil
				}
				box.put(p)
			},
			log:     log.With().Str("node", string(e)).Logger(),
			trouble: troubles[i], other: troubles[1-i],
		}
		work.Go(func() { box.run(ctx) })
		work.Go(func() { p.run(ctx) })
	}
	work.Go(func() { announce(ctx, m.opt.Bus, t.Pair, m.health, announceNow) })
	r.again = func() {
		back()
		for _, b := range boxes {
			b.again()
		}
	}
	log.Info().Str("uniqsign", string(t.UniqSign)).Str("run", run).Msg("sampling the pair")
	go func() {
		work.Wait()
		cancel()
		close(r.done)
	}()
	return r, nil
}
