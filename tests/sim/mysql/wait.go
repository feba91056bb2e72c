package mysql

import (
	"slices"
	"time"
)

// wait is something that a session waits for, or a write that runs.
type wait struct {
	x     *Session // nil: the applier
	kind  kind
	until time.Duration
	// met reports whether what it waits for is there; nil when settle knows.
	met func() bool
	// end is called once, when the wait is off the list.
	end func(now time.Duration, how ending)
}

type kind int

const (
	running  kind = iota // a write that takes its time
	acking               // a commit that waits for the replica's acknowledgement
	closing              // SET read_only=1
	queued               // a write behind a closing order
	stalling             // a commit that cannot be written to the disk
	polling              // anything else
)

type ending int

const (
	met ending = iota
	late
	cut      // the session was ended
	orphaned // its client is gone, and it goes on
)

// begin starts a wait of x.
func (s *Server) begin(w *wait) { s.waits = append(s.waits, w) }

// Due is when the next wait is over, or the time of a session; Never when there is none.
func (s *Server) Due() time.Duration {
	due := Never
	for _, w := range s.waits {
		due = min(due, w.until)
	}
	if x := s.quietest(); x != nil {
		due = min(due, x.deadline())
	}
	return due
}

// Advance ends the waits and the sessions whose time is over.
func (s *Server) Advance(now time.Duration) {
	for {
		var first *wait
		for _, w := range s.waits {
			if w.until <= now && (first == nil || w.until < first.until) {
				first = w
			}
		}
		x := s.quietest()
		switch {
		case x != nil && x.deadline() <= now && (first == nil || x.deadline() < first.until):
			s.end(now, x)
		case first == nil:
			return
		default:
			s.drop(first)
			first.end(now, late)
			s.settle(now)
		}
	}
}

func (s *Server) drop(w *wait) {
	if i := slices.Index(s.waits, w); i >= 0 {
		s.waits = slices.Delete(s.waits, i, i+1)
	}
}

// settle ends what has come, one by one in the order in which it began: each
// may let the next one go on.
func (s *Server) settle(now time.Duration) {
	if len(s.waits) == 0 || s.settling {
		return
	}
	s.settling = true
	defer func() { s.settling = false }()
	for {
		w := s.ready()
		if w == nil {
			return
		}
		s.drop(w)
		w.end(now, met)
	}
}

func (s *Server) ready() *wait {
	for _, w := range s.waits {
		switch w.kind {
		case closing:
			if s.sealed() || !s.blocked() {
				return w
			}
		case queued:
			if s.entered(w.x) {
				return w
			}
		case polling, acking, stalling:
			if w.met() {
				return w
			}
		}
	}
	return nil
}

// blocked reports whether something keeps read_only from being set: a write
// that runs, a commit that waits for its acknowledgement or for the disk, LOCK TABLES ... WRITE.
func (s *Server) blocked() bool {
	for _, w := range s.waits {
		if w.kind == running || w.kind == acking || w.kind == stalling {
			return true
		}
	}
	return s.locker() != nil
}

// locker is the session that holds a table lock; nil when none does.
func (s *Server) locker() *Session {
	for _, x := range s.sessions {
		if x.tables {
			return x
		}
	}
	return nil
}
