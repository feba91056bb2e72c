package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// diskFull is healed when the server goes on: who waits looks once a minute whether there is room again.
func (c *Cast) diskFull(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	if err := db.Disk.Fill(ctx); err != nil {
		return nil, errors.Join(err, db.Disk.Empty(ctx))
	}
	return func(ctx context.Context) error {
		if err := db.Disk.Empty(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 80*time.Second)
		defer cancel()
		_, _ = db.Channel(ctx) // a receiver of MariaDB that waits keeps everybody from seeing its channel
		return harness.Until(ctx, "the server has noticed that there is room", func(ctx context.Context) (bool, string) {
			if !db.Process().Running() {
				return true, ""
			}
			waiting, err := db.WaitsForRoom(ctx)
			return err == nil && !waiting, fmt.Sprint(err)
		})
	}, nil
}

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
