package fault

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseReadsWhatPlansPrint(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hit := map[string]bool{}
	for n := range 5000 {
		plan := Draw(rng, Setup{Sentinels: true, Previous: true}, "")
		if n%5 == 0 {
			plan = Cuts(rng)
		}
		for _, f := range plan {
			hit[f.Kind] = true
		}
		got, err := Parse(plan.String())
		if err != nil || !slices.Equal(got, plan) {
			t.Fatalf("Parse(%q) = %v, %v", plan, got, err)
		}
	}
	if len(hit) != len(kinds) {
		t.Errorf("%d kinds were drawn, want all %d", len(hit), len(kinds))
	}
	away := Plan{{Kind: "kill", Target: "all redis", Lasts: 10 * time.Minute}}
	if got, err := Parse(away.String()); err != nil || !slices.Equal(got, away) {
		t.Errorf("Parse(%q) = %v, %v", away, got, err)
	}
}

func TestPlansPrintWhatIsParsed(t *testing.T) {
	for _, text := range []string{
		"stop server of active for 4s; kill agent of passive at 1s for 3s",
		"cut to active-mo3 for 1.5s",
		"cut from passive-mo1 for 1ms",
		"redis with two masters for 8s",
		"loss mo1-all (5) at 250ms for 1m0s",
	} {
		plan, err := Parse(text)
		if err != nil || plan.String() != text {
			t.Errorf("Parse(%q) = %q, %v", text, plan, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "it is no KIND",
		"kill leader":                      "it is no KIND",
		"kill leader for 3":                "missing unit",
		"kill leader at soon for 3s":       "invalid duration",
		"kill nobody for 3s":               "it does not happen to that",
		"switchover active for 3s":         "it does not happen to that",
		"cut for 3s":                       "it does not happen to that",
		"burn active for 3s":               "there is no such kind",
		"loss mo1-all for 3s":              "lacks one",
		"kill leader (3) for 3s":           "has an amount",
		"kill leader for 3s;stop redis":    "it is no KIND",
		"kill leader for 3s; cut mo1-mo2 ": `read fault "cut mo1-mo2 "`,
	} {
		if plan, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v, want an error with %q", text, plan, err, want)
		}
	}
}

func TestScriptsRepeat(t *testing.T) {
	s, err := ParseScript("# mode=async\n\nkill leader for 1s\n  kill redis for 2s\n")
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{1: "kill leader for 1s", 2: "kill redis for 2s", 3: "kill leader for 1s", 10: "kill redis for 2s"} {
		if got := s.Round(n).String(); got != want {
			t.Errorf("round %d: %s, want %s", n, got, want)
		}
	}
	if _, err := ParseScript("kill leader for 1s\nkill\n"); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("a second line that is no round: %v", err)
	}
	if _, err := ParseScript("# nothing\n"); err == nil {
		t.Error("a script without rounds is read")
	}
}

func TestPlansThatSpareTheActive(t *testing.T) {
	for text, want := range map[string]bool{
		"cut active-managers for 3s":                                              true,
		"cut active-mo1 for 3s; reset passive-managers for 3s":                    true,
		"cut active-mo1 for 3s; cut active-passive for 3s":                        true,
		"cut to active-mo1 for 3s; cut from active-mo1 for 3s":                    true,
		"cut active-managers for 3s; cut active-passive for 3s":                   false,
		"cut active-mo1 for 3s; cut active-mo2 for 3s; cut active-passive for 3s": false,
		"cut active-redis for 3s":                                                 false,
		"kill monitor of mo1 for 3s":                                              false,
	} {
		plan, err := Parse(text)
		if err != nil || plan.SparesActive() != want {
			t.Errorf("%q spares the active: %v, want %v; %v", text, plan.SparesActive(), want, err)
		}
	}
}

func TestPlansThatSpareServers(t *testing.T) {
	for text, want := range map[string]bool{
		"redis old for 3s; kill leader for 9s; stop other identify for 9s": true,
		"kill host redis for 3s; stop host mo1 for 3s":                     true,
		"redis with two masters for 3s":                                    false,
		"redis empty for 3s; kill agent of active for 3s":                  false,
		"kill server of passive for 3s":                                    false,
		"stop host active for 3s":                                          false,
		"cut mo1-redis for 3s":                                             false,
	} {
		plan, err := Parse(text)
		if err != nil || plan.SparesServers() != want {
			t.Errorf("%q spares servers: %v, want %v; %v", text, plan.SparesServers(), want, err)
		}
	}
}
