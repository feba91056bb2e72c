package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

func (p *program) switchoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "switchover --tag TAG [--to HOST:PORT] [--yes]",
		Short: "Make the other server active, without losing a write",
		Long: `switchover asks the leading mmm-identify to move the active role and follows it to
the end. Nothing that writes is killed: a write transaction older than 1 s, or a
table lock, calls it off, and the old active goes on.

Exit codes: 0 done, 1 rolled back or withdrawn since nobody took it, 5 refused by a safety rule, 6 outcome unknown.`,
		Example: `  mmmctl switchover --tag mysql3308
  mmmctl switchover --tag mysql3308 --to 10.0.21.7:3308 --yes --reason "kernel update"`,
		Args: cobra.NoArgs,
	}
	r := p.request(cmd, "who is to be active, `HOST:PORT` (default the other server)")
	f := cmd.Flags()
	f.DurationVar(&r.timeout, "timeout", control.DefaultTimeout, "roll back when it is not decided by then")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		return p.file(ctx, r, func(s *control.Service, t config.Tag, asked control.Asked) (control.Outcome, error) {
			return s.Switchover(ctx, control.Switchover{Asked: asked, Failback: failover.Failback(t.Failback), FailbackAfter: t.FailbackAfter})
		})
	})
	return cmd
}

func (p *program) failoverCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "failover --tag TAG --to HOST:PORT --reason TEXT [--yes] [--force]",
		Short: "Make a server active against the rules, when the active is dead",
		Long: `failover is the operator's override. It makes a server active although the
pair is paused, failover_block holds, the server is not eligible or lacks more than
max_loss, or nobody can prove that the old active is closed. It says beforehand
what is known to be lost. An old active that an agent reaches is closed first all
the same; one that comes back later is closed and compared.

It is refused when the active is alive (use switchover), when the server does not
answer or has no agent, and, unless --force is given, when it is in quarantine,
has transactions of its own, or cannot apply what it received. What looks refused
from here is not filed with --yes, unless --force is given.

Exit codes: 0 done, 1 withdrawn since nobody took it, 5 refused by a safety rule, 6 outcome unknown.`,
		Example: `  mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "10.0.21.5 burnt down"`,
		Args:    cobra.NoArgs,
	}
	r := p.request(cmd, "who is to be active, `HOST:PORT`")
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "even a server in quarantine, with transactions of its own, or unable to apply what it received")
	f.DurationVar(&r.timeout, "timeout", control.FailoverTimeout, "how long each part may take before the request ends; what was begun goes on")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		if r.to == "" {
			return daemon.Usagef("which server? give --to HOST:PORT")
		}
		if strings.TrimSpace(r.reason) == "" {
			return daemon.Usagef("why? give --reason TEXT, for the history")
		}
		return p.file(ctx, r, func(s *control.Service, t config.Tag, asked control.Asked) (control.Outcome, error) {
			return s.Failover(ctx, control.Failover{Asked: asked, Force: force,
				Policy: failover.Policy{Pair: t.Pair, Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes,
					FailoverBlock: t.FailoverBlock, MaxLoss: t.LossLimit(), MaxLossAge: t.LossAge(), Monitors: t.Monitors}})
		})
	})
	return cmd
}

// request is what the flags say of a change of role.
type request struct {
	verb, to, reason string
	yes              bool
	timeout          time.Duration
}

// request adds the flags that every change of role has; to says what --to means.
func (p *program) request(cmd *cobra.Command, to string) *request {
	r := &request{verb: cmd.Name()}
	f := cmd.Flags()
	f.StringVar(&r.to, "to", "", to)
	f.StringVar(&r.reason, "reason", "", "why, for the history")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	_ = cmd.RegisterFlagCompletionFunc("to", p.completeNode)
	return r
}

// file asks for a change of role, follows it to its end and prints the outcome.
func (p *program) file(ctx context.Context, r *request, ask func(*control.Service, config.Tag, control.Asked) (control.Outcome, error)) error {
	var to cluster.Endpoint
	if r.to != "" {
		var err error
		if to, err = cluster.ParseEndpoint(r.to); err != nil {
			return daemon.Usagef("read --to: %v", err)
		}
	}
	if r.timeout < time.Second || r.timeout > time.Hour {
		return daemon.Usagef("read --timeout %s: want 1s to 1h", r.timeout)
	}
	pairs, tag, err := p.one()
	if err != nil {
		return err
	}
	service, done := p.service(ctx, pairs, tag.UniqSign)
	defer done()
	out, err := ask(service, tag, control.Asked{
		Pair: tag.Pair, To: to, Reason: r.reason, Timeout: r.timeout,
		Unasked: r.yes,
		Confirm: func(plan control.Plan) error { return p.confirm(ctx, plan, r.yes) },
		Progress: func(at time.Duration, text string) {
			fmt.Fprintf(p.err, "%8.3f s  %s\n", at.Seconds(), control.Printable(text))
		},
	})
	if err != nil {
		return err
	}
	if p.form == "json" {
		return control.PrintJSON(p.out, r.verb, out)
	}
	_, err = fmt.Fprintln(p.out, control.Printable(out.Answer))
	return err
}

func (p *program) completeNode(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	pairs, _ := config.LoadPairs(p.flags.Conf)
	tags, _, _ := pairs.Select(p.flags.Tags)
	var out []string
	for _, t := range tags {
		out = append(out, string(t.Primary), string(t.Secondary))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// confirm shows the plan and asks, where somebody is there to answer.
func (p *program) confirm(ctx context.Context, plan control.Plan, yes bool) error {
	control.PrintPlan(p.err, plan)
	return p.sure(ctx, yes, "nothing was filed")
}
