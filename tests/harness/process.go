package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// launcher starts children from one thread that lives as long as the program:
// the kernel sends a child its parent-death signal when the thread that made it ends.
type launcher struct {
	jobs chan func()
}

func newLauncher() *launcher {
	l := &launcher{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range l.jobs {
			job()
		}
	}()
	return l
}

func (l *launcher) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	l.jobs <- func() { done <- cmd.Start() }
	return <-done
}

type processSpec struct {
	name     string // for messages; the file's name when empty
	path     string
	args     []string
	dir      string
	env      []string
	stdin    io.Reader
	stdout   io.Writer // standard output and standard error
	asServer bool      // run as the servers' user
	place    Place     // this machine when nil
}

// Process is one child of the laboratory, in a process group of its own.
type Process struct {
	name    string
	cmd     *exec.Cmd
	done    chan struct{}
	waitErr error
}

func (l *Lab) start(spec processSpec) (*Process, error) {
	cmd := exec.Command(spec.path, spec.args...)
	cmd.Dir = spec.dir
	cmd.Env = append(os.Environ(), spec.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = spec.stdin, spec.stdout, spec.stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !l.keep {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if spec.asServer {
		cmd.SysProcAttr.Credential = l.cred
	}
	p := &Process{name: cmp.Or(spec.name, filepath.Base(spec.path)), cmd: cmd, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("start %s: the laboratory is closed", p.name)
	}
	start := l.launcher.start
	if spec.place != nil {
		start = spec.place.Start
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	l.procs = append(l.procs, p)
	go func() {
		p.waitErr = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and is reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended; a stopped one runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ExitCode is the exit status of an ended process, -1 when a signal ended it or it runs.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return fmt.Errorf("signal %s: it does not run", p.name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill sends SIGKILL to the process group and waits until the process is gone.
func (p *Process) Kill() {
	if p.Running() {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
		<-p.done
	}
}

// Stop sends sig and waits for the end, or kills at the deadline of ctx and says so.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := p.Signal(sig); err != nil && p.Running() {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stop %s by signal %d: %w", p.name, sig, ctx.Err())
	}
}

// Freeze stops the process with SIGSTOP and waits until the kernel says that it is stopped.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return Until(ctx, "process "+p.name+" is stopped", func(context.Context) (bool, string) {
		return p.Stopped(), "it runs"
	})
}

// Stopped reports whether the process is stopped, by Freeze or by itself.
func (p *Process) Stopped() bool {
	fields, err := procStat(p.PID())
	return err == nil && len(fields) > 0 && fields[0] == "T"
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error {
	if !p.Stopped() {
		return errors.New("continue " + p.name + ": it is not stopped")
	}
	return p.Signal(syscall.SIGCONT)
}

// Usage is what a process has used and holds.
type Usage struct {
	CPU time.Duration // user and system time since its start
	RSS int64         // bytes
}

// Usage reads /proc.
func (p *Process) Usage() (Usage, error) {
	fields, err := procStat(p.PID())
	if err != nil {
		return Usage{}, err
	}
	// After the command: 0 is the state, 11 and 12 are utime and stime, 21 is rss in pages.
	if len(fields) < 22 {
		return Usage{}, fmt.Errorf("read usage of %s: short line in /proc", p.name)
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return Usage{CPU: time.Duration(user+system) * tick, RSS: pages * int64(os.Getpagesize())}, nil
}

func procStat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("read process %d: %w", pid, err)
	}
	_, rest, found := strings.Cut(string(data), ") ")
	if !found {
		return nil, fmt.Errorf("read process %d: unexpected line in /proc", pid)
	}
	return strings.Fields(rest), nil
}
