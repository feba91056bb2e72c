package harness

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Relay passes connections on to a server that may be another one from one moment
// to the next, as a virtual address or a proxy does.
type Relay struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	conns  map[net.Conn]string // both ends, and to whom they go
}

// NewRelay listens on a port of its own until the laboratory is closed.
func (l *Lab) NewRelay(target string) (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: listener, target: target, conns: map[net.Conn]string{}}
	l.onClose(func() {
		_ = listener.Close()
		r.Turn("")
	})
	go r.accept()
	return r, nil
}

// Addr is where it listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Turn lets new connections go to target and ends those that go elsewhere.
func (r *Relay) Turn(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for c, to := range r.conns {
		if to != target {
			_ = c.Close()
		}
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.serve(client)
	}
}

func (r *Relay) serve(client net.Conn) {
	defer client.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.enter(target, client, server) {
		return
	}
	defer r.forget(client, server)
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}

// enter notes a pair of connections unless it has been turned since.
func (r *Relay) enter(target string, conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.target != target {
		return false
	}
	for _, c := range conns {
		r.conns[c] = target
	}
	return true
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

// FollowRelay has the site's own view of the records go where the relay goes.
func (s *Site) FollowRelay(r *Relay) {
	s.bus = redisbus.New(redisbus.Options{Addr: r.Addr(), Topic: Topic, Name: "laboratory"})
	s.Lab.onClose(func() { _ = s.bus.Close() })
}
