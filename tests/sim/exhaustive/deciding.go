package exhaustive

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
)

const (
	startOfTime   = 1000 * time.Hour
	failoverBlock = 6 * time.Second
)

var (
	policyPair = cluster.Pair{Tag: "pair", UniqSign: "pair", Primary: serverA, Secondary: serverB, ServiceMode: cluster.ActivePassive}
	policy     = failover.Policy{Pair: policyPair, Interval: time.Second, ConnectTimeout: 500 * time.Millisecond, TryTimes: 2,
		Unfenced: failover.UnfencedAuto, FailoverBlock: failoverBlock, MaxLoss: -1, Failback: failover.FailbackManual, EpochTable: "mmm_meta.epoch"}
)

// brain is one identify at one instant of its own clock.
type brain struct {
	state failover.State
	now   time.Duration
	lease lease.Lease
	// snap is what it has read and not yet decided upon, at taken of its clock.
	snap  *cluster.Snapshot
	taken time.Duration
}

// think numbers a brain.
func (l *lab) think(b brain) uint32 {
	if !b.lease.Held(b.now) {
		b.lease = lease.Lease{}
	}
	key := keyOf(b.state, b.now) + keyOf(b.lease, b.now)
	if b.snap != nil {
		key += keyOf(b.taken, b.now) + keyOf(*b.snap, b.taken)
	}
	return l.brains.number(key, b)
}

func (l *lab) laterBrain(n uint32, by age) uint32 {
	return l.aged.get(boxPlus{n, uint32(by)}, func() uint32 {
		b := l.brains.of(n)
		b.now += ages[by]
		return l.think(b)
	})
}

type readKey struct {
	box, brain uint32
	srv        [2]uint32
	i          int
	token      token
}

type read struct {
	led
	brain uint32
}

// read has the identify i take or extend its lease when that is due and read
// everything, with the monitor's newest samples.
func (l *lab) read(n, who uint32, srv [2]uint32, i int, t token) read {
	return l.reads.get(readKey{n, who, srv, i, t}, func() (out read) {
		b := l.brains.of(who)
		if !b.lease.Held(b.now) || b.lease.RenewIn(b.now) == 0 {
			out.led = l.lead(n, i, t)
			if b.lease = (lease.Lease{}); out.held {
				b.lease = lease.Granted(b.now, identify.LeaseTTL, 1)
			}
		} else {
			out.box = n
		}
		snap := l.redis.of(out.box).snap
		snap.Leader = cluster.Leader{} // it is for words only
		ms := uint64(b.now.Milliseconds())
		snap.Observations = map[cluster.Endpoint]map[string]cluster.Observation{}
		reports := map[cluster.Endpoint]map[string]cluster.Report{}
		run := "r"
		for k := range nodes {
			if l.servers.of(srv[k]).itself {
				run += names[k] // no view of the same instant before it came back is the same
			}
		}
		for k, e := range nodes {
			s, peer := l.servers.of(srv[k]), l.servers.of(srv[1-k])
			o := s.observe(k, peer.up, b.now)
			o.Run = run
			snap.Observations[e] = map[string]cluster.Observation{"m": o}
			for agent, r := range snap.Reports[e] {
				r.Seq = ms
				reports[e] = map[string]cluster.Report{agent: r}
			}
		}
		snap.Reports = reports
		b.snap, b.taken = &snap, b.now
		out.brain = l.think(b)
		return out
	})
}

type decided struct {
	brain uint32
	what  uint32 // 0 for nothing to change
	rule  string
	words string
}

// decide has an identify decide upon what it has read.
func (l *lab) decide(who uint32) decided {
	return l.decisions.get(who, func() (out decided) {
		b := l.brains.of(who)
		view := failover.View{Snapshot: *b.snap, ID: "identify", Leading: b.lease.Held(b.now)}
		var d failover.Decision
		b.state, d = l.o.Decide(b.state, view, policy, b.now)
		b.snap, b.taken = nil, 0
		out.rule, out.words = d.Rule, d.Verdict.Reason.Text
		if d.Transition != nil {
			t := *d.Transition
			wordless(&t.Next)
			t.Event = cluster.Event{Kind: t.Event.Kind}
			out.what = l.transitions.number(keyOf(t, 0), t)
		}
		out.brain = l.think(b)
		return out
	})
}

// wordless takes the words for people out of a record: they hold durations, and
// nobody decides by them.
func wordless(a *cluster.Assignment) { a.Reason, a.Actor, a.Loss = "", "", "" }

// answered gives an identify the answer to its transition.
func (l *lab) answered(who uint32, m message, err error) uint32 {
	kind := m.what
	if err != nil {
		kind = 0
	}
	return l.answers.get(boxPlus{who, kind}, func() uint32 {
		b := l.brains.of(who)
		if err != nil {
			b.lease = lease.Lease{}
		} else {
			b.state = b.state.Wrote(l.transitions.of(m.what).Next)
		}
		return l.think(b)
	})
}
