package world

import (
	"math/rand/v2"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Draw makes the schedule of a seed.
func Draw(seed uint64) Spec {
	r := rand.New(rand.NewPCG(seed, 0xd1b54a32d192ed03))
	one := func(in int) bool { return r.IntN(in) == 0 }
	ms := func(low, high int) time.Duration { return time.Duration(low+r.IntN(high-low)) * time.Millisecond }
	s := Spec{
		Seed: seed, Flavor: pick(r, cluster.MySQL, cluster.MariaDB),
		Monitors: pick(r, 1, 1, 1, 1, 2, 3), Identifies: pick(r, 1, 1, 2), Agents: pick(r, 1, 1, 1, 2), Local: one(2),
		Policy: Policy{
			Unfenced: pick(r, failover.UnfencedAuto, failover.UnfencedAuto, failover.UnfencedWait, failover.UnfencedRisk),
			MaxLoss:  int64(pick(r, -1, -1, 0, 2)), FailoverBlock: pick(r, 0, 600*time.Millisecond, 2*time.Second),
			Failback: pick(r, failover.FailbackManual, failover.FailbackFollow, failover.FailbackAuto), FailbackAfter: time.Second,
			TryTimes: pick(r, 1, 2), ConnectTimeout: pick(r, 500*time.Millisecond, time.Second), Interval: time.Second,
		},
		Steady: !one(16), Home: one(2), Recovers: one(2), AutoReplicate: one(2), Blocks: one(4),
		Clients: pick(r, 1, 1, 1, 2), WriteEvery: pick(r, ms(50, 300), ms(200, 600), ms(200, 600)), Apply: pick(r, 0, time.Millisecond, 30*time.Millisecond, 400*time.Millisecond),
		Clocks: map[string]engine.Clock{},
	}
	// Most worlds are short, since much happens at once in them; some last until
	// what is waited for has come.
	s.Until, s.Settles = ms(150, 600), short
	if one(12) {
		s.Until, s.Settles = ms(1000, 4000), time.Second
	}
	long := one(120)
	if long {
		s.Until += 13 * time.Second
		s.Heartbeat = pick(r, 0, 30*time.Second) // so seldom that a replica tells nothing of its source
	}
	begin := ms(40, 160)
	if s.Steady {
		s.StartsOpen = one(12)
	} else {
		begin = ms(0, 2800)
	}
	s.Until += begin
	if one(12) {
		s.lease(r)
	}
	if one(8) {
		s.AckWait = pick(r, 100*time.Millisecond, time.Second, time.Hour)
		if s.Flavor == cluster.MySQL {
			// What the passive applies need not be acknowledged there, and would stand still.
			s.AckWait = min(s.AckWait, time.Second)
		}
	}
	for _, name := range s.daemons() {
		if one(3) {
			s.Clocks[name] = engine.Clock{Offset: time.Duration(r.Int64N(int64(time.Hour))), Drift: r.Int64N(400) - 200}
			if s.Lease > 0 && name[:2] == "ag" {
				s.Clocks[name] = engine.Clock{Drift: r.Int64N(2*mostDrift) - mostDrift}
			}
		}
	}
	d := drawer{r, &s}
	s.Round = d.round(begin, s.Until, s.Settles, long)
	most := mostRounds
	switch {
	case long, s.Settles > short, !s.Steady:
		most = 1
	case s.Lease > 0:
		most = 2
	}
	for range r.IntN(most) {
		until := ms(150, 500)
		if one(10) {
			until = ms(1000, 3500)
		}
		s.Rounds = append(s.Rounds, d.round(0, until+s.takes(), short, false))
	}
	if r := rand.New(rand.NewPCG(seed, 0xd1b54a32d192ed03)); r.IntN(8) == 0 {
		s.Durability, s.AckWait = pick(r, cluster.SemiSync, cluster.SemiSync, cluster.SemiSyncStrict), 0
	}
	// Of a chance of its own: the other seeds stay what they are without these.
	if r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)); r.IntN(300) == 0 {
		s.apart(r)
	}
	if r := rand.New(rand.NewPCG(seed, 0xbf58476d1ce4e5b9)); r.IntN(8) == 0 {
		s.Policy.MaxLossAge = pick(r, 300*time.Millisecond, time.Second, 3*time.Second)
	}
	if r := rand.New(rand.NewPCG(seed, 0x94d049bb133111eb)); r.IntN(12) == 0 || s.Durability != "" && r.IntN(4) == 0 {
		s.repromise(r)
	}
	if r := rand.New(rand.NewPCG(seed, 0xa0761d6478bd642f)); r.IntN(25) == 0 {
		s.probe(r)
	}
	// A minute may pass until a promise is kept again: one world in four that has one waits for it.
	s.Lasts = rand.New(rand.NewPCG(seed, 0xda942042e4dd58b5)).IntN(4) == 0
	return s
}

// repromise has operators change what is promised for acknowledged writes.
func (s *Spec) repromise(r *rand.Rand) {
	for n := 1; n <= s.rounds(); n++ {
		round := s.at(n)
		for range r.IntN(4) {
			round.Operator = append(round.Operator, Order{
				At: time.Duration(r.Int64N(int64(round.Until))), Verb: pick(r, AskDurability, AskDurability, Configure),
				Durability: pick(r, cluster.Async, cluster.SemiSync, cluster.SemiSyncStrict, cluster.SemiSyncStrict),
			})
		}
	}
}

// probe has agents try whether the active takes writes; in most such worlds it ceases to for some seconds.
func (s *Spec) probe(r *rand.Rand) {
	s.WriteProbe = pick(r, time.Millisecond, time.Millisecond, time.Millisecond, 3*time.Second)
	if r.IntN(2) == 0 && s.Durability == "" {
		s.Durability, s.AckWait = cluster.SemiSync, 0
	}
	if r.IntN(5) == 0 {
		return
	}
	for n := 1; n <= min(2, s.rounds()); n++ {
		round := s.at(n)
		f := Fault{Kind: writesStall, On: pick(r, TheActive, TheActive, TheActive, ThePassive), N: r.IntN(2),
			At: time.Duration(r.Int64N(int64(round.Until))), For: time.Duration(1500+r.IntN(6500)) * time.Millisecond}
		round.Until = max(round.Until, f.At+f.For+time.Duration(r.Int64N(int64(time.Second))))
		if r.IntN(2) == 0 { // nothing else happens
			round.Faults, round.Operator = nil, nil
		}
		round.Faults = append(round.Faults, f)
		if r.IntN(4) == 0 { // the other one stalls too
			f.On = pick(r, TheActive, ThePassive)
			f.At += time.Duration(r.Int64N(int64(f.For)))
			round.Faults = append(round.Faults, f)
		}
	}
}

// apart makes a world of s whose servers begin with rows of their own on either side: such a
// pair has no way to begin by itself.
func (s *Spec) apart(r *rand.Rand) {
	s.Steady, s.AutoReplicate, s.AckWait, s.Rounds = false, false, 0, nil
	s.Apart = 1 + r.IntN(3)
	switch r.IntN(3) {
	case 0: // applications have written to both
		s.StartsOpen, s.Clients, s.Apart = true, 2, r.IntN(2)
	case 1:
		s.Forgotten = true
	}
}

// drawer draws the rounds of a schedule.
type drawer struct {
	*rand.Rand
	s *Spec
}

// one is true once in so many times.
func (d drawer) one(in int) bool { return d.IntN(in) == 0 }

// round draws one whose faults begin then, and that heals then.
func (d drawer) round(begin, until, settles time.Duration, long bool) Round {
	s, r := d.s, Round{Until: until, Settles: settles}
	add := func(k *kind, least time.Duration) *Fault {
		f := Fault{Kind: k.name, At: begin + time.Duration(d.Int64N(int64(until-begin))), For: max(least, span(d.Rand))}
		k.draw(d.Rand, s, &f)
		r.Faults = append(r.Faults, f)
		return &r.Faults[len(r.Faults)-1]
	}
	// Many rounds have a reason for a failover: what the rest meets.
	if long || d.one(3) || s.Lease > 0 && d.one(2) {
		f := add(pick(d.Rand, &kinds[0], &kinds[1], &kinds[2], &kinds[3], kindOf(cutOff)), time.Second)
		f.On, f.At = TheActive, begin+(f.At-begin)/2
		if long {
			f.For = until
		}
		if s.Heartbeat > 0 {
			f.Kind, f.At, s.Policy.Unfenced = cutOff, begin, failover.UnfencedAuto
		}
		if s.Lease > 0 && d.one(2) {
			f.At = begin + (f.At-begin)/2 // it takes long until the lease is over, and is seen to be
			f.Kind, f.For = cutOff, max(f.For, s.Lease+time.Duration(d.Int64N(int64(2*s.Lease))))
			switch d.IntN(4) {
			case 0: // the lock is left to it
				f.To = ThePassive
			case 1: // the lock is lost before
				f.At += s.Lease * 3 / 2
				r.Faults = append(r.Faults, Fault{Kind: linkCut, On: TheActive, To: ThePassive, At: begin, For: until})
			}
		}
	}
	// Who is to take over may go too, and be back before or after the other one.
	if d.one(12) {
		f := add(pick(d.Rand, &kinds[0], &kinds[1], &kinds[2]), 0)
		f.On, f.At, f.When = ThePassive, 0, pick(d.Rand, cluster.PhaseRevoked, cluster.PhaseOpening)
		f.After = time.Duration(d.Int64N(int64(10 * time.Millisecond)))
	}
	// Few kinds at once go together more often than all.
	some := make([]*kind, 1+d.IntN(6))
	for i := range some {
		some[i] = &kinds[d.IntN(drawn)]
		if some[i].name == errantWrite && !s.Steady {
			some[i] = &kinds[0] // it may have no way to begin, see apart
		}
	}
	for range 1 + d.IntN(7) {
		k := pick(d.Rand, some...)
		f := add(k, 0)
		if d.one(3) || !k.trouble && d.one(2) {
			f.When = pick(d.Rand, cluster.PhaseSwitching, cluster.PhaseRevoked, cluster.PhaseRevoked, cluster.PhaseOpening, cluster.PhaseSteady)
			f.At = time.Duration(d.Int64N(int64(f.At + 1)))
			f.After = time.Duration(d.Int64N(int64(100 * time.Microsecond << d.IntN(10))))
		}
	}
	for range pick(d.Rand, 0, 0, 1, 1, 2, 3) {
		o := Order{At: begin + time.Duration(d.Int64N(int64(until-begin))),
			Verb: pick(d.Rand, Switchover, Switchover, Switchover, Override, ForceOverride, Pause, Resume, Withdraw)}
		if d.one(4) {
			o.To = servers[d.IntN(2)]
		}
		r.Operator = append(r.Operator, o)
	}
	return r
}

const (
	// short is for how long a pair that heals soon must be well.
	short = 100 * time.Millisecond
	// mostRounds is how many rounds a world of short ones has.
	mostRounds = 6
)

// mostDrift is how many millionths the clock of an agent with leases runs wrong at most.
const mostDrift = 100_000

// lease puts an agent on each server's host, and the active under leases.
func (s *Spec) lease(r *rand.Rand) {
	s.Agents, s.Local = 2, true
	s.Lease = time.Duration(1000+r.IntN(1000)) * time.Millisecond
	s.Policy.Unfenced = pick(r, failover.UnfencedWait, failover.UnfencedWait, failover.UnfencedAuto)
	s.Until += s.takes()
}

// takes is how long it takes at least until a lease is over that nobody renews.
func (s *Spec) takes() time.Duration { return 2*s.Lease + s.Lease/4 }

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// span is how long a fault lasts: short ones are as many as long ones.
func span(r *rand.Rand) time.Duration {
	most := 60 * time.Millisecond << r.IntN(9)
	return most/2 + time.Duration(r.Int64N(int64(most/2)))
}
