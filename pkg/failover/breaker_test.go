package failover

import "testing"

func TestHalfOfThePairsAndThreeAtLeastTripTheBreaker(t *testing.T) {
	for _, c := range []struct {
		count Silence
		want  bool
	}{
		{Silence{2, 3}, false}, {Silence{3, 3}, true},
		{Silence{2, 4}, false}, {Silence{3, 4}, true},
		{Silence{3, 7}, false}, {Silence{4, 7}, true},
		{Silence{4, 10}, false}, {Silence{5, 10}, true}, {Silence{10, 10}, true},
		{Silence{499, 1000}, false}, {Silence{500, 1000}, true},
	} {
		if got := c.count.trips(); got != c.want {
			t.Errorf("%d of %d trip: %v", c.count.Silent, c.count.Pairs, got)
		}
	}
}
