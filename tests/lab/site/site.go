// Package site is one pair of servers with its Redis, daemons and clients on hosts of their
// own, as a place has it that wants to survive: an agent on each server's host, three monitors, two identifies.
package site

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/host"
)

// Mode is how a pair is set up.
type Mode string

// The modes.
const (
	// SemiSync and Strict are pairs whose commits wait, with an agent on each server's host.
	SemiSync Mode = "semisync"
	Strict   Mode = "semisync-strict"
	// Async has an agent on each server's host, and commits wait for nobody.
	Async Mode = "async"
	// Classic is the predecessor's way: one agent for both, far from the servers, and commits wait for nobody.
	Classic Mode = "classic"
)

// Modes are all modes.
var Modes = []Mode{SemiSync, Strict, Async, Classic}

// Durability is what mmm.conf says.
func (m Mode) Durability() cluster.Durability {
	if m == Classic {
		return cluster.Async
	}
	return cluster.Durability(m)
}

// The hosts.
var (
	servers  = []string{"db1", "db2"}
	stores   = []string{"rd1", "rd2", "rd3"}
	managers = []string{"mo1", "mo2", "mo3"}
	// Clients are where applications run.
	Clients = []string{"cl1", "cl2"}
)

// Rescuer is the user of a person who mends servers.
const Rescuer = "dba"

// Users are the statements that a laboratory of sites is to make its servers with: the person, and that applications may
// read in which epoch they write.
var Users = []string{
	"CREATE USER " + Rescuer + " IDENTIFIED BY '" + harness.Password + "'",
	"GRANT ALL ON *.* TO " + Rescuer,
	"GRANT SELECT ON mmm_meta.* TO " + harness.AppUser,
}

// Options describe a site.
type Options struct {
	Mode Mode
	// Sentinels has three Redis with a Sentinel each, else there is one.
	Sentinels bool
	Programs  harness.Programs
	Freezer   *disk.Freezer
	// Single has one monitor and one identify, else there are three and two.
	Single bool
	// Heartbeat is how often a replica hears its source when nothing is written; 1 s when zero.
	Heartbeat time.Duration
	// Tag and Agent replace or add keys of the tag's section and of the agents' [mysql].
	Tag, Agent map[string]string
}

// DB is one server with its host, disk and, but in Classic, agent.
type DB struct {
	*harness.Server
	Host *host.Host
	Disk *disk.Disk
}

// Store is one Redis with its host and, where there are any, sentinel.
type Store struct {
	*harness.Redis
	Host     *host.Host
	Sentinel *harness.Sentinel
}

// Site is a pair with everything that belongs to it.
type Site struct {
	opts     Options
	Lab      *harness.Lab
	Net      *host.Net
	DB       []*DB
	Stores   []*Store
	Daemons  []*Daemon
	units    []*Unit
	UniqSign cluster.UniqSign
	// Conf and AgentConf are the files of the operator's tools.
	Conf, AgentConf string

	dir string
	bus *redisbus.Bus
}

// diskBytes is the size of a server's disk.
var diskBytes = map[harness.Flavor]int64{harness.MariaDB: 600 << 20, harness.MySQL: 1200 << 20}

// New makes hosts, servers and Redis and starts them, and then the daemons.
func New(ctx context.Context, lab *harness.Lab, opts Options) (*Site, error) {
	s := &Site{opts: opts, Lab: lab}
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	s.UniqSign = cluster.UniqSign(hex.EncodeToString(id[:]))
	var err error
	if s.dir, err = lab.Folder("site"); err != nil {
		return nil, err
	}
	if s.Net, err = host.NewNet(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{s.makeHosts, s.startStores, s.startServers, s.startDaemons} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	s.makeUnits()
	return s, nil
}

func (s *Site) makeHosts(context.Context) error {
	names := append(append([]string{}, servers...), stores[:s.storeCount()]...)
	for _, name := range append(append(names, managers...), Clients...) {
		if _, err := s.Net.Add(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) storeCount() int {
	if s.opts.Sentinels {
		return len(stores)
	}
	return 1
}

func (s *Site) startStores(ctx context.Context) error {
	options := redisbus.Options{Topic: harness.Topic, Name: "laboratory"}
	for _, name := range stores[:s.storeCount()] {
		at := s.Net.Host(name)
		redis, err := s.Lab.NewRedisAt(ctx, at)
		if err != nil {
			return err
		}
		s.Stores = append(s.Stores, &Store{Redis: redis, Host: at})
	}
	if !s.opts.Sentinels {
		options.Addr = s.Stores[0].Addr()
		s.bus = redisbus.New(options)
		return nil
	}
	first := s.Stores[0]
	for _, other := range s.Stores[1:] {
		if err := other.Client().ReplicaOf(ctx, first.Host.IP(), "6379").Err(); err != nil {
			return fmt.Errorf("have redis %s follow: %w", other.Addr(), err)
		}
	}
	options.MasterName = harness.MasterName
	for _, store := range s.Stores {
		var err error
		if store.Sentinel, err = s.Lab.NewSentinelAt(ctx, store.Host, first.Redis, 2); err != nil {
			return err
		}
		options.Sentinels = append(options.Sentinels, store.Sentinel.Addr())
	}
	s.bus = redisbus.New(options)
	return nil
}

// mountImages makes the folder of the disks' images, in memory: what is synchronous on a disk
// would otherwise be as slow as the machine's own disk is with several laboratories on it.
func (s *Site) mountImages() (string, error) {
	dir := filepath.Join(s.dir, "images")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", 2*diskBytes[s.Lab.Flavor()]+64<<20)); err != nil {
		return "", fmt.Errorf("mount memory for disks: %w", err)
	}
	return dir, nil
}

func (s *Site) startServers(ctx context.Context) error {
	images, err := s.mountImages()
	if err != nil {
		return err
	}
	for i, name := range servers {
		db := &DB{Host: s.Net.Host(name)}
		uid, gid := s.Lab.Owner()
		db.Server, err = s.Lab.NewServer(ctx, harness.ServerOptions{ID: uint32(i + 1), At: db.Host, Heartbeat: s.opts.Heartbeat, Prepare: func(data string) error {
			var err error
			db.Disk, err = disk.New(ctx, filepath.Join(images, name+".img"), data, diskBytes[s.Lab.Flavor()], uid, gid)
			if err == nil {
				db.Disk.Freezer = s.opts.Freezer
			}
			return err
		}})
		if err != nil {
			return err
		}
		s.DB = append(s.DB, db)
	}
	group, starting := errgroup.WithContext(ctx)
	for _, db := range s.DB {
		group.Go(func() error { return db.Start(starting) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, db := range s.DB {
		if err := db.ReplicateFrom(ctx, s.DB[1-i].Server); err != nil {
			return err
		}
	}
	return errors.Join(s.Pair().WaitReplicating(ctx), s.Sync(ctx))
}

// Sync has what servers have written so far outlive the failure of a disk: what comes later they see to themselves.
func (s *Site) Sync(ctx context.Context) error {
	var all error
	for _, db := range s.DB {
		all = errors.Join(all, db.Disk.Sync(ctx))
	}
	return all
}

// Pair is both servers.
func (s *Site) Pair() *harness.Pair { return &harness.Pair{A: s.DB[0].Server, B: s.DB[1].Server} }

// At is the server with this address, nil when there is none.
func (s *Site) At(e cluster.Endpoint) *DB {
	for _, db := range s.DB {
		if db.Addr() == e {
			return db
		}
	}
	return nil
}

// Other is the server that is not db.
func (s *Site) Other(db *DB) *DB {
	if db == s.DB[0] {
		return s.DB[1]
	}
	return s.DB[0]
}

// Snapshot reads everything that Redis holds about the pair.
func (s *Site) Snapshot(ctx context.Context) (cluster.Snapshot, error) {
	return s.bus.Snapshot(ctx, s.UniqSign)
}

// Events reads the newest n entries of the audit trail, newest first.
func (s *Site) Events(ctx context.Context, n int) ([]cluster.Event, error) {
	return s.bus.Events(ctx, s.UniqSign, n)
}

// Mode is how the pair is set up.
func (s *Site) Mode() Mode { return s.opts.Mode }

// Sentinels reports whether there are three Redis with sentinels.
func (s *Site) Sentinels() bool { return s.opts.Sentinels }

// Programs are the programs that the daemons run.
func (s *Site) Programs() harness.Programs { return s.opts.Programs }

// Logs are the files that the daemons write, and what they print.
func (s *Site) Logs() ([]string, error) {
	var all []string
	err := filepath.WalkDir(s.dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && (strings.HasSuffix(path, ".log") || strings.HasSuffix(path, ".out")) {
			all = append(all, path)
		}
		return err
	})
	return all, err
}

// Close ends every process of the site and takes its disks and networks away.
func (s *Site) Close() error {
	err := s.bus.Close()
	for _, u := range s.units {
		u.Hold()
		if p := u.Process(); p != nil {
			p.Kill()
		}
	}
	for _, db := range s.DB {
		err = errors.Join(err, db.Disk.Close())
	}
	// A disk vanishes when the last who used it has ended.
	return errors.Join(err, s.Net.Close(), unix.Unmount(filepath.Join(s.dir, "images"), unix.MNT_DETACH), os.RemoveAll(s.dir))
}

// folder makes the folder of one daemon.
func (s *Site) folder(d *Daemon) (string, error) {
	dir := filepath.Join(s.dir, d.String())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return dir, nil
}
