package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Programs is a folder with the built programs.
type Programs struct{ Dir string }

// BuildOptions describe a build of the programs.
type BuildOptions struct {
	Tags []string
	Race bool
}

// Build builds every program of the module around the current folder into the
// laboratory, unless the environment variable MMM_PROGRAMS names a folder with
// what was built before: bin, and bin-failpoint for that tag.
func (l *Lab) Build(ctx context.Context, opts BuildOptions) (Programs, error) {
	name := strings.Join(append([]string{"bin"}, opts.Tags...), "-")
	if built := os.Getenv("MMM_PROGRAMS"); built != "" && !opts.Race {
		return Programs{Dir: filepath.Join(built, name)}, nil
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return Programs{}, fmt.Errorf("find the module: %w", err)
	}
	dir := filepath.Join(l.dir, name)
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if opts.Race {
		args = append(args, "-race")
	}
	if len(opts.Tags) > 0 {
		args = append(args, "-tags", strings.Join(opts.Tags, ","))
	}
	l.logf("build programs into %s", dir)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/...")...)
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build programs: %w: %s", err, lastLines(string(out), 20))
	}
	return Programs{Dir: dir}, nil
}

// Path is the file of one program.
func (p Programs) Path(name string) string { return filepath.Join(p.Dir, name) }

// Output is what a program that ran to its end printed, and its exit code.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// String gives both outputs and the code, for messages.
func (o Output) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", o.Code, o.Stdout, o.Stderr)
}

// runTime bounds a program that is expected to end by itself.
const runTime = 20 * time.Second

// Run runs a program to its end, for 20 s at most. A code other than 0 is no error.
func (p Programs) Run(ctx context.Context, name string, args ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Path(name), args...)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	err := cmd.Run()
	out := Output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		return out, fmt.Errorf("run %s: %w\n%s", name, ctx.Err(), out)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return out, fmt.Errorf("run %s: %w", name, err)
	}
	return out, nil
}
