package mysql

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// TakeLock takes a named lock for x unless another session has it. From then on
// the server ends x when nothing was asked of it for idle.
func (x *Session) TakeLock(now time.Duration, name string, idle time.Duration) agent.Lock {
	x.asked = now
	x.idle = max(time.Second, (idle+time.Second-1)/time.Second*time.Second)
	if x.s.Holder(name) == nil {
		x.locks = append(x.locks, name)
	}
	return x.Lock(now, name)
}

// Lock tells x who has a named lock. MySQL tells the difference of two times of
// day that are rounded down, of which as much is certain.
func (x *Session) Lock(now time.Duration, name string) agent.Lock {
	h := x.s.Holder(name)
	if h == nil {
		return agent.Lock{}
	}
	quiet := now - h.asked
	if x.s.opt.Flavor == cluster.MySQL {
		quiet = now.Truncate(time.Second) - h.asked.Truncate(time.Second) - time.Second
	}
	if h == x || h.busy {
		quiet = 0
	}
	return agent.Lock{Mine: h == x, Holder: h.id, Idle: max(0, quiet.Truncate(time.Second))}
}

// Holder is the session that has a named lock; nil when none has.
func (s *Server) Holder(name string) *Session {
	for _, x := range s.sessions {
		if slices.Contains(x.locks, name) {
			return x
		}
	}
	return nil
}

// heard notes that the client of x has asked something.
func (x *Session) heard(now time.Duration) { x.asked = now }

// deadline is when the server ends x unless something is asked of it before.
func (x *Session) deadline() time.Duration {
	if x.idle == 0 || x.busy {
		return Never
	}
	return x.asked + x.idle
}

// quietest is the session that ends first when nothing is asked; nil when none does.
func (s *Server) quietest() *Session {
	var first *Session
	for _, x := range s.sessions {
		if d := x.deadline(); d != Never && (first == nil || d < first.deadline()) {
			first = x
		}
	}
	return first
}

// woken is for a server whose process was stopped and goes on. What has arrived
// meanwhile is read before a session ends whose time is over; MySQL does not count
// the time in which it was stopped. When that began is not known: so as if
// everybody had asked something just before.
func (s *Server) woken(now time.Duration) {
	for _, x := range s.sessions {
		switch {
		case x.deadline() > now:
		case s.opt.Flavor == cluster.MySQL:
			x.asked = now
		default:
			x.asked = now - x.idle + 1
		}
	}
}
