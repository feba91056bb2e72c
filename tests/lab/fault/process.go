package fault

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/check"
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

// killed kills processes like the function, and notes how long servers among them were down.
func (c *Cast) killed(units ...*site.Unit) (heal, error) {
	var watching sync.WaitGroup
	healing := make(chan struct{})
	for _, db := range c.Site.DB {
		p := db.Process()
		if p == nil || !slices.ContainsFunc(units, func(u *site.Unit) bool { return u.Name == "server@"+db.Host.Name() }) {
			continue
		}
		watching.Go(func() {
			select {
			case <-healing:
				return
			case <-p.Done():
			}
			from := time.Now()
			<-healing
			c.mu.Lock()
			defer c.mu.Unlock()
			c.down = append(c.down, check.Down{Server: db.Addr(), From: from, To: time.Now()})
		})
	}
	end, err := killed(units...)
	return func(ctx context.Context) error {
		close(healing)
		watching.Wait()
		return end(ctx)
	}, err
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

// busyProcessors starts one process for each processor that never rests, at the same priority as everybody else.
func busyProcessors() (heal, error) {
	var busy []*exec.Cmd
	stop := func(context.Context) (all error) {
		for _, c := range busy {
			all = errors.Join(all, c.Process.Kill())
			_ = c.Wait()
		}
		return all
	}
	for range runtime.NumCPU() {
		c := exec.Command("sh", "-c", "while :; do :; done")
		if err := c.Start(); err != nil {
			return nil, errors.Join(err, stop(context.Background()))
		}
		busy = append(busy, c)
	}
	return stop, nil
}
