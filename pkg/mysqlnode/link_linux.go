package mysqlnode

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// From linux/tcp.h.
const tcpUserTimeout = 18

// setUserTimeout bounds how long sent data may stay unacknowledged.
func setUserTimeout(c *net.TCPConn, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return set
}

// watch has the link told when the peer has ended the connection, until stop.
func (l *link) watch() (stop func(), err error) { return everyEnd.add(l) }

// everyEnd watches over all links of the process.
var everyEnd watcher

// watcher is an epoll set that is woken by the ends of connections and not, as the runtime's
// is, by each answer. An end is seen even where last words of the server lie unread before it.
// There is a set, and a goroutine for it, while there are links.
type watcher struct {
	mu    sync.Mutex
	set   *os.File
	links map[int32]*link
	last  int32
}

// add begins to watch l. Descriptors are used again, so that a number which is not
// says which link it is: what the kernel still tells of one that was removed finds nobody.
func (e *watcher) add(l *link) (remove func(), err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.set == nil {
		if err := e.open(); err != nil {
			return nil, err
		}
	}
	for e.last++; e.links[e.last] != nil; e.last++ {
	}
	n := e.last
	e.links[n] = l
	event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: n}
	if err := e.enter(raw, &event); err != nil {
		e.remove(n)
		return nil, fmt.Errorf("watch the connection: %w", err)
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.remove(n)
	}, nil
}

func (e *watcher) enter(raw syscall.RawConn, event *syscall.EpollEvent) error {
	set, err := e.set.SyscallConn()
	if err != nil {
		return err
	}
	var entered error
	found := raw.Control(func(fd uintptr) {
		entered = set.Control(func(set uintptr) {
			err = syscall.EpollCtl(int(set), syscall.EPOLL_CTL_ADD, int(fd), event)
		})
	})
	return errors.Join(found, entered, err)
}

// open makes the set; the lock is held.
func (e *watcher) open() error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err == nil {
		err = syscall.SetNonblock(fd, true) // so that the runtime's poller waits for it
	}
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	set := os.NewFile(uintptr(fd), "ends of connections")
	raw, err := set.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	e.set, e.links = set, map[int32]*link{}
	go e.run(raw)
	return nil
}

// remove forgets a link, which leaves the set by being closed, and closes the set after the
// last one; the lock is held.
func (e *watcher) remove(n int32) {
	delete(e.links, n)
	if len(e.links) == 0 {
		_ = e.set.Close()
		e.set = nil
	}
}

// run tells the links of their ends until the set is closed. Each is told by a goroutine of
// its own: whoever is slow to hear of one holds up no other.
func (e *watcher) run(set syscall.RawConn) {
	events := make([]syscall.EpollEvent, 64)
	for {
		n := 0
		err := set.Read(func(fd uintptr) bool {
			var err error
			for n, err = syscall.EpollWait(int(fd), events, 0); err == syscall.EINTR; {
				n, err = syscall.EpollWait(int(fd), events, 0)
			}
			return n > 0
		})
		if err != nil {
			return
		}
		e.mu.Lock()
		for _, event := range events[:n] {
			if l := e.links[event.Fd]; l != nil {
				go l.end(errEnded)
			}
		}
		e.mu.Unlock()
	}
}
