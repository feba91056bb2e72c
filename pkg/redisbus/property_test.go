package redisbus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// model is the dumb twin of the scripts: what Redis should hold.
type model struct {
	leader  string
	counter uint64
	held    map[string]uint64 // by process: the token it believes in
	record  cluster.Assignment
	legacy  cluster.LegacyMode
	request *cluster.Request
	events  []string
	// once set, the first one stays
	incarnation string
}

// process is one bus under one name; two processes share the name "a".
type process struct {
	name, id string
	bus      *Bus
}

func (m *model) lead(p process) (uint64, bool, string) {
	mine := m.held[p.name]
	switch {
	case m.leader == p.id && mine != 0 && mine == m.counter:
		return m.counter, true, p.id
	case m.leader == "", m.leader == p.id && mine == 0:
		m.leader = p.id
		m.counter++
		m.held[p.name] = m.counter
		return m.counter, true, p.id
	}
	return m.counter, false, m.leader
}

func (m *model) resign(p process) {
	mine := m.held[p.name]
	delete(m.held, p.name)
	if m.leader == p.id && (mine == 0 || mine == m.counter) {
		m.leader = ""
	}
}

func (m *model) transition(id string, token uint64, t cluster.Transition) error {
	switch {
	case id != m.leader || token != m.counter || token == 0:
		return ErrNotLeader
	case t.Expect != m.record.Order():
		return ErrStale
	}
	m.record = t.Next
	m.events = append(m.events, t.Event.Kind)
	if t.Announce {
		m.legacy = cluster.LegacyMode{Active: t.Next.Active, Passive: t.Next.Passive, Master: t.Next.Active}
	}
	if t.Request != nil {
		m.request = t.Request
	}
	return nil
}

func TestScriptsAgreeWithTheModel(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		processes := []process{{"a1", "a", nil}, {"a2", "a", nil}, {"b", "b", nil}}
		for i := range processes {
			processes[i].bus = s.bus(t)
		}
		ctx := t.Context()
		rapid.Check(t, func(rt *rapid.T) {
			if err := s.raw.FlushAll(ctx).Err(); err != nil {
				rt.Fatal(err)
			}
			m := &model{held: map[string]uint64{}}
			for _, p := range processes {
				p.bus.setToken(holding{sign, p.id}, 0)
			}
			pick := func() process { return rapid.SampledFrom(processes).Draw(rt, "process") }
			n := 0
			rt.Repeat(map[string]func(*rapid.T){
				"lead": func(rt *rapid.T) {
					p := pick()
					token, held, holder, err := p.bus.Lead(ctx, sign, p.id, time.Minute)
					wantToken, wantHeld, wantHolder := m.lead(p)
					if err != nil || token != wantToken || held != wantHeld || holder != wantHolder {
						rt.Fatalf("%s leads: %d %v %q %v, want %d %v %q", p.name, token, held, holder, err, wantToken, wantHeld, wantHolder)
					}
				},
				"lose an answer": func(rt *rapid.T) {
					p := pick()
					m.lead(p)
					delete(m.held, p.name)
					_, _, _, _ = p.bus.Lead(ctx, sign, p.id, time.Minute)
					p.bus.setToken(holding{sign, p.id}, 0)
				},
				"resign": func(rt *rapid.T) {
					p := pick()
					m.resign(p)
					if err := p.bus.Resign(ctx, sign, p.id); err != nil {
						rt.Fatal(err)
					}
				},
				"expire": func(*rapid.T) {
					m.leader = ""
					s.raw.Del(ctx, keysOf(sign).leader())
				},
				"transition": func(rt *rapid.T) {
					p := pick()
					token := m.counter - uint64(rapid.IntRange(0, 1).Draw(rt, "old"))
					if token == 0 || token > m.counter {
						token = 1
					}
					n++
					tr := drawTransition(rt, m.record, n)
					got, err := p.bus.Transition(ctx, sign, p.id, token, tr)
					want := m.transition(p.id, token, tr)
					if !errors.Is(err, want) || want == nil && err != nil {
						rt.Fatalf("%s under %d, %s -> %s: %v, want %v", p.name, token, tr.Expect, tr.Next.Order(), err, want)
					}
					if err == nil {
						m.record.SinceMS = got.SinceMS
					}
				},
				"": func(rt *rapid.T) { m.check(ctx, rt, processes[0].bus) },
			})
		})
	})
}

func drawTransition(rt *rapid.T, now cluster.Assignment, n int) cluster.Transition {
	number := func(name string, most int) uint64 { return uint64(rapid.IntRange(0, most).Draw(rt, name)) }
	t := cluster.Transition{Expect: now.Order(), Event: cluster.Event{Kind: fmt.Sprint("event ", n)}}
	if rapid.IntRange(0, 3).Draw(rt, "stale") == 0 {
		t.Expect = cluster.Order{Epoch: cluster.Epoch(number("epoch", 3)), Version: number("version", 3)}
	}
	a := cluster.Assignment{Epoch: t.Expect.Epoch + 1, Version: number("new version", 2)}
	if t.Expect.Epoch > 0 && rapid.Bool().Draw(rt, "same epoch") {
		a.Epoch, a.Version = t.Expect.Epoch, t.Expect.Version+1+number("more", 2)
	}
	a.Phase = rapid.SampledFrom([]cluster.Phase{cluster.PhaseSteady, cluster.PhaseRevoked, cluster.PhaseOpening, cluster.PhaseSwitching}).Draw(rt, "phase")
	if a.Phase != cluster.PhaseRevoked {
		a.Active, a.Passive = nodeA, nodeB
		if rapid.Bool().Draw(rt, "other way") {
			a.Active, a.Passive = nodeB, nodeA
		}
		t.Announce = rapid.Bool().Draw(rt, "announce")
	}
	a.From = rapid.SampledFrom([]cluster.Endpoint{"", nodeA, nodeB}).Draw(rt, "from")
	a.Eligible = rapid.SampledFrom([][]cluster.Endpoint{nil, {nodeA}, {nodeA, nodeB}}).Draw(rt, "eligible")
	a.Blocked = rapid.Bool().Draw(rt, "blocked")
	a.Target = rapid.SampledFrom([]string{"", "0-1-5", "uuid:1-5,\nuuid:7"}).Draw(rt, "target")
	a.Reason = rapid.String().Draw(rt, "reason")
	t.Next = a
	if rapid.IntRange(0, 2).Draw(rt, "request") == 0 {
		t.Request = &cluster.Request{ID: fmt.Sprint("r", n), Verb: cluster.VerbSwitchover, State: cluster.RequestDone}
	}
	return t
}

// check compares all of Redis with the model after each step.
func (m *model) check(ctx context.Context, rt *rapid.T, b *Bus) {
	snap, err := b.Snapshot(ctx, sign)
	if err != nil {
		rt.Fatal(err)
	}
	if len(snap.Faults) != 0 {
		rt.Fatalf("faults %q", snap.Faults)
	}
	if d := cmp.Diff(m.record, snap.Assignment); d != "" {
		rt.Fatalf("record: %s", d)
	}
	if d := cmp.Diff(m.request, snap.Request); d != "" {
		rt.Fatalf("request: %s", d)
	}
	if snap.Leader != (cluster.Leader{ID: m.leader, Token: m.counter}) || snap.Legacy != m.legacy {
		rt.Fatalf("leader %v, legacy %v, want %q %d, %v", snap.Leader, snap.Legacy, m.leader, m.counter, m.legacy)
	}
	if (snap.Incarnation == "") != (len(m.events) == 0) || m.incarnation != "" && m.incarnation != snap.Incarnation {
		rt.Fatalf("incarnation %q after %q", snap.Incarnation, m.incarnation)
	}
	m.incarnation = snap.Incarnation
	events, err := b.Events(ctx, sign, len(m.events)+1)
	if err != nil || len(events) != len(m.events) {
		rt.Fatalf("%d events, want %d, %v", len(events), len(m.events), err)
	}
	for i, e := range events {
		if e.Kind != m.events[len(events)-1-i] {
			rt.Fatalf("event %d is %q", i, e.Kind)
		}
	}
}
