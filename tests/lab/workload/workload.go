package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

// The longest that clients wait for an answer.
const (
	followTimeout = time.Second
	probeTimeout  = 10 * time.Second
	heldTimeout   = 30 * time.Second
)

// DialFunc connects to an address from where a client runs; it ends with its context.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Options describe a workload. A count that is 0 is the usual one, a negative one is none.
type Options struct {
	// Nodes are tried in this order, the primary host first.
	Nodes []cluster.Endpoint
	// Dial gives the dial function of a host; nil connects from this process.
	Dial func(host string) DialFunc
	// ClientHosts are where clients run, in turn.
	ClientHosts []string
	// ServerHosts are where the probers run, each with its own server; a server that is
	// not listed has none.
	ServerHosts map[cluster.Endpoint]string
	// Inserters (6) and Registers (4) and Transfers (2) follow the active; Held (2) know one server alone.
	Inserters, Registers, Transfers, Held int
	// Every is the pause of an inserter between two rows, 30 ms when zero; those of the others go with it.
	Every time.Duration
	// Seed draws what clients choose.
	Seed uint64
}

// Workload is a running application. Begin and End are for one caller; the rest is
// safe for use by several goroutines.
type Workload struct {
	opts    Options
	clients []*client
	keeper  *client // makes and forgets the rows of rounds
	life    context.Context
	die     context.CancelFunc

	stop    context.CancelFunc // ends the operations of the round
	running sync.WaitGroup

	mu      sync.Mutex
	acks    map[cluster.Endpoint]time.Time
	changed chan struct{}
}

// Start makes the clients. They connect when a round begins.
func Start(opts Options) (*Workload, error) {
	if len(opts.Nodes) == 0 {
		return nil, errors.New("start workload: no server is named")
	}
	if len(opts.ClientHosts) == 0 {
		opts.ClientHosts = []string{""}
	}
	if opts.Every == 0 {
		opts.Every = 30 * time.Millisecond
	}
	w := &Workload{opts: opts, acks: map[cluster.Endpoint]time.Time{}, changed: make(chan struct{})}
	w.life, w.die = context.WithCancel(context.Background())
	if err := w.hire(); err != nil {
		w.Stop()
		return nil, fmt.Errorf("start workload: %w", err)
	}
	return w, nil
}

// hire makes every client.
func (w *Workload) hire() error {
	hosts := 0
	add := func(nodes []cluster.Endpoint, every, timeout time.Duration) (*client, error) {
		host := w.opts.ClientHosts[hosts%len(w.opts.ClientHosts)]
		hosts++
		return w.newClient(host, nodes, every, timeout)
	}
	every := w.opts.Every
	for range count(w.opts.Inserters, 6) {
		c, err := add(w.opts.Nodes, every, followTimeout)
		if err != nil {
			return err
		}
		c.job = c.inserts(history.Insert)
	}
	for range count(w.opts.Registers, 4) {
		c, err := add(w.opts.Nodes, every*5/3, followTimeout)
		if err != nil {
			return err
		}
		c.job = c.registers()
	}
	for range count(w.opts.Transfers, 2) {
		c, err := add(w.opts.Nodes, every*10/3, followTimeout)
		if err != nil {
			return err
		}
		c.job = c.transfers()
	}
	for i := range count(w.opts.Held, 2) {
		i %= len(w.opts.Nodes)
		c, err := add(w.opts.Nodes[i:i+1], every*5/3, heldTimeout)
		if err != nil {
			return err
		}
		c.job, c.keeps = c.inserts(history.Insert), true
	}
	for i, node := range w.opts.Nodes {
		host, ok := w.opts.ServerHosts[node]
		if !ok {
			continue
		}
		c, err := w.newClient(host, w.opts.Nodes[i:i+1], every*2/3, probeTimeout)
		if err != nil {
			return err
		}
		c.job, c.keeps = c.inserts(history.Probe), true
	}
	var err error
	w.keeper, err = add(w.opts.Nodes, every, followTimeout)
	return err
}

func count(n, usual int) int {
	if n == 0 {
		return usual
	}
	return max(0, n)
}

// Begin makes the rows of a round, on whoever takes writes, and has operations of it
// begin. Each round has a number that none had before.
func (w *Workload) Begin(ctx context.Context, round int) (*history.History, error) {
	if w.stop != nil {
		return nil, fmt.Errorf("begin round %d: another one is running", round)
	}
	for _, statement := range rowsOfRound(round) {
		if _, err := w.insist(ctx, statement); err != nil {
			return nil, fmt.Errorf("begin round %d: %w", round, err)
		}
	}
	h := history.New(round)
	var stop context.Context
	stop, w.stop = context.WithCancel(w.life)
	for _, c := range w.clients {
		if c != w.keeper {
			w.running.Go(func() { c.run(stop, h) })
		}
	}
	return h, nil
}

// End stops the operations of the round and waits for those that are under way, for
// 31 s at most. When ctx ends first these are given up, and their outcome is unknown.
// The history is complete then.
func (w *Workload) End(ctx context.Context) error {
	if w.stop == nil {
		return errors.New("end round: none is running")
	}
	w.stop()
	w.stop = nil
	over := make(chan struct{})
	go func() {
		w.running.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
		w.die()
		<-over
		w.life, w.die = context.WithCancel(context.Background())
	}
	return nil
}

// Forget deletes the rows of rounds before the given one, on whoever takes writes.
func (w *Workload) Forget(ctx context.Context, round int) error {
	for _, statement := range forgetting(round) {
		for {
			n, err := w.insist(ctx, statement)
			if err != nil {
				return fmt.Errorf("forget rounds before %d: %w", round, err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// insist repeats a statement, which may be repeated, until it is acknowledged.
func (w *Workload) insist(ctx context.Context, statement string) (int64, error) {
	c := w.keeper
	for {
		err := c.connect(ctx)
		if err == nil {
			n, execErr := c.exec(ctx, statement)
			if execErr == nil {
				return n, nil
			}
			err = execErr
		}
		if c.next(); c.at != 0 {
			continue
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return 0, fmt.Errorf("%w; last error: %v", ctx.Err(), err)
		}
	}
}

func (c *client) exec(ctx context.Context, statement string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	done, err := c.conn.ExecContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (w *Workload) acknowledged(server cluster.Endpoint, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.acks[server]) {
		w.acks[server] = at
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// LastAck is when a write was acknowledged last; zero when never.
func (w *Workload) LastAck() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last("")
}

// LastAckOf is when the server acknowledged a write last; zero when never.
func (w *Workload) LastAckOf(server cluster.Endpoint) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last(server)
}

func (w *Workload) last(server cluster.Endpoint) time.Time {
	if server != "" {
		return w.acks[server]
	}
	var last time.Time
	for _, at := range w.acks {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// WaitAck waits until a write is acknowledged after the given time, by server when one is named.
func (w *Workload) WaitAck(ctx context.Context, after time.Time, server cluster.Endpoint) error {
	for {
		w.mu.Lock()
		last, changed := w.last(server), w.changed
		w.mu.Unlock()
		if last.After(after) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a write that %q acknowledges: %w; the last one was %s before", server, ctx.Err(), after.Sub(last))
		}
	}
}

// Stop ends the round that is running, if any, and every client. What is under way is given up.
func (w *Workload) Stop() {
	w.die()
	w.running.Wait()
	w.stop = nil
	for _, c := range w.clients {
		c.close()
	}
}
