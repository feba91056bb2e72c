package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// MasterName is what sentinels call the master.
const MasterName = "mmm"

// NewSentinel starts a sentinel that takes master for the master and moves it
// alone, and returns its address.
func (l *Lab) NewSentinel(ctx context.Context, master *Redis) (addr string, err error) {
	s, err := l.NewSentinelAt(ctx, nil, master, 1)
	if err != nil {
		return "", err
	}
	return s.Addr(), nil
}

// Sentinel is one sentinel of Redis.
type Sentinel struct {
	lab  *Lab
	at   Place
	port int
	dir  string
	proc *Process
}

// NewSentinelAt starts a sentinel at a place that takes master for the master, and moves it when
// so many sentinels agree that it is gone.
func (l *Lab) NewSentinelAt(ctx context.Context, at Place, master *Redis, quorum int) (*Sentinel, error) {
	port, err := port(at, 26379)
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("sentinel")
	if err != nil {
		return nil, err
	}
	s := &Sentinel{lab: l, at: at, port: port, dir: dir}
	host, number, _ := net.SplitHostPort(master.Addr())
	text := fmt.Sprintf("port %d\nbind %s\nprotected-mode no\ndir %s\nsentinel monitor %s %s %s %d\nsentinel down-after-milliseconds %[4]s 1000\nsentinel failover-timeout %[4]s 2000\n",
		port, ip(at), dir, MasterName, host, number, quorum)
	// A sentinel writes its file anew.
	if err := os.WriteFile(s.conf(), []byte(text), 0o666); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.conf(), 0o666); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// Addr is host:port.
func (s *Sentinel) Addr() string { return address(s.at, s.port) }

// Process is the present process.
func (s *Sentinel) Process() *Process { return s.proc }

func (s *Sentinel) conf() string { return filepath.Join(s.dir, "sentinel.conf") }

// Start starts the sentinel with what it knew and waits until it answers.
func (s *Sentinel) Start(ctx context.Context) error {
	bin, err := findProgram("redis-server")
	if err != nil {
		return err
	}
	s.proc, err = s.lab.start(processSpec{name: "sentinel", path: bin, dir: s.dir, asServer: true, place: s.at, args: []string{s.conf(), "--sentinel"}})
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer client.Close()
	return Until(ctx, "the sentinel answers", func(ctx context.Context) (bool, string) {
		err := client.Ping(ctx).Err()
		return err == nil, fmt.Sprint(err)
	})
}

// FollowSentinel has the site's own view of the records go where the sentinel says.
func (s *Site) FollowSentinel(addr string) {
	s.bus = redisbus.New(redisbus.Options{Sentinels: []string{addr}, MasterName: MasterName, Topic: Topic, Name: "laboratory"})
	s.Lab.onClose(func() { _ = s.bus.Close() })
}
