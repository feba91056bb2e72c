package fault

import (
	"context"
	"errors"
	"syscall"
	"time"
)

func (c *Cast) diskFull(ctx context.Context, role string) (heal, error) {
	disk := c.db(role).Disk
	if err := disk.Fill(ctx); err != nil {
		return nil, errors.Join(err, disk.Empty(ctx))
	}
	return disk.Empty, nil
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
