package redisbus

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const grantTTL = 10 * time.Second

// granted is a server whose record names nodeB active in epoch 3.
func granted(t *testing.T, s *server) (b *Bus, token uint64) {
	t.Helper()
	b = s.bus(t)
	token = lead(t, b, "one")
	must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(3, 1)}))
	return b, token
}

func renew(t *testing.T, b *Bus, node cluster.Endpoint, agent string, epoch cluster.Epoch) (bool, cluster.Order) {
	t.Helper()
	held, inForce, err := b.Renew(t.Context(), sign, node, agent, epoch, grantTTL)
	ok(t, err)
	return held, inForce
}

// expectGrant wants this one with more than half of its life left; nil wants none.
func expectGrant(t *testing.T, b *Bus, want *cluster.Grant) {
	t.Helper()
	snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
	got := snap.Grant
	if got != nil {
		if got.Left <= grantTTL/2 || got.Left > grantTTL {
			t.Errorf("left are %s", got.Left)
		}
		rest := *got
		rest.Left = 0
		got = &rest
	}
	if d := cmp.Diff(want, got); d != "" || len(snap.Faults) != 0 {
		t.Errorf("faults %q, grant: want - got +\n%s", snap.Faults, d)
	}
}

func grantOf(agent string, epoch cluster.Epoch) *cluster.Grant {
	return &cluster.Grant{Node: nodeB, Agent: agent, Epoch: epoch, TTL: grantTTL}
}

func TestTheGrantIsTheActivesInItsEpoch(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b, token := granted(t, s)
		sub := b.Subscribe(t.Context(), Channels{All: true, Topic: true})
		expectWake(t, sub, Wake{Kind: KindResubscribed})
		expectGrant(t, b, nil)
		at := order(3, 1)
		refused := func(node cluster.Endpoint, epoch cluster.Epoch) {
			t.Helper()
			if held, inForce := renew(t, b, node, "stranger", epoch); held || inForce != at {
				t.Errorf("%s in epoch %d: held %v in %s", node, epoch, held, inForce)
			}
		}
		holds := func(agent string, epoch cluster.Epoch) {
			t.Helper()
			if held, inForce := renew(t, b, nodeB, agent, epoch); !held || inForce != at {
				t.Errorf("held %v in %s", held, inForce)
			}
			expectGrant(t, b, grantOf(agent, epoch))
		}
		for _, phase := range []cluster.Phase{cluster.PhaseOpening, cluster.PhaseSteady, cluster.PhaseSwitching} {
			next := opening(3, at.Version+1)
			next.Phase = phase
			must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: at, Next: next}))
			expectWake(t, sub, Wake{UniqSign: sign, Kind: KindAssignment})
			at = next.Order()
			before := must[cluster.Assignment](t)(b.Assignment(t.Context(), sign))
			holds("x", 3)
			s.do(t, "PEXPIRE", keysOf(sign).grant(), "50000000")
			holds("x", 3)
			// A restarted agent goes on where the other was.
			holds("y", 3)
			refused(nodeA, 3)
			refused(nodeB, 2)
			refused(nodeB, 4)
			expectGrant(t, b, grantOf("y", 3))
			if d := cmp.Diff(before, must[cluster.Assignment](t)(b.Assignment(t.Context(), sign))); d != "" {
				t.Error("the record has changed:", d)
			}
		}
		expectSilence(t, sub)

		// What was given lives on after the revocation, and is not lengthened.
		s.do(t, "PEXPIRE", keysOf(sign).grant(), "9000")
		must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: at,
			Next: cluster.Assignment{Epoch: 4, Phase: cluster.PhaseRevoked, From: nodeB, To: nodeA, LeaseMS: 10000}}))
		at = order(4, 0)
		refused(nodeB, 3)
		refused(nodeB, 4)
		expectGrant(t, b, grantOf("y", 3))
		if left := must[time.Duration](t)(s.raw.PTTL(t.Context(), keysOf(sign).grant()).Result()); left > 9*time.Second {
			t.Errorf("left are %s", left)
		}
		must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{Expect: at, Next: opening(4, 1)}))
		at = order(4, 1)
		refused(nodeB, 3)
		holds("y", 4)
	})
}

func TestTheGrantEndsByItself(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b, _ := granted(t, s)
		held, _, err := b.Renew(t.Context(), sign, nodeB, "x", 3, 30*time.Millisecond)
		if !held || err != nil {
			t.Fatal(held, err)
		}
		for end := time.Now().Add(patience); ; {
			snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
			if snap.Grant == nil {
				break
			}
			if snap.Grant.Left > 30*time.Millisecond || time.Now().After(end) {
				t.Fatal(snap.Grant)
			}
		}
	})
}

func TestTheGrantIsHandedBackByItsHolder(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b, _ := granted(t, s)
		ok(t, b.DropGrant(t.Context(), sign, nodeB, "x"))
		renew(t, b, nodeB, "x", 3)
		ok(t, b.DropGrant(t.Context(), sign, nodeB, "y"))
		ok(t, b.DropGrant(t.Context(), sign, nodeA, "x"))
		expectGrant(t, b, grantOf("x", 3))
		ok(t, b.DropGrant(t.Context(), sign, nodeB, "x"))
		expectGrant(t, b, nil)
	})
}

func TestThereIsNoGrantWithoutARecord(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		for _, record := range [][]any{nil, {"foreign", "1"}, {"epoch", "x", "version", "1"}, {"epoch", "3", "version", "1", "phase", "dreaming", "active", nodeB},
			{"epoch", "3", "version", "1", "active", nodeB}, {"epoch", "3", "version", "1", "phase", "steady"}} {
			s.do(t, "FLUSHALL")
			want := cluster.Order{}
			if record != nil {
				s.do(t, append([]any{"HSET", keysOf(sign).assignment()}, record...)...)
				if record[1] == "3" {
					want = order(3, 1)
				}
			}
			if held, inForce := renew(t, b, nodeB, "x", 3); held || inForce != want {
				t.Errorf("%v: held %v in %s", record, held, inForce)
			}
			if s.do(t, "EXISTS", keysOf(sign).grant()) != int64(0) {
				t.Errorf("%v: written", record)
			}
		}
		for _, bad := range []struct {
			u     cluster.UniqSign
			node  cluster.Endpoint
			agent string
			epoch cluster.Epoch
			ttl   time.Duration
			words string
		}{
			{"a b", nodeB, "x", 3, grantTTL, "blanks"},
			{sign, "", "x", 3, grantTTL, "want a node"},
			{sign, nodeB, "", 3, grantTTL, "want a node and an agent"},
			{sign, nodeB, "x", 0, grantTTL, "epoch 0"},
			{sign, nodeB, "x", cluster.MaxEpoch + 1, grantTTL, "epoch 9007199254740993"},
			{sign, nodeB, "x", 3, 0, "1 ms"},
			{sign, nodeB, "x", 3, 25 * time.Hour, "24h"},
		} {
			held, _, err := b.Renew(t.Context(), bad.u, bad.node, bad.agent, bad.epoch, bad.ttl)
			if expectErr(t, err, nil, bad.words); held {
				t.Errorf("%+v: held", bad)
			}
		}
	})
}

func TestGrantsThatOthersWrote(t *testing.T) {
	key := keysOf(sign).grant()
	eachServer(t, func(t *testing.T, s *server) {
		b, _ := granted(t, s)
		for _, c := range []struct{ field, value, words string }{
			{"epoch", "x", `epoch "x" is not a number`}, {"epoch", "0", "epoch 0"}, {"epoch", "9007199254740993", "is none"},
			{"node", "no address", "parse address"}, {"node", "", "want a node"}, {"agent", "", "an agent"},
			{"ttl", "0", "from 1 ms"}, {"ttl", "-5", "not a number"}, {"ttl", "86400001", "no lease is longer"}, {"ttl", "9223372036854775807", "no lease is longer"},
		} {
			renew(t, b, nodeB, "x", 3)
			s.do(t, "HSET", key, c.field, c.value)
			snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
			if snap.Grant != nil || len(snap.Faults) != 1 || !strings.Contains(snap.Faults[0], c.words) || !strings.Contains(snap.Faults[0], "redis-cli DEL '"+key+"'") {
				t.Errorf("%s %q: grant %+v, faults %q", c.field, c.value, snap.Grant, snap.Faults)
			}
			renew(t, b, nodeB, "x", 3)
			expectGrant(t, b, grantOf("x", 3))
		}
		// Without an end, or with a later one than was asked for, it counts as whole.
		s.do(t, "PERSIST", key)
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if snap.Grant == nil || snap.Grant.Left != grantTTL || len(snap.Faults) != 1 || !strings.Contains(snap.Faults[0], "no end") {
			t.Errorf("grant %+v, faults %q", snap.Grant, snap.Faults)
		}
		s.do(t, "PEXPIRE", key, "9000000000000")
		if snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign)); snap.Grant == nil || snap.Grant.Left != grantTTL {
			t.Errorf("grant %+v", snap.Grant)
		}
		for _, other := range []string{key, keysOf(sign).assignment()} {
			s.do(t, "DEL", other)
			s.do(t, "RPUSH", other, "x")
			before := dump(t, s)
			_, _, err := b.Renew(t.Context(), sign, nodeB, "x", 3, grantTTL)
			expectErr(t, err, nil, "key '"+other+"' holds a list")
			if d := cmp.Diff(before, dump(t, s)); d != "" {
				t.Error(d)
			}
			s.do(t, "DEL", other)
		}
		s.do(t, "RPUSH", key, "x")
		expectErr(t, b.DropGrant(t.Context(), sign, nodeB, "x"), nil, "key '"+key+"' holds a list")
	})
}

func TestAFullRedisLengthensTheGrant(t *testing.T) {
	s := newReal(t)
	b, _ := granted(t, s)
	renew(t, b, nodeB, "x", 3)
	s.do(t, "PEXPIRE", keysOf(sign).grant(), "1000")
	s.do(t, "CONFIG", "SET", "maxmemory", "1")
	if held, _ := renew(t, b, nodeB, "x", 3); !held {
		t.Error("the active would have to close")
	}
	expectGrant(t, b, grantOf("x", 3))
	_, _, err := b.Renew(t.Context(), sign, nodeB, "y", 3, grantTTL)
	expectErr(t, err, nil, "raise maxmemory")
}

func TestLeasesInRecordsAndReports(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		ok(t, b.PublishPair(ctx, testPair()))
		token := lead(t, b, "one")
		revoked := cluster.Assignment{Epoch: 2, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, LeaseMS: 10000}
		for _, ms := range []int64{-1, LongestLease.Milliseconds() + 1} {
			bad := revoked
			bad.LeaseMS = ms
			_, err := b.Transition(ctx, sign, "one", token, cluster.Transition{Next: bad})
			expectErr(t, err, nil, "lease_ms")
		}
		revoked = must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token, cluster.Transition{Next: revoked}))
		report := cluster.Report{Agent: "x", Node: nodeA, Lease: cluster.LeaseBoth, LeaseMS: 10000, LockOver: true, Remembers: revoked}
		ok(t, b.SaveReport(ctx, sign, report, false))
		read := func() cluster.Snapshot { return must[cluster.Snapshot](t)(b.Snapshot(ctx, sign)) }
		if d := cmp.Diff(revoked, read().Assignment); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(report, read().Reports[nodeA]["x"]); d != "" {
			t.Error(d)
		}
		// As daemons before leases wrote them.
		s.do(t, "HDEL", keysOf(sign).assignment(), "lease_ms")
		s.do(t, "HSET", keysOf(sign).report(nodeA), "x", `{"agent":"x","node":"`+nodeA+`","remembers":{"epoch":2}}`)
		snap := read()
		if older := snap.Reports[nodeA]["x"]; len(snap.Faults) != 0 || snap.Assignment.LeaseMS != 0 || older.Lease != cluster.LeaseUnused || older.LockOver || older.Remembers.Epoch != 2 {
			t.Errorf("%q %+v %+v", snap.Faults, snap.Assignment, older)
		}
		for value, words := range map[string]string{"x": "is not a number", "-1": "is not a number", "99999999999": "lease_ms"} {
			s.do(t, "HSET", keysOf(sign).assignment(), "lease_ms", value)
			if snap := read(); !strings.Contains(snap.AssignmentFault, words) || snap.Assignment.Exists() {
				t.Errorf("lease_ms %s: %q", value, snap.AssignmentFault)
			}
		}
		s.do(t, "DEL", keysOf(sign).assignment())
		for _, ms := range []string{"-1", "9223372036854775807", `"x"`} {
			s.do(t, "HSET", keysOf(sign).report(nodeA), "x", `{"agent":"x","node":"`+nodeA+`","lease_ms":`+cluster.Endpoint(ms)+`}`)
			if snap := read(); len(snap.Faults) != 1 || !strings.Contains(snap.Faults[0], "lease_ms") || len(snap.Reports) != 0 {
				t.Errorf("lease_ms %s: %q", ms, snap.Faults)
			}
		}
	})
}
