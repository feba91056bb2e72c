package redis

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// epoch is what Redis's clock shows when the world's time is 0.
const epoch = 1_700_000_000 * time.Second

// Server is Redis on one host: its data, and the process that runs or ran last.
type Server struct {
	host  *engine.Host
	p     *engine.Process
	port  *engine.Port[*client]
	store *Store
	clock time.Duration // its clock before the world's
	run   int
	runs  *int // of all servers that come of one
	cut   int  // answers to lose
	// Forked: there is another master. Island: most servers of Redis follow that one.
	Forked, Island bool
	// listeners are the clients of this run that have subscribed, in their order.
	listeners []*client
}

// client is a connection as the server has it.
type client struct {
	end  *engine.End
	hear func(redisbus.Wake) // run at the other end; nil for one that has not subscribed
	// topic reports whether it wants the predecessor's messages.
	topic bool
}

// NewServer is a running Redis without data for the pair u.
func NewServer(h *engine.Host, u cluster.UniqSign) *Server {
	s := &Server{host: h, store: engine.Left[Store](h), clock: epoch, runs: new(int)}
	s.store.begin(u)
	s.begin()
	return s
}

func (s *Server) begin() {
	*s.runs++
	s.run = *s.runs
	s.listeners = nil
	s.p = s.host.Process("redis", engine.Clock{})
	s.port = engine.Listen(s.p, func(x *engine.End) *client {
		c := &client{end: x}
		x.OnBroken(func() { s.forget(c) })
		return c
	})
}

// Process is the present or last run, to be paused.
func (s *Server) Process() *engine.Process { return s.p }

// Door is how the present run meets who connects from now on.
func (s *Server) Door(d engine.Door) { s.port.Door = d }

// Store is its data, for those who look on from outside, and for taking some
// away while it is down.
func (s *Server) Store() *Store { return s.store }

// Now is its clock.
func (s *Server) Now() time.Duration { return s.p.Now() + s.clock }

// Up reports whether the process is there; it may be paused.
func (s *Server) Up() bool { return s.p.Alive() }

// Leap sets its clock ahead, or back when d is below zero.
func (s *Server) Leap(d time.Duration) {
	s.store.Expire(s.Now())
	s.clock += d
}

// Kill ends the process; the data is kept.
func (s *Server) Kill() { s.p.Kill() }

// Start begins a new run, with the data that Store then holds: kept, emptied or
// taken back. It does nothing while a run is there or the host is down.
func (s *Server) Start() {
	if !s.Up() && s.host.Up() {
		s.begin()
	}
}

// Restore puts a copy of older data in the place of the present ones.
func (s *Server) Restore(older *Store) { s.store = older.Clone() }

// CutAnswers has the next n requests carried out and their connections ended
// instead of answered.
func (s *Server) CutAnswers(n int) { s.cut = n }

// Fork is a second master on another host: it holds the same data but for the
// last lost writes, and goes its own way from here.
func (s *Server) Fork(h *engine.Host, lost int) *Server {
	f := &Server{host: h, store: s.store.Clone(), clock: s.clock, runs: s.runs}
	f.store.LoseLast(lost)
	f.begin()
	return f
}

// Say publishes text on the predecessor's topic, as anybody may.
func (s *Server) Say(text string) {
	w := redisbus.Wake{Kind: redisbus.KindMessage, Message: text}
	if _, _, u, _, err := redisbus.ParseMessage(text); err == nil {
		w.UniqSign = u
	}
	s.p.Post(func() { s.publish([]redisbus.Wake{w}) })
}

func (s *Server) runID() string { return fmt.Sprintf("%040x", s.run) }

// nonce names a history of the data that has no name yet.
func (s *Server) nonce() uint64 { return uint64(s.p.Runtime().Rand(math.MaxInt64)) }

// keepsAnswer ends the connection of c instead of an answer when that is due.
func (s *Server) keepsAnswer(c *client) bool {
	if s.cut == 0 {
		return false
	}
	s.cut--
	s.forget(c)
	c.end.Close()
	return true
}

func (s *Server) publish(all []redisbus.Wake) {
	for _, w := range all {
		for _, c := range s.listeners {
			if w.Kind != redisbus.KindMessage || c.topic {
				c.send(w)
			}
		}
	}
}

func (c *client) send(w redisbus.Wake) {
	hear := c.hear
	c.end.Send(func() { hear(w) })
}

func (s *Server) forget(c *client) {
	s.listeners = slices.DeleteFunc(s.listeners, func(o *client) bool { return o == c })
}
