package redisbus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// dialer makes connections, encrypted ones where tls is set.
type dialer struct {
	timeout time.Duration
	tls     *tls.Config
}

func newDialer(o Options) dialer {
	d := dialer{timeout: o.DialTimeout}
	if o.TLS {
		d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.CA != "" {
			d.tls.RootCAs = x509.NewCertPool()
			d.tls.RootCAs.AppendCertsFromPEM([]byte(o.CA))
		}
	}
	return d
}

// dial connects to addr; closed is called when the connection is closed.
func (d dialer) dial(ctx context.Context, addr string, closed func(*conn)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	n := net.Dialer{KeepAlive: 15 * time.Second}
	raw, err := n.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: raw.(*net.TCPConn), plain: d.tls == nil, closed: closed}
	if c.plain {
		return c, nil
	}
	config := d.tls.Clone()
	config.ServerName, _, _ = net.SplitHostPort(addr)
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, shell{fmt.Errorf("begin TLS with %s: %w", addr, handshakeError{err})}
	}
	return secureConn{secured, c}, nil
}

// fixed dials the address that go-redis was given.
func (d dialer) fixed() func(context.Context, string, string) (net.Conn, error) {
	return answering(func(ctx context.Context, addr string) (net.Conn, error) { return d.dial(ctx, addr, func(*conn) {}) })
}

// answering turns a dial that fails into a connection that answers everything
// with that failure: after as many failed dials as the pool is big, go-redis
// otherwise answers from memory and tries only once a second, which would keep a
// Redis that is back unused for up to a second.
func answering(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := dial(ctx, addr)
		if err != nil {
			return failedConn{err}, nil
		}
		return c, nil
	}
}

// conn is one connection, below TLS where there is TLS.
type conn struct {
	*net.TCPConn
	plain  bool
	heard  atomic.Pointer[string] // an error that came first, or nothing; nil while nothing has come
	closed func(*conn)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if !c.plain {
		return n, err
	}
	return n, c.told(p[:n], err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	if !c.plain {
		return n, err
	}
	return n, c.told(nil, err)
}

// told takes what came, and says of a connection that ended what Redis said when
// it was made: nothing, or why it has none for this client, which go-redis takes
// for the answer to its own first command and forgets.
func (c *conn) told(p []byte, err error) error {
	if len(p) > 0 && c.heard.Load() == nil {
		refusal := ""
		if p[0] == '-' {
			refusal, _, _ = strings.Cut(string(p[1:]), "\r\n")
		}
		c.heard.Store(&refusal)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	heard := c.heard.Load()
	switch {
	case heard == nil:
		return shell{unheardError{err, c.plain}}
	case isFull(*heard):
		return shell{fullError{errors.New(*heard)}}
	}
	return err
}

// fullError is what a Redis with too many clients says to a new one.
type fullError struct{ error }

func (fullError) hint() string { return roomHint }

func (c *conn) Close() error {
	c.closed(c)
	return c.TCPConn.Close()
}

// raw is the connection below TLS, or c itself.
func (c *conn) raw() *conn { return c }

// secureConn is a connection with TLS.
type secureConn struct {
	*tls.Conn
	below *conn
}

func (c secureConn) raw() *conn { return c.below }

func (c secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.below.told(p[:n], err)
}

func (c secureConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.below.told(nil, err)
}

// SyscallConn lets go-redis see that an idle connection has ended, or is about
// to: whatever waits to be read on one that nobody uses says so.
func (c secureConn) SyscallConn() (syscall.RawConn, error) {
	below, err := c.below.SyscallConn()
	if err != nil {
		return nil, err
	}
	idle := false
	err = below.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		idle = errors.Is(err, syscall.EAGAIN)
		return true
	})
	if err == nil && !idle {
		err = io.EOF
	}
	return seen{}, err
}

// seen is a connection at which SyscallConn has looked already.
type seen struct{}

func (seen) Control(func(uintptr)) error    { return nil }
func (seen) Read(func(uintptr) bool) error  { return nil }
func (seen) Write(func(uintptr) bool) error { return nil }

// shell is what go-redis takes off an error of a connection that is being made.
type shell struct{ error }

func (e shell) Unwrap() error { return e.error }

// handshakeError is a connection that was made and could not be encrypted.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func (e handshakeError) hint() string {
	if _, is := errors.AsType[x509.UnknownAuthorityError](e.error); is {
		return "name the certificate of the authority that signed Redis's own in tls_ca"
	}
	if _, is := errors.AsType[x509.HostnameError](e.error); is {
		return "write the address of Redis as its certificate names it, or make a certificate with this name"
	}
	if c, is := errors.AsType[x509.CertificateInvalidError](e.error); is && c.Reason == x509.Expired {
		return "renew the certificate of Redis, or set this machine's clock"
	}
	if _, is := errors.AsType[tls.RecordHeaderError](e.error); is || isTimeout(e.error) {
		return "this port does not seem to speak TLS: name the one of tls-port in redis.conf, or set tls=0"
	}
	return ""
}

func isTimeout(err error) bool {
	n, is := errors.AsType[net.Error](err)
	return is && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// unheardError is a connection that was made and ended before anything came.
type unheardError struct {
	error
	plain bool
}

func (e unheardError) Unwrap() error { return e.error }

func (e unheardError) hint() string {
	const text = "it ended the connection without a word: it may have just stopped, or have no room for another client (maxclients); "
	if e.plain {
		return text + "a port with TLS wants tls=1"
	}
	return text + wantsNone
}

// wantsNone is the way out where Redis asks its clients for certificates.
const wantsNone = "certificates of clients are asked for unless redis.conf has tls-auth-clients no, or optional"

type failedConn struct{ err error }

func (c failedConn) Read([]byte) (int, error)       { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)      { return 0, c.err }
func (failedConn) Close() error                     { return nil }
func (failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (failedConn) SetDeadline(time.Time) error      { return nil }
func (failedConn) SetReadDeadline(time.Time) error  { return nil }
func (failedConn) SetWriteDeadline(time.Time) error { return nil }
