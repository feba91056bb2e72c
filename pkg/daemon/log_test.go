package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLogFollowsARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mmm.log")
	if err := os.WriteFile(path, []byte("kept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	log, err := OpenLog(LogOptions{File: path, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Str("tag", "a").Msg("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("two")
	if err := log.Reopen(path); err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("three")
	log.Debug().Msg("not shown")
	if got := read(t, path+".1"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, "one") || !strings.Contains(got, "two") || strings.Contains(got, "three") {
		t.Errorf("the old file: %s", got)
	}
	var line struct{ Level, Time, Message string }
	if err := json.Unmarshal([]byte(read(t, path)), &line); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(timeFormat, line.Time); err != nil || line.Message != "three" || line.Level != "info" {
		t.Errorf("%+v %v", line, err)
	}

	if err := log.Reopen(filepath.Join(path, "no", "such")); CodeOf(err) != ExitConfig {
		t.Errorf("got %v", err)
	}
	log.Info().Msg("four")
	if got := read(t, path); !strings.Contains(got, "four") {
		t.Errorf("after a failed reopen: %s", got)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("five")
	if got := stderr.String(); !strings.Contains(got, "five") || strings.Contains(got, "four") {
		t.Errorf("standard error: %s", got)
	}
}

func TestLogThatCannotBeOpened(t *testing.T) {
	_, err := OpenLog(LogOptions{File: filepath.Join(t.TempDir(), "no", "such.log")})
	if CodeOf(err) != ExitConfig || !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "open log: ") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenLog(LogOptions{File: t.TempDir()}); CodeOf(err) != ExitConfig {
		t.Errorf("a directory: %v", err)
	}
	// Not a wrong name as far as the system can tell: another start may help.
	socket := filepath.Join(t.TempDir(), "socket")
	if l, err := net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	} else {
		defer func() { _ = l.Close() }()
	}
	if _, err := OpenLog(LogOptions{File: socket}); CodeOf(err) != ExitFailed {
		t.Errorf("another cause: %v", err)
	}
}

func TestLogOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	var stderr bytes.Buffer
	log, err := OpenLog(LogOptions{File: "/dev/full", Stderr: &stderr, Debug: true})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Msg("still here")
	if !strings.Contains(stderr.String(), "still here") {
		t.Errorf("standard error: %q", stderr.String())
	}
}

func TestLogHidesSecrets(t *testing.T) {
	var stderr bytes.Buffer
	log, err := OpenLog(LogOptions{Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	secret := cluster.Secret("hunter2")
	log.Info().Interface("a", struct{ P cluster.Secret }{secret}).Stringer("b", secret).Any("c", secret).Err(fmt.Errorf("log in: %v", secret)).Msg("x")
	if strings.Contains(stderr.String(), "hunter2") || !strings.Contains(stderr.String(), "***") {
		t.Error(stderr.String())
	}
}

func TestLogIsSafeForSeveralGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mmm.log")
	log, err := OpenLog(LogOptions{File: path, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				log.Info().Msg("x")
			}
		})
	}
	for range 20 {
		if err := log.Reopen(path); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if n := strings.Count(read(t, path), "\n"); n != 200 {
		t.Errorf("%d lines, want 200", n)
	}
}
