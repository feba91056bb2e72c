package workload

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

const (
	connectTimeout = time.Second
	// retryPause is the pause of a client that every server has refused.
	retryPause = 10 * time.Millisecond
)

// errNothing says that an operation had nothing to do, and was rolled back.
var errNothing = errors.New("there was nothing to do")

// job is what a client does: plan says what it would be, do does it.
type job struct {
	plan func(*history.Op)
	do   func(context.Context, *history.Op) error
}

// client is one user with one connection.
type client struct {
	w       *Workload
	number  int
	host    string
	nodes   []cluster.Endpoint
	pools   []*sql.DB
	every   time.Duration
	timeout time.Duration
	// keeps: a statement that is refused does not end the connection.
	keeps bool
	job

	rand *rand.Rand
	at   int // index of the server in use
	conn *sql.Conn
	seq  int64
	// known is the register that was read last, to be swapped next.
	known *history.Op
}

func (w *Workload) newClient(host string, nodes []cluster.Endpoint, every, timeout time.Duration) (*client, error) {
	n := len(w.clients) + 1
	c := &client{w: w, number: n, host: host, nodes: nodes, every: every, timeout: timeout,
		rand: rand.New(rand.NewPCG(w.opts.Seed, uint64(n)))}
	for _, node := range nodes {
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr = "tcp", string(node)
		cfg.User, cfg.Passwd, cfg.DBName = harness.AppUser, harness.Password, harness.AppDB
		cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = connectTimeout, timeout, timeout
		if w.opts.Dial != nil {
			cfg.DialFunc = w.opts.Dial(host)
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, fmt.Errorf("prepare client of %s: %w", node, err)
		}
		c.pools = append(c.pools, sql.OpenDB(connector))
	}
	w.clients = append(w.clients, c)
	return c, nil
}

// run does operations until stop ends; the one under way then is done to its end.
func (c *client) run(stop context.Context, h *history.History) {
	c.known = nil
	timer := time.NewTimer(rand.N(c.every))
	defer timer.Stop()
	for {
		select {
		case <-stop.Done():
			return
		case <-timer.C:
		}
		if stop.Err() != nil {
			return
		}
		asked := c.at
		h.Add(c.attempt(h.Round()))
		pause := c.every
		switch {
		case c.at == asked:
		case c.at == 0:
			pause = retryPause
		default:
			pause = 0
		}
		timer.Reset(pause)
	}
}

// attempt does one operation on the server in use, and turns to the next one when
// that does not take it.
func (c *client) attempt(round int) history.Op {
	c.seq++
	op := history.Op{Round: round, Client: c.number, Host: c.host, Server: c.nodes[c.at], Seq: c.seq, Invoke: time.Now()}
	c.plan(&op)
	err := c.connect(c.w.life)
	if err == nil {
		ctx, cancel := context.WithTimeout(c.w.life, c.timeout)
		op.Invoke = time.Now()
		err = c.do(ctx, &op)
		cancel()
	} else {
		op.Outcome = history.Refused
	}
	op.Return = time.Now()
	if err != nil {
		op.Error = err.Error()
	}
	if op.Wrote() {
		c.w.acknowledged(op.Server, op.Return)
	}
	switch {
	case op.Outcome == history.OK:
	case errors.Is(err, errNothing), isCollision(err):
		c.drop()
	case op.Outcome == history.Refused && c.keeps && !errors.Is(err, driver.ErrBadConn):
	default:
		c.next()
	}
	return op
}

func (c *client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.pools[c.at].Conn(ctx)
	if err != nil {
		return err
	}
	c.conn = conn
	// Reading the epoch row and the accounts locks nothing then.
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		c.drop()
		return err
	}
	return nil
}

func (c *client) next() {
	c.drop()
	c.at = (c.at + 1) % len(c.nodes)
}

// drop ends the connection for good: the pool does not keep it.
func (c *client) drop() {
	if c.conn != nil {
		_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *client) close() {
	c.drop()
	for _, pool := range c.pools {
		_ = pool.Close()
	}
}

// inserts is one statement that commits by itself.
func (c *client) inserts(kind history.Kind) job {
	return job{
		plan: func(op *history.Op) { op.Kind = kind },
		do: func(ctx context.Context, op *history.Op) error {
			_, err := c.conn.ExecContext(ctx, insertRow(op.Round, op.Client, op.Seq))
			op.Outcome = judge(err)
			return err
		},
	}
}

// registers reads a register, and swaps it next.
func (c *client) registers() job {
	return job{
		plan: func(op *history.Op) {
			op.Kind, op.Key = history.Read, c.rand.Int64N(history.Registers)
			if c.known != nil {
				op.Kind, op.Key, op.Old = history.CAS, c.known.Key, c.known.Value
				op.New = int64(op.Client)<<32 | op.Seq // nobody else's
				c.known = nil
			}
		},
		do: func(ctx context.Context, op *history.Op) error {
			if op.Kind == history.CAS {
				return c.swap(ctx, op)
			}
			err := c.transaction(ctx, op, func() error {
				if err := c.touch(ctx, registerTable, op.Round, op.Key); err != nil {
					return err
				}
				return c.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT v FROM %s WHERE round = %d AND k = %d", registerTable, op.Round, op.Key)).Scan(&op.Value)
			})
			if op.Outcome == history.OK {
				read := *op
				c.known = &read
			}
			return err
		},
	}
}

func (c *client) swap(ctx context.Context, op *history.Op) error {
	done, err := c.conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET v = %d, n = n + 1 WHERE round = %d AND k = %d AND v = %d",
		registerTable, op.New, op.Round, op.Key, op.Old))
	op.Outcome = judge(err)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	op.Swapped = n > 0
	return err
}

// transfers moves money, and looks at the sum every fourth time.
func (c *client) transfers() job {
	return job{
		plan: func(op *history.Op) {
			op.Key = c.rand.Int64N(history.Accounts)
			if op.Seq%4 == 0 {
				op.Kind = history.Total
				return
			}
			op.Kind = history.Transfer
			op.New = (op.Key + 1 + c.rand.Int64N(history.Accounts-1)) % history.Accounts
			op.Value = 1 + c.rand.Int64N(20)
		},
		do: func(ctx context.Context, op *history.Op) error {
			return c.transaction(ctx, op, func() error {
				if op.Kind == history.Transfer {
					return c.move(ctx, op)
				}
				if err := c.touch(ctx, accountTable, op.Round, op.Key); err != nil {
					return err
				}
				// One statement sees one snapshot, its own write included.
				return c.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT COALESCE(SUM(balance), 0) FROM %s WHERE round = %d", accountTable, op.Round)).Scan(&op.Value)
			})
		},
	}
}

func (c *client) move(ctx context.Context, op *history.Op) error {
	rows, err := c.conn.QueryContext(ctx, fmt.Sprintf("SELECT k, balance FROM %s WHERE round = %d AND k IN (%d, %d) ORDER BY k FOR UPDATE",
		accountTable, op.Round, op.Key, op.New))
	if err != nil {
		return err
	}
	defer rows.Close()
	balance := map[int64]int64{}
	for rows.Next() {
		var k, b int64
		if err := rows.Scan(&k, &b); err != nil {
			return err
		}
		balance[k] = b
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(balance) != 2 || balance[op.Key] < op.Value {
		return errNothing
	}
	for _, change := range []struct{ key, by int64 }{{op.Key, -op.Value}, {op.New, op.Value}} {
		if _, err := c.conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET balance = %d WHERE round = %d AND k = %d",
			accountTable, balance[change.key]+change.by, op.Round, change.key)); err != nil {
			return err
		}
	}
	return nil
}

// touch is the write of an operation that reads.
func (c *client) touch(ctx context.Context, table string, round int, key int64) error {
	done, err := c.conn.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET n = n + 1 WHERE round = %d AND k = %d", table, round, key))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errNothing, err)
	}
	return nil
}

// transaction does statements and commits them. Before the commit is sent nothing is
// done, whatever happens: the connection ends with it.
func (c *client) transaction(ctx context.Context, op *history.Op, statements func() error) error {
	op.Outcome = history.Refused
	if _, err := c.conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := statements(); err != nil {
		return err
	}
	_, err := c.conn.ExecContext(ctx, "COMMIT")
	op.Outcome = judge(err)
	return err
}
