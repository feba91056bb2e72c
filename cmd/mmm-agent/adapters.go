package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/statefile"
)

// busOf gives a redisbus.Bus the agent's words.
type busOf struct{ *redisbus.Bus }

func (b busOf) Listen(ctx context.Context, hear func(agent.Wake)) {
	s := b.Subscribe(ctx, redisbus.Channels{All: true, Topic: true})
	defer s.Close()
	for w := range s.C() {
		wake := agent.Wake{UniqSign: w.UniqSign, Kind: w.Kind, Message: w.Message}
		if w.Kind == redisbus.KindMessage {
			active, passive, _, _, err := redisbus.ParseMessage(w.Message)
			if err != nil {
				continue
			}
			wake.Named = []cluster.Endpoint{active, passive}
		}
		hear(wake)
	}
}

// nodeOf gives a mysqlnode.Node the agent's words.
type nodeOf struct{ *mysqlnode.Node }

func (n nodeOf) Connect(ctx context.Context) (agent.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &connOf{c}, nil
}

type connOf struct{ *mysqlnode.Conn }

func (c *connOf) QueueReadOnly(done func(error)) error {
	answer, err := c.Conn.QueueReadOnly()
	if err != nil {
		return err
	}
	go func() { done(<-answer) }()
	return nil
}

func (c *connOf) LetCommitsGo(ctx context.Context, ours bool) error {
	if ours {
		return c.LetOurCommitsGo(ctx)
	}
	return c.Conn.LetCommitsGo(ctx)
}

func (c *connOf) SetReadOnly(ctx context.Context, lockWait time.Duration) error {
	err := c.Conn.SetReadOnly(ctx, lockWait)
	if errors.Is(err, mysqlnode.ErrLockWait) {
		return fmt.Errorf("%w: %w", agent.ErrLockWait, err)
	}
	return err
}

func (c *connOf) Missing(ctx context.Context) ([]string, error) {
	return c.Conn.Missing(ctx, mysqlnode.RoleAgent)
}

func (c *connOf) Mark(ctx context.Context, table string, u cluster.UniqSign) (cluster.Mark, error) {
	return c.Conn.Mark(ctx, mysqlnode.EpochAt{Table: table, UniqSign: u})
}

func (c *connOf) WriteMark(ctx context.Context, table string, u cluster.UniqSign, m cluster.Mark) error {
	return c.Conn.WriteMark(ctx, mysqlnode.EpochAt{Table: table, UniqSign: u}, m)
}

func (c *connOf) WriteBeat(ctx context.Context, table string, u cluster.UniqSign, node cluster.Endpoint) error {
	return c.Conn.WriteBeat(ctx, mysqlnode.EpochAt{Table: table, UniqSign: u}, node)
}

func (c *connOf) Sessions(ctx context.Context) ([]agent.Session, error) {
	found, err := c.Conn.Sessions(ctx)
	all := make([]agent.Session, 0, len(found))
	for _, s := range found {
		kind := agent.SessionOther
		switch s.Kind {
		case mysqlnode.KindApplication:
			kind = agent.SessionApplication
		case mysqlnode.KindOwnUser:
			kind = agent.SessionOwnUser
		}
		all = append(all, agent.Session{ID: s.ID, User: s.User, Command: s.Command, Kind: kind, Stopping: s.Stopping(),
			Killed: s.Killed(), Awaits: s.Awaits(), Queues: s.Queues(), Held: s.Held()})
	}
	return all, err
}

func (c *connOf) Writers(ctx context.Context) ([]agent.Writer, error) {
	found, err := c.Conn.Writers(ctx)
	all := make([]agent.Writer, 0, len(found))
	for _, w := range found {
		all = append(all, agent.Writer(w))
	}
	return all, err
}

// storeOf gives a statefile.File the agent's words.
type storeOf struct{ *statefile.File }

func (s storeOf) Load() (map[cluster.UniqSign]cluster.Memory, error) {
	all, err := s.File.Load()
	return all, storeError(err)
}

func (s storeOf) Save(all map[cluster.UniqSign]cluster.Memory) error {
	return storeError(s.File.Save(all))
}

func storeError(err error) error {
	if errors.Is(err, statefile.ErrInUse) || errors.Is(err, statefile.ErrUnread) {
		return fmt.Errorf("%w: %w", agent.ErrStoreBusy, err)
	}
	return err
}
