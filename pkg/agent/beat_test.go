package agent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A channel that is started gets a heartbeat each second, where that throws nothing away that was received.
func TestHeartbeatsAreMadeFrequent(t *testing.T) {
	const seldom = 30_000
	for _, tc := range []struct {
		name   string
		flavor cluster.Flavor
		ch     func(*fakeServer)
		want   []string // done to replication
		period int64
	}{
		{"both threads are stopped", cluster.MySQL, func(*fakeServer) {}, []string{"beat", "start"}, 1000},
		{"of MariaDB too", cluster.MariaDB, func(b *fakeServer) { b.executed = "0-1-10" }, []string{"beat", "start"}, 1000},
		{"something is not applied", cluster.MySQL, func(b *fakeServer) { b.ch.Received = uuidA + ":1-12" }, []string{"start"}, seldom},
		{"the applier runs", cluster.MySQL, func(b *fakeServer) { b.ch.SQL = cluster.ThreadYes }, []string{"beat", "start io"}, 1000},
		{"that of MariaDB", cluster.MariaDB, func(b *fakeServer) { b.executed, b.ch.SQL = "0-1-10", cluster.ThreadYes }, []string{"start io"}, seldom},
		{"they are frequent", cluster.MySQL, func(b *fakeServer) { b.ch.HeartbeatPeriodMS = 2000 }, []string{"start"}, 2000},
		{"it is not told how frequent", cluster.MySQL, func(b *fakeServer) { b.ch.HeartbeatPeriodMS = 0 }, []string{"start"}, 0},
		{"it is not granted", cluster.MySQL, func(b *fakeServer) { b.denied["beat"] = true }, []string{"start"}, seldom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.w.a().change(func(a *fakeServer) {
					b := s.w.servers[hostB]
					for _, f := range []*fakeServer{a, b} {
						f.flavor, f.ch.IO, f.ch.SQL = tc.flavor, cluster.ThreadNo, cluster.ThreadNo
					}
					a.executed, b.executed, a.ch.Configured = uuidA+":1-14", uuidA+":1-10", false
					if tc.flavor == cluster.MariaDB {
						a.executed = "0-1-14"
					}
					b.ch.HeartbeatPeriodMS = seldom
					tc.ch(b)
				})
				s.bus.put(steady(5, 3, hostA, hostB))
				s.agent("one")
				s.pass(10 * time.Second)
				s.w.b().change(func(b *fakeServer) {
					if !slices.Equal(b.stops, tc.want) || b.ch.HeartbeatPeriodMS != tc.period {
						t.Errorf("%v, a heartbeat each %d ms; want %v, %d ms", b.stops, b.ch.HeartbeatPeriodMS, tc.want, tc.period)
					}
					if !b.ch.Replicates(hostA) {
						t.Errorf("it does not replicate: %+v", b.ch)
					}
				})
			})
		})
	}
}
