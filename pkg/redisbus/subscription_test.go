package redisbus

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const patience = 5 * time.Second

func nextWake(t testing.TB, sub *Subscription, within time.Duration) Wake {
	t.Helper()
	select {
	case w, open := <-sub.C():
		if !open {
			t.Fatal("the subscription has ended")
		}
		return w
	case <-time.After(within):
		t.Fatalf("no wake-up within %s", within)
	}
	return Wake{}
}

func expectWake(t testing.TB, sub *Subscription, want Wake) {
	t.Helper()
	if d := cmp.Diff(want, nextWake(t, sub, patience)); d != "" {
		t.Fatal(d)
	}
}

// expectWakes wants these in any order, each at least once, and no others.
func expectWakes(t testing.TB, sub *Subscription, want ...Wake) {
	t.Helper()
	missing := map[Wake]bool{}
	for _, w := range want {
		missing[w] = true
	}
	for len(missing) > 0 {
		w := nextWake(t, sub, patience)
		if !missing[w] {
			t.Fatalf("wake-up %+v, want %+v", w, missing)
		}
		delete(missing, w)
	}
}

func expectSilence(t testing.TB, sub *Subscription) {
	t.Helper()
	select {
	case w := <-sub.C():
		t.Fatalf("wake-up %+v, want none", w)
	case <-time.After(50 * time.Millisecond):
	}
}

func untilResubscribed(t testing.TB, sub *Subscription, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; {
		if nextWake(t, sub, time.Until(end)).Kind == KindResubscribed {
			return
		}
	}
}

func TestSubscriptionHearsWhatItAskedFor(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		one := b.Subscribe(t.Context(), Channels{UniqSigns: []cluster.UniqSign{sign}})
		all := b.Subscribe(t.Context(), Channels{All: true, UniqSigns: []cluster.UniqSign{sign}})
		topic := b.Subscribe(t.Context(), Channels{Topic: true})
		for _, sub := range []*Subscription{one, all, topic} {
			untilResubscribed(t, sub, pulse/2)
		}
		s.do(t, "PUBLISH", keysOf("other").look(), "report")
		s.do(t, "PUBLISH", keysOf(sign).look(), "no such kind")
		s.do(t, "PUBLISH", "mmm:{a b}:look", "view")
		s.do(t, "PUBLISH", keysOf(sign).look(), "view")
		s.do(t, "PUBLISH", testTopic, "garbage")
		s.do(t, "PUBLISH", testTopic, "active: a:1, passive: b:2, uniqsign: U")
		expectWake(t, one, Wake{UniqSign: sign, Kind: KindView})
		expectWakes(t, all, Wake{UniqSign: "other", Kind: KindReport}, Wake{UniqSign: sign, Kind: KindView})
		expectWakes(t, topic, Wake{Kind: KindMessage, Message: "garbage"},
			Wake{UniqSign: "U", Kind: KindMessage, Message: "active: a:1, passive: b:2, uniqsign: U"})
		for _, sub := range []*Subscription{one, all, topic} {
			expectSilence(t, sub)
		}
		one.Close()
		one.Close()
		if _, open := <-one.C(); open {
			t.Error("the channel is open after Close")
		}
		ok(t, b.Close())
		if _, open := <-all.C(); open {
			t.Error("the channel is open after the bus was closed")
		}
	})
}

func TestWakesOfASlowReaderBecomeOneAndNoneIsLost(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	sub := b.Subscribe(t.Context(), Channels{All: true, Topic: true})
	defer sub.Close()
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	pipe := s.raw.Pipeline()
	const n = 5000
	for i := range n {
		pipe.Publish(t.Context(), keysOf(sign).look(), KindView)
		pipe.Publish(t.Context(), keysOf("other").look(), KindView)
		pipe.Publish(t.Context(), testTopic, fmt.Sprintf("active: a:%d, passive: b:1, uniqsign: U", i+1))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts := map[cluster.UniqSign]int{}
	for last := fmt.Sprintf("active: a:%d, passive: b:1, uniqsign: U", n); ; {
		w := nextWake(t, sub, patience)
		counts[w.UniqSign]++
		if w.Message == last {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for u, c := range counts {
		if c > n/10 {
			t.Errorf("%d wake-ups of %s were not coalesced", c, u)
		}
	}
	if len(counts) != 3 {
		t.Errorf("wake-ups of %v", counts)
	}
}

func TestWakesBeyondAllBoundsBecomeResubscribed(t *testing.T) {
	q := newWakes()
	for i := range mostWakes + 1 {
		q.add(Wake{UniqSign: cluster.UniqSign(fmt.Sprint(i)), Kind: KindView})
	}
	if w, _ := q.take(); w != (Wake{Kind: KindResubscribed}) {
		t.Errorf("first %+v", w)
	}
	if w, waits := q.take(); waits {
		t.Errorf("then %+v", w)
	}
}

func TestTheNewestMessageReplacesOneThatWaits(t *testing.T) {
	q := newWakes()
	ctx, cancel := context.WithCancel(t.Context())
	c := make(chan Wake)
	var pumping sync.WaitGroup
	pumping.Go(func() { q.pump(ctx, c) })
	defer pumping.Wait()
	defer cancel()
	q.add(Wake{UniqSign: "u", Kind: KindMessage, Message: "old"})
	q.settle(t, 0)
	q.add(Wake{UniqSign: "v", Kind: KindMessage, Message: "other"})
	q.add(Wake{UniqSign: "u", Kind: KindMessage, Message: "new"})
	q.settle(t, 1)
	if first, second := <-c, <-c; first.Message != "new" || second.Message != "other" {
		t.Errorf("%q, then %q", first.Message, second.Message)
	}
}

// settle waits until the pump holds one wake-up and n more wait behind it.
func (q *wakes) settle(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		q.mu.Lock()
		settled := len(q.filled) == 0 && len(q.order) == n
		q.mu.Unlock()
		if settled {
			return
		}
	}
	t.Fatalf("more than %d wake-ups wait", n)
}

func TestSubscriptionSurvivesKillsOfRedis(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	sub := b.Subscribe(t.Context(), Channels{All: true, Topic: true})
	defer sub.Close()
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	for range 3 {
		s.real.kill()
		if err := b.Ping(t.Context()); err == nil {
			t.Fatal("a dead redis answers")
		}
		// More failures than the pool has places: it must not then lag behind.
		for range 3 * poolSize {
			_ = b.Ping(t.Context())
		}
		ok(t, s.real.start())
		back := time.Now()
		ok(t, b.Ping(t.Context()))
		untilResubscribed(t, sub, 1500*time.Millisecond)
		t.Logf("resubscribed %s after redis answered", time.Since(back).Round(time.Millisecond))
		lead(t, b, "one")
		ok(t, b.SaveVerdict(t.Context(), sign, cluster.Verdict{Leader: "one"}))
		expectWake(t, sub, Wake{UniqSign: sign, Kind: KindVerdict})
	}
}

func TestSubscriptionSurvivesKilledConnections(t *testing.T) {
	s := newReal(t)
	b := s.bus(t)
	sub := b.Subscribe(t.Context(), Channels{All: true})
	defer sub.Close()
	for range 3 {
		untilResubscribed(t, sub, 3*time.Second)
		s.do(t, "CLIENT", "KILL", "TYPE", "pubsub")
	}
	untilResubscribed(t, sub, 3*time.Second)
	s.do(t, "PUBLISH", keysOf(sign).look(), KindView)
	expectWake(t, sub, Wake{UniqSign: sign, Kind: KindView})
}

func TestSubscriptionNoticesASilentlyDeadConnection(t *testing.T) {
	s := newReal(t)
	p := newProxy(t, s.addr)
	b := newBus(t, Options{Addr: p.addr()})
	sub := b.Subscribe(t.Context(), Channels{All: true})
	defer sub.Close()
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	began := time.Now()
	p.freeze()
	untilResubscribed(t, sub, 3*time.Second)
	t.Logf("noticed and replaced after %s", time.Since(began).Round(time.Millisecond))
	s.do(t, "PUBLISH", keysOf(sign).look(), KindView)
	expectWake(t, sub, Wake{UniqSign: sign, Kind: KindView})
}

func TestSubscriptionSurvivesAFrozenRedis(t *testing.T) {
	s := newReal(t)
	b := newBus(t, Options{Addr: s.addr, ReadTimeout: 200 * time.Millisecond})
	sub := b.Subscribe(t.Context(), Channels{All: true})
	defer sub.Close()
	expectWake(t, sub, Wake{Kind: KindResubscribed})
	s.real.signal(t, syscall.SIGSTOP)
	began := time.Now()
	err := b.Ping(t.Context())
	if err == nil || time.Since(began) > time.Second {
		t.Errorf("ping of a frozen redis: %v after %s", err, time.Since(began))
	}
	time.Sleep(2500 * time.Millisecond)
	s.real.signal(t, syscall.SIGCONT)
	untilResubscribed(t, sub, 3*time.Second)
	s.do(t, "PUBLISH", keysOf(sign).look(), KindReport)
	expectWake(t, sub, Wake{UniqSign: sign, Kind: KindReport})
}

func TestSubscriptionWaitsForARedisThatIsNotThere(t *testing.T) {
	b := newBus(t, Options{Addr: freeAddr(t)})
	ctx, cancel := context.WithCancel(t.Context())
	sub := b.Subscribe(ctx, Channels{All: true})
	expectSilence(t, sub)
	cancel()
	select {
	case <-sub.C():
	case <-time.After(patience):
		t.Fatal("the subscription outlives its context")
	}
	sub.Close()
	none := b.Subscribe(t.Context(), Channels{})
	expectSilence(t, none)
	none.Close()
}

// proxy forwards TCP and can fall silent without closing anything.
type proxy struct {
	t      *testing.T
	l      net.Listener
	target string
	frozen atomic.Int64 // connections up to this number are silent
	number atomic.Int64
	conns  sync.WaitGroup
	mu     sync.Mutex
	open   []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	p := &proxy{t: t, l: l, target: target}
	p.conns.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.conns.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }
func (p *proxy) freeze()      { p.frozen.Store(p.number.Load()) }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		n := p.number.Add(1)
		p.mu.Lock()
		p.open = append(p.open, in, out)
		p.mu.Unlock()
		p.conns.Go(func() { p.copy(n, in, out) })
		p.conns.Go(func() { p.copy(n, out, in) })
	}
}

func (p *proxy) copy(n int64, from, to net.Conn) {
	buf := make([]byte, 4096)
	for {
		m, err := from.Read(buf)
		if p.frozen.Load() >= n {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if m > 0 {
			_, _ = to.Write(buf[:m])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}
