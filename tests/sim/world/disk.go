package world

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/tests/sim/engine"
)

// disk is where an agent keeps its memory: it outlives processes. A write is
// there as a whole or not at all.
type disk struct {
	kept map[cluster.UniqSign]cluster.Memory
	// fails: every write ends with an error; hangs: none ends.
	fails, hangs bool
	// saved is told of what a write has put there.
	saved func(cluster.Memory)
}

var errDisk = errors.New("no space left on device")

// store is a disk as one process uses it.
type store struct {
	*disk
	p *engine.Process
}

// Load reads what is kept.
func (s store) Load() (map[cluster.UniqSign]cluster.Memory, error) {
	s.wait(time.Millisecond)
	return maps.Clone(s.kept), nil
}

// Save replaces it. A process that dies before half of the time has passed has
// changed nothing, one that dies later everything.
func (s store) Save(all map[cluster.UniqSign]cluster.Memory) error {
	s.wait(time.Millisecond)
	for s.hangs {
		s.wait(50 * time.Millisecond)
	}
	if s.fails {
		return errDisk
	}
	s.kept = maps.Clone(all)
	s.saved(all[sign])
	s.wait(time.Millisecond)
	return nil
}

func (s store) wait(d time.Duration) {
	_ = sched.Sleep(context.Background(), s.p.Runtime(), d)
}

var _ agent.Store = store{}
