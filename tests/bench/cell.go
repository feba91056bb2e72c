package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/mmm-manager/mmm-manager/tests/lab/cell"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
)

// thawer is the argument of the process that thaws disks.
const thawer = "thawer"

const folderPrefix = "mmm-bench-"

// outside runs this program again in namespaces of its own, so many times side by side, each with a thawer beside it; the
// code is 0 when all ended well.
func outside(pairs int) (code int, err error) {
	sweep()
	if err := os.Setenv(turnsVariable, os.TempDir()); err != nil {
		return 1, err
	}
	codes, errs := make([]int, pairs), make([]error, pairs)
	var all sync.WaitGroup
	for i := range pairs {
		all.Go(func() { codes[i], errs[i] = inCell() })
	}
	all.Wait()
	return slices.Max(codes), errors.Join(errs...)
}

func inCell() (code int, err error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	thaws, err := disk.StartThawer(self, thawer)
	if err != nil {
		return 1, err
	}
	code, err = cell.Run(dir, thaws.Client)
	return code, errors.Join(err, thaws.Client.Close(), thaws.Wait())
}

// settle makes a cell ready for pairs on loopback and on hosts.
func settle() (*disk.Freezer, error) {
	if err := cell.Settle(); err != nil {
		return nil, err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("set loopback up: %w: %s", err, out)
	}
	return disk.NewFreezer(os.NewFile(3, "thawer"))
}

// sweep removes folders whose process is gone.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, dir := range dirs {
		var pid int
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if _, err := fmt.Sscan(name, &pid); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}
