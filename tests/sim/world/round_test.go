package world

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// quiet is a pair of one daemon of each kind that is well.
func quiet() Spec {
	s := Draw(1)
	s.Steady, s.Home, s.Monitors, s.Identifies, s.Agents, s.Local, s.Lease = true, true, 1, 1, 1, false, 0
	s.StartsOpen, s.Blocks, s.Clocks, s.Rounds = false, false, nil, nil
	s.Policy.MaxLoss, s.Policy.FailoverBlock, s.Policy.Unfenced, s.Policy.Failback = -1, 0, "auto", "manual"
	s.Round = Round{Until: 10 * time.Second, Settles: 100 * time.Millisecond}
	return s
}

// The active of the second round is who has taken over in the first one, and dies too.
func TestASecondRoundBeginsWhereTheFirstEnded(t *testing.T) {
	spec := quiet()
	spec.Faults = []Fault{{Kind: serverKilled, On: TheActive, At: 300 * time.Millisecond, For: time.Minute}}
	spec.Rounds = []Round{spec.Round}
	out := RunTraced(spec)
	if out.Violation != nil || out.Rounds != 2 {
		t.Fatalf("%d rounds: %v", out.Rounds, out.Violation)
	}
	for _, death := range []string{serverKilled + " db-a", serverKilled + " db-b"} {
		if n := strings.Count(out.Trace, "for 1m0s: "+death); n != 2 { // begins and ends
			t.Errorf("%q is told %d times", death, n)
		}
	}
	if n := out.Seen[SawFailoverRefused] + out.Seen[SawFailoverFenced]; n != 2 {
		t.Errorf("%d failovers", n)
	}
}

func TestClientsWriteInEachRound(t *testing.T) {
	spec := quiet()
	spec.Rounds = []Round{spec.Round}
	w := newWorld(spec)
	w.build()
	var rows [3]uint64 // up to the end of each round
	for !w.over && w.e.Step() {
		rows[w.round] = w.rows
	}
	w.e.Close()
	if first, second := rows[1], rows[2]-rows[1]; second < first/2 {
		t.Errorf("%d rows in the first round, %d in the second", first, second)
	}
}

// What could not be judged any more ends a world.
func TestAWorldEndsThatCannotBeHeldToItsPromisesAnew(t *testing.T) {
	spec := quiet()
	spec.Until = time.Second
	spec.Rounds = []Round{spec.Round}
	at := func(kind, on string, n int) Fault {
		return Fault{Kind: kind, On: on, N: n, At: 200 * time.Millisecond, For: 100 * time.Millisecond}
	}
	for _, c := range []struct {
		faults []Fault
		want   int
	}{
		{[]Fault{at(serverHangs, ThePassive, 0)}, 2},
		{[]Fault{at(errantWrite, ThePassive, 0)}, 2}, // the active gets it
		{[]Fault{at("there are two Redis masters", "", 1)}, 1},
		{[]Fault{at("replication is stopped on", TheActive, 3), at(errantWrite, ThePassive, 0)}, 1},
	} {
		spec.Faults = c.faults
		if out := Run(spec); out.Violation != nil || out.Rounds != c.want {
			t.Errorf("%s: %d rounds, want %d: %v", c.faults, out.Rounds, c.want, out.Violation)
		}
	}
}

func TestWhatTheJudgeExcusesEndsWithTheRound(t *testing.T) {
	locked := func(h *history) {
		h.final(func(f *FinalFacts) { f.Servers[0].Locked, f.Servers[1].Locked = true, true })
	}
	forgets := func(h *history) {
		h.RedisFault(h.tick(), false)
		h.rebuild(h.rec, h.rec.Epoch+1)
	}
	for _, c := range []struct {
		name  string
		first func(h *history)
		again bool
		next  func(h *history)
		want  string // the invariant; empty: all are kept
	}{
		{"Redis forgot in the round before, and its record falls back in this one", forgets, true, func(h *history) {
			h.rec = cluster.Assignment{Epoch: 5, Version: 3, Phase: cluster.PhaseSteady, Active: ja, Passive: jb, Cause: "first start"}
			h.eligible(jb)
		}, "I3"},
		{"a disk failed in the round before, and who is opened in this one is on none", func(h *history) { h.Forgets(h.tick()) }, true, func(h *history) {
			h.die(ja)
			h.recorded("")
			h.Row(h.t, jb, cluster.Mark{Epoch: h.rec.Epoch, Active: jb})
			h.openOnly(jb)
		}, "I7"},
		{"a disk and Redis have lost in the round before why the application is kept out", func(h *history) {
			h.Forgets(h.tick())
			forgets(h)
		}, true, locked, ""},
		{"a disk has lost it in the round before, and Redis in this one", func(h *history) { h.Forgets(h.tick()) }, true, func(h *history) {
			forgets(h)
			locked(h)
		}, ""},
		{"Redis forgot in the round before, and a disk fails in this one", forgets, true, func(h *history) {
			h.Forgets(h.tick())
			locked(h)
		}, "L1"},
		{"the record is older than one that an agent may remember", func(h *history) {
			h.Obeys(h.tick(), "agent", cluster.Assignment{Epoch: 6, Version: 1, Active: ja})
		}, false, nil, ""},
		{"there were two masters", func(h *history) { h.RedisFault(h.tick(), true) }, false, nil, ""},
		{"the role moves long after the trouble", func(h *history) {
			h.Trouble(h.tick())
			h.t += calmAgain
		}, true, func(h *history) { h.revoke(ja, jb) }, "I6"},
		{"the role moves by what is late", func(h *history) { h.Trouble(h.tick()) }, true, func(h *history) { h.revoke(ja, jb) }, ""},
		{"what a person wrote is on both", func(h *history) {
			h.Interfered(h.tick(), 1)
			h.t += unseen
		}, true, func(h *history) {
			h.applied(jb, 1)
			h.die(ja)
			h.failover(ja, jb, cluster.ProofFenced)
		}, "I4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := begin(Promise{MaxLoss: -1, Blocks: true})
			c.first(h)
			if again := h.Again(h.tick(), h.rec, false); again != c.again {
				t.Fatalf("again: %v", again)
			}
			if c.next != nil {
				c.next(h)
			}
			got := ""
			if v := h.Violation(); v != nil {
				got = v.Invariant
			}
			if got != c.want {
				t.Errorf("%q is broken, want %q: %v", got, c.want, h.Violation())
			}
		})
	}
}
