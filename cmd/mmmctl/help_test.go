package main

import (
	"strings"
	"testing"
)

// --help says what holds without --tag.
func TestHelpNamesTheDefaultOfTag(t *testing.T) {
	if _, out, _ := run("list", "--help"); !strings.Contains(out, "or all (default all to list, history and check; other verbs need it)") {
		t.Errorf("the help of --tag:\n%s", out)
	}
}
