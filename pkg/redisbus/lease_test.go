package redisbus

import (
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestLeadTakesExtendsAndResigns(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		one, two := s.bus(t), s.bus(t)
		ctx := t.Context()
		if token := lead(t, one, "one"); token != 1 {
			t.Errorf("first token %d", token)
		}
		if token := lead(t, one, "one"); token != 1 {
			t.Errorf("token of an extension %d", token)
		}
		token, held, holder, err := two.Lead(ctx, sign, "two", time.Second)
		if token != 1 || held || holder != "one" || err != nil {
			t.Errorf("second: %d %v %q %v", token, held, holder, err)
		}
		ok(t, two.Resign(ctx, sign, "two"))
		ok(t, one.Resign(ctx, sign, "one"))
		if token := lead(t, two, "two"); token != 2 {
			t.Errorf("token after resigning %d", token)
		}
		ok(t, one.Resign(ctx, sign, "one"))
		if token := lead(t, two, "two"); token != 2 {
			t.Errorf("a stranger's resignation ended the lease: token %d", token)
		}
		ok(t, two.Resign(ctx, sign, "two"))
		if token := lead(t, two, "two"); token != 3 {
			t.Errorf("the same holder again must get a new token, got %d", token)
		}
	})
}

func TestLeaseEndsByItself(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		one, two := s.bus(t), s.bus(t)
		first, held, _, err := one.Lead(t.Context(), sign, "one", 50*time.Millisecond)
		if !held || err != nil {
			t.Fatal(held, err)
		}
		var token uint64
		for end := time.Now().Add(patience); !held || token == 0; {
			if token, held, _, err = two.Lead(t.Context(), sign, "two", time.Minute); err != nil || time.Now().After(end) {
				t.Fatal(token, held, err)
			}
			if !held {
				token = 0
			}
		}
		if token != first+1 {
			t.Errorf("token %d after %d", token, first)
		}
		_, err = one.Transition(t.Context(), sign, "one", first, cluster.Transition{Next: opening(1, 0)})
		expectErr(t, err, ErrNotLeader, "two holds")
		if _, held, holder, err := one.Lead(t.Context(), sign, "one", time.Minute); held || holder != "two" || err != nil {
			t.Errorf("%v %q %v", held, holder, err)
		}
	})
}

func TestAnOldTokenExtendsNothing(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		paused, restarted := s.bus(t), s.bus(t)
		old := lead(t, paused, "one")
		// The process under the same name is another one, or the first after an
		// answer that was lost: it takes over, and the old token is out.
		now := lead(t, restarted, "one")
		if now != old+1 {
			t.Fatalf("token %d after %d", now, old)
		}
		for range 3 {
			if _, held, holder, err := paused.Lead(t.Context(), sign, "one", time.Hour); held || holder != "one" || err != nil {
				t.Errorf("%v %q %v", held, holder, err)
			}
			if again := lead(t, restarted, "one"); again != now {
				t.Errorf("token %d after %d", again, now)
			}
		}
		if left := must[time.Duration](t)(s.raw.PTTL(t.Context(), keysOf(sign).leader()).Result()); left > 10*time.Second {
			t.Errorf("the lease was extended to %s", left)
		}
		_, err := paused.Transition(t.Context(), sign, "one", old, cluster.Transition{Next: opening(1, 0)})
		expectErr(t, err, ErrNotLeader, "token 2")
		ok(t, paused.Resign(t.Context(), sign, "one"))
		must[cluster.Assignment](t)(restarted.Transition(t.Context(), sign, "one", now, cluster.Transition{Next: opening(1, 0)}))
	})
}

func TestLeadOnWhatOthersWrote(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		k := keysOf(sign)
		for _, counter := range []string{"x", "-1", "1.5", "99999999999999999999", ""} {
			s.do(t, "SET", k.token(), counter)
			_, held, _, err := b.Lead(t.Context(), sign, "one", time.Second)
			expectErr(t, err, nil, "redis-cli DEL '"+k.token()+"'")
			if held || s.do(t, "EXISTS", k.leader()) != int64(0) {
				t.Errorf("counter %q: held", counter)
			}
		}
		s.do(t, "SET", k.token(), "41")
		s.do(t, "SET", k.leader(), "a lease without an end")
		if token := lead(t, b, "one"); token != 42 {
			t.Errorf("token %d", token)
		}
		for _, key := range []string{k.token(), k.leader()} {
			s.do(t, "FLUSHALL")
			s.do(t, "HSET", key, "a", "b")
			_, _, _, err := b.Lead(t.Context(), sign, "one", time.Second)
			expectErr(t, err, nil, "key '"+key+"' holds a hash")
		}
		_, _, _, err := b.Lead(t.Context(), "a b", "one", time.Second)
		expectErr(t, err, nil, "blanks")
		_, _, _, err = b.Lead(t.Context(), sign, "one", time.Microsecond)
		expectErr(t, err, nil, "1 ms")
	})
}

// While Redis is frozen an answer is lost; afterwards the same process leads
// again at once, under a new token.
func TestALostAnswerCostsNoLease(t *testing.T) {
	s := newReal(t)
	b := newBus(t, Options{Addr: s.addr, ReadTimeout: 50 * time.Millisecond})
	first := lead(t, b, "one")
	s.real.signal(t, syscall.SIGSTOP)
	_, held, _, err := b.Lead(t.Context(), sign, "one", 10*time.Second)
	s.real.signal(t, syscall.SIGCONT)
	if held || err == nil {
		t.Fatal(held, err)
	}
	if token := lead(t, b, "one"); token != first+1 {
		t.Errorf("token %d after %d", token, first)
	}
	// An answer that says no leaves the token as it is.
	s.do(t, "CONFIG", "SET", "requirepass", "x")
	s.do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	if _, _, _, err := b.Lead(t.Context(), sign, "one", 10*time.Second); err == nil {
		t.Fatal("no password was wanted")
	}
	s.do(t, "CONFIG", "SET", "requirepass", "")
	if token := lead(t, b, "one"); token != first+1 {
		t.Errorf("token %d after %d", token, first)
	}
}
