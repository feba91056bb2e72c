package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// mostOutput is what is kept of what a program prints, in bytes.
const mostOutput = 4 << 10

// local sends m by sendmail, else by mailx.
func (s *Sender) local(ctx context.Context, m Message, to []string) (Result, error) {
	program := s.find("sendmail")
	isMailx := program == ""
	if isMailx {
		program = s.find("mailx")
	}
	r := Result{Left: to, By: program}
	if program == "" {
		return r, &Error{Op: "send mail", Text: "there is neither email_server nor a sendmail or mailx on this machine"}
	}
	fail := func(err error) (Result, error) {
		return r, &Error{Op: "send mail by " + program, Text: s.scrub(err.Error()), Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var receivers, kept, unsafe []string
	for _, text := range to {
		// Such a receiver would be taken for an option.
		if a := s.receivers[text].Address; strings.HasPrefix(a, "-") {
			unsafe = append(unsafe, text)
		} else {
			receivers, kept = append(receivers, a), append(kept, text)
		}
	}
	r.Left, r.Refused = kept, unsafe
	if len(receivers) == 0 {
		return fail(errors.New("an address that begins with a dash cannot be sent to"))
	}
	var args []string
	var input []byte
	if isMailx {
		args, input = s.mailx(ctx, program, m)
	} else {
		text, err := s.text(m)
		if err != nil {
			return fail(err)
		}
		args, input = []string{"-i"}, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		if !strings.HasPrefix(s.from.Address, "-") {
			args = append(args, "-f", s.from.Address)
		}
	}
	out, err := run(ctx, program, append(args, receivers...), input)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it did not end in time and was killed: %w", context.Cause(ctx))
		} else if isForGood(err) {
			r.Left, r.Refused = nil, to
		}
		if out = line(out, mostError); out != "" {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return fail(err)
	}
	r.Sent, r.Left = kept, nil
	if len(unsafe) > 0 {
		return fail(errors.New("an address that begins with a dash cannot be sent to"))
	}
	return r, nil
}

// mailx knows neither our headers nor, everywhere, a sender: -r is an option of
// s-nail, heirloom and GNU mailutils, and means nothing good to others.
func (s *Sender) mailx(ctx context.Context, program string, m Message) (args []string, input []byte) {
	args = []string{"-s", mime.QEncoding.Encode("utf-8", header(m.Subject))}
	asked, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	version, err := run(asked, program, []string{"-V"}, nil)
	version = strings.ToLower(version)
	known := strings.Contains(version, "s-nail") || strings.Contains(version, "mailutils") || strings.HasPrefix(version, "12.")
	if err == nil && known && !strings.HasPrefix(s.from.Address, "-") {
		args = append(args, "-r", s.from.Address)
	}
	// A tilde at the beginning of a line is a command to some.
	text := strings.ReplaceAll("\n"+body(m.Body), "\n~", "\n ~")[1:]
	return args, []byte(text)
}

// run runs a program in a process group of its own, which is killed when ctx
// ends, and gives the beginning of what it printed.
func run(ctx context.Context, program string, args []string, input []byte) (string, error) {
	out := &limited{most: mostOutput}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // what it left behind still delivers
	}
	return out.String(), err
}

// isForGood reads sysexits.h: usage, data, no such user, no such host. What a
// person may mend meanwhile, such as a configuration, is worth another try.
func isForGood(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	switch exit.ExitCode() {
	case 64, 65, 67, 68:
		return true
	}
	return false
}

// find looks for a program where it usually is, then in PATH.
func (s *Sender) find(name string) string {
	dirs := s.o.Path
	if dirs == nil {
		dirs = append([]string{"/usr/sbin", "/usr/lib", "/usr/bin"}, filepath.SplitList(os.Getenv("PATH"))...)
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(path) {
			return path
		}
	}
	return ""
}

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
