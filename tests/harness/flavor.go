package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Flavor is a kind of database server. Everything in which the laboratory's
// servers differ is in this file.
type Flavor string

// The flavors.
const (
	MariaDB Flavor = "mariadb"
	MySQL   Flavor = "mysql"
)

// ChosenFlavor is the one that the environment variable MMM_DB names: mariadb,
// as without it, or mysql.
func ChosenFlavor() Flavor {
	if Flavor(os.Getenv("MMM_DB")) == MySQL {
		return MySQL
	}
	return MariaDB
}

// users are the least privileges of the daemons' users. The agent keeps the
// epoch in a schema that need not exist, and the monitor reads it there.
var users = map[Flavor][]string{
	MariaDB: {
		"FLUSH PRIVILEGES",
		"CREATE USER 'MANAGER'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG ADMIN, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, SLAVE MONITOR, BINLOG MONITOR, PROCESS, CREATE USER, RELOAD ON *.* TO 'MANAGER'@'%'",
		"GRANT SELECT ON mysql.global_priv TO 'MANAGER'@'%'",
		"CREATE USER 'WATCHER'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO 'WATCHER'@'%'",
		"CREATE USER 'REPL'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT REPLICATION SLAVE, CONNECTION ADMIN ON *.* TO 'REPL'@'%'",
	},
	MySQL: {
		"CREATE USER 'MANAGER'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN, REPLICATION CLIENT, CREATE USER, PROCESS, RELOAD ON *.* TO 'MANAGER'@'%'",
		"GRANT SELECT ON mysql.user TO 'MANAGER'@'%'",
		"GRANT INSERT ON mysql.plugin TO 'MANAGER'@'%'",
		"GRANT SELECT ON mysql.global_grants TO 'MANAGER'@'%'",
		"CREATE USER 'WATCHER'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'WATCHER'@'%'",
		"GRANT SELECT ON performance_schema.* TO 'MANAGER'@'%', 'WATCHER'@'%'",
		"CREATE USER 'REPL'@'%' IDENTIFIED BY 'PASSWORD'",
		"GRANT REPLICATION SLAVE, CONNECTION_ADMIN ON *.* TO 'REPL'@'%'",
	},
}

// everybody is what follows in either flavor.
var everybody = []string{
	"GRANT CREATE, INSERT, SELECT, UPDATE ON mmm_meta.* TO 'MANAGER'@'%'",
	"GRANT SELECT ON mmm_meta.* TO 'WATCHER'@'%'",
	"CREATE USER 'APPUSER'@'%' IDENTIFIED BY 'PASSWORD'",
	"CREATE USER 'STRANGER'@'%' IDENTIFIED BY 'PASSWORD'",
	"CREATE DATABASE APPDB",
	"CREATE TABLE APPDB.entry (client INT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (client, seq)) ENGINE=InnoDB",
	"GRANT ALL ON APPDB.* TO 'APPUSER'@'%'",
	"GRANT ALL ON APPDB.* TO 'STRANGER'@'%'",
}

// script makes the users and the application's table, and last what is asked for, one statement a line.
func (f Flavor) script(last ...string) string {
	all := strings.Join(append(append(append([]string{}, users[f]...), everybody...), last...), ";\n") + ";\n"
	return strings.NewReplacer("MANAGER", ManagerUser, "WATCHER", WatcherUser, "REPL'", ReplUser+"'", "APPUSER", AppUser,
		"STRANGER", StrangerUser, "APPDB", AppDB, "'PASSWORD'", "'"+Password+"'").Replace(all)
}

// program is a server program and the arguments that it always starts with.
type program struct {
	name, path string
	args       []string
}

// serverProgram finds the server. A MySQL is one that MMM_MYSQLD names, else the
// one that scripts/servers has fetched.
func (l *Lab) serverProgram() (program, error) {
	if l.flavor == MariaDB {
		path, err := findProgram("mariadbd")
		return program{"mariadbd", path, []string{"--no-defaults"}}, err
	}
	if path := os.Getenv("MMM_MYSQLD"); path != "" {
		return program{"mysqld", path, []string{"--no-defaults"}}, nil
	}
	root, err := mysqlRoot()
	if err != nil {
		return program{}, err
	}
	l.programs.Lock()
	defer l.programs.Unlock()
	if l.cred != nil {
		// The servers' user cannot reach into root's home.
		reachable := filepath.Join(l.dir, "mysql")
		if _, err := os.Stat(reachable); err != nil {
			if err := linkTree(root, reachable); err != nil {
				return program{}, fmt.Errorf("link MySQL's programs: %w", err)
			}
		}
		root = reachable
	}
	libc, _ := filepath.Glob(filepath.Join(root, "usr/lib/*/libc.so.6"))
	if len(libc) != 1 {
		return program{}, fmt.Errorf("find the libraries of MySQL in %s: %d candidates", root, len(libc))
	}
	libraries := filepath.Dir(libc[0])
	loader, _ := filepath.Glob(filepath.Join(libraries, "ld*.so.*"))
	if len(loader) != 1 {
		return program{}, fmt.Errorf("find the program loader of MySQL in %s: %d candidates", libraries, len(loader))
	}
	share := filepath.Join(root, "usr/share/mysql")
	return program{"mysqld", loader[0], []string{"--library-path", libraries, filepath.Join(root, "usr/sbin/mysqld"), "--no-defaults",
		"--basedir=" + filepath.Join(root, "usr"), "--lc-messages-dir=" + share, "--character-sets-dir=" + filepath.Join(share, "charsets"),
		"--plugin-dir=" + filepath.Join(root, "usr/lib/mysql/plugin")}}, nil
}

// mysqlRoot is the folder that scripts/servers fetches MySQL into.
func mysqlRoot() (string, error) {
	root := os.Getenv("MMM_MYSQL_ROOT")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find MySQL: %w", err)
		}
		root = filepath.Join(cache, "mmm-manager", "mysql")
	}
	if _, err := os.Stat(filepath.Join(root, "version")); err != nil {
		return "", fmt.Errorf("find MySQL: none in %s (scripts/servers fetch mysql gets it)", root)
	}
	return root, nil
}

// linkTree makes to the same tree as from, by hard links where the file system allows it.
func linkTree(from, to string) error {
	if err := exec.Command("cp", "-al", from, to).Run(); err == nil {
		return nil
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Missing names what the chosen flavor's laboratory needs and this machine lacks.
func Missing() []string {
	var missing []string
	wanted := []string{"redis-server"}
	switch {
	case ChosenFlavor() == MariaDB:
		wanted = append(wanted, "mariadbd", "mariadb-install-db")
	case os.Getenv("MMM_MYSQLD") == "":
		if _, err := mysqlRoot(); err != nil {
			missing = append(missing, "MySQL (scripts/servers fetch mysql gets it)")
		}
	}
	for _, name := range wanted {
		if _, err := findProgram(name); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// MissingIsFailure reports whether tests that lack a server have to fail: in
// CI, but for MySQL where MMM_WITHOUT_MYSQL=1 says that it cannot be had.
func MissingIsFailure() bool {
	return os.Getenv("CI") == "true" && (ChosenFlavor() != MySQL || os.Getenv("MMM_WITHOUT_MYSQL") != "1")
}

// Versions says which servers the laboratory uses, one line each.
func (l *Lab) Versions(ctx context.Context) ([]string, error) {
	server, err := l.serverProgram()
	if err != nil {
		return nil, err
	}
	redis, err := findProgram("redis-server")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, p := range []program{server, {name: "redis-server", path: redis}} {
		out, err := exec.CommandContext(ctx, p.path, append(p.args, "--version")...).Output()
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", p.name, err)
		}
		line := strings.TrimSpace(string(out))
		if i := strings.Index(line, "Ver "); i > 0 {
			line = strings.Join(strings.Fields(string(l.flavor)+" "+line[i:]), " ")
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// baseOptions keep a server small and away from the machine's own files.
func (f Flavor) baseOptions(data, tmp string) []string {
	options := []string{
		"--datadir=" + data, "--tmpdir=" + tmp, "--skip-name-resolve", "--character-set-server=utf8mb4",
		"--innodb-buffer-pool-size=16M", "--key-buffer-size=1M", "--innodb-use-native-aio=OFF",
		"--innodb-buffer-pool-dump-at-shutdown=OFF", "--innodb-buffer-pool-load-at-startup=OFF",
	}
	if f == MySQL {
		return append(options,
			"--mysqlx=OFF", "--secure-file-priv=NULL", "--innodb-redo-log-capacity=16M", "--innodb-log-buffer-size=1M",
			"--table-open-cache=200", "--table-definition-cache=400",
			"--innodb-read-io-threads=1", "--innodb-write-io-threads=1", "--innodb-purge-threads=1")
	}
	return append(options, "--performance-schema=OFF", "--innodb-log-file-size=8M", "--aria-pagecache-buffer-size=1M", "--aria-log-file-size=8M")
}

// install makes system tables and users in a new data folder.
func (l *Lab) install(ctx context.Context, dir, data string) error {
	server, err := l.serverProgram()
	if err != nil {
		return err
	}
	options := append(l.flavor.baseOptions(data, dir), "--innodb-flush-log-at-trx-commit=0")
	if l.flavor == MariaDB {
		install, err := findProgram("mariadb-install-db")
		if err != nil {
			return err
		}
		args := append([]string{"--no-defaults"}, options...)
		if err := l.run(ctx, dir, "", install, append(args, "--auth-root-authentication-method=normal", "--skip-test-db")...); err != nil {
			return fmt.Errorf("install system tables: %w", err)
		}
		if err := l.run(ctx, dir, MariaDB.script(l.users...), server.path, append(args, "--bootstrap")...); err != nil {
			return fmt.Errorf("create users: %w", err)
		}
		return nil
	}
	args := append(server.args, options...)
	if err := l.run(ctx, dir, "", server.path, append(args, "--initialize-insecure")...); err != nil {
		return fmt.Errorf("install system tables: %w", err)
	}
	// MySQL has no bootstrap that makes users: it starts, reads this file and ends by itself.
	script := filepath.Join(dir, "users.sql")
	if err := os.WriteFile(script, []byte(MySQL.script(append(slices.Clone(l.users), "SHUTDOWN")...)), 0o644); err != nil {
		return fmt.Errorf("create users: %w", err)
	}
	log := filepath.Join(dir, "users.log")
	args = append(args, "--skip-networking", "--socket="+filepath.Join(dir, "sock"), "--pid-file="+filepath.Join(dir, "pid"),
		"--disable-log-bin", "--log-error="+log, "--init-file="+script)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = l.run(ctx, dir, "", server.path, args...)
	if text := tailFile(log, 1000); err != nil || strings.Contains(text, "[ERROR]") {
		return fmt.Errorf("create users: %w", errors.Join(err, errors.New(lastLines(text, 12))))
	}
	// It has the server's UUID, and each server needs one of its own.
	if err := os.Remove(filepath.Join(data, "auto.cnf")); err != nil {
		return fmt.Errorf("forget the UUID: %w", err)
	}
	return nil
}

// identify gives a new data folder the server's UUID.
func (s *Server) identify(data string) error {
	if s.lab.flavor != MySQL {
		return nil
	}
	text := newUniqSign()
	s.uuid = strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
	if err := os.WriteFile(filepath.Join(data, "auto.cnf"), []byte("[auto]\nserver-uuid="+s.uuid+"\n"), 0o644); err != nil {
		return fmt.Errorf("name the server: %w", err)
	}
	return nil
}

// pairOptions are those of README's my.cnf.
func (f Flavor) pairOptions(autoReplicate bool) []string {
	if f == MySQL {
		options := []string{"--log-bin=bin", "--relay-log=relay", "--gtid-mode=ON", "--enforce-gtid-consistency=ON",
			"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--replica-net-timeout=4", "--super-read-only=1",
			"--binlog-expire-logs-auto-purge=OFF"}
		if !autoReplicate {
			options = append(options, "--skip-replica-start")
		}
		return options
	}
	options := []string{"--log-bin=bin", "--relay-log=relay", "--binlog-format=ROW", "--log-slave-updates=ON", "--gtid-strict-mode=ON",
		"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--relay-log-recovery=ON", "--slave-net-timeout=4", "--read-only=1"}
	if !autoReplicate {
		options = append(options, "--skip-slave-start")
	}
	return options
}

// ReplicateFrom points s at source by GTID and starts replication. In either
// flavor replication gets STOP REPLICA and START REPLICA, threads included.
func (s *Server) ReplicateFrom(ctx context.Context, source *Server) error {
	form := "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', " +
		"MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=%g"
	if s.lab.flavor == MySQL {
		form = "CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s', " +
			"SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=%g, SOURCE_RETRY_COUNT=1000000000"
	}
	if err := s.Exec(ctx, fmt.Sprintf(form, ip(source.opts.At), source.port, ReplUser, Password, cmp.Or(s.opts.Heartbeat, time.Second).Seconds())); err != nil {
		return err
	}
	return s.Exec(ctx, "START REPLICA")
}

// apart are options of a start in which nobody but root can connect, and write.
func (f Flavor) apart() []string {
	options := []string{"--skip-networking", "--read-only=0"}
	if f == MySQL {
		options = append(options, "--super-read-only=0")
	}
	return options
}

// position is the query for a position from which another server can go on.
func (f Flavor) position() string {
	if f == MySQL {
		return "SELECT @@global.gtid_executed"
	}
	return "SELECT @@global.gtid_binlog_pos"
}

// goOnFrom has a fresh server take a position for its own.
func (f Flavor) goOnFrom(position string) []string {
	if f == MySQL {
		return []string{"RESET BINARY LOGS AND GTIDS", "SET GLOBAL gtid_purged = '" + position + "'"}
	}
	return []string{"RESET MASTER", "SET GLOBAL gtid_slave_pos = '" + position + "'"}
}

// Executed is all that the server has executed, in a form that is the same on servers that hold the same.
func (s *Server) Executed(ctx context.Context) (string, error) {
	return s.Value(ctx, s.lab.flavor.position())
}

// LeaveGTID makes the server replicate by file and position.
func (s *Server) LeaveGTID(ctx context.Context) error {
	change := "CHANGE MASTER TO MASTER_USE_GTID=no"
	if s.lab.flavor == MySQL {
		change = "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=0"
	}
	for _, statement := range []string{"STOP REPLICA", change, "START REPLICA"} {
		if err := s.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Channel reads the server's replication channel; IO and SQL are empty when there is none.
func (s *Server) Channel(ctx context.Context) (Channel, error) {
	row, err := s.row(ctx, "SHOW REPLICA STATUS")
	if err != nil {
		return Channel{}, err
	}
	c := Channel{IO: row["Slave_IO_Running"], SQL: row["Slave_SQL_Running"], received: row["Gtid_IO_Pos"],
		IOError: row["Last_IO_Error"], SQLError: row["Last_SQL_Error"]}
	if s.lab.flavor == MySQL {
		c.IO, c.SQL, c.received = row["Replica_IO_Running"], row["Replica_SQL_Running"], row["Retrieved_Gtid_Set"]
	}
	return c, nil
}

// OwnTransactions is the highest sequence number of the transactions that
// started on origin, as this server has them in its binary log; 0 when none.
func (s *Server) OwnTransactions(ctx context.Context, origin *Server) (uint64, error) {
	query := "SELECT @@global.gtid_binlog_state"
	if s.lab.flavor == MySQL {
		query = "SELECT @@global.gtid_executed"
	}
	state, err := s.Value(ctx, query)
	if err != nil {
		return 0, err
	}
	return origin.highest(state), nil
}

// Received is the highest sequence number of the transactions that started on
// origin, as the channel has received them since its receiver started; 0 when none.
func (c Channel) Received(origin *Server) uint64 { return origin.highest(c.received) }

// highest finds the highest sequence number of the server's transactions in a set.
func (s *Server) highest(set string) uint64 {
	var highest uint64
	for entry := range strings.SplitSeq(set, ",") {
		entry = strings.TrimSpace(entry)
		if s.lab.flavor == MariaDB {
			var domain, server uint32
			var seq uint64
			if n, _ := fmt.Sscanf(entry, "%d-%d-%d", &domain, &server, &seq); n == 3 && server == s.ID() {
				highest = max(highest, seq)
			}
			continue
		}
		uuid, intervals, _ := strings.Cut(entry, ":")
		if !strings.EqualFold(uuid, s.uuid) {
			continue
		}
		for interval := range strings.SplitSeq(intervals, ":") {
			seq, _ := strconv.ParseUint(interval[strings.LastIndex(interval, "-")+1:], 10, 64)
			highest = max(highest, seq)
		}
	}
	return highest
}

// Write executes statements as root although the server is closed; in the
// binary log when logged. MySQL's super_read_only refuses root too: it is taken away first.
func (s *Server) Write(ctx context.Context, logged bool, statements ...string) error {
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return fmt.Errorf("write on %s: %w", s.Addr(), err)
	}
	defer conn.Close()
	if !logged {
		statements = append(append([]string{"SET sql_log_bin=0"}, statements...), "SET sql_log_bin=1")
	}
	for _, statement := range statements {
		for {
			_, err := conn.ExecContext(ctx, statement)
			var answer *mysql.MySQLError
			if s.lab.flavor == MySQL && errors.As(err, &answer) && answer.Number == 1290 {
				// An agent may close it again at any time.
				if _, err = conn.ExecContext(ctx, "SET GLOBAL super_read_only=0"); err == nil {
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("%s on %s: %w", statement, s.Addr(), err)
			}
			break
		}
	}
	return nil
}

// WriteAtStart makes the next start of a stopped server execute the statements
// of a script before anybody can connect.
func (s *Server) WriteAtStart(script string) {
	s.Extra = []string{"--init-file=" + script}
	if s.lab.flavor == MySQL {
		s.Extra = append(s.Extra, "--super-read-only=0", "--read-only=1")
	}
}

// Cut ends every session of a user.
func (s *Server) Cut(ctx context.Context, user string) error {
	if s.lab.flavor == MariaDB {
		return s.Exec(ctx, "KILL USER '"+user+"'")
	}
	rows, err := s.admin.QueryContext(ctx, "SELECT id FROM performance_schema.processlist WHERE user = ?", user)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.Addr(), err)
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("ask %s: %w", s.Addr(), err)
	}
	for _, id := range ids {
		var answer *mysql.MySQLError
		if err := s.Exec(ctx, "KILL "+id); err != nil && !(errors.As(err, &answer) && answer.Number == 1094) {
			return err
		}
	}
	return nil
}

// Sessions counts the sessions of a user.
func (s *Server) Sessions(ctx context.Context, user string) (int, error) {
	table := "information_schema.processlist"
	if s.lab.flavor == MySQL {
		table = "performance_schema.processlist"
	}
	text, err := s.Value(ctx, "SELECT COUNT(*) FROM "+table+" WHERE user = ?", user)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// IdleFor reports whether a session of the user has executed nothing for d; MySQL tells whole seconds only.
func (s *Server) IdleFor(ctx context.Context, user string, d time.Duration) (bool, error) {
	query := "SELECT MAX(time_ms) > ? FROM information_schema.processlist WHERE user = ?"
	if s.lab.flavor == MySQL {
		query = "SELECT 1000 * MAX(time) > ? FROM performance_schema.processlist WHERE user = ?"
	}
	text, err := s.Value(ctx, query, d.Milliseconds(), user)
	return text == "1", err
}

// WaitsForRoom reports whether a commit has waited for seconds to be written, as it does on a full disk.
func (s *Server) WaitsForRoom(ctx context.Context) (bool, error) {
	text, err := s.Value(ctx, map[Flavor]string{
		MariaDB: "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Commit' AND time >= 2",
		MySQL:   "SELECT COUNT(*) FROM performance_schema.processlist WHERE state = 'waiting for handler commit' AND time >= 2",
	}[s.lab.flavor])
	return text != "0", err
}

// Status is a global status variable.
func (s *Server) Status(ctx context.Context, name string) (string, error) {
	row, err := s.row(ctx, "SHOW GLOBAL STATUS LIKE '"+name+"'")
	return row["Value"], err
}

// WatchGrant is the privilege without which a monitor sees no replication.
func (l *Lab) WatchGrant() string {
	return map[Flavor]string{MariaDB: "SLAVE MONITOR", MySQL: "REPLICATION CLIENT"}[l.flavor]
}

// OpenGrants are the privileges without which an agent neither opens nor closes a server.
func (l *Lab) OpenGrants() []string {
	return map[Flavor][]string{MariaDB: {"READ_ONLY ADMIN", "CONNECTION ADMIN"},
		MySQL: {"SYSTEM_VARIABLES_ADMIN", "CONNECTION_ADMIN"}}[l.flavor]
}

// BypassGrant is the privilege that lets its owner write on a closed server;
// none does on MySQL, where super_read_only stops all.
func (l *Lab) BypassGrant() string {
	return map[Flavor]string{MariaDB: "READ_ONLY ADMIN"}[l.flavor]
}

// Closing is the statement that closes a server as an agent does.
func (l *Lab) Closing() string {
	return map[Flavor]string{MariaDB: "SET GLOBAL read_only=1", MySQL: "SET GLOBAL super_read_only=1"}[l.flavor]
}

// Executed is the query for all transactions of a server.
func (l *Lab) Executed() string {
	return map[Flavor]string{MariaDB: "SELECT CONCAT(@@global.gtid_binlog_state, ' ', @@global.gtid_slave_pos)", MySQL: "SELECT @@global.gtid_executed"}[l.flavor]
}

// PurgedState is the word of mmmctl rejoin for a server whose source has purged what it needs:
// MariaDB tells only by refusing.
func (l *Lab) PurgedState() string {
	return map[Flavor]string{MariaDB: "position-refused", MySQL: "rebuild"}[l.flavor]
}

// Impersonate gives a stopped server the identity that other has, until undo.
func (s *Server) Impersonate(other *Server) (undo func() error, err error) {
	if s.lab.flavor != MySQL {
		id := s.opts.ID
		s.opts.ID = other.opts.ID
		return func() error { s.opts.ID = id; return nil }, nil
	}
	name := func(uuid string) error {
		return os.WriteFile(filepath.Join(s.dir, "data", "auto.cnf"), []byte("[auto]\nserver-uuid="+uuid+"\n"), 0o644)
	}
	return func() error { return name(s.uuid) }, name(other.uuid)
}

// Rename gives a stopped server an identity that none had before.
func (s *Server) Rename() error {
	s.opts.ID += 100
	return s.identify(filepath.Join(s.dir, "data"))
}
