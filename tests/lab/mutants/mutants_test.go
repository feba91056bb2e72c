package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestScripts(t *testing.T) {
	all, err := mutants("../../../pkg/safeguard/safeguard.go", "testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Errorf("%d mutants have scripts, want 10 at least", len(all))
	}
	for _, m := range all {
		if m.words == "" || len(m.script) == 0 || m.setting("mode") == "" {
			t.Errorf("%+v", m)
		}
	}
}

func TestScriptOfNoSafeguard(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "no_such.txt"), []byte("kill leader for 1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := mutants("../../../pkg/safeguard/safeguard.go", dir); err == nil || !strings.Contains(err.Error(), "belong to no safeguard") {
		t.Errorf("a script of no safeguard: %v", err)
	}
}

func TestRead(t *testing.T) {
	f := read("seed 1: mariadb, async, 1 Redis\nseed 1 round 1  switchover for 2s\n    1 changes of role\nseed 1 round 2  switchover for 2s\n    0 changes of role\n" +
		"  FOUND one writer: epoch 1 has 2 servers\n  FOUND rows: a lacks b\n  FOUND rows: b lacks a\n\n2 faults in 2 rounds: 1 changes of role\n")
	if f.rounds != 2 || !slices.Equal(f.checkers, []string{"one writer", "rows"}) {
		t.Errorf("%+v", f)
	}
}

func TestRow(t *testing.T) {
	of := func(checkers ...string) found { return found{checkers: checkers, rounds: 2, took: 61 * time.Second} }
	for _, c := range []struct {
		row    row
		caught bool
		want   string
	}{
		{row{found: of("rows", "epochs")}, true, "| rows, epochs |"},
		{row{found: of()}, false, "| **survives** |"},
		{row{found: of("rows"), blamed: of("convergence")}, false, "**nothing left out: convergence**"},
		{row{found: of("rows"), err: errors.New("no\nroom")}, false, "| - (no room) |"},
	} {
		if got := c.row.String(); c.row.caught() != c.caught || !strings.Contains(got, c.want) || !strings.HasSuffix(got, "| 2 | 61 |\n") {
			t.Errorf("caught %v: %s", c.row.caught(), got)
		}
	}
}
