package redisbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestMain(m *testing.M) {
	quiet()
	goleak.VerifyTestMain(m)
}

const (
	testTopic = "mmm-switch-channel"
	sign      = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
	nodeA     = cluster.Endpoint("10.0.21.5:3308")
	nodeB     = cluster.Endpoint("10.0.21.7:3308")
)

// server is a Redis under test.
type server struct {
	addr string
	raw  *redis.Client
	real *realRedis // nil on miniredis
	mini *miniredis.Miniredis
}

// eachServer runs the same test on a real Redis and on miniredis.
func eachServer(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	t.Run("redis-server", func(t *testing.T) { test(t, newReal(t)) })
	t.Run("miniredis", func(t *testing.T) { test(t, newMini(t)) })
}

func newMini(t testing.TB) *server {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return newServer(t, &server{addr: m.Addr(), mini: m})
}

func newReal(t testing.TB, args ...string) *server {
	t.Helper()
	r := startRedis(t, args...)
	return newServer(t, &server{addr: r.addr, real: r})
}

func newServer(t testing.TB, s *server) *server {
	t.Helper()
	s.raw = redis.NewClient(&redis.Options{Addr: s.addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 4, DialerRetries: 1})
	t.Cleanup(func() { _ = s.raw.Close() })
	return s
}

func (s *server) bus(t testing.TB) *Bus { return newBus(t, Options{Addr: s.addr}) }

func newBus(t testing.TB, o Options) *Bus {
	t.Helper()
	o.Topic, o.Name = testTopic, "mmm test"
	b := New(o)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// do runs a command as a foreign client would.
func (s *server) do(t testing.TB, args ...any) any {
	t.Helper()
	for i, a := range args {
		if e, is := a.(cluster.Endpoint); is {
			args[i] = string(e)
		}
	}
	got, err := s.raw.Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v: %v", args, err)
	}
	return got
}

// realRedis is a redis-server process on a loopback port.
type realRedis struct {
	addr, dir string
	args      []string
	cmd       *exec.Cmd
	out       bytes.Buffer
}

func startRedis(t testing.TB, args ...string) *realRedis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("redis-server is missing: %v", err)
		}
		t.Skip("NOT TESTED: redis-server is missing, install it to run this test")
	}
	var err error
	for range 5 {
		r := &realRedis{addr: freeAddr(t), dir: t.TempDir(), args: args}
		t.Cleanup(r.kill)
		if err = r.start(); err == nil {
			return r
		}
	}
	t.Fatal(err)
	return nil
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r *realRedis) port() string {
	_, port, _ := net.SplitHostPort(r.addr)
	return port
}

// start starts the process and waits until it answers, be it with an error.
func (r *realRedis) start() error {
	var args []string
	rest := r.args
	if len(rest) > 0 && strings.HasSuffix(rest[0], ".conf") {
		args, rest = rest[:1:1], rest[1:]
	}
	args = append(args, "--port", r.port(), "--bind", "127.0.0.1", "--dir", r.dir, "--daemonize", "no", "--pidfile", filepath.Join(r.dir, "pid"))
	if !slices.Contains(rest, "--sentinel") {
		args = append(args, "--save", "", "--dbfilename", "dump.rdb")
	}
	args = append(args, rest...)
	r.cmd = exec.Command("redis-server", args...)
	r.out.Reset()
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: r.addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 1 << 16, DialerRetries: 1})
	defer client.Close()
	var err error
	for range 500 {
		err = client.Ping(context.Background()).Err()
		if _, answered := errors.AsType[redis.Error](err); err == nil || answered {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.kill()
	return fmt.Errorf("start redis-server: %w\n%s", err, r.out.String())
}

func (r *realRedis) kill() {
	if r.cmd != nil && r.cmd.Process != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *realRedis) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

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

// lead takes the lease and gives its token.
func lead(t testing.TB, b *Bus, id string) uint64 {
	t.Helper()
	token, held, holder, err := b.Lead(t.Context(), sign, id, 10*time.Second)
	if err != nil || !held {
		t.Fatalf("lead as %s: held %v by %q, %v", id, held, holder, err)
	}
	return token
}

// opening is a record that can be announced.
func opening(epoch cluster.Epoch, version uint64) cluster.Assignment {
	return cluster.Assignment{
		Epoch: epoch, Version: version, Phase: cluster.PhaseOpening, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB,
		Target: "0-1-100,0-2-7", Eligible: []cluster.Endpoint{nodeA, nodeB}, Durability: cluster.Async, Blocked: true,
		Cause: "refused", Proof: cluster.ProofFenced, Reason: "the active died", Actor: "identify@host", Loss: "nothing known", Left: "0-1-5", Estimated: true,
	}
}

func order(epoch cluster.Epoch, version uint64) cluster.Order {
	return cluster.Order{Epoch: epoch, Version: version}
}
