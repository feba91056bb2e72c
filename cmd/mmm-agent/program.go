package main

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/process"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/pkg/statefile"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

// program is one mmm-agent process: one agent over one Redis.
type program struct {
	flags   *daemon.Flags
	log     *daemon.Log
	id      string
	manager *daemon.Manager

	mu      sync.Mutex // reload and close against each other
	ctx     context.Context
	conf    *config.Agent
	running *running
	// state and remembers outlive the agents of this process.
	state     *statefile.File
	remembers map[cluster.UniqSign]cluster.Memory
	mail      mailer
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
	log, err := daemon.OpenLog(daemon.LogOptions{Program: "mmm-agent", File: conf.Log.File, Debug: flags.Debug})
	if err != nil {
		return nil, err
	}
	faults.Log(log.Logger)
	return &program{flags: flags, log: log, conf: conf, id: daemon.NewID(), manager: daemon.NewManager(log.Logger)}, nil
}

func (p *program) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
	p.log.Info().Str("version", daemon.BuildInfo().Line("mmm-agent")).Str("id", p.id).
		Str("redis", p.conf.Redis.OrAddr(p.flags.Redis).String()).Msg("started")
	if err := p.begin(); err != nil {
		return err
	}
	p.manager.Ready(p.status())
	return nil
}

// status tells people what the process works for.
func (p *program) status() string { return "over redis " + p.conf.Redis.OrAddr(p.flags.Redis).String() }

// begin starts an agent with p.conf.
func (p *program) begin() error {
	c := p.conf
	if p.state == nil || p.state.Path() != c.StateFile {
		p.closeState()
		p.state = statefile.New(c.StateFile)
	}
	r := c.Redis.OrAddr(p.flags.Redis)
	local, err := localOf(c)
	if err != nil {
		return err
	}
	own := tags.BusOptions(r, "mmm-agent")
	own.Refused = func(err error) { p.log.Warn().Err(err).Msg("redis refuses to tell of changes") }
	bus := redisbus.New(own)
	a, err := agent.New(agent.Options{
		ID: p.id, Bus: busOf{bus}, Node: nodes(c), Cause: mysqlnode.CauseOf, Refused: mysqlnode.Refused, Stopping: mysqlnode.Stopping, NoRoom: mysqlnode.NoRoom, Room: process.Room, Members: c.Members,
		Local: local, Process: processes(bootTime()), Lease: leaseOf(c), Boot: bootTime(), Runtime: sched.Shared(sched.Real()),
		User: c.User, BlockUser: c.BlockUser, BlockHost: c.BlockHost, Store: storeOf{p.state},
		ConnectTimeout: c.ConnectTimeout, TryOnFailure: c.TryOnFailure, Remembers: p.remembers, Notes: mailNotes(c), Log: p.log.Logger,
		Loop: func(name string) (beat, end func()) {
			// A call to a server takes connect_timeout and a little more at most.
			return p.manager.Loop(name, 2*c.ConnectTimeout+10*time.Second)
		},
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
	p.mail.start(ctx, c, r, p.id, p.log.Logger)
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
	p.manager.Reloading()
	status := ""
	defer func() { p.manager.Ready(p.status() + status) }()
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
		status = "; configuration not reloaded, see the log"
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
			status = "; agent not started again, see the log"
			p.log.Error().Err(err).Msg("agent not started again")
			return
		}
	}
	p.log.Info().Bool("changed", !same).Msg("configuration reloaded")
}

func (p *program) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manager.Stopping()
	defer p.manager.Close()
	if p.running != nil {
		p.running.stop()
		p.running = nil
		p.mail.wait()
	}
	p.closeState()
	p.log.Info().Msg("stopped")
	_ = p.log.Close()
}

// closeState lets another process have the state file.
func (p *program) closeState() {
	if p.state == nil {
		return
	}
	if err := p.state.Close(); err != nil {
		p.log.Warn().Err(err).Msg("state file not closed")
	}
	p.state = nil
}

// localOf tells the servers of this host; nil where the agent works for all.
func localOf(c *config.Agent) (func(cluster.Endpoint) bool, error) {
	if c.Scope != config.ScopeLocal {
		return nil, nil
	}
	host, err := config.ThisHost()
	if err != nil {
		return nil, err
	}
	return func(e cluster.Endpoint) bool { return c.Mine(e, host) }, nil
}

// leaseOf is for how long the active takes its leases; 0 where it needs none.
func leaseOf(c *config.Agent) time.Duration {
	if c.Scope != config.ScopeLocal || c.Lone == config.LoneStay {
		return 0
	}
	return c.Lease
}

// processes finds the processes of servers of this host; up is for how long the machine has
// been, and nil where that is not known.
func processes(up func() time.Duration) func(cluster.Endpoint, time.Duration) (agent.Process, error) {
	if up == nil {
		return nil
	}
	return func(e cluster.Endpoint, uptime time.Duration) (agent.Process, error) {
		p, err := process.Find(e.Port(), uptime, up())
		if err != nil {
			return nil, err
		}
		return p, nil
	}
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
