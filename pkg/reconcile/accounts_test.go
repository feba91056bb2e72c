package reconcile_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

var (
	app   = cluster.Account{User: "app", Host: "%"}
	app2  = cluster.Account{User: "app2", Host: "10.0.%"}
	other = cluster.Account{User: "report", Host: "%"}
	repl  = cluster.Account{User: "repl", Host: "%"}
	our   = cluster.Account{User: "mmm", Host: "%"}
	root  = cluster.Account{User: "root", Host: "localhost"}
	sys   = cluster.Account{User: "mysql.sys", Host: "localhost"}
	every = []cluster.Account{app, app2, other, repl, our, root, sys}
)

func blocking(user, host string) reconcile.Blocking {
	return reconcile.Blocking{User: regexp.MustCompile(user), Host: regexp.MustCompile(host), Exempt: []string{"mmm", "repl"}}
}

func open(a cluster.Account) cluster.AccountState { return cluster.AccountState{Account: a} }
func locked(a cluster.Account) cluster.AccountState {
	return cluster.AccountState{Account: a, Locked: true}
}
func turned(a cluster.Account) cluster.AccountState {
	return cluster.AccountState{Account: a, Reversed: true}
}

// accounts blocks app and app2, and lets the accounts have been read just now.
func accounts(states ...cluster.AccountState) func(*input) {
	return func(in *input) {
		in.Blocking = blocking(`^app`, `%`)
		in.Accounts = reconcile.Accounts{Began: in.OrderTick + 1, All: append(states, open(our)), After: in.Now + time.Second}
	}
}

func ours(all ...cluster.Account) func(*input) {
	return func(in *input) { in.Accounts.Ours, in.Accounts.Mine = all, all }
}

func learned(all ...cluster.Account) func(*input) {
	return func(in *input) { in.Accounts.Ours, in.Accounts.Mine = all, nil }
}

func owned(all ...cluster.Account) func(*input) { return func(in *input) { in.Owned = all } }

func sealed(t cluster.Tri) func(*input) {
	return func(in *input) { in.Mine.Server.SuperReadOnly = t }
}

func epochTable(in *input) { in.Record.EpochTable = "mmm_meta.epoch" }

func TestDecideAboutAccounts(t *testing.T) {
	rows := []struct {
		name  string
		in    reconcile.Input
		steps []reconcile.Kind
		which []cluster.AccountState
	}{
		{name: "what agents have locked is looked up once",
			in: given(func(in *input) { in.Accounts.Shared = false }), steps: kinds(reconcile.ReadAccounts)},
		{name: "accounts are nobody's concern without patterns and without locks of ours", in: given()},
		{name: "accounts are read when it is time",
			in: given(accounts(open(app)), func(in *input) { in.Accounts.After = in.Now }), steps: kinds(reconcile.ReadAccounts)},
		{name: "accounts of the passive that match and can log in are locked",
			in:    given(accounts(open(app), open(app2), open(other))),
			steps: kinds(reconcile.Lock), which: []cluster.AccountState{open(app), open(app2)}},
		{name: "what its owner has locked is left alone", in: given(accounts(locked(app), turned(app2)))},
		{name: "what we have locked stays so", in: given(accounts(locked(app)), ours(app))},
		{name: "a locked account that lost its lock is locked again",
			in: given(accounts(open(app)), ours(app)), steps: kinds(reconcile.Lock), which: []cluster.AccountState{open(app)}},
		{name: "accounts read before the order say nothing",
			in: given(accounts(open(app)), func(in *input) { in.Accounts.Began = in.OrderTick - 1 })},
		{name: "locking that did not succeed waits",
			in: given(accounts(open(app)), func(in *input) { in.Accounts.WorkAfter = in.Now + time.Second })},
		{name: "our own account, replication's and the server's are never locked",
			in: given(accounts(open(our), open(repl), open(root), open(sys)), func(in *input) { in.Blocking = blocking(`.*`, `.*`) })},
		{name: "the passive keeps its accounts locked while the role moves",
			in: given(phase(cluster.PhaseRevoked, a, b), drained, accounts(open(app), locked(app2)), ours(app2),
				memory(func(m *reconcile.Memory) { m.Ready = cluster.Order{Epoch: 5, Version: 3} }))},
		{name: "accounts of the passive that do not match any more are released by whoever locked them",
			in:    given(accounts(locked(other), locked(app)), ours(other, app)),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{locked(other)}},
		{name: "another agent may have other patterns: what it locked stays",
			in: given(accounts(locked(other)), learned(other))},
		{name: "an open passive is closed before anything else",
			in: given(mineRO(cluster.No), accounts(open(app))), steps: kinds(reconcile.Close)},

		{name: "accounts of the active that we have locked are released",
			in:    given(onActive, accounts(locked(app), open(app2), locked(other)), learned(app)),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{locked(app)}},
		{name: "also when they match no more",
			in:    given(onActive, accounts(locked(other)), ours(other)),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{locked(other)}},
		{name: "also when nobody is to be blocked any more",
			in:    given(onActive, accounts(locked(app)), ours(app), func(in *input) { in.Blocking = reconcile.Blocking{} }),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{locked(app)}},
		{name: "what its owner has locked on the active stays locked", in: given(onActive, accounts(locked(app)))},
		{name: "what the predecessor has turned around is turned back where it matches",
			in:    given(onActive, accounts(turned(app), turned(other))),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{turned(app)}},
		{name: "an owner's lock stays when the predecessor's turning is undone",
			in:    given(onActive, accounts(cluster.AccountState{Account: app, Locked: true, Reversed: true})),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{turned(app)}},
		{name: "accounts that come with the server are released by nobody, whatever is on record",
			in: given(onActive, accounts(locked(root), locked(sys)), ours(root, sys))},
		{name: "but what the predecessor has turned around is turned back",
			in:    given(onActive, accounts(turned(root)), ours(root), func(in *input) { in.Blocking = blocking(`^root`, `.*`) }),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{turned(root)}},
		{name: "nor on the passive", in: given(accounts(locked(root), locked(sys)), ours(root, sys))},
		{name: "nothing is locked on the active", in: given(onActive, accounts(open(app)))},

		{name: "what was released is forgotten",
			in: given(onActive, accounts(open(app)), ours(app)), steps: kinds(reconcile.Forget), which: []cluster.AccountState{open(app)}},
		{name: "not while an order to lock it may be on its way",
			in: given(onActive, accounts(open(app)), ours(app), func(in *input) { in.Accounts.LateUntil = in.Now + 1 })},
		{name: "and then it is",
			in:    given(onActive, accounts(open(app)), ours(app), func(in *input) { in.Accounts.LateUntil = in.Now }),
			steps: kinds(reconcile.Forget), which: []cluster.AccountState{open(app)}},
		{name: "an account that is gone is forgotten",
			in: given(accounts(locked(app)), ours(app, app2)), steps: kinds(reconcile.Forget), which: []cluster.AccountState{open(app2)}},
		{name: "an account that its owner has locked on the active is no longer ours on the passive",
			in: given(accounts(locked(app)), ours(app), owned(app)), steps: kinds(reconcile.Forget), which: []cluster.AccountState{open(app)}},
		{name: "nothing is forgotten because no account was read",
			in: given(accounts(), ours(app), func(in *input) { in.Accounts.All = nil })},

		{name: "a passive without super_read_only is sealed", in: given(sealed(cluster.No)), steps: kinds(reconcile.Seal)},
		{name: "a sealed passive is left alone", in: given(sealed(cluster.Yes))},
		{name: "the active is not sealed", in: given(onActive, sealed(cluster.No))},
		{name: "sealing that did not succeed waits",
			in: given(sealed(cluster.No), memory(func(m *reconcile.Memory) { m.SealAfter = time.Hour }))},
		{name: "a passive is sealed before its accounts are locked",
			in: given(sealed(cluster.No), accounts(open(app))), steps: kinds(reconcile.Seal, reconcile.Lock), which: []cluster.AccountState{open(app)}},

		{name: "the active's epoch row is raised", in: given(onActive, epochTable), steps: kinds(reconcile.WriteMark)},
		{name: "an epoch row that is raised stays",
			in: given(onActive, epochTable, memory(func(m *reconcile.Memory) { m.Marked = 5 }))},
		{name: "a passive writes no epoch row", in: given(epochTable)},
		{name: "an active that is not open writes no epoch row",
			in: given(onActive, epochTable, mineRO(cluster.Yes)), steps: kinds(reconcile.Open)},
		{name: "no epoch row is written before the pair is steady",
			in: given(onActive, epochTable, phase(cluster.PhaseOpening, b, a))},

		{name: "the predecessor's passive is tended too",
			in:    given(mode(a, b), accounts(open(app)), sealed(cluster.No)),
			steps: kinds(reconcile.Seal, reconcile.Lock), which: []cluster.AccountState{open(app)}},
		{name: "the predecessor's active is tended too",
			in:    given(onActive, mode(a, b), accounts(turned(app))),
			steps: kinds(reconcile.Release), which: []cluster.AccountState{turned(app)}},
		{name: "what else is wrong does not keep accounts from being released",
			in:    given(onActive, peerFails(cluster.CauseRefused, 1), accounts(locked(app)), ours(app)),
			steps: kinds(reconcile.StopIO, reconcile.Release), which: []cluster.AccountState{locked(app)}},
		{name: "accounts are released before replication is started",
			in:    given(onActive, asked, threads(cluster.ThreadNo, cluster.ThreadNo), accounts(locked(app)), ours(app)),
			steps: kinds(reconcile.Release, reconcile.StartReplication), which: []cluster.AccountState{locked(app)}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := reconcile.Decide(row.in)
			if diff := cmp.Diff(row.steps, kindsOf(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			var which []cluster.AccountState
			for _, s := range p.Steps {
				which = append(which, s.Accounts...)
			}
			if diff := cmp.Diff(row.which, which); diff != "" {
				t.Errorf("accounts (-want +got):\n%s", diff)
			}
		})
	}
}

func genAccounts(t *rapid.T, in *input) {
	some := func(name string) []cluster.Account {
		var all []cluster.Account
		for _, a := range every {
			if rapid.IntRange(0, 2).Draw(t, name+" "+a.String()) == 0 {
				all = append(all, a)
			}
		}
		return all
	}
	for _, a := range every {
		if rapid.Bool().Draw(t, "exists "+a.String()) {
			in.Accounts.All = append(in.Accounts.All, cluster.AccountState{Account: a,
				Locked: rapid.Bool().Draw(t, "locked "+a.String()), Reversed: rapid.IntRange(0, 3).Draw(t, "turned "+a.String()) == 0})
		}
	}
	in.Accounts.Ours, in.Owned = some("ours"), some("owned")
	for _, a := range in.Accounts.Ours {
		if rapid.Bool().Draw(t, "mine "+a.String()) {
			in.Accounts.Mine = append(in.Accounts.Mine, a)
		}
	}
	in.Accounts.Shared = rapid.Bool().Draw(t, "shared")
	in.Accounts.Began = rapid.Uint64Range(0, 6).Draw(t, "accounts.began")
	in.Accounts.After = time.Duration(rapid.SampledFrom([]int{5, 20, 20, 20}).Draw(t, "accounts.after")) * time.Second
	in.Accounts.WorkAfter = time.Duration(rapid.SampledFrom([]int{5, 5, 20}).Draw(t, "accounts.workafter")) * time.Second
	if rapid.IntRange(0, 3).Draw(t, "blocking") > 0 {
		in.Blocking = blocking(rapid.SampledFrom([]string{`^app`, `.*`, `^(app|mmm|repl|root)$`}).Draw(t, "block_user"),
			rapid.SampledFrom([]string{`%`, `.*`, `^10\.`}).Draw(t, "block_host"))
	}
	in.Mine.Server.SuperReadOnly = rapid.SampledFrom([]cluster.Tri{cluster.Unknown, cluster.Yes, cluster.No}).Draw(t, "super")
	in.Memory.Marked = cluster.Epoch(rapid.IntRange(0, 4).Draw(t, "marked"))
	in.Memory.MarkAfter = time.Duration(rapid.SampledFrom([]int{5, 20}).Draw(t, "markafter")) * time.Second
	if rapid.Bool().Draw(t, "epoch table") {
		in.Record.EpochTable = "mmm_meta.epoch"
	}
}

// checkAccounts checks what doc.go promises about accounts, seal and epoch row.
func checkAccounts(in input, p reconcile.Plan, never func(bool, string)) {
	rec := in.Record
	active := rec.Exists() && rec.Phase == cluster.PhaseSteady && rec.Active == in.Self || !rec.Exists() && in.Legacy.Active == in.Self
	state := func(a cluster.Account) cluster.AccountState {
		i := slices.IndexFunc(in.Accounts.All, func(s cluster.AccountState) bool { return s.Account == a })
		if i < 0 {
			return cluster.AccountState{}
		}
		return in.Accounts.All[i]
	}
	for _, s := range p.Steps {
		never(s.Kind == reconcile.WriteMark && (!active || !in.Mine.Open() || in.Memory.Marked >= rec.Epoch), "wrote an epoch row where it must not")
		never(s.Kind == reconcile.Seal && (!in.Mine.Closed() || active), "sealed a server that may be open")
		for _, x := range s.Accounts {
			a, now := x.Account, state(x.Account)
			isOurs, isMine := slices.Contains(in.Accounts.Ours, a), slices.Contains(in.Accounts.Mine, a)
			switch s.Kind {
			case reconcile.Lock:
				never(active || !in.Mine.Closed(), "locked accounts of a server that is or may be open")
				never(!in.Blocking.On() || !in.Blocking.User.MatchString(a.User) || !in.Blocking.Host.MatchString(a.Host), "locked an account that does not match")
				never(slices.Contains([]cluster.Account{our, repl, root, sys}, a), "locked an account by which the pair lives")
				never(now.Locked || now.Reversed, "locked an account that is locked")
			case reconcile.Release:
				never(active && !in.Mine.Open(), "released on an active that is closed apart from its opening")
				never(!active && (!isMine || in.Blocking.Blocks(a)), "released on a server that is not the active")
				never(!isOurs && (x.Locked || !now.Reversed), "released a lock that is not ours")
				never(!now.Locked && !now.Reversed, "released an account that can log in")
			case reconcile.Forget:
				never(!isOurs, "forgot what was not on record")
				never(active && (now.Locked || now.Reversed), "forgot a lock of ours on the active")
				never(!active && (now.Locked || now.Reversed) && !slices.Contains(in.Owned, a), "forgot a lock of ours on the passive")
			default:
				never(true, "accounts in a step that has none")
			}
		}
	}
}
