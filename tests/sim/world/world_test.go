package world

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSchedulesKeepEveryPromise(t *testing.T) {
	var seen Counters
	seeds := uint64(150)
	if raceEnabled {
		seeds = 60
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		spec := Draw(seed)
		out := Run(spec)
		seen.Add(&out.Seen)
		if out.Violation != nil {
			t.Fatalf("seed %d: %s\n%s", seed, out.Violation, spec)
		}
	}
	for _, c := range []Counter{SawActiveKilled, SawActiveHung, SawFailoverFenced, SawSwitchoverDone, SawRebuilt, SawEligibleAgain} {
		if seen[c] == 0 {
			t.Errorf("never: %s", c)
		}
	}
}

// rare are the things that some thousand schedules need not see.
var rare = map[Counter]bool{SawFailoverWaited: true}

func allSeen(seen *Counters) bool {
	for _, c := range seen.Zero() {
		if !rare[c] {
			return false
		}
	}
	return true
}

// Nothing that must happen sometimes is out of reach of the search.
func TestTheSearchIsNotBlind(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it takes long")
	}
	var seen Counters
	for seed := uint64(1); seed <= 6000 && !allSeen(&seen); seed++ {
		out := Run(Draw(seed))
		seen.Add(&out.Seen)
	}
	for _, c := range seen.Zero() {
		if !rare[c] {
			t.Errorf("never: %s", c)
		}
	}
}

func TestTheSameScheduleGivesTheSameEvents(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		spec := Draw(seed)
		a, b := RunTraced(spec), RunTraced(spec)
		if a.Events != b.Events || a.Took != b.Took || a.Seen != b.Seen {
			t.Errorf("seed %d: %d events in %s, then %d in %s", seed, a.Events, a.Took, b.Events, b.Took)
		}
		if one, two := strings.Split(a.Trace, "\n"), strings.Split(b.Trace, "\n"); a.Trace != b.Trace {
			for i := range min(len(one), len(two)) {
				if one[i] != two[i] {
					t.Fatalf("seed %d: line %d is\n%s\nand then\n%s", seed, i, one[i], two[i])
				}
			}
		}
		if quiet := Run(spec); quiet.Events != a.Events {
			t.Errorf("seed %d: %d events with a trace, %d without", seed, a.Events, quiet.Events)
		}
	}
}

// Each file is a schedule by which a promise was once broken.
func TestKeptSchedules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schedules: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var spec Spec
			if err := json.Unmarshal(text, &spec); err != nil {
				t.Fatal(err)
			}
			if out := Run(spec); out.Violation != nil {
				t.Error(out.Violation)
			}
		})
	}
}

func TestFaultsOfDaemonsThatHaveNotBegun(t *testing.T) {
	spec := Draw(1)
	spec.Faults, spec.Operator = nil, nil
	for _, k := range []string{daemonKilled, daemonStopped, daemonPaused, daemonLeap, diskHangs} {
		for _, on := range spec.daemons() {
			if k != diskHangs || on[:2] == "ag" {
				spec.Faults = append(spec.Faults, Fault{Kind: k, On: on, For: time.Second})
			}
		}
	}
	if out := Run(spec); out.Violation != nil {
		t.Error(out.Violation)
	}
}

func TestAScheduleIsDataAlone(t *testing.T) {
	for seed := uint64(1); seed <= 100; seed++ {
		spec := Draw(seed)
		var read Spec
		if err := json.Unmarshal([]byte(spec.String()), &read); err != nil {
			t.Fatal(err)
		}
		if read.String() != spec.String() {
			t.Fatalf("seed %d is read back as %s", seed, read)
		}
		if again := Draw(seed); again.String() != spec.String() {
			t.Fatalf("seed %d draws two schedules", seed)
		}
	}
}

// A quiet world stays as it is: no fault, no event of the record but those of well-being.
func TestNothingHappensWithoutAFault(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		spec := Draw(seed)
		spec.Steady, spec.Home, spec.Faults, spec.Operator, spec.Rounds, spec.Clocks = true, true, nil, nil, nil, nil
		w := newWorld(spec)
		w.build()
		for !w.over && w.e.Step() {
			w.look()
		}
		if v := w.judge.Violation(); v != nil {
			t.Errorf("seed %d: %s", seed, v)
		}
		if a := w.record(); a.Epoch != 7 || a.Active != w.pair.Primary {
			t.Errorf("seed %d: the record is %s, active %s", seed, a.Order(), a.Active)
		}
		w.e.Close()
	}
}
