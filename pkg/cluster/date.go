package cluster

import "time"

// lastMS is the last instant that a date of four digits has.
const lastMS = 253402300799999

// DateOf is the date, in UTC, of unix milliseconds that were read from a record; nil for
// 0, which stands for none, and for what cannot be written as RFC 3339.
func DateOf(ms int64) *time.Time {
	if ms <= 0 || ms > lastMS {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}
