package main

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestAcknowledge(t *testing.T) {
	for state, want := range map[cluster.RequestState]int{cluster.RequestDone: 0, cluster.RequestRefused: 5} {
		t.Run(string(state), func(t *testing.T) {
			code, out, err := run("acknowledge", "--conf", stage(t, state), "--tag", "mysql3308", "--reason", "looked at it")
			if code != want || !strings.Contains(out+err, "identify's own words") {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, want, out, err)
			}
		})
	}
	conf := stage(t, cluster.RequestDone)
	for args, want := range map[string]int{
		"":                        2, // which tag?
		"--tag all":               2,
		"--tag nope":              7,
		"--tag mysql3308 extra":   2,
		"--tag mysql3308 -o json": 0,
	} {
		code, out, err := run(append([]string{"acknowledge", "--conf", conf}, strings.Fields(args)...)...)
		if code != want {
			t.Errorf("%q: exit %d, want %d\nstdout: %s\nstderr: %s", args, code, want, out, err)
		}
		if want == 0 && !strings.Contains(out, `"acknowledge": {`) {
			t.Errorf("no JSON: %s", out)
		}
	}
}
