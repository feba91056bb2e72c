// Package lease is the arithmetic of time-bounded rights. A right counts from
// before the request that renewed it was sent, on the holder's own clock, so
// that the holder never believes longer than the grantor. It reads no clock.
package lease
