package exhaustive

import (
	"fmt"
	"slices"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Start is a world from which explorations go.
type Start struct {
	Name string
	make func(*lab) world
}

// Starts are all of them.
func Starts() []Start {
	return []Start{
		{"steady", func(l *lab) world {
			return l.begin(begun{a: open(3, 0), b: replica(set{3, 0}, set{3, 0}), now: steady(serverA)})
		}},
		{"steady, the passive is behind", func(l *lab) world {
			return l.begin(begun{a: open(3, 0), b: replica(set{1, 0}, set{2, 0}), now: steady(serverA)})
		}},
		{"steady, not long after a failover", func(l *lab) world {
			rec := steady(serverA)
			rec.Blocked = true
			return l.begin(begun{a: open(3, 0), b: replica(set{3, 0}, set{3, 0}), now: rec, promoted: true})
		}},
		{"steady, the passive is not eligible and has a transaction of its own", func(l *lab) world {
			rec := steady(serverA)
			rec.Eligible = nil
			return l.begin(begun{a: open(3, 0), b: replica(set{3, 1}, set{3, 0}), now: rec})
		}},
		{"revoked half way, the old active is dead", func(l *lab) world {
			return l.begin(begun{a: open(3, 0).die(), b: replica(set{1, 0}, set{2, 0}), was: steady(serverA), now: revoked()})
		}},
		{"revoked half way, the old active is open", func(l *lab) world {
			return l.begin(begun{a: open(3, 0), b: replica(set{1, 0}, set{2, 0}), was: steady(serverA), now: revoked()})
		}},
		{"revoked half way, an opening of the old active is held up", func(l *lab) world {
			a := open(3, 0)
			a.open = false
			return l.begin(begun{a: a, b: replica(set{1, 0}, set{2, 0}), was: steady(serverA), now: revoked(), held: true})
		}},
		{"opening after a failover", func(l *lab) world {
			rec := revoked()
			rec.Version, rec.Phase, rec.Active, rec.Passive = 2, cluster.PhaseOpening, serverB, serverA
			rec.Proof, rec.Target, rec.Blocked = cluster.RiskRefused, set{2, 0}.String(), true
			b := replica(set{2, 0}, set{2, 0})
			b.io = false
			return l.begin(begun{a: open(3, 0).die(), b: b, was: revoked(), now: rec, promoted: true})
		}},
		{"switching", func(l *lab) world {
			rec := steady(serverA)
			rec.Version++
			rec.Phase, rec.From, rec.To, rec.Cause = cluster.PhaseSwitching, serverA, serverB, cluster.CauseSwitchover
			return l.begin(begun{a: open(3, 0), b: replica(set{2, 0}, set{2, 0}), was: steady(serverA), now: rec})
		}},
		{"opening after a switchover", func(l *lab) world {
			rec := steady(serverA)
			rec.Epoch, rec.Version, rec.Phase, rec.Active, rec.Passive = 2, 1, cluster.PhaseOpening, serverB, serverA
			rec.From, rec.To, rec.Cause, rec.Proof = serverA, serverB, cluster.CauseSwitchover, cluster.ProofFenced
			rec.Target, rec.Eligible = set{3, 0}.String(), nil
			a := open(3, 0)
			a.open = false
			return l.begin(begun{a: a, b: replica(set{3, 0}, set{3, 0}), was: steady(serverA), now: rec})
		}},
		{"steady after a failover that left a transaction behind", func(l *lab) world {
			rec := revoked()
			rec.Version, rec.Phase, rec.Active, rec.Passive = 3, cluster.PhaseSteady, serverB, serverA
			rec.Proof, rec.Target, rec.Blocked = cluster.RiskRefused, set{2, 0}.String(), true
			a, b := open(3, 0), replica(set{2, 1}, set{2, 0})
			a.open, b.open, b.io = false, true, false
			a.mark, b.mark = mark{1, 0}, mark{2, 1}
			return l.begin(begun{a: a, b: b, was: rec, now: rec, promoted: true})
		}},
		{"fresh Redis", func(l *lab) world {
			return l.begin(begun{a: open(3, 0), b: replica(set{3, 0}, set{3, 0})})
		}},
		{"fresh Redis, both servers are closed", func(l *lab) world {
			a := open(3, 0)
			a.open = false
			return l.begin(begun{a: a, b: replica(set{2, 0}, set{2, 0})})
		}},
	}
}

func chosen(wanted []string) []Start {
	all := Starts()
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(s Start) bool { return s.Name == name }) {
			panic(fmt.Sprintf("no start is named %q", name))
		}
	}
	return slices.DeleteFunc(all, func(s Start) bool { return len(wanted) > 0 && !slices.Contains(wanted, s.Name) })
}

func open(own, other uint8) server {
	return server{up: true, open: true, executed: set{own, other}, received: set{0, other}, io: true, sql: true, mark: mark{1, 0}}
}

func replica(executed, received set) server {
	return server{up: true, executed: executed, received: received, io: true, sql: true, mark: mark{1, 0}}
}

func steady(active cluster.Endpoint) cluster.Assignment {
	passive := policyPair.Other(active)
	return cluster.Assignment{Epoch: 1, Version: 2, Phase: cluster.PhaseSteady, Active: active, Passive: passive, To: active,
		Eligible: []cluster.Endpoint{passive}, Proof: cluster.ProofGone, Durability: cluster.Async, Cause: "first start", EpochTable: policy.EpochTable}
}

func revoked() cluster.Assignment {
	return cluster.Assignment{Epoch: 2, Version: 1, Phase: cluster.PhaseRevoked, From: serverA, To: serverB, Target: set{2, 0}.String(),
		Durability: cluster.Async, Cause: "failover: refused", EpochTable: policy.EpochTable}
}

// begun says what a start looks like: the agents have obeyed the record was, now
// is in force.
type begun struct {
	a, b     server
	was, now cluster.Assignment
	promoted bool // not long ago, by an automatic failover
	held     bool // an opening of A under the record was
}

// begin makes the world; the first identify leads and has seen it, the other
// knows nothing.
func (l *lab) begin(s begun) world {
	w := world{redis: l.redis.fresh(), srv: [2]uint32{l.servers.number(s.a, s.a), l.servers.number(s.b, s.b)}}
	if !s.was.Exists() {
		s.was = s.now
	}
	for i := range 2 {
		w.who[i] = l.think(brain{now: startOfTime})
		w.tokens[i] = none
	}
	put := func(rec cluster.Assignment) {
		old := l.record(w.redis)
		if rec.Order() == old.Order() {
			return
		}
		b := l.redis.of(w.redis)
		t := cluster.Transition{Expect: old.Order(), Next: rec, Event: cluster.Event{Kind: "start"}}
		w.before = w.redis
		w.redis = l.redis.edit(w.redis, 0, func(o *box, id string) {
			must(Transition(o.store, o.now, id, b.snap.Leader.Token, t))
		})
		w.named |= bitOf(rec)
	}
	w.left = int8(l.o.Faults)
	l.doRead(&w, 0)
	put(s.was)
	agents := agent{}
	srv := [2]server{s.a, s.b}
	for i := range 2 {
		agents.seen[i] = l.sight(srv, i)
	}
	w.agent = l.agents.number(agents, agents)
	if s.was.Exists() {
		l.doLook(&w)
		if s.held {
			l.doWork(&w, 0, holding)
		} else {
			l.doWork(&w, 0, acting)
		}
		l.doWork(&w, 1, acting)
		w.srv = [2]uint32{l.servers.number(s.a, s.a), l.servers.number(s.b, s.b)}
	}
	put(s.now)
	l.doRead(&w, 0)
	l.doDecide(&w, 0)
	w.mail, w.waits = [3]message{}, [2]bool{}
	w.newest = l.recordOf(w.redis)
	w.window = s.promoted
	if w.before == 0 {
		w.before = w.redis
	}
	return w
}
