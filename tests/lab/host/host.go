package host

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is a network namespace with an address and a name of its own.
type Host struct {
	name, addr string
	jobs       chan func() // for the thread that is in the namespaces as long as the program lives
	netns      *os.File

	mu    sync.Mutex
	rules []string
}

// Name is its host name.
func (h *Host) Name() string { return h.name }

// IP is its address.
func (h *Host) IP() string { return h.addr }

// Outer is the name of the end of its link that is in the bridge.
func (h *Host) Outer() string { return "out-" + h.name }

// enter makes the namespaces and a thread in them, from which children inherit them: the
// kernel sends a child its parent-death signal when the thread that made it ends.
func (h *Host) enter() (thread int, err error) {
	entered := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWUTS)
		if err == nil {
			err = unix.Sethostname([]byte(h.name))
		}
		thread = unix.Gettid()
		if err == nil {
			h.netns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", thread))
		}
		entered <- err
		if err != nil {
			return
		}
		for job := range h.jobs {
			job()
		}
	}()
	return thread, <-entered
}

// Start starts a program on the host.
func (h *Host) Start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	h.jobs <- func() { done <- cmd.Start() }
	return <-done
}

// Dial connects from the host to a numeric address.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// A socket belongs to the namespace in which its thread was when it was made. A thread
		// that cannot be brought back ends with this goroutine.
		runtime.LockOSThread()
		home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer home.Close()
		if err := unix.Setns(int(h.netns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("enter the network of %s: %w", h.name, err)}
			return
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, addr)
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// run runs a program on the host to its end.
func (h *Host) run(input, name string, args ...string) error {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.Start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

func (h *Host) add(rule string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules = append(h.rules, rule)
}

func (h *Host) remove(rule string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.rules, rule); i >= 0 {
		h.rules = slices.Delete(h.rules, i, i+1)
	}
}

// filter has the kernel keep the rules, in one step.
func (h *Host) filter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := "table inet cut\ndelete table inet cut\ntable inet cut {\n chain in {\n  type filter hook input priority 0;\n"
	for _, rule := range h.rules {
		text += "  " + rule + "\n"
	}
	if err := h.run(text+" }\n}\n", "nft", "-f", "-"); err != nil {
		return fmt.Errorf("filter the packets of %s: %w", h.name, err)
	}
	return nil
}
