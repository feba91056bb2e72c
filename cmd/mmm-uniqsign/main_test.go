package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func TestUniqSign(t *testing.T) {
	// The digit of the version and that of the variant, RFC 9562.
	want := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}\n$`)
	seen := map[string]bool{}
	for range 100 {
		var out, errs bytes.Buffer
		if code := daemon.Execute(command("mmm-uniqsign"), nil, &out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatal(code, errs.String())
		}
		if !want.MatchString(out.String()) || seen[out.String()] {
			t.Fatalf("got %q", out.String())
		}
		seen[out.String()] = true
	}
}

func TestUniqSignTakesNoArguments(t *testing.T) {
	var out, errs bytes.Buffer
	if code := daemon.Execute(command("mmm-uniqsign"), []string{"x"}, &out, &errs); code != daemon.ExitUsage || out.Len() > 0 {
		t.Errorf("%d %q %q", code, out.String(), errs.String())
	}
}

// Under the predecessor's name it speaks of no program that nobody called.
func TestItNamesItselfAsItWasCalled(t *testing.T) {
	for _, arg := range []string{"--help", "--version", "x"} {
		var out, errs bytes.Buffer
		daemon.Execute(command("mmm-sign-gen"), []string{arg}, &out, &errs)
		if said := out.String() + errs.String(); !strings.Contains(said, "mmm-sign-gen") || strings.Contains(said, "mmm-uniqsign") {
			t.Errorf("%s: %s", arg, said)
		}
	}
}
