package site

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/host"
)

// Daemon is one daemon on its host.
type Daemon struct {
	Name string
	Host *host.Host

	site     *Site
	programs harness.Programs
	dir      string
	proc     *harness.Process
}

// String names the daemon and its host.
func (d *Daemon) String() string { return strings.TrimPrefix(d.Name, "mmm-") + "@" + d.Host.Name() }

// Process is its present process, nil before the first start.
func (d *Daemon) Process() *harness.Process { return d.proc }

// Start starts it with the programs of the site, or with those of Use.
func (d *Daemon) Start() error {
	args := []string{"--conf", filepath.Join(d.dir, "mmm.conf"), "--tag", harness.ServiceTag}
	if d.Name == harness.Agent {
		args = []string{"--conf", filepath.Join(d.dir, "mmm-agent.conf")}
	}
	var err error
	d.proc, err = d.site.Lab.Launch(d.Host, harness.Command{
		Path: d.programs.Path(d.Name), Args: args, Dir: d.dir, Output: filepath.Join(d.dir, d.Name+".out"),
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", d, err)
	}
	return nil
}

// Log is the file that the daemon's own messages are in.
func (d *Daemon) Log() string {
	name := "mmm.log" // monitor and identify share it, and each tag has one of its own
	if d.Name == harness.Agent {
		name = "mmm-agent.log"
	}
	return filepath.Join(d.dir, name)
}

// Use has the next starts take other programs.
func (d *Daemon) Use(p harness.Programs) { d.programs = p }

// Quit stops it in order.
func (d *Daemon) Quit(ctx context.Context) error {
	if d.Name == harness.Agent {
		return d.proc.Stop(ctx, syscall.SIGTERM)
	}
	return d.proc.Stop(ctx, syscall.SIGQUIT)
}

// Named are the daemons with this name.
func (s *Site) Named(name string) []*Daemon {
	var found []*Daemon
	for _, d := range s.Daemons {
		if d.Name == name {
			found = append(found, d)
		}
	}
	return found
}

func (s *Site) startDaemons(context.Context) error {
	// The operator's tools have files of their own.
	s.Conf, s.AgentConf = filepath.Join(s.dir, "mmm.conf"), filepath.Join(s.dir, "mmm-agent.conf")
	if err := s.writeFiles(s.dir); err != nil {
		return err
	}
	places := []struct{ daemon, host string }{
		{harness.Monitor, "mo1"}, {harness.Monitor, "mo2"}, {harness.Monitor, "mo3"},
		{harness.Identify, "mo1"}, {harness.Identify, "mo2"},
	}
	if s.opts.Single {
		places = []struct{ daemon, host string }{{harness.Monitor, "mo1"}, {harness.Identify, "mo1"}}
	}
	if s.opts.Mode == Classic {
		places = append(places, struct{ daemon, host string }{harness.Agent, "mo3"})
	} else {
		places = append(places, struct{ daemon, host string }{harness.Agent, "db1"}, struct{ daemon, host string }{harness.Agent, "db2"})
	}
	for _, at := range places {
		d := &Daemon{Name: at.daemon, Host: s.Net.Host(at.host), site: s, programs: s.opts.Programs}
		var err error
		if d.dir, err = s.folder(d); err != nil {
			return err
		}
		if err := s.writeFiles(d.dir); err != nil {
			return err
		}
		s.Daemons = append(s.Daemons, d)
		if err := d.Start(); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes both configuration files into a folder, with their logs there.
func (s *Site) writeFiles(dir string) error {
	a, b := s.DB[0], s.DB[1]
	watchers := strings.Join(managers, ", ")
	if s.opts.Single {
		watchers = managers[0]
	}
	tag := harness.Section{Name: harness.ServiceTag, Keys: []harness.Key{
		{Name: "database", Value: "information_schema"},
		{Name: "primaryhost", Value: string(a.Addr())},
		{Name: "secondaryhost", Value: string(b.Addr())},
		{Name: "excludeuser", Value: "root, " + harness.ManagerUser + ", " + harness.WatcherUser + ", " + harness.ReplUser + ", " + Rescuer},
		{Name: "user", Value: harness.WatcherUser},
		{Name: "password", Value: harness.Password},
		{Name: "uniqsign", Value: string(s.UniqSign)},
		{Name: "servicemode", Value: "1"},
		{Name: "connect_timeout", Value: "1"},
		{Name: "interval", Value: "3"},
		{Name: "try_times", Value: "2"},
		{Name: "monitors", Value: watchers},
		{Name: "failback", Value: "manual"},
		{Name: "failover_block", Value: "3"},
		{Name: "durability", Value: string(s.opts.Mode.Durability())},
		{Name: "write_probe", Value: "1"},
		{Name: "monitor_logfile", Value: filepath.Join(dir, "mmm-monitor.log")},
		{Name: "identify_logfile", Value: filepath.Join(dir, "mmm-identify.log")},
	}}
	redis := harness.Section{Name: "redis", Keys: []harness.Key{{Name: "topic", Value: harness.Topic}}}
	if s.opts.Sentinels {
		var addrs []string
		for _, store := range s.Stores {
			addrs = append(addrs, store.Sentinel.Addr())
		}
		redis = redis.With(map[string]string{"sentinels": strings.Join(addrs, ", "), "master_name": harness.MasterName})
	} else {
		redis = redis.With(map[string]string{"host": s.Stores[0].Addr()})
	}
	if err := harness.WriteConfig(filepath.Join(dir, "mmm.conf"), tag.With(s.opts.Tag), redis,
		harness.Section{Name: "log", Keys: []harness.Key{{Name: "logfile", Value: filepath.Join(dir, "mmm.log")}}}); err != nil {
		return err
	}
	mysql := harness.Section{Name: "mysql", Keys: []harness.Key{
		{Name: "database", Value: "information_schema"},
		{Name: "user", Value: harness.ManagerUser},
		{Name: "password", Value: harness.Password},
		{Name: "connect_timeout", Value: "1"},
		{Name: "try_on_failure", Value: "3"},
		{Name: "state_file", Value: filepath.Join(dir, "mmm-agent.state")},
	}}
	keys := maps.Clone(s.opts.Agent)
	if keys == nil {
		keys = map[string]string{}
	}
	if s.opts.Mode != Classic {
		keys["scope"] = "local"
	}
	return harness.WriteConfig(filepath.Join(dir, "mmm-agent.conf"), mysql.With(keys), redis,
		harness.Section{Name: "log", Keys: []harness.Key{{Name: "logfile", Value: filepath.Join(dir, "mmm-agent.log")}}})
}
