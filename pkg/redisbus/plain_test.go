package redisbus

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// readPlainly reads a pair without the script and gives what the script makes of it beside that; ok is whether
// it could be read so.
func readPlainly(t *testing.T, b *Bus) (plain, script cluster.Snapshot, ok bool) {
	t.Helper()
	all, ok, err := b.plain(t.Context(), sign)
	if err != nil {
		t.Fatal(err)
	}
	rows := must[[]answered](t)(b.script(t.Context(), sign))
	plain, script = snapshotOf(sign, all), snapshotOf(sign, rows)
	for _, s := range []*cluster.Snapshot{&plain, &script} { // they are read one after the other
		if s.RedisMS == 0 && ok {
			t.Error("Redis's clock was not read")
		}
		for node, ends := range s.ViewEnds {
			for monitor := range ends {
				if left := s.ViewLeft(node, monitor); left <= 50*time.Second || left > time.Minute {
					t.Errorf("the view of %s by %s lives for %s, want a minute", node, monitor, left)
				}
				s.ViewEnds[node][monitor] = 0
			}
		}
		if s.Grant != nil {
			if s.Grant.Left <= 50*time.Second || s.Grant.Left > time.Minute {
				t.Errorf("the grant lasts %s, want a minute", s.Grant.Left)
			}
			s.Grant.Left = 0
		}
		s.RedisMS = 0
	}
	return plain, script, ok
}

// whole is a pair of which there is everything, as it was read last.
func whole(t *testing.T, s *server, b *Bus) {
	t.Helper()
	ctx := t.Context()
	token := fill(t, b)
	s.do(t, "HSET", keysOf(sign).mode(), "active", nodeA, "passive", nodeB)
	s.do(t, "HSET", keysOf(sign).master(), "host", nodeA)
	must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token, cluster.Transition{Next: opening(1, 0)}))
	steady := opening(1, 1)
	steady.Phase = cluster.PhaseSteady
	must[cluster.Assignment](t)(b.Transition(ctx, sign, "one", token, cluster.Transition{Expect: order(1, 0), Next: steady}))
	if held, inForce, err := b.Renew(ctx, sign, nodeB, "a0", 1, time.Minute); err != nil || !held {
		t.Fatalf("no grant: %v, %v", inForce, err)
	}
	ok(t, b.FileRequest(ctx, sign, cluster.Request{ID: "r", Verb: "switchover"}))
	ok(t, b.SetPause(ctx, sign, cluster.Pause{Actor: "dba", Reason: "work"}))
	ok(t, b.SaveVerdict(ctx, sign, cluster.Verdict{Leader: "one", Order: order(1, 1)}))
	must[cluster.Snapshot](t)(b.Snapshot(ctx, sign))
}

func TestPlainReadingGivesWhatTheScriptDoes(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		whole(t, s, b)
		plain, script, ok := readPlainly(t, b)
		if !ok || len(script.Reports) != 2 || len(script.Observations[nodeA]) != 3 || script.Request == nil || script.Grant == nil || script.Pause == nil || script.Verdict == nil || script.Leader.ID != "one" {
			t.Fatalf("read plainly: %v; %+v", ok, script)
		}
		if d := cmp.Diff(script, plain); d != "" {
			t.Error(d)
		}
		for _, key := range []string{keysOf(sign).grant(), keysOf(sign).pause(), keysOf(sign).view("m0", nodeA), keysOf(sign).report(nodeB), keysOf(sign).serviceMode(), keysOf(sign).verdict()} {
			s.do(t, "DEL", key)
			plain, script, ok = readPlainly(t, b)
			if d := cmp.Diff(script, plain); d != "" || !ok {
				t.Errorf("without %s, read plainly: %v; %s", key, ok, d)
			}
		}
	})
}

func TestWhatIsNotAsBeforeIsReadByTheScript(t *testing.T) {
	third := cluster.Endpoint("db-c:3306")
	for name, change := range map[string]func(t *testing.T, s *server, b *Bus){
		"another member":   func(t *testing.T, s *server, _ *Bus) { s.do(t, "SADD", keysOf(sign).members(), third) },
		"another primary":  func(t *testing.T, s *server, _ *Bus) { s.do(t, "SET", keysOf(sign).primary(), third) },
		"another in mode":  func(t *testing.T, s *server, _ *Bus) { s.do(t, "HSET", keysOf(sign).mode(), "passive", third) },
		"another in force": func(t *testing.T, s *server, _ *Bus) { s.do(t, "HSET", keysOf(sign).assignment(), "to", third) },
		"a new monitor":    func(t *testing.T, s *server, _ *Bus) { s.do(t, "SADD", keysOf(sign).monitors(), "m9") },
		"nobody":           func(t *testing.T, s *server, _ *Bus) { s.do(t, "FLUSHALL") },
		"a key of another type": func(t *testing.T, s *server, _ *Bus) {
			s.do(t, "DEL", keysOf(sign).verdict())
			s.do(t, "SADD", keysOf(sign).verdict(), "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachServer(t, func(t *testing.T, s *server) {
				b := s.bus(t)
				whole(t, s, b)
				change(t, s, b)
				_, script, ok := readPlainly(t, b)
				if ok {
					t.Error("it was read plainly")
				}
				got := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign))
				if d := cmp.Diff(script.Faults, got.Faults); d != "" {
					t.Error(d)
				}
				if name == "a key of another type" {
					return // each time
				}
				if _, _, ok := readPlainly(t, b); !ok {
					t.Error("it is not read plainly the next time")
				}
			})
		})
	}
}

func TestMoreServersThanAreReadAreReadByTheScript(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		whole(t, s, b)
		for n := range mostNodes {
			s.do(t, "SADD", keysOf(sign).members(), "more"+string(rune('a'+n))+":3306")
		}
		for range 2 {
			if snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign)); len(snap.Faults) != 1 {
				t.Errorf("faults %q", snap.Faults)
			}
		}
	})
}

// Users whose ACL was made before MULTI was needed.
func TestPlainReadingThatIsDeniedIsNotTriedAgain(t *testing.T) {
	s := newReal(t)
	whole(t, s, s.bus(t))
	for _, denied := range [][]any{{"-multi", "-exec"}, {"-multi"}, {"-exec"}} {
		s.do(t, append([]any{"ACL", "SETUSER", "mmm", "reset", "on", ">hunter2", "+@all", "~*", "&*"}, denied...)...)
		b := newBus(t, Options{Addr: s.addr, Username: "mmm", Password: "hunter2"})
		for range 3 {
			if snap := must[cluster.Snapshot](t)(b.Snapshot(t.Context(), sign)); len(snap.Faults) > 0 || len(snap.Observations) != 2 {
				t.Errorf("%v: %+v", denied, snap)
			}
			if a := must[cluster.Assignment](t)(b.Assignment(t.Context(), sign)); a.Order() != order(1, 1) {
				t.Errorf("%v: %s is in force", denied, a.Order())
			}
		}
		if b.noPlain.Load() == nil {
			t.Errorf("%v: it is tried each time", denied)
		}
	}
}

// readsPlainly is what a role with all of its rules can do.
func readsPlainly(ctx context.Context, b *Bus) error {
	if _, err := b.Snapshot(ctx, sign); err != nil {
		return err
	}
	if why := b.noPlain.Load(); why != nil {
		return *why
	}
	return nil
}
