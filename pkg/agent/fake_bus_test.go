package agent_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const uniq = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")

var (
	errAway   = errors.New("connect to redis: refused")
	errIsland = errors.New("0 of 2 replicas of redis answer for the record")
)

// fakeBus is a Redis with one pair in it.
type fakeBus struct {
	mu        sync.Mutex
	away      bool
	island    bool // no replica answers for what it holds
	snap      cluster.Snapshot
	listeners map[*func(agent.Wake)]bool
	onCheck   func() // called once after the next read of the record alone
	saved     int
	whole     int // snapshots taken
	locked    map[cluster.Endpoint][]cluster.Account
	noNotes   bool          // nothing can be noted about accounts
	noDrops   bool          // nothing can be taken out of what is noted about them
	slow      time.Duration // how long a snapshot takes
}

func newFakeBus() *fakeBus {
	return &fakeBus{
		snap: cluster.Snapshot{UniqSign: uniq, Primary: hostA, Secondary: hostB,
			Members: []cluster.Endpoint{hostA, hostB}, Reports: map[cluster.Endpoint]map[string]cluster.Report{}},
		listeners: map[*func(agent.Wake)]bool{},
		locked:    map[cluster.Endpoint][]cluster.Account{},
	}
}

func (b *fakeBus) Pairs(context.Context) ([]cluster.UniqSign, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, errAway
	}
	return []cluster.UniqSign{uniq}, nil
}

func (b *fakeBus) Snapshot(context.Context, cluster.UniqSign) (cluster.Snapshot, error) {
	b.mu.Lock()
	slow := b.slow
	b.whole++
	b.mu.Unlock()
	<-time.After(slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return cluster.Snapshot{}, errAway
	}
	s := b.snap
	s.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
	for e, rs := range b.snap.Reports {
		s.Reports[e] = maps.Clone(rs)
	}
	return s, nil
}

func (b *fakeBus) Assignment(context.Context, cluster.UniqSign) (cluster.Assignment, error) {
	b.mu.Lock()
	if b.away {
		b.mu.Unlock()
		return cluster.Assignment{}, errAway
	}
	rec, hook := b.snap.Assignment, b.onCheck
	b.onCheck = nil
	b.mu.Unlock()
	if hook != nil {
		hook()
	}
	return rec, nil
}

func (b *fakeBus) SaveReport(_ context.Context, _ cluster.UniqSign, r cluster.Report, wake bool) error {
	b.mu.Lock()
	if b.away {
		b.mu.Unlock()
		return errAway
	}
	if b.snap.Reports[r.Node] == nil {
		b.snap.Reports[r.Node] = map[string]cluster.Report{}
	}
	b.snap.Reports[r.Node][r.Agent] = r
	b.saved++
	b.mu.Unlock()
	if wake {
		b.say(agent.Wake{UniqSign: uniq, Kind: agent.WakeReport})
	}
	return nil
}

func (b *fakeBus) DropReport(_ context.Context, _ cluster.UniqSign, node cluster.Endpoint, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.snap.Reports[node], id)
	return nil
}

func (b *fakeBus) Locked(_ context.Context, _ cluster.UniqSign, node cluster.Endpoint) ([]cluster.Account, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, errAway
	}
	return slices.Clone(b.locked[node]), nil
}

func (b *fakeBus) NoteLocked(_ context.Context, _ cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away || b.noNotes {
		return errAway
	}
	b.locked[node] = cluster.SortAccounts(append(b.locked[node], all...))
	return nil
}

func (b *fakeBus) DropLocked(_ context.Context, _ cluster.UniqSign, node cluster.Endpoint, under cluster.Order, all []cluster.Account) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away || b.noDrops {
		return errAway
	}
	if under.Epoch != 0 && b.snap.Assignment.Order() != under {
		return nil
	}
	b.locked[node] = slices.DeleteFunc(b.locked[node], func(a cluster.Account) bool { return slices.Contains(all, a) })
	return nil
}

func (b *fakeBus) Held(_ context.Context, _ cluster.UniqSign, order cluster.Order) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.away:
		return false, errAway
	case b.island:
		return false, errIsland
	}
	return b.snap.Assignment.Order() == order, nil
}

func (b *fakeBus) Renew(_ context.Context, _ cluster.UniqSign, node cluster.Endpoint, id string, epoch cluster.Epoch, ttl time.Duration) (bool, cluster.Order, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return false, cluster.Order{}, errAway
	}
	rec := b.snap.Assignment
	if rec.Phase == cluster.PhaseRevoked || rec.Epoch != epoch || rec.Active != node {
		return false, rec.Order(), nil
	}
	b.snap.Grant = &cluster.Grant{Node: node, Agent: id, Epoch: epoch, TTL: ttl, Left: ttl}
	return true, rec.Order(), nil
}

// lockedOn are the accounts of a node that Redis has on record.
func (b *fakeBus) lockedOn(node cluster.Endpoint) []cluster.Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.locked[node])
}

func (b *fakeBus) Listen(ctx context.Context, hear func(agent.Wake)) {
	b.mu.Lock()
	b.listeners[&hear] = true
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.listeners, &hear)
	b.mu.Unlock()
}

func (b *fakeBus) say(w agent.Wake) {
	b.mu.Lock()
	var all []func(agent.Wake)
	for l := range b.listeners {
		all = append(all, *l)
	}
	b.mu.Unlock()
	for _, hear := range all {
		hear(w)
	}
}

func (b *fakeBus) setNoDrops(no bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noDrops = no
}

func (b *fakeBus) setAway(away bool) {
	b.mu.Lock()
	b.away = away
	b.mu.Unlock()
	if !away {
		b.say(agent.Wake{Kind: agent.WakeResubscribed})
	}
}

// put writes a record as identify would.
func (b *fakeBus) put(rec cluster.Assignment) {
	b.mu.Lock()
	b.snap.Assignment = rec
	b.mu.Unlock()
	b.say(agent.Wake{UniqSign: uniq, Kind: agent.WakeAssignment})
}

func (b *fakeBus) putMode(active, passive cluster.Endpoint) {
	b.mu.Lock()
	b.snap.Legacy = cluster.LegacyMode{Active: active, Passive: passive, Master: active}
	b.mu.Unlock()
	b.say(agent.Wake{UniqSign: uniq, Kind: agent.WakeMessage, Named: []cluster.Endpoint{active, passive}})
}

func (b *fakeBus) savedReports() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.saved
}

func (b *fakeBus) report(t *testing.T, node cluster.Endpoint, id string) cluster.Report {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.snap.Reports[node][id]
	if !ok {
		t.Fatalf("agent %s has no report of %s", id, node)
	}
	return r
}
