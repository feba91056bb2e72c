package status

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// refusal is an error of the bus as redisbus has them.
type refusal struct{ text, code, way string }

func (e refusal) Error() string  { return e.text + " (" + e.way + ")" }
func (e refusal) Plain() string  { return e.text }
func (e refusal) Answer() string { return e.code }
func (e refusal) WayOut() string { return e.way }

var (
	readOnly = refusal{"write anything: redis 10.0.21.1:6379: READONLY You can't write against a read only replica.", "READONLY",
		"it is a replica: [redis] host must name the master, or sentinels and master_name find it"}
	loading = refusal{"read everything of 8d9a: redis 10.0.21.1:6379: LOADING Redis is loading the dataset in memory", "LOADING", "it is still loading its data, wait for it"}
)

// cold is what a Redis holds in which nobody has been able to write for a minute.
func cold() cluster.Snapshot {
	s := healthy()
	s.Leader, s.Verdict, s.Observations, s.ViewEnds = cluster.Leader{}, nil, nil, nil
	return s
}

func TestRefusedForms(t *testing.T) {
	for name, b := range map[string]*fakeBus{
		"refused": {snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: cold()}, refusal: readOnly},
		"loading": {err: loading, refusal: loading},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := New(Options{Bus: b, Subjects: []Subject{subject()}, BusHint: "is Redis up?"}).LookSettled(t.Context())
			r.Time = now
			var legacy, tree, js bytes.Buffer
			for _, err := range []error{Legacy(&legacy, r), Tree(&tree, r, Style{}), JSON(&js, r, false)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name+".legacy", legacy.Bytes())
			golden(t, name+".tree", tree.Bytes())
			golden(t, name+".json", js.Bytes())
		})
	}
}

func TestRefusalsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name            string
		reads, writes   error
		condition       Condition
		answer, refused string
		hint            string // of the error
	}{
		{"well", nil, nil, Good, "", "", ""},
		{"it takes no writes", nil, readOnly, Degraded, "", "READONLY", ""},
		{"a user who may only read", nil, refusal{"SET: NOPERM", "NOPERM", "grants"}, Good, "", "", ""},
		{"nobody knows why it takes no writes", nil, errors.New("i/o timeout"), Degraded, "", "-", ""},
		{"it answers, and cannot be read", loading, loading, Unreachable, "LOADING", "", loading.way},
		{"it does not answer", errors.New("connection refused"), errors.New("connection refused"), Unreachable, "", "", "is Redis up?"},
	} {
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: healthy()}, err: c.reads, refusal: c.writes}
		r := New(Options{Bus: b, Subjects: []Subject{subject()}, BusHint: "is Redis up?"}).Look(t.Context())
		tag := r.Tags[0]
		if r.Condition != c.condition || r.ExitCode != c.condition.ExitCode() || tag.Condition != c.condition {
			t.Errorf("%s: condition %q and %q, exit code %d", c.name, r.Condition, tag.Condition, r.ExitCode)
		}
		if c.condition == Unreachable && (r.Error == nil || r.Error.Answer != c.answer || r.Error.Hint != c.hint) {
			t.Errorf("%s: error %+v", c.name, r.Error)
		}
		if v := tag.Verdict; v != nil && v.WouldFailOver != (c.refused == "") {
			t.Errorf("%s: would fail over: %v", c.name, v.WouldFailOver)
		}
		if refused := r.Refused != nil; refused != (c.refused != "") || refused && strings.TrimPrefix(c.refused, "-") != r.Refused.Answer ||
			refused != hasProblem(tag, CodeBusRefuses) {
			t.Errorf("%s: refused %+v, problems %v", c.name, r.Refused, tag.Problems)
		}
	}
}

// Of a bus that takes no writes it is not concluded that daemons are dead; what is
// worse than that stays.
func TestRefusalTakesThePlaceOfWhatFollowsFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cold()
		s.Assignment.Phase, s.Assignment.Active, s.Checks = cluster.PhaseRevoked, "", nil
		b := &fakeBus{snaps: map[cluster.UniqSign]cluster.Snapshot{uniq: s}}
		service := New(Options{Bus: b, Subjects: []Subject{subject()}})
		before := service.LookSettled(t.Context())
		b.refusal = readOnly
		tag := service.Look(t.Context()).Tags[0]
		for _, code := range []string{CodeAgentAway, CodeNoIdentify, CodeNotSampled} {
			if !hasProblem(before.Tags[0], code) || hasProblem(tag, code) {
				t.Errorf("%s: before %v, after %v", code, before.Tags[0].Problems, tag.Problems)
			}
		}
		if tag.Problems[0].Code != CodeBusRefuses || !hasProblem(tag, CodeNoActive) || tag.Condition != NoActive {
			t.Errorf("condition %q: %v", tag.Condition, tag.Problems)
		}
		if missing := tag.Protection.Missing; !slices.Equal(missing, []string{"the bus takes no writes"}) {
			t.Errorf("missing: %v", missing)
		}
		var tree bytes.Buffer
		if err := Tree(&tree, Report{Tags: []Tag{tag}}, Style{}); err != nil || strings.Contains(tree.String(), "stand still") {
			t.Errorf("tree:\n%s", tree.String())
		}
	})
}
