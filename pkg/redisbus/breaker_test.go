package redisbus

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

func TestSilentPairsAreCountedAcrossProcesses(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		one, two := s.bus(t), s.bus(t)
		tell := func(b *Bus, u cluster.UniqSign, want failover.Silence) {
			t.Helper()
			if got, err := b.TellSilent(t.Context(), u); err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", u, got, err, want)
			}
		}
		tell(one, "stranger", failover.Silence{}) // no monitor has published it
		for i := range 4 {
			s.do(t, "SADD", pairsKey, fmt.Sprint("pair", i))
		}
		tell(one, "pair0", failover.Silence{Silent: 1, Pairs: 4})
		tell(two, "pair1", failover.Silence{Silent: 2, Pairs: 4})
		tell(one, "pair0", failover.Silence{Silent: 2, Pairs: 4})
		ok(t, one.TellOver(t.Context(), "pair1"))
		ok(t, one.TellOver(t.Context(), "pair1"))
		tell(two, "pair0", failover.Silence{Silent: 1, Pairs: 4})

		// What was said half a minute ago counts no more, nor what a clock that was
		// turned back would keep for ever.
		now := time.Now().UnixMilli()
		s.do(t, "ZADD", silentKey, now-29_000, "pair1", now-30_500, "pair2", now+60_000, "pair3")
		tell(one, "pair0", failover.Silence{Silent: 2, Pairs: 4})
		if left := s.do(t, "ZCARD", silentKey); left != int64(3) { // the stranger is one
			t.Errorf("%v entries are kept", left)
		}
		if left, _ := s.do(t, "PTTL", silentKey).(int64); left <= 0 || left > failover.SilentLife.Milliseconds() {
			t.Errorf("the key lives %d ms", left)
		}
	})
}

func TestSilenceThatCannotBeTold(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.bus(t)
		s.do(t, "SET", silentKey, "mine")
		_, err := b.TellSilent(t.Context(), sign)
		for _, err := range []error{err, b.TellOver(t.Context(), sign)} {
			if wrong, is := errors.AsType[*WrongTypeError](err); !is || wrong.Key != silentKey {
				t.Errorf("a key of another type: %v", err)
			}
		}
		if got := s.do(t, "GET", silentKey); got != "mine" {
			t.Errorf("a foreign key became %v", got)
		}
		if _, err := b.TellSilent(t.Context(), "{"); err == nil {
			t.Error("what is no uniqsign was told")
		}
	})
}
