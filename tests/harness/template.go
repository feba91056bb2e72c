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

// dataTemplate makes, once per laboratory, the data folder from which each
// server starts: system tables, users, the application's empty table, and no
// transaction in any binary log.
func (l *Lab) dataTemplate(ctx context.Context) (string, error) {
	l.template.Lock()
	defer l.template.Unlock()
	if l.tmplDir != "" {
		return l.tmplDir, nil
	}
	dir, err := l.folder("template")
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	l.logf("install system tables in %s", data)
	if err := l.install(ctx, dir, data); err != nil {
		return "", err
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
