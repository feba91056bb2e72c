package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// turnsVariable tells cells the folder of the files with which benchmarks on one machine take turns.
const turnsVariable = "MMM_BENCH_TURNS"

// turns keeps benchmarks that run side by side out of each other's measurements: what takes milliseconds has the machine
// alone, what waits for seconds may wait beside others that do. A nil one is alone anyway.
type turns struct {
	// Who wants a turn stands at the gate: who waits to be alone is not passed by those who need not be.
	gate, floor, fault string
}

func newTurns(dir string) *turns {
	if dir == "" {
		return nil
	}
	at := func(name string) string { return filepath.Join(dir, "mmm-bench."+name) }
	return &turns{at("gate"), at("floor"), at("fault")}
}

// take waits for a turn, alone or beside others that need not be alone.
func (t *turns) take(ctx context.Context, alone bool) (release func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	open, err := hold(ctx, t.gate, true)
	if err != nil {
		return nil, err
	}
	defer open()
	return hold(ctx, t.floor, alone)
}

// apart is how long after a fault another one follows at the earliest.
const apart = 400 * time.Millisecond

// strike has a fault happen when no other did just before.
func (t *turns) strike(ctx context.Context, fault func() error) error {
	if t == nil {
		return fault()
	}
	release, err := hold(ctx, t.fault, true)
	if err != nil {
		return err
	}
	defer time.AfterFunc(apart, release)
	return fault()
}

// hold waits for a lock of a file; it ends with its holder.
func hold(ctx context.Context, path string, alone bool) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take turns: %w", err)
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		return nil, errors.Join(fmt.Errorf("take turns: lock %s: %w", path, err), f.Close())
	}
}
