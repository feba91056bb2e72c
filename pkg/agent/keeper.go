package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// ErrStoreBusy: another process had or has the store; it is loaded again before
// it is written.
var ErrStoreBusy = errors.New("another process has the store")

// Store keeps what agents must not forget on disk. It is used by one caller at a
// time, who holds no lock.
type Store interface {
	// Load returns what is kept, beside any error as much as could be read.
	Load() (map[cluster.UniqSign]cluster.Memory, error)
	// Save puts the memory of these pairs in place of what is kept of them; it
	// is on disk when Save returns nil.
	Save(map[cluster.UniqSign]cluster.Memory) error
}

const (
	// diskWait is how long anything waits for the disk: a disk that hangs must
	// not keep a server open.
	diskWait = time.Second
	// lazily is how long what may wait does wait to be written with other things.
	lazily    = time.Second
	diskRetry = 2 * time.Second
)

var errDisk = errors.New("the disk does not answer")

// keeper writes the memory of all pairs to the store, side by side with
// everything else. Only the newest state is ever written.
type keeper struct {
	rt    sched.Runtime
	store Store // nil keeps nothing
	log   zerolog.Logger
	// absorb takes what another process had written.
	absorb func(map[cluster.UniqSign]cluster.Memory)
	wake   sched.Signal

	mu      sync.Mutex
	all     map[cluster.UniqSign]cluster.Memory
	version uint64                             // of all
	saved   uint64                             // the version on disk
	begun   uint64                             // attempts to write
	ended   uint64                             // the last of them that has ended
	epochs  map[cluster.UniqSign]cluster.Epoch // on disk
	urgent  bool
	waiting []sched.Signal // of those who wait for an attempt to end
	trouble string
}

func newKeeper(rt sched.Runtime, s Store, log zerolog.Logger, remembers map[cluster.UniqSign]cluster.Memory) *keeper {
	k := &keeper{rt: rt, store: s, log: log, wake: rt.NewSignal(),
		all: map[cluster.UniqSign]cluster.Memory{}, epochs: map[cluster.UniqSign]cluster.Epoch{}}
	for u, m := range remembers {
		k.all[u] = m.Clone()
	}
	if s != nil && !safeguard.Off(safeguard.EpochFile) {
		found, err := k.load()
		for u, m := range found {
			k.all[u] = k.all[u].Join(m)
			if err == nil {
				k.epochs[u] = m.Record.Epoch
			}
		}
		k.ending(err)
		if len(remembers) > 0 {
			k.version++
		}
	}
	return k
}

// load reads the store. What another process is still writing is known from it
// and not ours.
func (k *keeper) load() (map[cluster.UniqSign]cluster.Memory, error) {
	found, err := k.store.Load()
	if errors.Is(err, ErrStoreBusy) {
		for u, m := range found {
			j := cluster.Memory{Record: m.Record, Learned: m.Locked}
			found[u] = j.Join(cluster.Memory{Learned: m.Learned})
		}
	}
	return found, err
}

// memory is what is known of one pair; a change puts another in its place.
func (k *keeper) memory(u cluster.UniqSign) cluster.Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[u]
}

// accounts are those of e that are known to be locked, by this agent and by others.
func (k *keeper) accounts(u cluster.UniqSign, e cluster.Endpoint) (locked, learned []cluster.Account) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[u].Locked[e], k.all[u].Learned[e]
}

func (k *keeper) memories() map[cluster.UniqSign]cluster.Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.all)
}

// change edits the memory of one pair, to be written at once or lazily.
func (k *keeper) change(u cluster.UniqSign, now bool, edit func(*cluster.Memory)) {
	k.mu.Lock()
	m := k.all[u].Clone()
	edit(&m)
	k.all[u] = m
	k.version++
	k.urgent = k.urgent || now
	k.mu.Unlock()
	k.wake.Set()
}

// keeps reports whether an epoch of u is on disk, or nothing is to be.
func (k *keeper) keeps(u cluster.UniqSign, e cluster.Epoch) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store == nil || k.epochs[u] >= e
}

// wait returns nil when everything up to now is on disk. It waits for diskWait at
// most. What failed before it was called does not count: the disk may be well again.
func (k *keeper) wait(ctx context.Context) error {
	if k.store == nil {
		return nil
	}
	until := k.rt.Now() + diskWait
	told := k.rt.NewSignal()
	k.mu.Lock()
	version, before := k.version, k.begun
	k.urgent = true
	k.waiting = append(k.waiting, told)
	k.mu.Unlock()
	defer k.leave(told)
	k.wake.Set()
	for {
		k.mu.Lock()
		saved, ended, trouble := k.saved, k.ended, k.trouble
		k.mu.Unlock()
		switch {
		case saved >= version:
			return nil
		case ended > before:
			return errors.New(trouble)
		}
		switch told.Wait(ctx, max(0, until-k.rt.Now())) {
		case sched.Set:
		case sched.Late:
			k.mu.Lock()
			k.trouble = errDisk.Error()
			k.mu.Unlock()
			k.log.Error().Msg("the agent's memory is not on disk in time")
			return errDisk
		case sched.Ended:
			return ctx.Err()
		}
	}
}

// leave waits no longer.
func (k *keeper) leave(ended sched.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = slices.DeleteFunc(k.waiting, func(s sched.Signal) bool { return s == ended })
}

// said is why memory is not kept, empty when it is.
func (k *keeper) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// run writes until ctx ends, and then what is left to write.
func (k *keeper) run(ctx context.Context) {
	if k.store == nil {
		return
	}
	due := k.rt.Now()
	waits := false // due is for something to write
	for {
		switch k.wake.Wait(ctx, max(0, due-k.rt.Now())) {
		case sched.Ended:
			k.save()
			return
		case sched.Set:
			k.mu.Lock()
			urgent := k.urgent
			k.mu.Unlock()
			if !urgent {
				if !waits {
					waits, due = true, k.rt.Now()+lazily
				}
				continue
			}
		case sched.Late:
		}
		k.save()
		waits, due = false, k.rt.Now()+diskRetry
	}
}

// save writes what is newer than the disk, after taking over what another
// process has left there.
func (k *keeper) save() {
	k.mu.Lock()
	version, all := k.version, maps.Clone(k.all)
	k.urgent = false
	due := k.saved < version || k.trouble != ""
	if due {
		k.begun++
	}
	k.mu.Unlock()
	if !due {
		return
	}
	err := k.store.Save(all)
	if errors.Is(err, ErrStoreBusy) {
		var found map[cluster.UniqSign]cluster.Memory
		if found, err = k.load(); !errors.Is(err, ErrStoreBusy) {
			version, all = k.takeOver(found)
			err = errors.Join(err, k.store.Save(all))
		}
	}
	k.mu.Lock()
	if err == nil {
		k.saved = max(k.saved, version)
		for u, m := range all {
			k.epochs[u] = m.Record.Epoch
		}
	}
	k.mu.Unlock()
	k.ending(err)
}

// takeOver joins what another process has left with what is known.
func (k *keeper) takeOver(found map[cluster.UniqSign]cluster.Memory) (uint64, map[cluster.UniqSign]cluster.Memory) {
	k.mu.Lock()
	for u, m := range found {
		k.all[u] = k.all[u].Join(m)
	}
	k.version++
	version, all := k.version, maps.Clone(k.all)
	k.mu.Unlock()
	if k.absorb != nil {
		k.absorb(found)
	}
	return version, all
}

// ending notes how an attempt went, and wakes who waits for it.
func (k *keeper) ending(err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	k.mu.Lock()
	before := k.trouble
	k.ended, k.trouble = k.begun, said
	waiting := slices.Clone(k.waiting)
	k.mu.Unlock()
	for _, s := range waiting {
		s.Set()
	}
	switch {
	case said == before:
	case said != "":
		k.log.Error().Err(err).Msg("the agent's memory cannot be kept on disk")
	default:
		k.log.Info().Msg("the agent's memory is kept on disk again")
	}
}
