package disk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Freezer is the client's end of a thawer; any number of disks may share one.
type Freezer struct {
	conn *net.UnixConn

	mu      sync.Mutex
	last    int64
	pending map[int64]*freeze
	ended   error // why no answer comes any more
}

// freeze is one freeze of one disk, from the request on.
type freeze struct {
	freezer *Freezer
	id      int64
	dir     *os.File
	begun   chan struct{} // closed when the thawer has answered
	refused error         // after begun
	over    chan struct{} // closed when the disk is not frozen
}

// NewFreezer takes over the client's end of a thawer's socket.
func NewFreezer(socket *os.File) (*Freezer, error) {
	conn, err := connection(socket)
	if err != nil {
		return nil, fmt.Errorf("connect to the thawer: %w", err)
	}
	f := &Freezer{conn: conn, pending: map[int64]*freeze{}}
	go f.listen()
	return f, nil
}

// Close lets the thawer end, which first thaws what is frozen.
func (f *Freezer) Close() error { return f.conn.Close() }

func (f *Freezer) freeze(ctx context.Context, mountpoint string, d time.Duration) (*freeze, error) {
	dir, err := os.Open(mountpoint)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.ended != nil {
		f.mu.Unlock()
		return nil, errors.Join(f.ended, dir.Close())
	}
	f.last++
	z := &freeze{freezer: f, id: f.last, dir: dir, begun: make(chan struct{}), over: make(chan struct{})}
	f.pending[z.id] = z
	_, _, err = f.conn.WriteMsgUnix(fmt.Appendf(nil, "freeze %d %d", z.id, d), unix.UnixRights(int(dir.Fd())), nil)
	f.mu.Unlock()
	if err != nil {
		f.answer(z.id, "refused", "ask the thawer: "+err.Error())
	}
	select {
	case <-z.begun:
		return z, z.refused
	case <-ctx.Done():
		_ = f.ask(z.id)
		return z, ctx.Err()
	}
}

// ask for the end of a freeze.
func (f *Freezer) ask(id int64) error {
	_, err := f.conn.Write(fmt.Appendf(nil, "thaw %d", id))
	return err
}

// frozen reports whether the disk may be frozen.
func (z *freeze) frozen() bool {
	if z == nil {
		return false
	}
	select {
	case <-z.over:
		return false
	default:
		return true
	}
}

func (z *freeze) thaw(ctx context.Context) error {
	if !z.frozen() {
		return nil
	}
	// Without a thawer listen thaws.
	_ = z.freezer.ask(z.id)
	select {
	case <-z.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen hands the thawer's answers on until there are no more.
func (f *Freezer) listen() {
	var b [512]byte
	for {
		n, err := f.conn.Read(b[:])
		if err != nil {
			f.end(err)
			return
		}
		id, rest, _ := strings.Cut(string(b[:n]), " ")
		what, text, _ := strings.Cut(rest, " ")
		if number, err := strconv.ParseInt(id, 10, 64); err == nil {
			f.answer(number, what, text)
		}
	}
}

func (f *Freezer) answer(id int64, what, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	z := f.pending[id]
	if z == nil {
		return
	}
	switch what {
	case "refused":
		z.refused = errors.New(text)
		f.finish(z)
		close(z.begun)
	case "frozen":
		close(z.begun)
	case "thawed":
		f.finish(z)
	}
}

func (f *Freezer) finish(z *freeze) {
	_ = z.dir.Close()
	close(z.over)
	delete(f.pending, z.id)
}

// end thaws what a thawer that is gone has left frozen.
func (f *Freezer) end(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = fmt.Errorf("the thawer is gone: %w", cause)
	for _, z := range f.pending {
		thaw(z.dir)
		f.finish(z)
		select {
		case <-z.begun:
		default:
			z.refused = f.ended
			close(z.begun)
		}
	}
}
