package mysqlnode

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// template is an initialised data directory that every test server copies.
var template struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	_ = mysql.SetLogger(&mysql.NopLogger{})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if template.dir != "" {
			_ = os.RemoveAll(template.dir)
		}
		os.Exit(code)
	}))
}

// needServer skips loudly without MariaDB, and fails where it must not be missing.
func needServer(t *testing.T) {
	t.Helper()
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed (apt-get install mariadb-server-core)", name)
			}
			t.Skipf("SKIPPED WITHOUT A REAL SERVER: %s is not installed (apt-get install mariadb-server-core)", name)
		}
	}
	template.Do(func() {
		template.dir, template.err = os.MkdirTemp("", "mysqlnode-template-")
		if template.err != nil {
			return
		}
		args := append([]string{"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
			"--skip-name-resolve", "--datadir=" + template.dir}, asRoot()...)
		if out, err := exec.Command("mariadb-install-db", args...).CombinedOutput(); err != nil {
			template.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if template.err != nil {
		t.Fatalf("initialise a data directory: %v", template.err)
	}
}

func asRoot() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// server is one real mariadbd that belongs to one test.
type server struct {
	t     *testing.T
	dir   string
	port  int
	id    int
	cmd   *exec.Cmd
	ended chan struct{}
	admin *sql.DB
}

// The accounts that every test server has, all with the password "pw".
const (
	agentUser   = "agent"
	monitorUser = "monitor"
	appUser     = "app"
	poorUser    = "poor"
)

var accounts = []string{
	"CREATE USER app@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON app.* TO app@'127.0.0.1'",
	"CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'pw'",
	"CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'",
	"CREATE USER monitor@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO monitor@'127.0.0.1'",
	"CREATE USER agent@'127.0.0.1' IDENTIFIED BY 'pw'",
	"GRANT READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR, BINLOG MONITOR, PROCESS, CREATE USER, RELOAD ON *.* TO agent@'127.0.0.1'",
	"GRANT SELECT ON mysql.global_priv TO agent@'127.0.0.1'",
	"CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT) ENGINE=InnoDB", "INSERT INTO app.t VALUES (1, 1)",
}

// startServer starts a server with read_only=1, the accounts above and an
// empty binary log.
func startServer(t *testing.T, id int, args ...string) *server {
	t.Helper()
	needServer(t)
	dir, err := os.MkdirTemp("", "mysqlnode-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(template.dir)); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, id: id}
	s.start(args...)
	t.Cleanup(func() { s.kill(); _ = s.admin.Close() })
	s.do("SET SESSION sql_log_bin = 0")
	for _, text := range accounts {
		s.do(text)
	}
	s.do("SET SESSION sql_log_bin = 1")
	return s
}

func (s *server) start(args ...string) {
	s.t.Helper()
	if s.port == 0 {
		s.port = freePort(s.t)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	all := append([]string{"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--socket=" + filepath.Join(s.dir, "s"),
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--port=" + strconv.Itoa(s.port), "--bind-address=127.0.0.1", "--skip-name-resolve",
		"--server-id=" + strconv.Itoa(s.id), "--log-bin=bin", "--log-slave-updates", "--gtid-strict-mode=1", "--read-only=1", "--relay-log=relay",
		"--skip-slave-start", "--performance-schema=0", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--slave-net-timeout=4"}, asRoot()...)
	s.cmd = exec.Command("mariadbd", append(all, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	cmd := s.cmd
	go func() { _ = cmd.Wait(); close(ended) }()
	if s.admin != nil {
		_ = s.admin.Close()
	}
	s.admin, err = sql.Open("mysql", "root@unix("+filepath.Join(s.dir, "s")+")/?interpolateParams=true")
	if err != nil {
		s.t.Fatal(err)
	}
	s.admin.SetMaxOpenConns(1)
	eventually(s.t, 20*time.Second, "the server answers", func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("mariadbd ended: %s", text)
		default:
		}
		return s.admin.Ping() == nil
	})
}

// kill ends the server as a crash does and waits until it is gone.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.ended
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// freeze stops the server and waits until none of its threads runs.
func (s *server) freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	eventually(s.t, 5*time.Second, "the server stands still", func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
		must(s.t, err)
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			if !strings.Contains(string(text), ") T ") {
				return false
			}
		}
		return true
	})
}

// do runs a statement as the administrator.
func (s *server) do(text string) {
	s.t.Helper()
	if _, err := s.admin.Exec(text); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// value reads one value as the administrator.
func (s *server) value(query string) string {
	s.t.Helper()
	var v sql.NullString
	if err := s.admin.QueryRow(query).Scan(&v); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

func (s *server) addr() cluster.Endpoint {
	return cluster.Endpoint(net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
}

func (s *server) node(user string) *Node {
	s.t.Helper()
	n, err := New(Options{Addr: s.addr(), User: user, Password: "pw", ConnectTimeout: time.Second, Name: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// connect opens a session that the test closes at its end.
func (s *server) connect(user string) *Conn {
	s.t.Helper()
	c, err := s.node(user).Connect(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// app opens a plain client session of the application.
func (s *server) app() *sql.Conn {
	s.t.Helper()
	db, err := sql.Open("mysql", fmt.Sprintf("%s:pw@tcp(%s)/app", appUser, s.addr()))
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := db.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return conn
}

// replicateFrom configures the channel and starts it.
func (s *server) replicateFrom(source *server) {
	s.t.Helper()
	s.do(fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='repl', MASTER_PASSWORD='pw', "+
		"MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.2", source.port))
	s.do("START SLAVE")
}

// startPair starts two servers that replicate from each other, the first open.
func startPair(t *testing.T) (a, b *server) {
	t.Helper()
	needServer(t)
	a, b = startServer(t, 1), startServer(t, 2)
	a.replicateFrom(b)
	b.replicateFrom(a)
	a.do("SET GLOBAL read_only = 0")
	return a, b
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually polls until met, and fails after the limit.
func eventually(t *testing.T, limit time.Duration, what string, met func() bool) {
	t.Helper()
	poll(t, 5*time.Millisecond, limit, what, met)
}

func poll(t *testing.T, every, limit time.Duration, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	end := time.After(limit)
	for !met() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// within gives a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// must fails on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless err has the cause and is an *Error without the password.
func want(t *testing.T, err error, cause cluster.Cause) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *Error with cause %q", err, err, cause)
	}
	if e.Cause != cause {
		t.Fatalf("cause %q, want %q: %v", e.Cause, cause, err)
	}
	if strings.Contains(err.Error(), "secret-of-ours") {
		t.Fatalf("the error shows the password: %v", err)
	}
	return e
}

// fakeServer accepts connections and gives each to serve.
func fakeServer(t *testing.T, serve func(net.Conn)) cluster.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return cluster.Endpoint(l.Addr().String())
}

// silent reads until the peer hangs up and answers nothing.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
