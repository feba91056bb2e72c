package binlog

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// greeting is how a server begins that has these capabilities beside those of every server.
func greeting(capabilities uint32) []byte {
	capabilities |= mysql.CLIENT_PROTOCOL_41 | mysql.CLIENT_SECURE_CONNECTION | mysql.CLIENT_PLUGIN_AUTH
	b := append([]byte{10}, "9.7.0\x00"...)
	b = append(b, 1, 0, 0, 0)
	b = append(b, "12345678\x00"...)
	b = append(b, byte(capabilities), byte(capabilities>>8), 45, 2, 0, byte(capabilities>>16), byte(capabilities>>24), 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, "901234567890\x00"...)
	return append(b, mysql.AUTH_NATIVE_PASSWORD+"\x00"...)
}

func packet(number byte, body []byte) []byte {
	return append([]byte{byte(len(body)), byte(len(body) >> 8), 0, number}, body...)
}

// asking is a server that greets, and asks whoever answers without TLS for the password in clear.
// What each connection sends comes through the channel when it has ended; letIn counts them.
func asking(t *testing.T, capabilities uint32) (addr cluster.Endpoint, heard chan string, letIn *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	heard, letIn = make(chan string, 8), &atomic.Int32{}
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		var all bytes.Buffer
		defer func() { heard <- all.String() }()
		_, _ = c.Write(packet(0, greeting(capabilities)))
		first := make([]byte, 4<<10)
		n, err := c.Read(first)
		all.Write(first[:n])
		if err != nil || capabilities&mysql.CLIENT_SSL != 0 {
			return
		}
		_, _ = c.Write(packet(2, append([]byte{mysql.EOF_HEADER}, mysql.AUTH_CLEAR_PASSWORD+"\x00"...)))
		_, _ = io.Copy(&all, c)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			letIn.Add(1)
			go serve(c)
		}
	}()
	return cluster.Endpoint(l.Addr().String()), heard, letIn
}

func TestNoPasswordInClear(t *testing.T) {
	for name, c := range map[string]struct {
		capabilities uint32
		conns        int
		says         string
	}{
		"the server has no TLS":       {0, 2, "mysql_clear_password"},
		"its TLS does not come about": {mysql.CLIENT_SSL, 1, "read the binary logs of"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, heard, letIn := asking(t, c.capabilities)
			r := New(Options{Addr: addr, Flavor: cluster.MySQL, User: "keeper", Password: "in-clear", Logs: []cluster.BinaryLog{{Name: "bin.000001", Size: 9}}})
			_, err := r.Read(t.Context(), func(string) (bool, error) { return true, nil }, func(cluster.Transaction) (bool, error) { return true, nil })
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
			var sent strings.Builder
			for range c.conns {
				sent.WriteString(<-heard)
			}
			if strings.Contains(sent.String(), "in-clear") {
				t.Errorf("the password left in clear: %q", sent.String())
			}
			if n := int(letIn.Load()); n != c.conns {
				t.Errorf("%d connections, want %d", n, c.conns)
			}
		})
	}
}
