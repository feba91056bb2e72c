package tags

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// Service works for one tag until its context ends.
type Service interface{ Run(ctx context.Context) }

// Making is what a service is made of.
type Making struct {
	Tag config.Tag
	Bus *redisbus.Bus
	Log zerolog.Logger
	// Wake is set when something of the tag changed in Redis. It is nil without
	// Options.Listen.
	Wake sched.Signal
	// Nth counts the tags that the process worked for before: see sched.Phase.
	Nth int
	// ID names this process among all that work for the same tags.
	ID string
	// Loop watches over one loop of the service: see daemon.Manager.
	Loop func(name string) (beat, end func())
}

// Options describe a program.
type Options struct {
	Program string
	Flags   *daemon.Flags
	// Listen: services want wake-ups.
	Listen bool
	// LogFile is the tag's own log; empty for that of [log].
	LogFile func(config.Tag) string
	// Needs is what of a tag its service is made of: while it stays deeply equal
	// a reload leaves the service alone. Nil: all of the tag.
	Needs func(config.Tag) any
	// New makes the service of a tag. An error is told in the tag's log and tried
	// again at the next reload.
	New func(Making) (Service, error)

	source <-chan os.Signal // nil: the system's signals
}

// Run works for the tags that the flags name until a signal ends it.
func Run(parent context.Context, o Options) error {
	if len(o.Flags.Tags) == 0 {
		return daemon.Usagef("--tag is missing: name sections of %s, or all", o.Flags.Conf)
	}
	pairs, _ := config.LoadPairs(o.Flags.Conf)
	chosen, faults, err := pairs.Select(o.Flags.Tags)
	if err != nil {
		return err
	}
	log, err := daemon.OpenLog(daemon.LogOptions{Program: o.Program, File: pairs.Log.File, Debug: o.Flags.Debug})
	if err != nil {
		return err
	}
	manager := daemon.NewManager(log.Logger)
	defer manager.Close()
	p := &program{o: o, id: daemon.NewID(), log: log, logFile: pairs.Log.File, manager: manager, runs: map[cluster.Tag]*running{}}
	defer func() { _ = log.Close() }()
	faults.Log(log.Logger)

	p.mu.Lock() // a HUP that comes now waits until the tags are at work
	ctx, signals := daemon.NewSignals(parent, daemon.SignalOptions{
		Graceful: config.GracefulSignals(chosen), Terminal: daemon.OnTerminal(), Log: log.Logger,
		Reload: p.reload, Source: o.source})
	defer signals.Close()
	p.ctx, p.signals = ctx, signals
	redis := pairs.Redis.OrAddr(o.Flags.Redis)
	log.Info().Str("version", daemon.BuildInfo().Line(o.Program)).Str("id", p.id).Str("redis", redis.String()).Msg("started")
	p.apply(redis, chosen)
	manager.Ready(p.status())
	p.mu.Unlock()

	<-ctx.Done()
	manager.Stopping()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopAll()
	log.Info().Msg("stopped")
	return nil
}

// program is one process with its services.
type program struct {
	o       Options
	id      string
	log     *daemon.Log
	ctx     context.Context
	signals *daemon.Signals
	manager *daemon.Manager

	mu      sync.Mutex
	logFile string
	redis   config.Redis
	bus     *redisbus.Bus
	ears    *ears
	runs    map[cluster.Tag]*running
}

// reload reads the file again. The logs are reopened even when it cannot be used.
func (p *program) reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return
	}
	p.manager.Reloading()
	status := ""
	defer func() { p.manager.Ready(p.status() + status) }()
	pairs, _ := config.LoadPairs(p.o.Flags.Conf)
	chosen, faults, err := pairs.Select(p.o.Flags.Tags)
	if err == nil {
		p.logFile = pairs.Log.File
	}
	if err := p.log.Reopen(p.logFile); err != nil {
		p.log.Error().Err(err).Msg("log not reopened")
	}
	faults.Log(p.log.Logger)
	if err != nil {
		p.placeLogs()
		status = "; configuration not reloaded, see the log"
		p.log.Error().Err(err).Msg("configuration not reloaded, the old one stays")
		return
	}
	p.signals.SetGraceful(config.GracefulSignals(chosen))
	p.apply(pairs.Redis.OrAddr(p.o.Flags.Redis), chosen)
	p.log.Info().Int("tags", len(p.runs)).Msg("configuration reloaded")
}

// status tells people what the process works for.
func (p *program) status() string {
	names := slices.Sorted(maps.Keys(p.runs))
	text := "no tag"
	if len(names) > 0 {
		text = strings.Trim(fmt.Sprint(names), "[]")
	}
	return text + " over redis " + p.redis.String()
}

// placeLogs moves the log of each tag to the file that now has its name.
func (p *program) placeLogs() {
	for _, r := range p.runs {
		p.place(r.log, r.tag)
	}
}

// place moves the log of a tag to its file. One that cannot be opened stops no
// tag: its lines go where the program's do.
func (p *program) place(log *daemon.Log, t config.Tag) {
	file := p.o.LogFile(t)
	if file == "" {
		file = p.logFile
	}
	err := log.Reopen(file)
	if err == nil {
		return
	}
	p.log.Error().Err(err).Str("tag", string(t.Tag)).Msg("log not opened")
	if file != p.logFile {
		_ = log.Reopen(p.logFile)
	}
}

func (p *program) needs(t config.Tag) any {
	if p.o.Needs == nil {
		return t
	}
	return p.o.Needs(t)
}

// apply makes the running services those of chosen. Those that go on are
// touched in nothing but their log.
func (p *program) apply(redis config.Redis, chosen []config.Tag) {
	if p.bus == nil || !reflect.DeepEqual(redis, p.redis) {
		p.stopAll()
		p.redis = redis
		own := BusOptions(redis, p.o.Program)
		own.Refused = func(err error) { p.log.Warn().Err(err).Msg("redis refuses to tell of changes") }
		p.bus = redisbus.New(own)
	}
	wanted := map[cluster.Tag]config.Tag{}
	for _, t := range chosen {
		wanted[t.Tag] = t
	}
	var ending []*running
	for name, r := range p.runs {
		t, ok := wanted[name]
		if ok && reflect.DeepEqual(p.needs(t), p.needs(r.tag)) {
			r.tag = t
			continue
		}
		r.cancel()
		ending = append(ending, r)
		delete(p.runs, name)
	}
	for _, r := range ending {
		r.stop()
	}
	p.placeLogs()
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
	log, err := daemon.OpenLog(daemon.LogOptions{Program: p.o.Program, Debug: p.o.Flags.Debug})
	if err != nil {
		p.log.Error().Err(err).Str("tag", string(t.Tag)).Msg("tag not started")
		return
	}
	p.place(log, t)
	r := &running{tag: t, log: log, ended: make(chan struct{}), wake: sched.Real().NewSignal()}
	nth := len(p.runs)
	m := Making{Tag: t, Bus: p.bus, Log: log.Logger, ID: p.id, Nth: nth, Loop: func(name string) (beat, end func()) {
		return p.manager.Loop(string(t.Tag)+" "+name, 0)
	}}
	if p.o.Listen {
		m.Wake = r.wake
	}
	service, err := p.o.New(m)
	if err != nil {
		log.Error().Err(err).Str("tag", string(t.Tag)).Msg("tag not started")
		_ = log.Close()
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	r.cancel = cancel
	p.runs[t.Tag] = r
	go func() {
		defer close(r.ended)
		if sched.StartAfter(ctx, sched.Real(), nth) == nil {
			service.Run(ctx)
		}
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
	wake   sched.Signal
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
	_ = r.log.Close()
}
