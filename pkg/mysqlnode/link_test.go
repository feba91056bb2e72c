package mysqlnode

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// linked are n links and the servers' ends of them.
func linked(t testing.TB, n int) (links []*link, servers []*net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range n {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		one, err := newLink(raw.(*net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = one.Close(), server.Close() })
		links, servers = append(links, one), append(servers, server.(*net.TCPConn))
	}
	return links, servers
}

func come(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("not told: %s", what)
	}
}

// More ends at once than are fetched at once, each told to whom it concerns: by FIN, by RST, and
// with words before either that nobody reads.
func TestManyLinksEndAtOnce(t *testing.T) {
	links, servers := linked(t, 300)
	told := make([]chan struct{}, len(links))
	for i, l := range links {
		told[i] = make(chan struct{})
		l.onEnd(func() { close(told[i]) })
	}
	stay := func(i int) bool { return i%3 == 0 }
	for i, s := range servers {
		if i%2 == 0 {
			if _, err := s.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
		}
		if !stay(i) {
			if i%4 < 2 {
				_ = s.SetLinger(0)
			}
			_ = s.Close()
		}
	}
	for i, l := range links {
		if !stay(i) {
			come(t, fmt.Sprintf("the end of link %d", i), told[i])
			come(t, fmt.Sprintf("that link %d is broken", i), l.broken)
			continue
		}
		select {
		case <-told[i]:
			t.Errorf("link %d ended with others", i)
		default:
		}
		if l.gone() {
			t.Errorf("link %d is gone with others", i)
		}
	}
}

// Whoever takes long over one end, or closes the link upon it, holds up nobody.
func TestWhoHearsOfAnEndHoldsUpNobody(t *testing.T) {
	links, servers := linked(t, 3)
	done := make(chan struct{})
	told := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	links[0].onEnd(func() { close(told[0]); <-done })
	links[1].onEnd(func() { _ = links[1].Close(); close(told[1]) })
	links[2].onEnd(func() { close(told[2]) })
	for i, s := range servers {
		_ = s.Close()
		come(t, fmt.Sprintf("the end of link %d", i), told[i])
	}
	closed := make(chan struct{})
	go func() { _ = links[0].Close(); close(closed) }()
	come(t, "a link is closed while its end is told", closed)
	close(done)
}

// Links come and go, some by both hands at once, each on a descriptor that others had: none hears of the
// end of another, and after the last one nothing is left, again and again.
func TestLinksComeAndGo(t *testing.T) {
	old := goleak.IgnoreCurrent()
	before := openFiles(t)
	for range 20 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 3 {
					links, servers := linked(t, 4)
					kept := make(chan struct{}, 1)
					links[0].onEnd(func() { kept <- struct{}{} })
					_ = links[1].Close()
					_ = servers[2].Close()
					<-links[2].broken
					var both sync.WaitGroup
					both.Go(func() { _ = servers[3].Close() })
					both.Go(func() { _ = links[3].Close() })
					both.Wait()
					if len(kept) > 0 || links[0].gone() {
						t.Error("told of the end of another")
					}
					_ = links[0].Close()
					for i := range links {
						_, _ = servers[i].Close(), links[i].Close()
					}
				}
			})
		}
		all.Wait()
	}
	eventually(t, 5*time.Second, "no descriptor is left open", func() bool { return openFiles(t) <= before })
	goleak.VerifyNone(t, old)
}

// From the end of a connection, by RST or FIN, until it is told.
func BenchmarkEndOfALinkIsTold(b *testing.B) {
	for _, others := range []int{0, 1000} {
		for _, linger := range []int{0, -1} {
			b.Run(fmt.Sprintf("beside %d, linger %d", others, linger), func(b *testing.B) {
				idle, _ := linked(b, others)
				var took []time.Duration
				for b.Loop() {
					links, servers := linked(b, 1)
					told := make(chan time.Time, 1)
					links[0].onEnd(func() { told <- time.Now() })
					_ = servers[0].SetLinger(linger)
					runtime.Gosched()
					began := time.Now()
					_ = servers[0].Close()
					took = append(took, (<-told).Sub(began))
					_ = links[0].Close()
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "µs-median")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "µs-p99")
				for _, l := range idle {
					_ = l.Close()
				}
			})
		}
	}
}
