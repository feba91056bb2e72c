package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/check"
)

func TestRecordsAddUp(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "lab"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(readme, "before\n"+beginMark+"\nold\n"+endMark+"\nafter\n")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s := sums{Sums: check.Sums{Acknowledged: 50}, Rounds: 10, Faults: map[string]int{"kill": 3, "stop": 1}, Slowest: time.Second}
			if err := addRecord(dir, key{DB: "mariadb", Mode: "semisync", Plan: planStorm}, s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(filepath.Join(dir, readme))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "\nafter\n", "| storm | semisync | mariadb | 200 | 80 | 0 | 1000 | 0 | 0 (0) | 0 | 1.0 | < 1.5 % of rounds | 0 |", "| kill | 60 |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("the old table is still there:\n%s", text)
	}
	write(readme, "no marks")
	if err := addRecord(dir, key{}, sums{}); err == nil || !strings.Contains(err.Error(), beginMark) {
		t.Errorf("a text without marks: %v", err)
	}
}
