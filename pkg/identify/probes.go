package identify

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// probes samples servers that only the predecessor's monitor watches, whose
// records carry no GTIDs.
type probes struct {
	rt    sched.Runtime
	probe Prober
	every time.Duration
	wake  sched.Signal // set when a sample is there
	work  *sched.Group

	mu     sync.Mutex
	asked  map[cluster.Endpoint]time.Duration
	busy   map[cluster.Endpoint]bool
	result map[cluster.Endpoint]failover.Probe
}

func newProbes(rt sched.Runtime, p Prober, every time.Duration, wake sched.Signal) *probes {
	return &probes{rt: rt, probe: p, every: every, wake: wake, work: sched.NewGroup(rt),
		asked: map[cluster.Endpoint]time.Duration{}, busy: map[cluster.Endpoint]bool{}, result: map[cluster.Endpoint]failover.Probe{}}
}

// want samples, in the background, the members that have a check record and no view.
func (p *probes) want(ctx context.Context, snap cluster.Snapshot, pair cluster.Pair) {
	if p.probe == nil {
		return
	}
	for _, node := range pair.Members() {
		_, checked := snap.Checks[node]
		if !checked || len(snap.Observations[node]) > 0 {
			continue
		}
		now := p.rt.Now()
		p.mu.Lock()
		asked, ever := p.asked[node]
		due := !p.busy[node] && (!ever || now-asked >= p.every)
		if due {
			p.busy[node], p.asked[node] = true, now
		}
		p.mu.Unlock()
		if due {
			p.work.Go(func() { p.sample(ctx, node) })
		}
	}
}

func (p *probes) sample(ctx context.Context, node cluster.Endpoint) {
	server, err := p.probe(ctx, node)
	p.mu.Lock()
	p.busy[node] = false
	was, ever := p.result[node]
	switch {
	case err == nil:
		p.result[node] = failover.Probe{Server: server, Seq: was.Seq + 1}
	case ever: // what it has it keeps; whether it still replicates is not known
		was.Server.Channel.IO, was.Server.Channel.SQL = "", ""
		p.result[node] = was
	}
	p.mu.Unlock()
	if err == nil {
		p.wake.Set()
	}
}

func (p *probes) found() map[cluster.Endpoint]failover.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.result) == 0 {
		return nil
	}
	return maps.Clone(p.result)
}

func (p *probes) stop() { p.work.Wait() }
