package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

func nothing(context.Context) error { return nil }

// openedByHand opens a server that the record wants closed; the agent has to close it. What it
// takes meanwhile nobody promises anything of.
func (c *Cast) openedByHand(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	span := ByHand{Server: db.Addr(), From: time.Now()}
	if err := db.Exec(ctx, "SET GLOBAL read_only=0"); err != nil {
		return nil, err
	}
	c.wait.Go(func() {
		// Until it is closed, or lawfully open.
		_ = harness.Until(ctx, "it is closed", func(ctx context.Context) (bool, string) {
			snap, err := c.Site.Snapshot(ctx)
			if err == nil && snap.Assignment.Active == db.Addr() {
				return true, ""
			}
			closed, err := db.ReadOnly(ctx)
			return err == nil && closed, ""
		})
		span.To = time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.byHand = append(c.byHand, span)
	})
	return nothing, nil
}

// errantWrite leaves a row on a server as an administrator can, who need not obey read_only.
func (c *Cast) errantWrite(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	other, otherRole := c.Active, "active"
	if db == c.Active {
		other, otherRole = c.Passive, "passive"
	}
	unheard := func() bool {
		channel, err := other.Channel(ctx)
		return err == nil && channel.IO == "No" && !c.unit("agent of "+otherRole).Process().Running()
	}
	before, seq := unheard(), time.Now().UnixNano()
	err := db.Write(ctx, true, fmt.Sprintf("INSERT INTO %s.entry (client, seq) VALUES (2, %d)", harness.AppDB, seq))
	if err == nil && before && unheard() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.errant = append(c.errant, Errant{db, other, seq})
	}
	return nothing, err
}

func (c *Cast) replicaStopped(ctx context.Context, role string) (heal, error) {
	return nothing, c.db(role).Exec(ctx, "STOP REPLICA")
}

func (c *Cast) replicaReset(ctx context.Context, role string) (heal, error) {
	db := c.db(role)
	err := db.Exec(ctx, "STOP REPLICA")
	if err == nil {
		// An agent may have started it again in between.
		err = harness.Until(ctx, "the channel is reset", func(ctx context.Context) (bool, string) {
			err := errors.Join(db.Exec(ctx, "STOP REPLICA"), db.Exec(ctx, "RESET REPLICA"))
			return err == nil, fmt.Sprint(err)
		})
	}
	return nothing, err
}

// switchovers has people ask for planned changes at the same time, of whom only one can have it.
func (c *Cast) switchovers(ctx context.Context, people int) (heal, error) {
	var wait sync.WaitGroup
	to := []cluster.Endpoint{c.Passive.Addr(), c.Active.Addr()}
	failed := make([]error, people)
	for i := range people {
		wait.Go(func() {
			out, err := c.Site.Control(context.WithoutCancel(ctx), "switchover", "--to", string(to[i%2]), "--yes")
			if err == nil && (out.Code == 2 || out.Code == 78 || out.Code < 0) {
				err = fmt.Errorf("mmmctl switchover: %s", out)
			}
			failed[i] = err
		})
	}
	return func(context.Context) error {
		wait.Wait()
		return errors.Join(failed...)
	}, nil
}

// reloadDuringFailover kills the active, and has every daemon read its files again while
// the role moves.
func (c *Cast) reloadDuringFailover(ctx context.Context) (heal, error) {
	before, err := c.Site.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	end, err := c.killed(c.unit("server of active"))
	if err != nil {
		return nil, err
	}
	// Where nothing happens all the same, e.g. since another fault holds it, they are reloaded later.
	moving, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = harness.Until(moving, "the role begins to move", func(ctx context.Context) (bool, string) {
		snap, err := c.Site.Snapshot(ctx)
		return err == nil && snap.Assignment.Order() != before.Assignment.Order(), fmt.Sprint(err)
	})
	for _, d := range c.Site.Daemons {
		if d.Process().Running() {
			_ = d.Process().Signal(syscall.SIGHUP)
		}
	}
	return end, nil
}

// previousVersion has a daemon of the previous version in place of one.
func (c *Cast) previousVersion(ctx context.Context, target string) (heal, error) {
	if c.Previous.Dir == "" {
		return nil, errors.New("there are no programs of a previous version")
	}
	d, unit := c.daemon(target), c.unit(target)
	change := func(ctx context.Context, to harness.Programs) error {
		unit.Hold()
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := d.Quit(ctx)
		unit.Release()
		d.Use(to)
		return errors.Join(err, unit.Start(ctx))
	}
	return func(ctx context.Context) error { return change(ctx, c.Site.Programs()) }, change(ctx, c.Previous)
}
