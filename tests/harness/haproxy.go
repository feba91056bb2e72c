package harness

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What the example files of etc/haproxy name: a test puts its own in their place.
const (
	exampleBind      = "127.0.0.1:3307"
	examplePrimary   = "10.0.21.5:3308"
	exampleSecondary = "10.0.21.7:3308"
	exampleSocket    = "/run/haproxy/admin.sock"
)

// Proxy is an HAProxy in front of a pair, run as an ordinary user.
type Proxy struct {
	*Process
	addr   cluster.Endpoint
	socket string
	log    string
}

// MissingProxy says that HAProxy is not installed.
func MissingProxy() error {
	_, err := findProgram("haproxy")
	return err
}

// StartProxy starts HAProxy with one of the example files of etc/haproxy, in which
// only the addresses are replaced.
func (p *Pair) StartProxy(ctx context.Context, file string) (*Proxy, error) {
	l := p.A.lab
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration of the proxy: %w", err)
	}
	bin, err := findProgram("haproxy")
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("haproxy")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	x := &Proxy{
		addr:   cluster.Endpoint("127.0.0.1:" + strconv.Itoa(port)),
		socket: filepath.Join(dir, "sock"), log: filepath.Join(dir, "log"),
	}
	config := string(text)
	for _, place := range []struct{ example, own string }{
		{exampleBind, string(x.addr)}, {examplePrimary, string(p.A.Addr())}, {exampleSecondary, string(p.B.Addr())}, {exampleSocket, x.socket},
	} {
		if !strings.Contains(config, place.example) {
			return nil, fmt.Errorf("read configuration of the proxy: %s does not name %s", file, place.example)
		}
		config = strings.ReplaceAll(config, place.example, place.own)
	}
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration of the proxy: %w", err)
	}
	if err := l.run(ctx, dir, "", bin, "-c", "-q", "-f", path); err != nil {
		return nil, err
	}
	out, err := os.Create(x.log)
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	defer out.Close()
	if x.Process, err = l.start(processSpec{path: bin, args: []string{"-db", "-f", path}, dir: dir, stdout: out, asServer: true}); err != nil {
		return nil, err
	}
	return x, Until(ctx, "the proxy answers", func(ctx context.Context) (bool, string) {
		states, err := x.States(ctx)
		return err == nil && len(states) > 0, fmt.Sprintf("%v; %s", err, x.Log(10))
	})
}

// The example whose check asks a server whether it is writable.
const (
	WritableMariaDB = "writable-mariadb.cfg"
	WritableMySQL   = "writable-mysql.cfg"
)

// PrepareCheck makes the account with which HAProxy's checks log in, on the active,
// and names the example that suits the servers.
func (s *Server) PrepareCheck(ctx context.Context) (example string, err error) {
	version, err := s.Value(ctx, "SELECT VERSION()")
	if err != nil {
		return "", err
	}
	if strings.Contains(version, "MariaDB") {
		return WritableMariaDB, s.Exec(ctx, "CREATE USER mmm_check@'%'")
	}
	return WritableMySQL, s.Exec(ctx, "CREATE USER mmm_check@'%' IDENTIFIED WITH caching_sha2_password BY ''")
}

// Addr is where clients connect.
func (x *Proxy) Addr() cluster.Endpoint { return x.addr }

// Log is the end of what the proxy printed.
func (x *Proxy) Log(n int) string { return tailFile(x.log, n) }

// States are the servers of the proxy by name, as "show stat" tells: UP, DOWN, or on the way.
func (x *Proxy) States(ctx context.Context) (map[string]string, error) {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", x.socket)
	if err != nil {
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	rows, err := csv.NewReader(conn).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("ask the proxy: %d lines, %w", len(rows), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[strings.TrimPrefix(name, "# ")] = i
	}
	states := map[string]string{}
	for _, row := range rows[1:] {
		if name := row[column["svname"]]; name != "FRONTEND" && name != "BACKEND" {
			states[name] = row[column["status"]]
		}
	}
	return states, nil
}

// WaitState waits until the proxy says of the server, "primary" or "secondary",
// that its state begins with UP or DOWN.
func (x *Proxy) WaitState(ctx context.Context, server, state string) error {
	return Until(ctx, "the proxy sees the "+server+" "+state, func(ctx context.Context) (bool, string) {
		states, err := x.States(ctx)
		return err == nil && strings.HasPrefix(states[server], state), fmt.Sprint(states, err)
	})
}
