package mysql

import (
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// Received is what the channel has received and not applied yet, the oldest
// first; it must not be changed.
func (s *Server) Received() []*Txn { return s.ch.relay }

// Receives is where the receiver gets transactions from now; false when it does not run.
func (s *Server) Receives() bool {
	n, _ := s.Attempt()
	return n != 0
}

// Lacks counts what o has committed and s has not.
func (s *Server) Lacks(o *Server) int {
	same := 0 // most of what both have is so at the beginning
	for same < min(len(s.binlog), len(o.binlog)) && s.binlog[same] == o.binlog[same] {
		same++
	}
	return lacks(s.binlog[same:], o.binlog[same:])
}

// Unapplied counts what was received and is not committed here.
func (s *Server) Unapplied() int {
	return lacks(s.binlog, s.ch.relay)
}

// lacks counts those of all that have has not.
func lacks(have, all []*Txn) int {
	n := 0
	for _, t := range all {
		if !slices.Contains(have, t) {
			n++
		}
	}
	return n
}

// Stuck reports whether the applying thread has stopped with an error.
func (s *Server) Stuck() bool { return s.ch.sqlErr.number != 0 }

// Age has the server look as if it had started so much earlier.
func (s *Server) Age(d time.Duration) { s.started -= d }

// Door is how the present run meets clients who connect from now on; replicas
// are not concerned.
func (m *Machine) Door(d engine.Door) { m.port.Door = d }

// Slow has each transaction take so long to be applied; nil is no time.
func (m *Machine) Slow(apply func() time.Duration) { m.link.o.Apply = apply }

// As runs f as a session of the administrator on a server that is up.
func (m *Machine) As(f func(x *Session, now time.Duration)) {
	now := m.p.Now()
	x, err := m.Login(Root, true, nil)
	if err != nil {
		return
	}
	f(x, now)
	if !x.busy {
		m.Hangup(now, x)
	}
	m.arm()
}

// Mark is the epoch row that the transaction writes; false when it writes none.
func (t *Txn) Mark() (cluster.Mark, bool) {
	if t.mark == nil {
		return cluster.Mark{}, false
	}
	return t.mark.mark, true
}

// GTID prints the transaction's own.
func (t *Txn) GTID(f cluster.Flavor) string {
	if f == cluster.MariaDB {
		return pos{t.Origin, t.Seq}.String()
	}
	var one set
	one.add(t.Origin, t.Seq)
	return one.mysql()
}

// Locked reports whether an account cannot log in.
func (s *Server) Locked(a cluster.Account) bool {
	for _, known := range s.accounts {
		if known.Account == a {
			return known.Locked
		}
	}
	return false
}
