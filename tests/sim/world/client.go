package world

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

// patience is how long an application waits for a connection or an answer.
const patience = time.Second

// client is an application that knows both servers: it writes to the one that
// took its last row, and to the other when that does not.
type client struct {
	w    *world
	p    *engine.Process
	at   int // which server
	conn *mysql.App
}

func (c *client) run() {
	rt := c.p.Runtime()
	for {
		if c.w.writing {
			c.write(c.w.row())
		}
		_ = sched.Sleep(context.Background(), rt, c.w.spec.WriteEvery/2+rt.Rand(c.w.spec.WriteEvery))
	}
}

// write tries to write one row, at one server after the other.
func (c *client) write(row uint64) {
	for range 2 {
		s := c.w.db[c.at]
		switch c.try(s, row) {
		case mysql.Acknowledged:
			return
		case mysql.Unknown:
			c.close()
			c.at = 1 - c.at
			return
		}
		c.close()
		c.at = 1 - c.at
	}
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) try(s *server, row uint64) mysql.Result {
	ctx := c.p.Within(context.Background(), patience)
	if c.conn == nil {
		conn, err := mysql.DialApp(ctx, c.p, s.Machine, appUser)
		if err != nil {
			return mysql.Refused
		}
		c.conn = conn
	}
	began := c.p.Now()
	result := c.conn.Write(ctx, row, 0, s.answers(row)).Result
	if c.w.spec.AckWait > 0 && result != mysql.Refused && c.p.Now()-began >= 100*time.Millisecond {
		c.w.count(SawAckWaited)
	}
	return result
}
