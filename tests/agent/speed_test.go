package agent

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// seen waits for a report as identify does: woken by the bus.
func (s *stage) seen(wakes <-chan redisbus.Wake, server *harness.Server, cond func(cluster.Report) bool) {
	s.Helper()
	deadline := time.After(10 * time.Second)
	for {
		snap, err := s.Snapshot(s.Context())
		s.must(err)
		for _, r := range snap.Reports[server.Addr()] {
			if cond(r) {
				return
			}
		}
		select {
		case <-wakes:
		case <-deadline:
			s.Fatalf("no such report of %s: %+v", server.Addr(), snap.Reports)
		}
	}
}

// TestSpeed measures an agent's part of a failover on an idle pair: from the
// revocation to the report that the new active is open, the wake-ups and the
// writes of the record included; without and with users to block and an epoch row.
func TestSpeed(t *testing.T) {
	t.Run("plain", func(t *testing.T) { speed(t, nil, "") })
	t.Run("users and epoch", func(t *testing.T) { speed(t, blockApp, epochTable) })
}

func speed(t *testing.T, agent map[string]string, table string) {
	s := prepareWith(t, programs, agent)
	record := func(epoch cluster.Epoch, version uint64, phase cluster.Phase, from, to *harness.Server) cluster.Assignment {
		r := record(epoch, version, phase, from, to)
		r.EpochTable = table
		return r
	}
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sub := s.Bus().Subscribe(ctx, redisbus.Channels{UniqSigns: []cluster.UniqSign{s.UniqSign}})
	defer sub.Close()

	var drained, closed, opened []time.Duration
	var steps []cluster.Step
	from, to := s.a, s.b
	for e := cluster.Epoch(2); e < 22; e++ {
		began := time.Now()
		rec := s.put(record(e, 1, cluster.PhaseRevoked, from, to))
		s.seen(sub.C(), to, func(r cluster.Report) bool { return r.Ready == rec.Order() })
		drained = append(drained, time.Since(began))
		s.seen(sub.C(), from, func(r cluster.Report) bool { return r.Closed == rec.Order() })
		closed = append(closed, time.Since(began))
		op := s.put(record(e, 2, cluster.PhaseOpening, from, to))
		s.seen(sub.C(), to, func(r cluster.Report) bool {
			steps = r.Steps
			return r.Opened == op.Order()
		})
		opened = append(opened, time.Since(began))
		s.put(record(e, 3, cluster.PhaseSteady, from, to))
		s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
		// The next failover would leave an epoch row behind that has not arrived.
		s.alike()
		from, to = to, from
	}
	for name, all := range map[string][]time.Duration{"drained": drained, "closed and drained": closed, "open": opened} {
		slices.Sort(all)
		t.Logf("revoked to %s: median %s, worst %s of %d", name, all[len(all)/2], all[len(all)-1], len(all))
	}
	if m := opened[len(opened)/2]; m > 250*time.Millisecond {
		t.Errorf("median %s", m)
	}
	t.Logf("steps of the last opening: %+v", steps)
	usage, err := s.Daemon(harness.Agent).Usage()
	s.must(err)
	t.Logf("agent: %+v", usage)
}
