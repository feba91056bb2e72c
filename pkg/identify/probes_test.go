package identify

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// A sample wakes the service; one server is asked once at a time, and not more
// often than every so often, whatever came of it.
func TestAProbeWakesTheServiceAndIsNotRepeatedTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every, takes, slow = 2 * time.Second, 300 * time.Millisecond, 5 * time.Second
		a, b := cluster.Endpoint("10.0.0.1:3306"), cluster.Endpoint("10.0.0.2:3306")
		snap := cluster.Snapshot{Checks: map[cluster.Endpoint]cluster.LegacyCheck{a: {}}}
		pair := cluster.Pair{Primary: a, Secondary: b}
		rt := sched.Real()
		wake := rt.NewSignal()
		var began atomic.Int32
		var failing, slowly atomic.Bool
		p := newProbes(rt, func(ctx context.Context, node cluster.Endpoint) (cluster.Server, error) {
			began.Add(1)
			if node != a {
				t.Errorf("%s is probed, of which there is no check", node)
			}
			d := takes
			if slowly.Load() {
				d = slow
			}
			err := sched.Sleep(ctx, rt, d)
			if failing.Load() {
				err = errors.New("no answer")
			}
			return cluster.Server{Executed: "0-1-1", Channel: cluster.Channel{Configured: true, Source: b, IO: cluster.ThreadYes, SQL: cluster.ThreadYes}}, err
		}, every, wake)
		step := func(d time.Duration, woken sched.Woken, probes int32, seq uint64) {
			t.Helper()
			start := time.Now()
			p.want(t.Context(), snap, pair)
			if got := wake.Wait(t.Context(), d); got != woken || began.Load() != probes || p.found()[a].Seq != seq {
				t.Errorf("woken as %d after %s, %d probes, the newest is %d; want %d, %d, %d", got, time.Since(start), began.Load(), p.found()[a].Seq, woken, probes, seq)
			}
		}
		step(takes/2, sched.Late, 1, 0)
		step(takes, sched.Set, 1, 1) // it is under way: no second one
		step(every-takes-time.Millisecond, sched.Late, 1, 1)
		step(time.Millisecond, sched.Late, 1, 1)
		step(every, sched.Set, 2, 2)
		failing.Store(true)
		step(every-takes, sched.Late, 2, 2)
		if s := p.found()[a].Server; !s.Channel.Replicates(b) {
			t.Errorf("before a probe that fails: %+v", s)
		}
		step(every, sched.Late, 3, 2)
		if s := p.found()[a].Server; s.Channel.Replicates(b) || s.Executed == "" {
			t.Errorf("after a probe that failed: %+v", s)
		}
		failing.Store(false)
		slowly.Store(true)
		step(every, sched.Late, 4, 2)
		step(every, sched.Late, 4, 2) // it is due, and still under way
		start := time.Now()
		p.stop()
		if took := time.Since(start); took != slow-2*every || p.found()[a].Seq != 3 {
			t.Errorf("stopped after %s with %d", took, p.found()[a].Seq)
		}
	})
}
