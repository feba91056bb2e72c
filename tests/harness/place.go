package harness

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
)

// Place is a host of its own for the processes of a laboratory, with its own network.
type Place interface {
	// Name is its host name.
	Name() string
	// IP is its address.
	IP() string
	// Start starts a program there.
	Start(*exec.Cmd) error
	// Dial connects from there.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// ip is the address at which what runs at a place is reached.
func ip(at Place) string {
	if at == nil {
		return "127.0.0.1"
	}
	return at.IP()
}

// port is a free one on this machine; a place of its own has the usual one free.
func port(at Place, usual int) (int, error) {
	if at == nil {
		return FreePort()
	}
	return usual, nil
}

// Command is a program to be run at a place.
type Command struct {
	Path string
	Args []string
	Env  []string // in addition to this program's
	Dir  string
	// Output is the file that gets what it prints.
	Output string
	// AsServer has it run as the servers' user.
	AsServer bool
}

// Launch starts a program at a place.
func (l *Lab) Launch(at Place, c Command) (*Process, error) {
	out, err := os.OpenFile(c.Output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	return l.start(processSpec{path: c.Path, args: c.Args, env: c.Env, dir: c.Dir, stdout: out, asServer: c.AsServer, place: at})
}

// Folder makes a numbered folder that belongs to the servers' user.
func (l *Lab) Folder(name string) (string, error) { return l.folder(name) }

// Owner is the user and the group that servers run as; those of this program unless root runs it.
func (l *Lab) Owner() (uid, gid int) {
	if l.cred == nil {
		return os.Getuid(), os.Getgid()
	}
	return int(l.cred.Uid), int(l.cred.Gid)
}

func address(at Place, port int) string { return net.JoinHostPort(ip(at), strconv.Itoa(port)) }
