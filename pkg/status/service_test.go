package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

type fakeBus struct {
	mu    sync.Mutex
	snaps map[cluster.UniqSign]cluster.Snapshot
	err   error
	// refusal is what a write is answered.
	refusal error
	looks   int
	// onLook may change what the next look finds.
	onLook func(*fakeBus)
}

func (b *fakeBus) Snapshot(_ context.Context, u cluster.UniqSign) (cluster.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	if b.onLook != nil {
		b.onLook(b)
	}
	if b.err != nil {
		return cluster.Snapshot{}, b.err
	}
	return b.snaps[u], nil
}

func (b *fakeBus) TryWrite(context.Context) error { return b.refusal }

func agents(seqs map[string]uint64) map[cluster.Endpoint]map[string]cluster.Report {
	byAgent := map[string]cluster.Report{}
	for name, seq := range seqs {
		byAgent[name] = cluster.Report{Agent: name, Seq: seq, Deed: cluster.DeedOpen}
	}
	return map[cluster.Endpoint]map[string]cluster.Report{nodeA: byAgent, nodeB: byAgent}
}

func TestOneAgentAndAVerdictNeedOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: healthy()}}
		r := New(Options{Bus: b, Subjects: []Subject{subject()}}).LookSettled(t.Context())
		if b.looks != 1 || r.Tags[0].Servers[0].Agents[0].Heard != nil {
			t.Errorf("%d looks, agents %+v", b.looks, r.Tags[0].Servers[0].Agents)
		}
	})
}

func TestSecondLookTellsTheLivingAgentFromTheKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := healthy()
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: s}}
		b.onLook = func(b *fakeBus) {
			s := b.snaps[uniq]
			s.Reports = agents(map[string]uint64{"h/killed": 7, "h/living": uint64(10 + b.looks/4)})
			b.snaps[uniq] = s
		}
		r := New(Options{Bus: b, Subjects: []Subject{subject()}}).LookSettled(t.Context())
		tag := r.Tags[0]
		if got := tag.Daemons.Agents; len(got) != 1 || got[0] != "h/living" {
			t.Errorf("agents at work: %v", got)
		}
		if tag.Condition != Good {
			t.Errorf("condition %q: %v", tag.Condition, tag.Problems)
		}
		var tree bytes.Buffer
		if err := Tree(&tree, r, Style{}); err != nil || !strings.Contains(tree.String(), "agents that stand still: 1") {
			t.Errorf("tree:\n%s", tree.String())
		}
	})
}

func TestOnlyAgentThatStandsStillIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := healthy()
		s.Verdict = nil
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: s}}
		r := New(Options{Bus: b, Subjects: []Subject{subject()}}).LookSettled(t.Context())
		if r.Condition != Degraded || !hasProblem(r.Tags[0], CodeAgentAway) {
			t.Errorf("condition %q, problems %v", r.Condition, r.Tags[0].Problems)
		}
	})
}

func hasProblem(t Tag, code string) bool {
	for _, p := range t.Problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

func TestAgeWithoutTTLComesFromSequenceNumbers(t *testing.T) {
	s := healthy()
	s.ViewEnds = nil
	seen := NewTracker()
	seen.Look(s, now)
	if age, exact := seen.age(s, nodeA, "mon1", 9*time.Second, now.Add(time.Second)); exact || age != 9*time.Second {
		t.Errorf("first look: %s, exact=%v", age, exact)
	}
	spoil(&s, nodeA, func(o *cluster.Observation) { o.Seq++ })
	seen.Look(s, now.Add(2*time.Second))
	if age, exact := seen.age(s, nodeA, "mon1", 9*time.Second, now.Add(5*time.Second)); !exact || age != 3*time.Second {
		t.Errorf("after it moved: %s, exact=%v", age, exact)
	}
}

func TestWorstTagCountsAndABrokenSectionHidesNothing(t *testing.T) {
	b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: healthy()}}
	opt := Options{Bus: b, Subjects: []Subject{subject()}}
	for _, c := range []struct {
		broken []Broken
		want   int
	}{
		{nil, 0},
		{[]Broken{{Tag: "nope", Condition: UnknownTag, Failure: Failure{Message: "no such section"}}}, 7},
		{[]Broken{{Tag: "nope", Condition: UnknownTag}, {Tag: "bad", Condition: Misconfigured}}, 78},
	} {
		opt.Broken = c.broken
		r := New(opt).Look(t.Context())
		var legacy bytes.Buffer
		if err := Legacy(&legacy, r); err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != c.want || !strings.Contains(legacy.String(), "[mysql3308]") || strings.Contains(legacy.String(), "nope") {
			t.Errorf("%v: exit %d, want %d\n%s", c.broken, r.ExitCode, c.want, legacy.String())
		}
	}
	b.err = errors.New("read everything: connection refused")
	opt.Broken = nil
	if r := New(opt).Look(t.Context()); r.ExitCode != 69 || r.Tags[0].Error == nil {
		t.Errorf("without a bus: exit %d", r.ExitCode)
	}
}

func TestWatchLooksAtEachWakeAndInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: healthy()}}
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		began := time.Now()
		var at []time.Duration
		_, err := New(Options{Bus: b, Subjects: []Subject{subject()}}).Watch(ctx, 2*time.Second, wake, func(Report) error {
			at = append(at, time.Since(began))
			switch len(at) {
			case 2:
				// Two events at once are one look, and not before minRedraw.
				wake <- struct{}{}
			case 4:
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 2 * time.Second, 2*time.Second + minRedraw, 4*time.Second + minRedraw}
		if len(at) != len(want) {
			t.Fatalf("looked at %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("looked at %v, want %v", at, want)
			}
		}
	})
}

func TestLegacyAges(t *testing.T) {
	for _, c := range []struct {
		ago  int64
		ping bool
		want string
	}{
		{-5, true, "alive readonly: 1"}, // their clock runs ahead of ours
		{29, true, "alive readonly: 1"},
		{30, true, "alive at 30 seconds ago readonly: 1"},
		{86400, true, "alive at 86400 seconds ago readonly: 1"},
		{86400, false, "dead readonly: 1"},
	} {
		check := cluster.LegacyCheck{Ping: c.ping, ReadOnly: 1, LastCheck: now.Unix() - c.ago}
		if got := legacyState(Server{Node: nodeA}, map[cluster.Endpoint]cluster.LegacyCheck{nodeA: check}, now); got != c.want {
			t.Errorf("%d s ago: %q, want %q", c.ago, got, c.want)
		}
	}
}

func TestChooseStyle(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     ColourMode
		terminal bool
		env      map[string]string
		want     Style
	}{
		{"terminal", ColourAuto, true, map[string]string{"LANG": "de_CH.UTF-8"}, Style{Colour: true}},
		{"pipe", ColourAuto, false, map[string]string{"LANG": "C.utf8"}, Style{}},
		{"NO_COLOR", ColourAuto, true, map[string]string{"NO_COLOR": "1", "LANG": "C.UTF-8"}, Style{}},
		{"NO_COLOR empty", ColourAuto, true, map[string]string{"NO_COLOR": "", "LANG": "C.UTF-8"}, Style{Colour: true}},
		{"NO_COLOR and always", ColourAlways, false, map[string]string{"NO_COLOR": "1", "LANG": "C.UTF-8"}, Style{Colour: true}},
		{"dumb", ColourAuto, true, map[string]string{"TERM": "dumb", "LANG": "C.UTF-8"}, Style{}},
		{"never", ColourNever, true, map[string]string{"LANG": "C.UTF-8"}, Style{}},
		{"no locale", ColourAuto, true, nil, Style{Colour: true, ASCII: true}},
		{"LC_ALL before LANG", ColourAuto, true, map[string]string{"LC_ALL": "C", "LANG": "C.UTF-8"}, Style{Colour: true, ASCII: true}},
	} {
		got, err := ChooseStyle(c.mode, c.terminal, func(k string) string { return c.env[k] })
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	if _, err := ChooseStyle("sometimes", true, os.Getenv); err == nil {
		t.Error("sometimes is taken")
	}
}

func TestWrapKeepsWordsAndWidth(t *testing.T) {
	l := line{{"bold words here ", bold}, {"and-a-long-one-that-does-not-fit-anywhere end", plainText}}
	var got []string
	for _, part := range wrap(l, 20) {
		text := strings.TrimRight(Style{}.paint(part), " ")
		got = append(got, text)
		if len(text) > 20 && strings.Contains(text, " ") {
			t.Errorf("%q is wider than 20", text)
		}
	}
	if joined := strings.Join(got, " "); joined != "bold words here and-a-long-one-that-does-not-fit-anywhere end" {
		t.Errorf("wrapped to %q", joined)
	}
}

// Every key that the JSON form can have is in the documentation.
func TestJSONKeysAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`[a-z_]+`).FindAllString(string(doc), -1) {
		words[w] = true
	}
	for _, sc := range scenes {
		var js bytes.Buffer
		if err := JSON(&js, sceneReport(t, sc.make), true); err != nil {
			t.Fatal(err)
		}
		if strings.Count(js.String(), "\n") != 1 {
			t.Errorf("%s: NDJSON has more than one line", sc.name)
		}
		var v any
		if err := json.Unmarshal(js.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		for _, k := range keysOf(v) {
			if !words[k] {
				t.Errorf("key %q is not documented", k)
				words[k] = true
			}
		}
	}
}

func keysOf(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			out = append(append(out, k), keysOf(x)...)
		}
	case []any:
		for _, x := range v {
			out = append(out, keysOf(x)...)
		}
	}
	return out
}
