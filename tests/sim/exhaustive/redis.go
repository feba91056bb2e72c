package exhaustive

import (
	"errors"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

var ids = [2]string{"one", "two"}

// box is a Redis at one instant of its clock. Its twin is the Redis of a world
// in which the two identifies have changed places.
type box struct {
	store *redis.Store
	now   time.Duration
	ends  time.Duration // of the leader's lease
	snap  cluster.Snapshot
	rec   uint32 // the number of its record
}

// boxes numbers them.
type boxes struct {
	table[string, box]
	twin    []uint32
	records table[string, cluster.Assignment]
}

func (b *boxes) keep(o box) uint32 {
	o.snap = o.store.Snapshot(o.now)
	if o.snap.Leader.ID == "" {
		o.ends = 0
	}
	o.rec = b.records.number(keyOf(o.snap.Assignment, 0), o.snap.Assignment)
	return b.number(keyOf(o.snap, 0)+keyOf(o.ends, o.now), o)
}

// pair numbers a Redis and its twin.
func (b *boxes) pair(o, twin box) uint32 {
	n, t := b.keep(o), b.keep(twin)
	for len(b.twin) < len(b.all) {
		b.twin = append(b.twin, 0)
	}
	b.twin[n], b.twin[t] = t, n
	return n
}

// edit does the same to the Redis n, for the identify i, and to its twin, for the other.
func (b *boxes) edit(n uint32, i int, do func(o *box, id string)) uint32 {
	var out [2]box
	for k, at := range [2]uint32{n, b.twin[n]} {
		o := b.of(at)
		o.store = o.store.Clone()
		do(&o, ids[i^k])
		out[k] = o
	}
	return b.pair(out[0], out[1])
}

// fresh is a Redis that knows the pair and nothing else.
func (b *boxes) fresh() uint32 {
	o := box{store: redis.NewStore(policyPair.UniqSign), now: startOfTime}
	must(o.store.PublishPair(policyPair))
	return b.pair(o, o)
}

func (l *lab) record(n uint32) cluster.Assignment { return l.redis.of(n).snap.Assignment }

type boxPlus struct{ box, plus uint32 }

// later is Redis after a time.
func (l *lab) later(n uint32, by age) uint32 {
	if n == 0 {
		return 0
	}
	return l.laters.get(boxPlus{n, uint32(by)}, func() uint32 {
		return l.redis.edit(n, 0, func(o *box, _ string) { o.now += ages[by] })
	})
}

// report saves the agent's report.
func (l *lab) report(n, report uint32) uint32 {
	if report == 0 {
		return n
	}
	return l.saved.get(boxPlus{n, report}, func() uint32 {
		return l.redis.edit(n, 0, func(o *box, _ string) {
			_, err := o.store.SaveReport(l.reports.of(report), true)
			must(err)
		})
	})
}

// empty is a Redis that lost everything; the monitor lists the pair anew.
func (l *lab) empty(n uint32) uint32 {
	return l.emptied.get(n, func() uint32 {
		return l.redis.edit(n, 0, func(o *box, _ string) {
			o.store.Empty()
			must(o.store.PublishPair(policyPair))
		})
	})
}

// token is a leader's token, counted back from the newest of a Redis: 0 is the
// newest, above 0 are older ones. After Redis lost something it may be below 0.
type token int8

// none is the token of an identify that never led.
const none token = 127

// oldest is the token from which on older ones are as good: what Redis loses
// once is fewer.
const oldest token = 20

// of is the token as Redis counts.
func (t token) of(b box) uint64 {
	newest := b.snap.Leader.Token
	switch {
	case t == none:
		return 0
	case t > 0: // any that never comes again
		return 1<<40 + uint64(t)
	}
	return newest + uint64(-t)
}

// shift counts t from a token that is by newer.
func (t token) shift(by int) token {
	if t == none {
		return none
	}
	return token(max(-int(oldest), min(int(oldest), int(t)+by)))
}

type leadKey struct {
	box   uint32
	id    int
	token token
}

type led struct {
	box   uint32
	held  bool
	newer int // by how much the newest token has grown
	fault string
}

// lead asks for the leader's lease.
func (l *lab) lead(n uint32, i int, t token) led {
	return l.leads.get(leadKey{n, i, t}, func() (out led) {
		before := l.redis.of(n)
		was := before.snap.Leader
		var token uint64
		out.box = l.redis.edit(n, i, func(o *box, id string) {
			now, held, _, err := o.store.Lead(o.now, id, t.of(before), identify.LeaseTTL)
			must(err)
			if held {
				o.ends = o.now + identify.LeaseTTL
			}
			if id == ids[i] {
				token, out.held = now, held
			}
		})
		if !out.held {
			return out
		}
		out.newer = int(token - was.Token)
		extends := was.ID == ids[i] && t == 0
		switch {
		case !extends && token <= was.Token || token < was.Token:
			out.fault = "I3: a lease was taken under a token that is not greater than all before"
		case !extends && was.ID != "" && was.ID != ids[i]:
			out.fault = "I3: a lease was taken while another identify held it"
		}
		return out
	})
}

// message is a transition on its way to Redis.
type message struct {
	what   uint32
	token  token
	sender uint8
	late   bool // nobody waits for the answer
}

type sendKey struct {
	box uint32
	m   message
}

type sent struct {
	box   uint32
	err   error
	fault string
	kind  string
}

// transition has a transition arrive at Redis.
func (l *lab) transition(n uint32, m message) sent {
	m.late = false
	return l.sends.get(sendKey{n, m}, func() (out sent) {
		t := l.transitions.of(m.what)
		before := l.redis.of(n)
		var grown int
		var last cluster.Event
		out.kind = t.Event.Kind
		out.box = l.redis.edit(n, int(m.sender), func(o *box, id string) {
			events := len(o.store.Trail())
			err := l.o.Transition(o.store, o.now, id, m.token.of(before), t)
			if id == ids[m.sender] {
				out.err, grown = err, len(o.store.Trail())-events
				if all := o.store.Events(1); len(all) > 0 {
					last = all[0]
				}
			}
		})
		after := l.redis.of(out.box)
		was, is := before.snap.Assignment, after.snap.Assignment
		holds := before.snap.Leader.ID == ids[m.sender] && m.token == 0
		switch {
		case out.err != nil && !errors.Is(out.err, redisbus.ErrStale) && !errors.Is(out.err, redisbus.ErrNotLeader):
			out.fault = "a transition is malformed: " + out.err.Error()
		case out.err != nil && (out.box != n || grown != 0):
			out.fault = "I11: a refused transition changed Redis"
		case out.err != nil:
		case !holds:
			out.fault = "I11: a transition of one who does not lead changed the record"
		case was.Order() != t.Expect:
			out.fault = "I11: a transition from " + t.Expect.String() + " changed the record " + was.Order().String()
		case !was.Order().Before(is.Order()) || is.Epoch < was.Epoch:
			out.fault = "I3: the record went from " + was.Order().String() + " to " + is.Order().String()
		case grown != 1 || last.Assignment.Order() != is.Order():
			out.fault = "I14: a transition left no event of its own"
		case last.Kind == "":
			out.fault = "I14: the event of a transition does not say what it is"
		}
		return out
	})
}

// Transition is the transition script, as tests/sim/redis models it.
func Transition(s *redis.Store, now time.Duration, id string, token uint64, t cluster.Transition) error {
	_, _, err := s.Transition(now, id, token, t, 1)
	return err
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
