package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/standin"
)

const (
	interval = time.Second
	port     = 13306
	topic    = "switch"
	sampler  = "watch"
	user     = "mmm"
	password = "secret"
)

type options struct {
	bin         string
	pairs, fail int
	idle        time.Duration
	log         io.Writer
}

// result is what was measured of one number of pairs.
type result struct {
	pairs, failed int
	steady        time.Duration // from the start to a record and an eligible passive of every pair
	burst         int           // the most connections within 100 ms
	late          []time.Duration
	daemons       []usage
	decided       []time.Duration // from each kill
	opened        []time.Duration
	lastDecided   time.Duration // from the last kill
}

type usage struct {
	name    string
	percent float64 // of one core
	rss     int64   // bytes
}

// fleet is the pairs with what works for them.
type fleet struct {
	options
	lab     *harness.Lab
	redis   *harness.Redis
	bus     *redisbus.Bus
	pairs   []*standin.Pair
	daemons []*harness.Process
	names   []string

	mu       sync.Mutex
	unknown  map[string]int
	accepted []time.Time
}

func sign(n int) cluster.UniqSign { return cluster.UniqSign(fmt.Sprintf("%032x", n+1)) }

func measure(ctx context.Context, o options) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute+o.idle)
	defer cancel()
	f, err := newFleet(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() {
		if closeErr := f.close(); err == nil {
			err = closeErr
		}
	}()
	r = result{pairs: o.pairs, failed: o.fail}
	began := time.Now()
	if err := f.start(); err != nil {
		return r, err
	}
	err = harness.Until(ctx, "every pair is whole", f.whole)
	if err != nil {
		return r, err
	}
	r.steady, r.burst = time.Since(began), f.burst()
	fmt.Fprintf(o.log, "%d pairs: whole after %s\n", o.pairs, r.steady.Round(time.Millisecond))
	if r.late, r.daemons, err = f.rest(ctx); err != nil {
		return r, err
	}
	if err := f.kill(ctx, &r); err != nil {
		return r, err
	}
	return r, f.faults(r)
}

func newFleet(ctx context.Context, o options) (*fleet, error) {
	lab, err := harness.NewLab(harness.Options{})
	if err != nil {
		return nil, err
	}
	f := &fleet{options: o, lab: lab, unknown: map[string]int{}}
	if f.redis, err = lab.NewRedis(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	// The laboratory's Redis syncs each write; what comes with a package does that once a second.
	if err := f.redis.Client().ConfigSet(ctx, "appendfsync", "everysec").Err(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.bus = redisbus.New(redisbus.Options{Addr: f.redis.Addr(), Topic: topic, Name: "many"})
	for n := range o.pairs {
		// The whole of 127.0.0.0/8 is this machine.
		at := func(net int) cluster.Endpoint {
			return cluster.Endpoint(fmt.Sprintf("127.%d.%d.%d:%d", net, n/250, n%250+1, port))
		}
		p, err := standin.NewPair(n, at(10), at(11), standin.Options{Unknown: f.strange, Accepted: f.accept, Sampler: sampler})
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.pairs = append(f.pairs, p)
	}
	return f, nil
}

func (f *fleet) strange(statement string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unknown[statement]++
}

func (f *fleet) accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted = append(f.accepted, time.Now())
}

// start writes the files and starts the daemons.
func (f *fleet) start() error {
	dir, err := f.lab.Folder("many")
	if err != nil {
		return err
	}
	redis := harness.Section{Name: "redis", Keys: []harness.Key{{Name: "host", Value: f.redis.Addr()}, {Name: "topic", Value: topic}}}
	var sections []harness.Section
	for n, p := range f.pairs {
		sections = append(sections, harness.Section{Name: "tag" + strconv.Itoa(n), Keys: []harness.Key{
			{Name: "database", Value: "information_schema"},
			{Name: "primaryhost", Value: string(p.Members[0].Addr())}, {Name: "secondaryhost", Value: string(p.Members[1].Addr())},
			{Name: "user", Value: sampler}, {Name: "password", Value: password}, {Name: "uniqsign", Value: string(sign(n))},
			{Name: "interval", Value: "1"}, {Name: "failback", Value: "manual"},
			{Name: "monitor_logfile", Value: filepath.Join(dir, "monitor.log")}, {Name: "identify_logfile", Value: filepath.Join(dir, "identify.log")},
		}})
	}
	conf, agentConf := filepath.Join(dir, "mmm.conf"), filepath.Join(dir, "mmm-agent.conf")
	log := func(name string) harness.Section {
		return harness.Section{Name: "log", Keys: []harness.Key{{Name: "logfile", Value: filepath.Join(dir, name)}}}
	}
	err = errors.Join(
		harness.WriteConfig(conf, append(sections, redis, log("mmm.log"))...),
		harness.WriteConfig(agentConf, harness.Section{Name: "mysql", Keys: []harness.Key{
			{Name: "database", Value: "information_schema"}, {Name: "user", Value: user}, {Name: "password", Value: password},
			{Name: "state_file", Value: filepath.Join(dir, "mmm-agent.state")},
		}}, redis, log("mmm-agent.log")))
	if err != nil {
		return err
	}
	for _, name := range []string{harness.Monitor, harness.Identify, harness.Agent} {
		args := []string{"--conf", conf, "--tag", "all"}
		if name == harness.Agent {
			args = []string{"--conf", agentConf}
		}
		p, err := f.lab.Launch(nil, harness.Command{Path: filepath.Join(f.bin, name), Args: args, Dir: dir, Output: filepath.Join(dir, name+".out")})
		if err != nil {
			return err
		}
		f.daemons, f.names = append(f.daemons, p), append(f.names, name)
	}
	return nil
}

// whole reports whether every pair has an open active and a passive that may take over.
func (f *fleet) whole(ctx context.Context) (bool, string) {
	missing := 0
	for n := range f.pairs {
		a, err := f.bus.Assignment(ctx, sign(n))
		if err != nil {
			return false, err.Error()
		}
		if a.Phase != cluster.PhaseSteady || len(a.Eligible) == 0 || !f.server(n, a.Active).Open() {
			missing++
		}
	}
	return missing == 0, fmt.Sprintf("%d of %d are not; statements that stand-ins do not know: %v", missing, len(f.pairs), f.unknown)
}

func (f *fleet) server(n int, e cluster.Endpoint) *standin.Server {
	p := f.pairs[n]
	if p.Members[1].Addr() == e {
		return p.Members[1]
	}
	return p.Members[0]
}

// burst is the most connections within 100 ms.
func (f *fleet) burst() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	most, from := 0, 0
	for i, at := range f.accepted {
		for at.Sub(f.accepted[from]) > 100*time.Millisecond {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// rest looks for a while at pairs to which nothing happens.
func (f *fleet) rest(ctx context.Context) (late []time.Duration, used []usage, err error) {
	before := make([]harness.Usage, len(f.daemons))
	for i, d := range f.daemons {
		if before[i], err = d.Usage(); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range f.pairs {
		for _, s := range p.Members {
			s.Samples()
		}
	}
	began := time.Now()
	select {
	case <-time.After(f.idle):
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for i, d := range f.daemons {
		u, err := d.Usage()
		if err != nil {
			return nil, nil, err
		}
		used = append(used, usage{f.names[i], 100 * (u.CPU - before[i].CPU).Seconds() / time.Since(began).Seconds(), u.RSS})
	}
	for n, p := range f.pairs {
		for _, s := range p.Members {
			all := s.Samples()
			if want := int(f.idle/interval) / 2; len(all) < want {
				return nil, nil, fmt.Errorf("%s of pair %d was sampled %d times in %s", s.Addr(), n, len(all), f.idle)
			}
			for i := 1; i < len(all); i++ {
				late = append(late, max(0, all[i].Sub(all[i-1])-interval))
			}
		}
	}
	return late, used, nil
}

// kill kills actives, spread over a second, and waits until the others have their roles.
func (f *fleet) kill(ctx context.Context, r *result) error {
	type loss struct {
		n      int
		at     time.Time
		epoch  cluster.Epoch
		victim *standin.Server
	}
	var lost []loss
	for n := range f.fail {
		a, err := f.bus.Assignment(ctx, sign(n))
		if err != nil {
			return err
		}
		lost = append(lost, loss{n: n, epoch: a.Epoch, victim: f.server(n, a.Active)})
	}
	tick := time.NewTicker(time.Second / time.Duration(max(1, f.fail)))
	defer tick.Stop()
	for i := range lost {
		lost[i].at = time.Now()
		lost[i].victim.Kill()
		<-tick.C
	}
	last := lost[len(lost)-1].at
	for _, l := range lost {
		p := f.pairs[l.n]
		heir := p.Members[0]
		if heir == l.victim {
			heir = p.Members[1]
		}
		err := harness.Until(ctx, fmt.Sprintf("%s takes over in pair %d", heir.Addr(), l.n), func(ctx context.Context) (bool, string) {
			a, err := f.bus.Assignment(ctx, sign(l.n))
			if err != nil {
				return false, err.Error()
			}
			return a.Active == heir.Addr() && a.Phase == cluster.PhaseSteady && heir.Open(), fmt.Sprintf("%s: %s", a.Order(), a.Reason)
		})
		if err != nil {
			return err
		}
		events, err := f.bus.Events(ctx, sign(l.n), 10)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Assignment.Phase == cluster.PhaseRevoked && e.Assignment.Epoch == l.epoch+1 {
				ms, _, _ := strings.Cut(e.ID, "-")
				n, err := strconv.ParseInt(ms, 10, 64)
				if err != nil {
					return err
				}
				at := time.UnixMilli(n)
				r.decided = append(r.decided, at.Sub(l.at))
				r.lastDecided = max(r.lastDecided, at.Sub(last))
			}
		}
		changes := heir.Changes()
		r.opened = append(r.opened, changes[len(changes)-1].At.Sub(l.at))
	}
	if len(r.decided) != len(lost) {
		return fmt.Errorf("%d of %d failovers are told of", len(r.decided), len(lost))
	}
	return nil
}

// faults are what breaks the safety of a pair.
func (f *fleet) faults(r result) error {
	for n, p := range f.pairs {
		if p.BothOpen() {
			return fmt.Errorf("both servers of pair %d were open at one moment", n)
		}
		opened := 0
		for _, s := range p.Members {
			for _, c := range s.Changes() {
				if c.Open {
					opened++
				}
			}
		}
		want := 1
		if n < r.failed {
			want = 2
		}
		if opened != want {
			return fmt.Errorf("servers of pair %d were opened %d times, and %d of its actives died", n, opened, want-1)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for statement, n := range f.unknown {
		return fmt.Errorf("stand-ins do not know a statement that they got %d times: %s", n, statement)
	}
	return nil
}

func (f *fleet) close() error {
	err := f.lab.Close()
	if f.bus != nil {
		err = errors.Join(err, f.bus.Close())
	}
	for _, p := range f.pairs {
		for _, s := range p.Members {
			s.Kill()
		}
	}
	return err
}

// quantile is the nearest-rank quantile.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
