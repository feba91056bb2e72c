package failover

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Whatever stands in Redis and in the servers' rows, deciding never panics,
// takes one step forward at most, and names members only.
func TestDecideOnHostileRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.SampledFrom([]cluster.Endpoint{"", "a:1", "b:1", "c:1"})
		number := rapid.SampledFrom([]uint64{0, 1, 2, 3, 1 << 52, 1<<52 + 1, 1 << 53, 1<<63 - 1, 1 << 63, 1<<64 - 1})
		phase := rapid.SampledFrom([]cluster.Phase{"", cluster.PhaseSteady, cluster.PhaseRevoked, cluster.PhaseOpening, cluster.PhaseSwitching, "other"})
		set := rapid.SampledFrom([]string{"", "0-1-10", "0-1-10,0-2-11", "0-2-18446744073709551615", "x", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-5"})
		cause := rapid.SampledFrom([]cluster.Cause{"", cluster.CauseRefused, cluster.CauseAccessDenied, "other"})
		record := func(name string) cluster.Assignment {
			return cluster.Assignment{Epoch: cluster.Epoch(number.Draw(t, name)), Version: number.Draw(t, "version"), Phase: phase.Draw(t, "phase"),
				Active: node.Draw(t, "active"), Passive: node.Draw(t, "passive"), From: node.Draw(t, "from"), To: node.Draw(t, "to"),
				Target: set.Draw(t, "target"), Eligible: []cluster.Endpoint{node.Draw(t, "eligible")},
				Cause: rapid.SampledFrom([]string{"", cluster.CauseOverride, cluster.CauseForced, causeRebuilt, cluster.CauseFailback, failbackRolledBack}).Draw(t, "cause")}
		}
		w := newWorld()
		w.policy.Failback, w.policy.FailbackAfter = FailbackAuto, time.Second
		w.policy.Unfenced = rapid.SampledFrom([]Unfenced{UnfencedAuto, UnfencedRisk, ""}).Draw(t, "unfenced")
		for range rapid.IntRange(1, 6).Draw(t, "turns") {
			w.now += time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond
			for _, e := range []cluster.Endpoint{"a:1", "b:1"} {
				server := cluster.Server{Flavor: rapid.SampledFrom([]cluster.Flavor{cluster.MariaDB, cluster.MySQL, "", "x"}).Draw(t, "flavor"), GTIDMode: true,
					ReadOnly: rapid.SampledFrom([]cluster.Tri{cluster.Yes, cluster.No, cluster.Unknown}).Draw(t, "ro"), Executed: set.Draw(t, "executed"),
					Mark: cluster.Mark{Epoch: cluster.Epoch(number.Draw(t, "mark")), Active: node.Draw(t, "marked")}, Users: []string{"app"}, Sessions: 1}
				server.Channel = cluster.Channel{Configured: true, GTID: true, Source: node.Draw(t, "source"), IO: cluster.ThreadYes, SQL: cluster.ThreadYes, Received: set.Draw(t, "received")}
				w.servers[e] = server
				if err := w.observe(e, cause.Draw(t, "cause"), nil); err != nil {
					t.Fatal(err)
				}
				w.seq++
				recalled := record("remembers")
				w.view.Snapshot.Reports[e] = map[string]cluster.Report{"agent": {Agent: "agent", Node: e, Seq: w.seq, Remembers: recalled,
					Order: recalled.Order(), Closed: recalled.Order(), Ready: recalled.Order(), Executed: set.Draw(t, "closed at"),
					Deed: rapid.SampledFrom([]cluster.Deed{cluster.DeedClosed, cluster.DeedOpen, cluster.DeedFailed, cluster.DeedQuarantine}).Draw(t, "deed")}}
			}
			if rapid.Bool().Draw(t, "replaced") {
				// What redisbus reads fulfils checkAssignment.
				next := record("record")
				next.Epoch = min(next.Epoch, cluster.MaxEpoch/2)
				next.Version = min(next.Version, uint64(cluster.MaxEpoch/2))
				if next.From == next.To {
					next.From, next.To = "a:1", "b:1"
				}
				switch next.Phase {
				case "", "other":
					next = cluster.Assignment{}
				case cluster.PhaseRevoked:
					next.Active, next.Passive = "", ""
				default:
					if next.Active == "" || next.Active == next.Passive {
						next.Active, next.Passive = "a:1", "b:1"
					}
				}
				if next.Epoch == 0 {
					next = cluster.Assignment{}
				}
				w.view.Snapshot.Assignment = next
			}
			if rapid.Bool().Draw(t, "asked") {
				w.view.Snapshot.Request = &cluster.Request{ID: "1", To: node.Draw(t, "asked for"), State: rapid.SampledFrom([]cluster.RequestState{cluster.RequestFiled, cluster.RequestRunning, "x"}).Draw(t, "state"),
					Verb:  rapid.SampledFrom([]string{cluster.VerbSwitchover, cluster.VerbFailover, "x"}).Draw(t, "verb"),
					Force: rapid.Bool().Draw(t, "force"), TimeoutMS: rapid.SampledFrom([]int64{0, 1000, -1, 1<<63 - 1}).Draw(t, "timeout")}
				Foresee(w.view, w.policy, *w.view.Snapshot.Request)
			}
			before := w.view.Snapshot.Assignment
			w.decide()
			tr := w.last.Transition
			if tr == nil {
				continue
			}
			next := tr.Next
			if !before.Order().Before(next.Order()) {
				t.Fatalf("rule %s: from %s to %s", w.last.Rule, before.Order(), next.Order())
			}
			if next.Epoch > cluster.MaxEpoch || next.Version > uint64(cluster.MaxEpoch) {
				t.Fatalf("rule %s: %s is beyond what is read again", w.last.Rule, next.Order())
			}
			if next.Phase != cluster.PhaseRevoked && (next.Active == "" || next.Active == next.Passive) {
				t.Fatalf("rule %s: phase %s, active %q, passive %q", w.last.Rule, next.Phase, next.Active, next.Passive)
			}
			if next.Active != "" && !w.policy.Pair.Has(next.Active) {
				t.Fatalf("rule %s: %q is no member", w.last.Rule, next.Active)
			}
		}
	})
}
