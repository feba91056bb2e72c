package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
)

func (p *program) acknowledgeCommand() *cobra.Command {
	r := &request{verb: "acknowledge", yes: true, timeout: time.Second}
	cmd := &cobra.Command{
		Use:   "acknowledge --tag TAG [--reason TEXT]",
		Short: "Allow the next automatic failover: you have looked at the last one",
		Long: `acknowledge ends what failover_block holds back: after an automatic failover none
happens until the pair has been whole for so long, or a person says this. If the
active is dead already, the failover happens at once, unless something else holds it.

Exit codes: 0 done, 1 withdrawn since nobody took it, 5 refused: nothing is blocked, 6 outcome unknown.`,
		Example: `  mmmctl acknowledge --tag mysql3308 --reason "the disk of 10.0.21.5 was full"`,
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&r.reason, "reason", "", "what was found, for the history")
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		return p.file(ctx, r, func(s *control.Service, _ config.Tag, asked control.Asked) (control.Outcome, error) {
			return s.Acknowledge(ctx, asked)
		})
	})
	return cmd
}
