package redisbus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// everyCall makes each call of the bus that needs Redis.
func everyCall(ctx context.Context, b *Bus) map[string]error {
	errs := map[string]error{"ping": b.Ping(ctx)}
	errs["pair"] = b.PublishPair(ctx, testPair())
	_, errs["observation"] = b.PublishObservation(ctx, sign, cluster.Observation{Monitor: "m", Node: nodeA}, &cluster.LegacyCheck{}, time.Minute, true)
	_, _, _, errs["lead"] = b.Lead(ctx, sign, "one", time.Minute)
	errs["resign"] = b.Resign(ctx, sign, "one")
	_, _, errs["renew"] = b.Renew(ctx, sign, nodeB, "a", 1, time.Minute)
	errs["drop grant"] = b.DropGrant(ctx, sign, nodeB, "a")
	_, errs["snapshot"] = b.Snapshot(ctx, sign)
	_, errs["assignment"] = b.Assignment(ctx, sign)
	_, errs["transition"] = b.Transition(ctx, sign, "one", 1, cluster.Transition{Next: opening(1, 0), Announce: true})
	errs["report"] = b.SaveReport(ctx, sign, cluster.Report{Agent: "a", Node: nodeA}, true)
	errs["drop"] = b.DropReport(ctx, sign, nodeA, "a")
	errs["verdict"] = b.SaveVerdict(ctx, sign, cluster.Verdict{})
	errs["file"] = b.FileRequest(ctx, sign, cluster.Request{ID: "r", Verb: "v"})
	_, errs["request"] = b.Request(ctx, sign)
	errs["save request"] = b.SaveRequest(ctx, sign, "one", 1, cluster.Request{ID: "r"})
	errs["pause"] = b.SetPause(ctx, sign, cluster.Pause{})
	_, errs["clear"] = b.ClearPause(ctx, sign)
	_, errs["events"] = b.Events(ctx, sign, 1)
	_, errs["pairs"] = b.Pairs(ctx)
	_, errs["run_id"] = b.RunID(ctx)
	return errs
}

// expectAll wants every call to fail with the words, wrapped, without the password.
func expectAll(t *testing.T, b *Bus, words string, but ...string) {
	t.Helper()
	for name, err := range everyCall(t.Context(), b) {
		var wrapped *Error
		switch {
		case strings.Contains(" "+strings.Join(but, " ")+" ", " "+name+" "):
		case !errors.As(err, &wrapped) || !strings.Contains(err.Error(), words):
			t.Errorf("%s: %v", name, err)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s tells the password: %v", name, err)
		}
	}
}

func TestErrorsOfADeadRedis(t *testing.T) {
	b := newBus(t, Options{Addr: freeAddr(t)})
	began := time.Now()
	for range 3 {
		expectAll(t, b, "connection refused")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("refused connections took %s", took)
	}
	ok(t, b.Close())
	expectAll(t, b, "closed")
}

func TestErrorsOfAFrozenRedis(t *testing.T) {
	s := newReal(t)
	p := newProxy(t, s.addr)
	b := newBus(t, Options{Addr: p.addr(), ReadTimeout: 50 * time.Millisecond})
	ok(t, b.Ping(t.Context()))
	p.frozen.Store(1 << 30)
	expectAll(t, b, "timeout")
	slow := newBus(t, Options{Addr: p.addr(), ReadTimeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := slow.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(fmt.Sprint(err), "timeout") {
		t.Errorf("ping beyond its context: %v", err)
	}
}

func TestErrorsOfPasswords(t *testing.T) {
	s := newReal(t, "--requirepass", "secret")
	expectAll(t, newBus(t, Options{Addr: s.addr}), "set password in section [redis]")
	expectAll(t, newBus(t, Options{Addr: s.addr, Password: "hunter2"}), "username or password in section [redis] is wrong")
	for password, want := range map[cluster.Secret]string{"": "NOAUTH", "hunter2": "WRONGPASS"} {
		err := newBus(t, Options{Addr: s.addr, Password: password}).Ping(t.Context())
		if refusal, is := errors.AsType[*Error](err); !is || refusal.Answer() != want {
			t.Errorf("%v: %v", password, err)
		}
	}
	right := newBus(t, Options{Addr: s.addr, Password: "secret"})
	sub := right.Subscribe(t.Context(), Channels{All: true})
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	deaf := newBus(t, Options{Addr: s.addr}).Subscribe(t.Context(), Channels{All: true})
	expectSilence(t, deaf)
	// A password survives a restart of Redis.
	s.real.kill()
	ok(t, s.real.start())
	untilResubscribed(t, sub, 3*time.Second)
	ok(t, right.Ping(t.Context()))
}

func TestErrorsOfAReplica(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	token := lead(t, b, "one")
	s.do(t, "REPLICAOF", "127.0.0.1", "1")
	before := dump(t, s)
	_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(1, 0), Announce: true})
	expectErr(t, err, nil, "[redis] host must name the master")
	_, _, _, err = b.Lead(t.Context(), sign, "one", time.Minute)
	expectErr(t, err, nil, "[redis] host must name the master")
	expectErr(t, b.SaveReport(t.Context(), sign, cluster.Report{Agent: "a", Node: nodeA}, true), nil, "READONLY")
	expectErr(t, b.PublishPair(t.Context(), testPair()), nil, "it is a replica")
	must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
	if d := cmp.Diff(before, dump(t, s)); d != "" {
		t.Error("half written:", d)
	}
}

func TestErrorsOfAFullMemory(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	token := lead(t, b, "one")
	s.do(t, "CONFIG", "SET", "maxmemory", "1")
	before := dump(t, s)
	_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(1, 0), Announce: true, Request: &cluster.Request{ID: "r"}})
	expectErr(t, err, nil, "raise maxmemory")
	expectErr(t, b.SaveVerdict(t.Context(), sign, cluster.Verdict{}), nil, "OOM")
	expectErr(t, b.PublishPair(t.Context(), testPair()), nil, "OOM")
	must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
	if d := cmp.Diff(before, dump(t, s)); d != "" {
		t.Error("half written:", d)
	}
	// An extension needs no memory.
	if again := lead(t, b, "one"); again != token {
		t.Errorf("token %d after %d", again, token)
	}
}

// Whether Redis takes writes is found out without one, be the pair there or not.
func TestTryWrite(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		for range 2 {
			before := dump(t, s)
			ok(t, b.TryWrite(t.Context()))
			if d := cmp.Diff(before, dump(t, s)); d != "" {
				t.Error("written:", d)
			}
			ok(t, b.PublishPair(t.Context(), testPair()))
			ok(t, b.SetPause(t.Context(), sign, cluster.Pause{}))
		}
	})
	s := newReal(t)
	b := s.bus(t)
	obstacle := filepath.Join(s.real.dir, "dump.rdb")
	for answer, state := range map[string]struct{ begin, end [][]any }{
		"READONLY":   {[][]any{{"REPLICAOF", "127.0.0.1", "1"}}, [][]any{{"REPLICAOF", "NO", "ONE"}}},
		"OOM":        {[][]any{{"CONFIG", "SET", "maxmemory", "1"}}, [][]any{{"CONFIG", "SET", "maxmemory", "0"}}},
		"NOREPLICAS": {[][]any{{"CONFIG", "SET", "min-replicas-to-write", "1"}}, [][]any{{"CONFIG", "SET", "min-replicas-to-write", "0"}}},
		"MISCONF":    {[][]any{{"CONFIG", "SET", "save", "3600 1"}}, [][]any{{"CONFIG", "SET", "save", ""}}},
	} {
		if answer == "MISCONF" {
			ok(t, os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o755))
			for end := time.Now().Add(patience); !strings.Contains(s.raw.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err"); {
				if time.Now().After(end) {
					t.Fatal("no snapshot fails")
				}
				_ = s.raw.BgSave(t.Context()).Err()
			}
		}
		for _, order := range state.begin {
			s.do(t, order...)
		}
		err := b.TryWrite(t.Context())
		refusal, is := errors.AsType[*Error](err)
		if !is || refusal.Answer() != answer || refusal.WayOut() == "" || refusal.Plain()+" ("+refusal.WayOut()+")" != err.Error() {
			t.Errorf("%s: %v", answer, err)
		}
		must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
		for _, order := range state.end {
			s.do(t, order...)
		}
	}
	ok(t, b.TryWrite(t.Context()))
}

func TestErrorsOfARedisFullOfClients(t *testing.T) {
	s := newReal(t)
	s.do(t, "CONFIG", "SET", "maxclients", "1")
	for range 20 {
		if err := s.bus(t).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "raise maxclients") && !strings.Contains(err.Error(), "(maxclients)") {
			t.Fatal(err)
		}
	}
}

func TestErrorsOfTheACL(t *testing.T) {
	s := newReal(t)
	k := keysOf(sign)
	full := []any{"ACL", "SETUSER", "mmm", "reset", "on", ">hunter2", "~mmm:*", "~mysql-*", "&mmm:*", "&" + testTopic, "+@all", "-@dangerous", "+info"}
	s.do(t, full...)
	b := newBus(t, Options{Addr: s.addr, Username: "mmm", Password: "hunter2"})
	for name, err := range everyCall(t.Context(), b) {
		if err != nil && !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.do(t, "FLUSHALL")
	for _, less := range [][]any{
		{"resetchannels", "&mmm:*"}, {"resetchannels", "&" + testTopic}, {"-xadd"}, {"-publish"},
		{"resetkeys", "~mmm:*"}, {"resetkeys", "~mmm:*", "~mysql-*-mode"}, {"resetkeys", "~mysql-*", "~mmm:*leader", "~mmm:*token"},
	} {
		s.do(t, full...)
		token := lead(t, b, "one")
		s.do(t, append([]any{"ACL", "SETUSER", "mmm"}, less...)...)
		before := dump(t, s)
		_, err := b.Transition(t.Context(), sign, "one", token, cluster.Transition{Next: opening(1, 0), Announce: true})
		if err == nil || !strings.Contains(err.Error(), "ACL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", less, err)
		}
		if d := cmp.Diff(before, dump(t, s)); d != "" {
			t.Errorf("%v: half written: %s", less, d)
		}
	}
	s.do(t, full...)
	s.do(t, "ACL", "SETUSER", "mmm", "resetkeys", "~mmm:*")
	snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
	if len(snap.Faults) == 0 || !strings.Contains(snap.Faults[0], k.members()) {
		t.Errorf("faults %q", snap.Faults)
	}
}

func TestErrorsOfALoadingRedis(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	sub := b.Subscribe(t.Context(), Channels{All: true})
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	for i := range 400 {
		s.do(t, "SET", fmt.Sprint("filler", i), strings.Repeat("x", 1200))
	}
	s.do(t, "CONFIG", "SET", "rdbcompression", "no")
	s.do(t, "SAVE")
	s.real.kill()
	s.real.args = []string{"--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024"}
	ok(t, s.real.start())
	if err := b.Ping(t.Context()); err == nil || !redis.IsLoadingError(err) {
		t.Skipf("NOT TESTED: this redis-server does not load slowly: %v", err)
	}
	expectAll(t, b, "LOADING", "run_id")
	expectSilence(t, sub)
	for end := time.Now().Add(patience); b.Ping(t.Context()) != nil; {
		if time.Now().After(end) {
			t.Fatal("redis does not end loading")
		}
	}
	untilResubscribed(t, sub, 2*time.Second)
}

func TestWrongTypesAreNamed(t *testing.T) {
	k := keysOf(sign)
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		ctx := t.Context()
		for key, call := range map[string]func() error{
			pairsKey:        func() error { return b.PublishPair(ctx, testPair()) },
			k.monitors():    func() error { return everyCall(ctx, b)["observation"] },
			k.check(nodeA):  func() error { return everyCall(ctx, b)["observation"] },
			k.assignment():  func() error { return everyCall(ctx, b)["assignment"] },
			k.report(nodeA): func() error { return everyCall(ctx, b)["report"] },
			k.request():     func() error { return everyCall(ctx, b)["request"] },
			k.events():      func() error { return everyCall(ctx, b)["events"] },
		} {
			s.do(t, "FLUSHALL")
			s.do(t, "RPUSH", key, "x")
			err := call()
			var wrong *WrongTypeError
			if !errors.As(err, &wrong) || wrong.Key != key || wrong.Want == "" {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}

func TestHintsFindCodesOfOlderServers(t *testing.T) {
	older := "ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed when used memory > 'maxmemory'."
	if !isCode(older, "OOM") || isCode("the OOM word", "OOM") {
		t.Error("codes are not told from words")
	}
	if h := hint(errors.New("OOM x")); h != "" {
		t.Errorf("hint %q for what Redis did not say", h)
	}
}
