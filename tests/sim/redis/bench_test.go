package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// fill makes a pair as it is in service: two monitors, two agents.
func fill(b *testing.B, s *Store) (token uint64) {
	ok(b, s.PublishPair(pair))
	for i := range 2 {
		for _, e := range pair.Members() {
			observe(b, s, epoch, fmt.Sprint("m", i), e)
			_, err := s.SaveReport(cluster.Report{Agent: fmt.Sprint("a", i), Node: e, Remembers: steady(1, 1)}, true)
			ok(b, err)
		}
	}
	token, _, _, err := s.Lead(epoch, "one", 0, time.Hour)
	ok(b, err)
	_, _, err = s.Transition(epoch, "one", token, cluster.Transition{Next: steady(1, 0), Announce: true}, 1)
	ok(b, err)
	_, _, err = s.Renew(epoch, nodeA, "a0", 1, time.Minute)
	ok(b, err)
	return token
}

func observe(b *testing.B, s *Store, now time.Duration, monitor string, e cluster.Endpoint) {
	o := cluster.Observation{Monitor: monitor, Node: e, Server: cluster.Server{Executed: "0-1-100,0-2-7", Users: []string{"app"}}}
	if _, err := s.PublishObservation(now, o, nil, time.Minute, true); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSnapshot is of a Redis in which nothing has changed, at a new time.
func BenchmarkSnapshot(b *testing.B) {
	s, now := NewStore(sign), epoch
	fill(b, s)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Microsecond
		_ = s.Snapshot(now)
	}
}

// BenchmarkSnapshotLater is of a Redis in which nothing but what is left of each
// life has changed.
func BenchmarkSnapshotLater(b *testing.B) {
	s, now := NewStore(sign), epoch
	fill(b, s)
	b.ReportAllocs()
	for n := time.Duration(0); b.Loop(); n++ {
		_ = s.Snapshot(now + n%50_000*time.Millisecond)
	}
}

// BenchmarkSnapshotAfterObservation is of both.
func BenchmarkSnapshotAfterObservation(b *testing.B) {
	s, now := NewStore(sign), epoch
	fill(b, s)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		observe(b, s, now, "m0", nodeA)
		_ = s.Snapshot(now)
	}
}

func BenchmarkPublishObservation(b *testing.B) {
	s, now := NewStore(sign), epoch
	fill(b, s)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		observe(b, s, now, "m0", nodeA)
	}
}

func BenchmarkTransition(b *testing.B) {
	s, now := NewStore(sign), epoch
	token := fill(b, s)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		if len(s.events) == 20 { // more than a simulated run has
			s.events = nil
		}
		expect := s.record.Order()
		_, _, err := s.Transition(min(now, epoch+time.Minute), "one", token,
			cluster.Transition{Expect: expect, Next: steady(expect.Epoch+1, 0), Announce: true}, 1)
		ok(b, err)
	}
}

// BenchmarkCall is a Snapshot of a process over the simulated network.
func BenchmarkCall(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	way := engine.Link{Low: time.Millisecond, High: 2 * time.Millisecond}
	n := e.Network(way, way)
	s := NewServer(n.Host("redis"), sign)
	fill(b, s.store)
	p := n.Host("host").Process("p", engine.Clock{})
	bus := NewBus(p, s)
	n2 := 0
	p.Go(func() {
		for {
			if _, err := bus.Snapshot(context.Background(), sign); err != nil {
				panic(err)
			}
			n2++
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		for want := n2 + 1; n2 < want; {
			e.Step()
		}
	}
}
