package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/tests/sim/world"
)

const root = "../../.."

func every(t *testing.T) []mutant {
	t.Helper()
	all, err := mutants(filepath.Join(root, "pkg/safeguard/safeguard.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 16 {
		t.Fatalf("%d safeguards were read", len(all))
	}
	return all
}

// quick are mutants that some dozens of schedules catch.
var quick = []string{"no_epoch_raised", "no_closed_first", "no_subset_check", "no_whole_first", "no_epoch_above", "no_quarantine"}

func TestQuickMutantsAreCaught(t *testing.T) {
	some, err := pick(every(t), quick)
	if err != nil {
		t.Fatal(err)
	}
	l := laboratory{root: root, most: 2000, limit: 20 * time.Second, jobs: 2}
	if _, err := l.catch(some, func(r row) {
		if r.violation == "" {
			t.Errorf("not caught: %s", r)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func TestASurvivorIsNamed(t *testing.T) {
	late, err := pick(every(t), []string{"no_late_leader"})
	if err != nil {
		t.Fatal(err)
	}
	l := laboratory{root: root, most: 1, limit: time.Minute, jobs: 2}
	var told []string
	survivors, err := l.catch(append(late, mutant{name: "no_such_safeguard"}), func(r row) { told = append(told, r.by()) })
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(survivors) != "[no_late_leader no_such_safeguard]" {
		t.Errorf("survivors %v", survivors)
	}
	if told[0] != "**survives**" || !strings.Contains(told[1], "undefined: off") {
		t.Errorf("told %q", told)
	}
}

func TestAMutantThatIsNotThereIsNotPicked(t *testing.T) {
	if _, err := pick(every(t), []string{"no_drain", "no_brain"}); err == nil {
		t.Error("no error")
	}
}

func TestEachSafeguardHasItsFileItsUseAndItsRow(t *testing.T) {
	folder := filepath.Join(root, "pkg/safeguard")
	table := read(t, filepath.Join(root, "tests/README.md"))
	uses := map[string]int{}
	err := filepath.WalkDir(filepath.Join(root, "pkg"), func(name string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			for _, after := range strings.Split(read(t, name), "safeguard.Off(safeguard.")[1:] {
				constant, _, _ := strings.Cut(after, ")")
				uses[constant]++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{"safeguard.go": true, "none.go": true}
	for _, m := range every(t) {
		files[m.name+".go"] = true
		want := fmt.Sprintf("//go:build mutant && %s\n\npackage safeguard\n\nconst off = %s\n", m.name, m.constant)
		if got := read(t, filepath.Join(folder, m.name+".go")); got != want {
			t.Errorf("%s.go is\n%s\nwant\n%s", m.name, got, want)
		}
		if uses[m.constant] == 0 {
			t.Errorf("%s turns nothing off", m.constant)
		}
		if row := fmt.Sprintf("| `%s` | %s | ", m.name, m.words); !strings.Contains(table, row) {
			t.Errorf("tests/README.md has no row %q", row)
		}
		if safeguard.Off(safeguard.Safeguard(m.name)) {
			t.Errorf("%s is off in this build", m.constant)
		}
	}
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !files[f.Name()] {
			t.Errorf("pkg/safeguard/%s belongs to no safeguard", f.Name())
		}
	}
}

// What asks for a safeguard is not in the programs that people run.
func TestProgramsHoldNothingOfIt(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/mmm-agent", "./cmd/mmm-identify")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, program := range []string{"mmm-agent", "mmm-identify"} {
		code, err := os.ReadFile(filepath.Join(bin, program))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(code, []byte("key update not done")) && !bytes.Contains(code, []byte("check record again")) {
			t.Fatalf("%s does not hold its own texts", program)
		}
		for _, m := range every(t) {
			if bytes.Contains(code, []byte(m.name)) {
				t.Errorf("%s holds %q", program, m.name)
			}
		}
	}
}

// The schedules that were made for mutants break none of the product's promises.
func TestOwnSchedulesAreKept(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schedules: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if _, err := pick(every(t), []string{name}); err != nil {
			t.Error(err)
		}
		of, own, err := schedulesFor("testdata", name)
		if err != nil || !own {
			t.Fatalf("%s: own: %v, %v", name, own, err)
		}
		if f := hunt(of, 1, 4, time.Minute); f.Violation != nil {
			t.Errorf("%s, variant %d: %s", name, f.Seed, f.Violation)
		}
	}
}

func TestAVariantLeavesTheScheduleAsItWas(t *testing.T) {
	spec := world.Draw(7)
	before := spec.String()
	one, two := variant(spec, 1).String(), variant(spec, 2).String()
	if spec.String() != before {
		t.Error("the schedule was changed")
	}
	if one == two || one != variant(spec, 1).String() {
		t.Error("a seed does not make its one variant")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
