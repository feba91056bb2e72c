package site

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/host"
)

// Unit is one process of the site that is started again when it has ended, as systemd does.
type Unit struct {
	Name string
	Host *host.Host
	// Process is the present process, nil before the first start.
	Process func() *harness.Process
	// Foreign has it be somebody else's program, which may end by itself.
	Foreign bool

	start func(context.Context) error

	mu   sync.Mutex
	held int
}

// Hold keeps the unit from being started until Release, and says that its end is no surprise.
func (u *Unit) Hold() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held++
}

// Release ends one Hold.
func (u *Unit) Release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held--
}

func (u *Unit) isHeld() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.held > 0
}

// Start starts the unit unless it runs or is held.
func (u *Unit) Start(ctx context.Context) error {
	if p := u.Process(); u.isHeld() || p != nil && p.Running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return u.start(ctx)
}

// Units are all processes of the site, in the order in which a host starts them.
func (s *Site) Units() []*Unit { return s.units }

// UnitsOf are those of one host.
func (s *Site) UnitsOf(h *host.Host) []*Unit {
	var found []*Unit
	for _, u := range s.units {
		if u.Host == h {
			found = append(found, u)
		}
	}
	return found
}

// Unit is the unit with this name, nil when there is none.
func (s *Site) Unit(name string) *Unit {
	for _, u := range s.units {
		if u.Name == name {
			return u
		}
	}
	return nil
}

func (s *Site) makeUnits() {
	for _, store := range s.Stores {
		s.units = append(s.units, &Unit{Name: "redis@" + store.Host.Name(), Host: store.Host, Foreign: true, Process: store.Process, start: store.Start})
		if sentinel := store.Sentinel; sentinel != nil {
			s.units = append(s.units, &Unit{Name: "sentinel@" + store.Host.Name(), Host: store.Host, Foreign: true, Process: sentinel.Process, start: sentinel.Start})
		}
	}
	for _, db := range s.DB {
		s.units = append(s.units, &Unit{Name: "server@" + db.Host.Name(), Host: db.Host, Foreign: true, Process: db.Process,
			start: func(context.Context) error { return db.Launch() }})
	}
	for _, d := range s.Daemons {
		s.units = append(s.units, &Unit{Name: d.String(), Host: d.Host, Process: d.Process, start: func(context.Context) error { return d.Start() }})
	}
}

// Revive starts every unit that has ended and is not held; it names those of ours that had ended by
// themselves.
func (s *Site) Revive(ctx context.Context) (ended []string, err error) {
	for _, u := range s.units {
		p := u.Process()
		if p != nil && p.Running() || u.isHeld() {
			continue
		}
		if p != nil && !u.Foreign {
			ended = append(ended, fmt.Sprintf("%s ended by itself with status %d", u.Name, p.ExitCode()))
		}
		if problem := u.Start(ctx); problem != nil {
			err = errors.Join(err, fmt.Errorf("start %s again: %w", u.Name, problem))
		}
	}
	return ended, err
}
