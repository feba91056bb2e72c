package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

const good = `[a]
primaryhost=127.0.0.1:1
secondaryhost=127.0.0.1:2
user=mmm
password=x
uniqsign=8d9a4b2924dc40baa792d742cb786345
monitor_logfile=LOG

[bad]
primaryhost=127.0.0.1
uniqsign=y

[redis]
host=127.0.0.1:1
`

func write(t *testing.T, text string) (conf, log string) {
	t.Helper()
	dir := t.TempDir()
	conf, log = filepath.Join(dir, "mmm.conf"), filepath.Join(dir, "a.log")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(text, "LOG", log)), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf, log
}

func TestWhatCannotRunIsSaidWithItsExitCode(t *testing.T) {
	conf, _ := write(t, good)
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-conf", conf}, daemon.ExitUsage, "tag"},
		{[]string{"-conf", conf, "-tag", "none"}, daemon.ExitNotFound, "none"},
		{[]string{"-conf", conf, "-tag", "bad"}, daemon.ExitConfig, "[bad] primaryhost"},
		{[]string{"-conf", conf + ".none", "-tag", "a"}, daemon.ExitConfig, "no such file"},
	} {
		var out, err bytes.Buffer
		if code := daemon.Execute(command(), c.args, &out, &err); code != c.code || !strings.Contains(err.String(), c.text) {
			t.Errorf("%v: exit code %d, %s", c.args, code, err.String())
		}
	}
}

// With neither servers nor Redis the program goes on until it is told to stop.
func TestGoesOnWithoutServersAndRedis(t *testing.T) {
	conf, log := write(t, good)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, &daemon.Flags{Conf: conf, Tags: []string{"all"}}) }()
	deadline := time.After(10 * time.Second)
	for {
		text, _ := os.ReadFile(log)
		if strings.Count(string(text), "its port refuses connections") == 2 {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		case <-deadline:
			t.Fatalf("the log says %s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
