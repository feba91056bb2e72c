package mail_test

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/mail"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// record is a program that notes how it was called: each argument in a line, and its input.
const record = `#!/bin/sh
if [ "$1" = -V ]; then echo "%s"; exit 0; fi
for a; do printf '%%s\n' "$a"; done > %q/args
cat > %q/input
%s
`

// standIn installs a program that is called instead of the real one.
func standIn(t *testing.T, dir, name, version, end string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, record, version, dir, dir, end), 0o755); err != nil {
		t.Fatal(err)
	}
}

func called(t *testing.T, dir string) (args []string, input string) {
	t.Helper()
	a, err1 := os.ReadFile(filepath.Join(dir, "args"))
	in, err2 := os.ReadFile(filepath.Join(dir, "input"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(a), "\n"), "\n"), string(in)
}

func localOptions(dir string) mail.Options {
	return mail.Options{Receivers: []string{anna, "Ben <" + ben + ">"}, Host: "agent.example.org", Path: []string{"/nowhere", dir}}
}

func TestSendmail(t *testing.T) {
	dir := t.TempDir()
	standIn(t, dir, "sendmail", "", "")
	standIn(t, dir, "mailx", "", "exit 1")
	r, err := send(t, sender(t, localOptions(dir)), message(), nil)
	if err != nil || len(r.Sent) != 2 || r.By != filepath.Join(dir, "sendmail") {
		t.Fatalf("%+v, %v", r, err)
	}
	args, input := called(t, dir)
	if want := []string{"-i", "-f", "mmm-manager@agent.example.org", anna, ben}; !slices.Equal(args, want) {
		t.Errorf("called with %q, want %q", args, want)
	}
	if strings.Contains(input, "\r") {
		t.Error("its input has carriage returns")
	}
	var got harness.Delivered
	if err := got.Read([]byte(input)); err != nil {
		t.Fatal(err)
	}
	if got.Subject != message().Subject || got.Body != message().Body || got.Header.Get("Message-Id") != "<mmm.0123456789abcdef@mmm-manager>" {
		t.Errorf("%q %q %q", got.Subject, got.Body, got.Header)
	}
}

func TestMailx(t *testing.T) {
	for version, hasSender := range map[string]bool{"s-nail v14.9.24, 2022": true, "12.5 7/5/10": true, "mail (GNU Mailutils) 3.15": true, "": false, "bsd": false} {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			standIn(t, dir, "mailx", version, "")
			m := message()
			m.Subject, m.Body = "[mmm] zürich\n~! touch /tmp/x", "~! false\nü\n~r /etc/passwd\n"+strings.Repeat("x", 2000)
			if r, err := send(t, sender(t, localOptions(dir)), m, []string{anna}); err != nil || len(r.Sent) != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			args, input := called(t, dir)
			want := []string{"-s", args[1], "-r", "mmm-manager@agent.example.org", anna}
			if !hasSender {
				want = []string{"-s", args[1], anna}
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(args[1])
			if !slices.Equal(args, want) || err != nil || subject != "[mmm] zürich ~! touch /tmp/x" || !ascii(args[1]) {
				t.Errorf("called with %q, subject %q", args, subject)
			}
			if !strings.HasPrefix(input, " ~! false\nü\n ~r /etc/passwd\nxxx") {
				t.Errorf("input %q", input)
			}
			for l := range strings.Lines(input) {
				if len(l) > 998 {
					t.Errorf("a line of %d bytes", len(l))
				}
			}
		})
	}
}

func TestAProgramThatRefuses(t *testing.T) {
	for code, worthIt := range map[int]bool{1: true, 64: false, 65: false, 67: false, 68: false, 71: true, 75: true, 77: true, 78: true} {
		dir := t.TempDir()
		standIn(t, dir, "sendmail", "", fmt.Sprintf("echo 'the queue\nis full' >&2; exit %d", code))
		r, err := send(t, sender(t, localOptions(dir)), message(), nil)
		if err == nil || (len(r.Left) == 2) != worthIt || (len(r.Refused) == 2) == worthIt || len(r.Sent) > 0 || !strings.Contains(err.Error(), "the queue is full") {
			t.Errorf("exit %d: %+v, %v", code, r, err)
		}
	}
}

func TestNoProgramAtAll(t *testing.T) {
	r, err := send(t, sender(t, localOptions(t.TempDir())), message(), nil)
	if err == nil || len(r.Left) != 2 || !strings.Contains(err.Error(), "neither email_server nor") {
		t.Errorf("%+v, %v", r, err)
	}
}

// A sendmail that never ends is killed with everything it started.
func TestAProgramThatHangs(t *testing.T) {
	dir := t.TempDir()
	standIn(t, dir, "sendmail", "", "sleep 1000 & echo $! >"+dir+"/child; wait")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := sender(t, localOptions(dir))
	type answer struct {
		r   mail.Result
		err error
	}
	done := make(chan answer, 1)
	go func() {
		r, err := m.Send(ctx, message(), nil)
		done <- answer{r, err}
	}()
	var child int
	waitFor(t, "the program runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "child"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return child > 0
	})
	began := time.Now()
	cancel()
	a := <-done
	if d := time.Since(began); d > 2*time.Second || a.err == nil || len(a.r.Left) != 2 || !strings.Contains(a.err.Error(), "killed") {
		t.Errorf("after %s: %+v, %v", d, a.r, a.err)
	}
	waitFor(t, "its child is gone", func() bool { return gone(child) })
}

// gone reports whether the process has ended; a zombie has.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// What a sendmail leaves behind to deliver is left alone and not waited for.
func TestAProgramThatDeliversLater(t *testing.T) {
	dir := t.TempDir()
	standIn(t, dir, "sendmail", "", "sleep 30 & echo $! >"+dir+"/child")
	began := time.Now()
	r, err := send(t, sender(t, localOptions(dir)), message(), nil)
	if err != nil || len(r.Sent) != 2 || time.Since(began) > 8*time.Second {
		t.Errorf("after %s: %+v, %v", time.Since(began), r, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	child, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || child == 0 || gone(child) {
		t.Fatalf("its child %d is gone, %v", child, err)
	}
	_ = syscall.Kill(child, syscall.SIGKILL)
}

func TestAnAddressIsNeverAnOption(t *testing.T) {
	dir := t.TempDir()
	standIn(t, dir, "sendmail", "", "")
	o := localOptions(dir)
	o.Sender, o.Receivers = "-oQ/tmp@example.org", []string{"-Cfile@example.org", anna}
	r, err := send(t, sender(t, o), message(), nil)
	if err == nil || !slices.Equal(r.Sent, []string{anna}) || !slices.Equal(r.Refused, []string{"-Cfile@example.org"}) || len(r.Left) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if args, _ := called(t, dir); !slices.Equal(args, []string{"-i", anna}) {
		t.Errorf("called with %q", args)
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := harness.Until(ctx, what, func(context.Context) (bool, string) { return cond(), "not yet" }); err != nil {
		t.Fatal(err)
	}
}
