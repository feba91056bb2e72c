package harness

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const clientTimeout = time.Second

func init() { _ = mysql.SetLogger(log.New(io.Discard, "", 0)) }

// Row names one row that a client inserted.
type Row struct {
	Client int
	Seq    int64
}

// Ack is one acknowledged row.
type Ack struct {
	Row
	At   time.Time
	Node cluster.Endpoint
}

// WriterOptions describe an application.
type WriterOptions struct {
	// Nodes are tried in this order, the primary host first; a client stays with
	// the one that took its last row.
	Nodes []cluster.Endpoint
	// First numbers the first client; several writers must not share numbers.
	First int
	// Clients is how many write side by side; 1 when zero.
	Clients int
	// Every is the pause of one client between two rows; 0 is none.
	Every time.Duration
	// Timeout bounds each connect and each statement; 1 s when zero.
	Timeout time.Duration
	// Retry is the pause after a refused attempt; 5 ms when zero.
	Retry time.Duration
	// Keep has a client keep a connection on which a row was refused, as pools do, and have one with each node.
	Keep bool
	// At is the host from which the clients connect; this machine when nil.
	At Place
}

// Writer is an application that inserts numbered rows as an ordinary user and
// fails over by itself, as a driver with a list of hosts does. A row whose
// outcome is unknown (the connection ended after the statement was sent) is
// never repeated: it is counted apart.
type Writer struct {
	opts WriterOptions
	stop context.CancelFunc
	wait sync.WaitGroup

	mu      sync.Mutex
	acks    []Ack
	unknown []Row
	lastErr error
	changed chan struct{}
}

// StartWriter starts an application. It ends with Stop or with the laboratory.
func (l *Lab) StartWriter(opts WriterOptions) (*Writer, error) {
	if opts.Clients == 0 {
		opts.Clients = 1
	}
	if opts.Timeout == 0 {
		opts.Timeout = clientTimeout
	}
	if opts.Retry == 0 {
		opts.Retry = 5 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Writer{opts: opts, stop: cancel, changed: make(chan struct{})}
	for n := range opts.Clients {
		c := &client{writer: w, number: opts.First + n}
		for _, node := range opts.Nodes {
			cfg := appConfig(node, AppUser, opts.Timeout)
			if opts.At != nil {
				cfg.DialFunc = opts.At.Dial
			}
			connector, err := mysql.NewConnector(cfg)
			if err != nil {
				cancel()
				return nil, fmt.Errorf("prepare writer: %w", err)
			}
			c.pools, c.conns = append(c.pools, sql.OpenDB(connector)), append(c.conns, nil)
		}
		w.wait.Go(func() { c.run(ctx) })
	}
	l.onClose(w.Stop)
	return w, nil
}

// Stop ends the application and waits for it.
func (w *Writer) Stop() {
	w.stop()
	w.wait.Wait()
}

// Acks are the acknowledged rows so far, in the order of their acknowledgement.
func (w *Writer) Acks() []Ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Ack(nil), w.acks...)
}

// Unknown are the rows whose outcome is not known.
func (w *Writer) Unknown() []Row {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Row(nil), w.unknown...)
}

// WaitAck waits for the first row acknowledged after the given time; by node
// only when one is named.
func (w *Writer) WaitAck(ctx context.Context, after time.Time, node cluster.Endpoint) (Ack, error) {
	looked := 0
	for {
		w.mu.Lock()
		acks, changed, lastErr := w.acks, w.changed, w.lastErr
		w.mu.Unlock()
		for ; looked < len(acks); looked++ {
			if a := acks[looked]; a.At.After(after) && (node == "" || a.Node == node) {
				return a, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Ack{}, fmt.Errorf("wait for an acknowledged row from %q: %w; last error of a client: %v", node, ctx.Err(), lastErr)
		}
	}
}

// WaitMore waits until n more rows than now are acknowledged.
func (w *Writer) WaitMore(ctx context.Context, n int) error {
	w.mu.Lock()
	want := len(w.acks) + n
	w.mu.Unlock()
	return Until(ctx, fmt.Sprintf("%d more rows are acknowledged", n), func(context.Context) (bool, string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acks) >= want, fmt.Sprintf("%d are missing, last error: %v", want-len(w.acks), w.lastErr)
	})
}

func (w *Writer) ack(a Ack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
	close(w.changed)
	w.changed = make(chan struct{})
}

// client is one connection's worth of application.
type client struct {
	writer *Writer
	number int
	pools  []*sql.DB
	at     int         // index of the node in use
	conns  []*sql.Conn // with each node; nil where there is none
}

func (c *client) run(ctx context.Context) {
	defer func() {
		for c.at = range c.pools {
			c.drop()
		}
		for _, pool := range c.pools {
			_ = pool.Close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for seq := int64(1); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		outcome, err := c.insert(ctx, seq)
		if ctx.Err() != nil && outcome != rowTaken {
			if outcome == rowUnknown {
				c.lose(seq, err)
			}
			return
		}
		pause := c.writer.opts.Every
		switch outcome {
		case rowTaken:
			c.writer.ack(Ack{Row: Row{c.number, seq}, At: time.Now(), Node: c.writer.opts.Nodes[c.at]})
			seq++
		case rowUnknown:
			c.lose(seq, err)
			seq++
			c.drop()
			c.next()
			pause = 0
		case rowRefused:
			c.writer.mu.Lock()
			c.writer.lastErr = err
			c.writer.mu.Unlock()
			var answer *mysql.MySQLError
			if !c.writer.opts.Keep || !errors.As(err, &answer) {
				c.drop()
			}
			c.next()
			pause = 0
			if c.at == 0 {
				pause = c.writer.opts.Retry
			}
		}
		timer.Reset(pause)
	}
}

func (c *client) lose(seq int64, err error) {
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	c.writer.unknown = append(c.writer.unknown, Row{c.number, seq})
	c.writer.lastErr = err
}

type outcome int

const (
	rowTaken outcome = iota
	rowRefused
	rowUnknown
)

func (c *client) insert(ctx context.Context, seq int64) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.writer.opts.Timeout)
	defer cancel()
	if c.conns[c.at] == nil {
		conn, err := c.pools[c.at].Conn(ctx)
		if err != nil {
			return rowRefused, err
		}
		c.conns[c.at] = conn
	}
	_, err := c.conns[c.at].ExecContext(ctx, fmt.Sprintf("INSERT INTO entry (client, seq) VALUES (%d, %d)", c.number, seq))
	return judge(err), err
}

// next turns to the following node.
func (c *client) next() { c.at = (c.at + 1) % len(c.pools) }

// drop keeps no connection with the node in use: the next attempt looks at it anew, as drivers do.
func (c *client) drop() {
	if conn := c.conns[c.at]; conn != nil {
		c.conns[c.at] = nil
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
	}
}

// judge tells a row that certainly was not taken from one that may have been.
func judge(err error) outcome {
	var answer *mysql.MySQLError
	var dial *net.OpError
	switch {
	case err == nil:
		return rowTaken
	case errors.As(err, &answer):
		switch answer.Number {
		case 1053, 1317, 1927, 3169: // shutdown, interrupted, killed: maybe after the commit
			return rowUnknown
		}
		return rowRefused
	case errors.Is(err, driver.ErrBadConn): // the driver promises that nothing was sent
		return rowRefused
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return rowRefused
	}
	return rowUnknown
}

// appConfig is the connection of an ordinary user to the application's database.
func appConfig(node cluster.Endpoint, user string, timeout time.Duration) *mysql.Config {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", string(node)
	cfg.User, cfg.Passwd, cfg.DBName = user, Password, AppDB
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = timeout, timeout, timeout
	return cfg
}
