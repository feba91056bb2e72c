package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func (p *program) durabilityCommand() *cobra.Command {
	r := &request{verb: "durability", yes: true, timeout: 5 * time.Second}
	var set string
	cmd := &cobra.Command{
		Use:   "durability --tag TAG [--set async|semisync|semisync-strict [--reason TEXT]]",
		Short: "Show or change what is promised for acknowledged writes",
		Long: `durability shows what is promised for the writes that the active acknowledges, and
with --set changes it on a running pair, without closing anything:

  async            a failover may lose what the passive has not received; it is told
  semisync         a commit waits until the passive has received it; with the passive
                   away commits go on, and nothing fails over by itself
  semisync-strict  as semisync, and with the passive away commits wait for it

The last change wins: this one holds until durability is changed in mmm.conf, so
write it there too.

Exit codes: 0 done, 1 withdrawn since nobody took it, 5 refused, 6 outcome unknown.`,
		Example: `  mmmctl durability --tag mysql3308
  mmmctl durability --tag mysql3308 --set semisync --reason "invoices"`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&set, "set", "", "the new one: async, semisync or semisync-strict")
	cmd.Flags().StringVar(&r.reason, "reason", "", "why, for the history")
	_ = cmd.RegisterFlagCompletionFunc("set", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{string(cluster.Async), string(cluster.SemiSync), string(cluster.SemiSyncStrict)}, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		switch d := cluster.Durability(set); d {
		case "":
			if cmd.Flags().Changed("set") || r.reason != "" {
				return daemon.Usagef("which durability? give --set async, semisync or semisync-strict")
			}
			return p.file(ctx, r, func(s *control.Service, t config.Tag, _ control.Asked) (control.Outcome, error) {
				return s.Promised(ctx, t.Pair)
			})
		case cluster.Async, cluster.SemiSync, cluster.SemiSyncStrict:
			return p.file(ctx, r, func(s *control.Service, _ config.Tag, asked control.Asked) (control.Outcome, error) {
				return s.Durability(ctx, asked, d)
			})
		}
		return daemon.Usagef("read --set %q: want async, semisync or semisync-strict", set)
	})
	return cmd
}
