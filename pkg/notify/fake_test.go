package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	sign  = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
	nodeA = cluster.Endpoint("10.0.21.5:3308")
	nodeB = cluster.Endpoint("10.0.21.7:3308")
)

var errAway = errors.New("redis does not answer")

// fakeRedis is a Redis that keeps the promises of the real one; the contract of
// its claims is tested in pkg/redisbus.
type fakeRedis struct {
	mu      sync.Mutex
	away    bool
	snap    cluster.Snapshot
	events  []cluster.Event
	notices map[string]*fakeNotice
	ears    map[int]func(cluster.UniqSign)
	next    int
	seq     int
}

type fakeNotice struct {
	state, agent string
	until        time.Time
	born         int64
}

func newFakeRedis() *fakeRedis {
	return &fakeRedis{notices: map[string]*fakeNotice{}, ears: map[int]func(cluster.UniqSign){},
		snap: cluster.Snapshot{UniqSign: sign, Incarnation: "one", Members: []cluster.Endpoint{nodeA, nodeB}, Reports: map[cluster.Endpoint]map[string]cluster.Report{}}}
}

func (f *fakeRedis) change(g func(snap *cluster.Snapshot)) {
	f.mu.Lock()
	g(&f.snap)
	ears := slices.Collect(maps.Values(f.ears))
	f.mu.Unlock()
	for _, hear := range ears {
		hear(sign)
	}
}

// record adds an event now, and makes its assignment the one in force.
func (f *fakeRedis) record(e cluster.Event) {
	f.change(func(snap *cluster.Snapshot) {
		f.seq++
		e.ID = fmt.Sprintf("%d-%d", time.Now().UnixMilli(), f.seq)
		f.events = append(f.events, e)
		snap.Assignment = e.Assignment
	})
}

func (f *fakeRedis) setAway(away bool) { f.change(func(*cluster.Snapshot) { f.away = away }) }

func (f *fakeRedis) locked() (func(), error) {
	f.mu.Lock()
	if f.away {
		f.mu.Unlock()
		return nil, errAway
	}
	return f.mu.Unlock, nil
}

func (f *fakeRedis) Pairs(context.Context) ([]cluster.UniqSign, error) {
	unlock, err := f.locked()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return []cluster.UniqSign{sign}, nil
}

func (f *fakeRedis) Snapshot(context.Context, cluster.UniqSign) (cluster.Snapshot, error) {
	unlock, err := f.locked()
	if err != nil {
		return cluster.Snapshot{}, err
	}
	defer unlock()
	snap := f.snap
	snap.RedisMS = time.Now().UnixMilli()
	snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
	for node, byAgent := range f.snap.Reports {
		snap.Reports[node] = maps.Clone(byAgent)
	}
	return snap, nil
}

func (f *fakeRedis) EventsAfter(_ context.Context, _ cluster.UniqSign, id string, n int) ([]cluster.Event, error) {
	unlock, err := f.locked()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var found []cluster.Event
	for _, e := range f.events {
		if after(e.ID, id) && len(found) < n {
			found = append(found, e)
		}
	}
	return found, nil
}

func after(a, b string) bool {
	number := func(id string) (int, int) {
		ms, seq, _ := strings.Cut(id, "-")
		x, _ := strconv.Atoi(ms)
		y, _ := strconv.Atoi(seq)
		return x, y
	}
	am, as := number(a)
	bm, bs := number(b)
	return am > bm || am == bm && as > bs
}

func (f *fakeRedis) Claim(_ context.Context, _ cluster.UniqSign, n Notice, agent string, ttl time.Duration) (Claim, error) {
	unlock, err := f.locked()
	if err != nil {
		return Claim{}, err
	}
	defer unlock()
	now := time.Now()
	if before := f.notices[n.Follows]; n.Follows != "" && (before == nil || before.state != "told") {
		return Claim{State: ClaimVoid}, nil
	}
	have := f.notices[n.Name]
	switch {
	case have == nil && !n.Fresh:
		return Claim{State: ClaimVoid}, nil
	case have == nil:
		have = &fakeNotice{born: now.UnixMilli()}
		f.notices[n.Name] = have
	case have.state == "told":
		return Claim{State: ClaimTold}, nil
	case have.state == "claimed" && have.agent != agent && have.until.After(now):
		return Claim{State: ClaimOther, Wait: have.until.Sub(now)}, nil
	}
	have.state, have.agent, have.until = "claimed", agent, now.Add(ttl)
	return Claim{State: ClaimMine, Born: have.born}, nil
}

func (f *fakeRedis) Told(_ context.Context, _ cluster.UniqSign, n Notice, agent string) error {
	unlock, err := f.locked()
	if err != nil {
		return err
	}
	defer unlock()
	if n.Follows != "" {
		delete(f.notices, n.Name)
		delete(f.notices, n.Follows)
		return nil
	}
	if f.notices[n.Name] == nil {
		f.notices[n.Name] = &fakeNotice{}
	}
	f.notices[n.Name].state, f.notices[n.Name].agent = "told", agent
	return nil
}

func (f *fakeRedis) Release(_ context.Context, _ cluster.UniqSign, n Notice, agent string) error {
	unlock, err := f.locked()
	if err != nil {
		return err
	}
	defer unlock()
	if have := f.notices[n.Name]; have != nil && have.state == "claimed" && have.agent == agent {
		have.state = "owed"
	}
	return nil
}

func (f *fakeRedis) Forget(_ context.Context, _ cluster.UniqSign, n Notice, told bool) error {
	unlock, err := f.locked()
	if err != nil {
		return err
	}
	defer unlock()
	if have := f.notices[n.Name]; have != nil && (told || have.state != "told") {
		delete(f.notices, n.Name)
	}
	return nil
}

func (f *fakeRedis) Listen(ctx context.Context, hear func(cluster.UniqSign)) {
	f.mu.Lock()
	f.next++
	id := f.next
	f.ears[id] = hear
	f.mu.Unlock()
	hear("")
	<-ctx.Done()
	f.mu.Lock()
	delete(f.ears, id)
	f.mu.Unlock()
}

// fakeServer is a mail server and what arrived there.
type fakeServer struct {
	mu      sync.Mutex
	arrived []arrived
	// answer decides over one try; nil takes the mail.
	answer func(ctx context.Context, agent string, to []string) (Sent, error)
	tries  int
}

type arrived struct {
	agent string
	at    time.Time
	mail  Mail
	to    []string
}

func (s *fakeServer) set(answer func(ctx context.Context, agent string, to []string) (Sent, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *fakeServer) mails() []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrived)
}

func (s *fakeServer) subjects() []string {
	var all []string
	for _, a := range s.mails() {
		all = append(all, a.mail.Subject)
	}
	return all
}

func (s *fakeServer) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

type fakeSender struct {
	server *fakeServer
	agent  string
}

func (f fakeSender) Send(ctx context.Context, m Mail, to []string) (Sent, error) {
	f.server.mu.Lock()
	f.server.tries++
	answer := f.server.answer
	f.server.mu.Unlock()
	if to == nil {
		to = []string{"anna", "ben"}
	}
	sent, err := Sent{To: to, By: "fake"}, error(nil)
	if answer != nil {
		sent, err = answer(ctx, f.agent, to)
	}
	if len(sent.To) > 0 {
		f.server.mu.Lock()
		f.server.arrived = append(f.server.arrived, arrived{f.agent, time.Now(), m, sent.To})
		f.server.mu.Unlock()
	}
	return sent, err
}

// scene is some agents over one Redis and one mail server.
type scene struct {
	*testing.T
	redis  *fakeRedis
	server *fakeServer
	log    *logs
}

// play runs test in a bubble of its own time.
func play(t *testing.T, test func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&scene{T: t, redis: newFakeRedis(), server: &fakeServer{}, log: &logs{}})
	})
}

// logs is what all agents say.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// agent runs one until the test ends or stop is called.
func (s *scene) agent(id string, memory *Memory) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	svc := New(Options{ID: id, Bus: s.redis, Send: fakeSender{s.server, id}, Memory: memory,
		Log: zerolog.New(s.log)})
	done := make(chan struct{})
	go func() {
		defer close(done)
		svc.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	s.Cleanup(stop)
	return stop
}

// pass lets d go by.
func (s *scene) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *scene) expect(subjects ...string) {
	s.Helper()
	if got := s.server.subjects(); !slices.Equal(got, subjects) {
		s.Fatalf("mails:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(subjects, "\n  "))
	}
}

// failover records one from nodeA to nodeB in the epoch, of which the last word is said.
func (s *scene) failover(epoch cluster.Epoch) {
	a := cluster.Assignment{Epoch: epoch, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, Cause: "failover: refused", Actor: "identify one"}
	s.redis.record(cluster.Event{Kind: "revoked", Tag: "mysql3308", Assignment: a, Reason: "10.0.21.5:3308 refuses connections", Actor: a.Actor})
	a.Version, a.Phase, a.Active, a.Passive = 2, cluster.PhaseOpening, nodeB, nodeA
	a.Proof, a.Blocked, a.Loss, a.Left, a.Estimated = cluster.RiskRefused, true, "at least 3 transactions, by the last sample", "0-1-15", true
	a.Reason = "10.0.21.7:3308 takes over"
	s.redis.record(cluster.Event{Kind: "promoted", Tag: "mysql3308", Assignment: a, Reason: a.Reason, Actor: a.Actor})
	a.Version, a.Phase = 3, cluster.PhaseSteady
	s.redis.record(cluster.Event{Kind: "steady", Tag: "mysql3308", Assignment: a, Reason: "10.0.21.7:3308 is open", Actor: a.Actor,
		Steps: []cluster.Step{{Name: "seen", Err: "refused"}, {Name: "decided", MS: 21.25}, {Name: "opened", MS: 97.04}}})
}

const failoverSubject = "[mmm] mysql3308: failover 10.0.21.5:3308 -> 10.0.21.7:3308 (epoch 8)"
