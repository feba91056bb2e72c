package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// relay passes a connection on to addr, and nothing of what the client sends while it is shut.
type relay struct {
	net.Listener
	addr  string
	gate  sync.RWMutex
	reads atomic.Int64 // of the clients' side
}

func newRelay(t *testing.T, addr string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, addr: addr}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", r.addr)
			if err != nil {
				_ = c.Close()
				continue
			}
			pass := func(to, from net.Conn, count bool) {
				defer to.Close()
				buffer := make([]byte, 1<<20)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						return
					}
					if count {
						r.reads.Add(1)
						r.gate.RLock()
					}
					_, err = to.Write(buffer[:n])
					if count {
						r.gate.RUnlock()
					}
					if err != nil {
						return
					}
				}
			}
			all.Go(func() { pass(s, c, true) })
			all.Go(func() { pass(c, s, false) })
		}
	})
	return r
}

func signOf(n int) cluster.UniqSign { return cluster.UniqSign(fmt.Sprintf("%032x", n)) }

// What many ask for while Redis is busy goes in few round trips, and each gets what it asked for.
func TestManyAskTogether(t *testing.T) {
	s := newReal(t)
	r := newRelay(t, s.addr)
	b := newBus(t, Options{Addr: r.Addr().String(), ReadTimeout: 20 * time.Second})
	const n = 500
	for i := range n {
		s.do(t, "HSET", keysOf(signOf(i)).assignment(), "epoch", i+1, "version", 1, "phase", "steady", "active", nodeA, "passive", nodeB)
	}
	s.do(t, "SET", keysOf(signOf(7)).assignment(), "no record")
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.reads.Load()
	r.gate.Lock()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			a, err := b.Assignment(t.Context(), signOf(i))
			if i == 7 {
				if e, is := errors.AsType[*WrongTypeError](err); !is || e.Key != keysOf(signOf(7)).assignment() {
					t.Errorf("record 7, which is none: %v", err)
				}
				return
			}
			if err != nil || a.Epoch != cluster.Epoch(i+1) {
				t.Errorf("record %d: epoch %d, %v", i, a.Epoch, err)
			}
		})
	}
	until(t, "senders wait for answers", func() bool { return r.reads.Load() > before && len(b.together.queue) == cap(b.together.queue) })
	r.gate.Unlock()
	all.Wait()
	if trips := r.reads.Load() - before; trips > n/10 {
		t.Errorf("%d requests in %d round trips", n, trips)
	}
}

// Who has stopped waiting is not served later, when it has asked for something newer.
func TestWhatNobodyWaitsForIsNotSent(t *testing.T) {
	s := newReal(t)
	r := newRelay(t, s.addr)
	b := newBus(t, Options{Addr: r.Addr().String(), ReadTimeout: 20 * time.Second})
	report := func(ctx context.Context, seq uint64) error {
		return b.SaveReport(ctx, sign, cluster.Report{Agent: "a", Node: nodeA, Seq: seq}, false)
	}
	if err := report(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.gate.Lock()
	before := r.reads.Load()
	var all sync.WaitGroup
	for n := range senders {
		all.Go(func() { _, _ = b.Assignment(t.Context(), sign) })
		until(t, "a sender waits for its answer", func() bool { return r.reads.Load() > before+int64(n) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		if err := report(ctx, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("the report was not given up: %v", err)
		}
	})
	until(t, "the report waits", func() bool { return len(b.together.queue) == 1 })
	cancel()
	all.Go(func() {
		if err := report(t.Context(), 3); err != nil {
			t.Error(err)
		}
	})
	until(t, "the newer one waits", func() bool { return len(b.together.queue) == 2 })
	s.do(t, "CONFIG", "RESETSTAT")
	r.gate.Unlock()
	all.Wait()
	if text := s.do(t, "HGET", keysOf(sign).report(nodeA), "a"); !strings.Contains(text.(string), `"seq":3`) {
		t.Errorf("report %s", text)
	}
	stats, err := s.raw.InfoMap(t.Context(), "commandstats").Result()
	if calls := stats["Commandstats"]["cmdstat_hset"]; err != nil || calls[:8] != "calls=1," {
		t.Errorf("reports written: %q, %v", calls, err)
	}
}

// A log-in that Redis refuses is an error of each, never an empty record.
func TestARefusedLogInIsNoEmptyRecord(t *testing.T) {
	s := newReal(t, "--requirepass", "right")
	for _, password := range []cluster.Secret{"", "wrong"} {
		b := newBus(t, Options{Addr: s.addr, Password: password})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if a, err := b.Assignment(t.Context(), signOf(i)); err == nil {
					t.Errorf("with password %q the record is %+v", string(password), a)
				}
				if snap, err := b.Snapshot(t.Context(), signOf(i)); err == nil {
					t.Errorf("with password %q a pair is %+v", string(password), snap)
				}
			})
		}
		all.Wait()
	}
}

// Closing releases who waits, and nobody begins anew.
func TestCloseReleasesWhoAsksTogether(t *testing.T) {
	s := newReal(t)
	r := newRelay(t, s.addr)
	b := New(Options{Addr: r.Addr().String(), Name: "x", ReadTimeout: 20 * time.Second})
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.gate.Lock()
	var all sync.WaitGroup
	for i := range 3 * mostTogether {
		all.Go(func() {
			if _, err := b.Assignment(t.Context(), signOf(i)); err == nil {
				t.Error("an answer came through a shut gate")
			}
		})
	}
	until(t, "the queue is full", func() bool { return len(b.together.queue) == cap(b.together.queue) })
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	all.Wait()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	r.gate.Unlock()
	if _, err := b.Assignment(t.Context(), sign); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("asked a closed bus: %v", err)
	}
}
