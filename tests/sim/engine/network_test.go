package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// session is what the test's server keeps of a client.
type session struct {
	end   *engine.End
	asked int
}

// lan is a client's host and a server's, 1 to 2 ms apart, with one process each.
type lan struct {
	e              *engine.Engine
	net            *engine.Network
	here, there    *engine.Host
	client, server *engine.Process
	port           *engine.Port[*session]
	sessions       []*session
	l              log
}

func newLAN(t testing.TB) *lan {
	e := world(t)
	x := &lan{e: e, net: e.Network(engine.Link{Low: time.Millisecond, High: 2 * time.Millisecond}, engine.Link{})}
	x.here, x.there = x.net.Host("here"), x.net.Host("there")
	x.client = x.here.Process("client", engine.Clock{})
	x.serve()
	return x
}

// serve begins the server.
func (x *lan) serve() {
	x.server = x.there.Process("server", engine.Clock{})
	x.port = engine.Listen(x.server, func(end *engine.End) *session {
		s := &session{end: end}
		end.OnBroken(func() { x.l.add("the server loses its client") })
		x.sessions = append(x.sessions, s)
		return s
	})
}

// in has f run as a coroutine of the client with a limit of 10 s.
func (x *lan) in(f func(ctx context.Context)) {
	x.client.Go(func() {
		ctx, cancel := x.client.Runtime().Timeout(background, 10*time.Second)
		defer cancel()
		f(ctx)
	})
}

func (x *lan) dial(ctx context.Context) *engine.Conn[*session] {
	began := x.e.Now()
	c, err := engine.Dial(ctx, x.client, x.port)
	if err != nil {
		x.l.add("dial: %v after %s", err, (x.e.Now() - began).Round(10*time.Millisecond))
	}
	return c
}

func (x *lan) ask(ctx context.Context, c *engine.Conn[*session], what string) {
	began := x.e.Now()
	answer, err := engine.Ask(ctx, c, func(s *session, reply func(string, error)) {
		s.asked++
		reply(fmt.Sprint(what, " ", s.asked), nil)
	})
	if err != nil {
		answer = err.Error()
	}
	x.l.add("%s after %s", answer, (x.e.Now() - began).Round(10*time.Millisecond))
}

func (x *lan) sleep(d time.Duration) { _ = sched.Sleep(background, x.client.Runtime(), d) }

func TestDatagramsAreLateLostOrTwice(t *testing.T) {
	e := world(t)
	net := e.Network(engine.Link{Low: time.Millisecond, High: 3 * time.Millisecond}, engine.Link{Low: 5, High: 6})
	a, b := net.Host("a"), net.Host("b")
	send := func(from, to *engine.Host, n int) (got []int, least, most time.Duration) {
		least = time.Hour
		sent := e.Now()
		for i := range n {
			net.Send(from, to, func() {
				got = append(got, i)
				least, most = min(least, e.Now()-sent), max(most, e.Now()-sent)
			})
		}
		e.Until(e.Now() + time.Second)
		return got, least, most
	}
	got, least, most := send(a, b, 1000)
	if len(got) != 1000 || slices.IsSorted(got) || least < time.Millisecond || most >= 3*time.Millisecond || most < 2900*time.Microsecond {
		t.Errorf("%d within %s and %s, in order: %t", len(got), least, most, slices.IsSorted(got))
	}
	if _, least, most := send(a, a, 100); least != 5 || most != 5 {
		t.Errorf("to itself between %s and %s", least, most)
	}
	net.SetLink(a, b, engine.Link{Lose: 300, Twice: 500})
	if got, _, _ := send(a, b, 10_000); len(got) < 10_000 || len(got) > 11_000 {
		t.Errorf("%d of 10000 with 3 of 10 lost and every second of the others twice", len(got))
	}
	if got, _, _ := send(b, a, 100); len(got) != 100 {
		t.Errorf("%d of 100 the other way", len(got))
	}
	net.Cut(a, b)
	if got, _, _ := send(a, b, 100); len(got) != 0 {
		t.Errorf("%d over a cut", len(got))
	}
	if got, _, _ := send(b, a, 100); len(got) != 100 {
		t.Errorf("%d of 100 against a cut", len(got))
	}
	net.Heal(a, b)
	b.Freeze()
	for _, way := range [][2]*engine.Host{{a, b}, {b, a}} {
		if got, _, _ := send(way[0], way[1], 100); len(got) != 0 {
			t.Errorf("%d with one frozen", len(got))
		}
	}
}

func TestInOrderKeepsTheOrder(t *testing.T) {
	e := world(t)
	net := e.Network(engine.Link{Low: time.Millisecond, High: 3 * time.Millisecond}, engine.Link{})
	a, b := net.Host("a"), net.Host("b")
	o := net.InOrder()
	var got []int
	for i := range 300 {
		if i == 100 {
			net.Cut(a, b)
		}
		if i == 200 {
			net.Heal(a, b)
		}
		o.Send(a, b, func() { got = append(got, i) })
	}
	drain(e)
	if len(got) != 200 || !slices.IsSorted(got) || got[100] != 200 {
		t.Errorf("%v", got)
	}
}

func TestDial(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(x *lan)
		want []string
	}{
		{"a port", func(*lan) {}, []string{"hi 1 after 0s"}},
		{"a refusing one", func(x *lan) { x.port.Door = engine.Refusing }, []string{"dial: connection refused after 0s"}},
		{"a resetting one", func(x *lan) { x.port.Door = engine.Resetting }, []string{"dial: connection reset by peer after 0s"}},
		{"a silent one", func(x *lan) { x.port.Door = engine.Silent }, []string{"dial: context deadline exceeded after 10s"}},
		{"a dead process", func(x *lan) { x.server.Kill() }, []string{"dial: connection refused after 0s"}},
		{"a host that is down", func(x *lan) { x.there.Crash() }, []string{"dial: context deadline exceeded after 10s"}},
		{"a host that boots again", func(x *lan) {
			x.there.Crash()
			x.e.After(2*time.Second, x.there.Boot)
		}, []string{"dial: connection refused after 3s"}},
		{"over a cut", func(x *lan) { x.net.CutBoth(x.here, x.there) }, []string{"dial: context deadline exceeded after 10s"}},
		{"with only the way there cut", func(x *lan) { x.net.Cut(x.here, x.there) }, []string{"dial: context deadline exceeded after 10s"}},
		{"with only the way back cut", func(x *lan) { x.net.Cut(x.there, x.here) }, []string{"dial: context deadline exceeded after 10s"}},
		{"over a cut that heals", func(x *lan) {
			x.net.CutBoth(x.here, x.there)
			x.e.After(2*time.Second, func() { x.net.HealBoth(x.here, x.there) })
		}, []string{"hi 1 after 0s", "dialled in 3s"}},
		// The kernel accepts for a stopped process; what is asked waits for it.
		{"a paused process", func(x *lan) {
			x.server.Pause()
			x.e.After(5*time.Second, x.server.Resume)
		}, []string{"hi 1 after 5s"}},
		{"a frozen host", func(x *lan) {
			x.there.Freeze()
			x.e.After(2*time.Second, x.there.Thaw)
		}, []string{"hi 1 after 0s", "dialled in 3s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newLAN(t)
			c.do(x)
			x.in(func(ctx context.Context) {
				began := x.e.Now()
				conn := x.dial(ctx)
				took := (x.e.Now() - began).Round(10 * time.Millisecond)
				if conn == nil {
					return
				}
				x.ask(ctx, conn, "hi")
				if took > 0 {
					x.l.add("dialled in %s", took)
				}
			})
			x.e.Until(20 * time.Second)
			x.l.want(t, c.want...)
		})
	}
	t.Run("gives up by itself", func(t *testing.T) {
		x := newLAN(t)
		x.port.Door = engine.Silent
		x.client.Go(func() { x.dial(background) })
		drain(x.e)
		x.l.want(t, "dial: connection timed out after 2m7s")
	})
}

func TestStreams(t *testing.T) {
	for _, c := range []struct {
		name string
		// do runs when the stream has been in use for a while; then the client asks
		// once more, within 10 s.
		do   func(x *lan)
		want []string
	}{
		{"alive", func(*lan) {}, []string{"b 2 after 0s"}},
		{"the server dies", func(x *lan) { x.server.Kill() },
			[]string{"the client is told", "connection reset by peer after 0s"}},
		{"the server dies long before", func(x *lan) { x.server.Kill(); x.sleep(time.Second) },
			[]string{"the client is told", "connection reset by peer after 0s"}},
		{"the server closes the session", func(x *lan) { x.sessions[0].end.Close() },
			[]string{"the client is told", "connection reset by peer after 0s"}},
		{"its host crashes", func(x *lan) { x.there.Crash() },
			[]string{"context deadline exceeded after 10s"}},
		{"its host boots again", func(x *lan) {
			x.there.Crash()
			x.e.After(time.Second, func() { x.there.Boot(); x.serve() })
		}, []string{"the client is told", "connection reset by peer in time"}},
		{"its host boots again behind a cut of the way back", func(x *lan) {
			x.there.Crash()
			x.net.Cut(x.there, x.here)
			x.e.After(time.Second, x.there.Boot)
			x.e.After(3*time.Second, func() { x.net.Heal(x.there, x.here) })
		}, []string{"the client is told", "connection reset by peer in time"}},
		{"its host boots again and nobody sends", func(x *lan) {
			x.there.Crash()
			x.e.After(time.Second, func() { x.there.Boot(); x.serve() })
			x.sleep(5 * time.Second)
			x.l.add("nobody is told")
		}, []string{"nobody is told", "the client is told", "connection reset by peer after 0s"}},
		{"the network is cut", func(x *lan) { x.net.CutBoth(x.here, x.there) },
			[]string{"context deadline exceeded after 10s"}},
		{"the way there is cut", func(x *lan) { x.net.Cut(x.here, x.there) },
			[]string{"context deadline exceeded after 10s"}},
		{"the way back is cut: it is done, and not known", func(x *lan) {
			x.net.Cut(x.there, x.here)
			x.e.After(5*time.Second, func() { x.l.add("done %d", x.sessions[0].asked) })
		}, []string{"done 2", "context deadline exceeded after 10s"}},
		{"a cut that heals", func(x *lan) {
			x.net.CutBoth(x.here, x.there)
			x.e.After(time.Second, func() { x.net.HealBoth(x.here, x.there) })
		}, []string{"b 2 in time"}},
		{"the server dies behind a cut", func(x *lan) {
			x.net.CutBoth(x.here, x.there)
			x.server.Kill()
		}, []string{"context deadline exceeded after 10s"}},
		{"the server dies behind a cut that heals", func(x *lan) {
			x.net.CutBoth(x.here, x.there)
			x.server.Kill()
			x.e.After(time.Second, func() { x.net.HealBoth(x.here, x.there) })
		}, []string{"the client is told", "connection reset by peer in time"}},
		{"the server dies on a frozen host", func(x *lan) { x.there.Freeze(); x.server.Kill() },
			[]string{"context deadline exceeded after 10s"}},
		{"the host is frozen", func(x *lan) { x.there.Freeze() },
			[]string{"context deadline exceeded after 10s"}},
		{"the host is frozen for a while", func(x *lan) {
			x.there.Freeze()
			x.e.After(2*time.Second, x.there.Thaw)
		}, []string{"b 2 in time"}},
		{"the server is paused", func(x *lan) { x.server.Pause() },
			[]string{"context deadline exceeded after 10s"}},
		{"the server is paused for a while", func(x *lan) {
			x.server.Pause()
			x.e.After(5*time.Second, x.server.Resume)
		}, []string{"b 2 after 5s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newLAN(t)
			x.client.Go(func() {
				rt := x.client.Runtime()
				conn := x.dial(background)
				conn.OnBroken(func() { x.l.add("the client is told") })
				x.ask(background, conn, "a")
				x.sleep(time.Second)
				x.l = nil
				c.do(x)
				ctx, cancel := rt.Timeout(background, 10*time.Second)
				defer cancel()
				x.ask(ctx, conn, "b")
			})
			x.e.Until(30 * time.Second)
			for i, was := range x.l {
				// What is sent again comes when it comes.
				what, after, _ := strings.Cut(was, " after ")
				if i >= len(c.want) || c.want[i] != what+" in time" {
					continue
				}
				took, err := time.ParseDuration(after)
				if err != nil || took < time.Second || took > 7*time.Second {
					t.Errorf("%s took %s (%v)", what, after, err)
				}
				x.l[i] = c.want[i]
			}
			x.l.want(t, c.want...)
		})
	}
}

func TestTheServerIsToldWhenItsClientEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(x *lan, conn *engine.Conn[*session])
		want []string
	}{
		{"closes", func(x *lan, conn *engine.Conn[*session]) { conn.Close(); conn.Close() },
			[]string{"the server loses its client", "ask: use of closed network connection"}},
		{"dies", func(x *lan, _ *engine.Conn[*session]) { x.e.After(0, x.client.Kill); x.sleep(time.Second) },
			[]string{"the server loses its client"}},
		{"dies of itself", func(x *lan, _ *engine.Conn[*session]) { x.client.Kill(); x.l.add("goes on") },
			[]string{"the server loses its client"}},
		{"crashes with its host", func(x *lan, _ *engine.Conn[*session]) { x.e.After(0, x.here.Crash); x.sleep(time.Second) }, nil},
		{"crashes its own host", func(x *lan, _ *engine.Conn[*session]) { x.here.Crash(); x.l.add("goes on") }, nil},
		{"dies behind a cut", func(x *lan, _ *engine.Conn[*session]) { x.net.Cut(x.here, x.there); x.client.Kill() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newLAN(t)
			x.client.Go(func() {
				conn := x.dial(background)
				conn.OnBroken(func() { x.l.add("the client is told") })
				x.ask(background, conn, "a")
				x.l = nil
				c.end(x, conn)
				x.sleep(time.Second)
				_, err := engine.Ask(background, conn, func(*session, func(int, error)) { x.l.add("asked") })
				x.l.add("ask: %v", err)
			})
			x.e.Until(30 * time.Second)
			x.l.want(t, c.want...)
		})
	}
}

// What one side sends comes in order and once, whatever befalls the link, as long
// as nobody ends the stream.
func TestAStreamKeepsItsOrder(t *testing.T) {
	for seed := range uint64(300) {
		e := engine.New(seed)
		net := e.Network(engine.Link{Low: 1, High: 5 * time.Millisecond, Lose: int(e.Between(0, 400)), Twice: 300}, engine.Link{})
		a, b := net.Host("a"), net.Host("b")
		server, client := b.Process("server", engine.Clock{}), a.Process("client", engine.Clock{})
		var there, here []int
		const n = 60
		port := engine.Listen(server, func(end *engine.End) int {
			for i := range n {
				server.After(e.Between(0, time.Second)/n*time.Duration(i), func() {
					end.Send(func() { here = append(here, i) })
				})
			}
			return 0
		})
		client.Go(func() {
			c, err := engine.Dial(background, client, port)
			for err != nil {
				c, err = engine.Dial(background, client, port)
			}
			for i := range n {
				engine.Tell(c, func(int) { there = append(there, i) })
				_ = sched.Sleep(background, client.Runtime(), e.Between(0, 20*time.Millisecond))
			}
		})
		for range 20 {
			faults := []func(){
				func() { net.Cut(a, b) }, func() { net.Heal(a, b) }, func() { net.Cut(b, a) }, func() { net.Heal(b, a) },
				a.Freeze, a.Thaw, b.Freeze, b.Thaw, server.Pause, server.Resume, client.Pause, client.Resume,
			}
			e.After(e.Between(0, 2*time.Second), faults[e.Rand().IntN(len(faults))])
		}
		e.Until(4 * time.Second)
		for _, heal := range []func(){
			func() { net.HealBoth(a, b) }, a.Thaw, b.Thaw, server.Resume, client.Resume,
		} {
			heal()
		}
		e.Until(4 * time.Minute)
		slices.Sort(here) // timers of one instant after a stop have no order of their own
		for _, got := range [][]int{there, here} {
			if len(got) != n || !slices.IsSorted(got) {
				t.Fatalf("seed %d: %v", seed, got)
			}
		}
		e.Close()
	}
}

func TestWhatMeetsACutArrivesAfterTheHealing(t *testing.T) {
	for _, c := range []struct {
		name        string
		cut, heal   time.Duration // after the sending of the first
		second      time.Duration // when another is sent
		least, most time.Duration // that the message takes
	}{
		{"cut and healed before it would have arrived", 0, time.Millisecond, 0, 100 * time.Millisecond, 210 * time.Millisecond},
		{"cut while it is on its way", 50 * time.Millisecond, time.Second, 0, time.Second, 2500 * time.Millisecond},
		{"cut for long", 0, time.Minute, 0, time.Minute, 2*time.Minute + 200*time.Millisecond},
		{"cut when it has arrived", 150 * time.Millisecond, time.Second, 0, 100 * time.Millisecond, 101 * time.Millisecond},
		{"cut and healed between two", 10 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond,
			100 * time.Millisecond, 301 * time.Millisecond},
	} {
		var all []time.Duration
		for seed := range uint64(50) {
			e := engine.New(seed)
			net := e.Network(engine.Link{Low: 100 * time.Millisecond, High: 101 * time.Millisecond}, engine.Link{})
			a, b := net.Host("a"), net.Host("b")
			client := a.Process("client", engine.Clock{})
			port := engine.Listen(b.Process("server", engine.Clock{}), func(*engine.End) int { return 0 })
			var took []time.Duration
			client.Go(func() {
				conn, err := engine.Dial(background, client, port)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				_ = sched.Sleep(background, client.Runtime(), time.Second)
				if c.cut == 0 {
					net.Cut(a, b)
				} else {
					e.After(c.cut, func() { net.Cut(a, b) })
				}
				e.After(c.heal, func() { net.Heal(a, b) })
				sent := e.Now()
				for _, at := range []time.Duration{0, c.second} {
					client.After(at, func() {
						engine.Tell(conn, func(int) { took = append(took, e.Now()-sent) })
					})
				}
			})
			e.Until(5 * time.Minute)
			e.Close()
			if len(took) != 2 || took[0] < c.least || took[1] > c.most {
				t.Errorf("%s, seed %d: %v", c.name, seed, took)
			}
			all = append(all, took...)
		}
		// The moment of the next attempt is drawn.
		if spread := slices.Max(all) - slices.Min(all); spread < (c.most-c.least)/2 {
			t.Errorf("%s: all within %s", c.name, spread)
		}
	}
}

func TestAPushWakesAClientAndNoneComesAfterClose(t *testing.T) {
	x := newLAN(t)
	x.client.Go(func() {
		rt := x.client.Runtime()
		conn := x.dial(background)
		heard := rt.NewSignal()
		engine.Tell(conn, func(s *session) {
			for i := range 3 {
				x.server.After(time.Duration(i)*time.Second, func() {
					s.end.Send(func() { x.l.add("push %d", i); heard.Set() })
				})
			}
		})
		heard.Wait(background, forEver)
		heard.Wait(background, forEver)
		x.l.add("woken twice")
		x.sleep(500 * time.Millisecond)
		x.client.Pause() // the third waits for it, and finds a closed end
		x.e.After(2*time.Second, x.client.Resume)
		x.e.After(2*time.Second, conn.Close)
	})
	x.e.Until(20 * time.Second)
	x.l.want(t, "push 0", "push 1", "woken twice", "the server loses its client")
}

func TestAServerMayAnswerLaterTwiceOrNever(t *testing.T) {
	x := newLAN(t)
	x.in(func(ctx context.Context) {
		conn := x.dial(ctx)
		for _, after := range [][]time.Duration{{time.Second}, {time.Second, 2 * time.Second}, nil} {
			began := x.e.Now()
			v, err := engine.Ask(ctx, conn, func(_ *session, reply func(time.Duration, error)) {
				for _, d := range after {
					x.server.After(d, func() { reply(d, nil) })
				}
			})
			x.l.add("%s %v %s", v, err, (x.e.Now() - began).Round(100*time.Millisecond))
		}
	})
	x.e.Until(20 * time.Second)
	x.l.want(t, "1s <nil> 1s", "1s <nil> 1s", "0s context deadline exceeded 8s")
}

func TestOnBrokenIsCalledOnceAndAlsoWhenItIsLate(t *testing.T) {
	x := newLAN(t)
	x.client.Go(func() {
		conn := x.dial(background)
		conn.OnBroken(func() { x.l.add("in time") })
		x.server.Kill()
		x.sleep(time.Second)
		conn.OnBroken(func() { x.l.add("late") })
		x.l.add("registered")
		x.sleep(time.Second)
		x.l.add("%v", conn.Err())
	})
	x.e.Until(20 * time.Second)
	x.l.want(t, "in time", "registered", "late", "connection reset by peer")
}

func TestAFrozenHostStopsItsProcessesAndAPausedOneStaysSo(t *testing.T) {
	e := world(t)
	net := e.Network(engine.Link{}, engine.Link{})
	h := net.Host("h")
	var l log
	for _, name := range []string{"free", "paused"} {
		p := h.Process(name, engine.Clock{})
		p.Go(func() {
			_ = sched.Sleep(background, p.Runtime(), 2*time.Second)
			l.add("%s at %s", name, e.Now())
		})
		if name == "paused" {
			e.After(1500*time.Millisecond, p.Pause)
			e.After(9*time.Second, p.Resume)
		}
	}
	e.After(time.Second, h.Freeze)
	e.After(5*time.Second, h.Thaw)
	e.After(20*time.Second, h.Crash)
	drain(e)
	l.want(t, "free at 6s", "paused at 10s")
	if p := h.Process("late", engine.Clock{}); p.Alive() || h.Up() {
		t.Error("a process began on a host that is down")
	}
	h.Boot()
	if p := h.Process("again", engine.Clock{}); !p.Alive() || !h.Up() || h.Frozen() {
		t.Error("the host does not boot")
	}
}
