package redis

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

const (
	sign  = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
	nodeA = cluster.Endpoint("10.0.21.5:3308")
	nodeB = cluster.Endpoint("10.0.21.7:3308")
	nodeC = cluster.Endpoint("10.0.21.9:3308")
)

var pair = cluster.Pair{Tag: "mysql3308", UniqSign: sign, Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func steady(epoch cluster.Epoch, version uint64) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, Eligible: []cluster.Endpoint{nodeA, nodeB}}
}

// text is everything a Store says at now, so that it can be compared later.
func text(t testing.TB, s *Store, now time.Duration) string {
	t.Helper()
	return string(must[[]byte](t)(json.Marshal(struct {
		Snapshot cluster.Snapshot
		Events   []*cluster.Event
		Locked   [2][]cluster.Account
	}{s.Snapshot(now), s.Trail(), [2][]cluster.Account{s.Locked(nodeA), s.Locked(nodeB)}})))
}

// drawWrite does something that may write.
func drawWrite(rt *rapid.T, s *Store, now time.Duration, n int) {
	node := rapid.SampledFrom([]cluster.Endpoint{nodeA, nodeB}).Draw(rt, "node")
	name := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name")
	life := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second}).Draw(rt, "life")
	switch rapid.IntRange(0, 12).Draw(rt, "write") {
	case 0:
		_, _, _, _ = s.Lead(now, name, s.token, life)
	case 1:
		s.Resign(now, name, 0)
	case 2:
		_, _, _ = s.Transition(now, s.leader, s.token, cluster.Transition{Expect: s.record.Order(), Next: steady(s.record.Epoch+1, 0), Announce: true}, uint64(n))
	case 3, 4:
		_, _ = s.PublishObservation(now, cluster.Observation{Monitor: name, Node: node, Seq: uint64(n)}, &cluster.LegacyCheck{LastCheck: int64(n)}, life, true)
	case 5:
		_, _ = s.SaveReport(cluster.Report{Agent: name, Node: node, Seq: uint64(n)}, true)
	case 6:
		s.DropReport(node, name)
	case 7:
		s.NoteLocked(node, []cluster.Account{{User: name, Host: "%"}, {User: "z", Host: fmt.Sprint(n)}})
	case 10:
		s.DropLocked(node, s.record.Order(), []cluster.Account{{User: name, Host: "%"}})
	case 11:
		_, _, _ = s.Renew(now, s.record.Active, name, s.record.Epoch, life)
	case 12:
		s.DropGrant(now, s.record.Active, name)
	case 8:
		s.SaveVerdict(now, cluster.Verdict{Leader: fmt.Sprint(n)})
	case 9:
		s.SwapRequest(now, s.Request(now), cluster.Request{ID: fmt.Sprint(n)}, life)
	}
}

// history is a Store and what it said before each of its writes.
type history struct {
	s      *Store
	before []moment
}

type moment struct {
	now  time.Duration
	text string
}

// Writes that are lost are those that came last, whole, in a Store and in each
// of its clones; what was read before never changes.
func TestLostWritesClonesAndReadersKeepTheirState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := []*history{{s: NewStore(sign)}}
		ok(t, all[0].s.PublishPair(pair))
		all[0].s.history = nil
		now := epoch
		read := map[*cluster.Snapshot]string{}
		tell := func(s *cluster.Snapshot) string { return string(must[[]byte](t)(json.Marshal(s))) }
		for i := range rapid.IntRange(1, 3*Remembered).Draw(rt, "writes") {
			now += time.Duration(rapid.IntRange(0, 3).Draw(rt, "ms")) * time.Millisecond
			h := all[rapid.IntRange(0, len(all)-1).Draw(rt, "store")]
			if len(all) < 3 && rapid.IntRange(0, 9).Draw(rt, "clone") == 0 {
				h = &history{h.s.Clone(), slices.Clone(h.before)}
				all = append(all, h)
			}
			at := moment{now, text(t, h.s, now)}
			snap := h.s.Snapshot(now)
			read[&snap] = tell(&snap)
			n := len(h.s.history)
			drawWrite(rt, h.s, now, i)
			if len(h.s.history) != n {
				h.before = append(h.before, at)
			} else if d := cmp.Diff(at.text, text(t, h.s, now)); d != "" {
				rt.Fatalf("a change that is no write: %s", d)
			}
		}
		for snap, told := range read {
			if d := cmp.Diff(told, tell(snap)); d != "" {
				rt.Fatalf("a reader's state has changed: %s", d)
			}
		}
		for _, h := range all {
			if left := len(h.s.history); left != len(h.before) && left < Remembered {
				rt.Fatalf("%d writes of %d are remembered", left, len(h.before))
			}
			for n := 1; h.s.LoseLast(1) == 1; n++ {
				m := h.before[len(h.before)-n]
				for _, n := range h.s.nodes {
					n.shownReports, n.shownViews = nil, nil
				}
				if d := cmp.Diff(m.text, text(t, h.s, m.now)); d != "" {
					rt.Fatalf("after losing %d of %d writes: %s", n, len(h.before), d)
				}
			}
		}
	})
}

func TestWhatIsOverIsGone(t *testing.T) {
	s := NewStore(sign)
	now := epoch
	ok(t, s.PublishPair(pair))
	const life = 5 * time.Second
	token, held, _, err := s.Lead(now, "one", 0, life)
	if token != 1 || !held || err != nil {
		t.Fatal(token, held, err)
	}
	must[[]redisbus.Wake](t)(s.PublishObservation(now, cluster.Observation{Monitor: "m", Node: nodeA}, nil, life, false))
	s.SwapRequest(now, nil, cluster.Request{ID: "r"}, life)
	_, _, err = s.Transition(now, "one", token, cluster.Transition{Next: steady(1, 0)}, 1)
	ok(t, err)
	renew := func(at time.Duration, agent string) {
		t.Helper()
		if held, inForce, err := s.Renew(at, nodeA, agent, 1, life); !held || inForce != (cluster.Order{Epoch: 1}) || err != nil {
			t.Error(held, inForce, err)
		}
	}
	renew(now, "x")
	there := func(at time.Duration, want bool) {
		t.Helper()
		snap := s.Snapshot(at)
		if (snap.Leader.ID != "") != want || (len(snap.Observations) > 0) != want || (snap.Request != nil) != want || (snap.Grant != nil) != want {
			t.Errorf("after %s: leader %q, views %v, request %v, grant %v", at-now, snap.Leader.ID, snap.Observations, snap.Request, snap.Grant)
		}
	}
	there(now, true)
	left := func(at time.Duration) time.Duration {
		snap := s.Snapshot(at)
		return snap.ViewLeft(nodeA, "m")
	}
	if left := left(now + 2*time.Second); left != 3*time.Second {
		t.Error("the view still lives", left)
	}
	if got, want := s.Snapshot(now+2*time.Second).Grant, (cluster.Grant{Node: nodeA, Agent: "x", Epoch: 1, TTL: life, Left: 3 * time.Second}); *got != want {
		t.Error("the grant is", got)
	}
	renew(now, "y")
	if got := s.Snapshot(now + 2*time.Second).Grant; got.Agent != "y" {
		t.Error("the grant of another agent is", got)
	}
	renew(now, "x")
	s.DropGrant(now, nodeA, "y")
	s.DropGrant(now, nodeB, "x")
	// A clock that was set back makes nobody's lease longer than it was given.
	if left := s.Snapshot(now - time.Second).Grant.Left; left != life {
		t.Error("the grant still lives", left)
	}
	// Redis keeps a key through the millisecond in which it ends.
	there(now+life, true)
	if left := left(now + life); left != 0 {
		t.Error("nothing is left, yet", left)
	}
	there(now+life+time.Millisecond, false)
	if s.Snapshot(now+life+time.Millisecond).Leader.Token != 1 {
		t.Error("the token ended with the lease")
	}
	s.DropGrant(now+life+time.Millisecond, nodeA, "x")
	there(now, true)
	s.Expire(now + life + time.Millisecond)
	there(now, false)
	if token, held, _, _ := s.Lead(now, "two", 0, life); token != 2 || !held {
		t.Error("the lease of a leader that is gone:", token, held)
	}
}

// An answer can be read for a minute, and as long as its request could be.
func TestAnAnswerLivesLongEnough(t *testing.T) {
	for _, c := range []struct{ answered, until time.Duration }{
		{time.Minute, requestLife}, {requestLife - time.Second, requestLife - time.Second + answerLife}, {requestLife + time.Second, 2*requestLife + time.Second},
	} {
		s := NewStore(sign)
		token, _, _, _ := s.Lead(epoch, "one", 0, time.Hour)
		s.SwapRequest(epoch, nil, cluster.Request{ID: "r"}, requestLife)
		must[[]redisbus.Wake](t)(s.SaveRequest(epoch+c.answered, "one", token, cluster.Request{ID: "r", State: cluster.RequestDone}))
		if s.Request(epoch+c.until) == nil || s.Request(epoch+c.until+time.Millisecond) != nil {
			t.Errorf("answered after %s, it does not end after %s", c.answered, c.until)
		}
	}
}

func TestEventsOfOneMillisecondAndOfAClockSetBack(t *testing.T) {
	s := NewStore(sign)
	token, _, _, _ := s.Lead(epoch, "one", 0, time.Hour)
	var expect cluster.Order
	for i, at := range []time.Duration{5 * time.Millisecond, 5 * time.Millisecond, time.Millisecond, 9 * time.Millisecond} {
		next := steady(cluster.Epoch(i+1), 0)
		_, _, err := s.Transition(at, "one", token, cluster.Transition{Expect: expect, Next: next}, 1)
		ok(t, err)
		expect = next.Order()
	}
	var ids []string
	for _, e := range s.Trail() {
		ids = append(ids, e.ID)
	}
	if d := cmp.Diff([]string{"5-0", "5-1", "5-2", "9-0"}, ids); d != "" {
		t.Error(d)
	}
}

// An empty Redis gets a name of its own, so that its return is recognised.
func TestAnEmptiedStoreHasAnotherHistory(t *testing.T) {
	s := NewStore(sign)
	write := func(nonce uint64) cluster.Snapshot {
		token, _, _, _ := s.Lead(epoch, "one", 0, time.Hour)
		_, _, err := s.Transition(epoch, "one", token, cluster.Transition{Expect: s.record.Order(), Next: steady(s.record.Epoch+1, 0)}, nonce)
		ok(t, err)
		return s.Snapshot(epoch)
	}
	first, second := write(1), write(2)
	s.Empty()
	if d := cmp.Diff(NewStore(sign).Snapshot(epoch), s.Snapshot(epoch)); d != "" || s.LoseLast(1) != 0 {
		t.Error("something was left:", d)
	}
	third := write(3)
	if first.Incarnation == "" || second.Incarnation != first.Incarnation || third.Incarnation == first.Incarnation || third.Incarnation == "" {
		t.Errorf("incarnations %q, %q, then %q", first.Incarnation, second.Incarnation, third.Incarnation)
	}
}

// Two masters that come of one go their own ways, down to the same token and
// order on both.
func TestTwoMastersGrantTheSameTokenTwice(t *testing.T) {
	one := NewStore(sign)
	ok(t, one.PublishPair(pair))
	write := func(s *Store, id string, token uint64, active, passive cluster.Endpoint) {
		t.Helper()
		next := steady(s.record.Epoch+1, 0)
		next.Active, next.Passive = active, passive
		_, _, err := s.Transition(epoch, id, token, cluster.Transition{Expect: s.record.Order(), Next: next, Announce: true, Event: cluster.Event{Kind: id}}, 1)
		ok(t, err)
	}
	first, _, _, _ := one.Lead(epoch, "before", 0, time.Minute)
	for range 5 {
		write(one, "before", first, nodeA, nodeB)
	}
	one.Resign(epoch, "before", first)
	two := one.Clone()
	for id, s := range map[string]*Store{"x": one, "y": two} {
		token, held, _, err := s.Lead(epoch, id, 0, time.Hour)
		if token != 2 || !held || err != nil {
			t.Error(id, token, held, err)
		}
	}
	write(one, "x", 2, nodeA, nodeB)
	write(two, "y", 2, nodeB, nodeA)
	for id, s := range map[string]*Store{"x": one, "y": two} {
		want := map[string]cluster.Endpoint{"x": nodeA, "y": nodeB}[id]
		snap, trail := s.Snapshot(epoch), s.Trail()
		if snap.Assignment.Active != want || snap.Legacy.Master != want || len(trail) != 6 || trail[5].Kind != id {
			t.Errorf("%s: %v, events %v", id, snap.Assignment, trail)
		}
	}
}

// What was saved does not change with what the caller goes on to do with it.
func TestTheStoreKeepsCopies(t *testing.T) {
	s := NewStore(sign)
	ok(t, s.PublishPair(pair))
	users, steps, locked := []string{"app"}, []cluster.Step{{Name: "close"}}, []cluster.Account{{User: "app", Host: "%"}}
	notes, blockers, said := []cluster.Reason{{Code: "x"}}, []cluster.Reason{{Code: "x"}}, []cluster.Reason{{Code: "x"}}
	eligible := []cluster.Endpoint{nodeA}
	legacy := cluster.LegacyCheck{LastCheck: 1}
	must[[]redisbus.Wake](t)(s.PublishObservation(epoch, cluster.Observation{Monitor: "m", Node: nodeA, Server: cluster.Server{Users: users}}, &legacy, time.Minute, true))
	must[[]redisbus.Wake](t)(s.SaveReport(cluster.Report{Agent: "x", Node: nodeA, Steps: steps, Locked: locked, Notes: notes,
		Remembers: cluster.Assignment{Epoch: 1, Eligible: eligible}}, true))
	s.NoteLocked(nodeA, locked)
	s.SaveVerdict(epoch, cluster.Verdict{Blockers: blockers, Notes: said})
	token, _, _, _ := s.Lead(epoch, "one", 0, time.Minute)
	next := steady(1, 0)
	next.Eligible = eligible
	written, _, err := s.Transition(epoch, "one", token, cluster.Transition{Next: next, Event: cluster.Event{Kind: "k", Steps: steps}}, 1)
	ok(t, err)
	before := text(t, s, epoch)
	users[0], steps[0].Name, locked[0].User, notes[0].Code, blockers[0].Code, said[0].Code, eligible[0], legacy.LastCheck = "?", "?", "?", "?", "?", "?", "?", 2
	written.Eligible[0] = "?"
	s.Locked(nodeA)[0].User = "?"
	s.cache = cache{}
	if d := cmp.Diff(before, text(t, s, epoch)); d != "" {
		t.Error(d)
	}
}

// Whoever looks on sees each change of the record by a script, with both records
// and the event, and nothing else.
func TestChangesOfTheRecordAreTold(t *testing.T) {
	s := NewStore(sign)
	type change struct {
		Before, After cluster.Order
		Event, ID     string
	}
	var seen []change
	in := s
	s.Changed = func(before, after cluster.Assignment, e cluster.Event) {
		if e.Assignment.Order() != after.Order() || in.Assignment().Order() != after.Order() {
			t.Errorf("told of %s, the event is of %s, in force is %s", after.Order(), e.Assignment.Order(), in.Assignment().Order())
		}
		seen = append(seen, change{before.Order(), after.Order(), e.Kind, e.ID})
	}
	move := func(s *Store, from, to cluster.Epoch, kind string) error {
		var expect cluster.Order
		if from > 0 {
			expect = cluster.Order{Epoch: from}
		}
		_, _, err := s.Transition(5*time.Millisecond, "one", 1, cluster.Transition{Expect: expect, Next: steady(to, 0), Event: cluster.Event{Kind: kind}}, 1)
		return err
	}
	_, _, _, err := s.Lead(0, "one", 0, time.Hour)
	ok(t, err)
	ok(t, move(s, 0, 1, "first"))
	ok(t, move(s, 1, 3, "second"))
	if move(s, 1, 4, "stale") == nil {
		t.Error("an order that is not in force was replaced")
	}
	_, _, err = s.Renew(0, nodeA, "x", 3, time.Minute)
	ok(t, err)
	s.LoseLast(2)
	c := s.Clone()
	s.Empty()
	in = c
	ok(t, move(c, 1, 2, "in a clone"))
	at := func(e cluster.Epoch) cluster.Order { return cluster.Order{Epoch: e} }
	if d := cmp.Diff([]change{{at(0), at(1), "first", "5-0"}, {at(1), at(3), "second", "5-1"}, {at(1), at(2), "in a clone", "5-1"}}, seen); d != "" {
		t.Error(d)
	}
}
