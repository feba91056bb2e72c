package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// diskFull is healed when the server goes on: who waits looks once a minute whether there is room again.
func (c *Cast) diskFull(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	if err := db.Disk.Fill(ctx); err != nil {
		return nil, errors.Join(err, db.Disk.Empty(ctx))
	}
	return func(ctx context.Context) error {
		if err := errors.Join(db.Disk.Thaw(ctx), db.Disk.Empty(ctx)); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 80*time.Second)
		defer cancel()
		c.receives(ctx, db)
		return harness.Until(ctx, "the server has noticed that there is room", func(ctx context.Context) (bool, string) {
			if !db.Process().Running() {
				return true, ""
			}
			waiting, err := db.WaitsForRoom(ctx)
			return err == nil && !waiting, fmt.Sprint(err)
		})
	}, nil
}

// receives waits, for as long as a receiver sleeps on a full disk at most, until db has what the other server
// has now: it looks as well as ever on MySQL, and keeps everybody from seeing its channel on MariaDB.
func (c *Cast) receives(ctx context.Context, db *site.DB) {
	ctx, cancel := context.WithTimeout(ctx, sleepsOnFullDisk)
	defer cancel()
	other := c.Active
	if db == other {
		other = c.Passive
	}
	want, err := other.Executed(ctx)
	if err != nil || !db.Process().Running() {
		return
	}
	_, _ = db.Channel(ctx)
	_ = harness.Until(ctx, "it receives", func(ctx context.Context) (bool, string) {
		have, err := db.Executed(ctx)
		if err != nil {
			return !db.Process().Running(), err.Error()
		}
		lacks, err := reconcile.Lacks(cluster.Flavor(c.Site.Lab.Flavor()), have, want)
		return err != nil || lacks == "", lacks
	})
}

// sleepsOnFullDisk is longer than the minute for which servers sleep on a full disk.
const sleepsOnFullDisk = 65 * time.Second

// diskFrozen needs no heal: the disk thaws by itself.
func (c *Cast) diskFrozen(ctx context.Context, role string, d time.Duration) (heal, error) {
	disk := c.db(role).Disk
	if err := disk.Freeze(ctx, d); err != nil {
		return nil, err
	}
	return disk.Thaw, nil
}

// diskAborted is healed by a repair, for which the server must end.
func (c *Cast) diskAborted(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	if err := db.Disk.Abort(ctx); err != nil {
		return nil, err
	}
	unit := c.Site.Unit("server@" + db.Host.Name())
	unit.Hold()
	return func(ctx context.Context) error {
		defer unit.Release()
		if p := db.Process(); p.Running() {
			_ = p.Signal(syscall.SIGKILL)
			select {
			case <-p.Done():
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return db.Disk.Repair(ctx)
	}, nil
}
