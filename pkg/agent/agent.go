package agent

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

const (
	discoverEvery = 10 * time.Second
	discoverRetry = time.Second
	busTimeout    = 2 * time.Second
)

// Options says how to build an Agent.
type Options struct {
	// ID names this process among all agents: host name, slash, a random part.
	ID  string
	Bus Bus
	// Node gives access to one server. It is only ever called for members.
	Node func(cluster.Endpoint) (Node, error)
	// Cause classifies an error of a Node or Conn.
	Cause func(error) cluster.Cause
	// Members, when not empty, are the only servers to act on; otherwise they
	// are taken from the bus.
	Members map[cluster.UniqSign][]cluster.Endpoint
	// Local tells the servers of this host, the only ones that the agent then acts on
	// and reports of; nil is for all. Of a pair both of whose servers are of this host
	// it acts on both, without leases.
	Local func(cluster.Endpoint) bool
	// Process finds the process of a server of this host that says it has been up for so
	// long, in whole seconds; nil where none is looked for. It counts only with Local.
	Process func(e cluster.Endpoint, uptime time.Duration) (Process, error)
	// Lease is how long a lease of the active lasts; 0 for an active that needs none.
	// It counts only with Local.
	Lease time.Duration
	// Boot is a clock that goes on while the machine is suspended, on which leases
	// count; nil is Runtime.Now.
	Boot func() time.Duration
	// ConnectTimeout bounds each plain call to a server; 0 means 1 s.
	ConnectTimeout time.Duration
	// TryOnFailure is how many connects must fail before a server that does not
	// refuse them counts as unreachable; 0 means 1.
	TryOnFailure int
	// Refused reports whether an error of a Conn is the want of a privilege.
	Refused func(error) bool
	// Stopping reports whether an error of a Conn is the answer of a server that is being stopped.
	Stopping func(error) bool
	// NoRoom reports whether an error of a Conn says that the server's disk is full.
	NoRoom func(error) bool
	// Room reports whether any room is left in a folder of this host; nil where none is looked at. It counts
	// only for a server whose Process is found.
	Room func(folder string) (bool, error)
	// User is the user that the agent logs in as: it is never locked.
	User string
	// BlockUser and BlockHost match the accounts that may log in on the active
	// only; nobody is locked unless both are set.
	BlockUser, BlockHost *regexp.Regexp
	// Store keeps the agent's memory; nil keeps it in this process only.
	Store Store
	// Remembers is what an agent before this one of the same process knew, by
	// pair: see Agent.Remembers.
	Remembers map[cluster.UniqSign]cluster.Memory
	// Notes are what a person should mend at this process; they stand in each report.
	Notes []cluster.Reason
	// Loop watches over one loop; may be nil. Each calls beat every few seconds,
	// or after each call to a server, whatever servers and Redis do, and end when it ends.
	Loop func(name string) (beat, end func())
	// Runtime is what the loops run on; nil is the machine's own.
	Runtime sched.Runtime
	Log     zerolog.Logger
}

// Agent acts on all pairs it knows.
type Agent struct {
	o    Options
	rt   sched.Runtime
	tick atomic.Uint64
	// began is when it was built, by Options.Boot.
	began time.Duration
	// keeper holds what must not be forgotten.
	keeper *keeper

	discover sched.Signal
	mu       sync.Mutex
	pairs    map[cluster.UniqSign]*running
}

type running struct {
	*pair
	stop func()
}

// New checks the options and reads the store.
func New(o Options) (*Agent, error) {
	switch {
	case o.ID == "":
		return nil, errors.New("build agent: no id")
	case o.Bus == nil || o.Node == nil || o.Cause == nil:
		return nil, errors.New("build agent: bus, node and cause are needed")
	}
	for u, m := range o.Members {
		if len(m) != 2 || m[0] == m[1] {
			return nil, errors.New("build agent: members of " + string(u) + ": want two different servers")
		}
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = time.Second
	}
	o.TryOnFailure = max(1, o.TryOnFailure)
	if o.Loop == nil {
		o.Loop = func(string) (beat, end func()) { return func() {}, func() {} }
	}
	if o.Refused == nil {
		o.Refused = func(error) bool { return false }
	}
	if o.Stopping == nil {
		o.Stopping = func(error) bool { return false }
	}
	if o.NoRoom == nil {
		o.NoRoom = func(error) bool { return false }
	}
	if o.Runtime == nil {
		o.Runtime = sched.Real()
	}
	if o.Boot == nil {
		o.Boot = o.Runtime.Now
	}
	a := &Agent{o: o, rt: o.Runtime, discover: o.Runtime.NewSignal(), pairs: map[cluster.UniqSign]*running{}}
	a.began = o.Boot()
	a.keeper = newKeeper(a.rt, o.Store, o.Log, o.Remembers)
	a.keeper.absorb = a.absorb
	return a, nil
}

// Run acts until ctx ends. It returns nil then: servers, Redis and records that
// cannot be had are waited for. Every server is left as it is.
func (a *Agent) Run(ctx context.Context) error {
	beside := sched.NewGroup(a.rt)
	beside.Go(func() { a.o.Bus.Listen(ctx, a.hear) })
	defer beside.Wait()
	// What the pairs leave behind is still written.
	writing, written := a.rt.Cancel(context.Background())
	beside.Go(func() { a.keeper.run(writing) })
	defer written()
	defer a.stopAll()

	beat, end := a.o.Loop("finding pairs")
	defer end()
	again := time.Duration(0)
	for {
		beat()
		if a.discover.Wait(ctx, again) == sched.Ended {
			return nil
		}
		if again = discoverRetry; a.findPairs(ctx) {
			again = discoverEvery
		}
	}
}

func (a *Agent) now() time.Duration { return a.rt.Now() }

// round is how often the loops look when nothing wakes them. They do so in the same
// instants: a processor that has to be woken for each costs more than their work.
const round = time.Second

// nextRound is the next such instant, round from now at most.
func (p *pair) nextRound() time.Duration {
	now := p.a.now() + p.phase
	return now - now%round + round - p.phase
}

func (a *Agent) nextTick() uint64 { return a.tick.Add(1) }

// hear passes a wake-up on. It only says "look": nothing in it is believed.
func (a *Agent) hear(w Wake) {
	switch w.Kind {
	case WakeAssignment, WakeReport, WakeView, WakePause, WakeMessage, WakeResubscribed:
	default:
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.Kind == WakeResubscribed && safeguard.Off(safeguard.Reconciling) {
		return
	}
	if w.Kind == WakeResubscribed || w.UniqSign == "" {
		for _, u := range slices.Sorted(maps.Keys(a.pairs)) {
			a.pairs[u].look()
		}
		a.discover.Set()
		return
	}
	p := a.pairs[w.UniqSign]
	if p == nil {
		if w.Kind != WakeReport && w.Kind != WakeView && len(a.o.Members) == 0 {
			a.discover.Set()
		}
		return
	}
	if w.Kind == WakeMessage {
		for _, e := range w.Named {
			if !p.has(e) {
				p.log.Warn().Str("node", string(e)).Str("message", w.Message).
					Msg("message names a server that is no member: refused")
			}
		}
	}
	switch {
	case w.Kind == WakeView:
		for _, worker := range p.workers {
			worker.doubt()
		}
		return
	case w.Kind == WakeReport && !p.readsReports():
		return
	}
	p.look()
}

// findPairs starts what is new and restarts what has other members than
// before. It reports whether at least one pair is known.
func (a *Agent) findPairs(ctx context.Context) bool {
	if len(a.o.Members) > 0 {
		for _, u := range slices.Sorted(maps.Keys(a.o.Members)) {
			m := a.o.Members[u]
			a.ensure(ctx, u, [2]cluster.Endpoint{m[0], m[1]})
		}
		return true
	}
	cctx, cancel := a.rt.Timeout(ctx, a.patience())
	found, err := a.o.Bus.Pairs(cctx)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			a.o.Log.Debug().Err(err).Msg("pairs cannot be listed")
			a.recallPairs(ctx)
		}
		return false
	}
	slices.Sort(found)
	for _, u := range found {
		if a.served(u) {
			continue
		}
		snap, err := a.o.Bus.Snapshot(ctx, u)
		if err != nil {
			a.recallPairs(ctx)
			continue
		}
		if m, ok := membersOf(snap); ok {
			a.ensure(ctx, u, m)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pairs) > 0
}

// served reports whether u is served, and the bus named the same members when its own loop read it last.
func (a *Agent) served(u cluster.UniqSign) bool {
	a.mu.Lock()
	p := a.pairs[u]
	a.mu.Unlock()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.moved
}

// leases reports whether active servers may need leases.
func (a *Agent) leases() bool { return a.o.Local != nil && a.o.Lease > 0 }

// patience is how long a worker, or who looks for work, waits for one answer of Redis:
// a server that loses its leases is closed in time.
func (a *Agent) patience() time.Duration {
	if a.leases() {
		return min(busTimeout, lease.Margin(a.o.Lease)/3)
	}
	return busTimeout
}

// recallPairs serves the pairs that are remembered while Redis cannot name any:
// leases are kept, and what none keeps is closed.
func (a *Agent) recallPairs(ctx context.Context) {
	if !a.leases() {
		return
	}
	all := a.keeper.memories()
	for _, u := range slices.Sorted(maps.Keys(all)) {
		rec := all[u].Record
		named := []cluster.Endpoint{rec.Active, rec.Passive, rec.From, rec.To}
		slices.Sort(named)
		named = slices.DeleteFunc(slices.Compact(named), func(e cluster.Endpoint) bool { return e == "" })
		if len(named) == 2 {
			a.ensure(ctx, u, [2]cluster.Endpoint(named))
		}
	}
}

func (a *Agent) ensure(ctx context.Context, u cluster.UniqSign, m [2]cluster.Endpoint) {
	a.mu.Lock()
	old := a.pairs[u]
	a.mu.Unlock()
	if old != nil {
		if old.has(m[0]) && old.has(m[1]) {
			return
		}
		old.log.Info().Msg("the members of the pair changed")
		a.forget(u, old)
	}
	p, err := newPair(a, u, m)
	if err != nil {
		a.o.Log.Error().Str("uniqsign", string(u)).Err(err).Msg("pair cannot be served")
		return
	}
	p.bus.remembers = a.keeper.memory(u).Record
	if p.leases != nil {
		p.leases.rec = p.bus.remembers
	}
	pctx, cancel := a.rt.Cancel(ctx)
	work := sched.NewGroup(a.rt)
	a.mu.Lock()
	nth := len(a.pairs)
	a.mu.Unlock()
	p.phase = sched.Phase(nth)
	work.Go(func() {
		if sched.StartAfter(pctx, a.rt, nth) == nil {
			p.run(pctx)
		}
	})
	a.mu.Lock()
	a.pairs[u] = &running{p, func() { cancel(); work.Wait() }}
	a.mu.Unlock()
	p.log.Info().Str("first", string(m[0])).Str("second", string(m[1])).Msg("pair found")
}

// Remembers is what the agent must not forget, by pair. An agent that takes
// this one's place must start with it: an older record is never obeyed, and
// only accounts that are known to be ours are ever released.
func (a *Agent) Remembers() map[cluster.UniqSign]cluster.Memory { return a.keeper.memories() }

// absorb passes on what another process had written to the store.
func (a *Agent) absorb(found map[cluster.UniqSign]cluster.Memory) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for u, m := range found {
		if p := a.pairs[u]; p != nil {
			p.recall(m.Record)
		}
	}
}

func (a *Agent) forget(u cluster.UniqSign, r *running) {
	a.mu.Lock()
	delete(a.pairs, u)
	a.mu.Unlock()
	r.stop()
}

func (a *Agent) stopAll() {
	a.mu.Lock()
	all := maps.Clone(a.pairs)
	a.mu.Unlock()
	stopping := sched.NewGroup(a.rt)
	for _, u := range slices.Sorted(maps.Keys(all)) {
		stopping.Go(all[u].stop)
	}
	stopping.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pairs = map[cluster.UniqSign]*running{}
}

// membersOf takes the two servers from the predecessor's static keys.
func membersOf(s cluster.Snapshot) ([2]cluster.Endpoint, bool) {
	m := [2]cluster.Endpoint{s.Primary, s.Secondary}
	if m[0] == "" || m[1] == "" {
		if len(s.Members) != 2 {
			return m, false
		}
		sorted := slices.Sorted(slices.Values(s.Members))
		m = [2]cluster.Endpoint{sorted[0], sorted[1]}
	}
	for i, e := range m {
		parsed, err := cluster.ParseEndpoint(string(e))
		if err != nil {
			return m, false
		}
		m[i] = parsed
	}
	return m, m[0] != m[1]
}
