package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Redis is one redis-server.
type Redis struct {
	lab    *Lab
	dir    string
	port   int
	proc   *Process
	client *redis.Client
}

// NewRedis starts a redis-server that writes every change to its append-only file.
func (l *Lab) NewRedis(ctx context.Context) (*Redis, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{lab: l, dir: dir, port: port}
	r.client = redis.NewClient(&redis.Options{Addr: r.Addr(), MaxRetries: -1})
	l.onClose(func() { _ = r.client.Close() })
	return r, r.Start(ctx)
}

// Addr is host:port.
func (r *Redis) Addr() string { return "127.0.0.1:" + strconv.Itoa(r.port) }

// Client reads and writes keys directly.
func (r *Redis) Client() *redis.Client { return r.client }

// Process is the present process.
func (r *Redis) Process() *Process { return r.proc }

// Start starts the server with the data it had and waits until it answers.
func (r *Redis) Start(ctx context.Context) error {
	bin, err := findProgram("redis-server")
	if err != nil {
		return err
	}
	r.proc, err = r.lab.start(processSpec{
		path: bin, dir: r.dir, asServer: true,
		args: []string{"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", "always", "--logfile", filepath.Join(r.dir, "redis.log"), "--daemonize", "no"},
	})
	if err != nil {
		return err
	}
	return Until(ctx, "redis-server answers", func(ctx context.Context) (bool, string) {
		if err := r.client.Ping(ctx).Err(); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
}

// Kill sends SIGKILL.
func (r *Redis) Kill() { r.proc.Kill() }

// Stop shuts the server down cleanly.
func (r *Redis) Stop(ctx context.Context) error { return r.proc.Stop(ctx, syscall.SIGTERM) }

// Forget removes all data of a stopped server, so that it comes back empty.
func (r *Redis) Forget() error {
	if r.proc.Running() {
		return fmt.Errorf("forget data of redis %s: it runs", r.Addr())
	}
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
			return fmt.Errorf("forget data of redis %s: %w", r.Addr(), err)
		}
	}
	return nil
}
