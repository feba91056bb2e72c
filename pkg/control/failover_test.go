package control

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

// outage is a bus on which nodeB took over in epoch 7 and died, and nodeA is back.
func outage() *fakeBus {
	b := newBus()
	b.snap.Assignment = cluster.Assignment{Epoch: 7, Version: 3, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, Blocked: true}
	server := cluster.Server{Flavor: cluster.MariaDB, GTIDMode: true, ReadOnly: cluster.Yes, Executed: "0-1-10", Identity: "1"}
	old := server
	old.Executed, old.Identity, old.Mark = "0-1-10,0-2-14", "2", cluster.Mark{Epoch: 7, Active: nodeB}
	server.Mark = cluster.Mark{Epoch: 6, Active: nodeA}
	b.snap.Observations = map[cluster.Endpoint]map[string]cluster.Observation{
		nodeA: {"m": {Monitor: "m", Node: nodeA, Server: server}},
		nodeB: {"m": {Monitor: "m", Node: nodeB, Cause: cluster.CauseRefused, Server: old, LastGoodMS: 1, UnansweredMS: 2, EndedMS: 60_000}},
	}
	b.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{
		nodeA: {"a": {Agent: "a", Node: nodeA, Deed: cluster.DeedClosed}},
		nodeB: {"a": {Agent: "a", Node: nodeB, Deed: cluster.DeedUnreachable, Cause: cluster.CauseRefused}},
	}
	b.snap.Pause = &cluster.Pause{Actor: "eve"}
	return b
}

func override() Failover {
	return Failover{Asked: Asked{Pair: pair, To: nodeA, Reason: "fire"}, Force: true,
		Policy: failover.Policy{Pair: pair, Interval: time.Second, ConnectTimeout: time.Second, TryTimes: 2, FailoverBlock: time.Minute, MaxLoss: 0}}
}

func TestFailoverTellsWhatIsLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*fakeBus)
		want  []string
	}{
		{"the old active is known", func(*fakeBus) {}, []string{
			"against the rules: 10.0.21.5:3308 is to be active, not 10.0.21.7:3308",
			"the record: epoch 7.3, phase steady, active 10.0.21.7:3308",
			"lost: at least 4 transactions of 10.0.21.7:3308 that 10.0.21.5:3308 never received, by the last sample of 10.0.21.7:3308: 0-2-14",
			"has not been seen replicating from 10.0.21.7:3308 in epoch 7",
			"is not closed unless an agent still reaches it", "overruled: automatic changes are paused by eve", "overruled: failover_block",
			"max_loss is 0", "the epoch row of 10.0.21.7:3308: 10.0.21.7:3308 was opened in epoch 7"}},
		{"it never answered", func(b *fakeBus) {
			b.snap.Observations[nodeB] = map[string]cluster.Observation{"m": {Monitor: "m", Node: nodeB, Cause: cluster.CauseConnectTimeout}}
		}, []string{"unknown: what 10.0.21.7:3308 has"}},
		{"nothing is remembered", func(b *fakeBus) { b.snap.Assignment = cluster.Assignment{} }, []string{"there is no assignment"}},
		{"it is alive", func(b *fakeBus) {
			o := b.snap.Observations[nodeB]["m"]
			o.Cause = cluster.CauseNone
			b.snap.Observations[nodeB]["m"] = o
		}, []string{"Failover of mysql3308 to 10.0.21.5:3308 will be refused, as it looks from here:\n  ! 10.0.21.7:3308, the active, is alive: use mmmctl switchover"}},
		{"in quarantine", func(b *fakeBus) {
			b.snap.Reports[nodeA]["a"] = cluster.Report{Agent: "a", Node: nodeA, Deed: cluster.DeedQuarantine, Order: cluster.Order{Epoch: 7, Version: 3}, Reason: "it has 0-1-99"}
		}, []string{"forced although 10.0.21.5:3308 is in quarantine: it has 0-1-99"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := outage()
			c.spoil(b)
			var text bytes.Buffer
			fo := override()
			fo.Confirm = func(p Plan) error {
				PrintPlan(&text, p)
				return &Error{Code: "declined", Exit: ExitFailed}
			}
			if _, err := service(b).Failover(context.Background(), fo); err == nil || len(b.filed) > 0 {
				t.Fatalf("declined, and yet filed %v (%v)", b.filed, err)
			}
			for _, w := range c.want {
				if !strings.Contains(text.String(), w) {
					t.Errorf("does not say %q:\n%s", w, text.String())
				}
			}
		})
	}
}

// A plan that says itself that it will be refused is not filed where nobody has
// looked at it; it names the server that was meant.
func TestFailoverToTheDeadActiveIsNotFiled(t *testing.T) {
	for _, c := range []struct {
		name           string
		unasked, force bool
		filed          bool
	}{{"unasked", true, false, false}, {"asked", false, false, true}, {"forced", true, true, true}} {
		synctest.Test(t, func(t *testing.T) {
			b := outage()
			b.onFile = answer(cluster.RequestRefused, "10.0.21.7:3308 is active already")
			var text bytes.Buffer
			fo := override()
			fo.To, fo.Unasked, fo.Force = nodeB, c.unasked, c.force
			fo.Confirm = func(p Plan) error { PrintPlan(&text, p); return nil }
			_, err := service(b).Failover(context.Background(), fo)
			const right = `the other server is 10.0.21.5:3308: mmmctl failover --tag mysql3308 --to 10.0.21.5:3308 --reason "..."`
			var e *Error
			if !errors.As(err, &e) || e.Exit != ExitRefused || len(b.filed) > 0 != c.filed || !c.filed && !strings.Contains(e.Message, right) {
				t.Errorf("%s: got %v, filed %v", c.name, err, b.filed)
			}
			if got := text.String(); !strings.Contains(got, right) || strings.Contains(got, "is to be active") || strings.Contains(got, "is closed") {
				t.Errorf("%s: the plan:\n%s", c.name, got)
			}
			synctest.Wait()
		})
	}
}

// The report of an agent that died together with its server still says "open". One
// look cannot tell, so it keeps nobody from asking; what is certain does.
func TestFailoverIsFiledInSpiteOfAnOldReport(t *testing.T) {
	for _, c := range []struct {
		name       string
		quarantine bool
		filed      bool
		says       string
	}{
		{"only the report", false, true, "! refused if that agent still lives: agent a gets answers from 10.0.21.7:3308, the active, and finds it open"},
		{"and a quarantine", true, false, "! 10.0.21.5:3308 is in quarantine: it has 0-1-99 (--force goes on all the same)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := outage()
			b.onFile = answer(cluster.RequestDone, "10.0.21.5:3308 is active")
			b.snap.Reports[nodeB]["a"] = cluster.Report{Agent: "a", Node: nodeB, Deed: cluster.DeedOpen}
			if c.quarantine {
				b.snap.Reports[nodeA]["a"] = cluster.Report{Agent: "a", Node: nodeA, Deed: cluster.DeedQuarantine, Order: cluster.Order{Epoch: 7, Version: 3}, Reason: "it has 0-1-99"}
			}
			var text bytes.Buffer
			fo := override()
			fo.Unasked, fo.Force = true, false
			fo.Confirm = func(p Plan) error { PrintPlan(&text, p); return nil }
			_, err := service(b).Failover(context.Background(), fo)
			if len(b.filed) > 0 != c.filed || (err == nil) != c.filed || !strings.Contains(text.String(), c.says) {
				t.Errorf("%s: got %v, filed %v\n%s", c.name, err, b.filed, text.String())
			}
			if told := strings.Contains(text.String(), "lost: at least 4 transactions"); told != c.filed {
				t.Errorf("%s: tells of the loss: %v", c.name, told)
			}
			synctest.Wait()
		})
	}
}

// What the plan of a switchover says of the accounts that agents lock, and of a quarantine.
func TestSwitchoverTellsOfAccountsAndQuarantine(t *testing.T) {
	b := newBus()
	plan := func() string {
		var text bytes.Buffer
		PrintPlan(&text, planOf(Switchover{Asked: Asked{Pair: pair, Timeout: time.Second}}, b.snap, nodeA, nodeB))
		return text.String()
	}
	if got := plan(); strings.Contains(got, "block_user") || strings.Contains(got, "released") || strings.Contains(got, "quarantine") {
		t.Errorf("nothing is locked, nobody in quarantine:\n%s", got)
	}
	app, web := cluster.Account{User: "app", Host: "%"}, cluster.Account{User: "web", Host: "10.%"}
	b.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{nodeB: {
		"one": {Locked: []cluster.Account{web, app}}, "two": {Locked: []cluster.Account{app}},
	}}
	want := []string{"1. the accounts that block_user names are locked on 10.0.21.5:3308, as they are on 10.0.21.7:3308 now: app@%, web@10.%\n",
		"5. these accounts are released on 10.0.21.7:3308\n  6. 10.0.21.7:3308 becomes active"}
	for _, w := range want {
		if got := plan(); !strings.Contains(got, w) {
			t.Errorf("does not say %q:\n%s", w, got)
		}
	}
	b.snap.Reports[nodeB]["one"] = cluster.Report{Deed: cluster.DeedQuarantine, Order: cluster.Order{Epoch: 7, Version: 3}, Reason: "it has 0-2-99"}
	if got := plan(); !strings.Contains(got, "! 10.0.21.7:3308 is in quarantine and it will be refused: it has 0-2-99; mmmctl rejoin --tag mysql3308 --node 10.0.21.7:3308 shows what it holds and, with --discard, gives that up; or rebuild it from 10.0.21.5:3308 (README, Quarantine)") {
		t.Errorf("does not tell of the quarantine:\n%s", got)
	}
}

func TestFailoverEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*fakeBus)
		to    cluster.Endpoint
		exit  int
		filed bool
	}{
		{"done", func(b *fakeBus) { b.onFile = answer(cluster.RequestDone, "10.0.21.5:3308 is active") }, nodeA, 0, true},
		{"refused", func(b *fakeBus) { b.onFile = answer(cluster.RequestRefused, "it does not answer") }, nodeA, ExitRefused, true},
		{"not finished", func(b *fakeBus) { b.onFile = answer(cluster.RequestFailed, "it goes on by itself") }, nodeA, ExitUnknown, true},
		{"nobody takes it", func(*fakeBus) {}, nodeA, ExitFailed, true},
		{"to a stranger", func(*fakeBus) {}, "10.9.9.9:3306", ExitNotFound, false},
		{"nobody leads", func(b *fakeBus) { b.snap.Leader = cluster.Leader{} }, nodeA, ExitFailed, false},
		{"without a record", func(b *fakeBus) {
			b.snap.Assignment = cluster.Assignment{}
			b.onFile = answer(cluster.RequestDone, "10.0.21.5:3308 is active")
		}, nodeA, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := outage()
				c.spoil(b)
				fo := override()
				fo.To = c.to
				_, err := service(b).Failover(context.Background(), fo)
				var e *Error
				if c.exit == 0 && err != nil || c.exit != 0 && (!errors.As(err, &e) || e.Exit != c.exit) {
					t.Errorf("got %v, want exit %d", err, c.exit)
				}
				if len(b.filed) > 0 != c.filed {
					t.Fatalf("filed %v", b.filed)
				}
				if c.filed {
					if r := b.filed[0]; r.Verb != cluster.VerbFailover || r.To != nodeA || !r.Force || r.Reason != "fire" || r.Actor != "dba@jump" || r.TimeoutMS != 30_000 {
						t.Errorf("filed %+v", r)
					}
				}
				synctest.Wait()
			})
		})
	}
}

func TestSwitchoverTellsThatTheRoleReturns(t *testing.T) {
	locked := []cluster.Account{{User: "app", Host: "%"}, {User: "batch", Host: "%"}}
	for _, c := range []struct {
		name     string
		to       cluster.Endpoint
		failback failover.Failback
		users    []string
		locked   []cluster.Account
		want     string // empty: nothing of it
	}{
		{"auto", nodeB, failover.FailbackAuto, nil, nil, "the role returns to 10.0.21.5:3308 by itself: failback=auto, after 1m0s"},
		{"auto, users locked", nodeB, failover.FailbackAuto, []string{"app"}, locked, "failback=auto, after 1m0s"},
		{"towards home", nodeA, failover.FailbackAuto, nil, nil, ""},
		{"manual", nodeB, failover.FailbackManual, []string{"app"}, locked, ""},
		{"follow", nodeB, failover.FailbackFollow, []string{"app"}, nil, "failback=follow, when a client of the active has been seen there for 1m0s"},
		{"follow, one user is free", nodeB, failover.FailbackFollow, []string{"app", "web"}, locked, "failback=follow, when a client"},
		{"follow, all are locked", nodeB, failover.FailbackFollow, []string{"app"}, locked,
			"failback=follow cannot happen: block_user locks the users of 10.0.21.7:3308 (app) on 10.0.21.5:3308"},
		{"follow, nobody is connected", nodeB, failover.FailbackFollow, nil, locked,
			"failback=follow cannot happen for the users that block_user locks on 10.0.21.5:3308 (app, batch)"},
		{"follow, all are locked, towards home", nodeA, failover.FailbackFollow, []string{"app"}, locked, ""},
	} {
		b, from := newBus(), pair.Other(c.to)
		o := b.snap.Observations[from]["m"]
		o.Server.Users = c.users
		b.snap.Observations[from]["m"] = o
		b.snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{c.to: {"a": {Locked: c.locked}}}
		p := planOf(Switchover{Asked: Asked{Pair: pair}, Failback: c.failback, FailbackAfter: time.Minute}, b.snap, from, c.to)
		got := strings.Join(p.Warnings, "; ")
		if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "failback") {
			t.Errorf("%s: warnings %q, want %q", c.name, got, c.want)
		}
	}
}
