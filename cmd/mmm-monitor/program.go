package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"reflect"
	"sync"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// program is one mmm-monitor process: one monitor over one Redis.
type program struct {
	flags *daemon.Flags
	log   *daemon.Log

	mu      sync.Mutex // reload and close against each other
	ctx     context.Context
	signals *daemon.Signals
	main    config.Log
	redis   config.Redis
	tags    []config.Tag
	running *running

	logMu sync.Mutex
	logs  map[cluster.Tag]*daemon.Log
}

// running is the monitor at work on one Redis.
type running struct {
	bus     *redisbus.Bus
	monitor *monitor.Monitor
	ctx     context.Context
	cancel  context.CancelFunc
	ended   chan struct{}
}

// login is what a connection needs beside the address.
type login struct {
	User, Database, Charset string
	Password                cluster.Secret
}

func newProgram(flags *daemon.Flags) (*program, error) {
	pairs, _ := config.LoadPairs(flags.Conf)
	tags, faults, err := pairs.Select(flags.Tags)
	if err != nil {
		return nil, err
	}
	log, err := daemon.OpenLog(daemon.LogOptions{File: pairs.Log.File, Debug: flags.Debug})
	if err != nil {
		return nil, err
	}
	tell(log.Logger, faults)
	return &program{flags: flags, log: log, main: pairs.Log, redis: pairs.Redis.OrAddr(flags.Redis), tags: tags,
		logs: map[cluster.Tag]*daemon.Log{}}, nil
}

func tell(log zerolog.Logger, faults *config.Faults) {
	for _, f := range faults.All() {
		e := log.Error()
		if f.Warning {
			e = log.Warn()
		}
		e.Str("reason", f.String()).Msg("configuration")
	}
}

func (p *program) start(ctx context.Context, signals *daemon.Signals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx, p.signals = ctx, signals
	p.log.Info().Str("version", daemon.BuildInfo().Line("mmm-monitor")).Str("redis", p.redis.Addr).Msg("started")
	p.openLogs()
	p.begin()
}

// begin starts the monitor on p.redis with p.tags.
func (p *program) begin() {
	r := &running{ended: make(chan struct{}), bus: redisbus.New(redisbus.Options{Addr: p.redis.Addr, Username: p.redis.Username,
		Password: p.redis.Password, Topic: p.redis.Topic, Name: "mmm-monitor"})}
	r.ctx, r.cancel = context.WithCancel(p.ctx)
	r.monitor = monitor.New(monitor.Options{Bus: r.bus, Open: open, Cause: mysqlnode.CauseOf, NewRun: newRun, Log: p.log.Logger,
		TagLog: p.tagLog})
	tags := wanted(p.tags)
	go func() {
		defer close(r.ended)
		r.monitor.Run(r.ctx, tags)
		_ = r.bus.Close()
	}()
	p.running = r
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
}

// reload reads the file again. What did not change goes on untouched; a file
// that cannot be used changes nothing.
func (p *program) reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.ctx.Err() != nil {
		return
	}
	pairs, _ := config.LoadPairs(p.flags.Conf)
	tags, faults, err := pairs.Select(p.flags.Tags)
	if err := p.log.Reopen(pick(err == nil, pairs.Log, p.main).File); err != nil {
		p.log.Error().Err(err).Msg("log not reopened")
	}
	if faults != nil {
		tell(p.log.Logger, faults)
	}
	if err != nil {
		p.openLogs()
		p.log.Error().Err(err).Msg("configuration not reloaded, the old one stays")
		return
	}
	redis := pairs.Redis.OrAddr(p.flags.Redis)
	moved := !reflect.DeepEqual(redis, p.redis)
	p.main, p.redis, p.tags = pairs.Log, redis, tags
	p.signals.SetGraceful(config.GracefulSignals(tags))
	if moved {
		p.running.stop()
	}
	p.openLogs()
	if moved {
		p.begin()
	} else {
		p.running.monitor.Reload(p.running.ctx, wanted(tags))
	}
	p.log.Info().Int("tags", len(tags)).Msg("configuration reloaded")
}

// openLogs opens or reopens the log of each tag: its own file, or the common one.
func (p *program) openLogs() {
	p.logMu.Lock()
	defer p.logMu.Unlock()
	logs := map[cluster.Tag]*daemon.Log{}
	for _, t := range p.tags {
		file := pick(t.MonitorLog != "", t.MonitorLog, p.main.File)
		log := p.logs[t.Tag]
		var err error
		if log != nil {
			err = log.Reopen(file)
		} else if log, err = daemon.OpenLog(daemon.LogOptions{File: file, Debug: p.flags.Debug}); err != nil {
			log = p.log
		}
		if err != nil {
			p.log.Error().Str("tag", string(t.Tag)).Err(err).Msg("log not opened")
		}
		logs[t.Tag] = log
	}
	p.logs = logs
}

func (p *program) tagLog(t cluster.Tag) zerolog.Logger {
	p.logMu.Lock()
	defer p.logMu.Unlock()
	if log := p.logs[t]; log != nil {
		return log.Logger
	}
	return p.log.Logger
}

func (p *program) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		p.running.stop()
		p.running = nil
	}
	p.log.Info().Msg("stopped")
	for _, l := range p.logs {
		_ = l.Close()
	}
	_ = p.log.Close()
}

func wanted(tags []config.Tag) []monitor.Tag {
	want := make([]monitor.Tag, 0, len(tags))
	for _, t := range tags {
		want = append(want, monitor.Tag{Pair: t.Pair, Monitor: t.MonitorID, Legacy: true, Exclude: t.ExcludeUsers,
			Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes,
			Login: login{User: t.User, Password: t.Password, Database: t.Database, Charset: t.Charset}})
	}
	return want
}

// node gives a mysqlnode.Node the monitor's words.
type node struct{ *mysqlnode.Node }

func (n node) Connect(ctx context.Context) (monitor.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func open(t monitor.Tag, e cluster.Endpoint) (monitor.Node, error) {
	l := t.Login.(login)
	n, err := mysqlnode.New(mysqlnode.Options{Addr: e, User: l.User, Password: l.Password, Database: l.Database, Charset: l.Charset,
		ConnectTimeout: t.ConnectTimeout, Name: "mmm-monitor"})
	if err != nil {
		return nil, err
	}
	return node{n}, nil
}

// newRun names one run of one tag's sampling.
func newRun() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
