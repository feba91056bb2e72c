package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	nodeA = cluster.Endpoint("10.0.21.5:3308")
	nodeB = cluster.Endpoint("10.0.21.7:3308")
)

var pair = cluster.Pair{Tag: "mysql3308", UniqSign: "u1", Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive}

// fakeBus is a bus with one pair on it.
type fakeBus struct {
	mu     sync.Mutex
	snap   cluster.Snapshot
	events []cluster.Event
	down   error
	filed  []cluster.Request
	// onFile plays identify: it is started when a request is filed.
	onFile func(*fakeBus)
}

func newBus() *fakeBus {
	return &fakeBus{snap: cluster.Snapshot{
		UniqSign:   "u1",
		Assignment: cluster.Assignment{Epoch: 7, Version: 3, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB},
		Leader:     cluster.Leader{ID: "ident1/77", Token: 1},
		Observations: map[cluster.Endpoint]map[string]cluster.Observation{
			nodeA: {"m": {Monitor: "m", Server: cluster.Server{Sessions: 12}}},
			nodeB: {"m": {Monitor: "m", Server: cluster.Server{Channel: cluster.Channel{Configured: true, Source: nodeA, IO: "Yes", SQL: "Yes"}}}},
		},
	}}
}

func (b *fakeBus) change(f func(*cluster.Snapshot)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.snap)
}

func (b *fakeBus) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return cluster.Snapshot{}, b.down
	}
	if err := ctx.Err(); err != nil {
		return cluster.Snapshot{}, err
	}
	if u != b.snap.UniqSign {
		return cluster.Snapshot{UniqSign: u}, nil
	}
	s := b.snap
	if s.Request != nil {
		r := *s.Request
		s.Request = &r
	}
	return s, nil
}

func (b *fakeBus) FileRequest(_ context.Context, _ cluster.UniqSign, r cluster.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return b.down
	}
	if b.snap.Request != nil && !b.snap.Request.State.Ended() {
		return fmt.Errorf("file switchover: %w: by %s", ErrBusy, b.snap.Request.Actor)
	}
	b.filed = append(b.filed, r)
	b.snap.Request = &r
	if b.onFile != nil {
		go b.onFile(b)
	}
	return nil
}

func (b *fakeBus) WithdrawRequest(_ context.Context, _ cluster.UniqSign, id string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.snap.Request; b.down != nil || r == nil || r.ID != id || r.State != cluster.RequestFiled {
		return false, b.down
	}
	r := *b.snap.Request
	r.State = cluster.RequestRefused
	b.snap.Request = &r
	return true, nil
}

func (b *fakeBus) SetPause(_ context.Context, _ cluster.UniqSign, p cluster.Pause) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.SinceMS = time.Date(2026, 11, 21, 4, 12, 9, 0, time.UTC).UnixMilli()
	b.snap.Pause = &p
	return b.down
}

func (b *fakeBus) ClearPause(context.Context, cluster.UniqSign) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.snap.Pause != nil
	b.snap.Pause = nil
	return was, b.down
}

func (b *fakeBus) Events(_ context.Context, _ cluster.UniqSign, n int) ([]cluster.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events[:min(n, len(b.events))], b.down
}

var errDown = errors.New("read redis 127.0.0.1:1: connection refused")

func service(b *fakeBus) *Service {
	return New(Options{Bus: b, Actor: "dba@jump", NewID: func() string { return "req-1" }})
}
