package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const bridge = "br0"

// host is a network namespace whose outer end is plugged into the bridge.
type host struct {
	outer, address string
	jobs           chan func()
}

// do runs a function in the host's network namespace.
func (h *host) do(f func() error) error {
	done := make(chan error, 1)
	h.jobs <- func() { done <- f() }
	return <-done
}

func ip(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}

func newBridge(t *testing.T) {
	t.Helper()
	must(t, ip("link add "+bridge+" type bridge"))
	must(t, ip("link set "+bridge+" up"))
	must(t, ip("addr add 10.7.0.254/24 dev "+bridge))
	t.Cleanup(func() { must(t, ip("link del "+bridge)) })
}

func newHost(t *testing.T, number int) *host {
	t.Helper()
	h := &host{fmt.Sprintf("o%d", number), fmt.Sprintf("10.7.0.%d", number), make(chan func())}
	ready := make(chan error)
	tid := 0
	go func() {
		runtime.LockOSThread() // for good: nobody else gets the thread
		tid = unix.Gettid()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for job := range h.jobs {
			job()
		}
	}()
	must(t, <-ready)
	t.Cleanup(func() { close(h.jobs) })
	must(t, ip(fmt.Sprintf("link add %s type veth peer name i%d", h.outer, number)))
	must(t, ip(fmt.Sprintf("link set i%d netns /proc/%d/task/%d/ns/net", number, unix.Getpid(), tid)))
	must(t, ip("link set "+h.outer+" master "+bridge+" up"))
	t.Cleanup(func() { must(t, ip("link del "+h.outer)) })
	must(t, h.do(func() error {
		return errors.Join(ip(fmt.Sprintf("addr add %s/24 dev i%d", h.address, number)), ip(fmt.Sprintf("link set i%d up", number)))
	}))
	must(t, running(t.Context(), h.outer))
	return h
}

// connect gives both ends of a TCP connection from a to b.
func connect(t *testing.T, a, b *host) (from, to net.Conn) {
	t.Helper()
	var listener net.Listener
	must(t, b.do(func() (err error) {
		listener, err = net.Listen("tcp", b.address+":0")
		return err
	}))
	defer listener.Close()
	must(t, a.do(func() (err error) {
		from, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
		return err
	}))
	to, err := listener.Accept()
	must(t, err)
	for _, c := range []net.Conn{from, to} {
		must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		t.Cleanup(func() { c.Close() })
	}
	return from, to
}

// trips measures round trips of a byte and gives the median.
func trips(t *testing.T, from, to net.Conn, n int) time.Duration {
	t.Helper()
	var took []time.Duration
	b := make([]byte, 1)
	for range n {
		started := time.Now()
		for _, c := range [][2]net.Conn{{from, to}, {to, from}} {
			_, err := c[0].Write(b)
			must(t, err)
			_, err = io.ReadFull(c[1], b)
			must(t, err)
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// Connections that were open before live on, and are slow while the link is.
func TestRoundTrips(t *testing.T) {
	newBridge(t)
	a, b, c := newHost(t, 1), newHost(t, 2), newHost(t, 3)
	from, to := connect(t, a, b)
	aside, other := connect(t, b, c)
	const delay = 100 * time.Millisecond
	fast := trips(t, from, to, 50)
	relay := slowed(t, a, Options{Delay: delay, Jitter: time.Millisecond})
	if _, err := Slow(t.Context(), a.outer, bridge, Options{}); err == nil {
		t.Error("a slow link is made slow again")
	}
	during := trips(t, from, to, 10)
	beside := trips(t, aside, other, 50)
	fresh, answer := connect(t, c, a)
	during2 := trips(t, fresh, answer, 5)
	must(t, relay.Stop())
	after, after2 := trips(t, from, to, 50), trips(t, fresh, answer, 50)
	t.Logf("round trips before %v, during %v, of a new connection %v, of other hosts %v, after %v and %v; %+v",
		fast, during, during2, beside, after, after2, relay.Stats())
	for _, d := range []time.Duration{during, during2} {
		if d < 2*delay || d > 2*delay+2*time.Second {
			t.Errorf("a round trip takes %v with %v each way", d, delay)
		}
	}
	for _, d := range []time.Duration{fast, beside, after, after2} {
		if d > delay/2 {
			t.Errorf("a round trip takes %v on a link that is not slow", d)
		}
	}
	must(t, relay.Stop())
	if link, err := net.InterfaceByName(a.outer); err != nil || strings.Contains(ports(t), "slow") || !strings.Contains(ports(t), a.outer+"@") {
		t.Errorf("after Stop: %v %v, ports %s", link, err, ports(t))
	}
}

func slowed(t *testing.T, h *host, opts Options) *Relay {
	t.Helper()
	relay, err := Slow(t.Context(), h.outer, bridge, opts)
	must(t, err)
	t.Cleanup(func() { must(t, relay.Stop()) })
	return relay
}

func ports(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "-o", "link", "show", "master", bridge).CombinedOutput()
	must(t, err)
	return string(out)
}

// Both ways at once a stream brings every byte, once and in order, while its
// link changes all the time.
func TestStreamsSurviveSwitching(t *testing.T) {
	newBridge(t)
	a, b := newHost(t, 1), newHost(t, 2)
	from, to := connect(t, a, b)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var streams sync.WaitGroup
	var mu sync.Mutex
	moved := map[string]int64{}
	stream := func(name string, w, r net.Conn) {
		streams.Go(func() {
			b := make([]byte, 32<<10)
			for n := uint64(0); ctx.Err() == nil; {
				for i := 0; i < len(b); i += 8 {
					binary.BigEndian.PutUint64(b[i:], n)
					n++
				}
				if _, err := w.Write(b); err != nil {
					t.Error(err)
					break
				}
			}
			if err := w.(*net.TCPConn).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		streams.Go(func() {
			b := make([]byte, 32<<10)
			for n := uint64(0); ; {
				_, err := io.ReadFull(r, b)
				if err == io.EOF {
					return
				}
				for i := 0; err == nil && i < len(b); i += 8 {
					if got := binary.BigEndian.Uint64(b[i:]); got != n {
						err = fmt.Errorf("number %d instead of %d", got, n)
					}
					n++
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				moved[name] += int64(len(b))
				mu.Unlock()
			}
		})
	}
	stream("there", from, to)
	stream("back", to, from)
	more := func(bytes int64) {
		t.Helper()
		mu.Lock()
		there, back := moved["there"]+bytes, moved["back"]+bytes
		mu.Unlock()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
			mu.Lock()
			done := moved["there"] >= there && moved["back"] >= back
			mu.Unlock()
			if done {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the streams stand: %v", moved)
			}
		}
	}
	for _, opts := range []Options{{}, {Delay: 2 * time.Millisecond, Jitter: time.Millisecond}, {Delay: time.Millisecond, Loss: 0.1, Seed: 7}, {Delay: 5 * time.Millisecond}} {
		started := time.Now()
		more(1 << 20)
		relay := slowed(t, a, opts)
		more(1 << 20)
		must(t, relay.Stop())
		more(1 << 20)
		t.Logf("%+v: %v, %+v", opts, time.Since(started), relay.Stats())
		if opts.Loss == 0 && relay.Stats().Dropped > 0 {
			t.Logf("the queue was full at times")
		}
	}
	stop()
	streams.Wait()
}

// What a switch loses or doubles shows in datagrams, which nobody repeats: at most
// a few milliseconds of them now and then, where the kernel closes a port, and
// none of those that wait in the relay.
func TestDatagramsSurviveSwitching(t *testing.T) {
	newBridge(t)
	a, b := newHost(t, 1), newHost(t, 2)
	var left, right *net.UDPConn
	for h, c := range map[*host]**net.UDPConn{a: &left, b: &right} {
		must(t, h.do(func() (err error) {
			*c, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(h.address), Port: 7000})
			return err
		}))
		defer (*c).Close()
		must(t, (*c).SetReadBuffer(8<<20))
	}
	const each = 8000
	var all sync.WaitGroup
	counts := map[string][]int{}
	for name, c := range map[string][2]*net.UDPConn{"there": {left, right}, "back": {right, left}} {
		count := make([]int, each)
		counts[name] = count
		target := c[1].LocalAddr()
		all.Go(func() {
			tick := time.NewTicker(500 * time.Microsecond)
			defer tick.Stop()
			for n := 0; n < each; {
				<-tick.C
				for end := n + 4; n < end; n++ {
					if _, err := c[0].WriteTo(binary.BigEndian.AppendUint32(nil, uint32(n)), target); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		all.Go(func() {
			var b [4]byte
			for got := 0; got < each; got++ {
				_ = c[1].SetReadDeadline(time.Now().Add(2 * time.Second))
				if _, err := io.ReadFull(c[1], b[:]); err != nil {
					return
				}
				count[binary.BigEndian.Uint32(b[:])]++
			}
		})
	}
	switches := 0
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for running := true; running; switches += 2 {
		started := time.Now()
		relay := slowed(t, a, Options{Delay: 100 * time.Millisecond}) // longer than a switch takes
		there := time.Since(started)
		<-time.After(20 * time.Millisecond)
		started = time.Now()
		must(t, relay.Stop())
		t.Logf("switched in %v and back in %v", there, time.Since(started))
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	for name, count := range counts {
		lost, doubled := 0, 0
		for _, n := range count {
			switch {
			case n == 0:
				lost++
			case n > 1:
				doubled += n - 1
			}
		}
		t.Logf("%s: %d sent over %d switches, %d lost, %d doubled", name, each, switches, lost, doubled)
		if lost > each/30 || doubled > each/100 {
			t.Errorf("%s: %d lost, %d doubled", name, lost, doubled)
		}
	}
}

// transfer gives the throughput of bulk data in bytes per second.
func transfer(t *testing.T, from, to net.Conn, bytes int64) float64 {
	t.Helper()
	started := time.Now()
	go func() { _, _ = io.CopyN(from, zeros{}, bytes) }()
	_, err := io.CopyN(io.Discard, to, bytes)
	must(t, err)
	return float64(bytes) / time.Since(started).Seconds()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestThroughput(t *testing.T) {
	newBridge(t)
	a, b := newHost(t, 1), newHost(t, 2)
	from, to := connect(t, a, b)
	const mega = 1 << 20
	fast := transfer(t, from, to, 256*mega)
	relay := slowed(t, a, Options{Delay: 20 * time.Millisecond})
	delayed := transfer(t, from, to, 4*mega)
	// The old one has learnt a round trip of microseconds and starts carefully.
	fresh, freshTo := connect(t, a, b)
	delayedFresh := transfer(t, fresh, freshTo, 64*mega)
	stats := relay.Stats()
	must(t, relay.Stop())
	relay = slowed(t, a, Options{Rate: 4 * mega})
	limited := transfer(t, from, to, 4*mega)
	must(t, relay.Stop())
	relay = slowed(t, a, Options{Delay: 2 * time.Millisecond, Loss: 2, Seed: 1})
	lossy := transfer(t, from, to, 4*mega)
	lost := relay.Stats()
	must(t, relay.Stop())
	t.Logf("MB/s: %.0f direct, %.1f and, on a new connection, %.1f with 20 ms each way (%+v), %.2f with 4 MB/s, %.1f with 2 %% loss (%+v)",
		fast/mega, delayed/mega, delayedFresh/mega, stats, limited/mega, lossy/mega, lost)
	if delayed < mega/20 || delayedFresh < mega/2 {
		t.Errorf("%.1f and %.1f MB/s with 20 ms each way", delayed/mega, delayedFresh/mega)
	}
	if limited < mega/10 || limited > 5*mega {
		t.Errorf("%.1f MB/s on a link of 4 MB/s", limited/mega)
	}
	if lost.Dropped == 0 {
		t.Error("no frame was lost of 2 %")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
