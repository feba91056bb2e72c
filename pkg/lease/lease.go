package lease

import "time"

// Lease is a right that ends by itself. The zero value is held by nobody.
type Lease struct {
	ttl   time.Duration
	until time.Duration
	renew time.Duration
	token uint64
}

// Granted is the lease after a request sent at sent was answered with token; it
// ends ttl after sent, less a tenth for clocks that run at different speeds, and
// is to be renewed after a third.
func Granted(sent, ttl time.Duration, token uint64) Lease {
	return Lease{ttl: ttl, until: sent + ttl - ttl/10, renew: sent + ttl/3, token: token}
}

// Held reports whether the right still stands at now.
func (l Lease) Held(now time.Duration) bool { return l.ttl > 0 && now < l.until }

// Token is the fencing token that came with the grant.
func (l Lease) Token() uint64 { return l.token }

// RenewIn is how long after now the lease is to be renewed; 0 when it is due.
func (l Lease) RenewIn(now time.Duration) time.Duration { return max(0, l.renew-now) }
