package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Every broken file in testdata has beside it what is said about it, and which
// of its tags can be used. The password in all of them is hunter2.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.conf")
	if err != nil || len(files) < 20 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimPrefix(path, "testdata/"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			f := parse(filepath.Base(path), data)
			var faults *Faults
			if strings.Contains(path, "agent") {
				_, faults = f.agent(0o640)
			} else {
				var p *Pairs
				p, faults = f.pairs(0o640)
				for _, tag := range p.Tags {
					fmt.Fprintf(&got, "usable: %s\n", tag.Tag)
				}
				if _, _, err := p.Select(nil); err == nil && len(p.Tags) == 0 {
					t.Error("nothing is usable and nothing is wrong")
				}
			}
			for _, x := range faults.All() {
				fmt.Fprintln(&got, x)
				if x.Line < 0 || x.Line > strings.Count(string(data), "\n")+1 {
					t.Errorf("line %d", x.Line)
				}
				if !x.Warning && x.Hint == "" {
					t.Errorf("no hint: %s", x)
				}
			}
			if strings.Contains(got.String(), "hunter2") {
				t.Errorf("a password is shown:\n%s", got.String())
			}
			golden := strings.TrimSuffix(path, ".conf") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}
