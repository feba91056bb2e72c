package disk

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

var shared = sync.OnceValues(func() (*Freezer, error) { return NewFreezer(os.NewFile(thawerFD, "thawer")) })

func newDisk(t *testing.T) *Disk {
	t.Helper()
	dir := t.TempDir()
	// An ordinary user has to reach the mount point.
	for _, path := range []string{dir, filepath.Dir(dir)} {
		must(t, os.Chmod(path, 0o755))
	}
	d, err := New(t.Context(), filepath.Join(dir, "image"), filepath.Join(dir, "mnt"), 32<<20, nobody, nobody)
	must(t, err)
	d.Freezer, err = shared()
	must(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if found := loops(dir); len(found) > 0 {
			t.Errorf("left after Close: %v", found)
		}
	})
	return d
}

// child is a process of an ordinary user that runs the test binary in a role.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	// The binary may be where only root may look.
	cmd := exec.Command("/proc/self/fd/3", args...)
	f, err := os.Open(self)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func TestFullDisk(t *testing.T) {
	d := newDisk(t)
	open, err := os.Create(filepath.Join(d.Mountpoint(), "log"))
	must(t, err)
	defer open.Close()
	_, err = open.WriteString("begun")
	must(t, err)
	gone := filepath.Join(d.Mountpoint(), "gone")
	must(t, os.WriteFile(gone, make([]byte, 4<<20), 0o644))
	must(t, os.Remove(gone)) // freed, and perhaps not yet to be had
	must(t, d.Fill(t.Context()))

	var st unix.Statfs_t
	must(t, unix.Statfs(d.Mountpoint(), &st))
	if st.Bavail != 0 {
		t.Errorf("%d blocks are free on a full disk", st.Bavail)
	}
	out, err := child(t, "role=write", filepath.Join(d.Mountpoint(), "new")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no space left") {
		t.Errorf("an ordinary user writes a byte to a full disk: %v %s", err, out)
	}
	// Within a block that it has a file grows, and no further.
	if _, err = open.WriteString("goes on"); err == nil {
		err = open.Sync()
	}
	must(t, err)
	if _, err := open.Write(make([]byte, 2*blockSize)); err == nil && !errors.Is(open.Sync(), unix.ENOSPC) {
		t.Error("a file grew by two blocks on a full disk")
	}
	must(t, d.Empty(t.Context()))
	must(t, d.Empty(t.Context()))
	if out, err := child(t, "role=write", filepath.Join(d.Mountpoint(), "new")).CombinedOutput(); err != nil {
		t.Errorf("write when there is room again: %v %s", err, out)
	}
}

func TestFreeze(t *testing.T) {
	d, other := newDisk(t), newDisk(t)
	const long = 3 * time.Second
	started := time.Now()
	must(t, d.Freeze(t.Context(), long))
	if err := d.Freeze(t.Context(), long); !errors.Is(err, ErrFrozen) {
		t.Errorf("freeze a frozen disk: %v", err)
	}
	if err := d.Fill(t.Context()); !errors.Is(err, ErrFrozen) {
		t.Errorf("fill a frozen disk: %v", err)
	}
	// The thawer itself refuses too, asked by one who knows of no freeze.
	if _, err := d.Freezer.freeze(t.Context(), d.Mountpoint(), long); err == nil || err.Error() != ErrFrozen.Error() {
		t.Errorf("freeze a frozen disk: the thawer says %v", err)
	}
	if _, err := d.Freezer.freeze(t.Context(), d.Mountpoint(), MaxFreeze+1); err == nil {
		t.Error("a freeze for longer than the thawer may")
	}
	// A disk does not wait for another one's thaw.
	must(t, other.Freeze(t.Context(), MaxFreeze))
	must(t, other.Thaw(t.Context()))
	must(t, os.WriteFile(filepath.Join(other.Mountpoint(), "f"), nil, 0o600))
	if took := time.Since(started); took > long {
		t.Fatalf("the other disk took %v", took)
	}
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "f"), nil, 0o600))
	if took := time.Since(started); took < long || took > long+5*time.Second {
		t.Errorf("a write to a disk frozen for %v took %v", long, took)
	}
	must(t, d.Thaw(t.Context()))

	must(t, d.Freeze(t.Context(), MaxFreeze))
	must(t, d.Thaw(t.Context()))
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "g"), nil, 0o600))

	must(t, d.Freeze(t.Context(), MaxFreeze)) // Close thaws
}

// Who is not there any more when the disk is frozen has it thawed all the same.
func TestFreezeIsGivenUp(t *testing.T) {
	d := newDisk(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	z, err := d.Freezer.freeze(ctx, d.Mountpoint(), MaxFreeze)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err == nil {
		must(t, z.thaw(t.Context()))
	}
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "f"), nil, 0o600))
}

func TestAbortAndRepair(t *testing.T) {
	d := newDisk(t)
	path := filepath.Join(d.Mountpoint(), "f")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("kept")
	must(t, errors.Join(err, f.Sync()))

	must(t, d.Abort(t.Context()))
	failed := func(err error) bool { return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO) }
	if _, err := f.WriteAt([]byte("lost"), 0); !failed(err) {
		t.Errorf("write to an open file of an aborted disk: %v", err)
	}
	if err := os.WriteFile(filepath.Join(d.Mountpoint(), "g"), nil, 0o600); !failed(err) {
		t.Errorf("make a file on an aborted disk: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := d.Repair(ctx); err == nil || !strings.Contains(err.Error(), "(disk.test)") || !strings.Contains(err.Error(), path) {
		t.Errorf("repair a disk in use: %v; want who holds what", err)
	}

	must(t, f.Close())
	must(t, d.Repair(t.Context()))
	if text, err := os.ReadFile(path); err != nil || string(text) != "kept" {
		t.Errorf("after the repair: %q, %v", text, err)
	}
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "g"), nil, 0o600))
	must(t, d.Freeze(t.Context(), MaxFreeze))
	must(t, d.Repair(t.Context())) // thaws
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "g"), nil, 0o600))
}

// A copy of the mount in another namespace keeps the disk from being checked.
func TestRepairMindsOtherNamespaces(t *testing.T) {
	d := newDisk(t)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "role=hold")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = out.Read(make([]byte, 1))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := d.Repair(ctx); err == nil || !strings.Contains(err.Error(), "mount namespace") {
		t.Errorf("repair a disk that another mount namespace has: %v", err)
	}
	must(t, in.Close())
	must(t, cmd.Wait())
	must(t, d.Repair(t.Context()))
	must(t, os.WriteFile(filepath.Join(d.Mountpoint(), "f"), nil, 0o600))
}

// hold keeps a mount namespace until its input ends.
func hold([]string) error {
	if _, err := os.Stdout.WriteString("!"); err != nil {
		return err
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}
