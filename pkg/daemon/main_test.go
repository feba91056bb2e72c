package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

type coded struct{ code int }

func (c coded) Error() string { return "line one\nline two\n" }
func (c coded) ExitCode() int { return c.code }

func TestExecute(t *testing.T) {
	sevenNine := fmt.Errorf("wrapped: %w", &ExitError{Code: 79, Err: errors.New("deep")})
	for _, c := range []struct {
		name, args     string
		result         error
		code           int
		stdout, stderr string // a part of it; "" nothing
	}{
		{"good", "--tag a", nil, 0, "", ""},
		{"a failure", "--tag a", errors.New("connect 10.0.21.5:3308: refused"), 1, "", "mmm-test: connect 10.0.21.5:3308: refused\n"},
		{"an exit code", "--tag a", sevenNine, 79, "", "mmm-test: wrapped: deep\n"},
		{"another package's exit code", "--tag a", coded{78}, 78, "", "mmm-test: line one\nmmm-test: line two\n"},
		{"said already", "--tag a", &ExitError{Code: 3}, 3, "", ""},
		{"no tag", "", nil, 2, "", `mmm-test: required flag(s) "tag" not set; see mmm-test --help` + "\n"},
		{"an empty tag", "--tag a,,b", nil, 2, "", "a tag is empty"},
		{"an unknown flag", "--tag a --colour", nil, 2, "", "mmm-test: unknown flag: --colour; see mmm-test --help\n"},
		{"a bad address", "--tag a --redis 10.0.0.1", nil, 2, "", "want host:port"},
		{"an argument", "--tag a b", nil, 2, "", `mmm-test: argument "b" is not understood; see mmm-test --help` + "\n"},
		{"help", "-help", nil, 0, "--conf FILE", ""},
		{"help shows the default of --redis", "--help", nil, 0, DefaultRedis, ""},
		{"version without the required flag", "-version", nil, 0, "mmm-test ", ""},
		{"version", "--version --nonsense", nil, 0, "(commit ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := &cobra.Command{Use: "mmm-test", RunE: func(*cobra.Command, []string) error { return c.result }}
			NewFlags(cmd, FlagOptions{Conf: DefaultConf, Tag: true, RequireTag: true})
			var stdout, stderr bytes.Buffer
			if code := Execute(cmd, strings.Fields(c.args), &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for got, want := range map[string]string{stdout.String(): c.stdout, stderr.String(): c.stderr} {
				if !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestExecuteSubcommands(t *testing.T) {
	for args, want := range map[string]int{"good": 0, "bad": 5, "worse": 2, "good x": 2, "good --version": 0, "": 0, "good --tag": 2} {
		root := &cobra.Command{Use: "mmmctl"}
		flags := NewFlags(root, FlagOptions{Conf: DefaultConf, Tag: true})
		root.AddCommand(&cobra.Command{Use: "good", RunE: func(*cobra.Command, []string) error { return nil }},
			&cobra.Command{Use: "bad", RunE: func(*cobra.Command, []string) error { return Exit(ExitRefused, errors.New("no")) }})
		var out bytes.Buffer
		if code := Execute(root, strings.Fields(args), &out, &out); code != want {
			t.Errorf("%q: exit code %d, want %d: %s", args, code, want, out.String())
		}
		if flags.Conf != DefaultConf || flags.Tags != nil {
			t.Errorf("%q: %+v", args, flags)
		}
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]Flags{
		"":                                   {Conf: "/d", Redis: DefaultRedis},
		"--conf /x --tag a --redis r:1":      {Conf: "/x", Tags: []string{"a"}, Redis: "r:1"},
		"-conf /x -tag a -redis r:01 -debug": {Conf: "/x", Tags: []string{"a"}, Redis: "r:1", Debug: true},
		"-conf=/x -tag=a,b --tag c,a":        {Conf: "/x", Tags: []string{"a", "b", "c"}, Redis: DefaultRedis},
		"-c /x -t all":                       {Conf: "/x", Tags: []string{"all"}, Redis: DefaultRedis},
		"--config /x":                        {Conf: "/x", Redis: DefaultRedis},
		"-config=/x":                         {Conf: "/x", Redis: DefaultRedis},
		"-c/x":                               {Conf: "/x", Redis: DefaultRedis},
	} {
		ran := false
		cmd := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { ran = true; return nil }}
		got := NewFlags(cmd, FlagOptions{Conf: "/d", Tag: true})
		var out bytes.Buffer
		if code := Execute(cmd, strings.Fields(args), &out, &out); code != 0 || !ran {
			t.Errorf("%q: %d %s", args, code, out.String())
		}
		if got.Conf != want.Conf || got.Redis != want.Redis || got.Debug != want.Debug || !slices.Equal(got.Tags, want.Tags) {
			t.Errorf("%q: got %+v, want %+v", args, *got, want)
		}
	}
}

func TestEveryLongFlagMayHaveOneDash(t *testing.T) {
	for _, args := range []string{"go -reason why -wait=3", "-reason=why go -wait 3", "go --reason why --wait 3", "go -rwhy -wait 3"} {
		cmd := &cobra.Command{Use: "x"}
		sub := &cobra.Command{Use: "go", RunE: func(*cobra.Command, []string) error { return nil }}
		cmd.AddCommand(sub)
		reason := cmd.PersistentFlags().StringP("reason", "r", "", "")
		wait := sub.Flags().Int("wait", 0, "")
		NewFlags(cmd, FlagOptions{Conf: "/d", Tag: true})
		var out bytes.Buffer
		if code := Execute(cmd, strings.Fields(args), &out, &out); code != 0 || *reason != "why" || *wait != 3 {
			t.Errorf("%q: %d %q %d %s", args, code, *reason, *wait, out.String())
		}
	}
}

func TestCompletionOfTags(t *testing.T) {
	cmd := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { return nil }}
	cmd.AddCommand(&cobra.Command{Use: "y", RunE: func(*cobra.Command, []string) error { return nil }})
	NewFlags(cmd, FlagOptions{Conf: "/d", Tag: true, Complete: func(conf string) []string { return []string{"of-" + conf} }})
	var out, rest bytes.Buffer
	if code := Execute(cmd, []string{"__complete", "y", "--conf", "/x", "--tag", ""}, &out, &rest); code != 0 || !strings.HasPrefix(out.String(), "of-/x\nall\n") {
		t.Errorf("%d %q %q", code, out.String(), rest.String())
	}
}

func TestNormaliseLeavesTheRestAlone(t *testing.T) {
	args := []string{"-conf", "-c", "-x", "-t", "-debug=false", "-", "--tag", "-confuse", "--", "-tag"}
	want := []string{"--conf", "-c", "-x", "-t", "--debug=false", "-", "--tag", "-confuse", "--", "-tag"}
	if got := Normalise(args, []string{"conf", "debug", "tag"}); !slices.Equal(got, want) || args[0] != "-conf" {
		t.Errorf("got %q", got)
	}
}

func TestExitCodes(t *testing.T) {
	if Exit(5, nil) != nil || CodeOf(nil) != 0 || CodeOf(errors.New("x")) != 1 || CodeOf(errors.Join(errors.New("x"), Usagef("y"))) != 2 {
		t.Error("exit codes")
	}
	cause := errors.New("x")
	if err := Exit(5, cause); !errors.Is(err, cause) || err.Error() != "x" {
		t.Error(err)
	}
}

func TestVersionLine(t *testing.T) {
	platform := fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	noted := &debug.BuildInfo{Main: debug.Module{Version: "v2.0.1"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-20T10:00:00Z"}, {Key: "vcs.modified", Value: "true"}}}
	for _, c := range []struct {
		version, commit, built string
		info                   *debug.BuildInfo
		want                   string
	}{
		{"2.0.0", "abc1234", "2026-11-21", nil, "mmm-monitor 2.0.0 (commit abc1234, built 2026-11-21, " + platform + ")"},
		{"2.0.0", "abc1234def", "2026-11-21", noted, "mmm-monitor 2.0.0 (commit abc1234, built 2026-11-21, " + platform + ")"},
		{"", "", "", noted, "mmm-monitor v2.0.1 (commit 0123456+, built 2026-11-20, " + platform + ")"},
		{"", "", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "mmm-monitor unknown (commit unknown, built unknown, " + platform + ")"},
		{"", "", "", nil, "mmm-monitor unknown (commit unknown, built unknown, " + platform + ")"},
	} {
		if got := buildOf(c.version, c.commit, c.built, c.info).Line("mmm-monitor"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
