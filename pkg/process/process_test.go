package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// proc is a /proc.
type proc struct {
	*testing.T
	dir string
}

func newProc(t *testing.T) proc {
	p := proc{t, t.TempDir()}
	p.write("net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+
		"   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 71 1 0 100 0 0 10 0\n"+
		"   1: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 72 1 0 100 0 0 10 0\n"+
		"   2: 0100007F:0CEA 0100007F:9999 01 00000000:00000000 00:00000000 00000000   100        0 73 1 0 100 0 0 10 0\n")
	return p
}

func (p proc) write(name, text string) {
	p.Helper()
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// thread is a line of stat.
func thread(pid int, state string, flags, start int) string {
	return fmt.Sprintf("%d (a (b) c) %s 1 1 1 0 -1 %d 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, state, flags, start)
}

func (p proc) process(pid int, program string, start int, sockets ...string) {
	p.Helper()
	dir := strconv.Itoa(pid)
	p.write(dir+"/cmdline", program+"\x00--port=3306\x00")
	p.write(dir+"/stat", thread(pid, "S", 0x400000, start))
	p.write(dir+"/fd/none", "")
	for i, to := range sockets {
		if err := os.Symlink(to, filepath.Join(p.dir, dir, "fd", strconv.Itoa(i))); err != nil {
			p.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	p := newProc(t)
	p.process(10, "/usr/sbin/mysqld", 20000, "socket:[71]", "socket:[73]") // up for 800.25 s
	p.process(11, "/usr/sbin/mariadbd", 20010, "pipe:[1]", "socket:[72]")
	p.process(12, "/usr/bin/mysqld_safe", 50000)
	p.process(13, "mariadbd", 50000) // 500.25 s
	p.process(14, "/usr/sbin/mysqld", 90000)
	p.process(15, "/usr/sbin/mysqld", 90010)
	p.write("self/cmdline", "mysqld")
	const up = 1000*time.Second + 250*time.Millisecond
	for _, tc := range []struct {
		port   int
		uptime time.Duration
		pid    int
		err    error
	}{
		{3306, 800 * time.Second, 10, nil},
		{3307, 800 * time.Second, 11, nil},
		{3306, 500 * time.Second, 13, nil}, // one alone need not be seen to listen
		{3306, 498 * time.Second, 13, nil},
		{3306, 502 * time.Second, 0, ErrNone},
		{3306, 497 * time.Second, 0, ErrNone},
		{3308, 100 * time.Second, 0, ErrSeveral}, // nobody is seen to listen
		{3306, 100 * time.Second, 0, ErrNone},    // another listens
		{3306, time.Second, 0, ErrNone},
	} {
		got, err := find(p.dir, tc.port, tc.uptime, up)
		if !errors.Is(err, tc.err) {
			t.Errorf("port %d, up %s: %v, want %v", tc.port, tc.uptime, err, tc.err)
		}
		if err != nil {
			continue
		}
		if got.PID() != tc.pid {
			t.Errorf("port %d, up %s: process %d, want %d", tc.port, tc.uptime, got.PID(), tc.pid)
		}
		if err := got.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A thread that is marked runs no more; one that is not may, whatever the others do.
func TestEnded(t *testing.T) {
	const marked = 0x400004
	for _, tc := range []struct {
		name       string
		main       string
		others     []string
		first, all bool
	}{
		{"it runs", thread(7, "S", 0x400000, 1), []string{thread(8, "R", 0x400000, 1)}, false, false},
		{"a thread of it has ended", thread(7, "S", 0x400000, 1), []string{thread(8, "Z", marked, 1)}, false, false},
		{"the first has", thread(7, "Z", marked, 1), []string{thread(8, "R", 0x400000, 1), thread(9, "R", marked, 1)}, true, false},
		{"all are marked", thread(7, "Z", marked, 1), []string{thread(8, "R", marked, 1), thread(9, "D", marked, 1)}, true, true},
		{"all are gone", thread(7, "Z", marked, 1), nil, true, true},
		{"the first is marked, and shows not as gone", thread(7, "D", marked, 1), []string{thread(8, "X", 0, 1)}, true, true},
		{"nothing that can be read", "7 (mysqld) S", []string{thread(8, "Z", marked, 1)}, false, false},
	} {
		p := newProc(t)
		p.write("7/stat", tc.main)
		p.write("7/task/7/stat", tc.main)
		for i, line := range tc.others {
			p.write(fmt.Sprintf("7/task/%d/stat", 8+i), line)
		}
		got, err := open(p.dir, 7)
		if err != nil {
			t.Fatal(err)
		}
		if first, all := got.ended(); first != tc.first || all != tc.all {
			t.Errorf("%s: the first has ended %v, all %v", tc.name, first, all)
		}
		_ = got.Close()
	}
}

// The end of a real process is told while nobody has waited for it yet.
func TestOnEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIP: no /proc on " + runtime.GOOS)
	}
	start := func() (*exec.Cmd, *Process) {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		p, err := open("/proc", cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return cmd, p
	}
	cmd, p := start()
	over := make(chan struct{})
	p.OnEnd(func() { close(over) })
	select {
	case <-over:
		t.Fatal("it runs, and its end is told")
	case <-time.After(5 * lookEvery):
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Fatal("its end is not told")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}

	cmd, p = start()
	told := false
	p.OnEnd(func() { told = true })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if told {
		t.Error("the end was told after Close")
	}

	cmd, p = start() // gone, and waited for
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone := make(chan struct{})
	p.OnEnd(func() { close(gone) })
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the end of a process that is gone is not told")
	}
	_ = p.Close()
}
