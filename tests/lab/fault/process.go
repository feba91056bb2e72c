package fault

import (
	"context"
	"errors"
	"syscall"

	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// killed kills processes and keeps them down until it is healed.
func killed(units ...*site.Unit) (heal, error) {
	for _, u := range units {
		u.Hold()
	}
	for _, u := range units {
		if p := u.Process(); p != nil {
			// Not awaited: whoever touches a frozen disk cannot end before it is thawed.
			_ = p.Signal(syscall.SIGKILL)
		}
	}
	return func(ctx context.Context) error {
		var all error
		for _, u := range units {
			if p := u.Process(); p != nil {
				select {
				case <-p.Done():
				case <-ctx.Done():
					all = errors.Join(all, ctx.Err())
				}
			}
			u.Release()
			all = errors.Join(all, u.Start(ctx))
		}
		return all
	}, nil
}

// stopped stops processes until it is healed.
func stopped(units ...*site.Unit) (heal, error) {
	for _, u := range units {
		if p := u.Process(); p != nil && p.Running() {
			_ = p.Signal(syscall.SIGSTOP)
		}
	}
	return func(context.Context) error {
		for _, u := range units {
			if p := u.Process(); p != nil && p.Running() {
				_ = p.Signal(syscall.SIGCONT)
			}
		}
		return nil
	}, nil
}
