package agent

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// gateStore is a disk that hangs until its gate is open.
type gateStore struct{ gate chan struct{} }

func (gateStore) Load() (map[cluster.UniqSign]cluster.Memory, error) { return nil, nil }
func (s gateStore) Save(map[cluster.UniqSign]cluster.Memory) error   { <-s.gate; return nil }
func waitingFor(k *keeper) int                                       { k.mu.Lock(); defer k.mu.Unlock(); return len(k.waiting) }

// fullStore is a disk that has no room.
type fullStore struct{ full atomic.Bool }

func (*fullStore) Load() (map[cluster.UniqSign]cluster.Memory, error) { return nil, nil }
func (s *fullStore) Save(map[cluster.UniqSign]cluster.Memory) error {
	if s.full.Load() {
		return errors.New("no space left on device")
	}
	return nil
}

// Each of several who wait for the disk is told, and nobody is kept in mind who
// has gone.
func TestWhoWaitsForTheDiskIsToldAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := sched.Real()
		store := gateStore{make(chan struct{})}
		k := newKeeper(rt, store, zerolog.Nop(), nil)
		ctx, cancel := rt.Cancel(t.Context())
		work := sched.NewGroup(rt)
		work.Go(func() { k.run(ctx) })

		k.change("u", true, func(m *cluster.Memory) { m.Record.Epoch = 1 })
		if err := k.wait(ctx); !errors.Is(err, errDisk) || waitingFor(k) != 0 {
			t.Errorf("a disk that hangs: %v, %d wait", err, waitingFor(k))
		}
		var waits []*sched.Result[struct{}]
		for range 3 {
			waits = append(waits, sched.Begin(rt, func() (struct{}, error) { return struct{}{}, k.wait(ctx) }))
		}
		synctest.Wait()
		if n := waitingFor(k); n != 3 {
			t.Errorf("%d wait, want 3", n)
		}
		close(store.gate)
		synctest.Wait()
		for _, w := range waits {
			if _, err := w.Get(ctx, 0); err != nil {
				t.Errorf("a disk that is back: %v", err)
			}
		}
		if n := waitingFor(k); n != 0 || !k.keeps("u", 1) {
			t.Errorf("%d wait, kept: %v", n, k.keeps("u", 1))
		}
		cancel()
		work.Wait()
	})
}

// Nothing new is to be written, and the attempt before has failed.
func TestWhoWaitsForADiskThatIsWellAgainIsNotToldOfItsLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := sched.Real()
		store := &fullStore{}
		store.full.Store(true)
		k := newKeeper(rt, store, zerolog.Nop(), nil)
		ctx, cancel := rt.Cancel(t.Context())
		work := sched.NewGroup(rt)
		work.Go(func() { k.run(ctx) })

		k.change("u", true, func(m *cluster.Memory) { m.Record.Epoch = 1 })
		for range 2 {
			began := rt.Now()
			if err := k.wait(ctx); err == nil || errors.Is(err, errDisk) || rt.Now() != began || k.keeps("u", 1) {
				t.Errorf("a disk without room: %v after %s, kept: %v", err, rt.Now()-began, k.keeps("u", 1))
			}
		}
		store.full.Store(false)
		if err := k.wait(ctx); err != nil || !k.keeps("u", 1) {
			t.Errorf("a disk that has room again: %v, kept: %v", err, k.keeps("u", 1))
		}
		cancel()
		work.Wait()
	})
}
