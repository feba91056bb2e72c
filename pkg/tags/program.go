package tags

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// Service works for one tag until its context ends.
type Service interface{ Run(ctx context.Context) }

// Making is what a service is made of.
type Making struct {
	Tag config.Tag
	Bus *redisbus.Bus
	Log zerolog.Logger
	// Wake delivers a value when something of the tag changed in Redis; values
	// that nobody takes become one. It is nil without Options.Listen.
	Wake <-chan struct{}
	// ID names this process among all that work for the same tags.
	ID string
}

// Options describe a program.
type Options struct {
	Program string
	Flags   *daemon.Flags
	// Listen: services want wake-ups.
	Listen bool
	// LogFile is the tag's own log; empty for that of [log].
	LogFile func(config.Tag) string
	New     func(Making) Service
}

// Run works for the tags that the flags name until a signal ends it.
func Run(parent context.Context, o Options) error {
	if parent == nil {
		parent = context.Background()
	}
	if len(o.Flags.Tags) == 0 {
		return daemon.Usagef("--tag is missing: name sections of %s, or all", o.Flags.Conf)
	}
	pairs, _ := config.LoadPairs(o.Flags.Conf)
	chosen, faults, err := pairs.Select(o.Flags.Tags)
	if err != nil {
		return err
	}
	log, err := daemon.OpenLog(daemon.LogOptions{File: pairs.Log.File, Debug: o.Flags.Debug})
	if err != nil {
		return err
	}
	p := &program{o: o, id: newID(), log: log, logFile: pairs.Log.File, runs: map[cluster.Tag]*running{}}
	defer func() { _ = log.Close() }()
	logFaults(log.Logger, faults)

	ctx, signals := daemon.NewSignals(parent, daemon.SignalOptions{
		Graceful: config.GracefulSignals(chosen), Terminal: daemon.OnTerminal(), Log: log.Logger,
		Reload: func() { p.reload() }})
	defer signals.Close()
	p.mu.Lock()
	p.ctx, p.signals = ctx, signals
	log.Info().Str("version", daemon.BuildInfo().Line(o.Program)).Str("id", p.id).Msg("started")
	p.apply(pairs.Redis.OrAddr(o.Flags.Redis), chosen)
	p.mu.Unlock()

	<-ctx.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopAll()
	log.Info().Msg("stopped")
	return nil
}

// newID is the host's name, the process's number and a random word.
func newID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	var b [4]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

func logFaults(log zerolog.Logger, faults *config.Faults) {
	for _, f := range faults.All() {
		level := zerolog.ErrorLevel
		if f.Warning {
			level = zerolog.WarnLevel
		}
		log.WithLevel(level).Str("hint", f.Hint).Msg(strings.TrimSpace(f.String()))
	}
}

// program is one process with its services.
type program struct {
	o       Options
	id      string
	log     *daemon.Log
	ctx     context.Context
	signals *daemon.Signals

	mu      sync.Mutex
	logFile string
	redis   config.Redis
	bus     *redisbus.Bus
	ears    *ears
	runs    map[cluster.Tag]*running
}

// reload reads the file again.
func (p *program) reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	pairs, _ := config.LoadPairs(p.o.Flags.Conf)
	chosen, faults, err := pairs.Select(p.o.Flags.Tags)
	if err != nil {
		p.log.Error().Err(err).Msg("configuration not reloaded, the old one stays")
		p.reopen()
		return
	}
	logFaults(p.log.Logger, faults)
	p.logFile = pairs.Log.File
	p.signals.SetGraceful(config.GracefulSignals(chosen))
	p.apply(pairs.Redis.OrAddr(p.o.Flags.Redis), chosen)
	p.reopen()
	p.log.Info().Int("tags", len(p.runs)).Msg("configuration reloaded")
}

// reopen moves every log to the file that now has its name.
func (p *program) reopen() {
	if err := p.log.Reopen(p.logFile); err != nil {
		p.log.Error().Err(err).Msg("log not reopened")
	}
	for _, r := range p.runs {
		if err := r.log.Reopen(p.fileOf(r.tag)); err != nil {
			p.log.Error().Err(err).Str("tag", string(r.tag.Tag)).Msg("log not reopened")
		}
	}
}

func (p *program) fileOf(t config.Tag) string {
	if file := p.o.LogFile(t); file != "" {
		return file
	}
	return p.logFile
}

// apply makes the running services those of chosen.
func (p *program) apply(redis config.Redis, chosen []config.Tag) {
	if p.bus == nil || !reflect.DeepEqual(redis, p.redis) {
		p.stopAll()
		p.redis = redis
		p.bus = redisbus.New(redisbus.Options{Addr: redis.Addr, Username: redis.Username, Password: redis.Password,
			Topic: redis.Topic, Name: p.o.Program})
	}
	wanted := map[cluster.Tag]config.Tag{}
	for _, t := range chosen {
		wanted[t.Tag] = t
	}
	for name, r := range p.runs {
		if t, ok := wanted[name]; !ok || !reflect.DeepEqual(t, r.tag) {
			r.stop()
			delete(p.runs, name)
		}
	}
	var signs []cluster.UniqSign
	for _, t := range chosen {
		if p.runs[t.Tag] == nil {
			p.run(t)
		}
		if p.runs[t.Tag] != nil {
			signs = append(signs, t.UniqSign)
		}
	}
	p.listen(signs)
}

func (p *program) run(t config.Tag) {
	log, err := daemon.OpenLog(daemon.LogOptions{File: p.fileOf(t), Debug: p.o.Flags.Debug})
	if err != nil {
		p.log.Error().Err(err).Str("tag", string(t.Tag)).Msg("tag not started")
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	r := &running{tag: t, log: log, cancel: cancel, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	m := Making{Tag: t, Bus: p.bus, Log: log.Logger, ID: p.id}
	if p.o.Listen {
		m.Wake = r.wake
	}
	service := p.o.New(m)
	p.runs[t.Tag] = r
	go func() {
		defer close(r.ended)
		service.Run(ctx)
	}()
}

// stopAll ends every service, the subscription and the bus.
func (p *program) stopAll() {
	for _, r := range p.runs {
		r.cancel()
	}
	for _, r := range p.runs {
		r.stop()
	}
	clear(p.runs)
	p.ears.stop()
	p.ears = nil
	if p.bus != nil {
		_ = p.bus.Close()
		p.bus = nil
	}
}

// running is the service of one tag.
type running struct {
	tag    config.Tag
	log    *daemon.Log
	cancel context.CancelFunc
	ended  chan struct{}
	wake   chan struct{}
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
	_ = r.log.Close()
}
