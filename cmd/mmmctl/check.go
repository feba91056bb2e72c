package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
)

// checkTime bounds the inspection of one server under one login, connecting apart.
const checkTime = 20 * time.Second

func (p *program) checkCommand() *cobra.Command {
	var agentConf string
	cmd := &cobra.Command{
		Use:   "check [--tag TAG[,TAG...]] [--agent-conf FILE]",
		Short: "Check the prerequisites on both servers, with the exact fixes",
		Long: `check logs in to both servers as the monitor does, and as the agent does when
mmm-agent.conf can be read, and looks at settings and grants. It changes nothing.

GRANT statements are for the active only: they replicate. Lines like
read_only=ON belong in the configuration file of the server itself.

Exit codes: 0 nothing is wrong (unknown things are listed), 3 warnings, 5 a
prerequisite is missing or a login is refused, 69 a server is not reached.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&agentConf, "agent-conf", daemon.DefaultAgentConf, "the agent's `FILE`, for its login")
	_ = cmd.MarkFlagFilename("agent-conf", "conf")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		pairs, tags, code, err := p.tags(true)
		if err != nil {
			return err
		}
		agent, err := p.agentLogin(agentConf, cmd.Flags().Changed("agent-conf"))
		if err != nil {
			return err
		}
		roles := []string{string(mysqlnode.RoleMonitor)}
		if agent != nil {
			roles = append(roles, string(mysqlnode.RoleAgent))
		} else {
			code = max(code, daemon.ExitDegraded)
		}
		all := []control.Checked{}
		for _, t := range tags {
			all = append(all, control.Check(ctx, newInspector(t, agent, p.starts(ctx, pairs, t)), t.Pair, roles)...)
		}
		for _, c := range all {
			code = max(code, c.Exit)
		}
		if p.form == "json" {
			err = control.PrintJSON(p.out, "servers", all)
		} else {
			err = control.PrintChecked(p.out, all)
		}
		if err != nil {
			return err
		}
		return silently(code)
	})
	return cmd
}

// agentLogin reads the agent's file. Without --agent-conf one that is not there
// or not readable is told, and the agent's grants stay unchecked.
func (p *program) agentLogin(path string, asked bool) (*config.Agent, error) {
	if !asked {
		f, err := os.Open(path)
		if err != nil {
			fmt.Fprintf(p.err, "mmmctl: the agent's grants are not checked: %v (give its file with --agent-conf)\n", err)
			return nil, nil
		}
		_ = f.Close()
	}
	agent, faults := config.LoadAgent(path)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return agent, nil
}

// starts asks the bus how a monitor found the switches when it first met each
// server after a start. Without a bus or a monitor that is not known.
func (p *program) starts(ctx context.Context, pairs *config.Pairs, t config.Tag) map[cluster.Endpoint]mysqlnode.AtStart {
	bus := p.open(pairs)
	defer func() { _ = bus.Close() }()
	snap, err := bus.Snapshot(ctx, t.UniqSign)
	if err != nil {
		return nil
	}
	out := map[cluster.Endpoint]mysqlnode.AtStart{}
	for node, views := range snap.Observations {
		for _, o := range views {
			if o.ReadOnlyAtStart != cluster.Unknown {
				out[node] = mysqlnode.AtStart{ReadOnly: o.ReadOnlyAtStart, SuperReadOnly: o.SuperReadOnlyAtStart}
			}
		}
	}
	return out
}

// inspector logs in to the servers of one tag.
type inspector struct {
	tag    config.Tag
	agent  *config.Agent
	starts map[cluster.Endpoint]mysqlnode.AtStart
	facts  map[cluster.Endpoint]func() *mysqlnode.Facts
}

func newInspector(t config.Tag, agent *config.Agent, starts map[cluster.Endpoint]mysqlnode.AtStart) *inspector {
	i := &inspector{tag: t, agent: agent, starts: starts, facts: map[cluster.Endpoint]func() *mysqlnode.Facts{}}
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

// read gets what the other server is compared with; nil when it cannot be had.
func (i *inspector) read(node cluster.Endpoint) *mysqlnode.Facts {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	c, err := i.connect(ctx, node, mysqlnode.RoleMonitor)
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

// Inspect logs in to a server as one program does and checks it.
func (i *inspector) Inspect(ctx context.Context, what control.Inspection) ([]control.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	role := mysqlnode.Role(what.Role)
	c, err := i.connect(ctx, what.Node, role)
	if err != nil {
		return nil, loginError(err)
	}
	defer func() { _ = c.Close() }()
	other := i.tag.Other(what.Node)
	found, err := c.Check(ctx, mysqlnode.CheckOptions{Role: role, AtStart: i.starts[what.Node], Peer: other,
		Ours: i.users(), PeerFacts: i.facts[other]()})
	if err != nil {
		return nil, loginError(err)
	}
	out := make([]control.Finding, 0, len(found))
	for _, f := range found {
		out = append(out, control.Finding{Severity: string(f.Severity), Item: f.Item, Text: f.Text, Fix: f.Fix})
	}
	return out, nil
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
