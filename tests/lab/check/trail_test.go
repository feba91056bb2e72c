package check

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func opens(agent string, server cluster.Endpoint, epoch cluster.Epoch, version uint64, ms int) Opening {
	return Opening{Agent: agent, Server: server, Order: cluster.Order{Epoch: epoch, Version: version}, At: at(ms)}
}

func TestTrail(t *testing.T) {
	const steady, revoked, opening, switching = cluster.PhaseSteady, cluster.PhaseRevoked, cluster.PhaseOpening, cluster.PhaseSwitching
	good := func(t *Trail) {
		t.Add(1, event(1, 1, 1, opening, a, cluster.ProofGone), event(2, 1, 2, steady, a, cluster.ProofGone),
			event(100, 2, 1, revoked, "", ""), event(110, 2, 2, opening, b, cluster.RiskRefused), event(120, 2, 3, steady, b, cluster.RiskRefused),
			event(500, 2, 4, switching, b, cluster.ProofNone), event(510, 3, 1, opening, a, cluster.ProofFenced), event(520, 3, 2, steady, a, cluster.ProofFenced))
		t.Opened(opens("x", a, 1, 1, 2), opens("y", b, 2, 2, 115), opens("x", a, 3, 1, 515))
	}
	rebuilt := func(id uint64, epoch cluster.Epoch, active cluster.Endpoint) cluster.Event {
		e := event(id, epoch, 1, steady, active, cluster.ProofNone)
		e.Kind = kindRebuilt
		return e
	}
	// died is a record and a failover by itself after it.
	died := func(id uint64, epoch cluster.Epoch, from, to cluster.Endpoint, before cluster.Assignment) []cluster.Event {
		first, second := event(id, epoch-1, 2, steady, from, cluster.ProofFenced), event(id+10, epoch, 1, revoked, "", "")
		before.Epoch, before.Version, before.Phase, before.Active, before.Proof = epoch-1, 2, steady, from, cluster.ProofFenced
		first.Assignment = before
		second.Assignment.From, second.Assignment.To, second.Assignment.Cause = from, to, cluster.CauseFailover(cluster.CauseRefused)
		return []cluster.Event{first, second}
	}
	for _, c := range []struct {
		name    string
		tell    func(*Trail)
		finding string
	}{
		{"a failover and a switchover", func(*Trail) {}, ""},
		{"told again", good, ""},
		{"the record goes back", func(t *Trail) { t.Add(1, event(600, 2, 9, steady, b, cluster.ProofFenced)) }, "the record goes from"},
		{"an order is there twice", func(t *Trail) { t.Add(1, event(600, 3, 2, steady, a, cluster.ProofFenced)) }, "the record goes from"},
		{"two actives in one epoch", func(t *Trail) { t.Add(1, event(600, 3, 3, steady, b, cluster.ProofFenced)) }, "epoch 3 has db2:3306 as its active, and had db1:3306"},
		{"another active without a proof", func(t *Trail) { t.Add(1, event(600, 4, 1, opening, b, cluster.ProofNone)) }, "names db2:3306 after"},
		{"the same one after it was revoked, without a proof", func(t *Trail) {
			t.Add(1, event(600, 4, 1, revoked, "", ""), event(610, 4, 2, opening, a, cluster.ProofNone))
		}, `names db1:3306 after "db1:3306" with the proof ""`},
		{"the proof is none that there is", func(t *Trail) { t.Add(1, event(600, 4, 1, opening, b, "all is well")) }, `with the proof "all is well"`},
		{"a switchover that is given up needs none", func(t *Trail) {
			t.Add(1, event(600, 3, 3, switching, a, cluster.ProofNone), event(610, 3, 4, steady, a, cluster.ProofNone))
		}, ""},
		{"a second failover, which the first one blocks", func(t *Trail) {
			t.Add(1, died(600, 5, b, a, cluster.Assignment{Blocked: true, Eligible: []cluster.Endpoint{a}})...)
		}, "still blocked it, by 4.2"},
		{"a failover to a server that was not eligible", func(t *Trail) {
			t.Add(1, died(600, 5, b, a, cluster.Assignment{Eligible: []cluster.Endpoint{b}})...)
		}, "gives the role of db2:3306 to db1:3306, which was not eligible, by 4.2"},
		{"a failover to one that was", func(t *Trail) {
			t.Add(1, died(600, 5, b, a, cluster.Assignment{Eligible: []cluster.Endpoint{a}})...)
		}, ""},
		{"a failover from one that lost its own, to one that was not", func(t *Trail) {
			events := died(600, 5, b, a, cluster.Assignment{})
			events[1].Assignment.Cause = cluster.CauseTail
			t.Add(1, events...)
		}, ""},
		{"and where the last one blocks it", func(t *Trail) {
			events := died(600, 5, b, a, cluster.Assignment{Blocked: true})
			events[1].Assignment.Cause = cluster.CauseTail
			t.Add(1, events...)
		}, "still blocked it"},
		{"the role goes back from one that died before it was open", func(t *Trail) {
			events := died(600, 5, b, a, cluster.Assignment{})
			events[0].Assignment.Phase = cluster.PhaseOpening
			t.Add(1, events...)
		}, ""},
		{"an operator gives the role to one that was not", func(t *Trail) {
			events := died(600, 5, b, a, cluster.Assignment{})
			events[1].Assignment.Cause = cluster.CauseOverride
			t.Add(1, events...)
		}, ""},
		{"an event changes", func(t *Trail) { t.Add(1, event(520, 3, 2, steady, a, cluster.RiskHung)) }, "and told of"},
		{"an event tells of no record", func(t *Trail) { t.Add(1, event(600, 0, 0, "", "", "")) }, "tells of no record"},
		{"an event has no id", func(t *Trail) {
			t.Add(1, cluster.Event{ID: "soon", Assignment: cluster.Assignment{Epoch: 9}})
		}, "no id of a stream"},

		{"an opening of whom the record does not name", func(t *Trail) { t.Opened(opens("z", a, 2, 3, 130)) }, "which names"},
		{"an opening under an order that no record had", func(t *Trail) { t.Opened(opens("z", b, 2, 9, 130)) }, "no record had that order"},
		{"an opening of what was not read yet", func(t *Trail) { t.Opened(opens("z", b, 4, 1, 600)) }, ""},
		{"two servers in one epoch", func(t *Trail) { t.Opened(opens("z", a, 2, 2, 130)) }, "opens db1:3306 in epoch 2, and agent y opened db2:3306"},
		{"an agent goes back", func(t *Trail) { t.Opened(opens("x", a, 1, 2, 530)) }, "after db1:3306 under"},
		{"an agent opens again", func(t *Trail) { t.Opened(opens("x", a, 3, 2, 530)) }, ""},

		{"Redis is emptied and the record rebuilt", func(t *Trail) { t.Add(2, rebuilt(1000, 4, a)) }, ""},
		{"Redis is set back and the record rebuilt for who was active", func(t *Trail) {
			t.Add(2, event(1, 1, 1, opening, a, cluster.ProofGone), event(120, 2, 3, steady, b, cluster.RiskRefused), rebuilt(1000, 4, a))
		}, ""},
		{"what Redis has lost was obeyed", func(t *Trail) {
			t.Opened(opens("y", b, 4, 1, 900))
			t.Add(2, event(1, 1, 1, opening, a, cluster.ProofGone), rebuilt(1000, 5, b))
		}, ""},
		{"long after Redis has lost it nobody obeys it", func(t *Trail) {
			t.Opened(opens("y", b, 4, 1, 60000))
			t.Add(2, event(1, 1, 1, opening, a, cluster.ProofGone), rebuilt(1000, 5, b), event(2000, 5, 2, steady, b, ""))
		}, "no record had that order"},
		{"an epoch that was lost is given again, to another", func(t *Trail) {
			t.Opened(opens("y", b, 4, 1, 900), opens("z", a, 4, 2, 2100))
			t.Add(2, event(1, 1, 1, opening, a, cluster.ProofGone), rebuilt(1000, 4, a), event(2000, 4, 2, steady, a, ""))
		}, "in epoch 4, and agent y opened"},
		{"by one of two masters", func(t *Trail) {
			t.Opened(opens("y", b, 4, 1, 900), opens("z", a, 4, 2, 2100))
			t.Add(2, event(1, 1, 1, opening, a, cluster.ProofGone), rebuilt(1000, 4, a), event(2000, 4, 2, steady, a, ""))
			t.Fork(2)
		}, ""},
	} {
		trail := NewTrail()
		good(trail)
		if found := trail.Check(); len(found) > 0 {
			t.Fatalf("findings of a good trail: %v", found)
		}
		c.tell(trail)
		expect(t, c.name, trail.Check(), c.finding)
		if again := trail.Check(); len(again) > 0 {
			t.Errorf("%s: told again: %v", c.name, again)
		}
	}
}
