package agent

import (
	"sync/atomic"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// session is a standing connection that knows whether it has ended.
type session struct {
	Conn
	over         atomic.Bool
	asked        bool        // how the server comes up
	startsClosed cluster.Tri // what it said
}

// newSession sets wake when c ends.
func newSession(c Conn, wake sched.Signal) *session {
	s := &session{Conn: c}
	c.OnBroken(func() {
		s.over.Store(true)
		wake.Set()
	})
	return s
}

// ended reports whether the server, or the way there, has ended the connection.
func (s *session) ended() bool { return s.over.Load() }
