package redisbus

import (
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// fill makes a pair as it is in service: three monitors, two agents.
func fill(b testing.TB, bus *Bus) uint64 {
	ctx := b.Context()
	ok(b, bus.PublishPair(ctx, testPair()))
	for i := range 3 {
		for _, node := range []cluster.Endpoint{nodeA, nodeB} {
			o := cluster.Observation{Monitor: fmt.Sprint("m", i), Node: node, Server: cluster.Server{Executed: "0-1-100,0-2-7"}}
			must[bool](b)(bus.PublishObservation(ctx, sign, o, &cluster.LegacyCheck{}, time.Minute, true))
			ok(b, bus.SaveReport(ctx, sign, cluster.Report{Agent: fmt.Sprint("a", i), Node: node, Remembers: opening(1, 1)}, true))
		}
	}
	token, _, _, err := bus.Lead(ctx, sign, "one", time.Minute)
	ok(b, err)
	return token
}

func BenchmarkSnapshot(b *testing.B) {
	bus := newReal(b).bus(b)
	fill(b, bus)
	for b.Loop() {
		must[cluster.Snapshot](b)(bus.Snapshot(b.Context(), sign))
	}
}

func BenchmarkPublishObservation(b *testing.B) {
	bus := newReal(b).bus(b)
	o := cluster.Observation{Monitor: "m", Node: nodeA, Server: cluster.Server{Executed: "0-1-100,0-2-7"}}
	for b.Loop() {
		must[bool](b)(bus.PublishObservation(b.Context(), sign, o, &cluster.LegacyCheck{}, time.Minute, true))
	}
}

func BenchmarkTransition(b *testing.B) {
	bus := newReal(b).bus(b)
	token := fill(b, bus)
	a := cluster.Assignment{}
	for b.Loop() {
		a = must[cluster.Assignment](b)(bus.Transition(b.Context(), sign, "one", token, cluster.Transition{
			Expect: a.Order(), Next: opening(1, a.Version+1), Announce: true}))
	}
}

// BenchmarkWake is from before the report is saved until a reader has the wake-up.
func BenchmarkWake(b *testing.B) {
	bus := newReal(b).bus(b)
	sub := bus.Subscribe(b.Context(), Channels{All: true, Topic: true})
	expectWake(b, sub, Wake{Kind: KindResubscribed})
	for b.Loop() {
		ok(b, bus.SaveReport(b.Context(), sign, cluster.Report{Agent: "a", Node: nodeA}, true))
		<-sub.C()
	}
}
