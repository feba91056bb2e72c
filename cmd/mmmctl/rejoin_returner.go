package main

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/binlog"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
)

const (
	// rowsKept bounds what is read of the rows of a server in quarantine; more are not discarded.
	rowsKept = 20000
	// callTime bounds one question, readTime reading the binary logs, changeTime a discard.
	callTime   = 10 * time.Second
	readTime   = 5 * time.Minute
	changeTime = 5 * time.Minute
)

// returner is the server that is to rejoin, and the other for questions.
type returner struct {
	tag    config.Tag
	node   cluster.Endpoint
	login  config.Agent
	conns  map[cluster.Endpoint]*mysqlnode.Conn
	tables map[cluster.Table]cluster.TableInfo
}

func newReturner(t config.Tag, node cluster.Endpoint, login config.Agent) *returner {
	return &returner{tag: t, node: node, login: login, conns: map[cluster.Endpoint]*mysqlnode.Conn{}, tables: map[cluster.Table]cluster.TableInfo{}}
}

func (r *returner) close() {
	for _, c := range r.conns {
		_ = c.Close()
	}
}

// to gives the session on a server; one that was lost is replaced.
func (r *returner) to(ctx context.Context, at cluster.Endpoint) (*mysqlnode.Conn, error) {
	if c := r.conns[at]; c != nil {
		if c.Ping(ctx) == nil {
			return c, nil
		}
		_ = c.Close()
		delete(r.conns, at)
	}
	l := r.login
	n, err := mysqlnode.New(mysqlnode.Options{Addr: at, User: l.User, Password: l.Password, Database: l.Database, Charset: l.Charset,
		ConnectTimeout: l.ConnectTimeout, Name: "mmmctl", Epoch: mysqlnode.EpochAt{Table: r.tag.EpochTable, UniqSign: r.tag.UniqSign}})
	if err != nil {
		return nil, err
	}
	c, err := n.Connect(ctx)
	if err != nil {
		return nil, loginError(err)
	}
	r.conns[at] = c
	return c, nil
}

// Sample asks a server for all that it says of itself.
func (r *returner) Sample(ctx context.Context, at cluster.Endpoint) (cluster.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	c, err := r.to(ctx, at)
	if err != nil {
		return cluster.Server{}, err
	}
	return c.Observe(ctx, nil)
}

// Transactions reads the binary logs of the server.
func (r *returner) Transactions(ctx context.Context, known func(string) (bool, error), each func(cluster.Transaction) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	c, err := r.to(ctx, r.node)
	if err != nil {
		return false, err
	}
	logs, err := c.BinaryLogs(ctx)
	if err != nil {
		return false, err
	}
	return binlog.New(binlog.Options{Addr: r.node, Flavor: c.Flavor(), User: r.login.User, Password: r.login.Password, Logs: logs, Rows: rowsKept}).Read(ctx, known, each)
}

// Table is what must be known of a table as it is now.
func (r *returner) Table(ctx context.Context, t cluster.Table) (cluster.TableInfo, error) {
	if info, known := r.tables[t]; known {
		return info, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	c, err := r.to(ctx, r.node)
	if err != nil {
		return cluster.TableInfo{}, err
	}
	info, err := c.Table(ctx, t)
	if err == nil {
		r.tables[t] = info
	}
	return info, err
}

// Unfinished is what a discard has noted that did not come to its end.
func (r *returner) Unfinished(ctx context.Context) (errant, keep string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	c, err := r.to(ctx, r.node)
	if err != nil {
		return "", "", err
	}
	d, err := c.Discarding(ctx)
	if err != nil || d == nil {
		return "", "", err
	}
	return d.Errant, d.Keep, nil
}

// Undoable says why a transaction cannot be taken back.
func (r *returner) Undoable(ctx context.Context, t cluster.Transaction) error {
	_, err := r.inverses(ctx, t)
	return err
}

func (r *returner) inverses(ctx context.Context, t cluster.Transaction) ([]string, error) {
	return mysqlnode.Inverses(t, func(of cluster.Table) (cluster.TableInfo, error) { return r.Table(ctx, of) })
}

// Undo takes transactions back, the last first.
func (r *returner) Undo(ctx context.Context, errant, keep string, all []cluster.Transaction) error {
	var statements []string
	for i := len(all) - 1; i >= 0; i-- {
		more, err := r.inverses(ctx, all[i])
		if err != nil {
			return err
		}
		statements = append(statements, more...)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	c, err := r.to(ctx, r.node)
	if err != nil {
		return err
	}
	return c.Undo(ctx, mysqlnode.Discard{Errant: errant, Keep: keep}, statements)
}

// Forget leaves the server without binary logs and without all transactions but keep.
func (r *returner) Forget(ctx context.Context, errant, keep string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	c, err := r.to(ctx, r.node)
	if err != nil {
		return err
	}
	return c.Forget(ctx, mysqlnode.Discard{Errant: errant, Keep: keep})
}
