package main

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestFailover(t *testing.T) {
	for state, want := range map[cluster.RequestState]int{
		cluster.RequestDone: 0, cluster.RequestRefused: 5, cluster.RequestFailed: 6,
	} {
		t.Run(string(state), func(t *testing.T) {
			conf := stage(t, state)
			code, out, err := run("failover", "-conf", conf, "--tag", "mysql3308", "--to", string(nodeB), "--reason", "fire", "--yes", "--force")
			if code != want || !strings.Contains(out+err, "identify's own words") {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, want, out, err)
			}
			if !strings.Contains(err, "will be refused, as it looks from here:\n  ! 127.0.0.1:2 does not answer") {
				t.Errorf("does not say beforehand that it will be refused: %s", err)
			}
		})
	}
	conf := stage(t, cluster.RequestDone)
	for args, want := range map[string]int{
		"--tag mysql3308 --to 127.0.0.1:2 --reason fire":                       2, // standard input is no terminal
		"--tag mysql3308 --to 127.0.0.1:2 --yes":                               2,
		"--tag mysql3308 --reason fire --yes":                                  2,
		"--tag mysql3308 --to nonsense --reason fire --yes":                    2,
		"--to 127.0.0.1:2 --reason fire --yes":                                 2,
		"--tag mysql3308 --to 127.0.0.1:9 --reason fire --yes":                 7,
		"--tag nope --to 127.0.0.1:2 --reason fire --yes":                      7,
		"--tag mysql3308 --to 127.0.0.1:2 --reason fire --yes":                 5, // no sample of it: not filed
		"--tag mysql3308 --to 127.0.0.1:2 --reason fire --yes --force -o json": 0,
	} {
		code, out, err := run(append([]string{"failover", "--conf", conf}, strings.Fields(args)...)...)
		if code != want {
			t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", args, code, want, out, err)
		}
	}
}
