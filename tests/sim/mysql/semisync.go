package mysql

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// forEver is longer than any world lasts.
const forEver = 1000 * time.Hour

// acks is how a server's semi-synchronous replication is set up; it is as the option
// file says after each start.
type acks struct {
	wait    time.Duration // of a commit; 0: the source side is off
	ours    bool          // set up by an agent
	replica bool          // the replica side is on
	serves  int           // so many receivers acknowledge
}

// AwaitCommits has every commit wait for ever. Who waits for less is let go before: a commit
// that waits in vain has the others wait for nobody. What ReleaseCommits still does is over.
func (s *Server) AwaitCommits(now time.Duration) {
	if s.acks.wait < forEver {
		s.LetCommitsGo(now, false)
	}
	s.acks.wait, s.acks.ours, s.degraded, s.relaxed = forEver, true, false, false
	s.touch()
}

// Awaits reports whether a commit waits for an acknowledgement.
func (s *Server) Awaits() bool { return s.acks.wait > 0 && !s.degraded && !s.relaxed }

// AwaitsForEver reports whether an agent has seen to it that it does.
func (s *Server) AwaitsForEver() bool { return s.acks.ours && s.Awaits() }

// LetCommitsGo turns the source side off, unless only an agent's is meant and it is not;
// who waits goes on as if it had been acknowledged.
func (s *Server) LetCommitsGo(now time.Duration, ours bool) {
	if ours && !s.acks.ours {
		return
	}
	s.acks.wait, s.acks.ours = 0, false
	s.touch()
	s.settle(now)
}

// Acknowledge turns the replica side on, for the next connection of the receiver, and
// reports whether the present one acknowledges.
func (s *Server) Acknowledge() (does bool) {
	s.acks.replica = true
	s.touch()
	return s.Acknowledges()
}

// Acknowledges reports whether its receiver runs and acknowledges.
func (s *Server) Acknowledges() bool { return s.ch.acks && s.ch.io == cluster.ThreadYes }

// acked reports whether the commit of the at-th transaction of the binary log waits no more.
func (s *Server) acked(at int) bool { return s.ch.acked >= at || s.relaxed || s.acks.wait == 0 }

// Acknowledged takes the replica's word that it has received so many transactions of the
// binary log.
func (s *Server) Acknowledged(now time.Duration, n int) {
	s.ch.acked = max(s.ch.acked, n)
	if s.ch.acked >= len(s.binlog) {
		s.degraded = false
	}
	s.settle(now)
}

// Answers reports whether the receiver acknowledges t. What comes back to the server that
// committed it first is acknowledged by MariaDB 10.11. MySQL 9.7 has left the first of those
// after it connected waiting, mostly, until a later one came, which an applier that waits
// does not bring: the model's never does.
func (s *Server) Answers(t *Txn) bool {
	return s.Acknowledges() && (s.opt.Flavor == cluster.MariaDB || t.Origin != s.opt.ID)
}

// Greeted says that the source has read the greeting of an attempt, by which it knows whether
// the receiver acknowledges. It may come late, of a run that is over.
func (s *Server) Greeted(attempt uint64, h Hello) {
	if now, _ := s.Attempt(); now == attempt {
		s.ch.acks = h.acks
	}
}

// Acknowledgers is how many receivers acknowledge what is committed here.
func (s *Server) Acknowledgers() int { return s.acks.serves }

// waiting is how many commits wait for an acknowledgement.
func (s *Server) waiting() (n int) {
	for _, w := range s.waits {
		if w.kind == acking {
			n++
		}
	}
	return n
}

func (s *Server) acksShown() cluster.Acks {
	return cluster.Acks{
		Source:  cluster.TriOf(s.acks.wait > 0 && !s.degraded),
		Clients: s.acks.serves, Waiting: s.waiting(),
		Replica: cluster.TriOf(s.Acknowledges()),
	}
}
