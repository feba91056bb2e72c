package main

import (
	"context"
	"reflect"
	"sync"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// program is one mmm-agent process: one agent over one Redis.
type program struct {
	flags *daemon.Flags
	log   *daemon.Log
	id    string

	mu      sync.Mutex // reload and close against each other
	ctx     context.Context
	conf    *config.Agent
	running *running
	// remembers outlives the agents of this process.
	remembers map[cluster.UniqSign]cluster.Assignment
}

// running is the agent at work with one configuration.
type running struct {
	agent  *agent.Agent
	cancel context.CancelFunc
	ended  chan struct{}
}

func newProgram(flags *daemon.Flags) (*program, error) {
	conf, faults := config.LoadAgent(flags.Conf)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	log, err := daemon.OpenLog(daemon.LogOptions{File: conf.Log.File, Debug: flags.Debug})
	if err != nil {
		return nil, err
	}
	faults.Log(log.Logger)
	return &program{flags: flags, log: log, conf: conf, id: daemon.NewID()}, nil
}

func (p *program) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
	p.log.Info().Str("version", daemon.BuildInfo().Line("mmm-agent")).Str("id", p.id).
		Str("redis", p.conf.Redis.OrAddr(p.flags.Redis).Addr).Msg("started")
	return p.begin()
}

// begin starts an agent with p.conf.
func (p *program) begin() error {
	c := p.conf
	r := c.Redis.OrAddr(p.flags.Redis)
	bus := redisbus.New(redisbus.Options{Addr: r.Addr, Username: r.Username, Password: r.Password, Topic: r.Topic, Name: "mmm-agent"})
	a, err := agent.New(agent.Options{
		ID: p.id, Bus: busOf{bus}, Node: nodes(c), Cause: mysqlnode.CauseOf, Members: c.Members,
		ConnectTimeout: c.ConnectTimeout, TryOnFailure: c.TryOnFailure, Remembers: p.remembers, Log: p.log.Logger,
	})
	if err != nil {
		_ = bus.Close()
		return err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	run := &running{agent: a, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		if err := a.Run(ctx); err != nil {
			p.log.Error().Err(err).Msg("agent ended")
		}
		_ = bus.Close()
	}()
	p.running = run
	return nil
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
}

// reload reads the file again. A file that cannot be used changes nothing.
func (p *program) reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.ctx.Err() != nil {
		return
	}
	conf, faults := config.LoadAgent(p.flags.Conf)
	err := faults.Err()
	file := p.conf.Log.File
	if err == nil {
		file = conf.Log.File
	}
	if err := p.log.Reopen(file); err != nil {
		p.log.Error().Err(err).Msg("log not reopened")
	}
	faults.Log(p.log.Logger)
	if err != nil {
		p.log.Error().Err(err).Msg("configuration not reloaded, the old one stays")
		return
	}
	old := *p.conf
	old.Log = conf.Log
	same := reflect.DeepEqual(&old, conf)
	p.conf = conf
	if !same {
		p.running.stop()
		p.remembers = p.running.agent.Remembers()
		if err := p.begin(); err != nil {
			p.log.Error().Err(err).Msg("agent not started again")
			return
		}
	}
	p.log.Info().Bool("changed", !same).Msg("configuration reloaded")
}

func (p *program) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		p.running.stop()
		p.running = nil
	}
	p.log.Info().Msg("stopped")
	_ = p.log.Close()
}

func nodes(c *config.Agent) func(cluster.Endpoint) (agent.Node, error) {
	return func(e cluster.Endpoint) (agent.Node, error) {
		n, err := mysqlnode.New(mysqlnode.Options{Addr: e, User: c.User, Password: c.Password, Database: c.Database,
			Charset: c.Charset, ConnectTimeout: c.ConnectTimeout, Name: "mmm-agent"})
		if err != nil {
			return nil, err
		}
		return nodeOf{n}, nil
	}
}
