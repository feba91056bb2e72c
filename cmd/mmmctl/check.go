package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
)

func (p *program) checkCommand() *cobra.Command {
	var agentConf string
	cmd := &cobra.Command{
		Use:   "check [--tag TAG[,TAG...]] [--agent-conf FILE]",
		Short: "Check the prerequisites on both servers, with the exact fixes",
		Long: `check logs in to both servers as the monitor does, and as the agent does when
mmm-agent.conf can be read, and looks at settings and grants. It changes nothing.

Statements about accounts are for the active only: they replicate, and become
errant transactions elsewhere. Lines like read_only=ON belong in the
configuration file of the server itself.

Exit codes: 0 nothing is wrong (unknown things are listed), 3 warnings, or the bus
is not reached, 5 a prerequisite is missing or a login is refused, 69 a server is not reached.`,
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
			told, err := p.heard(ctx, pairs, t)
			if err != nil {
				fmt.Fprintf(p.err, "mmmctl: who is active in %s, what is promised and what is in quarantine is not known: %s\n", t.Tag, control.Printable(err.Error()))
				code = max(code, daemon.ExitDegraded)
			}
			all = append(all, control.Check(ctx, newInspector(t, agent, p.flags.Conf, told), t.Pair, roles)...)
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
	return loadAgent(path)
}

// loadAgent reads the agent's file, for which --conf is not the flag here.
func loadAgent(path string) (*config.Agent, error) {
	agent, faults := config.LoadAgent(path)
	err := faults.Err()
	if e, is := errors.AsType[*config.Error](err); is {
		for i := range e.Faults {
			e.Faults[i].Hint = strings.Replace(e.Faults[i].Hint, "--conf", "--agent-conf", 1)
		}
	}
	return agent, err
}

// heard is what the bus tells about a tag beyond what its servers do.
type heard struct {
	// told is what each server said of read_only at its next start before somebody set it.
	told map[cluster.Endpoint]cluster.Tri
	// starts is how a monitor found the switches when it first met each server after a start.
	starts map[cluster.Endpoint]mysqlnode.AtStart
	// roles reports that the bus has roles; active is empty while nobody has that one.
	roles  bool
	active cluster.Endpoint
	// durability is the promise in force.
	durability cluster.Durability
	// quarantine is what agents hold against each server.
	quarantine map[cluster.Endpoint]string
}

// heard asks the bus. Without a bus, a monitor or an agent that much is not known.
func (p *program) heard(ctx context.Context, pairs *config.Pairs, t config.Tag) (heard, error) {
	bus := p.open(pairs)
	defer func() { _ = bus.Close() }()
	snap, err := bus.Snapshot(ctx, t.UniqSign)
	if err != nil {
		return heard{}, err
	}
	return heardOf(snap), nil
}

func heardOf(snap cluster.Snapshot) heard {
	h := heard{told: map[cluster.Endpoint]cluster.Tri{}, starts: map[cluster.Endpoint]mysqlnode.AtStart{}, quarantine: map[cluster.Endpoint]string{}}
	for node, views := range snap.Observations {
		for _, o := range views {
			h.hear(node, o.Server.StartsClosed)
			if o.ReadOnlyAtStart != cluster.Unknown {
				h.starts[node] = mysqlnode.AtStart{ReadOnly: o.ReadOnlyAtStart, SuperReadOnly: o.SuperReadOnlyAtStart}
			}
		}
	}
	if a := snap.Assignment; a.Exists() {
		h.roles, h.active, h.durability = true, a.Active, a.Durability
	} else if snap.Legacy.Active != "" {
		h.roles, h.active = true, snap.Legacy.Active
	}
	for node, reports := range snap.Reports {
		var last cluster.Report
		for _, r := range reports {
			// An agent that is away may have left an older one.
			if last.Order.Before(r.Order) || last.Order == r.Order && r.Deed == cluster.DeedQuarantine {
				last = r
			}
		}
		for _, r := range reports {
			if r.Order == last.Order {
				h.hear(node, r.StartsClosed)
			}
		}
		if last.Deed == cluster.DeedQuarantine && node != h.active {
			h.quarantine[node] = cmp.Or(last.Errant, last.Reason, "its agent does not say which")
		}
	}
	return h
}

// hear enters what one program was told; a server that may come up open counts as one that does.
func (h heard) hear(node cluster.Endpoint, told cluster.Tri) {
	if told == cluster.No || h.told[node] == cluster.Unknown {
		h.told[node] = told
	}
}
