package lease

import (
	"testing"
	"time"
)

func TestLeaseCountsFromBeforeTheRequest(t *testing.T) {
	l := Granted(10*time.Second, 3*time.Second, 7)
	if !l.Held(10*time.Second) || !l.Held(12*time.Second+600*time.Millisecond) {
		t.Error("the lease ended early")
	}
	if l.Held(12*time.Second + 700*time.Millisecond) {
		t.Error("the lease is believed for its last tenth")
	}
	if got := l.RenewIn(10 * time.Second); got != time.Second {
		t.Errorf("renew in %s, want 1s", got)
	}
	if got := l.RenewIn(20 * time.Second); got != 0 {
		t.Errorf("overdue renewal in %s, want 0", got)
	}
	if l.Token() != 7 {
		t.Errorf("token %d", l.Token())
	}
	if (Lease{}).Held(0) {
		t.Error("the zero lease is held")
	}
}
