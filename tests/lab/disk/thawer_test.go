package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const frozenFor = 5 * time.Second

// The outer program is killed during a freeze, with processes hanging on the
// frozen disk, so that only the thaw lets the inner one's namespace end. Where
// the inner program itself hangs, its end of the socket stays open until then.
func TestEverybodyElseIsKilled(t *testing.T) {
	for _, c := range []struct {
		name, inner  string
		from, before time.Duration
	}{
		{"a child of the inner program hangs: thawed at once", "child", 0, frozenFor - 300*time.Millisecond},
		{"the inner program hangs itself: thawed by the thawer's clock", "self", 0, frozenFor + 2*time.Second},
		{"the thawer is killed: the inner program thaws", "thawerless", 0, frozenFor - 300*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Cleanup(func() { rescue(t, dir) })
			self, err := os.Executable()
			must(t, err)
			cmd := exec.Command(self, "role=outer", dir, c.inner)
			cmd.Stderr = os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			lines := bufio.NewScanner(out)
			read := func(what string) int {
				t.Helper()
				if lines.Scan() {
					if rest, ok := strings.CutPrefix(lines.Text(), what+" "); ok {
						n, err := strconv.Atoi(rest)
						must(t, err)
						return n
					}
				}
				t.Fatalf("want %s, got %q %v", what, lines.Text(), lines.Err())
				return 0
			}
			thawerPID, innerPID := read("thawer"), read("inner")
			namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", innerPID))
			must(t, err)
			read("frozen")
			frozen := time.Now()
			hangs := func() bool {
				for _, stat := range tasks(namespace) {
					if stat == "D" {
						return true
					}
				}
				return false
			}
			if !within(4*time.Second, hangs) {
				t.Fatalf("nobody hangs: %v", tasks(namespace))
			}
			if found := loops(dir); len(found) != 1 {
				t.Fatalf("loop devices: %v", found)
			}

			// The thawer heeds no such signals.
			for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
				must(t, syscall.Kill(thawerPID, s))
			}
			if c.inner == "thawerless" {
				must(t, syscall.Kill(thawerPID, syscall.SIGKILL))
				if !within(c.before, func() bool { return !hangs() }) {
					t.Errorf("still frozen %v after the thawer was killed: %v", time.Since(frozen), tasks(namespace))
				}
			}
			must(t, cmd.Process.Kill())
			_ = cmd.Wait()

			deadline := c.before - time.Since(frozen)
			if !within(deadline, func() bool { return len(tasks(namespace)) == 0 }) {
				t.Errorf("left of the laboratory after %v: %v", time.Since(frozen), tasks(namespace))
			}
			gone := time.Since(frozen)
			if c.inner == "self" && gone < frozenFor-100*time.Millisecond {
				t.Errorf("the inner program did not hang: all was gone after %v", gone)
			}
			// As an orphan the thawer has become the first process's child.
			reaped := func() bool { p, _ := unix.Wait4(thawerPID, nil, unix.WNOHANG, nil); return p == thawerPID }
			if !within(4*time.Second, reaped) {
				t.Error("the thawer does not end")
			}
			if !within(4*time.Second, func() bool { return len(loops(dir)) == 0 }) {
				t.Errorf("left: %v", loops(dir))
			}
			t.Logf("frozen for %v; the laboratory was gone %v after the freeze had begun", frozenFor, gone)
		})
	}
}

// rescue thaws what a defect has left frozen: a device that is mounted again shows
// the same file system.
func rescue(t *testing.T, dir string) {
	mnt := t.TempDir()
	for _, line := range loops(dir) {
		name := strings.Split(line, "/")[3]
		if err := unix.Mount("/dev/"+name, mnt, "ext4", unix.MS_NOATIME, ""); err != nil {
			t.Errorf("rescue %s: %v", line, err)
			continue
		}
		f, err := os.Open(mnt)
		must(t, err)
		thaw(f)
		must(t, errors.Join(f.Close(), unix.Unmount(mnt, unix.MNT_DETACH)))
	}
}

// tasks gives the state of each thread in a PID namespace, but of those that have ended.
func tasks(namespace string) map[string]string {
	found := map[string]string{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		if ns, _ := os.Readlink(folder + "/ns/pid"); ns != namespace {
			continue
		}
		files, _ := filepath.Glob(folder + "/task/*/stat")
		for _, file := range files {
			text, _ := os.ReadFile(file)
			_, rest, _ := strings.Cut(string(text), ") ")
			if rest != "" && rest[0] != 'Z' && rest[0] != 'X' {
				found[file] = rest[:1]
			}
		}
	}
	return found
}

// outer is the program that starts the thawer, and the inner program in namespaces of its own.
func outer(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	thawer, err := StartThawer(self, "role=thawer")
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append([]string{"role=inner"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{thawer.Client}
	hold, err := cmd.StdinPipe() // its end tells the inner program that its process id is known
	if err != nil {
		return err
	}
	if err := errors.Join(startIn(cmd), thawer.Client.Close()); err != nil {
		return err
	}
	fmt.Printf("thawer %d\ninner %d\n", thawer.PID(), cmd.Process.Pid)
	_ = hold.Close()
	return errors.Join(cmd.Wait(), thawer.Wait())
}

// inner freezes a disk on which it or a child of it then hangs.
func inner(args []string) error {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := isolate(); err != nil {
		return err
	}
	dir, what := args[0], args[1]
	ctx := context.Background()
	d, err := New(ctx, filepath.Join(dir, "image"), filepath.Join(dir, "mnt"), 32<<20, 0, 0)
	if err != nil {
		return err
	}
	if d.Freezer, err = NewFreezer(os.NewFile(thawerFD, "thawer")); err != nil {
		return err
	}
	if err := d.Freeze(ctx, frozenFor); err != nil {
		return err
	}
	fmt.Printf("frozen %d\n", os.Getpid())
	path := filepath.Join(d.Mountpoint(), "f")
	if what == "self" {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
	} else {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if err := exec.Command(self, "role=write", path).Run(); err != nil {
			return err
		}
	}
	select {} // until it is killed
}
