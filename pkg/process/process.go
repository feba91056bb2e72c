package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// lookEvery is how often a process that is watched is looked at: one read of a file
	// that stays open.
	lookEvery = 10 * time.Millisecond
	// ticks is the unit of start times in /proc: USER_HZ, 100 a second on every Linux that Go runs on.
	ticks = 10 * time.Millisecond
	// exiting is PF_EXITING of the kernel.
	exiting = 1 << 2
	// startedBefore bounds by how much longer than its server says to be up a process has
	// run, and counted the fraction of a second that the server leaves out.
	startedBefore = 3 * time.Second
	startedAfter  = time.Second
)

// Errors of Find.
var (
	ErrNone    = errors.New("no process of a server that was started then is seen in /proc")
	ErrSeveral = errors.New("several servers were started then, and /proc does not tell which of them listens")
)

// names are the programs that are servers.
var names = []string{"mysqld", "mariadbd", "mysqld-debug"}

// Process is one process of a server.
type Process struct {
	proc string // where /proc is
	pid  int
	stat *os.File // it tells of this process alone, be its number given to another
	stop context.CancelFunc
	work sync.WaitGroup
}

// Find finds the server that listens on port and has been up for uptime, in whole seconds
// as it says itself; up is for how long this machine has been, suspensions included. Of several that were started then, which listens is told to root and the server's own user only. The error is ErrNone or
// ErrSeveral, but for what /proc refuses. Close ends the use of a process.
func Find(port int, uptime, up time.Duration) (*Process, error) {
	return find("/proc", port, uptime, up)
}

func find(proc string, port int, uptime, up time.Duration) (*Process, error) {
	dirs, err := filepath.Glob(filepath.Join(proc, "[1-9]*"))
	if err != nil {
		return nil, err
	}
	var found []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !isServer(dir) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		s, ok := parse(string(text))
		if age := up - time.Duration(s.start)*ticks; ok && age > uptime-startedAfter && age < uptime+startedBefore {
			found = append(found, pid)
		}
	}
	if len(found) > 1 {
		if sockets := listeners(proc, port); len(sockets) > 0 {
			found = slices.DeleteFunc(found, func(pid int) bool { return !holds(filepath.Join(proc, strconv.Itoa(pid), "fd"), sockets) })
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNone
	case 1:
		return open(proc, found[0])
	}
	return nil, ErrSeveral
}

func open(proc string, pid int) (*Process, error) {
	f, err := os.Open(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, fmt.Errorf("find process: %w", err)
	}
	return &Process{proc: proc, pid: pid, stat: f}, nil
}

// PID is the number of the process in this /proc.
func (p *Process) PID() int { return p.pid }

// Close ends the use of the process, not the process.
func (p *Process) Close() error {
	if p.stop != nil {
		p.stop()
	}
	p.work.Wait()
	return p.stat.Close()
}

// OnEnd has f called once no thread of the process runs any more, or ever will; not after Close
// has returned. f does not wait, nor close p. OnEnd is called once.
func (p *Process) OnEnd(f func()) {
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.work.Go(func() {
		if p.wait(ctx) == nil {
			f()
		}
	})
}

// wait returns nil when the process has ended, and the error of ctx when that ends before.
func (p *Process) wait(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	every := lookEvery
	for {
		first, all := p.ended()
		if all {
			return nil
		}
		if want := lookEvery / 10; first && every != want {
			every = want // its threads follow within a few milliseconds
			tick.Reset(every)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended reports whether the first thread has ended, and whether all have.
func (p *Process) ended() (first, all bool) {
	var room [512]byte
	n, err := p.stat.ReadAt(room[:], 0)
	if errors.Is(err, syscall.ESRCH) {
		return true, true
	}
	if s, ok := parse(string(room[:n])); !ok || !s.over() {
		return false, false
	}
	// A process one of whose threads has ended with its program starts no more of them.
	threads, err := filepath.Glob(filepath.Join(p.proc, strconv.Itoa(p.pid), "task", "*", "stat"))
	if err != nil {
		return true, false
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it is gone
		}
		if s, ok := parse(string(text)); !ok || !s.over() {
			return true, false
		}
	}
	return true, true
}

// stat is what is read of a thread.
type stat struct {
	state byte
	flags uint64
	start uint64 // ticks after the start of the machine
}

// over reports whether the thread runs no more.
func (s stat) over() bool { return s.state == 'Z' || s.state == 'X' || s.flags&exiting != 0 }

// parse reads the line of stat, whose second field is a name with anything in it.
func parse(line string) (s stat, ok bool) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return s, false
	}
	var errs [2]error
	s.state = fields[0][0]
	s.flags, errs[0] = strconv.ParseUint(fields[6], 10, 64)
	s.start, errs[1] = strconv.ParseUint(fields[19], 10, 64)
	return s, errs == [2]error{}
}

func isServer(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	program, _, _ := strings.Cut(string(text), "\x00")
	return slices.Contains(names, filepath.Base(program))
}

// listeners are the sockets that listen on port, as links in fd name them.
func listeners(proc string, port int) []string {
	const listening = "0A"
	var all []string
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				all = append(all, "socket:["+f[9]+"]")
			}
		}
	}
	return all
}

func holds(fd string, sockets []string) bool {
	entries, err := os.ReadDir(fd)
	if err != nil {
		return true // not for us to see: it may be
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(fd, e.Name()))
		return err == nil && slices.Contains(sockets, to)
	})
}
