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

// closeOver sets read_only and meanwhile, over another connection, ends what holds
// that up. The order comes first: while it waits nobody begins to write, so that whoever
// may be told of a commit is on the list of those that are killed.
func (w *worker) closeOver(ctx context.Context, wait time.Duration) error {
	work := w.links.work
	order := sched.Begin(w.rt, func() (struct{}, error) { return struct{}{}, work.SetReadOnly(ctx, wait) })
	fault := w.second(ctx, order, func(conn Conn) error { return w.endBlockers(ctx, order, work.ID(), conn) })
	_, err := order.Get(context.Background(), -1)
	if errors.Is(fault, errRelease) {
		w.log.Error().Err(fault).Msg("commits may wait for no acknowledgement from now on")
	}
	if errors.Is(err, ErrLockWait) && fault != nil {
		// A server that is full has no place for another connection, unless somebody goes.
		if kept := w.makeRoom(ctx, work); kept != nil {
			// What keeps sessions from being ended is the cause, and perhaps the want of a privilege.
			return fmt.Errorf("%w; %w", kept, err)
		}
	}
	return err
}

// makeRoom ends, over conn, sessions that may hold up the next order, but for those that wait for an
// acknowledgement: no order keeps others from committing with them now, and who does would be
// told of a success. They go on waiting, and nobody is told of anything.
func (w *worker) makeRoom(ctx context.Context, conn Conn) error {
	ctx, cancel := w.call(ctx)
	defer cancel()
	all, err := w.mortals(ctx, conn)
	if err != nil {
		return err
	}
	_, err = w.killBlockers(ctx, conn, slices.DeleteFunc(all, func(s Session) bool { return s.Awaits }), 0, map[uint64]bool{})
	return err
}

// second has f use a connection beside the working one until order has ended: the spare, for which a
// full server needs no room, or one of its own.
func (w *worker) second(ctx context.Context, order *sched.Result[struct{}], f func(Conn) error) error {
	if w.links.spare != nil && w.links.queue == nil {
		err := f(w.links.spare)
		if err != nil {
			w.links.dropSpare()
		}
		return err
	}
	conn, err := w.links.node.Connect(ctx)
	for err != nil {
		if _, late := order.Get(ctx, dialDying); !errors.Is(late, sched.ErrLate) {
			return err
		}
		conn, err = w.links.node.Connect(ctx)
	}
	defer func() { _ = conn.Close() }()
	return f(conn)
}

// endBlockers ends, until the order has ended, the sessions that may hold it up: those of
// applications, and those of our own user, one of which may be an order to write the epoch
// row that was given up. On a server where commits wait for a replica's acknowledgement
// the end of a session need not end its wait. That is ended once nobody is left who could be told.
func (w *worker) endBlockers(ctx context.Context, order *sched.Result[struct{}], self uint64, conn Conn) error {
	began := w.now()
	newest := uint64(0) // of those that were there when the order was first seen to wait
	asked := map[uint64]bool{}
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
		told, err := w.killBlockers(ctx, conn, all, newest, asked)
		if err != nil {
			return err
		}
		told = told || w.now()-began > closeLockWait/2 // an order that waits no longer keeps nobody from writing
		if (!told || safeguard.Off(safeguard.ReleasedLast)) && slices.ContainsFunc(all, releasable) {
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
// killed before, and reports whether one of those up to newest may be told how its statement ends. That may be
// an administrator of MySQL, who is kept from us and lives on. Those that wait for an acknowledgement
// come last, at a later look than all others up to newest that were not asked to end before: their end
// has MariaDB tell the others of their group of a success.
func (w *worker) killBlockers(ctx context.Context, conn Conn, all []Session, newest uint64, asked map[uint64]bool) (told bool, err error) {
	others := false
	for _, awaits := range []bool{false, true} {
		if awaits && others {
			return true, nil
		}
		wave := slices.DeleteFunc(slices.Clone(all), func(s Session) bool {
			return s.Awaits != awaits || s.Killed || s.Kind != SessionApplication && !w.foreign(s)
		})
		if err := conn.Kill(ctx, idsOf(wave, nil)...); err != nil {
			return true, err
		}
		for _, s := range wave {
			if s.ID <= newest {
				others = others || !asked[s.ID]
				told = told || s.Command != "Sleep"
			}
			asked[s.ID] = true
		}
	}
	return told, nil
}
