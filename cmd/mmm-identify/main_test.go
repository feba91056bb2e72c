package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func TestUsageNamesTag(t *testing.T) {
	var out, errs bytes.Buffer
	if code := daemon.Execute(command(), []string{"--help"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "\n  mmm-identify --tag TAG[,TAG...]") {
		t.Errorf("exit %d, usage:\n%s", code, out.String()+errs.String())
	}
}

func TestTheMonitorsNamedReachThePolicy(t *testing.T) {
	p := policyOf(config.Tag{Monitors: []string{"m1", "m2", "m3"}})
	if !slices.Equal(p.Monitors, []string{"m1", "m2", "m3"}) {
		t.Errorf("%q decide", p.Monitors)
	}
}
