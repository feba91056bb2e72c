package redis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

const (
	topic = "mmm-switch-channel"
	keys  = "mmm:{" + string(sign) + "}:"
	// apart is how far the two clocks may be apart; every life is far longer, and
	// they differ by more.
	apart = 5 * time.Second
)

// calls are what both sides are asked.
type calls interface {
	identify.Bus
	monitor.Bus
	control.Bus
	Pairs(context.Context) ([]cluster.UniqSign, error)
	Assignment(context.Context, cluster.UniqSign) (cluster.Assignment, error)
	Request(context.Context, cluster.UniqSign) (*cluster.Request, error)
	SaveReport(context.Context, cluster.UniqSign, cluster.Report, bool) error
	Locked(context.Context, cluster.UniqSign, cluster.Endpoint) ([]cluster.Account, error)
	NoteLocked(context.Context, cluster.UniqSign, cluster.Endpoint, []cluster.Account) error
	DropLocked(context.Context, cluster.UniqSign, cluster.Endpoint, cluster.Order, []cluster.Account) error
	Renew(context.Context, cluster.UniqSign, cluster.Endpoint, string, cluster.Epoch, time.Duration) (bool, cluster.Order, error)
	DropGrant(context.Context, cluster.UniqSign, cluster.Endpoint, string) error
}

// twins are a real Redis and the model of one, to which the same is done.
type twins struct {
	raw    *goredis.Client
	said   *goredis.PubSub
	fences int

	e     *engine.Engine
	model *Server
	heard []redisbus.Wake // by a listener of the model

	daemons []daemon
	// names of one history on both sides
	incarnations map[string]string
	n            int
}

// daemon is one process; two of them share the id "a".
type daemon struct {
	id    string
	real  *redisbus.Bus
	model *Bus
}

// startRedis starts a redis-server that keeps nothing on disk.
func startRedis(t *testing.T) *harness.Redis {
	t.Helper()
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := lab.NewRedis(ctx)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	if err := r.Client().ConfigSet(ctx, "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

func newTwins(rt *rapid.T, r *harness.Redis) *twins {
	ctx := context.Background()
	w := &twins{raw: r.Client(), e: engine.New(1), incarnations: map[string]string{}}
	rt.Cleanup(w.e.Close)
	if err := w.raw.FlushAll(ctx).Err(); err != nil {
		rt.Fatal(err)
	}
	host := w.e.Network(engine.Link{}, engine.Link{}).Host("host")
	w.model = NewServer(host, sign)
	for i, id := range []string{"a", "a", "b"} {
		d := daemon{id: id, real: redisbus.New(redisbus.Options{Addr: r.Addr(), Topic: topic})}
		rt.Cleanup(func() { _ = d.real.Close() })
		d.model = NewBus(host.Process(fmt.Sprint("daemon ", i), engine.Clock{}), w.model)
		w.daemons = append(w.daemons, d)
	}
	w.said = w.raw.Subscribe(ctx, keys+"look", topic, "fence")
	rt.Cleanup(func() { _ = w.said.Close() })
	for range 3 {
		if _, err := w.said.Receive(ctx); err != nil {
			rt.Fatal(err)
		}
	}
	p := host.Process("listener", engine.Clock{})
	p.Go(func() {
		NewBus(p, w.model).Subscribe(ctx, true, func(wake redisbus.Wake) { w.heard = append(w.heard, wake) })
	})
	w.e.Until(w.e.Now())
	if d := cmp.Diff([]redisbus.Wake{{Kind: redisbus.KindResubscribed}}, w.heard); d != "" {
		rt.Fatal(d)
	}
	return w
}

// ask asks both sides the same, the model in the time of the real one, and
// compares the answers and what they say to others.
func ask[T any](rt *rapid.T, w *twins, d daemon, op string, f func(ctx context.Context, c calls) (T, error)) (T, error) {
	return askUnder(context.Background(), rt, w, d, op, f)
}

func askUnder[T any](ctx context.Context, rt *rapid.T, w *twins, d daemon, op string, f func(ctx context.Context, c calls) (T, error)) (T, error) {
	got, gotErr := f(ctx, d.real)
	w.setClock()
	var want T
	var wantErr error
	ended := false
	w.heard = nil
	d.model.p.Go(func() {
		want, wantErr = f(ctx, d.model)
		ended = true
	})
	w.e.Until(w.e.Now())
	if !ended {
		rt.Fatalf("%s: the model does not answer", op)
	}
	if x, y := errorText(gotErr), errorText(wantErr); x != y {
		rt.Fatalf("%s: Redis says %q, the model %q", op, x, y)
	}
	for _, known := range []error{redisbus.ErrNotLeader, redisbus.ErrStale, redisbus.ErrBusy, context.Canceled} {
		if errors.Is(gotErr, known) != errors.Is(wantErr, known) {
			rt.Fatalf("%s: only one of %v and %v is %v", op, gotErr, wantErr, known)
		}
	}
	if diff := cmp.Diff(got, want, w.nearly()...); diff != "" {
		rt.Fatalf("%s: Redis - model +\n%s", op, diff)
	}
	if diff := cmp.Diff(w.saidAloud(rt), w.heard); diff != "" {
		rt.Fatalf("%s wakes: Redis - model +\n%s", op, diff)
	}
	return got, gotErr
}

// tell is ask for what answers with an error alone.
func tell(rt *rapid.T, w *twins, d daemon, op string, f func(ctx context.Context, c calls) error) {
	_, _ = ask(rt, w, d, op, func(ctx context.Context, c calls) (struct{}, error) { return struct{}{}, f(ctx, c) })
}

func errorText(err error) string {
	if wrapped, ok := errors.AsType[*redisbus.Error](err); ok {
		return wrapped.Op
	}
	return fmt.Sprint(err)
}

func (w *twins) setClock() {
	w.model.clock = time.Duration(time.Now().UnixNano()) - w.e.Now()
}

// saidAloud is what the real Redis has published since the last time.
func (w *twins) saidAloud(rt *rapid.T) []redisbus.Wake {
	ctx := context.Background()
	w.fences++
	fence := strconv.Itoa(w.fences)
	if err := w.raw.Publish(ctx, "fence", fence).Err(); err != nil {
		rt.Fatal(err)
	}
	var all []redisbus.Wake
	for {
		m, err := w.said.ReceiveMessage(ctx)
		switch {
		case err != nil:
			rt.Fatal(err)
		case m.Channel == "fence" && m.Payload == fence:
			return all
		case m.Channel == topic:
			all = append(all, redisbus.Wake{UniqSign: sign, Kind: redisbus.KindMessage, Message: m.Payload})
		default:
			all = append(all, redisbus.Wake{UniqSign: sign, Kind: m.Payload})
		}
	}
}

// nearly compares times loosely and names of a history by what they stand for.
func (w *twins) nearly() []cmp.Option {
	ms := cmp.Comparer(func(x, y int64) bool { return time.Duration(x-y).Abs() <= time.Duration(apart.Milliseconds()) })
	at := func(names ...string) func(cmp.Path) bool {
		return func(p cmp.Path) bool { return slices.Contains(names, p.Last().String()) }
	}
	return []cmp.Option{
		cmp.FilterPath(at(".SinceMS", ".RedisMS"), ms),
		cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.GoString(), ".ViewEnds[") }, ms),
		cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.GoString(), ".Grant.Left") },
			cmp.Comparer(func(x, y time.Duration) bool { return (x - y).Abs() <= apart })),
		cmp.FilterPath(at(".Incarnation"), cmp.Comparer(w.sameHistory)),
		cmp.FilterPath(func(p cmp.Path) bool {
			return strings.HasSuffix(p.GoString(), ".ID") && strings.Contains(p.GoString(), "[]cluster.Event")
		},
			cmp.Comparer(func(x, y string) bool {
				return time.Duration(entryMS(x)-entryMS(y)).Abs() <= time.Duration(apart.Milliseconds())
			})),
	}
}

func entryMS(id string) int64 {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// sameHistory takes two names in either order, as cmp gives them.
func (w *twins) sameHistory(x, y string) bool {
	if x == "" || y == "" {
		return x == y
	}
	if len(x) < len(y) {
		x, y = y, x
	}
	if _, known := w.incarnations[x]; !known {
		w.incarnations[x] = y
	}
	return w.incarnations[x] == y
}

// check compares everything that is there, and how long it will be.
func (w *twins) check(rt *rapid.T) {
	d := w.daemons[0]
	snap, err := ask(rt, w, d, "snapshot", func(ctx context.Context, c calls) (cluster.Snapshot, error) { return c.Snapshot(ctx, sign) })
	if err != nil || len(snap.Faults) != 0 {
		rt.Fatalf("%v, faults %q", err, snap.Faults)
	}
	_, _ = ask(rt, w, d, "events", func(ctx context.Context, c calls) ([]cluster.Event, error) { return c.Events(ctx, sign, 100) })
	s := w.model.store
	now := w.model.Now().Milliseconds()
	left := func(there bool, e ends) time.Duration {
		if !there || e.over(now) {
			return -2 // as PTTL says it
		}
		return time.Duration(int64(e)-now) * time.Millisecond
	}
	for key, want := range map[string]time.Duration{
		"leader":  left(s.leader != "", s.leaderEnds),
		"grant":   left(s.grant != nil, s.grantEnds),
		"request": left(s.request != nil, s.requestEnds),
		"verdict": left(s.verdict != nil, s.verdictEnds),
	} {
		got, err := w.raw.PTTL(context.Background(), keys+key).Result()
		if err != nil || (got < 0) != (want < 0) || (got-want).Abs() > apart {
			rt.Fatalf("%s lives %s, in the model %s: %v", key, got, want, err)
		}
	}
}

func TestTheModelIsLikeRedis(t *testing.T) {
	r := startRedis(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := newTwins(rt, r)
		rt.Repeat(w.actions())
	})
}

func (w *twins) actions() map[string]func(*rapid.T) {
	ctx := context.Background()
	return map[string]func(*rapid.T){
		"": w.check,
		// Most of what matters needs a leader, so these come more often.
		"lead":             w.lead,
		"lead again":       w.lead,
		"lead once more":   w.lead,
		"transition":       w.transition,
		"transition again": w.transition,
		"request again":    w.request,
		"observe":          w.observe,
		"report":           w.report,
		"request":          w.request,
		"accounts":         w.accounts,
		"grant":            w.grant,
		"expire":           w.expire,
		"forget the token": func(rt *rapid.T) {
			d := w.daemon(rt)
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			_, err := askUnder(canceled, rt, w, d, "lead in vain", func(ctx context.Context, c calls) (struct{}, error) {
				_, _, _, err := c.Lead(ctx, sign, d.id, time.Minute)
				return struct{}{}, err
			})
			if err == nil {
				rt.Fatal("led under a context that has ended")
			}
		},
		"resign": func(rt *rapid.T) {
			d := w.daemon(rt)
			tell(rt, w, d, "resign", func(ctx context.Context, c calls) error { return c.Resign(ctx, sign, d.id) })
		},
		"pair": func(rt *rapid.T) {
			p := cluster.Pair{UniqSign: sign, Primary: drawNode(rt), Secondary: drawNode(rt), ServiceMode: cluster.ServiceMode(rapid.IntRange(0, 1).Draw(rt, "mode"))}
			tell(rt, w, w.daemon(rt), "pair", func(ctx context.Context, c calls) error { return c.PublishPair(ctx, p) })
		},
		"verdict": func(rt *rapid.T) {
			v := cluster.Verdict{Leader: "a", Candidate: drawNode(rt), Blockers: rapid.SampledFrom([][]cluster.Reason{nil, {}, {{Code: "x", Text: "y"}}}).Draw(rt, "blockers")}
			tell(rt, w, w.daemon(rt), "verdict", func(ctx context.Context, c calls) error { return c.SaveVerdict(ctx, sign, v) })
		},
		"pause": func(rt *rapid.T) {
			p := cluster.Pause{Actor: "anna", Reason: rapid.String().Draw(rt, "reason"), SinceMS: int64(rapid.IntRange(0, 1).Draw(rt, "since"))}
			tell(rt, w, w.daemon(rt), "pause", func(ctx context.Context, c calls) error { return c.SetPause(ctx, sign, p) })
		},
		"end the pause": func(rt *rapid.T) {
			_, _ = ask(rt, w, w.daemon(rt), "end pause", func(ctx context.Context, c calls) (bool, error) { return c.ClearPause(ctx, sign) })
		},
		"read": func(rt *rapid.T) {
			d, n := w.daemon(rt), rapid.IntRange(-1, 3).Draw(rt, "events")
			_, _ = ask(rt, w, d, "pairs", func(ctx context.Context, c calls) ([]cluster.UniqSign, error) { return c.Pairs(ctx) })
			_, _ = ask(rt, w, d, "assignment", func(ctx context.Context, c calls) (cluster.Assignment, error) { return c.Assignment(ctx, sign) })
			_, _ = ask(rt, w, d, "request", func(ctx context.Context, c calls) (*cluster.Request, error) { return c.Request(ctx, sign) })
			_, _ = ask(rt, w, d, "events", func(ctx context.Context, c calls) ([]cluster.Event, error) { return c.Events(ctx, sign, n) })
		},
	}
}

func (w *twins) daemon(rt *rapid.T) daemon {
	return w.daemons[rapid.IntRange(0, len(w.daemons)-1).Draw(rt, "daemon")]
}

// leader is mostly one that holds the lease.
func (w *twins) leader(rt *rapid.T) daemon {
	d := w.daemon(rt)
	if rapid.Bool().Draw(rt, "leads") {
		for _, o := range w.daemons {
			if o.id == w.model.store.leader {
				d = o
			}
		}
		w.leadAs(rt, d, time.Minute)
	}
	return d
}

func drawNode(rt *rapid.T) cluster.Endpoint {
	return rapid.SampledFrom([]cluster.Endpoint{nodeA, nodeB, nodeC, ""}).Draw(rt, "node")
}

func (w *twins) lead(rt *rapid.T) {
	d := w.daemon(rt)
	w.leadAs(rt, d, rapid.SampledFrom([]time.Duration{time.Minute, time.Minute, 10 * time.Minute, 0}).Draw(rt, "ttl"))
}

func (w *twins) leadAs(rt *rapid.T, d daemon, ttl time.Duration) {
	type led struct {
		Token  uint64
		Held   bool
		Holder string
	}
	_, _ = ask(rt, w, d, "lead", func(ctx context.Context, c calls) (l led, err error) {
		l.Token, l.Held, l.Holder, err = c.Lead(ctx, sign, d.id, ttl)
		return l, err
	})
}

// token is the one in force, or the one before.
func (w *twins) token(rt *rapid.T) uint64 {
	return w.model.store.token - min(w.model.store.token, uint64(max(0, rapid.IntRange(-3, 1).Draw(rt, "old token"))))
}

func (w *twins) transition(rt *rapid.T) {
	d, token := w.leader(rt), w.token(rt)
	w.n++
	t := drawTransition(rt, w.model.store.Assignment(), w.n)
	_, _ = ask(rt, w, d, fmt.Sprintf("transition %+v", t), func(ctx context.Context, c calls) (cluster.Assignment, error) {
		a, err := c.Transition(ctx, sign, d.id, token, t)
		a.Eligible = own(a.Eligible)
		return a, err
	})
}

func drawTransition(rt *rapid.T, now cluster.Assignment, n int) cluster.Transition {
	number := func(name string, most int) uint64 { return uint64(rapid.IntRange(0, most).Draw(rt, name)) }
	t := cluster.Transition{Expect: now.Order(), Announce: number("announce", 1) == 0,
		Event: cluster.Event{ID: "made up", Kind: fmt.Sprint("event ", n), Actor: "anna"}}
	if number("stale", 3) == 0 {
		t.Expect = cluster.Order{Epoch: cluster.Epoch(number("epoch", 3)), Version: number("version", 3)}
	}
	a := cluster.Assignment{Epoch: t.Expect.Epoch + 1, Version: number("new version", 2)}
	if t.Expect.Epoch > 0 && rapid.Bool().Draw(rt, "same epoch") {
		a.Epoch, a.Version = t.Expect.Epoch, t.Expect.Version+number("more", 2)
	}
	a.Phase = rapid.SampledFrom([]cluster.Phase{cluster.PhaseSteady, cluster.PhaseRevoked, cluster.PhaseOpening, cluster.PhaseSwitching}).Draw(rt, "phase")
	if a.Phase != cluster.PhaseRevoked {
		a.Active, a.Passive = nodeA, nodeB
		if rapid.Bool().Draw(rt, "other way") {
			a.Active, a.Passive = nodeB, nodeA
		}
	}
	a.LeaseMS = int64(number("lease", 1)) * 10000
	a.From, a.To = drawNode(rt), drawNode(rt)
	a.Eligible = rapid.SampledFrom([][]cluster.Endpoint{nil, {}, {nodeA}, {nodeA, nodeB}}).Draw(rt, "eligible")
	a.Durability = cluster.Async
	a.Blocked = rapid.Bool().Draw(rt, "blocked")
	a.Estimated = rapid.Bool().Draw(rt, "estimated")
	a.Left = rapid.SampledFrom([]string{"", "0-1-5"}).Draw(rt, "left")
	a.Target = rapid.SampledFrom([]string{"", "0-1-5", "uuid:1-5,\nuuid:7"}).Draw(rt, "target")
	a.Reason = rapid.String().Draw(rt, "reason")
	a.Cause, a.Proof, a.Actor, a.Loss, a.EpochTable = "refused", cluster.ProofFenced, "identify", "nothing", "mmm_meta.epoch"
	switch number("broken", 36) {
	case 0:
		a.Epoch = 0
	case 1:
		a.Phase = "dreaming"
	case 2:
		a.Active = "no address"
	case 3:
		a.Eligible = []cluster.Endpoint{nodeA, "x:01"}
	case 4:
		a.Passive = ""
	case 5:
		a.Version = uint64(cluster.MaxEpoch) + 1
	case 6:
		a.LeaseMS = rapid.SampledFrom([]int64{-1, redisbus.LongestLease.Milliseconds() + 1}).Draw(rt, "broken lease")
	}
	t.Next = a
	switch number("event", 2) {
	case 0:
		t.Event.Assignment = a
		t.Event.Assignment.SinceMS = 1
		t.Event.Steps = []cluster.Step{{Name: "close", MS: 1.25}}
	case 1:
		t.Event.Steps = []cluster.Step{}
	}
	if number("request", 2) == 0 {
		t.Request = &cluster.Request{ID: fmt.Sprint("r", n), Verb: cluster.VerbSwitchover, State: drawState(rt)}
	}
	return t
}

func drawState(rt *rapid.T) cluster.RequestState {
	return rapid.SampledFrom([]cluster.RequestState{"", cluster.RequestFiled, cluster.RequestRunning, cluster.RequestDone}).Draw(rt, "state")
}

func (w *twins) observe(rt *rapid.T) {
	w.n++
	o := cluster.Observation{Monitor: rapid.SampledFrom([]string{"m1", "m2", ""}).Draw(rt, "monitor"), Run: "r", Seq: uint64(w.n), Node: drawNode(rt),
		Cause: cluster.CauseRefused, Error: "refused", LastGoodMS: 7, ReadOnlyAtStart: cluster.No, ReceivedMax: "0-1-5",
		Server: cluster.Server{Flavor: cluster.MariaDB, ReadOnly: cluster.Yes, Executed: "0-1-100",
			Users:   rapid.SampledFrom([][]string{nil, {}, {"app", "web"}}).Draw(rt, "users"),
			Channel: cluster.Channel{Configured: true, Source: nodeA, Delay: -1}, Mark: cluster.Mark{Epoch: 3, Active: nodeB}}}
	var legacy *cluster.LegacyCheck
	if rapid.Bool().Draw(rt, "legacy") {
		legacy = &cluster.LegacyCheck{Ping: w.n%2 == 0, ReplCheck: "Delay 3 Seconds", ReadOnly: -1, DelaySec: 3, ConnNums: -1, LastCheck: int64(w.n)}
	}
	ttl := rapid.SampledFrom([]time.Duration{time.Minute, 3 * time.Minute, 0}).Draw(rt, "ttl")
	wake := rapid.Bool().Draw(rt, "wake")
	_, _ = ask(rt, w, w.daemon(rt), "observe", func(ctx context.Context, c calls) (bool, error) {
		return c.PublishObservation(ctx, sign, o, legacy, ttl, wake)
	})
}

func (w *twins) report(rt *rapid.T) {
	d, node := w.daemon(rt), drawNode(rt)
	agent := rapid.SampledFrom([]string{"x", "y", ""}).Draw(rt, "agent")
	if rapid.IntRange(0, 2).Draw(rt, "drop") == 0 {
		tell(rt, w, d, "drop report", func(ctx context.Context, c calls) error { return c.DropReport(ctx, sign, node, agent) })
		return
	}
	w.n++
	r := cluster.Report{Agent: agent, Seq: uint64(w.n), Node: node, Deed: cluster.DeedClosed, Closed: cluster.Order{Epoch: 4, Version: 1},
		Steps: []cluster.Step{{Name: "lock", MS: 0.5, Err: "no"}}, Locked: []cluster.Account{{User: "app", Host: "%"}}, Notes: []cluster.Reason{},
		Lease: cluster.LeaseBoth, LeaseMS: 10000, LockOver: w.n%2 == 0,
		Remembers: w.model.store.Assignment()}
	wake := rapid.Bool().Draw(rt, "wake")
	tell(rt, w, d, "report", func(ctx context.Context, c calls) error { return c.SaveReport(ctx, sign, r, wake) })
}

func (w *twins) request(rt *rapid.T) {
	ctx, d := context.Background(), w.leader(rt)
	s := w.model.store
	id := fmt.Sprint("r", rapid.IntRange(max(0, w.n-1), w.n+1).Draw(rt, "id"))
	w.setClock()
	now := w.model.Now()
	if found := s.Request(now); found != nil && rapid.Bool().Draw(rt, "the one there is") {
		id = found.ID
		if rapid.Bool().Draw(rt, "that ends soon") {
			w.raw.PExpire(ctx, keys+"request", 20*time.Second)
			s.requestEnds = after(now.Milliseconds(), 20*time.Second)
		}
	}
	switch rapid.IntRange(0, 3).Draw(rt, "deed") {
	case 0:
		token := w.token(rt)
		r := cluster.Request{ID: id, Verb: cluster.VerbSwitchover, State: drawState(rt), Answer: "why"}
		tell(rt, w, d, "save request", func(ctx context.Context, c calls) error { return c.SaveRequest(ctx, sign, d.id, token, r) })
	case 1:
		_, _ = ask(rt, w, d, "withdraw", func(ctx context.Context, c calls) (bool, error) { return c.WithdrawRequest(ctx, sign, id) })
	default:
		r := cluster.Request{ID: id, Verb: rapid.SampledFrom([]string{cluster.VerbSwitchover, ""}).Draw(rt, "verb"), To: drawNode(rt), Actor: "anna",
			Force: true, TimeoutMS: 7, State: drawState(rt)}
		tell(rt, w, d, "file", func(ctx context.Context, c calls) error { return c.FileRequest(ctx, sign, r) })
	}
}

func (w *twins) accounts(rt *rapid.T) {
	d, node := w.daemon(rt), drawNode(rt)
	all := rapid.SliceOfN(rapid.SampledFrom([]cluster.Account{{User: "app", Host: "%"}, {User: "app", Host: "10.%"}, {User: "b@c", Host: "h"}}), 0, 3).Draw(rt, "accounts")
	under := w.model.store.record.Order()
	if rapid.IntRange(0, 3).Draw(rt, "another record") == 3 {
		under.Version++
	}
	tell(rt, w, d, "accounts", func(ctx context.Context, c calls) error {
		if len(all) == 1 {
			return c.DropLocked(ctx, sign, node, under, all)
		}
		return c.NoteLocked(ctx, sign, node, slices.Clone(all))
	})
	_, _ = ask(rt, w, d, "locked", func(ctx context.Context, c calls) ([]cluster.Account, error) { return c.Locked(ctx, sign, node) })
}

// grant is mostly that of the active in the epoch in force.
func (w *twins) grant(rt *rapid.T) {
	if w.model.store.record.Active == "" && rapid.Bool().Draw(rt, "with an active") {
		d, r := w.daemons[0], w.model.store.Assignment()
		w.leadAs(rt, d, time.Minute)
		token := w.model.store.token
		_, _ = ask(rt, w, d, "name an active", func(ctx context.Context, c calls) (cluster.Assignment, error) {
			return c.Transition(ctx, sign, d.id, token, cluster.Transition{Expect: r.Order(), Next: steady(r.Epoch+1, 0)})
		})
	}
	record := w.model.store.Assignment()
	// seldom is true in one of eight cases, and in the simplest one never.
	seldom := func(what string) bool { return rapid.IntRange(0, 7).Draw(rt, what) == 7 }
	for range rapid.IntRange(1, 4).Draw(rt, "times") {
		d, node, epoch := w.daemon(rt), record.Active, record.Epoch
		agent := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "agent")
		if seldom("any node") {
			node = drawNode(rt)
		}
		if seldom("no agent") {
			agent = ""
		}
		if rapid.IntRange(0, 3).Draw(rt, "drop") == 3 {
			if rapid.Bool().Draw(rt, "the other's") {
				node = record.Passive
			}
			tell(rt, w, d, "drop grant", func(ctx context.Context, c calls) error { return c.DropGrant(ctx, sign, node, agent) })
			continue
		}
		if seldom("ahead") {
			epoch++
		}
		if seldom("behind") && epoch > 0 {
			epoch--
		}
		ttl := rapid.SampledFrom([]time.Duration{time.Minute, time.Minute + 300*time.Microsecond, 10 * time.Minute}).Draw(rt, "ttl")
		if seldom("no lease") {
			ttl = rapid.SampledFrom([]time.Duration{0, redisbus.LongestLease + 1}).Draw(rt, "no ttl")
		}
		type renewed struct {
			Held    bool
			InForce cluster.Order
		}
		_, _ = ask(rt, w, d, "renew", func(ctx context.Context, c calls) (r renewed, err error) {
			r.Held, r.InForce, err = c.Renew(ctx, sign, node, agent, epoch, ttl)
			return r, err
		})
		w.check(rt)
	}
}

// expire has something end now.
func (w *twins) expire(rt *rapid.T) {
	ctx, s := context.Background(), w.model.store
	switch rapid.IntRange(0, 4).Draw(rt, "what") {
	case 4:
		w.raw.Del(ctx, keys+"grant")
		s.grantEnds = 0
	case 0:
		w.raw.Del(ctx, keys+"leader")
		s.leaderEnds = 0
	case 1:
		w.raw.Del(ctx, keys+"request")
		s.requestEnds = 0
	case 2:
		w.raw.Del(ctx, keys+"verdict")
		s.verdictEnds = 0
	case 3:
		node, monitor := drawNode(rt), rapid.SampledFrom([]string{"m1", "m2"}).Draw(rt, "monitor")
		w.raw.Del(ctx, keys+"view:"+monitor+":"+string(node))
		if n := s.find(node); n != nil {
			for i, v := range n.views {
				if v.o.Monitor == monitor {
					n.views[i].ends = 0
				}
			}
			n.shownViews, s.views = nil, nil
		}
	}
}
