package lease

import "time"

// MostMargin bounds Margin.
const MostMargin = 5 * time.Second

// Margin is how long before the end of leases of length ttl the closing begins.
func Margin(ttl time.Duration) time.Duration { return min(ttl*3/10, MostMargin) }

// Grace is how long whoever begins has to get a first lease of length ttl.
func Grace(ttl time.Duration) time.Duration { return ttl / 3 }

// Keep is what keeps an active open: two leases of one length, either of which is
// enough. A lease keeps a server open and never opens one: that needs the grant of
// the epoch in force.
type Keep struct {
	ttl, since  time.Duration
	grant, lock Lease
}

// NewKeep begins without a lease of length ttl at now.
func NewKeep(ttl, now time.Duration) Keep { return Keep{ttl: ttl, since: now} }

// Begin gives whoever becomes the active at now the time to get a first lease.
func (k *Keep) Begin(now time.Duration) { k.since = now }

// Granted takes the grant of an epoch, asked for at sent.
func (k *Keep) Granted(sent time.Duration, epoch uint64) { k.grant = Granted(sent, k.ttl, epoch) }

// Refused takes that the grant is not lengthened. It runs to its end and opens
// nothing any more.
func (k *Keep) Refused() { k.grant.token = 0 }

// Locked takes that the lock was held by an answer to what was asked at sent.
func (k *Keep) Locked(sent time.Duration) { k.lock = Granted(sent, k.ttl, 0) }

// Holds reports which of the two leases stand at now.
func (k Keep) Holds(now time.Duration) (grant, lock bool) { return k.grant.Held(now), k.lock.Held(now) }

// CloseIn is how long after now the closing has to begin; 0 when it is due. That is
// Margin before the later of the leases ends, but not before Grace is over.
func (k Keep) CloseIn(now time.Duration) time.Duration {
	begin := max(k.grant.until, k.lock.until) - Margin(k.ttl)
	return max(0, max(begin, k.since+Grace(k.ttl))-now)
}

// OpenFor is for how long after now the grant of epoch lets the server be opened;
// 0 when it does not.
func (k Keep) OpenFor(now time.Duration, epoch uint64) time.Duration {
	if epoch == 0 || k.grant.token != epoch {
		return 0
	}
	return max(0, k.grant.until-Margin(k.ttl)-now)
}
