package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	labPrefix = "mmm-lab-"
	keepFile  = "keep"
)

// Options describe a laboratory.
type Options struct {
	// Log receives one line for each thing that the laboratory does; nil is silence.
	Log io.Writer
	// Users are statements that servers are made with after those that make the usual users: a server that is
	// started closed and has never been opened tells that it starts closed.
	Users []string
	// Keep makes Close leave the processes and the folder as they are, and lets
	// the processes outlive the program.
	Keep bool
}

// Lab is one laboratory: a working folder, the processes started in it and the
// data folder that each new server starts from. It is safe for use by several goroutines.
type Lab struct {
	dir      string
	log      io.Writer
	cred     *syscall.Credential
	launcher *launcher
	flavor   Flavor
	users    []string
	programs sync.Mutex

	template sync.Mutex
	tmplDir  string

	mu      sync.Mutex
	procs   []*Process
	closers []func()
	next    int
	keep    bool
	closed  bool
}

// NewLab makes an empty laboratory in a new temporary folder, after removing
// the folders of laboratories whose process is gone. Run by root, servers run as an
// unprivileged user.
func NewLab(opts Options) (*Lab, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", labPrefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make laboratory folder: %w", err)
	}
	// Servers run as another user have to pass through to their own folders.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, fmt.Errorf("open laboratory folder %s: %w", dir, err)
	}
	l := &Lab{dir: dir, log: opts.Log, launcher: newLauncher(), flavor: ChosenFlavor(), users: opts.Users, keep: opts.Keep}
	if opts.Keep {
		if err := os.WriteFile(filepath.Join(dir, keepFile), nil, 0o600); err != nil {
			return nil, fmt.Errorf("mark laboratory folder: %w", err)
		}
	}
	if os.Geteuid() == 0 {
		if l.cred, err = unprivileged(); err != nil {
			_ = os.RemoveAll(dir)
			return nil, err
		}
	}
	return l, nil
}

// Flavor is the kind of its database servers.
func (l *Lab) Flavor() Flavor { return l.flavor }

// Dir is the working folder.
func (l *Lab) Dir() string { return l.dir }

// Close ends every process of the laboratory and removes its folder.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed || l.keep {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	procs, closers := l.procs, l.closers
	l.mu.Unlock()
	for _, f := range closers {
		f()
	}
	for _, p := range procs {
		p.Kill()
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("remove laboratory folder: %w", err)
	}
	return nil
}

// PIDs are the process ids of what runs now.
func (l *Lab) PIDs() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var pids []int
	for _, p := range l.procs {
		if p.Running() {
			pids = append(pids, p.PID())
		}
	}
	return pids
}

func (l *Lab) logf(format string, args ...any) { fmt.Fprintf(l.log, format+"\n", args...) }

func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// folder makes a numbered folder that belongs to the servers' user.
func (l *Lab) folder(name string) (string, error) {
	l.mu.Lock()
	l.next++
	dir := filepath.Join(l.dir, fmt.Sprintf("%s%d", name, l.next))
	l.mu.Unlock()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	if l.cred != nil {
		if err := os.Chown(dir, int(l.cred.Uid), int(l.cred.Gid)); err != nil {
			return "", fmt.Errorf("give folder away: %w", err)
		}
	}
	return dir, nil
}

// run executes a helper program as the servers' user and returns its output in the error.
func (l *Lab) run(ctx context.Context, dir, stdin, name string, args ...string) error {
	var out bytes.Buffer
	p, err := l.start(processSpec{
		path: name, args: args, dir: dir, stdin: strings.NewReader(stdin),
		stdout: &out, asServer: true, env: []string{"TMPDIR=" + dir, "HOME=" + dir},
	})
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("run %s: %w", filepath.Base(name), ctx.Err())
	}
	if p.waitErr != nil {
		return fmt.Errorf("run %s: %w: %s", filepath.Base(name), p.waitErr, lastLines(out.String(), 12))
	}
	return nil
}

// unprivileged finds a user that is not root and exists on any Unix.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"nobody", "daemon", "mysql"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("find an unprivileged user for the servers: none of nobody, daemon, mysql exists")
}

// sweep removes folders that laboratories left behind when their process was killed.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), labPrefix+"*"))
	for _, dir := range dirs {
		pidText, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), labPrefix), "-")
		pid, err := strconv.Atoi(pidText)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, keepFile)); err == nil {
			continue
		}
		_ = os.RemoveAll(dir)
	}
}

// lastLines gives the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
