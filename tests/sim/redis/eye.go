package redis

// Lease is who took the leader's lease last, and its token; whether it still
// holds it is not asked.
func (s *Store) Lease() (id string, token uint64) { return s.leader, s.token }
