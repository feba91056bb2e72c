package mysqlnode

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A silent peer ends an unused session after 15 s; sent data that nobody
// acknowledges ends it after userTimeout. Deaths are found by asking, long before.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 5}

const userTimeout = 15 * time.Second

// link is the TCP connection under a session. It remembers why it ended, which
// the driver tells only its logger, and watches for the end while nobody reads.
type link struct {
	*net.TCPConn
	broken  chan struct{}
	unwatch func()
	// closing is set before we end the connection ourselves, shut when we do.
	closing atomic.Bool
	shut    atomic.Bool
	closed  sync.Once

	mu     sync.Mutex
	fault  error         // what ended the connection, not by our own hand
	told   func()        // to be called at that end
	unread bool          // an answer lay unread when we closed it
	sent   chan struct{} // closed by the next write, when not nil
}

// newLink takes c over, and closes it when it returns an error.
func newLink(c *net.TCPConn) (*link, error) {
	if err := setUserTimeout(c, userTimeout); err != nil {
		_ = c.Close()
		return nil, err
	}
	l := &link{TCPConn: c, broken: make(chan struct{})}
	var err error
	if l.unwatch, err = l.watch(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return l, nil
}

var errEnded = errors.New("the server ended the connection")

// end records that the connection ended, unless we are closing it ourselves.
func (l *link) end(fault error) {
	if l.closing.Load() {
		return
	}
	l.mu.Lock()
	first, told := l.fault == nil, l.told
	if first || errors.Is(l.fault, errEnded) {
		l.fault = fault
	}
	l.mu.Unlock()
	if !first {
		return
	}
	close(l.broken)
	if told != nil {
		told()
	}
}

// onEnd has f called when the connection has ended, unless by our own hand. A call that
// has begun may outlast Close.
func (l *link) onEnd(f func()) {
	l.mu.Lock()
	over := l.fault != nil
	l.told = f
	l.mu.Unlock()
	if over {
		f()
	}
}

// Read records the error that ends the connection.
func (l *link) Read(b []byte) (int, error) {
	n, err := l.TCPConn.Read(b)
	if err != nil {
		l.end(err)
	}
	return n, err
}

// Write records the error that ends the connection.
func (l *link) Write(b []byte) (int, error) {
	n, err := l.TCPConn.Write(b)
	if err != nil {
		l.end(err)
		return n, err
	}
	l.mu.Lock()
	if l.sent != nil {
		close(l.sent)
		l.sent = nil
	}
	l.mu.Unlock()
	return n, nil
}

// nextWrite returns a channel that is closed when something has been written.
func (l *link) nextWrite() <-chan struct{} {
	sent := make(chan struct{})
	l.mu.Lock()
	l.sent = sent
	l.mu.Unlock()
	return sent
}

// hush announces that we are going to end the connection: what happens to it
// from now on is no news.
func (l *link) hush() { l.closing.Store(true) }

// Close closes the connection. The driver calls it too, when a context ends; whoever
// comes second waits until it is closed.
func (l *link) Close() (err error) {
	l.hush()
	l.closed.Do(func() {
		l.shut.Store(true)
		if unread(l.TCPConn) {
			l.mu.Lock()
			l.unread = true
			l.mu.Unlock()
		}
		l.unwatch()
		err = l.TCPConn.Close()
	})
	return err
}

// state tells what ended the connection and whether an answer lay unread.
func (l *link) state() (fault error, unread bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault, l.unread
}

// gone reports whether the connection has ended, by whichever side.
func (l *link) gone() bool {
	fault, _ := l.state()
	return fault != nil || l.shut.Load()
}

// unread reports whether something was received that nobody has read.
func unread(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	waits := false
	_ = raw.Control(func(fd uintptr) { waits = peek(int(fd)) > 0 })
	return waits
}

// peek returns 1 when a byte waits to be read, 0 when the peer has ended the
// connection, -1 when neither is known.
func peek(fd int) int {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err == nil:
			return n
		case errors.Is(err, syscall.EAGAIN):
			return -1
		}
		return 0
	}
}
