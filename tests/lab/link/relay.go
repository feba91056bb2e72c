package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how slow a link is; each holds for either direction by itself.
type Options struct {
	Delay time.Duration
	// Jitter is the most that is added to the delay of a frame.
	Jitter time.Duration
	// Loss is the percentage of frames that are dropped; a frame may be a whole
	// train of TCP segments of up to 64 KB.
	Loss float64
	// Rate is in bytes per second; unlimited when zero.
	Rate int64
	// Seed is for jitter and loss.
	Seed uint64
}

const (
	// maxWaiting is how many bytes may wait in one direction; the rest is dropped.
	maxWaiting = 8 << 20
	// maxFrame is the longest frame before segmentation, with its virtio header.
	maxFrame  = 64<<10 + 128
	socketBuf = 4 << 20
	// flushFor bounds the wait for frames that are on their way when a relay stops.
	flushFor = time.Second
)

// Relay is what carries the frames of a slow link.
type Relay struct {
	nl               netlink
	outer, bridge    int
	inside, plugged  int // the ends of the spare pair
	outerName        string
	toBridge, toHost *direction
	stop             func() error
}

// Stats are the frames that a relay has carried and dropped so far, both ways.
type Stats struct{ Carried, Dropped int64 }

// Slow makes the link slow whose outer end is a port of the bridge; both are in
// the calling thread's network namespace. Settings of the bridge's port are not kept.
func Slow(ctx context.Context, outer, bridge string, opts Options) (*Relay, error) {
	r, err := slow(ctx, outer, bridge, opts)
	if err != nil {
		return nil, fmt.Errorf("slow link %s: %w", outer, err)
	}
	return r, nil
}

func slow(ctx context.Context, outer, bridge string, opts Options) (_ *Relay, err error) {
	port, err := net.InterfaceByName(outer)
	if err != nil {
		return nil, err
	}
	master, err := net.InterfaceByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("find bridge %s: %w", bridge, err)
	}
	r := &Relay{outer: port.Index, bridge: master.Index, outerName: outer}
	r.stop = sync.OnceValue(r.end)
	if r.nl, err = openNetlink(); err != nil {
		return nil, err
	}
	undo := []func() error{r.nl.close}
	defer func() {
		for i := len(undo) - 1; i >= 0 && err != nil; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	// The index makes the name unique, and a second relay of one link impossible.
	names := [2]string{fmt.Sprintf("slow%da", port.Index), fmt.Sprintf("slow%db", port.Index)}
	if err := r.nl.addPair(names[0], names[1], port.MTU); err != nil {
		return nil, fmt.Errorf("add a spare pair: %w", err)
	}
	for i, index := range []*int{&r.inside, &r.plugged} {
		end, err := net.InterfaceByName(names[i])
		if err != nil {
			return nil, err
		}
		if *index = end.Index; i == 0 {
			undo = append(undo, func() error { return r.nl.remove(r.inside) })
		}
		if err := r.nl.up(end.Index); err != nil {
			return nil, fmt.Errorf("set %s up: %w", end.Name, err)
		}
	}
	if err := running(ctx, names[1]); err != nil {
		return nil, err
	}
	if r.toBridge, err = newDirection(r.outer, r.inside, opts, 1); err != nil {
		return nil, err
	}
	undo = append(undo, r.toBridge.close)
	if r.toHost, err = newDirection(r.inside, r.outer, opts, 2); err != nil {
		return nil, err
	}
	undo = append(undo, r.toHost.close)
	if err := r.nl.plug(r.plugged, r.bridge); err != nil {
		return nil, fmt.Errorf("plug %s into %s: %w", names[1], bridge, err)
	}
	if err := r.nl.pull(r.outer); err != nil {
		return nil, fmt.Errorf("pull it from %s: %w", bridge, err)
	}
	r.toBridge.start()
	r.toHost.start()
	return r, nil
}

// running returns when a link has its carrier: a bridge forwards at once only by
// ports that had theirs before they were plugged in.
func running(ctx context.Context, name string) error {
	for {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if link.Flags&net.FlagRunning != 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s runs: %w", name, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// Stats are the frames so far.
func (r *Relay) Stats() Stats {
	var s Stats
	for _, d := range []*direction{r.toBridge, r.toHost} {
		d.mu.Lock()
		s.Carried += d.stats.Carried
		s.Dropped += d.stats.Dropped
		d.mu.Unlock()
	}
	return s
}

// Stop sends on what still waits and plugs the link back into its bridge; a
// second call gives the result of the first.
func (r *Relay) Stop() error { return r.stop() }

func (r *Relay) end() error {
	r.toBridge.flush()
	r.toHost.flush()
	// For a moment both are plugged in: better a broadcast twice than a frame lost.
	err := r.nl.plug(r.outer, r.bridge)
	err = errors.Join(err, r.toBridge.close())
	err = errors.Join(err, r.nl.pull(r.plugged))
	err = errors.Join(err, r.toHost.close())
	err = errors.Join(err, r.nl.remove(r.inside), r.nl.close())
	if err != nil {
		return fmt.Errorf("end the slowness of link %s: %w", r.outerName, err)
	}
	return nil
}

// direction carries the frames that one link receives to another link.
type direction struct {
	opts Options
	from []*os.File // one for each protocol
	to   *os.File

	readers, writer sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // has an item when the queue or the flags below changed
	rand    *rand.Rand
	queue   []frame
	waiting int
	free    time.Time // when the line has sent what it took on
	last    time.Time // when the last frame is due
	hurry   bool      // no delay any more
	over    bool      // nothing is added any more
	idle    chan struct{}
	stats   Stats
	err     error
}

type frame struct {
	due  time.Time
	data []byte
}

func newDirection(from, to int, opts Options, stream uint64) (d *direction, err error) {
	d = &direction{opts: opts, rand: rand.New(rand.NewPCG(opts.Seed, stream)), changed: make(chan struct{}, 1)}
	// A socket for all protocols would get what a bridge takes as well.
	for _, protocol := range []uint16{unix.ETH_P_ARP, unix.ETH_P_IP, unix.ETH_P_IPV6} {
		f, err := openLink(from, protocol)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.from = append(d.from, f)
	}
	// Without a protocol it receives nothing, and the kernel reads that of each frame.
	if d.to, err = openLink(to, 0); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func openLink(index int, protocol uint16) (*os.File, error) {
	// It must not receive from every link before it is bound to one.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	network := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuf),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuf),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: index}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bind a packet socket to link %d: %w", index, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("link %d", index)), nil
}

func (d *direction) start() {
	for _, f := range d.from {
		d.readers.Go(func() { d.read(f) })
	}
	d.writer.Go(d.write)
}

// flush sends on without delay, and returns when nothing waits.
func (d *direction) flush() {
	d.mu.Lock()
	d.hurry = true
	idle := make(chan struct{})
	d.idle = idle
	d.mu.Unlock()
	d.wake()
	select {
	case <-idle:
	case <-time.After(flushFor):
	}
}

// close sends on what was received so far and ends.
func (d *direction) close() error {
	for _, f := range d.from {
		d.fail(f.SetReadDeadline(time.Now()))
	}
	d.readers.Wait()
	b := make([]byte, maxFrame)
	for _, f := range d.from {
		raw, err := f.SyscallConn()
		if err != nil {
			d.fail(err)
			continue
		}
		d.fail(raw.Control(func(fd uintptr) {
			for {
				n, err := unix.Read(int(fd), b)
				switch err {
				case nil:
					d.add(b[:n])
				case unix.EINTR, unix.ENETDOWN: // the latter is told once
				default:
					return
				}
			}
		}))
		d.fail(f.Close())
	}
	d.mu.Lock()
	d.hurry, d.over = true, true
	d.mu.Unlock()
	d.wake()
	d.writer.Wait()
	if d.to != nil {
		d.fail(d.to.Close())
	}
	return d.err
}

func (d *direction) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = errors.Join(d.err, err)
}

func (d *direction) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *direction) read(f *os.File) {
	b := make([]byte, maxFrame)
	for {
		n, err := f.Read(b)
		switch {
		case err == nil:
			d.add(b[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case errors.Is(err, unix.ENETDOWN): // it may come up again
		case errors.Is(err, io.EOF):
		default:
			d.fail(err)
			return
		}
	}
}

func (d *direction) add(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.waiting+len(data) > maxWaiting || !d.hurry && d.opts.Loss > 0 && d.rand.Float64()*100 < d.opts.Loss {
		d.stats.Dropped++
		return
	}
	d.queue = append(d.queue, frame{d.due(now, len(data)), append([]byte(nil), data...)})
	d.waiting += len(data)
	d.wake()
}

// due is when a frame that came now goes on, never before the one that came before it.
func (d *direction) due(now time.Time, size int) time.Time {
	if d.opts.Rate > 0 {
		if d.free.Before(now) {
			d.free = now
		}
		d.free = d.free.Add(time.Duration(float64(size) / float64(d.opts.Rate) * float64(time.Second)))
		now = d.free
	}
	due := now.Add(d.opts.Delay)
	if d.opts.Jitter > 0 {
		due = due.Add(time.Duration(d.rand.Int64N(int64(d.opts.Jitter))))
	}
	if due.Before(d.last) {
		due = d.last
	}
	d.last = due
	return due
}

func (d *direction) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		data, wait, over := d.next()
		switch {
		case over:
			return
		case data != nil:
			_, err := d.to.Write(data)
			d.mu.Lock()
			if err == nil {
				d.stats.Carried++
			} else { // a link that is down or has no room takes nothing
				d.stats.Dropped++
			}
			d.mu.Unlock()
		default:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-d.changed:
			}
		}
	}
}

// next gives the frame that is due, or how long to wait for it, or that there will be none.
func (d *direction) next() (data []byte, wait time.Duration, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		if d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
		return nil, time.Hour, d.over
	}
	if wait = time.Until(d.queue[0].due); wait > 0 && !d.hurry {
		return nil, wait, false
	}
	data = d.queue[0].data
	d.queue[0] = frame{}
	d.queue = d.queue[1:]
	d.waiting -= len(data)
	return data, 0, false
}
