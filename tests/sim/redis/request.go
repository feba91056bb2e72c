package redis

import (
	"fmt"
	"reflect"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// The lives of what operators and leaders write, as in pkg/redisbus.
const (
	requestLife = 5 * time.Minute
	answerLife  = time.Minute
	verdictLife = 30 * time.Second
)

// Request is the operator's request; nil when there is none.
func (s *Store) Request(now time.Duration) *cluster.Request {
	if s.request == nil || s.requestEnds.over(now.Milliseconds()) {
		return nil
	}
	return s.request
}

// SwapRequest writes r to live for life, unless the request is no longer before:
// then it has moved, and nothing is written.
func (s *Store) SwapRequest(now time.Duration, before *cluster.Request, r cluster.Request, life time.Duration) (moved bool, said []redisbus.Wake) {
	found := s.Request(now)
	if (found == nil) != (before == nil) || found != nil && *found != *before {
		return true, nil
	}
	s.write()
	s.request, s.requestEnds = &r, after(now.Milliseconds(), life)
	return false, s.says.request
}

// SaveRequest writes the leader's answer to a request.
func (s *Store) SaveRequest(now time.Duration, id string, token uint64, r cluster.Request) ([]redisbus.Wake, error) {
	op := func() string { return fmt.Sprintf("save request %s of %s", r.ID, s.u) }
	if r.ID == "" {
		return nil, fmt.Errorf("%s: want an id", op())
	}
	ms := now.Milliseconds()
	if err := s.notLeader(ms, id, token); err != nil {
		return nil, fmt.Errorf("%s: %w", op(), err)
	}
	s.write()
	s.putRequest(ms, r)
	return s.says.request, nil
}

// putRequest keeps what the request had left to live, but long enough for an
// answer to be read.
func (s *Store) putRequest(ms int64, r cluster.Request) {
	if s.request == nil || s.requestEnds.over(ms) {
		s.requestEnds = after(ms, requestLife)
	} else {
		s.requestEnds = max(s.requestEnds, after(ms, answerLife))
	}
	s.request = &r
}

// checkFiling says why r cannot be filed after before.
func checkFiling(u cluster.UniqSign, before *cluster.Request, r cluster.Request) error {
	op := func() string { return fmt.Sprintf("file request %s for %s", r.Verb, u) }
	switch {
	case r.ID == "" || r.Verb == "":
		return fmt.Errorf("%s: want an id and a verb", op())
	case before != nil && !before.State.Ended():
		what := string(before.Verb)
		if before.To != "" {
			what += " to " + string(before.To)
		}
		return fmt.Errorf("%s: %w: %s by %s is %s", op(), redisbus.ErrBusy, what, before.Actor, before.State)
	}
	return nil
}

// withdrawn is what stands in the place of a request that its operator took back.
func withdrawn(r cluster.Request) cluster.Request {
	r.State, r.Answer = cluster.RequestRefused, "withdrawn before anybody had begun it"
	return r
}

// SetPause holds automatic changes of role back until ClearPause.
func (s *Store) SetPause(p cluster.Pause) []redisbus.Wake {
	s.write()
	s.pause = &p
	return s.says.pause
}

// ClearPause ends a pause; false when there was none.
func (s *Store) ClearPause() (bool, []redisbus.Wake) {
	was := s.pause != nil
	if was {
		s.write()
		s.pause = nil
	}
	return was, s.says.pause
}

// SaveVerdict writes what the leader thinks; only a change of it wakes others.
func (s *Store) SaveVerdict(now time.Duration, v cluster.Verdict) []redisbus.Wake {
	v.Blockers, v.Notes = own(v.Blockers), own(v.Notes)
	ms := now.Milliseconds()
	same := s.verdict != nil && !s.verdictEnds.over(ms) && reflect.DeepEqual(*s.verdict, v)
	s.write()
	s.verdict, s.verdictEnds = &v, after(ms, verdictLife)
	if same {
		return nil
	}
	return s.says.verdict
}
