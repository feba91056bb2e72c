package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// mmm-status in its forms, and the operator's reading verbs.
func TestStatusForms(t *testing.T) {
	s := raise(t, options{leastGrants: true})
	block := fmt.Sprintf("Current multi master status:\n[%s]\n  active: %s(alive readonly: 0)\n  +- passive: %s(alive readonly: 1)\n\n",
		harness.ServiceTag, s.a.Addr(), s.b.Addr())
	for _, args := range [][]string{nil, {"--tag", "all"}, {"-tag", harness.ServiceTag}, {"-o", "legacy"}, {"--format", "legacy"}} {
		out, err := s.Tool(s.short(), "mmm-status", args...)
		s.must(err)
		if out.Code != 0 || out.Stdout != block {
			t.Errorf("mmm-status %v: %s\nwant exactly:\n%s", args, out, block)
		}
	}
	out, err := s.Tool(s.short(), "mmm-status", "-o", "json")
	s.must(err)
	var report struct {
		SchemaVersion int `json:"schema_version"`
		Tags          []struct {
			Tag, Active, Passive string
			Assignment           struct{ Epoch int }
		}
	}
	if err := json.Unmarshal([]byte(out.Stdout), &report); err != nil {
		t.Fatalf("mmm-status -o json: %v: %s", err, out)
	}
	if report.SchemaVersion < 1 || len(report.Tags) != 1 || report.Tags[0].Active != string(s.a.Addr()) || report.Tags[0].Assignment.Epoch < 1 {
		t.Errorf("mmm-status -o json: %+v", report)
	}
	out, err = s.Tool(s.short(), "mmm-status", "-o", "tree")
	s.must(err)
	t.Logf("tree:\n%s", out.Stdout)
	for _, want := range []string{string(s.a.Addr()), string(s.b.Addr()), "epoch"} {
		if !strings.Contains(out.Stdout, want) {
			t.Errorf("the tree does not show %q", want)
		}
	}
	out, err = s.Tool(s.short(), "mmmctl", "list")
	s.must(err)
	if out.Code != 0 || !strings.Contains(out.Stdout, harness.ServiceTag) {
		t.Errorf("mmmctl list: %s", out)
	}
}

// check names each missing grant as the statement that gives it.
func TestCheckNamesMissingGrants(t *testing.T) {
	s := raise(t, options{leastGrants: true})
	out, err := s.Tool(s.short(), "mmmctl", "check", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf)
	s.must(err)
	t.Logf("%s", out)
	if out.Code != 0 && out.Code != 3 {
		t.Errorf("mmmctl check of a good pair: exit %d, want 0, or 3 for what it warns of", out.Code)
	}
	if strings.Contains(out.Stdout, "GRANT ") {
		t.Errorf("mmmctl check of users with every grant they need asks for more")
	}
	// On the passive it would become an errant transaction.
	wants := []string{lab.WatchGrant(), "fix, on the active " + string(s.a.Addr()) + " (it replicates): GRANT " + lab.WatchGrant()}
	s.local(s.b, "REVOKE "+lab.WatchGrant()+" ON *.* FROM '"+harness.WatcherUser+"'@'%'")
	if bypass := lab.BypassGrant(); bypass != "" {
		s.local(s.b, "GRANT "+bypass+" ON *.* TO '"+harness.AppUser+"'@'%'")
		wants = append(wants, harness.AppUser)
	}
	out, err = s.Tool(s.short(), "mmmctl", "check", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf)
	s.must(err)
	t.Logf("%s", out)
	if out.Code == 0 {
		t.Errorf("mmmctl check with a missing grant: exit 0")
	}
	for _, want := range wants {
		if !strings.Contains(out.Stdout, want) {
			t.Errorf("mmmctl check does not name %q", want)
		}
	}
}

// A pair set up as README says has nothing that check warns of, before and after
// a failover and a rejoin.
func TestCheckIsClean(t *testing.T) {
	s := raise(t, options{leastGrants: true})
	clean := func(when string) {
		t.Helper()
		out, err := s.Tool(s.short(), "mmmctl", "check", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf)
		s.must(err)
		t.Logf("%s: %s", when, out)
		if out.Code != 0 || strings.Contains(out.Stdout, "warn ") || strings.Contains(out.Stdout, "fix:") {
			t.Errorf("%s: exit %d, want 0 and nothing to mend", when, out.Code)
		}
	}
	clean("at first")
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	s.whole(s.b)
	clean("after the rejoin")
	// The server that was seen starting is no longer a matter of trust.
	out, err := s.Tool(s.short(), "mmmctl", "check", "--tag", harness.ServiceTag, "--agent-conf", s.AgentConf)
	s.must(err)
	_, seen, _ := strings.Cut(out.Stdout, string(s.a.Addr())+"\n")
	for text, want := range map[string]bool{"read_only at start: on, as the server told": true, "super_read_only at start: on, as seen": lab.Flavor() == harness.MySQL} {
		if strings.Contains(seen, "ok       "+text) != want {
			t.Errorf("of the server that was seen starting, want %v: %s\n%s", want, text, seen)
		}
	}
}
