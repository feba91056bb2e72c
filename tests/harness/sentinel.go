package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// MasterName is what sentinels call the master.
const MasterName = "mmm"

// NewSentinel starts a sentinel that takes master for the master and moves it
// alone, and returns its address.
func (l *Lab) NewSentinel(ctx context.Context, master *Redis) (addr string, err error) {
	bin, err := findProgram("redis-server")
	if err != nil {
		return "", err
	}
	port, err := FreePort()
	if err != nil {
		return "", err
	}
	dir, err := l.folder("sentinel")
	if err != nil {
		return "", err
	}
	host, number, _ := net.SplitHostPort(master.Addr())
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %[3]s 1000\nsentinel failover-timeout %[3]s 2000\n",
		port, dir, MasterName, host, number)
	conf := filepath.Join(dir, "sentinel.conf")
	// A sentinel writes its file anew.
	if err := os.WriteFile(conf, []byte(text), 0o666); err != nil {
		return "", err
	}
	if err := os.Chmod(conf, 0o666); err != nil {
		return "", err
	}
	if _, err := l.start(processSpec{name: "sentinel", path: bin, dir: dir, asServer: true, args: []string{conf, "--sentinel"}}); err != nil {
		return "", err
	}
	addr = "127.0.0.1:" + strconv.Itoa(port)
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer client.Close()
	return addr, Until(ctx, "the sentinel answers", func(ctx context.Context) (bool, string) {
		err := client.Ping(ctx).Err()
		return err == nil, fmt.Sprint(err)
	})
}

// FollowSentinel has the site's own view of the records go where the sentinel says.
func (s *Site) FollowSentinel(addr string) {
	s.bus = redisbus.New(redisbus.Options{Sentinels: []string{addr}, MasterName: MasterName, Topic: Topic, Name: "laboratory"})
	s.Lab.onClose(func() { _ = s.bus.Close() })
}
