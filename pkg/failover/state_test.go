package failover

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestReportsOfTheLastAgentAreKept(t *testing.T) {
	w := newWorld()
	put := func(agent string, seq uint64) {
		if w.view.Snapshot.Reports["a:1"] == nil {
			w.view.Snapshot.Reports["a:1"] = map[string]cluster.Report{}
		}
		w.view.Snapshot.Reports["a:1"][agent] = cluster.Report{Agent: agent, Seq: seq}
	}
	put("old", 1)
	w.decide()
	w.now += 2 * time.Hour
	w.decide()
	if gone := w.state.Gone(w.view.Snapshot, time.Minute, w.now); len(gone) != 0 {
		t.Errorf("the only report of a:1 is gone: %v", gone)
	}
	if m := newSituation(w.state, &w.view, &w.policy, w.now).member("a:1"); m.hasAgent() {
		t.Error("an agent that said nothing for two hours counts as there")
	}
	put("new", 1)
	w.decide()
	gone := w.state.Gone(w.view.Snapshot, time.Minute, w.now)
	if len(gone) != 1 || gone[0].Agent != "old" || gone[0].Node != "a:1" {
		t.Errorf("gone is %v, want the old agent's report", gone)
	}
}

// activeDied is a steady pair whose active was seen, and is seen dead.
func (w *world) activeDied() {
	w.view.Snapshot.Assignment = cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady,
		Active: "a:1", Passive: "b:1", Eligible: []cluster.Endpoint{"b:1"}}
	_ = w.observe("a:1", "", map[string]string{"ro": "0", "exec": "0-1-10", "id": "1"})
	_ = w.observe("b:1", "", map[string]string{"ro": "1", "exec": "0-1-10", "id": "2", "source": "a"})
	_ = w.observe("a:1", cluster.CauseRefused, map[string]string{"broken": "yes"})
	_ = w.observe("b:1", "", map[string]string{"io": "Connecting", "sql": "Yes"})
}

func TestAViewThatIsAboutToExpireIsOldToANewLeader(t *testing.T) {
	for left, want := range map[time.Duration]string{0: "failover", 9 * time.Second: "failover", time.Second: "hold"} {
		w := newWorld()
		w.activeDied()
		ends := w.view.Snapshot.RedisMS + left.Milliseconds()
		w.view.Snapshot.ViewEnds = map[cluster.Endpoint]map[string]int64{"a:1": {"m": ends}, "b:1": {"m": ends}}
		if d := w.decide(); d.Rule != want {
			t.Errorf("with %s left of 9s: rule %s, want %s (%s)", left, d.Rule, want, d.Verdict.Reason)
		}
	}
}

// Redis went back to views of a time in which the active was dead: they say nothing, before the
// monitor is heard again.
func TestViewsToWhichRedisWentBackSayNothing(t *testing.T) {
	w := newWorld()
	w.activeDied()
	dead := w.view.Snapshot.Observations
	w.view.Snapshot.Observations = map[cluster.Endpoint]map[string]cluster.Observation{}
	_ = w.observe("a:1", "", nil)
	_ = w.observe("b:1", "", map[string]string{"io": "Yes"})
	now := w.view.Snapshot.Observations
	if d := w.decide(); d.Rule != "hold" {
		t.Fatalf("rule %s with both alive: %s", d.Rule, d.Verdict.Reason)
	}
	for range 2 {
		w.now += 100 * time.Millisecond
		w.view.Snapshot.Observations = dead
		if d := w.decide(); d.Rule != "hold" || len(dead["a:1"]) != 1 {
			t.Errorf("rule %s by views of before: %s", d.Rule, d.Verdict.Reason)
		}
	}
	w.view.Snapshot.Observations = now
	w.decide()
	if m := newSituation(w.state, &w.view, &w.policy, w.now).member("a:1"); m.life != alive {
		t.Errorf("the monitor is heard again, and a:1 is %s", m.reason)
	}
	_ = w.observe("a:1", cluster.CauseRefused, map[string]string{"broken": "yes"})
	_ = w.observe("b:1", "", map[string]string{"io": "Connecting", "sql": "Yes"})
	if d := w.decide(); d.Rule != "failover" {
		t.Errorf("rule %s with the active dead: %s", d.Rule, d.Verdict.Reason)
	}
}

// A record of before durability was known is lost, and mmm.conf promises something by now: who
// could take over under it need not hold what is acknowledged from now on.
func TestNobodyMayTakeOverByARecordThatPromisedNothing(t *testing.T) {
	w := newWorld()
	w.activeDied()
	_ = w.observe("a:1", "", nil)
	w.decide()
	w.policy.Durability = cluster.SemiSyncStrict
	w.view.Snapshot.Assignment = cluster.Assignment{}
	for rebuilt := false; !rebuilt && w.now < time.Minute; {
		w.now += StartGrace
		_ = w.observe("a:1", "", nil)
		_ = w.observe("b:1", "", map[string]string{"io": "Yes"})
		rebuilt = w.decide().Rule == "rebuild" && w.last.Transition != nil
	}
	if a := w.view.Snapshot.Assignment; a.Epoch != 2 || a.Durability != cluster.SemiSyncStrict || !a.Waits || len(a.Eligible) > 0 {
		t.Errorf("rebuilt as %+v", a)
	}
}
