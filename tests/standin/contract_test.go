package standin_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/tests/harness"
	"github.com/mmm-manager/mmm-manager/tests/standin"
)

var row = mysqlnode.EpochAt{Table: "mmm_meta.epoch", UniqSign: "u"}

// both is a pair of servers of one kind: what a stand-in answers must be what MySQL does.
type both struct {
	name string
	node [2]*mysqlnode.Conn
	kill func()
}

func servers(t *testing.T) []both {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	connect := func(e cluster.Endpoint) *mysqlnode.Conn {
		n, err := mysqlnode.New(mysqlnode.Options{Addr: e, User: harness.ManagerUser, Password: cluster.Secret(harness.Password), ConnectTimeout: 5 * time.Second,
			Epoch: row})
		check(t, err)
		c, err := n.Connect(ctx)
		check(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := freePort(t), freePort(t)
	p, err := standin.NewPair(1, a, b, standin.Options{Unknown: func(s string) { t.Errorf("a stand-in does not know: %s", s) }})
	check(t, err)
	t.Cleanup(func() { p.Members[0].Kill(); p.Members[1].Kill() })
	all := []both{{"stand-in", [2]*mysqlnode.Conn{connect(a), connect(b)}, p.Members[0].Kill}}

	t.Setenv("MMM_DB", "mysql")
	if missing := harness.Missing(); len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("not installed: %v", missing)
		}
		t.Skipf("SKIPPED: not installed: %v", missing)
	}
	lab, err := harness.NewLab(harness.Options{})
	check(t, err)
	t.Cleanup(func() { _ = lab.Close() })
	pair, err := lab.NewPair(ctx, harness.PairOptions{})
	check(t, err)
	real := both{"MySQL", [2]*mysqlnode.Conn{connect(pair.A.Addr()), connect(pair.B.Addr())}, pair.A.Kill}
	for _, c := range real.node {
		check(t, c.StopReplication(ctx))
		check(t, c.SetReadOnly(ctx, time.Second))
	}
	return append(all, real)
}

func TestStandInsAnswerAsServersDo(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.name, func(t *testing.T) {
			ctx := t.Context()
			a, b := s.node[0], s.node[1]
			observe := func(c *mysqlnode.Conn) cluster.Server {
				t.Helper()
				srv, err := c.Observe(ctx, nil)
				check(t, err)
				return srv
			}
			is := func(what string, ok bool) {
				t.Helper()
				if !ok {
					t.Error(what)
				}
			}
			srv := observe(a)
			is("it is MySQL, closed, with GTIDs", srv.Flavor == cluster.MySQL && srv.ReadOnly == cluster.Yes && srv.SuperReadOnly == cluster.Yes && srv.GTIDMode && srv.LogsReplicaUpdates)
			is("it has an identity", srv.Identity != "" && srv.Sessions >= 0)
			ch := srv.Channel
			is("its channel is stopped", ch.Configured && ch.GTID && ch.Stopped() && ch.IOErrno == 0 && ch.SQLErrno == 0)
			closed, err := a.StartsClosed(ctx)
			check(t, err)
			is("it does not start open", closed != cluster.No)

			check(t, a.Unseal(ctx))
			is("unsealed it is closed", observe(a).SuperReadOnly == cluster.No && observe(a).ReadOnly == cluster.Yes)
			check(t, a.WriteMark(ctx, row, cluster.Mark{Epoch: 3, Active: "h:1"}))
			mark, err := a.Mark(ctx, row)
			check(t, err)
			is("the epoch row is there", mark.Epoch == 3 && mark.Active == "h:1")
			check(t, a.SetWritable(ctx))
			ro, sro, err := a.ReadOnly(ctx)
			check(t, err)
			is("it is open", ro == cluster.No && sro == cluster.No)

			before := observe(b)
			check(t, b.StartReplication(ctx))
			until(t, "it replicates and has the row", func() bool {
				srv := observe(b)
				return srv.Channel.IO == cluster.ThreadYes && srv.Channel.SQL == cluster.ThreadYes && srv.Mark.Epoch == 3 && srv.Executed != before.Executed && srv.Channel.Received != ""
			})
			is("it is told how often hearts beat", observe(b).Channel.HeartbeatPeriodMS > 0)
			done, err := b.WaitApplied(ctx, observe(a).Executed, time.Second)
			check(t, err)
			is("all is applied", done)
			check(t, b.StopIOThread(ctx))
			is("its receiver is stopped, its applier is not", observe(b).Channel.IO == cluster.ThreadNo && observe(b).Channel.SQL == cluster.ThreadYes)
			check(t, b.StartIOThread(ctx))

			check(t, a.SetReadOnly(ctx, time.Second))
			is("it is closed again", observe(a).ReadOnly == cluster.Yes && observe(a).SuperReadOnly == cluster.Yes)
			sessions, err := a.Sessions(ctx)
			check(t, err)
			is("its own session is not among those of others", len(sessions) <= 4)

			s.kill()
			until(t, "the other has lost it", func() bool { return observe(b).Channel.IO == cluster.ThreadConnecting })
			if err := a.Ping(ctx); err == nil {
				t.Error("a server that was killed answers")
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	check(t, harness.Until(t.Context(), what, func(ctx context.Context) (bool, string) {
		if ctx.Err() != nil {
			return false, "no time is left"
		}
		return met(), "not yet"
	}))
}

func freePort(t *testing.T) cluster.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	check(t, errors.Join(l.Close()))
	return cluster.Endpoint("127.0.0.1:" + strconv.Itoa(port))
}
