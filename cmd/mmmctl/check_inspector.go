package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
)

// checkTime bounds the inspection of one server under one login, connecting apart.
const checkTime = 20 * time.Second

// inspector logs in to the servers of one tag.
type inspector struct {
	tag   config.Tag
	agent *config.Agent
	conf  string // the path of mmm.conf
	heard heard
	facts map[cluster.Endpoint]func() *mysqlnode.Facts
}

func newInspector(t config.Tag, agent *config.Agent, conf string, h heard) *inspector {
	i := &inspector{tag: t, agent: agent, conf: conf, heard: h, facts: map[cluster.Endpoint]func() *mysqlnode.Facts{}}
	for _, node := range t.Members() {
		i.facts[node] = sync.OnceValue(func() *mysqlnode.Facts { return i.read(node) })
	}
	return i
}

func (i *inspector) options(node cluster.Endpoint, role mysqlnode.Role) mysqlnode.Options {
	t := i.tag
	// The table is named so that the grants on it are looked at.
	o := mysqlnode.Options{Addr: node, User: t.User, Password: t.Password, Database: t.Database, Charset: t.Charset, ConnectTimeout: t.ConnectTimeout,
		Name: "mmmctl", Epoch: mysqlnode.EpochAt{Table: t.EpochTable, UniqSign: t.UniqSign}}
	if a := i.agent; role == mysqlnode.RoleAgent {
		o.User, o.Password, o.Database, o.Charset, o.ConnectTimeout = a.User, a.Password, a.Database, a.Charset, a.ConnectTimeout
	}
	return o
}

// users are those with which our programs log in.
func (i *inspector) users() []string {
	users := []string{i.tag.User}
	if i.agent != nil {
		users = append(users, i.agent.User)
	}
	return users
}

func (i *inspector) connect(ctx context.Context, node cluster.Endpoint, role mysqlnode.Role) (*mysqlnode.Conn, error) {
	n, err := mysqlnode.New(i.options(node, role))
	if err != nil {
		return nil, err
	}
	return n.Connect(ctx)
}

// read gets what the other server is compared with, under the first login that
// the server takes; nil when it cannot be had.
func (i *inspector) read(node cluster.Endpoint) *mysqlnode.Facts {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	c, err := i.connect(ctx, node, mysqlnode.RoleMonitor)
	if err != nil && i.agent != nil {
		c, err = i.connect(ctx, node, mysqlnode.RoleAgent)
	}
	if err != nil {
		return nil
	}
	defer func() { _ = c.Close() }()
	f, err := c.Facts(ctx)
	if err != nil {
		return nil
	}
	return &f
}

// active is the server with that role by the bus, else the only writable one;
// empty when it cannot be told.
func (i *inspector) active() cluster.Endpoint {
	if known := i.heard.active; i.heard.roles && (known == "" || i.tag.Has(known)) || i.tag.ServiceMode == cluster.ActiveActive {
		return known
	}
	a, b := i.tag.Primary, i.tag.Secondary
	fa, fb := i.facts[a](), i.facts[b]()
	switch {
	case fa == nil || fb == nil:
	case fa.ReadOnly == cluster.No && fb.ReadOnly == cluster.Yes:
		return a
	case fa.ReadOnly == cluster.Yes && fb.ReadOnly == cluster.No:
		return b
	}
	return ""
}

// durability is the promise that asks most of the servers: mmm.conf's or the one in force.
func (i *inspector) durability() cluster.Durability {
	if i.tag.Durability.Acknowledged() {
		return i.tag.Durability
	}
	return i.heard.durability
}

// where says on which server a statement that replicates is to be executed;
// empty when node is that one.
func (i *inspector) where(node cluster.Endpoint) string {
	switch active := i.active(); active {
	case node:
		return ""
	case "":
		return "the active, which cannot be told from here (it replicates)"
	default:
		return fmt.Sprintf("the active %s (it replicates)", active)
	}
}

// Inspect logs in to a server as one program does and checks it.
func (i *inspector) Inspect(ctx context.Context, what control.Inspection) ([]control.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	role := mysqlnode.Role(what.Role)
	c, err := i.connect(ctx, what.Node, role)
	if err != nil {
		return i.refused(what.Node, role, err), loginError(err)
	}
	defer func() { _ = c.Close() }()
	other := i.tag.Other(what.Node)
	found, err := c.Check(ctx, mysqlnode.CheckOptions{Role: role, StartsClosed: i.heard.told[what.Node], AtStart: i.heard.starts[what.Node], Peer: other,
		Ours: i.users(), PeerFacts: i.facts[other](), Active: i.active(), Quarantine: i.heard.quarantine[what.Node],
		Durability: i.durability()})
	if err != nil {
		return nil, loginError(err)
	}
	out := make([]control.Finding, 0, len(found))
	for _, f := range found {
		x := control.Finding{Severity: string(f.Severity), Item: f.Item, Text: f.Text, Fix: f.Fix}
		if f.Replicates {
			x.FixOn = i.where(what.Node)
		}
		out = append(out, x)
	}
	return out, nil
}

// refused finds how a login that the server refuses would be let in.
func (i *inspector) refused(node cluster.Endpoint, role mysqlnode.Role, err error) []control.Finding {
	l := mysqlnode.Login{Role: role, User: i.tag.User, EpochTable: i.tag.EpochTable, Durability: i.durability(), Version: i.version(node)}
	file, section := i.conf, string(i.tag.Tag)
	if role == mysqlnode.RoleAgent {
		l.User, file, section = i.agent.User, i.agent.Path, "mysql"
	}
	l.Password = fmt.Sprintf("the password of [%s] in %s", section, file)
	fix := l.Fix(err)
	if fix == "" {
		return nil
	}
	return []control.Finding{{Severity: control.FindingFail, Item: "account of the " + string(role),
		Text: fmt.Sprintf("the server refuses user %s with %s", l.User, l.Password), Fix: fix, FixOn: i.where(node)}}
}

// version is what runs on a server or, when that is not known, on the other.
func (i *inspector) version(node cluster.Endpoint) string {
	for _, n := range []cluster.Endpoint{node, i.tag.Other(node)} {
		if f := i.facts[n](); f != nil {
			return f.Version
		}
	}
	return ""
}

// loginError tells a server that answers with a no from one that does not answer.
func loginError(err error) error {
	e := &control.Error{Code: "server-unreachable", Message: err.Error(), Exit: control.ExitUnreachable, Err: err}
	switch cause := mysqlnode.CauseOf(err); cause {
	case cluster.CauseAccessDenied, cluster.CauseHostBlocked, cluster.CauseTooMany:
		e.Code, e.Exit = strings.ReplaceAll(string(cause), " ", "-"), control.ExitRefused
	}
	return e
}
