//go:build unix && !linux

package mysqlnode

import (
	"net"
	"time"
)

// setUserTimeout does nothing where the system has no such option.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// ended reports whether the peer has ended the connection.
func ended(fd int) bool { return peek(fd) == 0 }
