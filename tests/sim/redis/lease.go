package redis

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Lead takes the leader's lease for ttl or extends it; believes is the token
// under which the caller thinks that it holds it, 0 for none. When not held,
// token and holder are the holder's.
func (s *Store) Lead(now time.Duration, id string, believes uint64, ttl time.Duration) (token uint64, held bool, holder string, err error) {
	if id == "" || ttl < time.Millisecond {
		return 0, false, "", fmt.Errorf("lead %s as %s: want an id and at least 1 ms, not %s", s.u, id, ttl)
	}
	ms := now.Milliseconds()
	leader := s.leaderAt(ms)
	switch {
	case leader == id && believes != 0 && believes == s.token:
		s.write()
	case leader != "" && (leader != id || believes != 0):
		return s.token, false, leader, nil
	default:
		s.write()
		s.leader = id
		s.token++
	}
	s.leaderEnds = after(ms, ttl)
	return s.token, true, id, nil
}

// Resign gives the lease back when id holds it under the token it believes in,
// or believes in none.
func (s *Store) Resign(now time.Duration, id string, believes uint64) {
	if s.leaderAt(now.Milliseconds()) == id && id != "" && (believes == 0 || believes == s.token) {
		s.write()
		s.leader = ""
	}
}

func (s *Store) leaderAt(ms int64) string {
	if s.leaderEnds.over(ms) {
		return ""
	}
	return s.leader
}

// notLeader refuses everybody but the holder of the lease under its token.
func (s *Store) notLeader(ms int64, id string, token uint64) error {
	leader := s.leaderAt(ms)
	switch {
	case leader == "":
		return fmt.Errorf("%w: nobody holds the lease, the last token is %d", redisbus.ErrNotLeader, s.token)
	case leader != id || s.token != token:
		return fmt.Errorf("%w: %s holds the lease with token %d", redisbus.ErrNotLeader, leader, s.token)
	}
	return nil
}
