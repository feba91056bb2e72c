package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

var errRelease = errors.New("the waits of commits were not ended as they should")

// closeOver sets read_only and meanwhile, over a connection of its own, ends what holds
// that up. The order comes first: while it waits nobody begins to write, so that whoever
// may be told of a commit is on the list of those that are killed.
func (w *worker) closeOver(ctx context.Context, wait time.Duration) error {
	work := w.links.work
	order := sched.Begin(w.rt, func() (struct{}, error) { return struct{}{}, work.SetReadOnly(ctx, wait) })
	fault := w.endBlockers(ctx, order, work.ID())
	_, err := order.Get(context.Background(), -1)
	if errors.Is(fault, errRelease) {
		w.log.Error().Err(fault).Msg("commits may wait for no acknowledgement from now on")
	}
	if errors.Is(err, ErrLockWait) && fault != nil {
		// A server that is full has no place for another connection.
		if kept := w.killBlockersOn(ctx, work); kept != nil {
			// What keeps sessions from being ended is the cause, and perhaps the want of a privilege.
			return fmt.Errorf("%w; %w", kept, err)
		}
	}
	return err
}

// killBlockersOn ends what may hold up the next order, over conn.
func (w *worker) killBlockersOn(ctx context.Context, conn Conn) error {
	ctx, cancel := w.call(ctx)
	defer cancel()
	all, err := w.mortals(ctx, conn)
	if err != nil {
		return err
	}
	_, err = w.killBlockers(ctx, conn, all)
	return err
}

// endBlockers ends, until the order has ended, the sessions that may hold it up: those of
// applications, and those of our own user, one of which may be an order to write the epoch
// row that was given up. On a server where commits wait for a replica's acknowledgement
// the end of a session need not end its wait. That is ended once nobody is left who could be told.
func (w *worker) endBlockers(ctx context.Context, order *sched.Result[struct{}], self uint64) error {
	began := w.now()
	conn, err := w.links.node.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	newest := uint64(0) // of those that were there when the order was first seen to wait
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if _, err := order.Get(ctx, pause); !errors.Is(err, sched.ErrLate) {
			return nil
		}
		all, err := w.mortals(ctx, conn)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(s Session) bool { return s.ID == self && s.Queues }) {
			continue
		}
		if newest == 0 {
			for _, s := range all {
				newest = max(newest, s.ID)
			}
		}
		oldest, err := w.killBlockers(ctx, conn, all)
		if err != nil {
			return err
		}
		// An order that waits no longer keeps nobody from writing.
		told := oldest != 0 && oldest <= newest || w.now()-began > closeLockWait/2
		if !told && slices.ContainsFunc(all, releasable) {
			if err := conn.ReleaseCommits(ctx); err != nil {
				return fmt.Errorf("%w: %w", errRelease, err)
			}
		}
	}
}

// releasable reports whether the session waits for an acknowledgement, be it the applying
// thread: what it applies waits as everybody's commits do, and its client is nobody.
func releasable(s Session) bool {
	return s.Awaits && (s.Kind != SessionOther || !safeguard.Off(safeguard.ApplierReleased))
}

// killBlockers kills the sessions among all that may hold up a closing and were not
// killed before, and returns the oldest that was asked for something; 0 when there was
// none. That may be one of an administrator of MySQL, who is kept from us and lives on.
// One that waits for an acknowledgement comes last: its end has MariaDB tell the others of its group of a success.
func (w *worker) killBlockers(ctx context.Context, conn Conn, all []Session) (oldest uint64, err error) {
	for _, awaits := range []bool{false, true} {
		for _, s := range all {
			own := s.Kind == SessionOwnUser && !w.links.owns(s.ID) && !safeguard.Off(safeguard.OwnSessions)
			if s.Awaits != awaits || s.Killed || s.Kind != SessionApplication && !own {
				continue
			}
			if err := conn.Kill(ctx, s.ID); err != nil {
				return 0, err
			}
			if s.Command != "Sleep" && (oldest == 0 || s.ID < oldest) {
				oldest = s.ID
			}
		}
	}
	return oldest, nil
}
