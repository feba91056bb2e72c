package world

import (
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// stories are those that belong to no invariant alone.
var stories = []story{
	{"a failover with a proof", async, "", func(h *history) {
		h.write(ja, jb)
		h.die(ja)
		h.failover(ja, jb, cluster.ProofFenced)
		h.write(jb, ja)
		h.final(nil)
	}},
	{"a switchover", async, "", func(h *history) {
		h.write(ja, jb)
		h.switching()
		h.close(ja)
		h.commit()
		h.open(jb)
		h.steady()
		h.write(jb, ja)
		h.final(nil)
	}},
}

func TestJudge(t *testing.T) {
	for _, c := range slices.Concat(stories, storiesOfRows, storiesOfStrict, storiesOfOpenings, storiesOfRecord, storiesOfLooks, storiesOfHeadless, storiesOfFinal, storiesOfLoss, storiesOfPromise) {
		t.Run(c.name, func(t *testing.T) {
			h := begin(c.promise)
			c.tell(h)
			switch v := h.Violation(); {
			case v == nil && c.want != "":
				t.Errorf("broke nothing, want %s", c.want)
			case v != nil && v.Invariant != c.want:
				t.Errorf("%s, want %q", v, c.want)
			}
		})
	}
}

func TestJudgeFirstStart(t *testing.T) {
	for _, c := range []struct {
		name string
		open []cluster.Endpoint
		pick cluster.Endpoint
		how  cluster.Proof
		want string
	}{
		{"closed servers", nil, ja, cluster.ProofGone, ""},
		{"the open one", []cluster.Endpoint{jb}, jb, cluster.ProofGone, ""},
		{"both open", []cluster.Endpoint{ja, jb}, ja, cluster.RiskBothOpen, ""},
		{"both open and nobody says so", []cluster.Endpoint{ja, jb}, ja, cluster.ProofGone, "I7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := begin(Promise{MaxLoss: -1})
			h.Judge = NewJudge(h.Judge.p, h.g)
			h.rec = cluster.Assignment{}
			h.Begin(h.rec, c.open...)
			h.t += time.Second
			next := cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: c.pick, To: c.pick,
				Passive: h.other(c.pick), Cause: "first start", Proof: c.how}
			h.change("first start", next)
			if len(c.open) == 2 {
				h.close(h.other(c.pick))
			}
			h.open(c.pick)
			h.eligible(h.other(c.pick))
			h.write(c.pick, h.other(c.pick))
			h.final(nil)
			got := ""
			if v := h.Violation(); v != nil {
				got = v.Invariant
			}
			if got != c.want {
				t.Errorf("%v, want %q", h.Violation(), c.want)
			}
		})
	}
}

// A server that was open before there was a record is the agents' once it is named.
func TestJudgeAdopts(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	h.Judge = NewJudge(h.Judge.p, h.g)
	h.rec = cluster.Assignment{}
	h.Begin(h.rec, jb)
	h.change("first start", cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: jb, To: jb,
		Passive: ja, Cause: "first start", Proof: cluster.ProofGone, Eligible: []cluster.Endpoint{ja}})
	h.open(ja)
	if v := h.Violation(); v == nil || v.Invariant != "I1b" {
		t.Errorf("%v, want I1b", v)
	}
}

// A first start that Redis lost counts once an agent has obeyed it.
func TestJudgeSecondFirstStart(t *testing.T) {
	for _, heard := range []bool{false, true} {
		h := begin(Promise{MaxLoss: -1})
		h.Judge = NewJudge(h.Judge.p, h.g)
		h.rec = cluster.Assignment{}
		h.Begin(h.rec)
		first := cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: jb, To: jb,
			Passive: ja, Cause: "first start", Proof: cluster.ProofGone}
		h.change("first start", first)
		if heard {
			h.Obeys(h.tick(), "1", first)
		}
		h.RedisFault(h.tick(), false)
		h.rec = cluster.Assignment{}
		first.Active, first.To, first.Passive = ja, ja, jb
		h.change("first start", first)
		v := h.Violation()
		if heard != (v != nil) || v != nil && v.Invariant != "I10" {
			t.Errorf("heard: %v: %v", heard, v)
		}
	}
}

// A switchover just after a first start that Redis lost before anybody was opened counts once
// an agent has obeyed it.
func TestJudgeSwitchoverOfAFirstStart(t *testing.T) {
	for _, heard := range []bool{false, true} {
		h := begin(Promise{MaxLoss: -1})
		h.Judge = NewJudge(h.Judge.p, h.g)
		h.rec = cluster.Assignment{}
		h.Begin(h.rec)
		h.firstStart(cluster.ProofGone)
		h.switching()
		h.Obeys(h.tick(), "1", h.rec)
		before := h.rec
		h.commit()
		if heard {
			h.Obeys(h.tick(), "1", h.rec)
		}
		h.RedisFault(h.tick(), false)
		h.rec = cluster.Assignment{}
		next := before.Clone()
		next.Epoch, next.Version, next.Phase, next.Cause = before.Epoch+1, 1, cluster.PhaseSteady, causeRebuilt
		h.change("rebuilt", next)
		v := h.Violation()
		if heard != (v != nil) {
			t.Errorf("heard: %v: %v", heard, v)
		}
	}
}

func TestJudgeKeepsTheFirst(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	h.close(ja)
	h.open(jb)
	if v := h.Violation(); v == nil || v.Invariant != "I13" || v.At != time.Millisecond {
		t.Errorf("%v, want I13 at 1ms", v)
	}
}

// A fact that breaks nothing must cost nothing: there are millions of them.
func TestJudgeAllocatesNothing(t *testing.T) {
	h := begin(Promise{MaxLoss: -1})
	n := h.write(ja, jb)
	h.Obeys(0, "1", h.rec)
	h.Row(0, ja, cluster.Mark{Epoch: 5, Active: ja})
	got := testing.AllocsPerRun(100, func() {
		h.Open(h.t, ja, false, ByDeath)
		h.Open(h.t, ja, true, ByAgent)
		h.Acked(h.t, ja, n)
		h.Received(h.t, jb, n)
		h.Obeys(h.t, "1", h.rec)
		h.Row(h.t, ja, cluster.Mark{Epoch: 5, Active: ja})
		h.Leads(h.t, "1", 1)
		h.Threads(h.t, jb, ja)
	})
	if got != 0 || h.Violation() != nil {
		t.Errorf("%v allocations, %v", got, h.Violation())
	}
}
