package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/lab/host"
	"github.com/mmm-manager/mmm-manager/tests/lab/link"
)

// heal ends a fault.
type heal func(context.Context) error

// Inject has a fault happen, and returns what ends it. An error says that it could not
// happen, and nothing is left to be healed.
func (c *Cast) Inject(ctx context.Context, f Fault) (func(context.Context) error, error) {
	h, err := c.inject(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", f.Kind, f.Target, err)
	}
	return h, nil
}

func (c *Cast) inject(ctx context.Context, f Fault) (heal, error) {
	switch f.Kind {
	case "kill":
		if f.Target == allRedis {
			return killed(c.stores()...)
		}
		return c.killed(c.unit(f.Target))
	case "stop":
		return stopped(c.unit(f.Target))
	case "kill host":
		return c.killed(c.Site.UnitsOf(c.hosts(f.Target)[0])...)
	case "stop host":
		return stopped(c.Site.UnitsOf(c.hosts(f.Target)[0])...)
	case "cut", "cut to", "cut from", "reset", "loss":
		return c.cut(f)
	case "slow":
		return c.slow(ctx, f)
	case "redis empty", "redis old":
		return c.redisLoses(ctx, f.Kind == "redis old", f.Lasts)
	case "redis with two masters":
		return c.twoMasters()
	case "disk full":
		return c.diskFull(ctx, f.Target)
	case "disk frozen":
		return c.diskFrozen(ctx, f.Target, f.Lasts)
	case "disk aborted":
		return c.diskAborted(ctx, f.Target)
	case "lock tables":
		return c.lockTables(ctx, f.Target)
	case "long write":
		return c.longWrite(ctx)
	case "huge transaction":
		return c.hugeTransaction(ctx)
	case "too many connections":
		return c.tooManyConnections(ctx, f.Target)
	case "ddl behind a lock":
		return c.ddlBehindLock(ctx)
	case "opened by hand":
		return c.openedByHand(ctx, f.Target)
	case "errant write":
		return c.errantWrite(ctx, f.Target)
	case "replica stopped by hand":
		return c.replicaStopped(ctx, f.Target)
	case "replica reset by hand":
		return c.replicaReset(ctx, f.Target)
	case "switchover":
		return c.switchovers(ctx, 1)
	case "two switchovers":
		return c.switchovers(ctx, 2)
	case "reload during a failover":
		return c.reloadDuringFailover(ctx)
	case busy:
		return busyProcessors()
	case "previous version":
		return c.previousVersion(ctx, f.Target)
	}
	return nil, fmt.Errorf("there is no such kind of fault")
}

// cut cuts a link: all of it, or what comes to the first named, or what comes from there.
func (c *Cast) cut(f Fault) (heal, error) {
	left, right, _ := strings.Cut(f.Target, "-")
	how := host.Drop
	switch f.Kind {
	case "reset":
		how = host.Reset
	case "loss":
		how = host.Loss(f.Amount)
	}
	var cuts []host.Cut
	for _, a := range c.hosts(left) {
		others := c.hosts(right)
		if others == nil {
			for _, other := range c.Site.Net.Hosts() {
				if other != a {
					others = append(others, other)
				}
			}
		}
		for _, b := range others {
			if a == b {
				continue
			}
			if f.Kind != "cut from" {
				cuts = append(cuts, host.Cut{From: b, To: a, How: how})
			}
			if f.Kind != "cut to" {
				cuts = append(cuts, host.Cut{From: a, To: b, How: how})
			}
		}
	}
	net := c.Site.Net
	if err := net.Apply(cuts...); err != nil {
		return nil, err
	}
	return func(context.Context) error { return net.Heal(cuts...) }, nil
}

// slow delays what comes to a host and what goes from there.
func (c *Cast) slow(ctx context.Context, f Fault) (heal, error) {
	delay := time.Duration(f.Amount) * time.Millisecond
	relay, err := link.Slow(ctx, c.hosts(f.Target)[0].Outer(), host.Bridge, link.Options{Delay: delay, Jitter: delay / 4})
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return relay.Stop() }, nil
}
