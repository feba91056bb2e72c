//go:build unix && !linux

package mysqlnode

import (
	"net"
	"syscall"
	"time"
)

// setUserTimeout does nothing where the system has no such option.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// watch waits in the runtime's poller until the peer has ended the connection or stop is
// called. It does so on a duplicate of the descriptor: waiting on the original would lock the
// driver's reads out. Every arriving packet wakes it for one system call.
func (l *link) watch() (stop func(), err error) {
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	twin, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	raw, err := twin.(syscall.Conn).SyscallConn()
	if err != nil {
		_ = twin.Close()
		return nil, err
	}
	go func() {
		if raw.Read(func(fd uintptr) bool { return peek(int(fd)) == 0 }) == nil {
			l.end(errEnded)
		}
	}()
	return func() { _ = twin.Close() }, nil
}
