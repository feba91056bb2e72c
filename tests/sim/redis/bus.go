package redis

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

var (
	_ identify.Bus = (*Bus)(nil)
	_ monitor.Bus  = (*Bus)(nil)
	_ control.Bus  = (*Bus)(nil)
	_ agent.Bus    = AgentBus{}
)

// patience is how long each call waits for a connection, and then for its answer.
const patience = time.Second

// Bus is one process's access to Redis, in place of redisbus.Bus. Its methods
// park the coroutine that calls them. An error of the transport is a
// *redisbus.Error: the connection was refused, it ended, or nothing came in time;
// what was asked for may have been done then, or be done later.
type Bus struct {
	p      *engine.Process
	server *Server
	tokens map[string]uint64
	idle   []*engine.Conn[*client] // the last one used last
	rooms  []*cluster.Snapshot     // for answers, that no call uses
	// listening are the subscriptions' present sessions.
	listening []*session
}

// NewBus is the access of p to s. Their hosts are on one network.
func NewBus(p *engine.Process, s *Server) *Bus {
	return &Bus{p: p, server: s, tokens: map[string]uint64{}}
}

// MoveTo has the process talk to another server from now on, as after a change
// of the master's address; its subscriptions connect anew.
func (b *Bus) MoveTo(s *Server) {
	if b.server == s {
		return
	}
	b.server = s
	for _, c := range b.idle {
		c.Close()
	}
	b.idle = nil
	for _, l := range b.listening {
		l.end()
	}
}

// result is what a server has answered, an error of its own included.
type result[T any] struct {
	value T
	err   error
}

// call has run happen at the server. The error is that of the transport alone.
func call[T any](ctx context.Context, b *Bus, run func(s *Server) (T, []redisbus.Wake, error)) (result[T], error) {
	return carry(ctx, b, run, nil)
}

// carry is call of run or of change, of which one is nil.
func carry[T any](ctx context.Context, b *Bus, run func(s *Server) (T, []redisbus.Wake, error), change func(s *Server) ([]redisbus.Wake, error)) (result[T], error) {
	c, err := b.conn(ctx)
	if err != nil {
		return result[T]{}, err
	}
	s := b.server
	until := b.p.Now() + patience
	r, err := engine.AskAtOnce(ctx, patience, c, func(at *client) (r result[T], answers bool) {
		var said []redisbus.Wake
		if run != nil {
			r.value, said, r.err = run(s)
		} else {
			said, r.err = change(s)
		}
		s.publish(said)
		return r, !s.keepsAnswer(at)
	})
	switch {
	case err != nil:
		c.Close()
		err = b.inTime(ctx, until, err)
	case b.server != s:
		c.Close()
	default:
		b.idle = append(b.idle, c)
	}
	return r, err
}

// conn is a connection that nobody uses, a new one where there is none.
func (b *Bus) conn(ctx context.Context) (*engine.Conn[*client], error) {
	for len(b.idle) > 0 {
		c := b.idle[len(b.idle)-1]
		b.idle = b.idle[:len(b.idle)-1]
		if c.Err() == nil {
			return c, nil
		}
	}
	return b.dial(ctx)
}

func (b *Bus) dial(ctx context.Context) (*engine.Conn[*client], error) {
	until := b.p.Now() + patience
	c, err := engine.Dial(b.p.Within(ctx, patience), b.p, b.server.port)
	if err != nil {
		err = b.inTime(ctx, until, err)
	}
	return c, err
}

// inTime words the end of our own patience as the machine's network does.
func (b *Bus) inTime(ctx context.Context, until time.Duration, err error) error {
	if b.p.Now() >= until && ctx.Err() == nil {
		return os.ErrDeadlineExceeded
	}
	return err
}

// lost says what was not answered.
func (b *Bus) lost(err error, op string, args ...any) error {
	return &redisbus.Error{Op: fmt.Sprintf(op, args...), Addr: b.server.host.Name(), Err: err}
}

// of holds that u is the pair that the model is of.
func (b *Bus) of(u cluster.UniqSign) {
	if u != b.server.store.u {
		panic(fmt.Sprintf("redis: asked for pair %q, the model holds %q alone", u, b.server.store.u))
	}
}

// Lead takes or extends the leader's lease for ttl, as redisbus.Bus does.
func (b *Bus) Lead(ctx context.Context, u cluster.UniqSign, id string, ttl time.Duration) (token uint64, held bool, holder string, err error) {
	b.of(u)
	type led struct {
		token  uint64
		held   bool
		holder string
	}
	believes := b.tokens[id]
	r, err := call(ctx, b, func(s *Server) (l led, _ []redisbus.Wake, err error) {
		l.token, l.held, l.holder, err = s.store.Lead(s.Now(), id, believes, ttl)
		return l, nil, err
	})
	if err != nil {
		// It may have been taken under a token that did not arrive.
		delete(b.tokens, id)
		return 0, false, "", b.lost(err, "lead %s as %s", u, id)
	}
	if r.err == nil && r.value.held {
		b.tokens[id] = r.value.token
	}
	return r.value.token, r.value.held, r.value.holder, r.err
}

// Resign gives the lease back.
func (b *Bus) Resign(ctx context.Context, u cluster.UniqSign, id string) error {
	b.of(u)
	believes := b.tokens[id]
	delete(b.tokens, id)
	_, err := call(ctx, b, func(s *Server) (struct{}, []redisbus.Wake, error) {
		s.store.Resign(s.Now(), id, believes)
		return struct{}{}, nil, nil
	})
	if err != nil {
		return b.lost(err, "resign leading %s as %s", u, id)
	}
	return nil
}

// Snapshot reads everything. What it holds is shared: nobody may change it.
func (b *Bus) Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	b.of(u)
	room := b.room()
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		*room = s.store.Snapshot(s.Now())
		return nil, nil
	})
	if err != nil {
		// The room is given up: the server may still write to it.
		return cluster.Snapshot{}, b.lost(err, "read everything of %s", u)
	}
	b.rooms = append(b.rooms, room)
	return *room, nil
}

// room is one for the answer to a Snapshot, which is too large to be handed on.
func (b *Bus) room() *cluster.Snapshot {
	last := len(b.rooms) - 1
	if last < 0 {
		return &cluster.Snapshot{}
	}
	room := b.rooms[last]
	b.rooms = b.rooms[:last]
	return room
}

// Assignment reads the record alone.
func (b *Bus) Assignment(ctx context.Context, u cluster.UniqSign) (cluster.Assignment, error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) (cluster.Assignment, []redisbus.Wake, error) {
		return s.store.Assignment(), nil, nil
	})
	if err != nil {
		return cluster.Assignment{}, b.lost(err, "read assignment of %s", u)
	}
	return r.value, nil
}

// minority is what Redis is on an island.
var minority = &redisbus.MinorityError{Needed: 1, Replicas: 2, Agree: 1, Sentinels: 3}

// Held reports whether order is in force and the other servers of Redis have it, while there are any.
func (b *Bus) Held(ctx context.Context, u cluster.UniqSign, order cluster.Order) (inForce bool, err error) {
	b.of(u)
	if !b.server.Forked {
		return true, nil
	}
	r, err := call(ctx, b, func(s *Server) (bool, []redisbus.Wake, error) {
		if s.Island {
			return false, nil, minority
		}
		return s.store.Assignment().Order() == order, nil, nil
	})
	if err != nil {
		return false, b.lost(err, "see that a majority of redis has the record of %s", u)
	}
	return r.value, r.err
}

// Transition changes the assignment, or nothing.
func (b *Bus) Transition(ctx context.Context, u cluster.UniqSign, id string, token uint64, t cluster.Transition) (cluster.Assignment, error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) (cluster.Assignment, []redisbus.Wake, error) {
		return s.store.Transition(s.Now(), id, token, t, s.nonce())
	})
	if err != nil {
		return cluster.Assignment{}, b.lost(err, "change assignment of %s from %s to %s", u, t.Expect, t.Next.Order())
	}
	return r.value, r.err
}

// change is a call that answers with an error alone.
func (b *Bus) change(ctx context.Context, run func(s *Server) ([]redisbus.Wake, error)) (answer, lost error) {
	r, err := carry[struct{}](ctx, b, nil, run)
	return r.err, err
}

// SaveRequest writes the leader's answer to a request.
func (b *Bus) SaveRequest(ctx context.Context, u cluster.UniqSign, id string, token uint64, r cluster.Request) error {
	b.of(u)
	answer, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		return s.store.SaveRequest(s.Now(), id, token, r)
	})
	if err != nil {
		return b.lost(err, "save request %s of %s", r.ID, u)
	}
	return answer
}

// SaveVerdict writes what the leader thinks.
func (b *Bus) SaveVerdict(ctx context.Context, u cluster.UniqSign, v cluster.Verdict) error {
	b.of(u)
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		return s.store.SaveVerdict(s.Now(), v), nil
	})
	if err != nil {
		return b.lost(err, "save verdict of %s", u)
	}
	return nil
}

// SaveReport replaces one agent's report of one server.
func (b *Bus) SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error {
	b.of(u)
	answer, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		return s.store.saveReport(&r, wake)
	})
	if err != nil {
		return b.lost(err, "save report of %s by %s", r.Node, r.Agent)
	}
	return answer
}

// DropReport removes an agent's report of a server.
func (b *Bus) DropReport(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error {
	b.of(u)
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		s.store.DropReport(node, agent)
		return nil, nil
	})
	if err != nil {
		return b.lost(err, "drop report of %s by %s", node, agent)
	}
	return nil
}

// PublishPair writes the predecessor's static keys and lists the pair.
func (b *Bus) PublishPair(ctx context.Context, p cluster.Pair) error {
	b.of(p.UniqSign)
	answer, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		return nil, s.store.PublishPair(p)
	})
	if err != nil {
		return b.lost(err, "publish pair %s", p.UniqSign)
	}
	return answer
}

// PublishObservation writes a monitor's view of a server.
func (b *Bus) PublishObservation(ctx context.Context, u cluster.UniqSign, o cluster.Observation, legacy *cluster.LegacyCheck, ttl time.Duration, wake bool) (listed bool, err error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) (bool, []redisbus.Wake, error) {
		said, err := s.store.publishObservation(s.Now(), &o, legacy, ttl, wake)
		return err == nil && s.store.listed, said, err
	})
	if err != nil {
		return false, b.lost(err, "publish observation of %s by %s", o.Node, o.Monitor)
	}
	return r.value, r.err
}

// Pairs lists the pair when it was published.
func (b *Bus) Pairs(ctx context.Context) ([]cluster.UniqSign, error) {
	r, err := call(ctx, b, func(s *Server) ([]cluster.UniqSign, []redisbus.Wake, error) {
		return s.store.Pairs(), nil, nil
	})
	if err != nil {
		return nil, b.lost(err, "list pairs")
	}
	return r.value, nil
}

// RunID changes with each run of the server and differs between servers.
func (b *Bus) RunID(ctx context.Context) (string, error) {
	r, err := call(ctx, b, func(s *Server) (string, []redisbus.Wake, error) {
		return s.runID(), nil, nil
	})
	if err != nil {
		return "", b.lost(err, "read run_id")
	}
	return r.value, nil
}

// Locked are the accounts of a server that agents have locked.
func (b *Bus) Locked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint) ([]cluster.Account, error) {
	b.of(u)
	r, err := call(ctx, b, func(s *Server) ([]cluster.Account, []redisbus.Wake, error) {
		return s.store.Locked(node), nil, nil
	})
	if err != nil {
		return nil, b.lost(err, "read the locked accounts of %s", node)
	}
	return r.value, nil
}

// NoteLocked adds accounts that are about to be locked.
func (b *Bus) NoteLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error {
	b.of(u)
	if len(all) == 0 {
		return nil
	}
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		s.store.NoteLocked(node, all)
		return nil, nil
	})
	if err != nil {
		return b.lost(err, "note locked accounts of %s", node)
	}
	return nil
}

// DropLocked takes accounts out that were released, if the record is still that one.
func (b *Bus) DropLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, under cluster.Order, all []cluster.Account) error {
	b.of(u)
	if len(all) == 0 {
		return nil
	}
	_, err := b.change(ctx, func(s *Server) ([]redisbus.Wake, error) {
		s.store.DropLocked(node, under, all)
		return nil, nil
	})
	if err != nil {
		return b.lost(err, "drop locked accounts of %s", node)
	}
	return nil
}
