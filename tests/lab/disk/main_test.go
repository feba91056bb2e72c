package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	insideEnv = "MMM_TEST_DISK_INSIDE"
	// The thawer of the tests inside comes as this file.
	thawerFD = 3
)

// roles are what the test binary does when its first argument names one.
var roles = map[string]func(args []string) error{
	"role=thawer": func([]string) error { return Thawer(os.NewFile(thawerFD, "socket")) },
	"role=outer":  outer,
	"role=inner":  inner,
	"role=hold":   hold,
	"role=write":  func(args []string) error { return os.WriteFile(args[0], []byte("x"), 0o600) },
}

// The tests run as the first process of namespaces of their own, so that nothing
// of the machine changes and nothing stays, whatever ends them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(insideEnv) != "" {
		if err := isolate(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if missing := missing(); missing != "" {
		fmt.Println("SKIPPED: every test of the laboratory's disks:", missing)
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := reexecute()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// missing says what keeps the tests from running.
func missing() string {
	if os.Geteuid() != 0 {
		return "they need root"
	}
	for _, name := range []string{"mkfs.ext4", "e2fsck", "mount"} {
		if _, err := exec.LookPath(name); err != nil {
			return name + " is not installed"
		}
	}
	return ""
}

func reexecute() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	thawer, err := StartThawer(self, "role=thawer")
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{thawer.Client}
	err = startIn(cmd)
	_ = thawer.Client.Close()
	if err == nil {
		err = cmd.Wait()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	return code, errors.Join(err, thawer.Wait())
}

// startIn starts a child in namespaces of its own, which die with the calling thread.
func startIn(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd.Start()
}

// isolate keeps mounts within the new mount namespace and shows its own processes.
func isolate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// loops lists the loop devices that hold an image of a folder.
func loops(dir string) []string {
	var found []string
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range files {
		if text, _ := os.ReadFile(file); strings.HasPrefix(string(text), dir+"/") {
			found = append(found, strings.TrimSpace(file+" "+string(text)))
		}
	}
	return found
}

// within waits for a condition.
func within(d time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(d); !condition(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
