package harness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// ServerOptions describe one server.
type ServerOptions struct {
	// ID is server_id.
	ID uint32
	// AutoReplicate lets replication start together with the server; without it
	// the server starts without.
	AutoReplicate bool
	// Heartbeat is how often its source is heard when nothing is written; 1 s when zero.
	Heartbeat time.Duration
	// Extra are further options of the server, after the laboratory's own.
	Extra []string
	// At is the host it runs on; this machine when nil.
	At Place
	// Prepare, when set, gets the empty data folder before anything is put there.
	Prepare func(data string) error
}

// Server is one database server with its own data folder; it may be stopped and
// started any number of times. read_only is 1 after each start.
type Server struct {
	lab  *Lab
	opts ServerOptions
	dir  string
	port int
	uuid string // of its transactions, on MySQL
	// Starts begin with these; a test may change them while the server is down.
	Extra []string

	mu    sync.Mutex
	proc  *Process
	admin *sql.DB
}

// NewServer prepares the data folder of a server; it does not start it.
func (l *Lab) NewServer(ctx context.Context, opts ServerOptions) (*Server, error) {
	port, err := port(opts.At, 3306)
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("db")
	if err != nil {
		return nil, err
	}
	s := &Server{lab: l, opts: opts, dir: dir, port: port, Extra: opts.Extra}
	if opts.Prepare != nil {
		if err := os.Mkdir(s.Data(), 0o755); err != nil {
			return nil, fmt.Errorf("prepare server: %w", err)
		}
		if err := opts.Prepare(s.Data()); err != nil {
			return nil, fmt.Errorf("prepare server: %w", err)
		}
	}
	if err := s.Reset(ctx); err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User = "unix", s.socket(), "root"
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare server: %w", err)
	}
	s.admin = sql.OpenDB(connector)
	s.admin.SetMaxIdleConns(1)
	l.onClose(func() { _ = s.admin.Close() })
	return s, nil
}

// Addr is the server's address.
func (s *Server) Addr() cluster.Endpoint { return cluster.Endpoint(address(s.opts.At, s.port)) }

// Data is its data folder.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

// ID is its server_id, which names its transactions.
func (s *Server) ID() uint32 { return s.opts.ID }

// Admin is a pool of connections of root over the server's socket. root
// bypasses read_only (Write super_read_only too) and has the connection slot reserved for administrators.
func (s *Server) Admin() *sql.DB { return s.admin }

// Process is the server's present process, nil before the first start.
func (s *Server) Process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// ErrorLog gives the last n lines of the server's error log.
func (s *Server) ErrorLog(n int) string { return tailFile(filepath.Join(s.dir, "error.log"), n) }

// Reset gives a stopped server a fresh data folder without any transaction.
func (s *Server) Reset(ctx context.Context) error {
	if p := s.Process(); p != nil && p.Running() {
		return fmt.Errorf("reset %s: it runs", s.Addr())
	}
	template, err := s.lab.dataTemplate(ctx)
	if err != nil {
		return err
	}
	data := s.Data()
	if err := emptied(data); err != nil {
		return fmt.Errorf("reset %s: %w", s.Addr(), err)
	}
	if err := s.lab.run(ctx, s.dir, "", "cp", "-a", "--reflink=auto", "--sparse=always", template+"/.", data); err != nil {
		return err
	}
	return s.identify(data)
}

// emptied takes away all that a folder holds; the folder may be a disk of its own.
func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the server and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	if err := s.Launch(); err != nil {
		return err
	}
	return s.WaitReady(ctx)
}

// Launch starts the server without waiting for it.
func (s *Server) Launch() error {
	if p := s.Process(); p != nil && p.Running() {
		return fmt.Errorf("start %s: it runs already", s.Addr())
	}
	server, err := s.lab.serverProgram()
	if err != nil {
		return err
	}
	if err := s.clearTemporary(); err != nil {
		return err
	}
	args := append(server.args, s.lab.flavor.baseOptions(s.Data(), s.dir)...)
	args = append(args,
		"--port="+strconv.Itoa(s.port),
		"--bind-address="+ip(s.opts.At),
		"--socket="+s.socket(),
		"--pid-file="+filepath.Join(s.dir, "pid"),
		"--log-error="+filepath.Join(s.dir, "error.log"),
		"--server-id="+strconv.FormatUint(uint64(s.opts.ID), 10),
		"--max-connections=80",
	)
	args = append(args, s.lab.flavor.pairOptions(s.opts.AutoReplicate)...)
	p, err := s.lab.start(processSpec{
		name: server.name, path: server.path, args: append(args, s.Extra...), dir: s.dir, asServer: true,
		env: []string{"HOME=" + s.dir, "TMPDIR=" + s.dir}, place: s.opts.At,
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	return nil
}

// clearTemporary removes what a mysqld leaves behind that is killed while its
// applier starts: the next start of the applier would fail at it.
func (s *Server) clearTemporary() error {
	left, err := filepath.Glob(filepath.Join(s.dir, "SQL_LOAD-*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// WaitReady waits until the server answers a statement.
func (s *Server) WaitReady(ctx context.Context) error {
	p := s.Process()
	err := Until(ctx, "server "+string(s.Addr())+" answers", func(ctx context.Context) (bool, string) {
		if !p.Running() {
			return true, "ended"
		}
		if err := s.admin.PingContext(ctx); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
	if err == nil && !p.Running() {
		err = errors.New("it ended during its start")
	}
	if err != nil {
		return fmt.Errorf("start %s: %w\n%s", s.Addr(), err, s.ErrorLog(15))
	}
	return nil
}

// Kill sends SIGKILL and waits until the process is gone.
func (s *Server) Kill() { s.Process().Kill() }

// Stop shuts the server down cleanly, without an idle session of root, for
// which MySQL would wait ten seconds.
func (s *Server) Stop(ctx context.Context) error {
	s.admin.SetMaxIdleConns(0)
	defer s.admin.SetMaxIdleConns(1)
	return s.Process().Stop(ctx, syscall.SIGTERM)
}

// Exec executes one statement as root.
func (s *Server) Exec(ctx context.Context, statement string, args ...any) error {
	if _, err := s.admin.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("execute on %s: %w", s.Addr(), err)
	}
	return nil
}

// Open connects as an ordinary user of the application's database.
func (s *Server) Open(user string) (*sql.DB, error) {
	connector, err := mysql.NewConnector(appConfig(s.Addr(), user, clientTimeout))
	if err != nil {
		return nil, fmt.Errorf("prepare client of %s: %w", s.Addr(), err)
	}
	return sql.OpenDB(connector), nil
}

func (s *Server) socket() string { return filepath.Join(s.dir, "sock") }
