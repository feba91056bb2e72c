package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// The daemons.
const (
	Monitor  = "mmm-monitor"
	Identify = "mmm-identify"
	Agent    = "mmm-agent"
)

// MainLog is the log that monitor and identify share; each tag's goes to one of its own.
const MainLog = "mmm"

// SiteOptions describe a site.
type SiteOptions struct {
	Programs Programs
	Pair     PairOptions
	// Tag and Agent replace or add keys of the tag's section and of the agent's [mysql].
	Tag, Agent map[string]string
	// LeastGrants lets monitor and identify run as WatcherUser; both
	// files name ManagerUser without it.
	LeastGrants bool
	// Redis replaces or adds keys of section [redis] of both files.
	Redis map[string]string
}

// Site is one pair with its Redis, the configuration files and the daemons that run.
type Site struct {
	Lab      *Lab
	Pair     *Pair
	Redis    *Redis
	UniqSign cluster.UniqSign
	// Conf is the file of monitor, identify and the tools, AgentConf the agent's.
	Conf, AgentConf string
	Programs        Programs

	dir     string
	bus     *redisbus.Bus
	daemons []*Daemon
}

// NewSite starts a pair and a Redis and writes both files; no daemon runs yet.
func (l *Lab) NewSite(ctx context.Context, opts SiteOptions) (*Site, error) {
	dir, err := l.folder("site")
	if err != nil {
		return nil, err
	}
	s := &Site{
		Lab: l, UniqSign: cluster.UniqSign(newUniqSign()), Programs: opts.Programs, dir: dir,
		Conf: filepath.Join(dir, "mmm.conf"), AgentConf: filepath.Join(dir, "mmm-agent.conf"),
	}
	if s.Redis, err = l.NewRedis(ctx); err != nil {
		return nil, err
	}
	if s.Pair, err = l.NewPair(ctx, opts.Pair); err != nil {
		return nil, err
	}
	s.bus = redisbus.New(redisbus.Options{Addr: s.Redis.Addr(), Topic: Topic, Name: "laboratory"})
	l.onClose(func() { _ = s.bus.Close() })
	return s, s.WriteFiles(opts)
}

// WriteFiles writes both configuration files anew.
func (s *Site) WriteFiles(opts SiteOptions) error {
	user := ManagerUser
	if opts.LeastGrants {
		user = WatcherUser
	}
	tag := Section{ServiceTag, []Key{
		{"database", "information_schema"},
		{"primaryhost", string(s.Pair.A.Addr()) + " # primary select as active master."},
		{"secondaryhost", string(s.Pair.B.Addr())},
		{"excludeuser", "root, " + ManagerUser + ", " + WatcherUser + ", " + ReplUser + " # ignore when count mysql running thread."},
		{"user", user},
		{"password", Password},
		{"uniqsign", string(s.UniqSign)},
		{"servicemode", "1"},
		{"charset", "utf8"},
		{"connect_timeout", "1"},
		{"interval", "3"},
		{"try_times", "2"},
		{"monitor_logfile", filepath.Join(s.dir, "mmm-monitor.log")},
		{"identify_logfile", filepath.Join(s.dir, "mmm-identify.log")},
	}}
	redis := Section{"redis", []Key{{"host", s.Redis.Addr()}, {"topic", Topic}}}.With(opts.Redis)
	err := WriteConfig(s.Conf, tag.With(opts.Tag), redis, Section{"log", []Key{{"logfile", filepath.Join(s.dir, MainLog+".log")}}})
	mysql := Section{"mysql", []Key{
		{"database", "information_schema"},
		{"user", ManagerUser},
		{"password", Password},
		{"charset", "utf8"},
		{"connect_timeout", "1"},
		{"try_on_failure", "3"},
		{"state_file", filepath.Join(s.dir, "mmm-agent.state")},
	}}
	return errors.Join(err, WriteConfig(s.AgentConf, mysql.With(opts.Agent), redis,
		Section{"log", []Key{{"logfile", filepath.Join(s.dir, "mmm-agent.log")}}}))
}

// Daemon is one started daemon.
type Daemon struct {
	*Process
	Name string
	site *Site
	args []string
	env  []string
	out  string
}

// Start starts one daemon of the site with its file and tag. Further arguments
// that look like NAME=VALUE are added to its environment.
func (s *Site) Start(name string, env ...string) (*Daemon, error) {
	d := &Daemon{Name: name, site: s, env: env, out: filepath.Join(s.dir, fmt.Sprintf("%s-%d.out", name, len(s.daemons)+1))}
	if name == Agent {
		d.args = []string{"--conf", s.AgentConf}
	} else {
		d.args = []string{"--conf", s.Conf, "--tag", ServiceTag}
	}
	s.daemons = append(s.daemons, d)
	return d, d.Start()
}

// StartAll starts one of each daemon.
func (s *Site) StartAll() error {
	for _, name := range []string{Monitor, Identify, Agent} {
		if _, err := s.Start(name); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the daemon again after it has ended.
func (d *Daemon) Start() error {
	out, err := os.OpenFile(d.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", d.Name, err)
	}
	defer out.Close()
	d.Process, err = d.site.Lab.start(processSpec{
		path: d.site.Programs.Path(d.Name), args: d.args, dir: d.site.dir, stdout: out, env: d.env,
	})
	return err
}

// Quit stops the daemon cleanly: SIGQUIT, which the predecessor's users know; SIGTERM for the agent.
func (d *Daemon) Quit(ctx context.Context) error {
	if d.Name == Agent {
		return d.Stop(ctx, syscall.SIGTERM)
	}
	return d.Stop(ctx, syscall.SIGQUIT)
}

// Output is the end of what the daemon printed.
func (d *Daemon) Output(n int) string { return tailFile(d.out, n) }

// Daemons are all daemons ever started in the site.
func (s *Site) Daemons() []*Daemon { return s.daemons }

// Daemon is the first daemon with this name, nil when none was started.
func (s *Site) Daemon(name string) *Daemon {
	for _, d := range s.daemons {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Log is the end of the log file of one daemon, or of MainLog.
func (s *Site) Log(name string, n int) string { return tailFile(filepath.Join(s.dir, name+".log"), n) }

// Snapshot reads everything that Redis holds about the pair.
func (s *Site) Snapshot(ctx context.Context) (cluster.Snapshot, error) {
	return s.bus.Snapshot(ctx, s.UniqSign)
}

// Events reads the newest n entries of the audit trail, newest first.
func (s *Site) Events(ctx context.Context, n int) ([]cluster.Event, error) {
	return s.bus.Events(ctx, s.UniqSign, n)
}

// Bus is a connection to the site's Redis that speaks mmm-manager's records.
func (s *Site) Bus() *redisbus.Bus { return s.bus }

// Tool runs one of the tools with the site's file.
func (s *Site) Tool(ctx context.Context, name string, args ...string) (Output, error) {
	return s.Programs.Run(ctx, name, append([]string{"--conf", s.Conf}, args...)...)
}

// Close ends the daemons, servers and Redis of the site and removes their data.
func (s *Site) Close() {
	for _, d := range s.daemons {
		if d.Process != nil {
			d.Kill()
		}
	}
	for _, server := range s.Pair.Servers() {
		if p := server.Process(); p != nil {
			p.Kill()
		}
		_ = os.RemoveAll(server.dir)
	}
	s.Redis.Kill()
	_ = os.RemoveAll(s.Redis.dir)
}

// WaitOpen waits until the record is steady with active open, the other server
// closed if it runs, and returns the record.
func (s *Site) WaitOpen(ctx context.Context, active *Server) (cluster.Assignment, error) {
	var record cluster.Assignment
	err := Until(ctx, "the pair is steady with "+string(active.Addr())+" open", func(ctx context.Context) (bool, string) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		record = snap.Assignment
		if record.Phase != cluster.PhaseSteady || record.Active != active.Addr() {
			return false, describe(snap)
		}
		if closed, err := active.ReadOnly(ctx); err != nil || closed {
			return false, fmt.Sprintf("%s; read_only of the active %v, %v", describe(snap), closed, err)
		}
		other := s.Pair.Other(active)
		if !other.Answers(ctx) {
			return true, ""
		}
		if closed, err := other.ReadOnly(ctx); err != nil || !closed {
			return false, fmt.Sprintf("%s; read_only of the passive %v, %v", describe(snap), closed, err)
		}
		return true, ""
	})
	return record, err
}

// WaitWhole waits until the pair is steady with active open and both servers replicate from each other.
func (s *Site) WaitWhole(ctx context.Context, active *Server) (cluster.Assignment, error) {
	record, err := s.WaitOpen(ctx, active)
	if err != nil {
		return record, err
	}
	return record, s.Pair.WaitReplicating(ctx)
}

// WaitReady waits until identify says that it would open candidate if the active
// died now.
func (s *Site) WaitReady(ctx context.Context, candidate *Server) error {
	return Until(ctx, "a failover to "+string(candidate.Addr())+" would happen", func(ctx context.Context) (bool, string) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		v := snap.Verdict
		return v != nil && v.Order == snap.Assignment.Order() && v.Candidate == candidate.Addr() && len(v.Blockers) == 0, describe(snap)
	})
}

// WaitSeen waits until some monitor's view of the server satisfies cond.
func (s *Site) WaitSeen(ctx context.Context, server *Server, what string, cond func(cluster.Observation) bool) error {
	return Until(ctx, "a monitor sees "+string(server.Addr())+" "+what, func(ctx context.Context) (bool, string) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, o := range snap.Observations[server.Addr()] {
			if cond(o) {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", snap.Observations[server.Addr()])
	})
}

// WaitReport waits until some agent's report of the server satisfies cond.
func (s *Site) WaitReport(ctx context.Context, server *Server, what string, cond func(cluster.Report) bool) (cluster.Report, error) {
	var found cluster.Report
	err := Until(ctx, "an agent reports "+what+" of "+string(server.Addr()), func(ctx context.Context) (bool, string) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, r := range snap.Reports[server.Addr()] {
			if cond(r) {
				found = r
				return true, ""
			}
		}
		return false, describe(snap)
	})
	return found, err
}

// Answers reports whether the server runs, is not frozen and answers at once.
func (s *Server) Answers(ctx context.Context) bool {
	p := s.Process()
	if p == nil || !p.Running() || p.Stopped() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.admin.PingContext(ctx) == nil
}

// describe says in one line where a pair stands.
func describe(snap cluster.Snapshot) string {
	a := snap.Assignment
	text := fmt.Sprintf("record %s %s active %q from %q to %q: %s", a.Order(), a.Phase, a.Active, a.From, a.To, a.Reason)
	if v := snap.Verdict; v != nil {
		text += fmt.Sprintf("; verdict %s: %s", v.Reason.Code, v.Reason.Text)
		for _, b := range v.Blockers {
			text += "; blocked: " + b.Text
		}
	} else {
		text += "; no verdict"
	}
	for node, reports := range snap.Reports {
		for _, r := range reports {
			text += fmt.Sprintf("; agent on %s: order %s %s %s", node, r.Order, r.Deed, r.Reason)
		}
	}
	if len(snap.Reports) == 0 {
		text += "; no agent"
	}
	for _, f := range snap.Faults {
		text += "; fault: " + f
	}
	return text
}
