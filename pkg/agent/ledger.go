package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// ledger is the record of the accounts of a pair that agents have locked and
// not yet released. It is kept on disk and, where the other agents find it, in
// Redis. An account stands in both, as far as they can be written, before it is locked.
type ledger struct {
	p *pair

	mu sync.Mutex
	// learnt are the servers whose accounts on record in Redis were read.
	learnt  map[cluster.Endpoint]bool
	dropped map[cluster.Endpoint]dropped
	// incarnation is that of the Redis from which learned accounts were read last.
	incarnation map[cluster.Endpoint]string
	owned       map[cluster.Endpoint]owned
}

// dropped are accounts to be taken out of Redis as soon as it answers, if the record is
// then the one under which they were found released: others may lock them under the next.
type dropped struct {
	under    cluster.Order
	accounts []cluster.Account
	// settled are taken out whatever the record is: no agent locks them again.
	settled []cluster.Account
}

// all are both.
func (d dropped) all() []cluster.Account { return slices.Concat(d.accounts, d.settled) }

// owned are accounts that their owner has locked on the active, as seen under
// the order first read at tick.
type owned struct {
	tick     uint64
	accounts []cluster.Account
}

func newLedger(p *pair) *ledger {
	return &ledger{p: p, learnt: map[cluster.Endpoint]bool{}, dropped: map[cluster.Endpoint]dropped{},
		incarnation: map[cluster.Endpoint]string{}, owned: map[cluster.Endpoint]owned{}}
}

func (l *ledger) memory() cluster.Memory { return l.p.a.keeper.memory(l.p.u) }

// ours are the accounts of e that agents have locked; mine those of this agent.
func (l *ledger) ours(e cluster.Endpoint) (ours, mine []cluster.Account) {
	mine, learned := l.p.a.keeper.accounts(l.p.u, e)
	if len(mine)+len(learned) == 0 {
		return nil, nil
	}
	return cluster.SortAccounts(slices.Concat(mine, learned)), mine
}

// note records accounts that are about to be locked. One of disk and Redis is
// enough; with neither it is an error.
func (l *ledger) note(ctx context.Context, e cluster.Endpoint, under cluster.Order, all []cluster.Account) error {
	k := l.p.a.keeper
	l.mu.Lock()
	l.undrop(e, all)
	l.mu.Unlock()
	k.change(l.p.u, true, func(m *cluster.Memory) { put(&m.Locked, e, append(m.Locked[e], all...)) })
	redis := sched.Begin(l.p.a.rt, func() (struct{}, error) {
		ctx, cancel := l.p.a.rt.Timeout(ctx, l.p.a.patience())
		defer cancel()
		return struct{}{}, l.p.a.o.Bus.NoteLocked(ctx, l.p.u, e, all)
	})
	// It ends with ctx, and what it says is awaited even then.
	whatever := context.Background()
	disk := errNoStore
	if k.store != nil {
		disk = k.wait(ctx)
	}
	if disk == nil {
		// Redis is told again whenever the accounts are read.
		_, _ = redis.Get(whatever, redisWait)
		return nil
	}
	if _, err := redis.Get(whatever, -1); err != nil {
		l.drop(e, under, all)
		return fmt.Errorf("record the accounts to be locked: %w", errors.Join(disk, err))
	}
	return nil
}

// redisWait is how long a locking that is on disk waits for Redis too.
const redisWait = 100 * time.Millisecond

var errNoStore = errors.New("no state file is in use")

// undrop leaves accounts in Redis; under the lock.
func (l *ledger) undrop(e cluster.Endpoint, all []cluster.Account) {
	d := l.dropped[e]
	d.accounts, d.settled = without(d.accounts, all), without(d.settled, all)
	l.dropped[e] = d
}

// drop takes accounts off the record that were found released under an order. What was to
// be taken out of Redis under another one stays there.
func (l *ledger) drop(e cluster.Endpoint, under cluster.Order, all []cluster.Account) {
	if safeguard.Off(safeguard.NoteKept) {
		l.settle(e, all)
		return
	}
	l.takeOff(e, all, func(d *dropped) {
		if d.under != under {
			d.under, d.accounts = under, nil
		}
		d.accounts = cluster.SortAccounts(append(d.accounts, all...))
	})
}

// settle takes accounts off the record, whatever that is: no agent locks them again.
func (l *ledger) settle(e cluster.Endpoint, all []cluster.Account) {
	l.takeOff(e, all, func(d *dropped) { d.settled = cluster.SortAccounts(append(d.settled, all...)) })
}

func (l *ledger) takeOff(e cluster.Endpoint, all []cluster.Account, inRedis func(*dropped)) {
	if len(all) == 0 {
		return
	}
	l.mu.Lock()
	d := l.dropped[e]
	inRedis(&d)
	l.dropped[e] = d
	l.mu.Unlock()
	l.p.a.keeper.change(l.p.u, false, func(m *cluster.Memory) {
		put(&m.Locked, e, without(m.Locked[e], all))
		put(&m.Learned, e, without(m.Learned[e], all))
	})
}

// learn reads what other agents have recorded of e. What this one no longer
// holds is taken out before; what Redis no longer holds was released by others,
// unless it is another Redis than before.
func (l *ledger) learn(ctx context.Context, e cluster.Endpoint) error {
	ctx, cancel := l.p.a.rt.Timeout(ctx, l.p.a.patience())
	defer cancel()
	bus, u := l.p.a.o.Bus, l.p.u
	l.mu.Lock()
	d := l.dropped[e]
	d.accounts, d.settled = slices.Clone(d.accounts), slices.Clone(d.settled)
	l.mu.Unlock()
	if all := d.all(); len(all) > 0 {
		if err := bus.DropLocked(ctx, u, e, cluster.Order{}, d.settled); err != nil {
			return err
		}
		if err := bus.DropLocked(ctx, u, e, d.under, d.accounts); err != nil {
			return err
		}
		l.mu.Lock()
		l.undrop(e, all)
		l.mu.Unlock()
	}
	found, err := bus.Locked(ctx, u, e)
	if err != nil {
		return err
	}
	incarnation := l.p.incarnation()
	l.mu.Lock()
	same := incarnation != "" && l.incarnation[e] == incarnation
	l.incarnation[e], l.learnt[e] = incarnation, true
	found = without(found, l.dropped[e].all())
	l.mu.Unlock()
	m := l.memory()
	learned := without(found, m.Locked[e])
	if !same {
		learned = cluster.SortAccounts(append(learned, m.Learned[e]...))
	}
	if !slices.Equal(learned, m.Learned[e]) {
		l.p.a.keeper.change(u, false, func(m *cluster.Memory) { put(&m.Learned, e, without(learned, m.Locked[e])) })
	}
	return nil
}

// shared reports whether Redis was read, and holds nothing that was dropped here.
func (l *ledger) shared(e cluster.Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.learnt[e] && len(l.dropped[e].all()) == 0
}

// tell writes accounts that were just seen locked to Redis, which may have lost them.
func (l *ledger) tell(ctx context.Context, e cluster.Endpoint, seen []cluster.Account) error {
	if len(seen) == 0 {
		return nil
	}
	ctx, cancel := l.p.a.rt.Timeout(ctx, l.p.a.patience())
	defer cancel()
	return l.p.a.o.Bus.NoteLocked(ctx, l.p.u, e, seen)
}

func (l *ledger) setOwned(e cluster.Endpoint, tick uint64, all []cluster.Account) {
	l.mu.Lock()
	l.owned[e] = owned{tick, all}
	l.mu.Unlock()
}

// ownedOn are the accounts that their owner has locked on e while that was the
// active of the order first read at tick.
func (l *ledger) ownedOn(e cluster.Endpoint, tick uint64) []cluster.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.owned[e]; o.tick == tick {
		return o.accounts
	}
	return nil
}

// put replaces the accounts of e.
func put(all *map[cluster.Endpoint][]cluster.Account, e cluster.Endpoint, accounts []cluster.Account) {
	if *all == nil {
		*all = map[cluster.Endpoint][]cluster.Account{}
	}
	if accounts = cluster.SortAccounts(accounts); len(accounts) == 0 {
		delete(*all, e)
	} else {
		(*all)[e] = accounts
	}
}

// without returns the accounts of all that are not in those.
func without(all, those []cluster.Account) []cluster.Account {
	var left []cluster.Account
	for _, a := range all {
		if !slices.Contains(those, a) {
			left = append(left, a)
		}
	}
	return left
}
