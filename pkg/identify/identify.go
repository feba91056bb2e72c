package identify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/lease"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// LeaseTTL is how long a leader that says nothing still leads.
const LeaseTTL = 3 * time.Second

// reportsKept is how long the last words of an agent that is gone are kept.
const reportsKept = time.Minute

// verdictEvery is how often an unchanged verdict is published again.
const verdictEvery = 10 * time.Second

// Bus is what identify needs of Redis.
type Bus interface {
	// Lead takes or renews the lease of u for ttl and tells who holds it.
	Lead(ctx context.Context, u cluster.UniqSign, id string, ttl time.Duration) (token uint64, held bool, holder string, err error)
	// Resign gives the lease up if id holds it.
	Resign(ctx context.Context, u cluster.UniqSign, id string) error
	// Snapshot reads everything about u in one step.
	Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error)
	// Transition changes the assignment, or nothing.
	Transition(ctx context.Context, u cluster.UniqSign, id string, token uint64, t cluster.Transition) (cluster.Assignment, error)
	// SaveRequest answers an operator's request.
	SaveRequest(ctx context.Context, u cluster.UniqSign, id string, token uint64, r cluster.Request) error
	// SaveVerdict publishes what the leader thinks.
	SaveVerdict(ctx context.Context, u cluster.UniqSign, v cluster.Verdict) error
	// DropReport removes what an agent that is gone reported of node.
	DropReport(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error
	// TellSilent says that the active of u is silent and counts the pairs that are.
	TellSilent(ctx context.Context, u cluster.UniqSign) (failover.Silence, error)
	// TellOver takes that back.
	TellOver(ctx context.Context, u cluster.UniqSign) error
}

// Prober samples one server directly; used only where no monitor of ours does.
type Prober func(ctx context.Context, node cluster.Endpoint) (cluster.Server, error)

// Options configure a Service.
type Options struct {
	Policy failover.Policy
	ID     string
	Bus    Bus
	// Wake is set by others when something of the tag changed, and waited for by
	// the Service alone; nil when nobody says so.
	Wake  sched.Signal
	Probe Prober
	// Loop watches over the deciding loop; may be nil. It calls beat every few
	// seconds, whatever Redis does, and end when it ends.
	Loop func(name string) (beat, end func())
	// Runtime is what the loop runs on; nil is the machine's own.
	Runtime sched.Runtime
	Logger  zerolog.Logger
}

// Service decides for one tag.
type Service struct {
	o      Options
	rt     sched.Runtime
	u      cluster.UniqSign
	wake   sched.Signal
	state  failover.State
	lease  lease.Lease
	log    zerolog.Logger
	probes *probes
	desk   failover.Desk

	asked    time.Duration // when the lease was last asked for
	said     cluster.Verdict
	saidAt   time.Duration
	saidCode string
	led      bool
	busErr   string
	failures int
}

// New makes a Service; Run starts it.
func New(o Options) *Service {
	pair := o.Policy.Pair
	if o.Runtime == nil {
		o.Runtime = sched.Real()
	}
	if o.Wake == nil {
		o.Wake = o.Runtime.NewSignal()
	}
	s := &Service{o: o, rt: o.Runtime, u: pair.UniqSign, wake: o.Wake,
		log: o.Logger.With().Str("tag", string(pair.Tag)).Str("uniqsign", string(pair.UniqSign)).Logger()}
	s.probes = newProbes(s.rt, o.Probe, max(o.Policy.Interval, time.Second), s.wake)
	return s
}

// now is the service's own clock: monotonic, above zero.
func (s *Service) now() time.Duration { return s.rt.Now() }

// Run decides until ctx ends, then gives the lease up. It never fails: a bus
// that is away is waited for.
func (s *Service) Run(ctx context.Context) {
	defer s.resign(ctx)
	defer s.probes.stop()
	beat := func() {}
	if s.o.Loop != nil {
		var end func()
		beat, end = s.o.Loop("deciding")
		defer end()
	}
	again := time.Duration(0)
	for s.wake.Wait(ctx, max(0, again)) != sched.Ended {
		s.rt.Lend(func() { again = s.turn(ctx) })
		beat()
	}
}

// turn leads, reads, decides and acts until nothing is left to do at once; it
// returns when to look again.
func (s *Service) turn(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		if err := s.lead(ctx); err != nil {
			return s.away(err)
		}
		snap, err := s.o.Bus.Snapshot(ctx, s.u)
		if err != nil {
			return s.away(err)
		}
		s.back()
		s.probes.want(ctx, snap, s.o.Policy.Pair)
		view := failover.View{Snapshot: snap, ID: s.o.ID, Leading: s.lease.Held(s.now()), Token: s.lease.Token(), Probed: s.probes.found(), Desk: &s.desk}
		d := s.decide(ctx, &view)
		again := min(d.Again, max(s.lease.RenewIn(s.now()), 10*time.Millisecond))
		if !view.Leading {
			again = min(d.Again, LeaseTTL/3)
		}
		acted, err := s.act(ctx, d)
		if err != nil {
			return s.retry(d, err)
		}
		if !acted {
			s.say(ctx, d, view.Leading)
			s.prune(ctx, view)
			return again
		}
	}
	return time.Second
}

// lead takes or renews the lease when it is due.
func (s *Service) lead(ctx context.Context) error {
	now := s.now()
	if s.lease.Held(now) && s.lease.RenewIn(now) > 0 || s.asked > 0 && now-s.asked < LeaseTTL/10 {
		return nil
	}
	s.asked = now
	token, held, holder, err := s.o.Bus.Lead(ctx, s.u, s.o.ID, LeaseTTL)
	if err != nil {
		s.asked = 0
		return fmt.Errorf("take the lead of %s: %w", s.u, err)
	}
	if !held {
		s.lease = lease.Lease{}
	} else {
		s.lease = lease.Granted(now, LeaseTTL, token)
	}
	if held != s.led {
		s.led = held
		if held {
			s.log.Info().Uint64("token", token).Msg("leading")
		} else {
			s.log.Info().Str("leader", holder).Msg("not leading")
		}
	}
	return nil
}

// act carries out what was decided. It reports whether anything was.
func (s *Service) act(ctx context.Context, d failover.Decision) (bool, error) {
	switch {
	case d.Transition != nil:
		id, token := s.o.ID, s.lease.Token()
		if safeguard.Off(safeguard.LateLeader) || safeguard.Off(safeguard.Token) {
			if snap, err := s.o.Bus.Snapshot(ctx, s.u); err == nil {
				id, token = snap.Leader.ID, snap.Leader.Token
			}
		}
		if safeguard.Off(safeguard.LateLeader) || safeguard.Off(safeguard.CompareAndSet) {
			if snap, err := s.o.Bus.Snapshot(ctx, s.u); err == nil {
				d.Transition.Expect = snap.Assignment.Order()
			}
		}
		a, err := s.o.Bus.Transition(ctx, s.u, id, token, *d.Transition)
		if err != nil {
			return false, err
		}
		s.failures = 0
		s.state = s.state.Wrote(a)
		s.log.Info().Str("event", d.Transition.Event.Kind).Uint64("epoch", uint64(a.Epoch)).Uint64("version", a.Version).
			Str("phase", string(a.Phase)).Str("active", string(a.Active)).Str("passive", string(a.Passive)).
			Str("proof", a.Proof.Words()).Str("reason", d.Transition.Event.Reason).Msg("assignment changed")
		return true, nil
	case d.Answer != nil:
		if err := s.o.Bus.SaveRequest(ctx, s.u, s.o.ID, s.lease.Token(), *d.Answer); err != nil {
			return false, err
		}
		s.failures = 0
		s.log.Info().Str("request", d.Answer.ID).Str("state", string(d.Answer.State)).Str("reason", d.Answer.Answer).Msg("request answered")
		return true, nil
	}
	return false, nil
}

// retry says that a change did not stand and looks again soon: reading the
// record anew tells whether the change stands, is to be made again, or is out-dated.
func (s *Service) retry(d failover.Decision, err error) time.Duration {
	s.failures++
	s.asked, s.lease = 0, lease.Lease{}
	e := s.log.Warn().Err(err).Int("try", s.failures).Str("rule", d.Rule)
	if d.Transition != nil {
		e = e.Str("order", d.Transition.Next.Order().String())
	}
	e.Msg("key update not done, reading again")
	return min(time.Second, 10*time.Millisecond<<min(s.failures, 6))
}

// away notes that Redis cannot be reached; roles do not move meanwhile.
func (s *Service) away(err error) time.Duration {
	if s.busErr == "" {
		s.log.Warn().Err(err).Msg("redis cannot be used, no role moves until it is back")
	}
	s.busErr = err.Error()
	s.failures++
	return min(time.Second, 20*time.Millisecond<<min(s.failures, 6))
}

func (s *Service) back() {
	if s.busErr != "" {
		s.busErr, s.failures = "", 0
		s.log.Info().Msg("redis is back")
	}
}

// say publishes the leader's verdict and logs it when its reason changed.
func (s *Service) say(ctx context.Context, d failover.Decision, leading bool) {
	if d.Verdict.Reason.Code != s.saidCode {
		s.saidCode = d.Verdict.Reason.Code
		s.log.Info().Str("code", s.saidCode).Str("reason", d.Verdict.Reason.Text).
			Uint64("epoch", uint64(d.Verdict.Order.Epoch)).Msg("decision")
	}
	now := s.now()
	if !leading || d.Verdict.Equal(s.said) && now-s.saidAt < verdictEvery {
		return
	}
	if err := s.o.Bus.SaveVerdict(ctx, s.u, d.Verdict); err != nil {
		s.log.Debug().Err(err).Msg("verdict not published")
		return
	}
	s.said, s.saidAt = d.Verdict, now
}

// prune drops the reports of agents that are long gone, so that Redis does not
// keep one for every restart; the newest memory of a pair is never dropped.
func (s *Service) prune(ctx context.Context, v failover.View) {
	if !v.Leading || !v.Snapshot.Assignment.Exists() {
		return
	}
	if !s.state.AnyGone(reportsKept, s.now()) {
		return
	}
	gone := s.gone(v.Snapshot)
	slices.SortFunc(gone, func(a, b cluster.Report) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Agent, b.Agent))
	})
	for _, r := range gone {
		if v.Snapshot.Assignment.Order().Before(r.Remembers.Order()) {
			continue
		}
		if err := s.o.Bus.DropReport(ctx, s.u, r.Node, r.Agent); err != nil {
			s.log.Debug().Err(err).Msg("old report not dropped")
			return
		}
		s.log.Info().Str("agent", r.Agent).Str("node", string(r.Node)).Msg("report of an agent that is gone dropped")
	}
}

// gone are the reports that have stood still for long, and last words, which are
// numbered 0, while nobody can need what they say of a change of role: all of nodes
// on which an agent reports that goes on.
func (s *Service) gone(snap cluster.Snapshot) []cluster.Report {
	last := map[cluster.Endpoint][]cluster.Report{}
	working := snap
	working.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
	for node, byAgent := range snap.Reports {
		working.Reports[node] = map[string]cluster.Report{}
		for agent, r := range byAgent {
			if r.Seq > 0 {
				working.Reports[node][agent] = r
			} else {
				last[node] = append(last[node], r)
			}
		}
	}
	gone := s.state.Gone(working, reportsKept, s.now())
	if snap.Assignment.Phase != cluster.PhaseSteady {
		return gone
	}
	for node, words := range last {
		one := cluster.Snapshot{Reports: map[cluster.Endpoint]map[string]cluster.Report{node: working.Reports[node]}}
		if len(s.state.Gone(one, 0, s.now())) > 0 {
			gone = append(gone, words...)
		}
	}
	return gone
}

func (s *Service) resign(ctx context.Context) {
	if !s.led {
		return
	}
	clean, cancel := s.rt.Timeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.o.Bus.Resign(clean, s.u, s.o.ID); err != nil {
		s.log.Warn().Err(err).Msg("lead not given up, it ends by itself")
	}
}
