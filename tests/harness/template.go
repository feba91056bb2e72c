package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The users of each server. Password is everybody's password.
const (
	// ManagerUser is the daemons' user: what an agent needs and no more.
	ManagerUser = "user_mmm"
	// WatcherUser has what a monitor needs and no more.
	WatcherUser = "user_watch"
	ReplUser    = "user_repl"
	// AppUser is the application: it owns AppDB and bypasses nothing.
	AppUser = "app"
	// StrangerUser is another ordinary user of AppDB.
	StrangerUser = "stranger"
	Password     = "s3cret#1"
	AppDB        = "app"
)

// grants are the least privileges of the daemons' users on MariaDB 10.5 and later.
const grants = `
FLUSH PRIVILEGES;
CREATE USER '%[1]s'@'%%' IDENTIFIED BY '%[6]s';
GRANT READ_ONLY ADMIN, CONNECTION ADMIN, BINLOG ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR, BINLOG MONITOR, PROCESS, CREATE USER, RELOAD ON *.* TO '%[1]s'@'%%';
GRANT SELECT ON mysql.global_priv TO '%[1]s'@'%%';
CREATE USER '%[2]s'@'%%' IDENTIFIED BY '%[6]s';
GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO '%[2]s'@'%%';
CREATE USER '%[3]s'@'%%' IDENTIFIED BY '%[6]s';
GRANT REPLICATION SLAVE ON *.* TO '%[3]s'@'%%';
CREATE USER '%[4]s'@'%%' IDENTIFIED BY '%[6]s';
CREATE USER '%[5]s'@'%%' IDENTIFIED BY '%[6]s';
CREATE DATABASE %[7]s;
CREATE TABLE %[7]s.entry (client INT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (client, seq)) ENGINE=InnoDB;
GRANT ALL ON %[7]s.* TO '%[4]s'@'%%';
GRANT ALL ON %[7]s.* TO '%[5]s'@'%%';
`

// baseOptions keep a server small and away from the machine's own files.
func baseOptions(data, tmp string) []string {
	return []string{
		"--no-defaults", "--datadir=" + data, "--tmpdir=" + tmp, "--skip-name-resolve",
		"--character-set-server=utf8mb4", "--performance-schema=OFF",
		"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
		"--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M", "--aria-log-file-size=8M",
		"--innodb-use-native-aio=OFF", "--innodb-buffer-pool-dump-at-shutdown=OFF",
		"--innodb-buffer-pool-load-at-startup=OFF",
	}
}

// dataTemplate makes, once per laboratory, the data folder from which each
// server starts: system tables, users, the application's empty table, and no
// transaction in any binary log.
func (l *Lab) dataTemplate(ctx context.Context) (string, error) {
	l.template.Lock()
	defer l.template.Unlock()
	if l.tmplDir != "" {
		return l.tmplDir, nil
	}
	install, err := findProgram("mariadb-install-db")
	if err != nil {
		return "", err
	}
	server, err := findProgram("mariadbd")
	if err != nil {
		return "", err
	}
	dir, err := l.folder("template")
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	l.logf("install system tables in %s", data)
	opts := append(baseOptions(data, dir), "--innodb-flush-log-at-trx-commit=0")
	if err := l.run(ctx, dir, "", install, append(opts, "--auth-root-authentication-method=normal", "--skip-test-db")...); err != nil {
		return "", fmt.Errorf("install system tables: %w", err)
	}
	script := fmt.Sprintf(grants, ManagerUser, WatcherUser, ReplUser, AppUser, StrangerUser, Password, AppDB)
	if err := l.run(ctx, dir, script, server, append(opts, "--bootstrap")...); err != nil {
		return "", fmt.Errorf("create users: %w", err)
	}
	l.tmplDir = data
	return data, nil
}

// findProgram looks in PATH and where Debian puts servers. The environment
// variable MMM_<NAME> (MMM_MARIADBD, MMM_REDIS_SERVER) names another one.
func findProgram(name string) (string, error) {
	variable := "MMM_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: not installed (scripts/deps.sh installs what is missing)", name)
}

// Missing names the server programs that are not installed.
func Missing() []string {
	var missing []string
	for _, name := range []string{"mariadbd", "mariadb-install-db", "redis-server"} {
		if _, err := findProgram(name); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// Versions says which servers the laboratory uses, one line each.
func Versions(ctx context.Context) ([]string, error) {
	var lines []string
	for _, name := range []string{"mariadbd", "redis-server"} {
		path, err := findProgram(name)
		if err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", name, err)
		}
		lines = append(lines, strings.TrimSpace(string(out)))
	}
	return lines, nil
}
