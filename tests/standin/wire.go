package standin

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// What of the protocol's capabilities is offered: of the text protocol with several
// statements in a packet, without TLS.
const capabilities = 0x1 | 0x2 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000 | 0x80000 | 0x100000

const (
	comQuit  = 0x01
	comQuery = 0x03
	comPing  = 0x0e

	moreResults = 0x0008
	autocommit  = 0x0002
)

// largest is the longest packet that is read: the programs send short statements.
const largest = 1 << 16

var errTooLong = errors.New("a packet that no program of ours sends")

// wire is one connection's side of the protocol.
type wire struct {
	net.Conn
	in  *bufio.Reader
	out []byte // packets not yet sent
	seq byte
	got []byte // the packet that was read last
}

// read gives a packet, which is good until the next.
func (w *wire) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > largest {
		return nil, errTooLong
	}
	w.seq = head[3] + 1
	w.got = append(w.got[:0], make([]byte, n)...)
	_, err := io.ReadFull(w.in, w.got)
	return w.got, err
}

func (w *wire) put(payload []byte) {
	at := w.begin()
	w.out = append(w.out, payload...)
	w.end(at)
}

// begin begins a packet, whose payload is appended to out until end.
func (w *wire) begin() (at int) {
	at = len(w.out)
	w.out = append(w.out, 0, 0, 0, w.seq)
	w.seq++
	return at
}

func (w *wire) end(at int) {
	n := len(w.out) - at - 4
	w.out[at], w.out[at+1], w.out[at+2] = byte(n), byte(n>>8), byte(n>>16)
}

func (w *wire) flush() error {
	_, err := w.Write(w.out)
	w.out = w.out[:0]
	return err
}

// greet shakes hands, takes any log-in and tells whose it was.
func (w *wire) greet(id uint32) (user string, err error) {
	p := append([]byte{10}, version...)
	p = append(p, 0)
	p = binary.LittleEndian.AppendUint32(p, id)
	p = append(p, "saltsalt"...)
	p = append(p, 0)
	p = binary.LittleEndian.AppendUint16(p, capabilities&0xffff)
	p = append(p, 45) // utf8mb4
	p = binary.LittleEndian.AppendUint16(p, autocommit)
	p = binary.LittleEndian.AppendUint16(p, capabilities>>16)
	p = append(p, 21)
	p = append(p, make([]byte, 10)...)
	p = append(p, "saltsaltsalt\x00"...)
	p = append(p, "mysql_native_password\x00"...)
	w.seq = 0
	w.put(p)
	if err := w.flush(); err != nil {
		return "", err
	}
	login, err := w.read()
	if err != nil {
		return "", err
	}
	const before = 4 + 4 + 1 + 23 // capabilities, largest packet, character set, nothing
	if len(login) > before {
		name, _, _ := bytes.Cut(login[before:], []byte{0})
		user = string(name)
	}
	w.ok(0)
	return user, w.flush()
}

func (w *wire) ok(status uint16) {
	p := []byte{0, 0, 0}
	p = binary.LittleEndian.AppendUint16(p, autocommit|status)
	w.put(append(p, 0, 0))
}

func (w *wire) fail(number uint16, state, text string) {
	p := binary.LittleEndian.AppendUint16([]byte{0xff}, number)
	p = append(p, '#')
	w.put(append(append(p, state...), text...))
}

func (w *wire) eof(status uint16) {
	p := []byte{0xfe, 0, 0}
	w.put(binary.LittleEndian.AppendUint16(p, autocommit|status))
}

// table is a result; NULL is a nil value.
type table struct {
	columns []string
	rows    [][]*string
	fault   *failure // in place of both
}

// failure is an error of the server.
type failure struct {
	number      uint16
	state, text string
}

func (w *wire) result(t *table, status uint16) {
	w.put([]byte{byte(len(t.columns))})
	for _, name := range t.columns {
		at := w.begin()
		w.out = append(text(w.out, "def"), 0, 0, 0)
		w.out = text(text(w.out, name), name)
		w.out = append(w.out, 0x0c, 45, 0, 0, 4, 0, 0, 253, 0, 0, 0, 0, 0)
		w.end(at)
	}
	w.eof(status)
	for _, row := range t.rows {
		at := w.begin()
		for _, v := range row {
			if v == nil {
				w.out = append(w.out, 0xfb)
			} else {
				w.out = text(w.out, *v)
			}
		}
		w.end(at)
	}
	w.eof(status)
}

// text appends a string with its length before it.
func text(p []byte, s string) []byte {
	switch n := len(s); {
	case n < 251:
		p = append(p, byte(n))
	default:
		p = append(p, 0xfc, byte(n), byte(n>>8))
	}
	return append(p, s...)
}
