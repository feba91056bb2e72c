package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// errCleartext is said of a server without TLS that asks for the password as it is.
var errCleartext = errors.New("it asks for the password in clear (" + mysql.AUTH_CLEAR_PASSWORD + ") and has no TLS: give the user another plugin, or the server TLS")

// longestGreeting bounds each packet of a login.
const longestGreeting = 1 << 16

// discreetConn is a connection without TLS. The library gives a server whatever it asks
// for, so that its request must not reach the library.
type discreetConn struct {
	net.Conn
	ahead []byte // read and not handed on
	over  bool   // the login is
}

func dialDiscreetly(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &discreetConn{Conn: c}, nil
}

func (c *discreetConn) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 && !c.over {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// next reads one packet of the login.
func (c *discreetConn) next() error {
	var header [4]byte
	if _, err := io.ReadFull(c.Conn, header[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(header[:]) & 0xffffff
	if n > longestGreeting {
		return fmt.Errorf("it sends %d bytes before it lets anybody in", n)
	}
	c.ahead = make([]byte, len(header)+int(n))
	copy(c.ahead, header[:])
	body := c.ahead[len(header):]
	if _, err := io.ReadFull(c.Conn, body); err != nil {
		return err
	}
	switch plugin, _, _ := bytes.Cut(body, []byte{0}); {
	case bytes.Equal(plugin, append([]byte{mysql.EOF_HEADER}, mysql.AUTH_CLEAR_PASSWORD...)):
		c.ahead = nil
		return errCleartext
	case n > 0 && body[0] == mysql.OK_HEADER:
		c.over = true
	}
	return nil
}
