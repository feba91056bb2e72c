package redisbus

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const masterName = "mymaster"

// startSentinel starts a sentinel that takes the server at addr for the master.
func startSentinel(t testing.TB, addr string, epoch int, lines ...string) *realRedis {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	ok(t, err)
	text := fmt.Sprintf("sentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %s 300\nsentinel failover-timeout %s 3000\nsentinel config-epoch %s %d\n%s\n",
		masterName, host, port, masterName, masterName, masterName, epoch, strings.Join(lines, "\n"))
	path := filepath.Join(t.TempDir(), "sentinel.conf")
	ok(t, os.WriteFile(path, []byte(text), 0o600))
	return startRedis(t, path, "--sentinel")
}

func follower(t testing.TB, sentinels ...string) *Bus {
	return newBus(t, Options{Sentinels: sentinels, MasterName: masterName})
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 15 s: " + what)
		}
	}
}

// untilRun waits until the bus talks to the run of Redis.
func untilRun(t testing.TB, b *Bus, run string, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		got, err := b.RunID(t.Context())
		if err == nil && got == run {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: run %s, %v; want %s", within, got, err, run)
		}
	}
}

func runOf(t testing.TB, s *server) string { return must[string](t)(s.bus(t).RunID(t.Context())) }

func TestSentinelFailsOver(t *testing.T) {
	one, two := newReal(t), newReal(t)
	host, port, _ := net.SplitHostPort(one.addr)
	two.do(t, "REPLICAOF", host, port)
	first, second := runOf(t, one), runOf(t, two)
	until(t, "the replica is in step", func() bool {
		return strings.Contains(fmt.Sprint(two.do(t, "INFO", "replication")), "master_link_status:up")
	})
	sentinel := startSentinel(t, one.addr, 0)
	b := follower(t, sentinel.addr, freeAddr(t))
	sub := b.Subscribe(t.Context(), Channels{All: true})
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	untilRun(t, b, first, time.Second)
	watch := newServer(t, &server{addr: sentinel.addr})
	until(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(fmt.Sprint(watch.do(t, "SENTINEL", "REPLICAS", masterName)), "master-link-status ok")
	})
	one.real.kill()
	untilRun(t, b, second, 15*time.Second)
	untilResubscribed(t, sub, 3*time.Second)
	lead(t, b, "one")
	// The old master returns: the sentinel makes a replica of it, and nobody goes there.
	ok(t, one.real.start())
	untilRun(t, b, second, time.Second)
}

// Two servers take themselves for the master, and a sentinel beside each says so:
// the newer one is followed, by connections that are open already too.
func TestAnOldMasterIsLeft(t *testing.T) {
	one, two := newReal(t), newReal(t)
	first, second := runOf(t, one), runOf(t, two)
	old := startSentinel(t, one.addr, 4)
	late := startSentinel(t, two.addr, 5)
	late.kill()
	b := follower(t, old.addr, late.addr)
	sub := b.Subscribe(t.Context(), Channels{UniqSigns: []cluster.UniqSign{sign}})
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	untilRun(t, b, first, time.Second)
	ok(t, late.start())
	untilRun(t, b, second, 3*time.Second)
	untilResubscribed(t, sub, 3*time.Second)
	two.do(t, "PUBLISH", keysOf(sign).look(), KindView)
	expectWake(t, sub, Wake{UniqSign: sign, Kind: KindView})

	// What was newer stays, though only the older one is heard.
	late.kill()
	ok(t, b.sentinels.look(t.Context()))
	untilRun(t, b, second, 0)
	// Without any sentinel the connections stay, and new ones go to the same server.
	old.kill()
	if err := b.sentinels.look(t.Context()); err == nil {
		t.Error("no sentinel answers, and that is no error")
	}
	two.do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	untilRun(t, b, second, time.Second)
}

func TestErrorsOfSentinels(t *testing.T) {
	s := newReal(t)
	nobody := freeAddr(t)
	closed := startSentinel(t, s.addr, 0, "requirepass secret")
	for name, c := range map[string]struct {
		o    Options
		want []string
	}{
		"nobody there":     {Options{Sentinels: []string{nobody}}, []string{"redis master of mymaster: ", "ask sentinel " + nobody, "connection refused"}},
		"no sentinel":      {Options{Sentinels: []string{s.addr}}, []string{"it is no sentinel"}},
		"another name":     {Options{Sentinels: []string{startSentinel(t, s.addr, 0).addr}, MasterName: "other"}, []string{"master_name"}},
		"a password":       {Options{Sentinels: []string{closed.addr}}, []string{"NOAUTH", "sentinel_password"}},
		"a wrong password": {Options{Sentinels: []string{closed.addr}, SentinelPassword: "hunter2"}, []string{"WRONGPASS", "sentinel_password"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.o.MasterName == "" {
				c.o.MasterName = masterName
			}
			err := newBus(t, c.o).Ping(t.Context())
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
	ok(t, newBus(t, Options{Sentinels: []string{closed.addr}, MasterName: masterName, SentinelPassword: "secret"}).Ping(t.Context()))
	dead := newReal(t)
	b := follower(t, startSentinel(t, dead.addr, 0).addr)
	ok(t, b.Ping(t.Context()))
	dead.real.kill()
	if err := b.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "redis "+dead.addr+", master of mymaster: ") {
		t.Error(err)
	}
}
