package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func (p *program) pauseCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause --tag TAG[,TAG...]",
		Short: "Hold automatic changes of role back",
		Long: `pause leaves the roles where they are, whatever happens to the servers, until
mmmctl resume. A switchover or a failover by hand still works. Agents start no
replication meanwhile, so that a replica can be stopped for a backup or DDL; one that
restarts replicates again only after mmmctl resume. Without a reason an earlier pause
is kept as it is.`,
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
held back happens at once if its cause is still there. Agents start replication that
is stopped.`,
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
			fmt.Fprintln(p.out, control.Printable(out.Text))
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
		Long: `list shows each tag as the bus has it.

Exit codes, the worst of the tags: 0 good, 3 paused, in a change of role, no automatic
failover would happen now, or a record cannot be read, 4 no active, 69 the bus does not answer.`,
		Args: cobra.NoArgs,
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
				code = max(code, r.Exit)
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
		Long: `history shows the changes of the record: who, when, why, which proof or none. A pause,
its end and a quarantine are in mmm-status while they last, and leave no entry.`,
		Args: cobra.NoArgs,
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
		var failed error // of one tag: the others are shown
		for _, t := range tags {
			events, err := service.History(ctx, t.Pair, n)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			all = append(all, events...)
		}
		if failed != nil && (p.form == "json" || len(tags) == 1) {
			return failed
		}
		if p.form == "json" {
			err = control.PrintJSON(p.out, "events", all)
		} else {
			err = control.PrintHistory(p.out, all)
		}
		if err = errors.Join(failed, err); err != nil {
			return err
		}
		return silently(code)
	})
	return cmd
}
