package world

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
	"github.com/mmm-manager/mmm-manager/tests/sim/mysql"
)

// Faults of replication, and what keeps a server from closing.

func slowApplier(w *world, f Fault) func() {
	s := w.on(f)
	s.setApply(200 * time.Millisecond)
	return func() { s.setApply(0) }
}

// stallWrites has commits stand still, by a disk that does or one that is full.
func stallWrites(w *world, f Fault) func() {
	s := w.on(f)
	how := mysql.Frozen
	if f.N > 0 {
		how = mysql.Full
	}
	s.stall(how)
	return func() { s.stall(mysql.Flows) }
}

// stopThreads has a person stop the applier, the receiver, or both.
func stopThreads(w *world, f Fault) func() {
	s := w.on(f)
	if s.Up() {
		c := s.Channel(w.e.Now())
		w.judge.Halted(w.e.Now(), s.Addr(), f.N&2 != 0 && c.IO != cluster.ThreadNo && c.SQL == cluster.ThreadNo)
		s.person(func(x *mysql.Session, now time.Duration) { x.StopThreads(now, f.N&2 != 0, f.N&1 != 0, func(error) {}) })
	}
	return nil
}

// as runs what an application does in a process of its own until the fault ends.
func (w *world) as(f Fault, do func(ctx context.Context, p *engine.Process, c *mysql.App)) func() {
	p := w.host("batch").Process("batch", engine.Clock{})
	s := w.on(f)
	p.Go(func() {
		ctx, cancel := p.Runtime().Timeout(context.Background(), patience)
		c, err := mysql.DialApp(ctx, p, s.Machine, appUser)
		cancel()
		if err == nil {
			do(context.Background(), p, c)
			c.Close()
		}
	})
	return p.Kill
}

func lockTable(w *world, f Fault) func() {
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		if c.Lock(ctx).Result == mysql.Acknowledged {
			_ = sched.Sleep(ctx, p.Runtime(), f.For)
			c.Unlock(ctx)
		}
	})
}

func longWrite(w *world, f Fault) func() {
	row := w.row()
	s := w.on(f)
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		c.Write(ctx, row, f.For, s.answers(row))
	})
}

func longTransaction(w *world, f Fault) func() {
	row := w.row()
	s := w.on(f)
	return w.as(f, func(ctx context.Context, p *engine.Process, c *mysql.App) {
		none := func(mysql.Outcome) {}
		if c.Begin(ctx).Result != mysql.Acknowledged || c.Write(ctx, row, 0, none).Result != mysql.Acknowledged {
			return
		}
		_ = sched.Sleep(ctx, p.Runtime(), f.For)
		c.Commit(ctx, s.answers(row))
	})
}

func writeErrant(w *world, f Fault) func() {
	s := w.on(f)
	if s.Up() {
		row := w.row()
		w.judge.Interfered(w.e.Now(), row)
		s.person(func(x *mysql.Session, now time.Duration) {
			x.Write(now, row, 0, func(mysql.Outcome) { w.judge.Landed(w.e.Now(), row) })
		})
	}
	return nil
}
