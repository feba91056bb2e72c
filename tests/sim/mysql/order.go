package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// How long orders hold, as in mysqlnode.
const (
	openLimit     = 2 * time.Second
	queueLockWait = time.Hour
	restoreTime   = 5 * time.Second
)

// SetReadOnly closes the server. An order whose answer did not come is withdrawn
// over a second connection.
func (c *Conn) SetReadOnly(ctx context.Context, lockWait time.Duration) error {
	const op = "set read_only on"
	if err := c.usable(ctx, op); err != nil {
		return err
	}
	lockWait = max(time.Second, (lockWait+time.Second-1)/time.Second*time.Second)
	err := tell(ctx, c, op, func(now time.Duration, x *Session, done func(error)) { x.SetReadOnly(now, lockWait, done) })
	var e *mysqlnode.Error
	if errors.As(err, &e) && e.Number == 0 && c.stream.Err() != nil {
		if undone := c.withdraw(context.WithoutCancel(ctx), nil); undone != nil {
			e.Err = fmt.Errorf("%w; the order could not be withdrawn: %w", e.Err, undone)
		}
	}
	return err
}

// withdraw ends this session, which is lost, and then runs a statement in its place.
func (c *Conn) withdraw(ctx context.Context, then func(x *Session, now time.Duration, done func(error))) error {
	rt := c.n.p.Runtime()
	ctx, cancel := rt.Timeout(ctx, c.n.o.ConnectTimeout)
	defer cancel()
	second, err := c.n.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = second.Close() }()
	for {
		lives, err := ask(ctx, second, "look for a lost session on", func(_ time.Duration, _ *Session, done func(bool, error)) { done(!c.server.x.Ended(), nil) })
		if err != nil {
			return err
		}
		if !lives {
			break
		}
		if err := second.Kill(ctx, c.id); err != nil {
			return err
		}
		if err := sched.Sleep(ctx, rt, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if then == nil {
		return nil
	}
	return tell(ctx, second, "withdraw an order on", func(now time.Duration, x *Session, done func(error)) { then(x, now, done) })
}

// QueueReadOnly leaves the order with the server.
func (c *Conn) QueueReadOnly(done func(error)) error {
	const op = "queue read_only on"
	if err := c.usable(context.Background(), op); err != nil {
		return err
	}
	c.queued = done
	c.stream.Send(func() {
		s := c.server
		s.x.SetReadOnly(s.m.p.Now(), queueLockWait, func(err error) {
			s.end.Send(func() { c.dequeue(err) })
		})
		s.served()
	})
	c.stream.OnBroken(func() { c.dequeue(engine.ErrReset) })
	return nil
}

func (c *Conn) dequeue(err error) {
	if done := c.queued; done != nil {
		c.queued = nil
		done(c.n.word("queue read_only on", err))
	}
}

// limit fixes on the server's clock until when an order that opens holds.
func (c *Conn) limit(ctx context.Context, op string) error {
	within := openLimit
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Duration(deadline.UnixNano())-c.n.p.Now())
	}
	return tell(ctx, c, op, func(now time.Duration, x *Session, done func(error)) {
		x.Limit(now, within)
		done(nil)
	})
}

// Unseal takes super_read_only away; nothing where there is none.
func (c *Conn) Unseal(ctx context.Context) error {
	if c.n.m.opt.Flavor == cluster.MariaDB {
		return nil
	}
	const op = "set super_read_only=0 on"
	if err := c.limit(ctx, op); err != nil {
		return err
	}
	return tell(ctx, c, op, func(now time.Duration, x *Session, done func(error)) { done(x.Unseal(now)) })
}

// SetWritable opens the server.
func (c *Conn) SetWritable(ctx context.Context) error {
	const op = "set read_only=0 on"
	if err := c.limit(ctx, op); err != nil {
		return err
	}
	return tell(ctx, c, op, func(now time.Duration, x *Session, done func(error)) { done(x.SetWritable(now)) })
}

// Accounts lists every account.
func (c *Conn) Accounts(ctx context.Context) ([]cluster.AccountState, error) {
	return ask(ctx, c, "list the accounts of", func(_ time.Duration, x *Session, done func([]cluster.AccountState, error)) {
		done(x.Accounts(), nil)
	})
}

// LockAccounts keeps accounts from logging in.
func (c *Conn) LockAccounts(ctx context.Context, all []cluster.Account) error {
	return c.alter(ctx, "lock accounts of", all, true)
}

// ReleaseAccounts lets them log in again.
func (c *Conn) ReleaseAccounts(ctx context.Context, all []cluster.AccountState) error {
	var locked []cluster.Account
	for _, a := range all {
		if a.Locked {
			locked = append(locked, a.Account)
		}
	}
	return c.alter(ctx, "release accounts of", locked, false)
}

// alter changes accounts without super_read_only, and puts that back.
func (c *Conn) alter(ctx context.Context, op string, list []cluster.Account, lock bool) error {
	if len(list) == 0 {
		return nil
	}
	_, super, err := c.ReadOnly(ctx)
	if err != nil {
		return err
	}
	sealed := super == cluster.Yes
	if sealed {
		err = c.Unseal(ctx)
	}
	if err == nil {
		err = tell(ctx, c, op, func(_ time.Duration, x *Session, done func(error)) { done(x.AlterAccounts(list, lock)) })
	}
	rest, cancel := c.n.p.Runtime().Timeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	fault := tell(rest, c, op, func(now time.Duration, x *Session, done func(error)) {
		if sealed {
			x.Reseal(now, done)
			return
		}
		done(nil)
	})
	if fault == nil {
		return err
	}
	_ = c.Close()
	var then func(*Session, time.Duration, func(error))
	if sealed {
		then = (*Session).Reseal
	}
	if undone := c.withdraw(rest, then); undone != nil && sealed {
		fault = fmt.Errorf("%w; super_read_only is not set again: %w", fault, undone)
	}
	return errors.Join(err, fault)
}

var _ agent.Accountant = (*Conn)(nil)
