package fault

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/host"
)

// soon is the time below which a Redis that lost its data is back at once, before any sentinel misses it.
const soon = 4 * time.Second

// redisLoses kills the master of Redis, which comes back without data, or with older data.
func (c *Cast) redisLoses(ctx context.Context, old bool, lasts time.Duration) (heal, error) {
	store := c.Store
	unit := c.Site.Unit("redis@" + store.Host.Name())
	if old && !store.HasCopy() {
		return nil, errors.New("no copy was made yet")
	}
	unit.Hold()
	_ = store.Process().Signal(syscall.SIGKILL)
	<-store.Process().Done()
	back := func(ctx context.Context) error {
		defer unit.Release()
		if old {
			return store.SetBack()
		}
		return store.Forget()
	}
	start := func(ctx context.Context) error { return unit.Start(ctx) }
	if lasts < soon {
		if err := back(ctx); err != nil {
			return nil, err
		}
		return start, start(ctx)
	}
	return func(ctx context.Context) error {
		if err := back(ctx); err != nil {
			return err
		}
		return start(ctx)
	}, nil
}

// twoMasters cuts the net in two, so that sentinels on one side make another master while
// the old one, a manager and the active's host go on with each other.
func (c *Cast) twoMasters() (heal, error) {
	island := []*host.Host{c.Store.Host, c.Site.Net.Host("mo1"), c.Active.Host}
	var cuts []host.Cut
	for _, a := range island {
		for _, b := range c.Site.Net.Hosts() {
			if !slices.Contains(island, b) && b.Name()[:2] != "cl" {
				cuts = append(cuts, host.Both(a, b, host.Drop)...)
			}
		}
	}
	net := c.Site.Net
	if err := net.Apply(cuts...); err != nil {
		return nil, err
	}
	return func(context.Context) error { return net.Heal(cuts...) }, nil
}
