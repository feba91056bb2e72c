package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/check"
	"github.com/mmm-manager/mmm-manager/tests/lab/host"
	"github.com/mmm-manager/mmm-manager/tests/lab/site"
)

// Cast says who has which role when a round begins.
type Cast struct {
	Site            *site.Site
	Active, Passive *site.DB
	// Leader and Other are the identifies.
	Leader, Other *site.Daemon
	// Store is the Redis that is the master.
	Store *site.Store
	// Previous are programs of a previous version; none when it has no folder.
	Previous harness.Programs

	mu     sync.Mutex
	byHand []ByHand
	down   []check.Down
	errant []Errant
	wait   sync.WaitGroup
}

// ByHand is a span in which a person had a server open that is not the active.
type ByHand struct {
	Server   cluster.Endpoint
	From, To time.Time
}

// ByHand are the spans in which people had opened servers; it waits until they are over.
func (c *Cast) ByHand() []ByHand {
	c.wait.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byHand
}

// Errant is a row of the table entry that a person wrote to a closed server while the other one
// did not receive from it, and had no agent who could change that unseen.
type Errant struct {
	Server, Other *site.DB
	Seq           int64
}

// Errant are the rows that people have written so.
func (c *Cast) Errant() []Errant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errant
}

// Down are the spans in which servers had no process since they were killed.
func (c *Cast) Down() []check.Down {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// NewCast reads the roles.
func NewCast(ctx context.Context, s *site.Site) (*Cast, error) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cast{Site: s, Active: s.At(snap.Assignment.Active)}
	if c.Active == nil {
		return nil, fmt.Errorf("find the active: the record says %q", snap.Assignment.Active)
	}
	c.Passive = s.Other(c.Active)
	for _, d := range s.Named(harness.Identify) {
		if strings.HasPrefix(snap.Leader.ID, d.Host.Name()+"/") {
			c.Leader = d
		} else {
			c.Other = d
		}
	}
	if c.Leader == nil || c.Other == nil {
		return nil, fmt.Errorf("find the leader: Redis says %q", snap.Leader.ID)
	}
	for _, store := range s.Stores {
		info, err := store.Client().Info(ctx, "replication").Result()
		if err == nil && strings.Contains(info, "role:master") {
			c.Store = store
		}
	}
	if c.Store == nil {
		return nil, errors.New("find the master of Redis: none says that it is")
	}
	return c, nil
}

// unit finds a process by the words of a plan.
func (c *Cast) unit(target string) *site.Unit {
	role, of, _ := strings.Cut(target, " of ")
	switch role {
	case "server":
		return c.Site.Unit("server@" + c.db(of).Host.Name())
	case "agent":
		if c.Site.Mode() == site.Classic {
			return c.Site.Unit(c.Site.Named(harness.Agent)[0].String())
		}
		return c.Site.Unit("agent@" + c.db(of).Host.Name())
	case "redis":
		return c.Site.Unit("redis@" + c.Store.Host.Name())
	case "leader":
		return c.Site.Unit(c.Leader.String())
	case "other identify":
		return c.Site.Unit(c.Other.String())
	case "monitor":
		return c.Site.Unit("monitor@" + of)
	}
	return nil
}

// stores are all processes of Redis.
func (c *Cast) stores() (all []*site.Unit) {
	for _, store := range c.Site.Stores {
		all = append(all, c.Site.UnitsOf(store.Host)...)
	}
	return all
}

func (c *Cast) daemon(target string) *site.Daemon {
	unit := c.unit(target)
	for _, d := range c.Site.Daemons {
		if d.String() == unit.Name {
			return d
		}
	}
	return nil
}

func (c *Cast) db(role string) *site.DB {
	if role == "passive" {
		return c.Passive
	}
	return c.Active
}

// hosts finds hosts by the words of a plan; nil stands for all others.
func (c *Cast) hosts(target string) []*host.Host {
	switch target {
	case "active", "passive":
		return []*host.Host{c.db(target).Host}
	case "redis":
		return []*host.Host{c.Store.Host}
	case "all":
		return nil
	case "managers":
		var all []*host.Host
		for _, d := range c.Site.Named(harness.Monitor) {
			all = append(all, d.Host)
		}
		return all
	case "clients":
		var all []*host.Host
		for _, name := range site.Clients {
			all = append(all, c.Site.Net.Host(name))
		}
		return all
	}
	return []*host.Host{c.Site.Net.Host(target)}
}
