package reconcile_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

func genSample(t *rapid.T, name string, peer cluster.Endpoint) reconcile.Sample {
	thread := rapid.SampledFrom([]cluster.Thread{cluster.ThreadYes, cluster.ThreadNo, cluster.ThreadConnecting, "Preparing", ""})
	began := rapid.Uint64Range(0, 6).Draw(t, name+".began")
	pos := rapid.Uint64Range(0, began).Draw(t, name+".pos")
	return reconcile.Sample{
		Cause: rapid.SampledFrom([]cluster.Cause{"", "", "", cluster.CauseRefused, cluster.CauseAnswerTimeout, cluster.CauseAccessDenied}).Draw(t, name+".cause"),
		Began: began, Ended: began + 1, PosBegan: pos, PosEnded: pos + 1,
		Lost:     rapid.Bool().Draw(t, name+".lost"),
		At:       time.Duration(rapid.IntRange(0, 10).Draw(t, name+".at")) * time.Second,
		Failures: rapid.IntRange(0, 4).Draw(t, name+".failures"),
		Server: cluster.Server{
			Flavor:   rapid.SampledFrom([]cluster.Flavor{cluster.MySQL, cluster.MySQL, cluster.MariaDB}).Draw(t, name+".flavor"),
			ReadOnly: rapid.SampledFrom([]cluster.Tri{cluster.Yes, cluster.No, cluster.Unknown}).Draw(t, name+".ro"),
			GTIDMode: rapid.Bool().Draw(t, name+".gtid"),
			Executed: rapid.SampledFrom([]string{"", u1 + ":1-10", u1 + ":1-12", u1 + ":1-10," + u2 + ":1-3", "0-1-5", "rubbish"}).Draw(t, name+".executed"),
			Channel: cluster.Channel{
				Configured: rapid.Bool().Draw(t, name+".configured"), GTID: rapid.Bool().Draw(t, name+".chgtid"),
				Source: rapid.SampledFrom([]cluster.Endpoint{peer, peer, x}).Draw(t, name+".source"),
				IO:     thread.Draw(t, name+".io"), SQL: thread.Draw(t, name+".sql"),
				SQLErrno: rapid.SampledFrom([]int{0, 0, 1062}).Draw(t, name+".errno"),
			},
		},
	}
}

func genOrder(t *rapid.T, name string) cluster.Order {
	return cluster.Order{Epoch: cluster.Epoch(rapid.IntRange(0, 3).Draw(t, name+".epoch")), Version: uint64(rapid.IntRange(0, 3).Draw(t, name+".version"))}
}

func genRecord(t *rapid.T, name string) cluster.Assignment {
	who := rapid.SampledFrom([]cluster.Endpoint{a, b, a, b, a, b, x, ""})
	o := genOrder(t, name)
	return cluster.Assignment{
		Epoch: o.Epoch, Version: o.Version,
		Phase: rapid.SampledFrom([]cluster.Phase{cluster.PhaseSteady, cluster.PhaseRevoked, cluster.PhaseOpening,
			cluster.PhaseSwitching, "", "melting"}).Draw(t, name+".phase"),
		Active: who.Draw(t, name+".active"), Passive: who.Draw(t, name+".passive"),
		From: who.Draw(t, name+".from"), To: who.Draw(t, name+".to"),
		Target: rapid.SampledFrom([]string{"", u1 + ":1-11", "rubbish"}).Draw(t, name+".target"),
		Proof:  rapid.SampledFrom([]cluster.Proof{cluster.ProofNone, cluster.ProofFenced, cluster.RiskHung}).Draw(t, name+".proof"),
	}
}

func genInput(t *rapid.T) reconcile.Input {
	in := reconcile.Input{Self: a, Peer: b}
	if rapid.Bool().Draw(t, "second") {
		in.Self, in.Peer = b, a
	}
	who := rapid.SampledFrom([]cluster.Endpoint{a, b, a, b, x, ""})
	in.Known = rapid.IntRange(0, 9).Draw(t, "known") > 0
	in.Paused = rapid.Bool().Draw(t, "paused")
	in.Record = genRecord(t, "record")
	if rapid.Bool().Draw(t, "remembers at all") {
		in.Remembers = genRecord(t, "remembers")
	}
	in.Legacy = cluster.LegacyMode{Active: who.Draw(t, "mode.active"), Passive: who.Draw(t, "mode.passive")}
	in.OrderTick = rapid.Uint64Range(0, 6).Draw(t, "ordertick")
	in.Mine, in.Theirs = genSample(t, "mine", in.Peer), genSample(t, "theirs", in.Self)
	in.Memory = reconcile.Memory{
		Closed: genOrder(t, "closed"), Ready: genOrder(t, "ready"), Refused: genOrder(t, "refused"),
		Queued: rapid.Bool().Draw(t, "queued"), Spare: rapid.Bool().Draw(t, "spare"), Connected: rapid.Bool().Draw(t, "connected"),
		Suspect: rapid.SampledFrom([]string{"", u2 + ":1-3", "rubbish"}).Draw(t, "suspect"), SuspectTick: rapid.Uint64Range(0, 6).Draw(t, "suspecttick"),
		Errant:     rapid.SampledFrom([]string{"", u2 + ":1-3"}).Draw(t, "errant"),
		StartAfter: time.Duration(rapid.IntRange(0, 20).Draw(t, "startafter")) * time.Second,
	}
	in.MyReports = []cluster.Report{{Closed: genOrder(t, "my report")}}
	in.PeerReports = []cluster.Report{{Closed: genOrder(t, "peer report"), Executed: rapid.SampledFrom([]string{"", u1 + ":1-12", "rubbish"}).Draw(t, "peer executed")}}
	in.ReportsTick = rapid.Uint64Range(0, 6).Draw(t, "reportstick")
	in.Tries, in.Now = 3, 10*time.Second
	if rapid.Bool().Draw(t, "leases") {
		in.Leases = reconcile.Leases{Used: true, Keep: rapid.Bool().Draw(t, "keep"), LockOver: rapid.Bool().Draw(t, "lock over"),
			Granted: rapid.SampledFrom([]cluster.Epoch{0, in.Record.Epoch, in.Record.Epoch, 2}).Draw(t, "granted")}
	}
	in.Memory.Shut = genOrder(t, "shut")
	in.Memory.ShutAt = time.Duration(rapid.IntRange(0, 10).Draw(t, "shut at")) * time.Second
	genAccounts(t, &in)
	return in
}

var starts = []reconcile.Kind{reconcile.StartIO, reconcile.StartSQL, reconcile.StartReplication, reconcile.Reposition}

// TestInvariants checks what doc.go promises over any input at all.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		p := reconcile.Decide(in)
		rec := in.Record
		starting := false
		for _, k := range starts {
			starting = starting || p.Has(k)
		}
		_, frozen := reconcile.Frozen(rec, in.Remembers)
		never := func(cond bool, what string) {
			if cond {
				t.Fatalf("%s: %+v", what, p)
			}
		}
		if alone := p.Has(reconcile.CloseAlone) || p.Has(reconcile.QueueAlone); alone {
			never(!in.Leases.Used || in.Leases.Keep, "closed alone what a lease keeps open")
			never(in.Mine.Closed(), "closed alone what is closed")
			never(len(p.Steps) > 1 || p.Closed, "did more than closing alone")
			return
		}
		never(in.Leases.Used && !in.Leases.Keep && in.Mine.Answers() && in.Memory.Connected && in.Mine.Open(), "left open what no lease keeps")
		never(p.Has(reconcile.Open) && rec.Exists() && in.Leases.Used && in.Leases.Granted != rec.Epoch, "opened without the grant of the epoch")
		never((!in.Known || frozen) && len(p.Steps) > 0, "acted without a record to obey")
		stranger := func(e cluster.Endpoint) bool { return e == x }
		never(rec.Exists() && len(p.Steps) > 0 &&
			(stranger(rec.Active) || stranger(rec.Passive) || stranger(rec.From) || stranger(rec.To)), "obeyed a record that names a stranger")
		never(!rec.Exists() && len(p.Steps) > 0 && (stranger(in.Legacy.Active) || stranger(in.Legacy.Passive)), "obeyed a mode that names a stranger")
		if p.Has(reconcile.Open) {
			never(rec.Exists() && (rec.Phase == cluster.PhaseRevoked || rec.Phase == cluster.PhaseSwitching), "opened while nobody may be open")
			never(rec.Exists() && rec.Active != in.Self, "opened another than the active")
			never(!rec.Exists() && in.Legacy.Active != in.Self, "opened another than the mode's active")
			never(in.Theirs.Answers() && in.Now-in.Theirs.At <= reconcile.FreshFor && !in.Theirs.Closed() && !rec.Exists(), "opened beside an open server")
			never(in.Theirs.Answers() && in.Now-in.Theirs.At <= reconcile.FreshFor && in.Theirs.Open() && !in.Theirs.Lost, "opened beside an open server")
			never(!in.Mine.Answers() || !in.Memory.Connected, "opened a server that does not answer")
		}
		if starting {
			never(in.Paused, "started replication while the pair is paused")
			never(rec.Exists() && rec.Phase != cluster.PhaseSteady, "started replication outside steady")
			never(p.Errant != "" || p.Suspect != "", "started replication on suspicious transactions")
			never(!in.Theirs.Answers(), "started replication without seeing the peer")
			passive, active := in.Mine.Server, in.Theirs.Server
			if rec.Active == in.Self || !rec.Exists() && in.Legacy.Active == in.Self {
				passive, active = active, passive
			}
			never(passive.ReadOnly != cluster.Yes, "started replication beside a passive that is not closed")
			ok, err := reconcile.Contains(passive.Flavor, active.Executed, passive.Executed)
			never(err != nil || !ok, "started replication from or on a server that is no subset")
		}
		never(p.Has(reconcile.StopReplication) && (p.Errant == "" || rec.Exists() && rec.Phase != cluster.PhaseSteady), "stopped both threads outside quarantine")
		never(p.Has(reconcile.StopReplication) && (rec.Active == in.Self), "stopped both threads of the active")
		never(p.Has(reconcile.CloseGently) && rec.Phase != cluster.PhaseSwitching, "closed gently outside a switchover")
		never(p.Has(reconcile.Close) && rec.Exists() && reconcile.MayBeOpen(rec, in.Self), "closed a server that may be open")
		never(p.Opened && !in.Mine.Open() || p.Closed && !in.Mine.Closed(), "acknowledged what is not so")
		checkAccounts(in, p, never)
		for i := 1; i < len(p.Steps); i++ {
			never(p.Steps[i].Rank() < p.Steps[i-1].Rank(), "steps out of the safety order")
		}
		never(rec.Exists() && in.Mine.Answers() && in.Memory.Connected && in.Mine.Open() && !frozen &&
			rec.Phase == cluster.PhaseRevoked && in.Known && len(p.Steps) > 0 && p.Steps[0].Kind != reconcile.Close, "did something before closing")
		never(len(p.Steps) == 0 && p.Reason.Code == "" && p.Deed == cluster.DeedNone, "said nothing at all")
		if len(p.Steps) > 0 && rec.Exists() {
			k := p.Steps[0].Kind
			never(!reconcile.Wants(k, in.Self, rec, rec), "planned what its own record does not want")
		}
	})
}

// TestPauseHoldsBackNothingElse compares the plan with that of the same input without the pause.
func TestPauseHoldsBackNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		in.Paused = false
		free := reconcile.Decide(in)
		in.Paused = true
		paused := reconcile.Decide(in)
		// Comparing for the sake of starting goes with it.
		minor := append(slices.Clone(starts), reconcile.Read)
		want := slices.DeleteFunc(kindsOf(free), func(k reconcile.Kind) bool { return slices.Contains(minor, k) })
		got := slices.DeleteFunc(kindsOf(paused), func(k reconcile.Kind) bool { return slices.Contains(minor, k) })
		if !slices.Equal(got, want) || paused.Deed != free.Deed || paused.Closed != free.Closed || paused.Opened != free.Opened || paused.Errant != free.Errant {
			t.Fatalf("paused %+v, else %+v", paused, free)
		}
	})
}

func TestReportsOfThePeerCountWhereTheyAreRead(t *testing.T) {
	var sets gtid.Memo
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		in.Known, in.Remembers, in.Mine.Cause = true, cluster.Assignment{}, ""
		if rapid.Bool().Draw(t, "switching to it") {
			in.Record = cluster.Assignment{Epoch: 5, Version: 3, Phase: cluster.PhaseSwitching,
				Active: in.Peer, Passive: in.Self, From: in.Peer, To: in.Self}
			in.Mine.Server.ReadOnly = cluster.Yes
		}
		in.PeerReports[0].Closed = in.Record.Order()
		want := reconcile.Decide(in)
		in.Sets = &sets
		if !reconcile.ReadsPeer(in.Record) {
			in.PeerReports = nil
		}
		if got := reconcile.Decide(in); !reflect.DeepEqual(got, want) {
			t.Fatalf("without them, and with positions kept:\n%+v\nwith them:\n%+v", got, want)
		}
	})
}
