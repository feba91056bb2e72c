package link

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const insideEnv = "MMM_TEST_LINK_INSIDE"

// The tests run as the first process of namespaces of their own, so that nothing
// of the machine changes and nothing stays, whatever ends them.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		// /proc/PID is that of the main thread, which no host may take.
		runtime.LockOSThread()
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err = errors.Join(err, unix.Mount("proc", "/proc", "proc", 0, "")); err != nil {
			fmt.Fprintln(os.Stderr, "mount /proc:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if missing := missing(); missing != "" {
		fmt.Println("SKIPPED: every test of the laboratory's slow links:", missing)
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
	if _, err := exec.LookPath("ip"); err != nil {
		return "ip is not installed"
	}
	return ""
}

func reexecute() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	runtime.LockOSThread()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
