package redisbus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func testPair() cluster.Pair {
	return cluster.Pair{Tag: "mysql3308", UniqSign: sign, Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive}
}

func TestPublishPairReplacesOlderValues(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		k := keysOf(sign)
		s.do(t, "SADD", k.members(), "gone:1", nodeA)
		s.do(t, "SET", k.serviceMode(), "0")
		s.do(t, "SADD", "mysql-old-one-members", "x:1")
		s.do(t, "SADD", "mysql--members", "x:1")
		s.do(t, "SADD", "mysql-a b-members", "x:1")
		ok(t, b.PublishPair(t.Context(), testPair()))
		want := map[string]any{k.serviceMode(): "1", k.primary(): string(nodeA), k.secondary(): string(nodeB)}
		got := dump(t, s)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s holds %v", key, got[key])
			}
		}
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if d := cmp.Diff([]cluster.Endpoint{nodeA, nodeB}, snap.Members); d != "" || snap.ServiceMode != "1" || snap.Primary != nodeA || snap.Secondary != nodeB {
			t.Error(d, snap)
		}
		if d := cmp.Diff([]cluster.UniqSign{sign, "old-one"}, must[[]cluster.UniqSign](t)(b.Pairs(t.Context()))); d != "" {
			t.Error(d)
		}
		bad := testPair()
		bad.UniqSign = "a{b}"
		expectErr(t, b.PublishPair(t.Context(), bad), nil, "braces")
		bad = testPair()
		bad.Secondary = ""
		expectErr(t, b.PublishPair(t.Context(), bad), nil, "must both be set")
	})
}

func TestObservationsAndChecks(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		ok(t, b.PublishPair(ctx, testPair()))
		sub := b.Subscribe(ctx, Channels{UniqSigns: []cluster.UniqSign{sign}})
		expectWake(t, sub, Wake{Kind: KindResubscribed})
		o := cluster.Observation{Monitor: "mon:1", Run: "r", Seq: 7, Node: nodeA, Cause: cluster.CauseRefused, Error: "refused",
			Server: cluster.Server{Flavor: cluster.MariaDB, ReadOnly: cluster.Yes, Users: []string{"app"}, Channel: cluster.Channel{Delay: -1}}}
		legacy := cluster.LegacyCheck{Ping: true, ReplCheck: "Delay 3 Seconds", ReadOnly: 1, DelaySec: 3, ConnNums: -1, LastCheck: 1700000000}
		if !must[bool](t)(b.PublishObservation(ctx, sign, o, &legacy, time.Minute, true)) {
			t.Error("the pair is not listed")
		}
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindView})
		short := o
		short.Node, short.Monitor = nodeB, "mon:2"
		s.do(t, "DEL", pairsKey)
		if must[bool](t)(b.PublishObservation(ctx, sign, short, nil, 30*time.Millisecond, false)) {
			t.Error("the pair is listed")
		}
		expectSilence(t, sub)
		check := must[map[string]string](t)(s.raw.HGetAll(ctx, "mysql-"+string(sign)+"-"+string(nodeA)+"-check").Result())
		if d := cmp.Diff(map[string]string{"ping": "1", "repl_check": "Delay 3 Seconds", "read_only": "1", "delay_sec": "3",
			"conn_nums": "-1", "last_check": "1700000000"}, check); d != "" {
			t.Error(d)
		}
		snap := must[cluster.Snapshot](t)(b.Snapshot(ctx, sign))
		if d := cmp.Diff(map[cluster.Endpoint]map[string]cluster.Observation{nodeA: {"mon:1": o}}, snap.Observations); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[cluster.Endpoint]cluster.LegacyCheck{nodeA: legacy}, snap.Checks); d != "" || len(snap.Faults) > 0 {
			t.Error(d, snap.Faults)
		}
		_, err := b.PublishObservation(ctx, sign, o, nil, 0, false)
		expectErr(t, err, nil, "1 ms")
	})
}

// As Redis.pm's status_set writes them, with undef where the server said nothing.
func TestChecksOfThePredecessor(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		s.do(t, "SADD", keysOf(sign).members(), nodeA, nodeB)
		s.do(t, "HMSET", keysOf(sign).check(nodeA), "ping", 1, "repl_check", "OK", "read_only", "", "delay_sec", -1, "conn_nums", "12", "last_check", 1700000001)
		s.do(t, "HMSET", keysOf(sign).check(nodeB), "ping", "x")
		s.do(t, "HMSET", keysOf(sign).mode(), "active", nodeA, "passive", nodeB)
		s.do(t, "HMSET", keysOf(sign).master(), "host", nodeA)
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		want := cluster.LegacyCheck{Ping: true, ReplCheck: "OK", ReadOnly: -1, DelaySec: -1, ConnNums: 12, LastCheck: 1700000001}
		if d := cmp.Diff(map[cluster.Endpoint]cluster.LegacyCheck{nodeA: want}, snap.Checks); d != "" {
			t.Error(d)
		}
		if snap.Legacy != (cluster.LegacyMode{Active: nodeA, Passive: nodeB, Master: nodeA}) {
			t.Error(snap.Legacy)
		}
		if len(snap.Faults) != 1 || !strings.Contains(snap.Faults[0], `ping "x" is not a number`) || snap.AssignmentFault != "" {
			t.Errorf("faults %q", snap.Faults)
		}
	})
}

func TestReportsAndVerdict(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		ok(t, b.PublishPair(ctx, testPair()))
		sub := b.Subscribe(ctx, Channels{UniqSigns: []cluster.UniqSign{sign}})
		expectWake(t, sub, Wake{Kind: KindResubscribed})
		r := cluster.Report{Agent: "host/ab12cd", Seq: 1, Node: nodeA, Deed: cluster.DeedClosed, Closed: order(4, 1), Remembers: opening(4, 1)}
		ok(t, b.SaveReport(ctx, sign, r, true))
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindReport})
		other := r
		other.Agent = "host/000000"
		ok(t, b.SaveReport(ctx, sign, other, false))
		v := cluster.Verdict{Leader: "one", Order: order(4, 1), Reason: cluster.Reason{Code: "steady", Text: "all is well"}}
		ok(t, b.SaveVerdict(ctx, sign, v))
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindVerdict})
		ok(t, b.SaveVerdict(ctx, sign, v))
		expectSilence(t, sub)
		snap := must[cluster.Snapshot](t)(b.Snapshot(ctx, sign))
		if d := cmp.Diff(map[cluster.Endpoint]map[string]cluster.Report{nodeA: {r.Agent: r, other.Agent: other}}, snap.Reports); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(&v, snap.Verdict); d != "" {
			t.Error(d)
		}
		if left := must[time.Duration](t)(s.raw.PTTL(ctx, keysOf(sign).verdict()).Result()); left <= 0 || left > 30*time.Second {
			t.Errorf("the verdict lives %s", left)
		}
		ok(t, b.DropReport(ctx, sign, nodeA, other.Agent))
		if snap := must[cluster.Snapshot](t)(b.Snapshot(ctx, sign)); len(snap.Reports[nodeA]) != 1 {
			t.Error(snap.Reports)
		}
	})
}

func TestRequests(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		sub := b.Subscribe(ctx, Channels{UniqSigns: []cluster.UniqSign{sign}})
		expectWake(t, sub, Wake{Kind: KindResubscribed})
		if got := must[*cluster.Request](t)(b.Request(ctx, sign)); got != nil {
			t.Error(got)
		}
		r := cluster.Request{ID: "r1", Verb: cluster.VerbSwitchover, To: nodeB, Actor: "anna@host"}
		ok(t, b.FileRequest(ctx, sign, r))
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindRequest})
		r.State = cluster.RequestFiled
		if d := cmp.Diff(&r, must[*cluster.Request](t)(b.Request(ctx, sign))); d != "" {
			t.Error(d)
		}
		if left := must[time.Duration](t)(s.raw.PTTL(ctx, keysOf(sign).request()).Result()); left <= 4*time.Minute || left > 5*time.Minute {
			t.Errorf("the request lives %s", left)
		}
		second := cluster.Request{ID: "r2", Verb: cluster.VerbSwitchover, Actor: "ben"}
		expectErr(t, b.FileRequest(ctx, sign, second), ErrBusy, "switchover to 10.0.21.7:3308 by anna@host is filed")
		expectErr(t, b.SaveRequest(ctx, sign, "one", 1, r), ErrNotLeader, "")
		token := lead(t, b, "one")
		r.State, r.Answer = cluster.RequestDone, "done in 1 s"
		s.do(t, "PEXPIRE", keysOf(sign).request(), 100)
		ok(t, b.SaveRequest(ctx, sign, "one", token, r))
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindRequest})
		if left := must[time.Duration](t)(s.raw.PTTL(ctx, keysOf(sign).request()).Result()); left < 50*time.Second || left > time.Minute {
			t.Errorf("the answer lives %s", left)
		}
		ok(t, b.FileRequest(ctx, sign, second))
		for _, broken := range []string{"{", "null", "[]", "{}"} {
			s.do(t, "SET", keysOf(sign).request(), broken)
			expectErr(t, b.FileRequest(ctx, sign, second), nil, "redis-cli DEL")
			_, err := b.Request(ctx, sign)
			expectErr(t, err, nil, "redis-cli DEL")
			if snap := must[cluster.Snapshot](t)(b.Snapshot(ctx, sign)); snap.Request != nil || len(snap.Faults) != 1 {
				t.Error(snap.Request, snap.Faults)
			}
		}
		expectErr(t, b.FileRequest(ctx, sign, cluster.Request{Verb: "x"}), nil, "id")
	})
}

func TestAWithdrawnRequestIsNotBegun(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		token := lead(t, b, "one")
		begin := func(id string) error {
			running := cluster.Request{ID: id, Verb: cluster.VerbSwitchover, Actor: "anna", State: cluster.RequestRunning}
			_, err := b.Transition(ctx, sign, "one", token, cluster.Transition{Next: opening(1, 0), Request: &running})
			return err
		}
		ok(t, b.FileRequest(ctx, sign, cluster.Request{ID: "r1", Verb: cluster.VerbSwitchover, Actor: "anna"}))
		if taken := must[bool](t)(b.WithdrawRequest(ctx, sign, "other")); taken {
			t.Error("another's request was withdrawn")
		}
		if taken := must[bool](t)(b.WithdrawRequest(ctx, sign, "r1")); !taken {
			t.Error("a filed request was not withdrawn")
		}
		expectErr(t, begin("r1"), ErrStale, "no longer filed")
		ok(t, b.FileRequest(ctx, sign, cluster.Request{ID: "r2", Verb: cluster.VerbSwitchover, Actor: "anna"}))
		ok(t, begin("r2"))
		if taken := must[bool](t)(b.WithdrawRequest(ctx, sign, "r2")); taken {
			t.Error("a request under way was withdrawn")
		}
	})
}

func TestPause(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ok(t, b.SetPause(t.Context(), sign, cluster.Pause{Actor: "anna", Reason: "work"}))
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if snap.Pause == nil || snap.Pause.Actor != "anna" || time.Since(time.UnixMilli(snap.Pause.SinceMS)).Abs() > time.Minute {
			t.Error(snap.Pause)
		}
		for _, want := range []bool{true, false} {
			if was := must[bool](t)(b.ClearPause(t.Context(), sign)); was != want {
				t.Errorf("there was a pause: %v", was)
			}
		}
	})
}

func TestEventsAreNewestFirst(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		token := lead(t, b, "one")
		a := cluster.Assignment{}
		for i := range 5 {
			next := opening(1, uint64(i+1))
			a = must[cluster.Assignment](t)(b.Transition(t.Context(), sign, "one", token, cluster.Transition{
				Expect: a.Order(), Next: next, Event: cluster.Event{Kind: fmt.Sprint("k", i)}}))
		}
		s.do(t, "XADD", keysOf(sign).events(), "*", "foreign", "1")
		s.do(t, "XADD", keysOf(sign).events(), "*", "event", "{")
		var kinds []string
		for _, e := range must[[]cluster.Event](t)(b.Events(t.Context(), sign, 4)) {
			kinds = append(kinds, e.Kind)
		}
		if d := cmp.Diff([]string{KindUnreadable, KindUnreadable, "k4", "k3"}, kinds); d != "" {
			t.Error(d)
		}
		if got := must[[]cluster.Event](t)(b.Events(t.Context(), "other", 4)); len(got) != 0 {
			t.Error(got)
		}
	})
}

func TestSnapshotOfNothing(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		snap := must[cluster.Snapshot](t)(s.bus(t).Snapshot(t.Context(), sign))
		if snap.RedisMS < time.Now().Add(-time.Minute).UnixMilli() {
			t.Errorf("Redis's clock reads %d", snap.RedisMS)
		}
		want := cluster.Snapshot{UniqSign: sign, RedisMS: snap.RedisMS, Checks: map[cluster.Endpoint]cluster.LegacyCheck{},
			Observations: map[cluster.Endpoint]map[string]cluster.Observation{}, Reports: map[cluster.Endpoint]map[string]cluster.Report{}}
		if d := cmp.Diff(want, snap); d != "" {
			t.Error(d)
		}
	})
}

func TestSnapshotNamesWhatItCannotRead(t *testing.T) {
	k := keysOf(sign)
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		every := []string{k.members(), k.serviceMode(), k.primary(), k.secondary(), k.mode(), k.master(), k.assignment(), k.incarnation(),
			k.leader(), k.token(), k.grant(), k.request(), k.pause(), k.verdict(), k.monitors(), k.check(nodeA), k.report(nodeA), k.view("m", nodeA)}
		for _, key := range every {
			s.do(t, "FLUSHALL")
			s.do(t, "SADD", k.members(), nodeA)
			s.do(t, "SADD", k.monitors(), "m")
			s.do(t, "DEL", key)
			s.do(t, "RPUSH", key, "x")
			snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
			if len(snap.Faults) != 1 || !strings.Contains(snap.Faults[0], "key '"+key+"' holds a list") {
				t.Errorf("faults %q of %s", snap.Faults, key)
			}
			if (snap.AssignmentFault != "") != (key == k.assignment()) {
				t.Errorf("assignment fault %q of %s", snap.AssignmentFault, key)
			}
			if (snap.Pause != nil) != (key == k.pause()) {
				t.Errorf("paused %+v by %s", snap.Pause, key)
			}
		}
		s.do(t, "FLUSHALL")
		s.do(t, "SADD", k.members(), nodeA, "no address", "")
		s.do(t, "SADD", k.monitors(), "m", "n")
		for _, key := range []string{k.pause(), k.verdict(), k.view("m", nodeA)} {
			s.do(t, "SET", key, "{")
		}
		s.do(t, "SET", k.token(), "-3")
		s.do(t, "SET", k.view("n", nodeA), `{"monitor":"m","node":"`+nodeA+`"}`)
		s.do(t, "HSET", k.report(nodeA), "a", "null", "b", `{"agent":"c","node":"`+nodeA+`"}`)
		s.do(t, "HSET", k.assignment(), "epoch", "3", "version", "1", "phase", "steady", "active", "x y")
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if len(snap.Faults) != 9 || snap.AssignmentFault == "" || snap.Assignment.Exists() || snap.Pause == nil {
			t.Errorf("%d faults:\n%s", len(snap.Faults), strings.Join(snap.Faults, "\n"))
		}
	})
}

func TestSnapshotIsBoundedWhereKeysAreFlooded(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		for i := range 200 {
			s.do(t, "SADD", keysOf(sign).members(), fmt.Sprintf("h:%d", i+1))
			s.do(t, "SADD", keysOf(sign).monitors(), fmt.Sprint("m", i))
		}
		snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		if len(snap.Faults) != 2 || !strings.Contains(snap.Faults[0], "lists 200 servers") {
			t.Errorf("faults %q", snap.Faults)
		}
	})
}

func TestRunIDChangesWithARestart(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	first := must[string](t)(b.RunID(t.Context()))
	if again := must[string](t)(b.RunID(t.Context())); again != first || len(first) != 40 {
		t.Errorf("run_id %q, then %q", first, again)
	}
	s.real.kill()
	ok(t, s.real.start())
	if second := must[string](t)(b.RunID(t.Context())); second == first {
		t.Errorf("run_id %q after a restart", second)
	}
	_, err := newMini(t).bus(t).RunID(t.Context())
	expectErr(t, err, nil, "read run_id")
}

func TestManyCallersAtOnceUseFewConnections(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	ok(t, b.PublishPair(t.Context(), testPair()))
	var callers errgroup.Group
	for range 200 {
		callers.Go(func() error {
			if _, err := b.Snapshot(t.Context(), sign); err != nil {
				return err
			}
			return b.SaveReport(t.Context(), sign, cluster.Report{Agent: "a", Node: nodeA}, true)
		})
	}
	ok(t, callers.Wait())
	if n := strings.Count(fmt.Sprint(s.do(t, "CLIENT", "LIST")), "name=mmm-test"); n == 0 || n > poolSize {
		t.Errorf("%d connections", n)
	}
}

func notice(name string) Notice { return Notice{Name: name, Fresh: true, Keep: time.Hour} }

func TestANoticeIsToldByOneAgent(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		n := notice("change 1700000000000-0")
		claim := func(agent string, ttl time.Duration) Claim {
			t.Helper()
			return must[Claim](t)(b.ClaimNotice(ctx, sign, n, agent, ttl))
		}
		mine := claim("a", time.Minute)
		if mine.State != ClaimMine || mine.Born == 0 {
			t.Fatal(mine)
		}
		if c := claim("b", time.Minute); c.State != ClaimOther || c.Wait <= 58*time.Second || c.Wait > time.Minute {
			t.Error(c)
		}
		if c := claim("a", time.Minute); c != mine {
			t.Error("the same agent, after a reload perhaps:", c)
		}
		ok(t, b.ReleaseNotice(ctx, sign, n, "b"))
		if c := claim("b", time.Minute); c.State != ClaimOther {
			t.Error("another's claim was released:", c)
		}
		ok(t, b.ReleaseNotice(ctx, sign, n, "a"))
		if c := claim("b", time.Minute); c != mine {
			t.Error("a released notice is told under the same birth:", c, mine)
		}
		ok(t, b.NoticeTold(ctx, sign, n, "b"))
		for _, agent := range []string{"a", "b", "c"} {
			if c := claim(agent, time.Minute); c.State != ClaimTold {
				t.Error(c)
			}
		}
		ok(t, b.ReleaseNotice(ctx, sign, n, "b"))
		ok(t, b.ForgetNotice(ctx, sign, n, false))
		if c := claim("c", time.Minute); c.State != ClaimTold {
			t.Error("what was told is forgotten:", c)
		}
		if left := must[time.Duration](t)(s.raw.PTTL(ctx, keysOf(sign).notice(n.Name)).Result()); left <= 59*time.Minute || left > time.Hour {
			t.Errorf("the record lives %s", left)
		}
		ok(t, b.ForgetNotice(ctx, sign, n, true))
		if c := claim("c", time.Minute); c.State != ClaimMine {
			t.Error(c)
		}
		_, err := b.ClaimNotice(ctx, sign, Notice{Name: "x"}, "a", time.Minute)
		expectErr(t, err, nil, "a life of 1 ms")
		s.do(t, "SET", keysOf(sign).notice("broken"), "x")
		_, err = b.ClaimNotice(ctx, sign, notice("broken"), "a", time.Minute)
		expectErr(t, err, nil, "redis-cli DEL")
	})
}

func TestAClaimEndsWithItsAgent(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		n := notice("change 1-0")
		first := must[Claim](t)(b.ClaimNotice(t.Context(), sign, n, "a", 80*time.Millisecond))
		for {
			c := must[Claim](t)(b.ClaimNotice(t.Context(), sign, n, "b", time.Minute))
			if c.State == ClaimMine {
				if c.Born != first.Born {
					t.Errorf("born %d, first %d", c.Born, first.Born)
				}
				return
			}
			if c.State != ClaimOther || c.Wait > 80*time.Millisecond {
				t.Fatal(c)
			}
			time.Sleep(c.Wait)
		}
	})
}

// Ten agents at once: one claims.
func TestOneOfManyClaims(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		var group errgroup.Group
		claims := make([]Claim, 10)
		for i := range claims {
			group.Go(func() (err error) {
				claims[i], err = b.ClaimNotice(t.Context(), sign, notice("held"), fmt.Sprint("agent ", i), time.Minute)
				return err
			})
		}
		ok(t, group.Wait())
		mine := 0
		for _, c := range claims {
			if c.State == ClaimMine {
				mine++
			}
		}
		if mine != 1 {
			t.Errorf("%d agents hold the claim: %v", mine, claims)
		}
	})
}

func TestNoticesThatAreVoid(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		old := notice("change 2-0")
		old.Fresh = false
		state := func(n Notice) ClaimState {
			t.Helper()
			return must[Claim](t)(b.ClaimNotice(ctx, sign, n, "a", time.Minute)).State
		}
		if got := state(old); got != ClaimVoid {
			t.Error("an old change that nobody owes:", got)
		}
		fresh := old
		fresh.Fresh = true
		state(fresh)
		ok(t, b.ReleaseNotice(ctx, sign, fresh, "a"))
		if got := state(old); got != ClaimMine {
			t.Error("an old change that somebody owes:", got)
		}
		over := notice("held over")
		over.Follows = "held"
		if got := state(over); got != ClaimVoid {
			t.Error("the end of what was never told:", got)
		}
		state(notice("held"))
		if got := state(over); got != ClaimVoid {
			t.Error("the end of what is not told yet:", got)
		}
		ok(t, b.NoticeTold(ctx, sign, notice("held"), "a"))
		if got := state(over); got != ClaimMine {
			t.Error("the end of what was told:", got)
		}
		ok(t, b.NoticeTold(ctx, sign, over, "a"))
		if got := state(over); got != ClaimVoid {
			t.Error("an end that was told:", got)
		}
		if got := state(notice("held")); got != ClaimMine {
			t.Error("the next one of the same kind:", got)
		}
	})
}

func TestEventsAfter(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		token := lead(t, b, "one")
		for epoch := range cluster.Epoch(5) {
			var expect cluster.Order
			if epoch > 0 {
				expect = order(epoch, 0)
			}
			must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token, cluster.Transition{
				Expect: expect, Next: opening(epoch+1, 0), Event: cluster.Event{Kind: fmt.Sprint("kind ", epoch+1), Assignment: opening(epoch+1, 0)}}))
		}
		newest := must[[]cluster.Event](t)(b.Events(ctx, sign, 9))
		all := must[[]cluster.Event](t)(b.EventsAfter(ctx, sign, "0-0", 9))
		if len(all) != 5 || all[0].Kind != "kind 1" || all[4].ID != newest[0].ID {
			t.Fatal(all)
		}
		if d := cmp.Diff(all[2:4], must[[]cluster.Event](t)(b.EventsAfter(ctx, sign, all[1].ID, 2))); d != "" {
			t.Error(d)
		}
		if got := must[[]cluster.Event](t)(b.EventsAfter(ctx, sign, all[4].ID, 2)); len(got) != 0 {
			t.Error(got)
		}
		_, err := b.EventsAfter(ctx, sign, "soon", 2)
		expectErr(t, err, nil, "no id")
	})
}
