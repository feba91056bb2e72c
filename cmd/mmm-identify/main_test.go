package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func TestUsageNamesTag(t *testing.T) {
	var out, errs bytes.Buffer
	if code := daemon.Execute(command(), []string{"--help"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "\n  mmm-identify --tag TAG[,TAG...]") {
		t.Errorf("exit %d, usage:\n%s", code, out.String()+errs.String())
	}
}
