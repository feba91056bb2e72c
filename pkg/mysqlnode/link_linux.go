package mysqlnode

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
)

// From linux/tcp.h: the option, and the state of a connection both sides of which are open.
const (
	tcpUserTimeout = 18
	tcpEstablished = 1
)

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

// ended reports whether the peer has ended the connection. It asks for the TCP
// state: peeking would see only the last words of a server that sends a reason
// before it hangs up. The state is the first byte of struct tcp_info.
func ended(fd int) bool {
	info, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return peek(fd) == 0
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(info))
	return b[0] != tcpEstablished
}
