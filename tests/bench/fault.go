package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/lab/disk"
	"github.com/mmm-manager/mmm-manager/tests/lab/host"
)

// The causes of a failover, and the planned switchover.
const (
	causeKill       = "kill"
	causeTerm       = "term"
	causeStop       = "stop"
	causeCut        = "cut"
	causeReset      = "reset"
	causeFreeze     = "freeze"
	causeSwitchover = "switchover"
)

// leaseSeconds is the default of mmm-agent.conf.
const leaseSeconds = 10

// ends reports whether the server's process ends by the cause.
func ends(cause string) bool { return cause == causeKill || cause == causeTerm }

// brief reports whether a cell's runs take milliseconds, which anything else on the machine makes more.
func (g group) brief() bool {
	return ends(g.Cause) || g.Cause == causeReset || g.Cause == causeSwitchover
}

// needsHosts reports whether a cause concerns a host with a network and a disk of its own.
func needsHosts(cause string) bool {
	return cause == causeCut || cause == causeReset || cause == causeFreeze
}

// inject has the cause happen to a server; heal ends it, and starts again what has ended.
func (st *stage) inject(ctx context.Context, cause string, server *harness.Server) (heal func(context.Context) error, err error) {
	switch cause {
	case causeKill, causeTerm:
		signal := syscall.SIGKILL
		if cause == causeTerm {
			signal = syscall.SIGTERM
			// MySQL would wait ten seconds for an idle session of root, which is ours.
			server.Admin().SetMaxIdleConns(0)
			defer server.Admin().SetMaxIdleConns(1)
		}
		if err := server.Process().Signal(signal); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			select {
			case <-server.Process().Done():
			case <-ctx.Done():
				return ctx.Err()
			}
			err := server.Start(ctx)
			if err != nil && ctx.Err() == nil && !server.Process().Running() {
				// A MariaDB killed under load has crashed in its recovery, once in some hundred starts.
				err = server.Start(ctx)
			}
			return err
		}, nil
	case causeStop:
		if err := server.Process().Freeze(); err != nil {
			return nil, err
		}
		return func(context.Context) error { return server.Process().Thaw() }, nil
	}
	db := st.hosts.At(server.Addr())
	network := st.hosts.Net
	var cuts []host.Cut
	switch cause {
	case causeCut:
		cuts = network.Alone(db.Host, host.Drop)
	case causeReset:
		// One way: a reset that meets a filter itself would be silence.
		cuts = []host.Cut{{From: nil, To: db.Host, How: host.Reset}}
	case causeFreeze:
		if err := db.Disk.Freeze(ctx, disk.MaxFreeze); err != nil {
			return nil, err
		}
		return db.Disk.Thaw, nil
	default:
		return nil, fmt.Errorf("no such cause: %s", cause)
	}
	return func(context.Context) error { return network.Heal(cuts...) }, network.Apply(cuts...)
}

func (st *stage) dial(ctx context.Context, node cluster.Endpoint) (net.Conn, error) {
	if st.client != nil {
		return st.client.Dial(ctx, "tcp", string(node))
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", string(node))
}

// floor is what no manager can be faster than: a port that refuses and, where a process is killed, a connection that
// ends, both as a client sees them.
type floor struct {
	stage *stage
	node  cluster.Endpoint
	open  net.Conn
	ended chan time.Time
}

// newFloor connects to a server that still works, if a connection's end is to be seen: MySQL that is told to stop
// waits 10 s (connect_timeout) for one that does not log in.
func (st *stage) newFloor(ctx context.Context, node cluster.Endpoint, connection bool) (*floor, error) {
	f := &floor{stage: st, node: node, ended: make(chan time.Time, 1)}
	if !connection {
		return f, nil
	}
	open, err := st.dial(ctx, node)
	if err != nil {
		return nil, err
	}
	f.open = open
	go func() {
		for buf := make([]byte, 1024); ; {
			if _, err := open.Read(buf); err != nil {
				f.ended <- time.Now()
				return
			}
		}
	}()
	return f, nil
}

// wait returns when the server's port has refused and, if asked for, the connection has ended.
func (f *floor) wait(ctx context.Context) (time.Time, error) {
	at, err := refuses(ctx, f.stage.dial, f.node)
	if err != nil || f.open == nil {
		return at, err
	}
	select {
	case end := <-f.ended:
		if end.After(at) {
			at = end
		}
		return at, nil
	case <-ctx.Done():
		return at, fmt.Errorf("wait until a connection to %s ends: %w", f.node, ctx.Err())
	}
}

func (f *floor) close() {
	if f.open != nil {
		_ = f.open.Close()
	}
}

// refuses dials until the port refuses.
func refuses(ctx context.Context, dial func(context.Context, cluster.Endpoint) (net.Conn, error), node cluster.Endpoint) (time.Time, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dial(ctx, node)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return time.Now(), nil
		}
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait until %s refuses: %w", node, ctx.Err())
		}
	}
}
