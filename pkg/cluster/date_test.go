package cluster

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// Whatever somebody wrote into a record, a report of it can be written.
func TestDatesCanBeWritten(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC).UnixMilli()
	for ms, want := range map[int64]string{
		math.MinInt64: "null", -1: "null", 0: "null", 1: `"1970-01-01T00:00:00.001Z"`,
		last: `"9999-12-31T23:59:59.999Z"`, last + 1: "null", math.MaxInt64: "null",
	} {
		if got, err := json.Marshal(DateOf(ms)); err != nil || string(got) != want {
			t.Errorf("%d: %s, %v; want %s", ms, got, err, want)
		}
	}
}
