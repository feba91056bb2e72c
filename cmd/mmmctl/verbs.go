package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
)

func (p *program) switchoverCommand() *cobra.Command {
	var to, reason string
	var yes bool
	var timeout time.Duration
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
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		var target cluster.Endpoint
		if to != "" {
			var err error
			if target, err = cluster.ParseEndpoint(to); err != nil {
				return daemon.Usagef("read --to: %v", err)
			}
		}
		if timeout < time.Second || timeout > time.Hour {
			return daemon.Usagef("read --timeout %s: want 1s to 1h", timeout)
		}
		pairs, tag, err := p.one()
		if err != nil {
			return err
		}
		service, done := p.service(ctx, pairs, tag.UniqSign)
		defer done()
		out, err := service.Switchover(ctx, control.Switchover{
			Pair: tag.Pair, To: target, Reason: reason, Timeout: timeout, Return: returns(tag),
			Confirm: func(plan control.Plan) error { return p.confirm(plan, yes) },
			Progress: func(at time.Duration, text string) {
				fmt.Fprintf(p.err, "%8.3f s  %s\n", at.Seconds(), text)
			},
		})
		if err != nil {
			return err
		}
		if p.form == "json" {
			return control.PrintJSON(p.out, "switchover", out)
		}
		_, err = fmt.Fprintln(p.out, out.Answer)
		return err
	})
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "who is to be active, `HOST:PORT` (default the other server)")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.StringVar(&reason, "reason", "", "why, for the history")
	f.DurationVar(&timeout, "timeout", control.DefaultTimeout, "roll back when it is not decided by then")
	_ = cmd.RegisterFlagCompletionFunc("to", p.completeNode)
	return cmd
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

// returns says when the role goes back to the primary host by itself.
func returns(t config.Tag) string {
	switch t.Failback {
	case config.FailbackFollow:
		return fmt.Sprintf("failback=follow, when a client of the active has been seen there for %s", t.FailbackAfter)
	case config.FailbackAuto:
		return fmt.Sprintf("failback=auto, after %s", t.FailbackAfter)
	}
	return ""
}

func (p *program) failoverCommand() *cobra.Command {
	var to, reason string
	var yes, force bool
	var timeout time.Duration
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
has transactions of its own, or cannot apply what it received.

Exit codes: 0 done, 1 withdrawn since nobody took it, 5 refused by a safety rule, 6 outcome unknown.`,
		Example: `  mmmctl failover --tag mysql3308 --to 10.0.21.7:3308 --reason "10.0.21.5 burnt down"`,
		Args:    cobra.NoArgs,
	}
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		if to == "" {
			return daemon.Usagef("which server? give --to HOST:PORT")
		}
		target, err := cluster.ParseEndpoint(to)
		if err != nil {
			return daemon.Usagef("read --to: %v", err)
		}
		if strings.TrimSpace(reason) == "" {
			return daemon.Usagef("why? give --reason TEXT, for the history")
		}
		if timeout < time.Second || timeout > time.Hour {
			return daemon.Usagef("read --timeout %s: want 1s to 1h", timeout)
		}
		pairs, tag, err := p.one()
		if err != nil {
			return err
		}
		service, done := p.service(ctx, pairs, tag.UniqSign)
		defer done()
		out, err := service.Failover(ctx, control.Failover{
			Pair: tag.Pair, To: target, Reason: reason, Force: force, Timeout: timeout,
			Policy: failover.Policy{Pair: tag.Pair, Interval: tag.Interval, ConnectTimeout: tag.ConnectTimeout, TryTimes: tag.TryTimes,
				FailoverBlock: tag.FailoverBlock, MaxLoss: tag.LossLimit()},
			Confirm: func(plan control.Plan) error { return p.confirm(plan, yes) },
			Progress: func(at time.Duration, text string) {
				fmt.Fprintf(p.err, "%8.3f s  %s\n", at.Seconds(), text)
			},
		})
		if err != nil {
			return err
		}
		if p.form == "json" {
			return control.PrintJSON(p.out, "failover", out)
		}
		_, err = fmt.Fprintln(p.out, out.Answer)
		return err
	})
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "who is to be active, `HOST:PORT`")
	f.StringVar(&reason, "reason", "", "why, for the history")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&force, "force", false, "even a server in quarantine, with transactions of its own, or unable to apply what it received")
	f.DurationVar(&timeout, "timeout", control.FailoverTimeout, "how long each part may take before the request ends; what was begun goes on")
	_ = cmd.RegisterFlagCompletionFunc("to", p.completeNode)
	return cmd
}

// confirm shows the plan and asks, where somebody is there to answer.
func (p *program) confirm(plan control.Plan, yes bool) error {
	control.PrintPlan(p.err, plan)
	if yes {
		return nil
	}
	in, isFile := p.in.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return &control.Error{Code: "usage", Exit: control.ExitUsage, Message: "nobody is there to ask: standard input is no terminal; nothing was filed", Hint: "--yes goes on without asking"}
	}
	fmt.Fprint(p.err, "Go on? [y/N] ")
	answer, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &control.Error{Code: "declined", Exit: control.ExitFailed, Message: "not done: nothing was filed"}
}

func (p *program) pauseCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause --tag TAG[,TAG...]",
		Short: "Hold automatic changes of role back",
		Long: `pause leaves the roles where they are, whatever happens to the servers, until
mmmctl resume. A switchover or a failover by hand still works. Without a reason an earlier
pause is kept as it is.`,
		Example: `  mmmctl pause --tag mysql3308 --reason "kernel update of both hosts"`,
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for everyone who looks")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		return p.each(ctx, func(s *control.Service, t config.Tag) (control.Paused, error) { return s.Pause(ctx, t.Pair, reason) })
	})
	return cmd
}

func (p *program) resumeCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "resume --tag TAG[,TAG...]",
		Short: "End a pause",
		Long: `resume lets automatic changes of role happen again. A failover that the pause
held back happens at once if its cause is still there.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; shown only, a pause that has ended keeps nothing")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		return p.each(ctx, func(s *control.Service, t config.Tag) (control.Paused, error) {
			out, err := s.Resume(ctx, t.Pair)
			if reason != "" && err == nil {
				out.Text += "; resumed: " + reason
			}
			return out, err
		})
	})
	return cmd
}

// each does something to every chosen tag; one that fails does not stop the next.
func (p *program) each(ctx context.Context, do func(*control.Service, config.Tag) (control.Paused, error)) error {
	pairs, tags, code, err := p.tags(false)
	if err != nil {
		return err
	}
	service, done := p.service(ctx, pairs)
	defer done()
	var all []control.Paused
	var first error
	for _, t := range tags {
		out, err := do(service, t)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		all = append(all, out)
		if p.form != "json" {
			fmt.Fprintln(p.out, out.Text)
		}
	}
	if first != nil {
		return first
	}
	if p.form == "json" {
		if err := control.PrintJSON(p.out, "tags", all); err != nil {
			return err
		}
	}
	return silently(code)
}

func (p *program) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tags: active, phase, epoch, pause, why",
		Args:  cobra.NoArgs,
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			pairs, tags, code, err := p.tags(true)
			if err != nil {
				return err
			}
			service, done := p.service(ctx, pairs)
			defer done()
			var all []cluster.Pair
			for _, t := range tags {
				all = append(all, t.Pair)
			}
			rows := service.List(ctx, all)
			var failed error
			for _, r := range rows {
				if r.Error != nil {
					failed = r.Error
				}
			}
			if failed != nil && p.form == "json" {
				// told writes the error; a table of unknowns helps no program.
				return failed
			}
			if p.form == "json" {
				err = control.PrintJSON(p.out, "tags", rows)
			} else {
				err = control.PrintRows(p.out, rows)
			}
			if failed != nil {
				return failed
			}
			if err != nil {
				return err
			}
			return silently(code)
		}),
	}
}

func (p *program) historyCommand() *cobra.Command {
	var n int
	cmd := &cobra.Command{
		Use:   "history [--tag TAG[,TAG...]] [-n COUNT]",
		Short: "Show what happened to the roles, the newest last",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().IntVarP(&n, "count", "n", 20, "how many events of each tag")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		if n < 1 || n > 10000 {
			return daemon.Usagef("read --count %d: want 1 to 10000", n)
		}
		pairs, tags, code, err := p.tags(true)
		if err != nil {
			return err
		}
		service, done := p.service(ctx, pairs)
		defer done()
		all := []control.Happening{}
		for _, t := range tags {
			events, err := service.History(ctx, t.Pair, n)
			if err != nil {
				return err
			}
			all = append(all, events...)
		}
		if p.form == "json" {
			err = control.PrintJSON(p.out, "events", all)
		} else {
			err = control.PrintHistory(p.out, all)
		}
		if err != nil {
			return err
		}
		return silently(code)
	})
	return cmd
}
