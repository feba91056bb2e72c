package agent_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// countingBus notes when the bus was used, and how.
type countingBus struct {
	*fakeBus
	noted           sync.Mutex
	instants        map[time.Time]bool
	wholes, records int
	renewals        int
}

func newCountingBus(b *fakeBus) *countingBus {
	return &countingBus{fakeBus: b, instants: map[time.Time]bool{}}
}

func (b *countingBus) note(count *int) {
	b.noted.Lock()
	defer b.noted.Unlock()
	b.instants[time.Now()] = true
	if count != nil {
		*count++
	}
}

func (b *countingBus) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	b.note(&b.wholes)
	return b.fakeBus.Snapshot(ctx, u)
}

func (b *countingBus) Assignment(ctx context.Context, u cluster.UniqSign) (cluster.Assignment, error) {
	b.note(&b.records)
	return b.fakeBus.Assignment(ctx, u)
}

func (b *countingBus) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	b.note(nil)
	return b.fakeBus.SaveReport(ctx, u, r, wake)
}

func (b *countingBus) Renew(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, id string, epoch cluster.Epoch, ttl time.Duration) (bool, cluster.Order, error) {
	b.note(&b.renewals)
	return b.fakeBus.Renew(ctx, u, node, id, epoch, ttl)
}

func (b *countingBus) reset() {
	b.noted.Lock()
	defer b.noted.Unlock()
	clear(b.instants)
	b.wholes, b.records, b.renewals = 0, 0, 0
}

// What each loop does in an idle second costs less than to wake for it.
func TestAnIdleAgentWakesOnceASecond(t *testing.T) {
	play(t, func(s *stage) {
		bus := newCountingBus(s.bus)
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one", func(o *agent.Options) { o.Bus = bus })
		// The loops came to rest at different moments.
		s.pass(230 * time.Millisecond)
		s.bus.put(steady(5, 4, hostA, hostB))
		s.pass(5 * time.Second)
		bus.reset()
		s.pass(time.Minute)
		bus.noted.Lock()
		defer bus.noted.Unlock()
		// Pairs are looked for every ten seconds beside that.
		if n := len(bus.instants); n > 67 {
			t.Errorf("the bus was used in %d instants of a minute", n)
		}
		if bus.wholes > 20 || bus.wholes+bus.records < 60 {
			t.Errorf("all was read %d times and the record %d times in a minute", bus.wholes, bus.records)
		}
	})
}

// Wake-ups may be lost; the record is looked at every second all the same, and
// all else of a pair at rest every five.
func TestChangesThatWakeNobodyAreNoticed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(2500 * time.Millisecond)
		silently := func(edit func(*cluster.Snapshot)) {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			edit(&s.bus.snap)
		}
		silently(func(snap *cluster.Snapshot) { snap.Pause = &cluster.Pause{Actor: "anna"} })
		s.pass(5 * time.Second)
		s.w.b().change(func(b *fakeServer) { b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo })
		s.pass(2 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedClosed); r.Reason == "" {
			t.Error("the pause was not noticed")
		}
		silently(func(snap *cluster.Snapshot) { snap.Assignment = revoked(6, hostA, hostB) })
		s.pass(time.Second)
		s.wantOpen(false, false)
		silently(func(snap *cluster.Snapshot) { snap.Assignment = steady(7, 1, hostB, hostA) })
		s.pass(time.Second)
		s.wantOpen(false, true)
	})
}

// While the roles move, what other agents report is looked at every second too.
func TestAnotherAgentsReportIsNoticedWhileTheRolesMove(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.a().kill()
		rec := switching(5, 4, hostA, hostB)
		s.put(rec)
		s.pass(2 * time.Second)
		s.bus.mu.Lock()
		s.bus.snap.Reports[hostA]["two"] = cluster.Report{Agent: "two", Node: hostA, Seq: 1, Order: rec.Order(),
			Deed: cluster.DeedClosed, Closed: rec.Order(), Executed: uuidA + ":1-10"}
		s.bus.mu.Unlock()
		s.pass(time.Second)
		s.want(hostB, "one", cluster.DeedCaughtUp)
	})
}
