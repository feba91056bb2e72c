package redisbus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestTransitionWritesEverythingTogether(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		token := lead(t, b, "one")
		sub := b.Subscribe(t.Context(), Channels{All: true, Topic: true})
		defer sub.Close()
		expectWake(t, sub, Wake{Kind: KindResubscribed})

		request := cluster.Request{ID: "r1", Verb: cluster.VerbSwitchover, Actor: "me", State: cluster.RequestDone}
		tr := cluster.Transition{Next: opening(1, 3), Announce: true, Request: &request,
			Event: cluster.Event{Kind: "failover", Reason: "why", Steps: []cluster.Step{{Name: "fence", MS: 1.5}}}}
		before := time.Now().Add(-time.Minute).UnixMilli()
		got := must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, tr))
		if got.SinceMS < before {
			t.Errorf("since_ms is %d", got.SinceMS)
		}
		want := tr.Next
		want.SinceMS = got.SinceMS
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(want, must[cluster.Assignment](t)(b.Assignment(t.Context(), sign))); d != "" {
			t.Error(d)
		}
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if d := cmp.Diff(want, snap.Assignment); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(cluster.LegacyMode{Active: nodeB, Passive: nodeA, Master: nodeB}, snap.Legacy); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(&request, snap.Request); d != "" {
			t.Error(d)
		}
		if snap.Incarnation == "" || snap.Leader != (cluster.Leader{ID: "one", Token: token}) || len(snap.Faults) != 0 {
			t.Errorf("incarnation %q, leader %v, faults %q", snap.Incarnation, snap.Leader, snap.Faults)
		}
		events := must[[]cluster.Event](t)(b.Events(t.Context(), sign, 10))
		if len(events) != 1 || events[0].Kind != "failover" || events[0].ID == "" || len(events[0].Steps) != 1 {
			t.Fatalf("events %+v", events)
		}
		if d := cmp.Diff(want.Order(), events[0].Assignment.Order()); d != "" || events[0].Assignment.SinceMS == 0 {
			t.Error(d, events[0].Assignment.SinceMS)
		}
		expectWakes(t, sub, Wake{UniqSign: sign, Kind: KindAssignment}, Wake{UniqSign: sign, Kind: KindRequest},
			Wake{UniqSign: sign, Kind: KindMessage, Message: "active: " + string(nodeB) + ", passive: " + string(nodeA) + ", uniqsign: " + string(sign) + ", epoch: 1"})

		// The next one without announcement leaves the predecessor's keys alone.
		revoked := cluster.Assignment{Epoch: 2, Phase: cluster.PhaseRevoked, From: nodeB, To: nodeA}
		must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: order(1, 3), Next: revoked}))
		after := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if after.Legacy != snap.Legacy || after.Incarnation != snap.Incarnation {
			t.Errorf("legacy %v, incarnation %q", after.Legacy, after.Incarnation)
		}
		revoked.SinceMS = after.Assignment.SinceMS
		if d := cmp.Diff(revoked, after.Assignment); d != "" {
			t.Error("an earlier record shows through:", d)
		}
		expectWakes(t, sub, Wake{UniqSign: sign, Kind: KindAssignment})
		expectSilence(t, sub)
	})
}

func TestTransitionRefusals(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		first := cluster.Transition{Next: opening(7, 1), Announce: true}
		_, err := b.Transition(t.Context(), sign, "one", 1, first)
		expectErr(t, err, ErrNotLeader, "nobody holds the lease")
		token := lead(t, b, "one")
		_, err = b.Transition(t.Context(), sign, "one", token+1, first)
		expectErr(t, err, ErrNotLeader, "one holds the lease with token 1")
		_, err = b.Transition(t.Context(), sign, "two", token, first)
		expectErr(t, err, ErrNotLeader, "one holds")
		_, err = b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: order(1, 0), Next: opening(7, 1)})
		expectErr(t, err, ErrStale, "there is no record")
		must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, first))
		_, err = b.Transition(t.Context(), sign, "one", token, first)
		expectErr(t, err, ErrStale, "found 7.1 opening")
		_, err = b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: order(7, 0), Next: opening(7, 2)})
		expectErr(t, err, ErrStale, "found 7.1 opening")

		for name, bad := range map[string]cluster.Transition{
			"is not after":      {Expect: order(7, 1), Next: opening(7, 1)},
			"there is no":       {Expect: order(7, 1), Next: cluster.Assignment{Epoch: 8, Phase: cluster.PhaseSteady}},
			"phase \"\"":        {Expect: order(7, 1), Next: cluster.Assignment{Epoch: 8, Active: nodeA}},
			"is revoked, yet":   {Expect: order(7, 1), Next: cluster.Assignment{Epoch: 8, Phase: cluster.PhaseRevoked, Active: nodeA}},
			"field \"passive\"": {Expect: order(7, 1), Announce: true, Next: cluster.Assignment{Epoch: 8, Phase: cluster.PhaseSteady, Active: nodeA}},
			"parse address":     {Expect: order(7, 1), Next: cluster.Assignment{Epoch: 8, Phase: cluster.PhaseSteady, Active: "x, passive: y:1"}},
		} {
			_, err = b.Transition(t.Context(), sign, "one", token, bad)
			expectErr(t, err, nil, name)
		}
		if got := must[cluster.Assignment](t)(b.Assignment(t.Context(), sign)); got.Order() != order(7, 1) {
			t.Errorf("the record is %s", got.Order())
		}
		if events := must[[]cluster.Event](t)(b.Events(t.Context(), sign, 10)); len(events) != 1 {
			t.Errorf("%d events", len(events))
		}
	})
}

func TestTransitionLeavesWrongTypesAlone(t *testing.T) {
	k := keysOf(sign)
	eachServer(t, func(t *testing.T, s *server) {
		for key, want := range map[string]string{
			k.leader(): "string", k.token(): "string", k.assignment(): "hash", k.incarnation(): "string",
			k.events(): "stream", k.request(): "string", k.mode(): "hash", k.master(): "hash",
		} {
			t.Run(key, func(t *testing.T) {
				s.do(t, "FLUSHALL")
				b := s.bus(t)
				token := lead(t, b, "one")
				s.do(t, "DEL", key)
				s.do(t, "RPUSH", key, "foreign")
				before := dump(t, s)
				_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{
					Next: opening(1, 0), Announce: true, Request: &cluster.Request{ID: "r"}})
				var wrong *WrongTypeError
				if !errors.As(err, &wrong) || *wrong != (WrongTypeError{Key: key, Found: "list", Want: want}) {
					t.Fatalf("error %v", err)
				}
				if !strings.Contains(err.Error(), "redis-cli DEL '"+key+"'") {
					t.Errorf("no way out in %q", err)
				}
				if d := cmp.Diff(before, dump(t, s)); d != "" {
					t.Error("half written:", d)
				}
			})
		}
	})
}

// A record whose epoch cannot be read is not "no record".
func TestTransitionNeverReplacesABrokenRecord(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		token := lead(t, b, "one")
		for _, fields := range [][]any{{"epoch", "x"}, {"foreign", "1"}, {"epoch", "", "version", ""}} {
			key := keysOf(sign).assignment()
			s.do(t, "DEL", key)
			s.do(t, append([]any{"HSET", key}, fields...)...)
			_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(1, 0)})
			expectErr(t, err, ErrStale, "")
			_, err = b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: order(1, 0), Next: opening(2, 0)})
			expectErr(t, err, ErrStale, "")
			_, err = b.Assignment(t.Context(), sign)
			expectErr(t, err, nil, "redis-cli DEL")
			snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
			if snap.AssignmentFault == "" || len(snap.Faults) != 1 || snap.Assignment.Exists() {
				t.Errorf("fault %q, faults %q", snap.AssignmentFault, snap.Faults)
			}
		}
	})
}

// A stream without a free id refuses the event: nothing else may be written then.
func TestTransitionIsNotHalfWrittenWhenTheEventIsRefused(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	token := lead(t, b, "one")
	s.do(t, "XADD", keysOf(sign).events(), "18446744073709551615-18446744073709551615", "event", "{}")
	before := dump(t, s)
	_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(1, 0), Announce: true, Request: &cluster.Request{ID: "r"}})
	expectErr(t, err, nil, "stream")
	if d := cmp.Diff(before, dump(t, s)); d != "" {
		t.Error("half written:", d)
	}
}

func TestIncarnationIsSetOnce(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		s.do(t, "SET", keysOf(sign).incarnation(), "first")
		must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", lead(t, b, "one"), cluster.Transition{Next: opening(1, 0)}))
		if snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign)); snap.Incarnation != "first" {
			t.Errorf("incarnation %q", snap.Incarnation)
		}
	})
}

func expectErr(t *testing.T, err, is error, words string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want %v with %q", err, is, words)
	}
}

// dump reads every key of the server, raw.
func dump(t *testing.T, s *server) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, key := range must[[]string](t)(s.raw.Keys(t.Context(), "*").Result()) {
		switch kind := s.do(t, "TYPE", key); kind {
		case "string":
			all[key] = s.do(t, "GET", key)
		case "hash":
			all[key] = must[map[string]string](t)(s.raw.HGetAll(t.Context(), key).Result())
		case "list":
			all[key] = s.do(t, "LRANGE", key, 0, -1)
		case "stream":
			all[key] = s.do(t, "XLEN", key)
		default:
			all[key] = kind
		}
	}
	return all
}
