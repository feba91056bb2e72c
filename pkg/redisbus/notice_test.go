package redisbus

import (
	"testing"
	"time"
)

// A notice with fields that nobody of ours wrote is told all the same.
func TestAClaimOfABrokenNotice(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b, ctx := s.bus(t), t.Context()
		for _, born := range []string{"", "yesterday", "-1", "1e3", "99999999999999999999999"} {
			n := Notice{Name: "broken " + born, Fresh: true, Keep: time.Hour}
			err := s.raw.HSet(ctx, keysOf(sign).notice(n.Name), "state", "claimed", "agent", "other", "until", "nan", "born", born).Err()
			if err != nil {
				t.Fatal(err)
			}
			c, err := b.ClaimNotice(ctx, sign, n, "a", time.Minute)
			if err != nil || c.State != ClaimMine || c.Born <= 0 {
				t.Errorf("born %q: %+v, %v", born, c, err)
			}
		}
	})
}
