package engine_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Each event makes the next, among a hundred that are due later.
func BenchmarkEvent(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	for range 100 {
		var again func()
		again = func() { e.After(e.Between(1, 1000), again) }
		again()
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Step()
	}
}

// A loop that is set and waits again, with a limit.
func BenchmarkWaitSet(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	p := e.Process("p", engine.Clock{})
	s := p.Runtime().NewSignal()
	p.Go(func() {
		for {
			s.Wait(background, time.Hour)
		}
	})
	e.Step()
	b.ReportAllocs()
	for b.Loop() {
		s.Set()
		e.Until(e.Now() + 1)
	}
}

func BenchmarkSleep(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	p := e.Process("p", engine.Clock{})
	rt := p.Runtime()
	p.Go(func() {
		for {
			_ = sched.Sleep(background, rt, time.Millisecond)
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		e.Step()
	}
}

// A call that is answered after a delay.
func BenchmarkCall(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	p := e.Process("p", engine.Clock{})
	n := 0
	p.Go(func() {
		for {
			_, _ = engine.Call(p, background, func(done func(int, error)) {
				e.After(time.Millisecond, func() { done(n, nil) })
			})
			n++
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		for was := n; n == was; {
			e.Step()
		}
	}
}

// A call with a time-out of its own.
func BenchmarkCallTimeout(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	p := e.Process("p", engine.Clock{Drift: 20})
	rt := p.Runtime()
	n := 0
	for range 10 { // others, under contexts of their own
		p.Go(func() {
			ctx, cancel := rt.Cancel(background)
			defer cancel()
			rt.NewSignal().Wait(ctx, -1)
		})
	}
	p.Go(func() {
		for {
			ctx, cancel := rt.Timeout(background, time.Second)
			_, _ = engine.Call(p, ctx, func(done func(int, error)) {
				e.After(time.Millisecond, func() { done(n, nil) })
			})
			cancel()
			n++
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		for was := n; n == was; {
			e.Step()
		}
	}
}

func BenchmarkGo(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	p := e.Process("p", engine.Clock{})
	b.ReportAllocs()
	for b.Loop() {
		p.Go(func() {})
		e.Until(e.Now() + 1)
	}
}

// A request over a stream and its answer.
func BenchmarkAsk(b *testing.B) {
	e := engine.New(1)
	defer e.Close()
	net := e.Network(engine.Link{Low: time.Millisecond, High: 2 * time.Millisecond}, engine.Link{})
	server := net.Host("server").Process("redis", engine.Clock{})
	port := engine.Listen(server, func(*engine.End) int { return 0 })
	client := net.Host("client").Process("agent", engine.Clock{})
	n := 0
	client.Go(func() {
		c, err := engine.Dial(background, client, port)
		if err != nil {
			b.Error(err)
			return
		}
		for {
			_, _ = engine.Ask(background, c, func(_ int, reply func(int, error)) { reply(n, nil) })
			n++
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		for was := n; n == was && e.Step(); {
		}
	}
}
