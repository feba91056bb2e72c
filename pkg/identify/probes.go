package identify

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// probes samples servers that only the predecessor's monitor watches, whose
// records carry no GTIDs.
type probes struct {
	probe Prober
	every time.Duration
	wake  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	asked  map[cluster.Endpoint]time.Time
	busy   map[cluster.Endpoint]bool
	result map[cluster.Endpoint]failover.Probe
}

func newProbes(p Prober, every time.Duration) *probes {
	return &probes{probe: p, every: every, wake: make(chan struct{}, 1),
		asked: map[cluster.Endpoint]time.Time{}, busy: map[cluster.Endpoint]bool{}, result: map[cluster.Endpoint]failover.Probe{}}
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
		p.mu.Lock()
		due := !p.busy[node] && time.Since(p.asked[node]) >= p.every
		if due {
			p.busy[node], p.asked[node] = true, time.Now()
		}
		p.mu.Unlock()
		if due {
			p.wg.Go(func() { p.sample(ctx, node) })
		}
	}
}

func (p *probes) sample(ctx context.Context, node cluster.Endpoint) {
	server, err := p.probe(ctx, node)
	p.mu.Lock()
	p.busy[node] = false
	if err == nil {
		p.result[node] = failover.Probe{Server: server, Seq: p.result[node].Seq + 1}
	}
	p.mu.Unlock()
	if err == nil {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (p *probes) done() <-chan struct{} { return p.wake }

func (p *probes) found() map[cluster.Endpoint]failover.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.result)
}

func (p *probes) stop() { p.wg.Wait() }
