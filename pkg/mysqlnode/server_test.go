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
	"slices"
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

// brand is a kind of server that the suite runs on.
type brand struct {
	name   string
	flavor cluster.Flavor
	// find gives the command that starts the server, with its first arguments.
	find func() ([]string, error)
	// install makes a data directory; with script it also runs that file of statements.
	install func(server []string, dir, script string) *exec.Cmd
	script  bool
	args    []string
	// accounts make those that every test server has.
	accounts []string
	// without is the variable that allows the brand to be missing where CI is set; empty for none.
	without string

	once     sync.Once
	command  []string
	template string // an initialised data directory that every server copies
	fault    error
}

// Options of both brands that keep a server small.
var small = []string{"--skip-name-resolve", "--innodb-buffer-pool-size=32M"}

var mariadb = &brand{
	name: "mariadb", flavor: cluster.MariaDB,
	find: func() ([]string, error) {
		if _, err := exec.LookPath("mariadb-install-db"); err != nil {
			return nil, fmt.Errorf("%w (apt-get install mariadb-server-core)", err)
		}
		path, err := exec.LookPath("mariadbd")
		return []string{path, "--no-defaults"}, err
	},
	install: func(_ []string, dir, _ string) *exec.Cmd {
		return exec.Command("mariadb-install-db", append([]string{"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
			"--skip-name-resolve", "--datadir=" + dir}, asRoot()...)...)
	},
	args: []string{"--log-bin=bin", "--log-slave-updates", "--gtid-strict-mode=1", "--read-only=1", "--skip-slave-start", "--performance-schema=0",
		"--innodb-log-file-size=8M", "--slave-net-timeout=4"},
	accounts: []string{
		"GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO monitor@'127.0.0.1'",
		"GRANT READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR, BINLOG MONITOR, PROCESS, CREATE USER, RELOAD ON *.* TO agent@'127.0.0.1'",
		"GRANT SELECT ON mysql.global_priv TO agent@'127.0.0.1'",
	},
}

var mysql9 = &brand{
	name: "mysql", flavor: cluster.MySQL, without: "MMM_WITHOUT_MYSQL",
	find:   findMySQL,
	script: true,
	install: func(server []string, dir, script string) *exec.Cmd {
		return exec.Command(server[0], slices.Concat(server[1:], small, asRoot(), []string{"--initialize-insecure", "--datadir=" + dir,
			"--innodb-redo-log-capacity=8M", "--skip-log-bin", "--init-file=" + script})...)
	},
	args: []string{"--log-bin=bin", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--super-read-only=1", "--skip-replica-start",
		"--innodb-redo-log-capacity=8M", "--replica-net-timeout=4"},
	accounts: []string{
		"GRANT PROCESS, REPLICATION CLIENT ON *.* TO monitor@'127.0.0.1'", "GRANT SELECT ON performance_schema.* TO monitor@'127.0.0.1'",
		"GRANT SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN, REPLICATION CLIENT, CREATE USER, PROCESS, RELOAD ON *.* TO agent@'127.0.0.1'",
		"GRANT SELECT ON mysql.user TO agent@'127.0.0.1'", "GRANT SELECT ON performance_schema.* TO agent@'127.0.0.1'",
	},
}

var brands = []*brand{mariadb, mysql9}

// findMySQL looks for the private root that "scripts/servers fetch mysql" makes,
// or that MMM_MYSQL_ROOT names.
func findMySQL() ([]string, error) {
	root := os.Getenv("MMM_MYSQL_ROOT")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		root = filepath.Join(cache, "mmm-manager", "mysql")
	}
	program := filepath.Join(root, "usr/sbin/mysqld")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w (scripts/servers fetch mysql)", err)
	}
	loader, err := filepath.Glob(filepath.Join(root, "usr/lib/*/ld*.so.*"))
	if err != nil || len(loader) == 0 {
		return nil, fmt.Errorf("no loader in %s", root)
	}
	return []string{loader[0], "--library-path", filepath.Dir(loader[0]), program, "--no-defaults", "--basedir=" + filepath.Join(root, "usr"),
		"--lc-messages-dir=" + filepath.Join(root, "usr/share/mysql"), "--plugin-dir=" + filepath.Join(root, "usr/lib/mysql/plugin"),
		"--mysqlx=OFF", "--secure-file-priv=NULL"}, nil
}

func TestMain(m *testing.M) {
	_ = mysql.SetLogger(&mysql.NopLogger{})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, b := range brands {
			if b.template != "" {
				_ = os.RemoveAll(b.template)
			}
		}
		os.Exit(code)
	}))
}

// onEach runs a test on each brand of server.
func onEach(t *testing.T, test func(t *testing.T, b *brand)) {
	t.Helper()
	for _, b := range brands {
		t.Run(b.name, func(t *testing.T) { b.need(t); test(t, b) })
	}
}

// need skips loudly without the server, and fails where it must not be missing.
func (b *brand) need(t *testing.T) {
	t.Helper()
	b.once.Do(b.prepare)
	switch {
	case b.fault == nil:
	case b.command != nil:
		t.Fatalf("initialise a data directory of %s: %v", b.name, b.fault)
	case os.Getenv("CI") == "true" && (b.without == "" || os.Getenv(b.without) != "1"):
		t.Fatalf("%s is missing: %v", b.name, b.fault)
	default:
		t.Skipf("SKIPPED WITHOUT A REAL SERVER: %s is missing: %v", b.name, b.fault)
	}
}

func (b *brand) prepare() {
	command, err := b.find()
	if err != nil {
		b.fault = err
		return
	}
	b.command = command
	if b.template, b.fault = os.MkdirTemp("", "mysqlnode-template-"); b.fault != nil {
		return
	}
	data, script := filepath.Join(b.template, "data"), filepath.Join(b.template, "accounts.sql")
	if b.fault = os.WriteFile(script, []byte(strings.Join(slices.Concat(accounts, b.accounts), ";\n")+";\n"), 0o644); b.fault != nil {
		return
	}
	if out, err := b.install(command, data, script).CombinedOutput(); err != nil {
		b.fault = fmt.Errorf("%w: %s", err, out)
	}
	// Copies would share the identity in it.
	_ = os.Remove(filepath.Join(data, "auto.cnf"))
}

func asRoot() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// server is one real server that belongs to one test.
type server struct {
	*brand
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
	"CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT) ENGINE=InnoDB", "INSERT INTO app.t VALUES (1, 1)",
	"CREATE USER app@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT ALL ON app.* TO app@'127.0.0.1'",
	"CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'pw'",
	"CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'",
	"CREATE USER monitor@'127.0.0.1' IDENTIFIED BY 'pw'", "CREATE USER agent@'127.0.0.1' IDENTIFIED BY 'pw'",
	"GRANT SELECT ON mmm_meta.* TO monitor@'127.0.0.1'", "GRANT CREATE, INSERT, SELECT, UPDATE ON mmm_meta.* TO agent@'127.0.0.1'",
}

// startServer starts a server that is closed, with the accounts above and an
// empty binary log.
func startServer(t *testing.T, b *brand, id int, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mysqlnode-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(b.template, "data"))); err != nil {
		t.Fatal(err)
	}
	s := &server{brand: b, t: t, dir: dir, id: id}
	s.start(args...)
	t.Cleanup(func() { s.kill(); _ = s.admin.Close() })
	if !b.script {
		s.quietly(slices.Concat(accounts, b.accounts)...)
	}
	return s
}

// quietly runs statements as the administrator, without the binary log and
// though the server may be closed.
func (s *server) quietly(statements ...string) {
	s.t.Helper()
	super := s.flavor == cluster.MySQL && s.value("SELECT @@global.super_read_only") == "1"
	if super {
		s.do("SET GLOBAL super_read_only = 0")
	}
	s.do("SET SESSION sql_log_bin = 0")
	for _, text := range statements {
		s.do(text)
	}
	s.do("SET SESSION sql_log_bin = 1")
	if super {
		s.do("SET GLOBAL super_read_only = 1")
	}
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
	// A mysqld killed while its applier starts leaves a file behind at which the next start of the applier fails.
	tmp := filepath.Join(s.dir, "tmp")
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o755)); err != nil {
		s.t.Fatal(err)
	}
	own := []string{"--datadir=" + filepath.Join(s.dir, "data"), "--tmpdir=" + tmp, "--socket=" + filepath.Join(s.dir, "s"),
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--port=" + strconv.Itoa(s.port), "--bind-address=127.0.0.1",
		"--server-id=" + strconv.Itoa(s.id), "--relay-log=relay"}
	s.cmd = exec.Command(s.command[0], slices.Concat(s.command[1:], small, own, s.args, asRoot(), args)...)
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
			s.t.Fatalf("%s ended: %s", s.name, text)
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
	gtid := "SOURCE_AUTO_POSITION=1, SOURCE_RETRY_COUNT=86400"
	if s.flavor == cluster.MariaDB {
		gtid = "MASTER_USE_GTID=slave_pos"
	}
	s.change(fmt.Sprintf("%%[1]s_HOST='127.0.0.1', %%[1]s_PORT=%d, %%[1]s_USER='repl', %%[1]s_PASSWORD='pw', "+
		"%%[1]s_CONNECT_RETRY=1, %%[1]s_HEARTBEAT_PERIOD=0.2, %s", source.port, gtid))
	s.do("START REPLICA")
}

// change sets up the channel; %[1]s stands for the brand's word for a source.
func (s *server) change(settings string) {
	s.t.Helper()
	if s.flavor == cluster.MySQL {
		s.do("CHANGE REPLICATION SOURCE TO " + fmt.Sprintf(settings, "SOURCE"))
	} else {
		s.do("CHANGE MASTER TO " + fmt.Sprintf(settings, "MASTER"))
	}
}

// upTo is the position at which the server has committed n transactions of its own.
func (s *server) upTo(n int) string {
	s.t.Helper()
	switch {
	case s.flavor == cluster.MariaDB:
		return fmt.Sprintf("0-%d-%d", s.id, n)
	case n == 1:
		return s.value("SELECT @@server_uuid") + ":1"
	}
	return fmt.Sprintf("%s:1-%d", s.value("SELECT @@server_uuid"), n)
}

// foreign is the nth transaction of a server that is none of the test's.
func (s *server) foreign(n int) string {
	if s.flavor == cluster.MariaDB {
		return fmt.Sprintf("0-77-%d", n)
	}
	return fmt.Sprintf("00000000-0000-0000-0000-000000000077:%d", n)
}

// position is what the server has written to its binary log.
func (s *server) position() string {
	s.t.Helper()
	if s.flavor == cluster.MySQL {
		return s.value("SELECT @@global.gtid_executed")
	}
	return s.value("SELECT @@global.gtid_binlog_state")
}

// uid is server_uid, empty where the release has none.
func (s *server) uid() string {
	s.t.Helper()
	var name, value string
	if err := s.admin.QueryRow("SHOW GLOBAL VARIABLES LIKE 'server_uid'").Scan(&name, &value); err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.t.Fatal(err)
	}
	return value
}

// identity is the name of the server in GTIDs.
func (s *server) identity() string {
	s.t.Helper()
	if s.flavor == cluster.MySQL {
		return s.value("SELECT @@server_uuid")
	}
	return strconv.Itoa(s.id)
}

// super is super_read_only of a closed server.
func (s *server) super() cluster.Tri {
	if s.flavor == cluster.MySQL {
		return cluster.Yes
	}
	return cluster.Unknown
}

// closed reports both switches of a server that is, or was, closed.
func (s *server) closed() (readOnly, super bool) {
	s.t.Helper()
	readOnly = s.value("SELECT @@global.read_only") == "1"
	return readOnly, s.flavor == cluster.MySQL && s.value("SELECT @@global.super_read_only") == "1"
}

// startPair starts two servers that replicate from each other, the first open.
func startPair(t *testing.T, kind *brand) (a, b *server) {
	t.Helper()
	a, b = startServer(t, kind, 1), startServer(t, kind, 2)
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
