package reconcile_test

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

func TestTail(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		flavor                  cluster.Flavor
		identity, has           string
		otherHas, otherReceived string
		want                    string
	}{
		{"it has all", cluster.MySQL, u1, u1 + ":1-10", u1 + ":1-10", u1 + ":1-10", ""},
		{"the other has less", cluster.MySQL, u1, u1 + ":1-10", u1 + ":1-8", "", ""},
		{"the other has applied more", cluster.MySQL, u1, u1 + ":1-10", u1 + ":1-12", "", u1 + ":11-12"},
		{"the other has received more", cluster.MySQL, u1, u1 + ":1-10", u1 + ":1-10", u1 + ":9-11", u1 + ":11"},
		{"what the other wrote itself is its own", cluster.MySQL, u1, u1 + ":1-10", u1 + ":1-10," + u2 + ":1-3", "", ""},
		{"of MariaDB", cluster.MariaDB, "1", "0-1-10", "0-1-10,0-2-12", "0-1-11", "0-1-11"},
		{"of MariaDB, nothing", cluster.MariaDB, "1", "0-1-11,0-2-12", "0-1-10,0-2-13", "0-1-11", ""},
		{"who it is was not read", cluster.MySQL, "", u1 + ":1-10", u1 + ":1-12", "", ""},
		{"what cannot be read", cluster.MySQL, u1, "x", u1 + ":1-12", "", ""},
	} {
		s := cluster.Server{Flavor: tc.flavor, Identity: tc.identity, Executed: tc.has}
		other := cluster.Server{Flavor: tc.flavor, Executed: tc.otherHas, Channel: cluster.Channel{Received: tc.otherReceived}}
		if got := reconcile.Tail(s, other); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// An active that is started anew is compared with what the other has before it is opened.
func TestAnActiveThatLostItsTailIsNotOpened(t *testing.T) {
	closed := func(in *reconcile.Input) { // read at 20, after what is known of the other
		in.Mine.Server.ReadOnly, in.Mine.Server.Identity = cluster.Yes, u1
		in.Memory.Since, in.Memory.Idle = 5, 18
	}
	ahead := func(in *reconcile.Input) { in.Theirs.Server.Channel.Received = u1 + ":1-12" }
	for _, tc := range []struct {
		name string
		with func(*reconcile.Input)
		want string // the only step, or the reason
		tail string
	}{
		{"nothing is lost", func(*reconcile.Input) {}, "open", ""},
		{"the other has more", ahead, "tail", u1 + ":11-12"},
		{"the other was read before the restart", func(in *reconcile.Input) { in.Memory.Since = 15; ahead(in) }, reconcile.ReasonComparing.Code, ""},
		{"it may be writing what the other has", func(in *reconcile.Input) { asked(in); ahead(in) }, string(reconcile.Settle), ""},
		{"it was not looked for writes", func(in *reconcile.Input) { in.Memory.Idle = 0; ahead(in) }, string(reconcile.Settle), ""},
		{"it was read before it wrote nothing any more", func(in *reconcile.Input) { asked(in); in.Memory.Idle = 35; ahead(in) }, "read", ""},
		{"it was found before", func(in *reconcile.Input) { asked(in); in.Memory.Lost = u1 + ":11-12"; ahead(in) }, "tail", u1 + ":11-12"},
		{"something else was found before", func(in *reconcile.Input) { asked(in); in.Memory.Lost = u1 + ":11"; ahead(in) }, string(reconcile.Settle), ""},
		{"the other does not answer", func(in *reconcile.Input) { ahead(in); in.Theirs.Cause = cluster.CauseRefused }, "open", ""},
		{"who takes over has a target instead", func(in *reconcile.Input) {
			ahead(in)
			phase(cluster.PhaseOpening, b, a)(in)
			threads(cluster.ThreadNo, cluster.ThreadYes)(in)
		}, "open", ""},
	} {
		p := reconcile.Decide(given(onActive, closed, tc.with))
		got := p.Reason.Code
		if len(p.Steps) > 0 {
			got = string(p.Steps[0].Kind)
		}
		if got != tc.want || p.Tail != tc.tail {
			t.Errorf("%s: %s (%v), tail %q, want %s, tail %q", tc.name, got, p.Reason, p.Tail, tc.want, tc.tail)
		}
	}
}

// A passive that has lost what it wrote itself skips that when it comes back.
func TestAPassiveThatLostItsTailMustBeRebuilt(t *testing.T) {
	lost := func(in *reconcile.Input) { // it is read at 30, the active was at 20
		in.Mine.Server.Identity = u2
		in.Mine.Began, in.Mine.PosBegan, in.Mine.PosEnded = 30, 30, 31
		in.Memory.Idle = 25
		in.Theirs.Server.Executed = u1 + ":1-10," + u2 + ":1-3"
		threads(cluster.ThreadNo, cluster.ThreadNo)(in)
	}
	if p := reconcile.Decide(given(lost)); p.Reason.Code != "rebuild" || len(p.Steps) > 0 {
		t.Errorf("%v, steps %v", p.Reason, p.Steps)
	}
	stale := func(in *reconcile.Input) { in.Mine.PosBegan, in.Mine.Began = 10, 10 }
	if p := reconcile.Decide(given(lost, stale)); len(p.Steps) != 1 || p.Steps[0].Kind != reconcile.Read {
		t.Errorf("read before the active: %v, steps %v", p.Reason, p.Steps)
	}
	busy := func(in *reconcile.Input) { in.Memory.Idle = 0 }
	if p := reconcile.Decide(given(lost, busy)); len(p.Steps) != 1 || p.Steps[0].Kind != reconcile.Settle {
		t.Errorf("not looked for writes: %v, steps %v", p.Reason, p.Steps)
	}
	whole := func(in *reconcile.Input) { in.Mine.Server.Executed += "," + u2 + ":1-3" }
	if p := reconcile.Decide(given(lost, whole)); len(p.Steps) != 1 || p.Steps[0].Kind != reconcile.StartReplication {
		t.Errorf("it has lost nothing: %v, steps %v", p.Reason, p.Steps)
	}
	takes := func(in *reconcile.Input) {
		in.Record.Durability = cluster.SemiSync
		in.Mine.Server.Flavor, in.Theirs.Server.Flavor = cluster.MariaDB, cluster.MariaDB
		in.Mine.Server.Identity, in.Mine.Server.Executed, in.Theirs.Server.Executed = "2", "0-1-10", "0-1-10,0-2-3"
	}
	if p := reconcile.Decide(given(lost, takes)); len(p.Steps) == 0 || p.Steps[0].Kind != reconcile.StartReplication {
		t.Errorf("MariaDB that acknowledges takes it: %v, steps %v", p.Reason, p.Steps)
	}
}

// A passive of MariaDB that was set up anew from a copy does not wait for origins that it does not list.
func TestARebuiltPassiveCatchesUp(t *testing.T) {
	in := given(phase(cluster.PhaseSwitching, a, b))
	in.Mine.Server.Flavor, in.Theirs.Server.Flavor = cluster.MariaDB, cluster.MariaDB
	in.Mine.Server.Executed = "0-2-30"
	in.PeerReports = []cluster.Report{{Closed: in.Record.Order(), Executed: "0-1-10,0-2-35"}}
	if p := reconcile.Decide(in); len(p.Steps) != 1 || p.Steps[0].Kind != reconcile.CatchUp || p.Steps[0].Target != "0-2-35" {
		t.Errorf("%v, steps %v", p.Reason, p.Steps)
	}
	in.PeerReports[0].Executed = "0-1-40,0-2-35" // that is beyond what it has
	if p := reconcile.Decide(in); len(p.Steps) != 1 || p.Steps[0].Target != "0-1-40,0-2-35" {
		t.Errorf("%v, steps %v", p.Reason, p.Steps)
	}
}
