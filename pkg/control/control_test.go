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

// Nobody is active, so there is nothing to switch: the way out is named as a line to paste.
func TestSwitchoverWithoutAnActiveNamesTheOverride(t *testing.T) {
	b := newBus()
	b.snap.Assignment = cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB}
	_, err := service(b).Switchover(context.Background(), Switchover{Asked: Asked{Pair: pair}})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, `mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "..."`) {
		t.Errorf("got %+v", e)
	}
}

// answer plays an identify that takes the request and ends it.
func answer(state cluster.RequestState, words string) func(*fakeBus) {
	return func(b *fakeBus) {
		time.Sleep(50 * time.Millisecond)
		b.change(func(s *cluster.Snapshot) {
			s.Request.State = cluster.RequestRunning
			s.Assignment.Version, s.Assignment.Phase, s.Assignment.From, s.Assignment.To = 4, cluster.PhaseSwitching, nodeA, nodeB
		})
		time.Sleep(500 * time.Millisecond)
		b.change(func(s *cluster.Snapshot) {
			s.Request.State, s.Request.Answer = state, words
			if state == cluster.RequestDone {
				s.Assignment = cluster.Assignment{Epoch: 8, Version: 1, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB}
			}
		})
	}
}

func TestSwitchoverEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(*fakeBus)
		sw     Switchover
		exit   int // 0: no error
		text   string
		filed  bool
		active cluster.Endpoint
	}{
		{"done", func(b *fakeBus) { b.onFile = answer(cluster.RequestDone, "10.0.21.7:3308 is active in epoch 8") }, Switchover{}, 0, "", true, nodeB},
		{"refused", func(b *fakeBus) {
			b.onFile = answer(cluster.RequestRefused, "10.0.21.7:3308 is 95 s behind")
		}, Switchover{}, ExitRefused, "95 s behind", true, nodeA},
		{"rolled back", func(b *fakeBus) {
			b.onFile = answer(cluster.RequestRolledBack, "the deadline of 10s passed")
		}, Switchover{}, ExitFailed, "the deadline", true, nodeA},
		{"rolled back because something writes", func(b *fakeBus) {
			b.onFile = answer(cluster.RequestRolledBack, "10.0.21.5:3308 was not closed: a write transaction is 4 s old")
		}, Switchover{}, ExitFailed, "4 s old", true, nodeA},
		{"begun and lost", func(b *fakeBus) { b.onFile = answer(cluster.RequestFailed, "stuck") }, Switchover{}, ExitUnknown, "stuck", true, nodeA},
		{"nobody takes it", func(*fakeBus) {}, Switchover{}, ExitFailed, "identify ident1/77 leads", true, nodeA},
		{"the leader dies", func(b *fakeBus) {
			b.onFile = func(b *fakeBus) { b.change(func(s *cluster.Snapshot) { s.Leader = cluster.Leader{} }) }
		}, Switchover{}, ExitFailed, "no mmm-identify leads now", true, nodeA},
		{"nobody leads", func(b *fakeBus) { b.snap.Leader = cluster.Leader{} }, Switchover{}, ExitFailed, "nothing was filed", false, ""},
		{"its record vanishes", func(b *fakeBus) {
			b.onFile = func(b *fakeBus) { b.change(func(s *cluster.Snapshot) { s.Request = nil }) }
		}, Switchover{}, ExitUnknown, "gone from the bus", true, nodeA},
		{"runs for ever", func(b *fakeBus) {
			b.onFile = func(b *fakeBus) { b.change(func(s *cluster.Snapshot) { s.Request.State = cluster.RequestRunning }) }
		}, Switchover{}, ExitUnknown, "it has not ended after 40s", true, nodeA},
		{"the bus dies meanwhile", func(b *fakeBus) {
			b.onFile = func(b *fakeBus) { b.mu.Lock(); b.down = errDown; b.mu.Unlock() }
		}, Switchover{}, ExitUnknown, "the bus does not answer", true, nodeA},
		{"bus down", func(b *fakeBus) { b.down = errDown }, Switchover{}, ExitUnreachable, "refused", false, ""},
		{"another is running", func(b *fakeBus) {
			b.snap.Request = &cluster.Request{ID: "x", Actor: "eve@jump", State: cluster.RequestRunning}
		}, Switchover{}, ExitRefused, "eve@jump", false, nodeA},
		{"to a stranger", func(*fakeBus) {}, Switchover{Asked: Asked{To: "10.9.9.9:3306"}}, ExitNotFound, "no server of tag", false, ""},
		{"to the active", func(*fakeBus) {}, Switchover{Asked: Asked{To: nodeA}}, 0, "", false, nodeA},
		{"nobody is active", func(b *fakeBus) {
			b.snap.Assignment.Active, b.snap.Assignment.Phase = "", cluster.PhaseRevoked
		}, Switchover{}, ExitRefused, "nobody is active", false, ""},
		{"a person says no", func(*fakeBus) {}, Switchover{Asked: Asked{Confirm: func(Plan) error { return &Error{Exit: ExitFailed, Message: "no"} }}}, ExitFailed, "no", false, nodeA},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBus()
				c.spoil(b)
				c.sw.Pair = pair
				out, err := service(b).Switchover(context.Background(), c.sw)
				var e *Error
				switch {
				case c.exit == 0 && err != nil:
					t.Fatalf("got %v, want no error", err)
				case c.exit == 0:
				case !errors.As(err, &e):
					t.Fatalf("got %v, want an *Error", err)
				case e.Exit != c.exit || !strings.Contains(e.Message, c.text):
					t.Errorf("got exit %d, %q, want exit %d and %q in the text", e.Exit, e.Message, c.exit, c.text)
				}
				if len(b.filed) > 0 != c.filed {
					t.Errorf("filed %v, want filed=%v", b.filed, c.filed)
				}
				if c.filed {
					r := b.filed[0]
					if r.Verb != cluster.VerbSwitchover || r.To != nodeB || r.Actor != "dba@jump" || r.State != cluster.RequestFiled || r.TimeoutMS != 10_000 {
						t.Errorf("filed %+v", r)
					}
				}
				if out.Active != c.active {
					t.Errorf("active %q, want %q", out.Active, c.active)
				}
				synctest.Wait()
			})
		})
	}
}

func TestSwitchoverTellsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus()
		b.onFile = answer(cluster.RequestDone, "done")
		var plan bytes.Buffer
		var told []string
		_, err := service(b).Switchover(context.Background(), Switchover{Asked: Asked{
			Pair:     pair,
			Confirm:  func(p Plan) error { PrintPlan(&plan, p); return nil },
			Progress: func(_ time.Duration, text string) { told = append(told, text) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(told, "\n")
		for _, want := range []string{"filed", "identify ident1/77 has begun", "10.0.21.5:3308 is being closed", "steady, 10.0.21.7:3308 is active"} {
			if !strings.Contains(got, want) {
				t.Errorf("progress lacks %q:\n%s", want, got)
			}
		}
		for _, want := range []string{"10.0.21.5:3308 (active in epoch 7) -> 10.0.21.7:3308", "(12 as last sampled)", "epoch 8"} {
			if !strings.Contains(plan.String(), want) {
				t.Errorf("plan lacks %q:\n%s", want, plan.String())
			}
		}
	})
}

func TestPlanWarns(t *testing.T) {
	b := newBus()
	b.snap.Pause = &cluster.Pause{Actor: "eve"}
	o := b.snap.Observations[nodeB]["m"]
	o.Server.Channel.Delay = 7
	b.snap.Observations[nodeB]["m"] = o
	p := planOf(Switchover{Asked: Asked{Pair: pair}}, b.snap, nodeA, nodeB)
	if got := strings.Join(p.Warnings, "; "); !strings.Contains(got, "paused by eve") || !strings.Contains(got, "7 s behind") {
		t.Errorf("warnings: %s", got)
	}
	a := b.snap.Observations[nodeA]["m"]
	a.Cause = cluster.CauseRefused
	b.snap.Observations[nodeA]["m"] = a
	p = planOf(Switchover{Asked: Asked{Pair: pair}}, b.snap, nodeA, nodeB)
	if got := strings.Join(p.Warnings, "; "); !strings.Contains(got, `when it is dead, use mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "..."`) {
		t.Errorf("warnings of a dead active: %s", got)
	}
	o.Server.Channel.Delay = 1
	b.snap.Observations[nodeB]["m"] = o
	if got := strings.Join(planOf(Switchover{Asked: Asked{Pair: pair}}, b.snap, nodeA, nodeB).Warnings, "; "); strings.Contains(got, "behind") {
		t.Errorf("a delay that comes and goes is a warning: %s", got)
	}
}

func TestInterruptedSwitchoverIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBus()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := service(b).Switchover(ctx, Switchover{Asked: Asked{Pair: pair}})
		var e *Error
		if !errors.As(err, &e) || e.Exit != ExitFailed || e.Code != "withdrawn" {
			t.Fatalf("got %v", err)
		}
		if b.snap.Request.State != cluster.RequestRefused {
			t.Errorf("the request is %s", b.snap.Request.State)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	b, ctx := newBus(), context.Background()
	s := service(b)
	steps := []struct {
		do      func() (Paused, error)
		changed bool
		text    string
	}{
		{func() (Paused, error) { return s.Resume(ctx, pair) }, false, "was not paused"},
		{func() (Paused, error) { return s.Pause(ctx, pair, "kernel update") }, true,
			"paused by dba@jump since 2026-11-21 04:12:09 UTC: kernel update; 10.0.21.5:3308 stays active"},
		{func() (Paused, error) { return s.Pause(ctx, pair, "") }, false, "was paused already: paused by dba@jump"},
		{func() (Paused, error) { return s.Pause(ctx, pair, "disks") }, true, "before: paused by dba@jump"},
		{func() (Paused, error) { return s.Resume(ctx, pair) }, true, "it was paused by dba@jump since 2026-11-21 04:12:09 UTC: disks"},
	}
	for i, st := range steps {
		got, err := st.do()
		if err != nil {
			t.Fatal(err)
		}
		if got.Changed != st.changed || !strings.Contains(got.Text, st.text) {
			t.Errorf("step %d: got %+v, want changed=%v and %q", i, got, st.changed, st.text)
		}
	}
	b.down = errDown
	var e *Error
	if _, err := s.Pause(ctx, pair, ""); !errors.As(err, &e) || e.Exit != ExitUnreachable {
		t.Errorf("pause without a bus: %v", err)
	}
}

func TestList(t *testing.T) {
	b := newBus()
	b.snap.Verdict = &cluster.Verdict{Reason: cluster.Reason{Text: "well"}, Blockers: []cluster.Reason{{Text: "paused by eve"}}}
	b.snap.Pause = &cluster.Pause{Actor: "eve"}
	other := pair
	other.Tag, other.UniqSign = "mysql3309", "u2"
	var out bytes.Buffer
	if err := PrintRows(&out, service(b).List(context.Background(), []cluster.Pair{pair, other})); err != nil {
		t.Fatal(err)
	}
	want := `TAG        UNIQSIGN  ACTIVE          PHASE      EPOCH  PAUSED  WHY
mysql3308  u1        10.0.21.5:3308  steady     7      by eve  well; would not fail over now: paused by eve
mysql3309  u2        none            no record  0      no      no mmm-identify leads
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// A steady record whose active takes no writes is not called steady, and the
// reason of a hold, which is its first blocker too, stands there once.
func TestListOfAPairWithoutAnActive(t *testing.T) {
	block := cluster.Reason{Code: failover.Blocked, Text: "the last automatic failover was in epoch 7"}
	for _, c := range []struct {
		phase cluster.Phase
		v     cluster.Verdict
		want  string
		why   string
	}{
		{cluster.PhaseSteady, cluster.Verdict{Held: true, Reason: cluster.Reason{Text: "a is dead; held: " + block.Text}, Blockers: []cluster.Reason{block, {Text: "paused by eve"}}},
			"held", "a is dead; held: " + block.Text + "; also: paused by eve"},
		{cluster.PhaseSteady, cluster.Verdict{Reason: cluster.Reason{Text: "well"}, Notes: []cluster.Reason{{Code: failover.ActiveClosed, Text: "a is read_only"}}}, "no active", "well"},
		{cluster.PhaseRevoked, cluster.Verdict{Held: true, Reason: cluster.Reason{Text: "waits"}}, "revoked", "waits"},
	} {
		b := newBus()
		b.snap.Assignment.Phase, b.snap.Verdict = c.phase, &c.v
		if r := service(b).List(context.Background(), []cluster.Pair{pair})[0]; r.Phase != c.want || r.Why != c.why {
			t.Errorf("phase %q, why %q; want %q, %q", r.Phase, r.Why, c.want, c.why)
		}
	}
}

// The exit code of a tag is that of README's table.
func TestListExits(t *testing.T) {
	if r := service(&fakeBus{down: errDown}).List(context.Background(), []cluster.Pair{pair})[0]; r.Exit != ExitUnreachable {
		t.Errorf("without a bus: %d", r.Exit)
	}
	observed := pair
	observed.ServiceMode = cluster.ActiveActive
	for _, c := range []struct {
		name   string
		want   int
		pair   cluster.Pair
		change func(*cluster.Snapshot)
	}{
		{"well", 0, pair, func(*cluster.Snapshot) {}},
		{"a verdict without blockers", 0, pair, func(s *cluster.Snapshot) { s.Verdict = &cluster.Verdict{} }},
		{"paused", ExitDegraded, pair, func(s *cluster.Snapshot) { s.Pause = &cluster.Pause{Actor: "eve"} }},
		{"no failover now", ExitDegraded, pair, func(s *cluster.Snapshot) {
			s.Verdict = &cluster.Verdict{Blockers: []cluster.Reason{{Text: "the passive is down"}}}
		}},
		{"the same where nothing ever fails over", 0, observed, func(s *cluster.Snapshot) {
			s.Verdict = &cluster.Verdict{Blockers: []cluster.Reason{{Text: "the passive is down"}}}
		}},
		{"nobody leads", ExitDegraded, pair, func(s *cluster.Snapshot) { s.Leader = cluster.Leader{} }},
		{"switching", ExitDegraded, pair, func(s *cluster.Snapshot) { s.Assignment.Phase = cluster.PhaseSwitching }},
		{"the record is broken", ExitDegraded, pair, func(s *cluster.Snapshot) {
			s.Assignment, s.AssignmentFault, s.Legacy.Active = cluster.Assignment{}, "no epoch", nodeA
		}},
		{"another record is broken, as that of a pause", ExitDegraded, pair, func(s *cluster.Snapshot) {
			s.Verdict, s.Faults = &cluster.Verdict{}, []string{"key 'mmm:{u1}:pause' cannot be read"}
		}},
		{"the predecessor's", 0, pair, func(s *cluster.Snapshot) {
			s.Assignment, s.Leader, s.Legacy.Active = cluster.Assignment{}, cluster.Leader{}, nodeA
		}},
		{"no record", ExitNoActive, pair, func(s *cluster.Snapshot) { s.Assignment = cluster.Assignment{} }},
		{"revoked", ExitNoActive, pair, func(s *cluster.Snapshot) {
			s.Assignment.Phase, s.Assignment.Active, s.Pause = cluster.PhaseRevoked, "", &cluster.Pause{}
		}},
		{"held", ExitNoActive, pair, func(s *cluster.Snapshot) { s.Verdict = &cluster.Verdict{Held: true} }},
		{"closed", ExitNoActive, pair, func(s *cluster.Snapshot) {
			s.Verdict = &cluster.Verdict{Notes: []cluster.Reason{{Code: failover.ActiveClosed}}}
		}},
	} {
		b := newBus()
		b.change(c.change)
		r := service(b).List(context.Background(), []cluster.Pair{c.pair})[0]
		if r.Exit != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, r.Exit, c.want)
		}
		for _, fault := range b.snap.Faults {
			if !strings.Contains(r.Why, fault) {
				t.Errorf("%s: why is %q", c.name, r.Why)
			}
		}
	}
}

func TestHistoryIsNewestLast(t *testing.T) {
	b := newBus()
	b.events = []cluster.Event{
		{ID: "1795234330000-0", Kind: "failover", Actor: "ident1/77", Reason: "refused",
			Assignment: cluster.Assignment{Epoch: 8, Version: 3, From: nodeA, To: nodeB, Active: nodeB, Proof: cluster.RiskRefused, Loss: "2 transactions"},
			Steps:      []cluster.Step{{Name: "killed", MS: 0}, {Name: "open", MS: 181.25, Err: "late\x1b[2J"}}},
		{ID: "1795234329000-0", Kind: "assigned", Assignment: cluster.Assignment{Epoch: 7, Version: 1, Active: nodeA}},
		{ID: "1795234328000-0", Kind: "steady", Assignment: cluster.Assignment{Epoch: 6, Version: 3, From: nodeB, To: nodeA, Active: nodeA, Proof: cluster.ProofOperator}},
	}
	got, err := service(b).History(context.Background(), pair, 10)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := PrintHistory(&out, got); err != nil {
		t.Fatal(err)
	}
	want := `2026-11-21T04:12:08.000Z  mysql3308  epoch 6.3  steady  10.0.21.7:3308 -> 10.0.21.5:3308
    proof  no proof that the old active is closed: decided by an operator's override
2026-11-21T04:12:09.000Z  mysql3308  epoch 7.1  assigned  active 10.0.21.5:3308
2026-11-21T04:12:10.000Z  mysql3308  epoch 8.3  failover  10.0.21.5:3308 -> 10.0.21.7:3308
    why    refused
    proof  risk: its port refused connections
    loss   2 transactions
    by     ident1/77
          +0.0 ms  killed
        +181.2 ms  open: late[2J
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

type fakeInspector map[Inspection]struct {
	found []Finding
	err   error
}

func (f fakeInspector) Inspect(_ context.Context, what Inspection) ([]Finding, error) {
	return f[what].found, f[what].err
}

func TestCheck(t *testing.T) {
	ok := Finding{Severity: FindingOK, Item: "gtid", Text: "on"}
	warn := Finding{Severity: FindingWarn, Item: "sync_binlog", Text: "is 0", Fix: "SET GLOBAL sync_binlog=1\nsync_binlog=1"}
	fail := Finding{Severity: FindingFail, Item: "grants", Text: "lack SUPER", Fix: "GRANT SUPER ON *.* TO mmm;\nGRANT SELECT ON mysql.user TO mmm", FixOn: "the active 10.0.21.5:3308 (it replicates)"}
	account := Finding{Severity: FindingFail, Item: "account", Text: "is refused", Fix: "CREATE USER mmm"}
	with := fakeInspector{
		{nodeA, "monitor"}: {found: []Finding{ok, warn, {Severity: FindingUnknown, Item: "accounts", Text: "may not see them", Fix: "GRANT"}}},
		{nodeA, "agent"}:   {found: []Finding{ok, warn, {Severity: FindingOK, Item: "accounts", Text: "none"}}},
		{nodeB, "monitor"}: {found: []Finding{ok, fail}},
		{nodeB, "agent"}:   {found: []Finding{account}, err: &Error{Exit: ExitRefused, Message: "access denied for mmm"}},
	}
	got := Check(context.Background(), with, pair, []string{"monitor", "agent"})
	if got[0].Exit != ExitDegraded || got[1].Exit != ExitRefused {
		t.Errorf("exits %d and %d, want 3 and 5", got[0].Exit, got[1].Exit)
	}
	var out bytes.Buffer
	if err := PrintChecked(&out, got); err != nil {
		t.Fatal(err)
	}
	want := `[mysql3308] 10.0.21.5:3308
  warn     sync_binlog: is 0
           fix: SET GLOBAL sync_binlog=1
           fix: sync_binlog=1
  ok       gtid: on
  ok       accounts: none

[mysql3308] 10.0.21.7:3308
  fail     as agent: access denied for mmm
  fail     grants: lack SUPER
           fix, on the active 10.0.21.5:3308 (it replicates): GRANT SUPER ON *.* TO mmm;
           fix, on the active 10.0.21.5:3308 (it replicates): GRANT SELECT ON mysql.user TO mmm
  fail     account: is refused
           fix: CREATE USER mmm
  ok       gtid: on
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	with[Inspection{nodeA, "monitor"}] = struct {
		found []Finding
		err   error
	}{nil, errDown}
	if got := Check(context.Background(), with, pair, []string{"monitor"}); got[0].Exit != ExitUnreachable {
		t.Errorf("exit %d, want 69", got[0].Exit)
	}
}
