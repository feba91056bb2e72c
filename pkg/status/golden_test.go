package status

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	nodeA = cluster.Endpoint("10.0.21.5:3308")
	nodeB = cluster.Endpoint("10.0.21.7:3308")
	uniq  = cluster.UniqSign("8d9a4b2924dc40baa792d742cb786345")
)

var now = time.Date(2026, 11, 21, 4, 12, 9, 0, time.UTC)

func subject() Subject {
	return Subject{
		Pair:   cluster.Pair{Tag: "mysql3308", UniqSign: uniq, Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive},
		Policy: Policy{Durability: cluster.Async, Unfenced: "auto", MaxLoss: "any", FailoverBlock: time.Minute, Failback: "follow", FailbackAfter: time.Minute, Interval: 3 * time.Second},
	}
}

// healthy is a pair of which there is nothing bad to say; tests spoil it.
func healthy() cluster.Snapshot {
	server := func(node, source cluster.Endpoint, readOnly cluster.Tri, sessions int, seq uint64) cluster.Observation {
		o := cluster.Observation{
			Monitor: "mon1", Run: "r1", Seq: seq, Node: node, BeganMS: 90_000, EndedMS: 90_004, SampledMS: 90_000, LastGoodMS: 90_004,
			Server: cluster.Server{
				Flavor: cluster.MariaDB, Version: "10.11.6-MariaDB-log", Identity: "1", UptimeS: 86400, ReadOnly: readOnly, GTIDMode: true,
				LogsReplicaUpdates: true, Executed: "0-1-120", Sessions: sessions,
				Channel: cluster.Channel{Configured: true, Source: source, IO: cluster.ThreadYes, SQL: cluster.ThreadYes, GTID: true, Received: "0-1-120"},
			},
		}
		return o
	}
	a := server(nodeA, nodeB, cluster.No, 12, 31)
	a.Server.Users = []string{"app1", "app2"}
	b := server(nodeB, nodeA, cluster.Yes, 0, 30)
	nowMS := now.UnixMilli()
	order := cluster.Order{Epoch: 7, Version: 3}
	return cluster.Snapshot{
		UniqSign: uniq, Members: []cluster.Endpoint{nodeA, nodeB}, Primary: nodeA, Secondary: nodeB, ServiceMode: "1",
		RedisMS: nowMS,
		Assignment: cluster.Assignment{
			Epoch: 7, Version: 3, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, From: nodeB, To: nodeA,
			Eligible: []cluster.Endpoint{nodeB}, SinceMS: nowMS - 3*3600*1000, Cause: "switchover", Proof: cluster.ProofFenced,
			Reason: "asked for by dba@jump", Actor: "ident1/77",
		},
		Leader: cluster.Leader{ID: "ident1/77", Token: 4},
		Legacy: cluster.LegacyMode{Active: nodeA, Passive: nodeB, Master: nodeA},
		Checks: map[cluster.Endpoint]cluster.LegacyCheck{
			nodeA: {Ping: true, ReplCheck: "OK", ReadOnly: 0, ConnNums: 12, LastCheck: now.Unix() - 2},
			nodeB: {Ping: true, ReplCheck: "OK", ReadOnly: 1, ConnNums: 0, LastCheck: now.Unix() - 2},
		},
		Observations: map[cluster.Endpoint]map[string]cluster.Observation{nodeA: {"mon1": a}, nodeB: {"mon1": b}},
		ViewEnds:     map[cluster.Endpoint]map[string]int64{nodeA: {"mon1": nowMS + 8600}, nodeB: {"mon1": nowMS + 7400}},
		Reports: map[cluster.Endpoint]map[string]cluster.Report{
			nodeA: {"host1/ab12cd": {Agent: "host1/ab12cd", Seq: 900, Node: nodeA, Order: order, Deed: cluster.DeedOpen, Opened: order}},
			nodeB: {"host1/ab12cd": {Agent: "host1/ab12cd", Seq: 900, Node: nodeB, Order: order, Deed: cluster.DeedClosed, Closed: order}},
		},
		Verdict: &cluster.Verdict{
			Leader: "ident1/77", Order: order, Candidate: nodeB,
			Reason: cluster.Reason{Code: "steady", Text: "10.0.21.5:3308 is active and well"},
		},
	}
}

func spoil(s *cluster.Snapshot, node cluster.Endpoint, f func(*cluster.Observation)) {
	o := s.Observations[node]["mon1"]
	f(&o)
	s.Observations[node]["mon1"] = o
}

func down(cause cluster.Cause) func(*cluster.Observation) {
	return func(o *cluster.Observation) {
		o.Cause, o.Error, o.Failures = cause, "dial tcp: "+string(cause), 8
		o.UnansweredMS, o.BeganMS, o.EndedMS = 90_100, 92_100, 92_304
	}
}

var scenes = []struct {
	name string
	make func(*Subject, *cluster.Snapshot)
	want Condition
}{
	{"healthy", func(*Subject, *cluster.Snapshot) {}, Good},
	{"paused_lagging", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeB, func(o *cluster.Observation) { o.Server.Channel.Delay = 95 })
		s.Checks[nodeB] = cluster.LegacyCheck{Ping: true, ReplCheck: "Delay 95 Seconds", ReadOnly: 1, DelaySec: 95, LastCheck: now.Unix() - 42}
		s.Pause = &cluster.Pause{Actor: "dba@jump", Reason: "kernel update", SinceMS: now.UnixMilli() - 600_000}
		s.Verdict.Blockers = []cluster.Reason{{Code: "paused", Text: "paused by dba@jump: kernel update"}}
		s.Verdict.Notes = []cluster.Reason{{Code: "lagging", Text: "10.0.21.7:3308 is 95 s behind"}}
	}, Degraded},
	{"revoked", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeA, down(cluster.CauseRefused))
		s.Checks[nodeA] = cluster.LegacyCheck{Ping: false, ReadOnly: -1, LastCheck: now.Unix()}
		s.Assignment = cluster.Assignment{
			Epoch: 8, Version: 1, Phase: cluster.PhaseRevoked, From: nodeA, To: nodeB, Target: "0-1-120", SinceMS: now.UnixMilli() - 120,
			Cause: "refused", Reason: "10.0.21.5:3308 is dead: connection refused", Actor: "ident1/77",
		}
		s.Verdict.Reason = cluster.Reason{Code: "wait-drain", Text: "waiting for 10.0.21.7:3308 to apply what it has received"}
	}, NoActive},
	{"failed_over_at_risk", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment = cluster.Assignment{
			Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB, SinceMS: now.UnixMilli() - 42_000,
			Cause: "answer timeout", Proof: cluster.RiskHung, Reason: "10.0.21.5:3308 is dead: hung for 2.1 s", Actor: "ident1/77", Blocked: true,
			Loss: "at least 3 transactions of 10.0.21.5:3308 were not received",
		}
		spoil(s, nodeA, down(cluster.CauseAnswerTimeout))
		spoil(s, nodeB, func(o *cluster.Observation) {
			o.Server.ReadOnly, o.Server.Sessions = cluster.No, 9
			o.Server.Channel.IO, o.Server.Channel.SQL = cluster.ThreadNo, cluster.ThreadYes
		})
		s.Checks[nodeA] = cluster.LegacyCheck{Ping: false, ReadOnly: -1, LastCheck: now.Unix()}
		s.Checks[nodeB] = cluster.LegacyCheck{Ping: true, ReplCheck: "Error", LastCheck: now.Unix()}
		s.Reports[nodeA] = map[string]cluster.Report{"host1/ab12cd": {Seq: 900, Agent: "host1/ab12cd", Order: cluster.Order{Epoch: 8, Version: 3}, Deed: cluster.DeedUnreachable, Reason: "no answer for 1 s", Queued: true}}
		s.Verdict.Blockers = []cluster.Reason{{Code: "candidate-down", Text: "10.0.21.5:3308 does not answer"}}
		s.Request = &cluster.Request{ID: "1", Verb: "switchover", To: nodeA, Actor: "dba@jump", State: cluster.RequestFiled}
	}, Degraded},
	{"overridden", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment = cluster.Assignment{
			Epoch: 8, Version: 4, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB, SinceMS: now.UnixMilli() - 42_000,
			Eligible: []cluster.Endpoint{nodeA}, Cause: "operator's override", Proof: cluster.ProofOperator, Actor: "dba@jump",
			Reason: "dba@jump takes the role to 10.0.21.7:3308 by an override: fire",
		}
		spoil(s, nodeA, func(o *cluster.Observation) {
			o.Server.ReadOnly, o.Server.Channel.Delay = cluster.Yes, 1
		})
		spoil(s, nodeB, func(o *cluster.Observation) { o.Server.ReadOnly = cluster.No })
		s.Verdict.Candidate, s.Verdict.Reason.Text = nodeA, "10.0.21.7:3308 is active, 10.0.21.5:3308 would take over"
	}, Good},
	{"held_by_block", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment.Epoch, s.Assignment.Blocked = 8, true
		s.Assignment.Loss = "at least 3 transactions, by the last sample of 10.0.21.7:3308: 0-2-118:120; of the failover in epoch 8"
		s.Assignment.Left, s.Assignment.Estimated = "0-2-118:120", true
		spoil(s, nodeA, down(cluster.CauseRefused))
		block := "the last automatic failover was in epoch 8 and the pair has not been whole for 1m0s since"
		s.Verdict.Held, s.Verdict.Reason = true, cluster.Reason{Code: "active-dead", Text: "10.0.21.5:3308 is dead; held: " + block}
		s.Verdict.Blockers = []cluster.Reason{{Code: "failover-block", Text: block}, {Code: "not-eligible", Text: "10.0.21.7:3308 has not been seen replicating"}}
	}, NoActive},
	// Nothing but the block is wrong: whole again, not yet for long.
	{"blocked_only", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment.Epoch, s.Assignment.Blocked, s.Assignment.Cause, s.Assignment.Proof = 8, true, "failover: refused", cluster.RiskRefused
		spoil(s, nodeA, func(o *cluster.Observation) { o.Server.Executed = "0-1-120,0-1-120" })
		s.Verdict.Blockers = []cluster.Reason{{Code: "failover-block", Text: "the last automatic failover was in epoch 8 and the pair has not been whole for 1m0s since"}}
	}, Degraded},
	// Both died, and the passive is back first.
	{"held_for_the_active", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment.Eligible = nil
		spoil(s, nodeA, down(cluster.CauseRefused))
		no := "10.0.21.7:3308 has not been seen replicating from 10.0.21.5:3308 in epoch 7, or not since it was away"
		s.Verdict.Held, s.Verdict.Reason = true, cluster.Reason{Code: "active-dead", Text: "10.0.21.5:3308 is dead; held: " + no}
		s.Verdict.Blockers = []cluster.Reason{{Code: "not-eligible", Text: no}}
	}, NoActive},
	{"predecessor", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment, s.Verdict, s.Leader, s.Observations, s.Reports, s.ViewEnds = cluster.Assignment{}, nil, cluster.Leader{}, nil, nil, nil
	}, Good},
	{"nothing_yet", func(_ *Subject, s *cluster.Snapshot) {
		*s = cluster.Snapshot{UniqSign: uniq}
	}, NoActive},
	{"two_writable", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeB, func(o *cluster.Observation) { o.Server.ReadOnly = cluster.No })
	}, Degraded},
	{"one_account_for_all", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeA, func(o *cluster.Observation) { o.Server.Sessions, o.Server.SharedSessions = 14, 2 })
		spoil(s, nodeB, func(o *cluster.Observation) { o.Server.Sessions, o.Server.SharedSessions = 1, 1 })
	}, Good},
	{"broken_replication", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeB, func(o *cluster.Observation) {
			o.Server.Channel.SQL, o.Server.Channel.SQLErrno, o.Server.Channel.Delay = cluster.ThreadNo, 1062, -1
			o.Server.Channel.SQLError = "Duplicate entry '7' for key 'PRIMARY'\x1b[2J\r\nand more"
		})
		s.Reports[nodeB] = map[string]cluster.Report{"host1/ab12cd": {Seq: 900, Deed: cluster.DeedQuarantine, Errant: "0-2-121"}}
		s.Faults = []string{"mmm:{u}:pause: invalid character"}
	}, Degraded},
	{"just_opened", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment = cluster.Assignment{
			Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, From: nodeB, To: nodeA, SinceMS: now.UnixMilli() - 100,
			Cause: "first start", Proof: cluster.ProofGone, Reason: "first start: 10.0.21.5:3308 is the primary host",
		}
		spoil(s, nodeA, func(o *cluster.Observation) { o.Server.ReadOnly = cluster.Yes })
		s.Checks[nodeA] = cluster.LegacyCheck{Ping: true, ReadOnly: 1, LastCheck: now.Unix()}
		order := cluster.Order{Epoch: 1, Version: 1}
		s.Reports[nodeA] = map[string]cluster.Report{"host1/ab12cd": {Seq: 900, Order: order, Opened: order, Deed: cluster.DeedOpen}}
	}, Good},
	{"closed_by_hand", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeA, func(o *cluster.Observation) { o.Server.ReadOnly = cluster.Yes })
	}, NoActive},
	{"fail_back_waits", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment = cluster.Assignment{
			Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeB, Passive: nodeA, From: nodeA, To: nodeB, SinceMS: now.UnixMilli() - 420_000,
			Eligible: []cluster.Endpoint{nodeA}, Cause: "failover: refused", Proof: cluster.ProofFenced, Reason: "10.0.21.5:3308 is dead", Actor: "ident1/77",
		}
		spoil(s, nodeA, func(o *cluster.Observation) {
			o.Server.ReadOnly, o.Server.Mark = cluster.Yes, cluster.Mark{Epoch: 7, Active: nodeA}
		})
		spoil(s, nodeB, func(o *cluster.Observation) {
			o.Server.ReadOnly, o.Server.Mark = cluster.No, cluster.Mark{Epoch: 8, Active: nodeB}
		})
		order := cluster.Order{Epoch: 8, Version: 3}
		s.Reports[nodeA] = map[string]cluster.Report{"host1/ab12cd": {Seq: 900, Order: order, Closed: order, Deed: cluster.DeedClosed,
			Locked: []cluster.Account{{User: "app2", Host: "%"}, {User: "app1", Host: "10.0.%"}},
			Notes:  []cluster.Reason{{Code: cluster.NoteGrants, Text: "the right to lock accounts is missing: GRANT CREATE USER"}}}}
		s.Reports[nodeB] = map[string]cluster.Report{"host1/ab12cd": {Seq: 900, Order: order, Opened: order, Deed: cluster.DeedOpen}}
		s.Verdict.Candidate = nodeA
		s.Verdict.Notes = []cluster.Reason{{Code: "fail-back-locked", Text: "failback=follow cannot happen: block_user locks the users of 10.0.21.7:3308 (app1, app2) on 10.0.21.5:3308"}}
	}, Good},
	{"outage_held", func(_ *Subject, s *cluster.Snapshot) {
		s.Assignment = cluster.Assignment{}
		spoil(s, nodeA, func(o *cluster.Observation) {
			o.Server.ReadOnly, o.Server.Mark = cluster.Yes, cluster.Mark{Epoch: 7, Active: nodeA}
		})
		delete(s.Observations, nodeB)
		s.Legacy = cluster.LegacyMode{}
		s.Reports = nil
		s.Verdict = &cluster.Verdict{Leader: "ident1/77", Held: true, Reason: cluster.Reason{Code: "unseen",
			Text: "first start: 10.0.21.5:3308 was active in epoch 7, as its epoch row says, and 10.0.21.7:3308 is not seen: it may hold a newer one"}}
	}, NoActive},
	{"wrong_password", func(_ *Subject, s *cluster.Snapshot) {
		spoil(s, nodeA, func(o *cluster.Observation) {
			down(cluster.CauseAccessDenied)(o)
			o.Error = "Error 1045 (28000): Access denied for user 'user_mmm'"
		})
		s.ViewEnds = nil
		s.RedisMS = 0
	}, Degraded},
}

func sceneReport(t *testing.T, f func(*Subject, *cluster.Snapshot)) Report {
	t.Helper()
	sub, s := subject(), healthy()
	f(&sub, &s)
	seen := NewTracker()
	seen.Look(s, now)
	tag := Build(sub, s, nil, seen, now)
	return Report{SchemaVersion: SchemaVersion, Time: now, Condition: tag.Condition, ExitCode: tag.ExitCode, Tags: []Tag{tag}}
}

func TestForms(t *testing.T) {
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			r := sceneReport(t, sc.make)
			if r.Condition != sc.want {
				t.Errorf("condition is %q, want %q; problems: %v", r.Condition, sc.want, r.Tags[0].Problems)
			}
			var legacy, tree, ascii, js bytes.Buffer
			for _, err := range []error{
				Legacy(&legacy, r), Tree(&tree, r, Style{}), Tree(&ascii, r, Style{ASCII: true, Width: 80}), JSON(&js, r, false),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			golden(t, sc.name+".legacy", legacy.Bytes())
			golden(t, sc.name+".tree", tree.Bytes())
			golden(t, sc.name+".ascii", ascii.Bytes())
			golden(t, sc.name+".json", js.Bytes())
		})
	}
}

func TestColouredForm(t *testing.T) {
	var out bytes.Buffer
	if err := Tree(&out, sceneReport(t, scenes[3].make), Style{Colour: true, Width: 100}); err != nil {
		t.Fatal(err)
	}
	golden(t, "coloured.tree", out.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", name, diff)
	}
}
