package main

import (
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestDurability(t *testing.T) {
	for state, want := range map[cluster.RequestState]int{cluster.RequestDone: 0, cluster.RequestRefused: 5} {
		t.Run(string(state), func(t *testing.T) {
			code, out, err := run("durability", "--conf", stage(t, state), "--tag", "mysql3308", "--set", "semisync", "--reason", "invoices")
			if code != want || !strings.Contains(out+err, "identify's own words") {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, want, out, err)
			}
		})
	}
	conf := stage(t, cluster.RequestDone)
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"":                             {2, "tag"},
		"--tag nope":                   {7, "nope"},
		"--tag mysql3308 extra":        {2, "extra"},
		"--tag mysql3308 --set sync":   {2, `read --set "sync": want async, semisync or semisync-strict`},
		"--tag mysql3308 --set=":       {2, "which durability?"},
		"--tag mysql3308 --reason why": {2, "which durability?"},
		"--tag mysql3308":              {0, "async: a failover may lose what the passive has not received"},
		"--tag mysql3308 -o json":      {0, `"durability": {`},
	} {
		code, out, err := run(append([]string{"durability", "--conf", conf}, strings.Fields(args)...)...)
		if code != want.code || !strings.Contains(out+err, want.says) {
			t.Errorf("%q: exit %d, want %d and %q\nstdout: %s\nstderr: %s", args, code, want.code, want.says, out, err)
		}
	}
}
