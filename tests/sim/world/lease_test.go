package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// leased is a drawn schedule with an agent on each server's host, short leases, and
// one of the hosts cut off for a while.
func leased(seed uint64) Spec {
	s := Draw(seed)
	r := rand.New(rand.NewPCG(seed, 77))
	s.Agents, s.Local, s.Lease = 2, true, 3*time.Second
	s.Until += 10 * time.Second
	s.Faults = append(s.Faults, Fault{Kind: cutOff, On: fmt.Sprintf("db-%c", 'a'+rune(r.IntN(2))),
		At: time.Duration(r.IntN(3000)) * time.Millisecond, For: time.Duration(500+r.IntN(9000)) * time.Millisecond})
	return s
}

// beyond reports whether a fault may keep a server from closing itself: it, its host
// or its agent stands still, or the agent is away or its clock wrong. No lease helps then.
func beyond(f Fault) bool {
	if strings.HasPrefix(f.On, "agent") {
		return true
	}
	return f.Kind == "mysqld hangs on" ||
		(strings.HasPrefix(f.On, "db-") || f.On == TheActive || f.On == ThePassive) && slices.Contains([]string{"the host freezes:", "the host is suspended:"}, f.Kind)
}

func TestSchedulesWithLeasesKeepEveryPromise(t *testing.T) {
	ran, closed, proved := 0, 0, 0
	for seed := uint64(1); seed <= 120; seed++ {
		spec := leased(seed)
		spec.Rounds = nil
		if slices.ContainsFunc(spec.Faults, beyond) {
			continue
		}
		out := RunTraced(spec)
		if out.Violation != nil {
			t.Errorf("seed %d: %s\n%s", seed, out.Violation, spec)
		}
		ran++
		if strings.Contains(out.Trace, "closed without a lease") {
			closed++
		}
		if strings.Contains(out.Trace, `proof "lease over"`) {
			proved++
		}
	}
	if closed == 0 || proved == 0 {
		t.Errorf("of %d schedules %d closed a server without a lease, %d proved one closed", ran, closed, proved)
	}
	t.Logf("of %d schedules %d closed a server without a lease, %d proved one closed", ran, closed, proved)
}
