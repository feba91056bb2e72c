package world

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/process"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

// daemon is one of the product's programs on one host: it may be killed and
// started again.
type daemon struct {
	w      *world
	name   string
	host   *engine.Host
	clock  engine.Clock
	begin  starter
	disk   *disk // of an agent
	onFork bool  // it takes the second Redis for the master

	// Of the present or last run.
	p    *engine.Process
	runs int
	run  string // its name
	bus  *redis.Bus
	stop context.CancelFunc
}

// starter begins what a daemon does in a new process.
type starter func(d *daemon, ctx context.Context)

// start begins a new run unless one is there or the host is down.
func (d *daemon) start() {
	if d.p != nil && d.p.Alive() || !d.host.Up() || d.host.Frozen() {
		return
	}
	d.runs++
	d.run = fmt.Sprintf("%s/%d", d.name, d.runs)
	d.p = d.host.Process(d.name, d.clock)
	d.bus = redis.NewBus(d.p, d.w.redisOf(d))
	ctx, stop := d.p.Runtime().Cancel(context.Background())
	d.stop = stop
	d.begin(d, ctx)
}

// id names the present run.
func (d *daemon) id() string { return d.run }

func (d *daemon) isAgent() bool { return strings.HasPrefix(d.name, "agent") }

// log is where the present run logs to: the trace, if there is one.
func (d *daemon) log() zerolog.Logger {
	if !d.w.e.Recording() {
		return zerolog.Nop()
	}
	return zerolog.New(trail{d.w.e, d.name})
}

// trail writes log lines into the trace.
type trail struct {
	e   *engine.Engine
	who string
}

func (t trail) Write(line []byte) (int, error) {
	t.e.Note(t.who, strings.TrimSpace(string(line)))
	return len(line), nil
}

func (w *world) policy() failover.Policy {
	p := w.spec.Policy
	policy := failover.Policy{Pair: w.pair, Interval: p.Interval, ConnectTimeout: p.ConnectTimeout, TryTimes: p.TryTimes,
		Unfenced: p.Unfenced, FailoverBlock: p.FailoverBlock, MaxLoss: p.MaxLoss, MaxLossAge: p.MaxLossAge, Failback: p.Failback, FailbackAfter: p.FailbackAfter,
		EpochTable: epochTable, Durability: w.conf, WriteProbe: w.spec.WriteProbe}
	if w.spec.Monitors > 1 {
		for i := range w.spec.Monitors {
			policy.Monitors = append(policy.Monitors, monitorName(i))
		}
	}
	return policy
}

func monitorName(i int) string { return fmt.Sprintf("mon%d", i+1) }

func identifyName(i int) string { return fmt.Sprintf("id%d", i+1) }

// watched is the bus of an identify; what only it sees is counted.
type watched struct {
	*redis.Bus
	w    *world
	id   string
	read *cluster.Snapshot // the last
}

func (b watched) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	snap, err := b.Bus.Snapshot(ctx, u)
	if err == nil {
		*b.read = snap
	}
	return snap, err
}

func (b watched) Transition(ctx context.Context, u cluster.UniqSign, id string, token uint64, t cluster.Transition) (cluster.Assignment, error) {
	read := *b.read // it reads anew while this is under way
	b.w.asked = &read
	b.w.judge.Asks(b.w.e.Now(), b.id, t.Next.Order())
	a, err := b.Bus.Transition(ctx, u, id, token, t)
	switch {
	case err == nil:
	case errors.Is(err, redisbus.ErrNotLeader), errors.Is(err, redisbus.ErrStale):
		b.w.count(SawLeaderRefused)
	case b.w.record().Order() == t.Next.Order():
		b.w.count(SawAnswerLostAfterChange)
	}
	return a, err
}

func (b watched) SaveVerdict(ctx context.Context, u cluster.UniqSign, v cluster.Verdict) error {
	if v.Reason.Code == failover.Contradicted {
		b.w.count(SawContradictionHeld)
	}
	if v.Held && slices.ContainsFunc(v.Blockers, func(r cluster.Reason) bool { return r.Code == failover.Blocked }) {
		b.w.count(SawFailoverBlocked)
	}
	if v.Reason.Code == failover.WaitProof && strings.Contains(v.Reason.Text, "still holds its lease") {
		b.w.count(SawLockHeldBack)
	}
	return b.Bus.SaveVerdict(ctx, u, v)
}

func (b watched) SaveRequest(ctx context.Context, u cluster.UniqSign, id string, token uint64, r cluster.Request) error {
	if r.State == cluster.RequestRefused {
		b.w.count(SawRequestRefused)
	}
	return b.Bus.SaveRequest(ctx, u, id, token, r)
}

// reporting is the bus of an agent; what its reports tell is counted.
type reporting struct {
	redis.AgentBus
	w *world
}

func (b reporting) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	if r.Reason == reconcile.ReasonRecordGone.Text || strings.HasPrefix(r.Reason, "frozen: the record") {
		b.w.count(SawRecordRefused)
	}
	switch server := b.w.server(r.Node); {
	case !server.Open():
	case r.Lease == cluster.LeaseLock:
		b.w.count(SawKeptByLock)
	case r.Lease == cluster.LeaseRedis:
		b.w.count(SawKeptByGrant)
	}
	alone := false
	for _, s := range r.Steps {
		switch {
		case s.Name == string(reconcile.CloseAlone) && s.Err == "":
			b.w.count(SawClosedAlone)
			alone = true
		case s.Name == "open" && s.Err == "" && alone:
			b.w.count(SawOpenedAgainByGrant)
			alone = false
		case s.Name == "open" && s.Err != "":
			b.w.count(SawOpenerRefused)
		case s.Name == "apply" && s.MS > 1:
			b.w.count(SawDrainWaited)
		case s.Name == "set read_only" && s.MS > 100:
			b.w.count(SawReadOnlyHeldBack)
		}
	}
	b.w.judge.Affirmed(r.Node, r.Waits)
	return b.AgentBus.SaveReport(ctx, u, r, wake)
}

// looking is the bus of a monitor; the judge is told what it sees.
type looking struct {
	*redis.Bus
	w    *world
	name string
}

func (b looking) PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) (listed bool, err error) {
	b.w.judge.Looked(b.w.e.Now(), b.name, o.Node, o.Answered())
	return b.Bus.PublishObservation(ctx, u, o, legacy, ttl, wake)
}

func monitorOf(d *daemon, ctx context.Context) {
	policy := d.w.spec.Policy
	m, err := monitor.New(monitor.Options{
		Tag: monitor.Tag{Pair: d.w.pair, Monitor: d.name, Legacy: d.name == monitorName(0),
			Interval: policy.Interval, ConnectTimeout: policy.ConnectTimeout, TryTimes: policy.TryTimes},
		Run: d.id(), Bus: looking{d.bus, d.w, d.name}, Cause: mysqlnode.CauseOf, Runtime: d.p.Runtime(), Log: d.log(),
		Open: func(e cluster.Endpoint) (monitor.Node, error) { return d.node(e).ForMonitor(), nil },
		Wall: func() time.Time { return time.Unix(calendar, int64(d.p.Now())) },
	})
	if err != nil {
		panic(err)
	}
	d.p.Go(func() { m.Run(ctx) })
}

// calendar is when the clocks of the machines began to count, in unix seconds.
const calendar = 1_700_000_000

func identifyOf(d *daemon, ctx context.Context) {
	wake := d.p.Runtime().NewSignal()
	s := identify.New(identify.Options{Policy: d.w.policy(), ID: d.id(), Bus: watched{d.bus, d.w, d.id(), &cluster.Snapshot{}}, Wake: wake, Runtime: d.p.Runtime(), Logger: d.log()})
	d.p.Go(func() { d.bus.Subscribe(ctx, false, func(redisbus.Wake) { wake.Set() }) })
	d.p.Go(func() { s.Run(ctx) })
}

var (
	application = regexp.MustCompile("^" + appUser + "$")
	anywhere    = regexp.MustCompile("")
)

func agentOf(d *daemon, ctx context.Context) {
	o := agent.Options{
		ID: d.id(), Bus: reporting{redis.AgentBus{Bus: d.bus}, d.w}, Cause: mysqlnode.CauseOf, Refused: mysqlnode.Refused, User: managerUser,
		ConnectTimeout: d.w.spec.Policy.ConnectTimeout, Runtime: d.p.Runtime(), Log: d.log(), Store: store{d.disk, d.p},
		Node: func(e cluster.Endpoint) (agent.Node, error) { return d.node(e), nil },
	}
	if lease := d.w.spec.Lease; lease > 0 {
		o.Lease, o.Local = lease, func(e cluster.Endpoint) bool { return d.w.server(e).host == d.host }
		o.Process = func(e cluster.Endpoint, _ time.Duration) (agent.Process, error) {
			if ear := d.w.server(e).Ear(d.p); ear != nil {
				return ear, nil
			}
			return nil, process.ErrNone
		}
		o.Room = func(folder string) (bool, error) { return !d.w.server(cluster.Endpoint(folder)).Server.Full(), nil }
	}
	if d.w.spec.Blocks {
		o.BlockUser, o.BlockHost = application, anywhere
	}
	d.p.Go(func() {
		a, err := agent.New(o)
		if err == nil {
			err = a.Run(ctx)
		}
		if err != nil {
			panic(err)
		}
	})
}

func (d *daemon) node(e cluster.Endpoint) *mysql.Node {
	return mysql.NewNode(d.p, d.w.server(e).Machine, mysql.NodeOptions{User: managerUser, Table: epochTable, UniqSign: sign,
		ConnectTimeout: d.w.spec.Policy.ConnectTimeout})
}
