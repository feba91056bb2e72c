// Package lease is the arithmetic of time-bounded rights. A right counts from
// before the request that renewed it was sent, on the holder's own clock, so
// that the holder never believes longer than the grantor. It reads no clock.
//
// Lease is one such right. Keep is that of an active server to be open: two leases,
// either of which is enough. Watch is the other side of one of them: from when on
// whoever had a lock before can have no right left.
package lease
