package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is one redis-server.
type Redis struct {
	lab    *Lab
	at     Place
	dir    string
	port   int
	proc   *Process
	client *redis.Client
}

// NewRedis starts a redis-server that writes every change to its append-only file.
func (l *Lab) NewRedis(ctx context.Context) (*Redis, error) { return l.NewRedisAt(ctx, nil) }

// NewRedisAt starts a redis-server at a place.
func (l *Lab) NewRedisAt(ctx context.Context, at Place) (*Redis, error) {
	port, err := port(at, 6379)
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{lab: l, at: at, dir: dir, port: port}
	r.client = redis.NewClient(&redis.Options{Addr: r.Addr(), MaxRetries: -1})
	l.onClose(func() { _ = r.client.Close() })
	return r, r.Start(ctx)
}

// Addr is host:port.
func (r *Redis) Addr() string { return address(r.at, r.port) }

// Client reads and writes keys directly.
func (r *Redis) Client() *redis.Client { return r.client }

// Process is the present process.
func (r *Redis) Process() *Process { return r.proc }

func (r *Redis) launch(args ...string) error {
	bin, err := findProgram("redis-server")
	if err != nil {
		return err
	}
	r.proc, err = r.lab.start(processSpec{
		path: bin, dir: r.dir, asServer: true, place: r.at,
		args: append([]string{"--port", strconv.Itoa(r.port), "--bind", ip(r.at), "--protected-mode", "no", "--dir", r.dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0", "--logfile", filepath.Join(r.dir, "redis.log"), "--daemonize", "no"}, args...),
	})
	return err
}

// Start starts the server with the data it had and waits until it answers.
func (r *Redis) Start(ctx context.Context) error {
	if err := r.launch(); err != nil {
		return err
	}
	return r.answers(ctx)
}

func (r *Redis) answers(ctx context.Context) error {
	return Until(ctx, "redis-server answers", func(ctx context.Context) (bool, string) {
		if err := r.client.Ping(ctx).Err(); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
}

// fillers are keys of a data base of their own, which take a while to be loaded.
const (
	fillers   = 30000
	fill      = "redis.call('SELECT', 1) for i = 1, ARGV[1] do redis.call('SET', i, i) end"
	takeAway  = "redis.call('SELECT', 1) redis.call('FLUSHDB')"
	loadDelay = time.Millisecond // for each key
)

// StartLoading kills the server and starts it with so much to load, and so slowly,
// that it says LOADING to everybody for half a minute, or until EndLoading.
func (r *Redis) StartLoading(ctx context.Context) error {
	if err := r.client.Eval(ctx, fill, nil, fillers).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("fill redis %s: %w", r.Addr(), err)
	}
	// What is appended is loaded in big steps between which nobody is answered.
	if err := r.client.BgRewriteAOF(ctx).Err(); err != nil {
		return fmt.Errorf("rewrite the file of redis %s: %w", r.Addr(), err)
	}
	err := Until(ctx, "redis-server has rewritten its file", func(ctx context.Context) (bool, string) {
		info, err := r.client.Info(ctx, "persistence").Result()
		return err == nil && strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0"), info
	})
	if err != nil {
		return err
	}
	r.Kill()
	delay := strconv.FormatInt(loadDelay.Microseconds(), 10)
	if err := r.launch("--key-load-delay", delay, "--loading-process-events-interval-bytes", "1024"); err != nil {
		return err
	}
	return Until(ctx, "redis-server says that it is loading", func(ctx context.Context) (bool, string) {
		err := r.client.Ping(ctx).Err()
		return redis.IsLoadingError(err), fmt.Sprint(err)
	})
}

// EndLoading has the server load the rest at once and waits until it answers.
func (r *Redis) EndLoading(ctx context.Context) error {
	if err := r.client.ConfigSet(ctx, "key-load-delay", "0").Err(); err != nil {
		return fmt.Errorf("have redis %s load quickly: %w", r.Addr(), err)
	}
	if err := r.answers(ctx); err != nil {
		return err
	}
	if err := r.client.Eval(ctx, takeAway, nil).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("empty redis %s: %w", r.Addr(), err)
	}
	return nil
}

// Kill sends SIGKILL.
func (r *Redis) Kill() { r.proc.Kill() }

// Stop shuts the server down cleanly.
func (r *Redis) Stop(ctx context.Context) error { return r.proc.Stop(ctx, syscall.SIGTERM) }

// copyDir is where Keep puts its copy.
func (r *Redis) copyDir() string { return filepath.Join(r.dir, "kept") }

// Keep copies the server's present data, for SetBack.
func (r *Redis) Keep(ctx context.Context) error {
	if err := os.RemoveAll(r.copyDir()); err != nil {
		return fmt.Errorf("copy data of redis %s: %w", r.Addr(), err)
	}
	// What is being appended at this moment is cut off there, which the server forgives.
	return r.lab.run(ctx, r.dir, "", "cp", "-a", filepath.Join(r.dir, appendOnly), r.copyDir())
}

// HasCopy reports whether Keep has made a copy.
func (r *Redis) HasCopy() bool {
	_, err := os.Stat(r.copyDir())
	return err == nil
}

// SetBack has a stopped server come back with the data that it had at the last Keep.
func (r *Redis) SetBack() error {
	if err := r.Forget(); err != nil {
		return err
	}
	if err := os.Rename(r.copyDir(), filepath.Join(r.dir, appendOnly)); err != nil {
		return fmt.Errorf("set back redis %s: %w", r.Addr(), err)
	}
	return nil
}

// appendOnly is the folder in which the server keeps its data.
const appendOnly = "appendonlydir"

// Forget removes all data of a stopped server, so that it comes back empty.
func (r *Redis) Forget() error {
	if r.proc.Running() {
		return fmt.Errorf("forget data of redis %s: it runs", r.Addr())
	}
	for _, name := range []string{appendOnly, "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(r.dir, name)); err != nil {
			return fmt.Errorf("forget data of redis %s: %w", r.Addr(), err)
		}
	}
	return nil
}
