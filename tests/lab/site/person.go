package site

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// Tool runs one of the operator's tools.
func (s *Site) Tool(ctx context.Context, name string, args ...string) (harness.Output, error) {
	return s.opts.Programs.Run(ctx, name, append([]string{"--conf", s.Conf}, args...)...)
}

// Control runs mmmctl on the pair.
func (s *Site) Control(ctx context.Context, verb string, args ...string) (harness.Output, error) {
	return s.Tool(ctx, "mmmctl", append([]string{verb, "--tag", harness.ServiceTag}, args...)...)
}

// States of a server of which mmmctl rejoin says that a person has to do something.
const (
	errant     = "errant"
	unfinished = "unfinished"
)

var rebuildable = []string{"rebuild", "position-refused", "empty", "cloned", "no-channel", "sql-error", "io-error"}

func (s *Site) rejoin(ctx context.Context, db *DB, args ...string) (harness.Output, error) {
	if err := os.Setenv("MYSQL_PWD", harness.Password); err != nil {
		return harness.Output{}, err
	}
	return s.Control(ctx, "rejoin", append([]string{"--agent-conf", s.AgentConf, "--node", string(db.Addr()), "--user", Rescuer}, args...)...)
}

// Person is somebody who does what the programs say.
type Person struct {
	site *Site
	// Discarded and Rebuilt count what was done.
	Discarded, Rebuilt int
	// Refused are the reasons for which a discard was refused.
	Refused []string
}

// Person gives the site somebody who looks after it.
func (s *Site) Person() *Person { return &Person{site: s} }

// Needed says what the programs ask a person to do for the passive; empty when nothing.
func (p *Person) Needed(ctx context.Context) (db *DB, state string, err error) {
	snap, err := p.site.Snapshot(ctx)
	if err != nil {
		return nil, "", err
	}
	a := snap.Assignment
	active := p.site.At(a.Active)
	if active == nil || a.Phase != cluster.PhaseSteady {
		return nil, "", nil
	}
	db = p.site.Other(active)
	if !db.Answers(ctx) {
		return db, "", nil
	}
	out, err := p.site.rejoin(ctx, db)
	if err != nil {
		return nil, "", err
	}
	for _, known := range append([]string{errant, unfinished}, rebuildable...) {
		if strings.Contains(out.Stdout, ": "+known+"\n") {
			return db, known, nil
		}
	}
	return db, "", nil
}

// Mend does what is asked: it has errant transactions discarded, and rebuilds the server
// where that is refused or not enough.
func (p *Person) Mend(ctx context.Context, db *DB, state string) error {
	if state == errant || state == unfinished {
		out, err := p.site.rejoin(ctx, db, "--discard", "--yes")
		if err != nil {
			return err
		}
		switch out.Code {
		case 0:
			p.Discarded++
			return nil
		case 5:
			p.Refused = append(p.Refused, out.Stderr)
		default:
			return fmt.Errorf("discard: %s", out)
		}
	}
	p.Rebuilt++
	return p.site.Rebuild(ctx, db)
}

// Rebuild makes a server anew from what the active holds.
func (s *Site) Rebuild(ctx context.Context, db *DB) error {
	source := s.Other(db)
	unit := s.Unit("server@" + db.Host.Name())
	unit.Hold()
	db.Kill()
	err := db.Server.Rebuild(ctx, source.Server)
	unit.Release()
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", db.Addr(), err)
	}
	return nil
}
