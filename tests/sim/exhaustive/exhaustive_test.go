package exhaustive

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/tests/sim/redis"
)

// TestEveryInterleaving explores what seconds allow; MMM_EXHAUSTIVE=12 what
// minutes do: so many events with one fault, and fewer with more, since each fault
// multiplies the states.
func TestEveryInterleaving(t *testing.T) {
	most := 0
	if text := os.Getenv("MMM_EXHAUSTIVE"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil {
			t.Fatalf("MMM_EXHAUSTIVE=%q: want a number of events", text)
		}
	}
	for _, c := range []struct {
		name         string
		o            Options
		short, fewer int
	}{
		{"one fault", Options{Faults: 1}, 4, 0},
		{"one fault, servers come back open", Options{Faults: 1, BackOpen: true}, 3, 0},
		{"one fault, readings apart", Options{Faults: 1, Apart: true}, 3, 2},
		{"two faults", Options{Faults: 2}, 3, 4},
		{"any number of faults", Options{Faults: -1}, 3, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Depth, c.o.Most = c.short, 20_000_000
			if most > 0 {
				c.o.Depth = max(1, most-c.fewer)
			}
			seen := map[string]int{}
			var total Result
			for _, s := range Starts() {
				c.o.Starts = []string{s.Name}
				r := Explore(c.o)
				if r.Violation != "" {
					t.Errorf("from %q: %s", s.Name, r)
					continue
				}
				t.Logf("from %q: %s", s.Name, r)
				if r.Depth < c.o.Depth {
					t.Errorf("from %q: more than %d states before depth %d", s.Name, c.o.Most, c.o.Depth)
				}
				total.States, total.Events, total.Interleavings, total.Took = total.States+r.States, total.Events+r.Events, total.Interleavings+r.Interleavings, total.Took+r.Took
				for name, n := range r.Seen {
					seen[name] += n
				}
			}
			total.Depth = c.o.Depth
			t.Logf("all: %s", total)
			for _, name := range slices.Sorted(maps.Keys(seen)) {
				t.Logf("%9d x %s", seen[name], name)
			}
			if c.o.Depth < 7 {
				return
			}
			for _, name := range []string{"opened", "closed", "transition revoked", "transition promoted", "transition steady", "transition rolled back",
				"transition first start", "transition refused", "late transition refused", "late step ended with its session"} {
				if seen[name] == 0 {
					t.Errorf("never seen: %s", name)
				}
			}
		})
	}
}

// A search that finds nothing proves nothing unless it finds what is broken.
func TestBrokenSafeguardsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, want string
		o          Options
	}{
		{"the record is written without compare-and-set", "I11", Options{
			Depth: 6, Faults: 1, Starts: []string{"opening after a switchover"}, Transition: writesAnyhow}},
		{"a transition is written as two", "I14", Options{
			Depth: 6, Faults: 0, Starts: []string{"opening after a switchover"}, Transition: writesTwice}},
		{"everybody counts as eligible", "I4", Options{
			Depth: 8, Faults: 1, Starts: []string{"opening after a switchover"}, Decide: believesEligible}},
		{"what is received counts as applied", "I4", Options{
			Depth: 8, Faults: 0, Starts: []string{"revoked half way, the old active is dead"}, Decide: believesDrained, Reconcile: targetless}},
		{"nothing holds back a second failover", "I9", Options{
			Depth: 4, Faults: 1, Starts: []string{"steady, not long after a failover"}, Decide: unblocked}},
		{"who decides remembers nothing", "I10", Options{
			Depth: 4, Faults: 1, Starts: []string{"opening after a switchover"}, Decide: decidesAfresh}},
		{"the server is opened without the closed report of the other", "I7", Options{
			Depth: 9, Faults: 0, Starts: []string{"revoked half way, the old active is open"}, Decide: believesClosed}},
		{"the agent obeys an older record", "I3", Options{
			Depth: 4, Faults: 1, Starts: []string{"opening after a switchover"}, Reconcile: forgetful, Frozen: neverFrozen}},
		{"a closing leaves the sessions of others alone", "I1b", Options{
			Depth: 12, Faults: 0, Starts: []string{"revoked half way, an opening of the old active is held up"}, SparesSessions: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Explore(c.o)
			t.Log(r)
			if r.Violation == "" || r.Violation[:len(c.want)] != c.want {
				t.Errorf("found %q, want a violation of %s", r.Violation, c.want)
			}
			whole := c.o
			whole.Transition, whole.Decide, whole.Reconcile, whole.Frozen, whole.SparesSessions = nil, nil, nil, nil, false
			if r := Explore(whole); r.Violation != "" {
				t.Errorf("with the safeguard: %s", r)
			}
		})
	}
}

// writesAnyhow changes the record whatever is in force.
func writesAnyhow(s *redis.Store, now time.Duration, id string, token uint64, t cluster.Transition) error {
	t.Expect = s.Assignment().Order()
	if !t.Expect.Before(t.Next.Order()) {
		t.Next.Epoch, t.Next.Version = t.Expect.Epoch, t.Expect.Version+1
	}
	return Transition(s, now, id, token, t)
}

// believesClosed decides as if the old active had acknowledged every closing.
func believesClosed(st failover.State, v failover.View, p failover.Policy, now time.Duration) (failover.State, failover.Decision) {
	rec := v.Snapshot.Assignment
	v.Snapshot.Reports = changed(v.Snapshot.Reports, func(r *cluster.Report) {
		if r.Node == rec.From {
			r.Closed = rec.Order()
		}
	})
	return failover.Decide(st, v, p, now)
}

// writesTwice writes every change and then one more version of it.
func writesTwice(s *redis.Store, now time.Duration, id string, token uint64, t cluster.Transition) error {
	err := Transition(s, now, id, token, t)
	if err == nil {
		t.Expect = t.Next.Order()
		t.Next.Version++
		err = Transition(s, now, id, token, t)
	}
	return err
}

// believesEligible decides as if the passive might always take over.
func believesEligible(st failover.State, v failover.View, p failover.Policy, now time.Duration) (failover.State, failover.Decision) {
	if v.Snapshot.Assignment.Phase == cluster.PhaseSteady {
		v.Snapshot.Assignment.Eligible = p.Pair.Members()
	}
	return failover.Decide(st, v, p, now)
}

// believesDrained decides as if the new active had applied what it received.
func believesDrained(st failover.State, v failover.View, p failover.Policy, now time.Duration) (failover.State, failover.Decision) {
	rec := v.Snapshot.Assignment
	v.Snapshot.Reports = changed(v.Snapshot.Reports, func(r *cluster.Report) {
		if r.Node == rec.To {
			r.Ready, r.Executed = rec.Order(), v.Snapshot.Observations[rec.To]["m"].ReceivedMax
		}
	})
	return failover.Decide(st, v, p, now)
}

// targetless decides as if the record demanded nothing of who is opened.
func targetless(in reconcile.Input) reconcile.Plan {
	in.Record.Target, in.Mine.Server.Channel.Received = "", ""
	return reconcile.Decide(in)
}

func unblocked(st failover.State, v failover.View, p failover.Policy, now time.Duration) (failover.State, failover.Decision) {
	p.FailoverBlock = 0
	return failover.Decide(st, v, p, now)
}

// decidesAfresh decides as if nobody but Redis remembered anything.
func decidesAfresh(st failover.State, v failover.View, p failover.Policy, now time.Duration) (failover.State, failover.Decision) {
	if v.Snapshot.Assignment.Exists() {
		return failover.Decide(st, v, p, now)
	}
	v.Snapshot.Reports = nil
	observations := map[cluster.Endpoint]map[string]cluster.Observation{}
	for node, byMonitor := range v.Snapshot.Observations {
		o := byMonitor["m"]
		o.Server.Mark = cluster.Mark{}
		observations[node] = map[string]cluster.Observation{"m": o}
	}
	v.Snapshot.Observations = observations
	// A leader listens before it starts a pair: it has done so here.
	st, _ = failover.Decide(failover.State{}, v, p, now-failover.StartGrace)
	return failover.Decide(st, v, p, now)
}

func changed(all map[cluster.Endpoint]map[string]cluster.Report, change func(*cluster.Report)) map[cluster.Endpoint]map[string]cluster.Report {
	out := map[cluster.Endpoint]map[string]cluster.Report{}
	for node, byAgent := range all {
		out[node] = map[string]cluster.Report{}
		for agent, r := range byAgent {
			change(&r)
			out[node][agent] = r
		}
	}
	return out
}

// forgetful decides as if the agent remembered nothing.
func forgetful(in reconcile.Input) reconcile.Plan {
	in.Remembers = cluster.Assignment{}
	return reconcile.Decide(in)
}

func neverFrozen(_, _ cluster.Assignment) (cluster.Reason, bool) { return cluster.Reason{}, false }

func TestSameSearchTwice(t *testing.T) {
	o := Options{Depth: 3, Faults: -1}
	a, b := Explore(o), Explore(o)
	if a.States != b.States || a.Events != b.Events || a.Interleavings != b.Interleavings || !slices.Equal(a.Layers, b.Layers) {
		t.Errorf("one search says %s, the other %s", a, b)
	}
}
