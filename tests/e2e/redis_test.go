package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// badState is a state of Redis in which nobody can work with it, or a loss.
type badState struct {
	name       string
	begin, end func(*stage, *redis.Conn)
	// logged is what the log of a monitor says of it, shown what mmm-status does.
	logged, shown []string
	answer        string        // the code word in the JSON of mmm-status
	lasts         time.Duration // 1.5 s unless set
	rebuilt       bool          // the record is rebuilt, with a higher epoch
}

func do(args ...any) func(*stage, *redis.Conn) {
	return func(s *stage, c *redis.Conn) {
		s.Helper()
		if err := c.Do(s.short(), args...).Err(); err != nil {
			s.Fatalf("%v: %v", args, err)
		}
	}
}

func all(steps ...func(*stage, *redis.Conn)) func(*stage, *redis.Conn) {
	return func(s *stage, c *redis.Conn) {
		s.Helper()
		for _, step := range steps {
			step(s, c)
		}
	}
}

// alone ends all connections but the test's own.
var alone = do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

// One pair lives through every bad state of Redis, one after the other: no role
// moves, the application writes on, the log and mmm-status name the state and the
// way out, and the pair is managed again at once when it is over.
func TestBadStatesOfTheBus(t *testing.T) {
	s := raise(t, options{})
	w := s.write(1, 10*time.Millisecond)
	c := s.Redis.Client().Conn()
	t.Cleanup(func() { _ = c.Close() })
	dump := map[string]string{}
	var obstacle string

	for _, state := range []badState{
		{name: "away", begin: func(s *stage, _ *redis.Conn) { s.Redis.Kill() },
			end:    func(s *stage, _ *redis.Conn) { s.must(s.Redis.Start(s.short())) },
			logged: []string{"connection refused"}, shown: []string{"connection refused", "is Redis at"}},
		{name: "hung", begin: func(s *stage, _ *redis.Conn) { s.must(s.Redis.Process().Freeze()) },
			end:    func(s *stage, _ *redis.Conn) { s.must(s.Redis.Process().Thaw()) },
			logged: []string{"timeout"}, shown: []string{"timeout", "is Redis at"}},
		{name: "slow", begin: do("CLIENT", "PAUSE", "1500", "ALL"), end: do("CLIENT", "UNPAUSE")},
		{name: "a replica without its master", begin: do("REPLICAOF", "127.0.0.1", "1"), end: do("REPLICAOF", "NO", "ONE"),
			logged: []string{"READONLY", "sentinels and master_name"}, shown: []string{"READONLY", "sentinels and master_name"}, answer: "READONLY"},
		{name: "out of memory", begin: do("CONFIG", "SET", "maxmemory", "1"), end: do("CONFIG", "SET", "maxmemory", "0"),
			logged: []string{"OOM", "raise maxmemory"}, shown: []string{"OOM", "raise maxmemory"}, answer: "OOM"},
		{name: "unable to save", begin: func(s *stage, c *redis.Conn) {
			dir, err := c.ConfigGet(s.short(), "dir").Result()
			s.must(err)
			obstacle = filepath.Join(dir["dir"], "dump.rdb")
			s.must(os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o755))
			do("CONFIG", "SET", "save", "3600 1")(s, c)
			s.saves(c, "err")
		}, end: func(s *stage, c *redis.Conn) {
			s.must(os.RemoveAll(obstacle))
			s.saves(c, "ok")
			do("CONFIG", "SET", "save", "")(s, c)
		}, logged: []string{"MISCONF", "cannot save to its disk"}, shown: []string{"MISCONF", "cannot save to its disk"}, answer: "MISCONF"},
		{name: "without a right", begin: do("ACL", "SETUSER", "default", "-evalsha", "-eval"), end: do("ACL", "SETUSER", "default", "+evalsha", "+eval"),
			shown: []string{"NOPERM", "mmmctl grants --redis"}, answer: "NOPERM"},
		{name: "behind a password", begin: all(do("CONFIG", "SET", "requirepass", "secret"), alone), end: do("CONFIG", "SET", "requirepass", ""),
			logged: []string{"NOAUTH", "set password in section [redis]"}, shown: []string{"NOAUTH", "set password in section [redis]"}, answer: "NOAUTH"},
		{name: "full of clients", begin: all(do("CONFIG", "SET", "maxclients", "1"), alone), end: do("CONFIG", "SET", "maxclients", "1000"),
			logged: []string{"maxclients"}, shown: []string{"maxclients"}},
		{name: "empty", begin: func(s *stage, c *redis.Conn) {
			for _, key := range c.Keys(s.short(), "*").Val() {
				// What has a short life has long ended when a dump is restored.
				if c.TTL(s.short(), key).Val() < 0 {
					dump[key] = c.Dump(s.short(), key).Val()
				}
			}
			do("FLUSHALL")(s, c)
		}, rebuilt: true},
		{name: "restored from an older dump", begin: func(s *stage, c *redis.Conn) {
			_, err := c.TxPipelined(s.short(), func(p redis.Pipeliner) error {
				p.FlushAll(s.short())
				for key, text := range dump {
					p.Restore(s.short(), key, 0, text)
				}
				return nil
			})
			s.must(err)
		}, rebuilt: true},
	} {
		s.endure(w, c, state)
	}
	after := s.whole(s.a)
	if n := len(w.Unknown()); n > 0 {
		t.Errorf("the application lost its connection %d times", n)
	}
	s.a.Kill()
	s.moved(after, s.b)
	s.settle(s.b, w)
}

// endure has the pair live through one state.
func (s *stage) endure(w *harness.Writer, c *redis.Conn, state badState) {
	s.Helper()
	began := time.Now()
	before := s.record()
	state.begin(s, c)
	s.must(harness.Holds(s.Context(), cmp.Or(state.lasts, 1500*time.Millisecond), "a stays open and b closed", func(ctx context.Context) (bool, string) {
		a, errA := s.a.ReadOnly(ctx)
		b, errB := s.b.ReadOnly(ctx)
		return errA == nil && errB == nil && !a && b, fmt.Sprintf("read_only %v, %v (%v, %v)", a, b, errA, errB)
	}))
	s.more(w, 10)
	for _, text := range state.logged {
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, fmt.Sprintf("%s: a monitor logs %q", state.name, text), func(context.Context) (bool, string) {
				log := s.Log(harness.Monitor, 20)
				return strings.Contains(log, text), log
			})
		})
	}
	if state.shown != nil {
		out, err := s.Tool(s.short(), "mmm-status", "--tag", harness.ServiceTag)
		s.must(err)
		for _, text := range state.shown {
			if out.Code == 0 || !strings.Contains(out.String(), text) {
				s.Errorf("%s: mmm-status does not say %q: %s", state.name, text, out)
			}
		}
	}
	if state.answer != "" {
		out, err := s.Tool(s.short(), "mmm-status", "--tag", harness.ServiceTag, "-o", "json")
		s.must(err)
		if !strings.Contains(out.Stdout, fmt.Sprintf("%q: %q", "answer", state.answer)) {
			s.Errorf("%s: mmm-status -o json has no answer %s: %s", state.name, state.answer, out)
		}
	}
	if state.end != nil {
		state.end(s, c)
	}
	ended := time.Now()
	after := s.managed(before, state.rebuilt)
	took := time.Since(ended)
	s.Logf("%s: managed again after %v, in all %v", state.name, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if took > 5*time.Second {
		s.Errorf("%s: managed again only %v after it was over", state.name, took)
	}
	if after.Active != s.a.Addr() || !state.rebuilt && after.Epoch != before.Epoch {
		s.Errorf("%s: record %s of %s became %s of %s", state.name, before.Order(), before.Active, after.Order(), after.Active)
	}
}

// saves makes snapshots until one has ended so.
func (s *stage) saves(c *redis.Conn, how string) {
	s.Helper()
	s.await(10*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "a snapshot ends with "+how, func(ctx context.Context) (bool, string) {
			_ = c.BgSave(ctx).Err()
			info, err := c.Info(ctx, "persistence").Result()
			return strings.Contains(info, "rdb_last_bgsave_status:"+how), fmt.Sprint(err)
		})
	})
}

// managed waits until monitors publish, an order by hand has reached identify and
// its answer the record's readers, and a failover would happen.
func (s *stage) managed(before cluster.Assignment, rebuilt bool) cluster.Assignment {
	s.Helper()
	var record cluster.Assignment
	seen := map[cluster.Endpoint]uint64{}
	s.await(20*time.Second, func(ctx context.Context) error {
		err := harness.Until(ctx, "the record is steady and both servers are sampled", func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			if err != nil {
				return false, err.Error()
			}
			record = snap.Assignment
			for node, views := range snap.Observations {
				for _, o := range views {
					if first, is := seen[node]; !is {
						seen[node] = o.Seq
					} else if o.Seq > first {
						seen[node] = 0
					}
				}
			}
			both := len(seen) == 2 && seen[s.a.Addr()] == 0 && seen[s.b.Addr()] == 0
			return both && record.Phase == cluster.PhaseSteady && (!rebuilt || record.Epoch > before.Epoch),
				fmt.Sprintf("%s %s %v", record.Order(), record.Phase, seen)
		})
		if err != nil {
			return err
		}
		if err := s.Bus().SetPause(ctx, s.UniqSign, cluster.Pause{Reason: "are you there"}); err != nil {
			return err
		}
		return nil
	})
	s.told(failover.Paused)
	if _, err := s.Bus().ClearPause(s.short(), s.UniqSign); err != nil {
		s.Fatal(err)
	}
	candidate := s.b
	if record.Active == s.b.Addr() {
		candidate = s.a
	}
	s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, candidate) })
	return record
}

// Sentinel makes a master of a replica that has missed a change of role: the
// record in it names the server that was active before. The roles stay as they
// are, and the record is rebuilt. The old master returns, and nobody goes there.
func TestSentinelFailsOverToALaggingReplica(t *testing.T) {
	s := prepare(t, options{daemons: []string{}, tag: map[string]string{"failback": "manual"}})
	replica, err := lab.NewRedis(s.short())
	s.must(err)
	host, port, _ := net.SplitHostPort(s.Redis.Addr())
	s.must(replica.Client().ReplicaOf(s.short(), host, port).Err())
	info := func(r *harness.Redis, text string) {
		t.Helper()
		s.await(20*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, r.Addr()+" has "+text, func(ctx context.Context) (bool, string) {
				got, err := r.Client().Info(ctx, "replication").Result()
				return err == nil && strings.Contains(got, text), got
			})
		})
	}
	info(replica, "master_link_status:up")
	sentinel, err := lab.NewSentinel(s.short(), s.Redis)
	s.must(err)
	s.FollowSentinel(sentinel)
	s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag, Redis: map[string]string{"sentinels": sentinel, "master_name": harness.MasterName}}))
	s.must(s.StartAll())
	s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	w := s.write(1, 10*time.Millisecond)

	// The replica cannot log in to its master any more, and stays as it is.
	s.must(replica.Client().ConfigSet(s.short(), "masterauth", "wrong").Err())
	s.must(replica.Client().ConfigSet(s.short(), "masteruser", "nobody").Err())
	s.must(s.Redis.Client().Do(s.short(), "CLIENT", "KILL", "TYPE", "replica").Err())
	info(replica, "master_link_status:down")
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl switchover: %s", out)
	}
	before := s.open(s.b)
	s.Redis.Kill()
	s.must(harness.Holds(s.Context(), 2*time.Second, "b stays open and a closed", func(ctx context.Context) (bool, string) {
		a, errA := s.a.ReadOnly(ctx)
		b, errB := s.b.ReadOnly(ctx)
		return errA == nil && errB == nil && a && !b, fmt.Sprintf("read_only %v, %v (%v, %v)", a, b, errA, errB)
	}))
	info(replica, "role:master")
	ended := time.Now()
	s.await(20*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the record is rebuilt in the replica", func(ctx context.Context) (bool, string) {
			snap, err := s.Snapshot(ctx)
			return err == nil && snap.Assignment.Epoch > before.Epoch, fmt.Sprint(snap.Assignment.Order(), err)
		})
	})
	after := s.whole(s.b)
	took := time.Since(ended)
	t.Logf("the pair is managed %v after the replica became the master", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("the pair was managed only %v after the replica became the master", took)
	}
	s.must(s.Redis.Start(s.short()))
	s.unmoved(2*time.Second, after)
	s.more(w, 20)
	s.await(10*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	if tally := s.settle(s.b, w); len(tally.Lost) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(tally.Lost))
	}
}

// Each program logs in to Redis as a user of its own with the rights that mmmctl
// grants prints, and nothing that any of them does is denied.
func TestLeastRightsInRedis(t *testing.T) {
	s := prepare(t, options{daemons: []string{}, tag: map[string]string{"failback": "manual"}})
	out, err := s.Tool(s.short(), "mmmctl", "grants", "--redis", "--agent-conf", s.AgentConf)
	s.must(err)
	c := s.Redis.Client()
	for line := range strings.Lines(out.Stdout) {
		order := append(strings.Fields(line), ">secret")
		args := make([]any, len(order))
		for i, word := range order {
			args[i] = word
		}
		s.must(c.Do(s.short(), args...).Err())
	}
	as := func(user string) {
		t.Helper()
		s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag, Redis: map[string]string{"username": user, "password": "secret"}}))
	}
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
		as(name)
		s.start(name)
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, name+" is logged in", func(ctx context.Context) (bool, string) {
				list, err := c.ClientList(ctx).Result()
				return err == nil && strings.Contains(list, "user="+name+" "), list
			})
		})
	}
	as("mmm-tools")
	before := s.whole(s.a)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
	for _, args := range [][]string{
		{"mmm-status", "--tag", harness.ServiceTag}, {"mmmctl", "list"}, {"mmmctl", "history", "--tag", harness.ServiceTag},
		{"mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes"},
		{"mmmctl", "pause", "--tag", harness.ServiceTag}, {"mmmctl", "resume", "--tag", harness.ServiceTag},
	} {
		out, err := s.Tool(s.short(), args[0], args[1:]...)
		s.must(err)
		if out.Code != 0 {
			t.Errorf("%v: %s", args, out)
		}
	}
	s.moved(before, s.b)
	after := s.whole(s.b)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	s.b.Kill()
	s.moved(after, s.a)
	if denied := c.Do(s.short(), "ACL", "LOG").Val(); len(denied.([]any)) > 0 {
		t.Errorf("denied: %v", denied)
	}
}
