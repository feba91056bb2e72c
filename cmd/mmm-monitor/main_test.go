package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/config"
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
	done := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		cmd := command()
		cmd.SetContext(ctx)
		done <- daemon.Execute(cmd, []string{"--conf", conf, "--tag", "all"}, io.Discard, &stderr)
	}()
	deadline := time.After(10 * time.Second)
	for {
		text, _ := os.ReadFile(log)
		if s := string(text); strings.Count(s, "its port refuses connections") == 2 && strings.Contains(s, `"message":"redis does not take records"`) {
			break
		}
		select {
		case code := <-done:
			t.Fatalf("ended with %d: %s", code, stderr.String())
		case <-deadline:
			t.Fatalf("the log says %s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if code := <-done; code != daemon.ExitOK {
		t.Errorf("ended with %d: %s", code, stderr.String())
	}
}

// A reload leaves the sampling of a tag alone unless a key changed that it works with.
func TestKeysThatStartATagAnew(t *testing.T) {
	load := func(from, to string) work {
		conf, _ := write(t, strings.Replace(good, from, to, 1))
		pairs, _ := config.LoadPairs(conf)
		if len(pairs.Tags) != 1 || !strings.Contains(good, from) {
			t.Fatalf("%s for %s: tags %v", to, from, pairs.Tags)
		}
		return workOf(pairs.Tags[0])
	}
	const extra = "monitor_logfile=LOG"
	before := load(extra, extra)
	for _, c := range []struct {
		from, to string
		anew     bool
	}{
		{extra, "monitor_logfile=/tmp/x", false},
		{extra, "identify_logfile=/tmp/x", false},
		{extra, "failover_block=7", false},
		{extra, "max_loss=3", false},
		{extra, "unfenced=wait", false},
		{extra, "signals=graceful", false},
		{extra, "interval=1", true},
		{extra, "connect_timeout=2", true},
		{extra, "try_times=3", true},
		{extra, "excludeuser=root", true},
		{extra, "servicemode=0", true},
		{extra, "database=mysql", true},
		{extra, "charset=utf8", true},
		{extra, "monitor_id=another", true},
		{"password=x", "password=y", true},
		{"user=mmm", "user=nnn", true},
		{"127.0.0.1:2", "127.0.0.1:3", true},
		{"uniqsign=8d", "uniqsign=8e", true},
	} {
		if anew := !reflect.DeepEqual(before, load(c.from, c.to)); anew != c.anew {
			t.Errorf("%s: starts the tag anew: %v", c.to, anew)
		}
	}
}
