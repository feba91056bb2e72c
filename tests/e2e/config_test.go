package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const goodPairs = `[mysql3308]
database=information_schema
primaryhost=127.0.0.1:3308
secondaryhost=127.0.0.1:3309
excludeuser=root
user=user_mmm
password=canary-secret
uniqsign=8d9a4b2924dc40baa792d742cb786345
servicemode=1
charset=utf8
connect_timeout=1
interval=3
try_times=2

[redis]
host=127.0.0.1:1
topic=mmm-switch-channel

[log]
logfile=LOG
`

const goodAgent = `[mysql]
database=information_schema
user=user_mmm
password=canary-secret
charset=utf8
connect_timeout=1
try_on_failure=3

[redis]
host=127.0.0.1:1
topic=mmm-switch-channel

[log]
logfile=LOG
`

// A broken file ends a daemon with 78 and one report that names file, section,
// key and what to do; no report shows a password.
func TestBrokenFiles(t *testing.T) {
	for _, c := range []struct {
		name       string
		good       string
		from, to   string
		wants      []string // in the report, besides the file
		onlyChecks bool     // a warning for a daemon, an error under check-config
	}{
		{"no primaryhost", goodPairs, "primaryhost=127.0.0.1:3308\n", "", []string{"mysql3308", "primaryhost"}, false},
		{"an address without a port", goodPairs, "secondaryhost=127.0.0.1:3309", "secondaryhost=127.0.0.1", []string{"mysql3308", "secondaryhost"}, false},
		{"both hosts alike", goodPairs, "127.0.0.1:3309", "127.0.0.1:3308", []string{"mysql3308", "secondaryhost"}, false},
		{"a word for a number", goodPairs, "interval=3", "interval=soon", []string{"mysql3308", "interval", "soon"}, false},
		{"a negative number", goodPairs, "connect_timeout=1", "connect_timeout=-1", []string{"mysql3308", "connect_timeout"}, false},
		{"no uniqsign", goodPairs, "uniqsign=8d9a4b2924dc40baa792d742cb786345\n", "", []string{"mysql3308", "uniqsign"}, false},
		{"an unknown servicemode", goodPairs, "servicemode=1", "servicemode=7", []string{"mysql3308", "servicemode"}, false},
		{"an unknown unfenced", goodPairs, "try_times=2", "try_times=2\nunfenced=maybe", []string{"mysql3308", "unfenced", "maybe"}, false},
		{"no user", goodPairs, "user=user_mmm\n", "", []string{"mysql3308", "user"}, false},
		{"a Redis without a port", goodPairs, "host=127.0.0.1:1", "host=127.0.0.1:redis", []string{"redis", "host"}, false},
		{"a key twice", goodPairs, "interval=3", "interval=3\ninterval=5", []string{"mysql3308", "interval"}, false},
		{"two faults at once", goodPairs, "interval=3\ntry_times=2", "interval=x\ntry_times=y", []string{"interval", "try_times"}, false},
		{"no tag at all", goodPairs, goodPairs[:strings.Index(goodPairs, "[redis]")], "", []string{"mysql3308"}, false},
		{"a line that is none", goodPairs, "interval=3", "interval=3\n[unclosed", []string{"13", "section"}, true},
		{"a misspelt key", goodPairs, "interval=3", "interval=3\nintervall=3", []string{"intervall", "interval"}, true},
		{"agent: no user", goodAgent, "user=user_mmm\n", "", []string{"mysql", "user"}, false},
		{"agent: a word for a number", goodAgent, "try_on_failure=3", "try_on_failure=often", []string{"mysql", "try_on_failure", "often"}, false},
		{"agent: a certificate for mail that is gone", goodAgent, "charset=utf8", "send_mail=1\nemail_receiver=dba@example.org\nemail_tls_ca=/nonexistent/ca.pem", []string{"mysql", "email_tls_ca", "no such file"}, true},
		{"agent: members that are none", goodAgent, "charset=utf8", "charset=utf8\nmembers=nonsense", []string{"mysql", "members"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "broken.conf")
			good := strings.ReplaceAll(c.good, "LOG", filepath.Join(dir, "log"))
			from, to := strings.ReplaceAll(c.from, "LOG", filepath.Join(dir, "log")), c.to
			if !strings.Contains(good, from) {
				t.Fatalf("the good file does not contain %q", from)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(good, from, to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			runs := [][]string{{harness.Monitor, "--tag", "mysql3308"}, {harness.Identify, "--tag", "mysql3308"}}
			check := []string{"mmmctl", "check-config", file}
			if strings.HasPrefix(c.name, "agent") {
				runs = [][]string{{harness.Agent}}
			}
			if c.onlyChecks {
				runs = nil
			}
			for _, run := range append(runs, check) {
				args := run[1:]
				if run[len(run)-1] != file {
					args = append(args, "--conf", file)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				out, err := programs.Run(ctx, run[0], args...)
				cancel()
				if err != nil {
					t.Errorf("%v does not end: %v", run, err)
					continue
				}
				report := out.Stdout + out.Stderr
				if out.Code != 78 {
					t.Errorf("%v: %s; want exit 78", run, out)
				}
				for _, want := range append(c.wants, "broken.conf") {
					if !strings.Contains(report, want) {
						t.Errorf("%v: the report does not name %q:\n%s", run, want, report)
					}
				}
				if strings.Contains(report, "canary") {
					t.Errorf("%v: the report shows a password:\n%s", run, report)
				}
				if strings.Contains(report, "panic") || strings.Contains(report, "goroutine") {
					t.Errorf("%v panics:\n%s", run, report)
				}
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
			out, err := programs.Run(t.Context(), name, "--conf", filepath.Join(t.TempDir(), "absent.conf"), "--tag", "mysql3308")
			if name == harness.Agent {
				out, err = programs.Run(t.Context(), name, "--conf", filepath.Join(t.TempDir(), "absent.conf"))
			}
			if err != nil {
				t.Fatal(err)
			}
			if out.Code != 78 || !strings.Contains(out.Stderr, "absent.conf") {
				t.Errorf("%s: %s; want exit 78", name, out)
			}
		}
	})
}

// The good files are good, a bad tag never stops the others, and usage errors are 2.
func TestFilesAndFlags(t *testing.T) {
	dir := t.TempDir()
	conf, agentConf := filepath.Join(dir, "mmm.conf"), filepath.Join(dir, "mmm-agent.conf")
	for file, text := range map[string]string{conf: goodPairs, agentConf: goodAgent} {
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "LOG", filepath.Join(dir, "log"))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"mmmctl", "check-config", conf}, 0},
		{[]string{"mmmctl", "check-config", "--conf", conf, "--agent-conf", agentConf}, 0},
		{[]string{harness.Monitor, "--conf", conf, "--tag", "nosuchtag"}, 7},
		{[]string{harness.Monitor, "--nosuchflag"}, 2},
		{[]string{harness.Monitor, "--version"}, 0},
		{[]string{harness.Monitor, "-help"}, 0},
		{[]string{harness.Identify, "--help"}, 0},
		{[]string{harness.Agent, "--version"}, 0},
		{[]string{"mmm-status", "-conf", conf}, 69},
		{[]string{"mmm-status", "--conf", conf, "--tag", "nosuchtag"}, 7},
		{[]string{"mmmctl", "list", "--conf", conf}, 69},
	} {
		out, err := programs.Run(t.Context(), c.args[0], c.args[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		if out.Code != c.code {
			t.Errorf("%v: %s; want exit %d", c.args, out, c.code)
		}
	}
	out, err := programs.Run(t.Context(), "mmm-uniqsign")
	if err != nil {
		t.Fatal(err)
	}
	sign := strings.TrimSpace(out.Stdout)
	if len(sign) != 32 || strings.Trim(sign, "0123456789abcdef") != "" || sign[12] != '4' {
		t.Errorf("mmm-uniqsign: %s; want 32 hexadecimal digits of a version 4 UUID", out)
	}
}
