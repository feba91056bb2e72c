package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// askEvery is how often the sentinels are asked who the master is.
	askEvery = time.Second
	// lateAfter is how long other sentinels are waited for when one has answered.
	lateAfter = 200 * time.Millisecond
)

// sentinels follows the master that sentinels name. The one of the highest
// config-epoch is believed: that of a sentinel which has not heard of the last
// failover, or is cut off beside an old master, is lower. While none answers the
// last master stays.
type sentinels struct {
	dialer  dialer
	name    string
	timeout time.Duration
	clients []*redis.Client
	nudge   chan struct{}

	mu     sync.Mutex
	master master
	conns  map[*conn]string // to whom each goes
}

// master is one answer of a sentinel.
type master struct {
	addr     string
	epoch    uint64
	replicas int // that are known, dead or alive
}

func newSentinels(o Options) *sentinels {
	s := &sentinels{dialer: newDialer(o), name: o.MasterName, timeout: max(o.DialTimeout, o.ReadTimeout),
		nudge: make(chan struct{}, 1), conns: map[*conn]string{}}
	for _, addr := range o.Sentinels {
		own := clientOptions(o)
		own.Addr, own.Username, own.Password = addr, "", o.SentinelPassword.Reveal()
		own.ClientName = "" // older sentinels know no names
		own.Dialer = s.dialer.fixed()
		own.PoolSize = 1
		s.clients = append(s.clients, redis.NewClient(own))
	}
	return s
}

// run asks again and again until ctx ends.
func (s *sentinels) run(ctx context.Context) {
	for {
		select {
		case <-time.After(askEvery):
		case <-s.nudge:
		case <-ctx.Done():
			return
		}
		// What is wrong with them is told by the dials that need them.
		_ = s.look(ctx)
	}
}

func (s *sentinels) close() {
	for _, c := range s.clients {
		_ = c.Close()
	}
}

// dial connects to the master.
func (s *sentinels) dial(ctx context.Context, _ string) (net.Conn, error) {
	addr := s.addr()
	if addr == "" {
		if err := s.look(ctx); err != nil {
			return nil, shell{err}
		}
		addr = s.addr()
	}
	c, err := s.dialer.dial(ctx, addr, s.forget)
	if err != nil {
		select {
		case s.nudge <- struct{}{}:
		default:
		}
		return nil, err
	}
	if !s.keep(c, addr) {
		_ = c.Close()
		return nil, shell{fmt.Errorf("connect to %s: the sentinels have just named another master of %s", addr, s.name)}
	}
	return c, nil
}

// addr is the master's, empty before any sentinel has answered.
func (s *sentinels) addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.master.addr
}

// replicas is how many the master has, dead or alive, as the sentinels know.
func (s *sentinels) replicas() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.master.replicas
}

// keep enters a connection to addr unless another is the master by now.
func (s *sentinels) keep(c net.Conn, addr string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master.addr != addr {
		return false
	}
	s.conns[c.(interface{ raw() *conn }).raw()] = addr
	return true
}

func (s *sentinels) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// look asks all sentinels at once and follows the answer.
func (s *sentinels) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	type answer struct {
		master
		err error
	}
	answers := make(chan answer, len(s.clients))
	for _, c := range s.clients {
		go func() {
			m, err := s.ask(ctx, c)
			answers <- answer{m, err}
		}()
	}
	var best master
	var errs []string
	heard := 0
	var late <-chan time.Time
collect:
	for range s.clients {
		select {
		case a := <-answers:
			if a.err != nil {
				errs = append(errs, a.err.Error())
				continue
			}
			if heard++; heard == 1 {
				late = time.After(lateAfter)
			}
			replicas := max(best.replicas, a.replicas) // one that was started lately has not found all
			if best.addr == "" || a.epoch > best.epoch {
				best = a.master
			}
			best.replicas = replicas
		case <-late:
			break collect
		}
	}
	if heard == 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	s.follow(best, heard == len(s.clients))
	return nil
}

// follow makes m the master and ends all connections to another one. What does
// not outrank the present one is believed when all sentinels were heard.
func (s *sentinels) follow(m master, all bool) {
	s.mu.Lock()
	if s.master.addr != "" && m.epoch <= s.master.epoch && !all {
		s.mu.Unlock()
		return
	}
	s.master = m
	var left []*conn
	for c, addr := range s.conns {
		if addr != m.addr {
			left = append(left, c)
		}
	}
	s.mu.Unlock()
	for _, c := range left {
		_ = c.Close()
	}
}

// ask asks one sentinel. The address is of the server that has been promoted
// where a failover still runs, which raises the epoch in the same instant.
func (s *sentinels) ask(ctx context.Context, c *redis.Client) (master, error) {
	var about *redis.MapStringStringCmd
	var where *redis.StringSliceCmd
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		about = redis.NewMapStringStringCmd(ctx, "sentinel", "master", s.name)
		where = redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", s.name)
		return errors.Join(p.Process(ctx, about), p.Process(ctx, where))
	})
	if err == nil && len(where.Val()) != 2 {
		err = errors.New("it gave no address")
	}
	if err != nil {
		text := fmt.Sprintf("ask sentinel %s for %s: %v", c.Options().Addr, s.name, err)
		if h := sentinelHint(err); h != "" {
			text += " (" + h + ")"
		}
		return master{}, errors.New(text)
	}
	epoch, err := strconv.ParseUint(about.Val()["config-epoch"], 10, 64)
	if err != nil {
		return master{}, fmt.Errorf("ask sentinel %s for %s: read config-epoch: %w", c.Options().Addr, s.name, err)
	}
	replicas, err := strconv.Atoi(about.Val()["num-slaves"])
	if err != nil {
		return master{}, fmt.Errorf("ask sentinel %s for %s: read num-slaves: %w", c.Options().Addr, s.name, err)
	}
	return master{net.JoinHostPort(where.Val()[0], where.Val()[1]), epoch, replicas}, nil
}

// agree asks how many sentinels name the present master, and how many of its replicas a majority
// of all sentinels does not call down.
func (s *sentinels) agree(ctx context.Context) (agree, up int) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	addr := s.addr()
	down := make(chan map[string]bool, len(s.clients)) // of each replica, whether it is; nil of a sentinel that does not agree
	for _, c := range s.clients {
		go func() {
			m, err := s.ask(ctx, c)
			if err != nil || m.addr != addr {
				down <- nil
				return
			}
			down <- s.downs(ctx, c)
		}()
	}
	called := map[string]int{}
	for range s.clients {
		replicas := <-down
		if replicas == nil {
			continue
		}
		agree++
		for name, is := range replicas {
			if is {
				called[name]++
			} else {
				called[name] += 0
			}
		}
	}
	for _, n := range called {
		if 2*n <= len(s.clients) {
			up++
		}
	}
	return agree, up
}

// downs tells of each replica that a sentinel knows whether it calls it down; nil when it does not answer.
func (s *sentinels) downs(ctx context.Context, c *redis.Client) map[string]bool {
	answer := redis.NewSliceCmd(ctx, "sentinel", "replicas", s.name)
	if c.Process(ctx, answer) != nil {
		return nil
	}
	replicas := map[string]bool{}
	for _, one := range answer.Val() {
		fields, _ := one.([]any)
		var name, flags string
		for i := 0; i+1 < len(fields); i += 2 {
			switch fields[i] {
			case "name":
				name, _ = fields[i+1].(string)
			case "flags":
				flags, _ = fields[i+1].(string)
			}
		}
		replicas[name] = strings.Contains(flags, "down") || strings.Contains(flags, "disconnected")
	}
	return replicas
}

func sentinelHint(err error) string {
	if answer, is := errors.AsType[redis.Error](err); is {
		text := answer.Error()
		switch {
		case strings.Contains(text, "No such master"):
			return "master_name must be the name in its sentinel.conf"
		case isCode(text, "NOAUTH"), isCode(text, "WRONGPASS"):
			return "set sentinel_password in section [redis]"
		case strings.Contains(text, "unknown command"):
			return "it is no sentinel: the usual port of sentinels is 26379"
		}
	}
	return hint(err)
}
