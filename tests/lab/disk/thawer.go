package disk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxFreeze is the longest freeze that a thawer takes on.
const MaxFreeze = time.Minute

// From linux/fs.h.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// ThawerProcess is a thawer as the process that has started it sees it.
type ThawerProcess struct {
	// Client is for NewFreezer in the process that has disks. The thawer ends
	// when nobody holds it any more: close it here once it is handed on.
	Client *os.File
	cmd    *exec.Cmd
}

// StartThawer starts a thawer in a session of its own: the program has to call
// Thawer with its file descriptor 3 when it has these arguments.
func StartThawer(program string, args ...string) (*ThawerProcess, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start the thawer: %w", err)
	}
	client, own := os.NewFile(uintptr(pair[0]), "thawer"), os.NewFile(uintptr(pair[1]), "thawer's end")
	defer own.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{own}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the thawer: %w", err), client.Close())
	}
	return &ThawerProcess{Client: client, cmd: cmd}, nil
}

// PID is the thawer's process id.
func (p *ThawerProcess) PID() int { return p.cmd.Process.Pid }

// Wait returns when the thawer has ended: then it holds no disk.
func (p *ThawerProcess) Wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("run the thawer: %w", err)
	}
	return nil
}

// Thawer freezes and thaws on request until nobody holds the other end of the
// socket and nothing is frozen; it is the body of a process of its own.
func Thawer(socket *os.File) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// What a frozen disk delays must not include this process's own memory.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock the thawer in memory: %w", err)
	}
	conn, err := connection(socket)
	if err != nil {
		return fmt.Errorf("serve as thawer: %w", err)
	}
	defer conn.Close()
	t := &thawer{conn: conn, early: map[string]chan struct{}{}, ended: make(chan struct{})}
	defer t.running.Wait()
	defer close(t.ended)
	var b [512]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := conn.ReadMsgUnix(b[:], oob)
		if err != nil {
			return nil // nobody asks any more
		}
		t.take(strings.Fields(string(b[:n])), received(oob[:m]))
	}
}

type thawer struct {
	conn    *net.UnixConn
	ended   chan struct{} // closed when nobody asks any more
	running sync.WaitGroup

	mu    sync.Mutex
	early map[string]chan struct{} // of each freeze: closed to end it before its time
}

func (t *thawer) take(request []string, dir *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(request) == 3 && request[0] == "freeze" && dir != nil && t.early[request[1]] == nil:
		id := request[1]
		ns, err := strconv.ParseInt(request[2], 10, 64)
		if d := time.Duration(ns); err != nil || d <= 0 || d > MaxFreeze {
			_ = dir.Close()
			t.tell(id, fmt.Sprintf("refused a freeze of %v: not within %v", d, MaxFreeze))
			return
		}
		early := make(chan struct{})
		t.early[id] = early
		t.running.Go(func() { t.freeze(id, time.Duration(ns), dir, early) })
	case len(request) == 2 && request[0] == "thaw":
		if early := t.early[request[1]]; early != nil {
			select {
			case <-early:
			default:
				close(early)
			}
		}
	case dir != nil:
		_ = dir.Close()
	}
}

func (t *thawer) freeze(id string, d time.Duration, dir *os.File, early chan struct{}) {
	err := ioctl(dir, fiFreeze)
	if err == nil {
		timer := time.After(d)
		t.tell(id, "frozen")
		select {
		case <-timer:
		case <-early:
		case <-t.ended:
		}
		thaw(dir)
	}
	// Before the answer: who has it may unmount.
	_ = dir.Close()
	switch err {
	case nil:
		t.tell(id, "thawed")
	case unix.EBUSY:
		t.tell(id, "refused "+ErrFrozen.Error())
	default:
		t.tell(id, "refused "+err.Error())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.early, id)
}

// tell gives up soon on who does not listen: it must not hold up a thaw.
func (t *thawer) tell(id, what string) {
	_ = t.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = t.conn.Write([]byte(id + " " + what))
}

// thaw returns when the file system is not frozen.
func thaw(dir *os.File) {
	for {
		// EINVAL is that it is not frozen.
		if err := ioctl(dir, fiThaw); err == nil || err == unix.EINVAL {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}

func ioctl(f *os.File, request uint) error {
	for {
		if err := unix.IoctlSetInt(int(f.Fd()), request, 0); err != unix.EINTR {
			return err
		}
	}
}

func connection(socket *os.File) (*net.UnixConn, error) {
	conn, err := net.FileConn(socket)
	if err := errors.Join(err, socket.Close()); err != nil {
		return nil, err
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a %T is no Unix socket", conn), conn.Close())
	}
	return uc, nil
}

// received is the file that came with a message, nil when none did.
func received(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "disk")
}
