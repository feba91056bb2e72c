// Command mmm-agent makes the servers of each pair match the assignment in
// Redis.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func main() {
	daemon.UseProcessors(4)
	os.Exit(daemon.Main(command()))
}

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mmm-agent",
		Short: "Make the servers of each pair match the assignment in Redis",
		Long: `Make the servers of each pair match the assignment in Redis.

It closes the passive, drains and opens the active, repairs replication where
that is safe, and reports each step. Users that match block_user and block_host
may log in on the active only. It goes on when a server or Redis dies.
INT, TERM and QUIT stop it and leave MySQL as it is; HUP reads the
configuration again and reopens the log.`,
		Args: cobra.NoArgs,
	}
	flags := daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultAgentConf})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), flags) }
	return cmd
}

func run(parent context.Context, flags *daemon.Flags) error {
	p, err := newProgram(flags)
	if err != nil {
		return err
	}
	defer p.close()
	ctx, signals := daemon.NewSignals(parent, daemon.SignalOptions{
		Graceful: true, Terminal: daemon.OnTerminal(), Reload: p.reload, Log: p.log.Logger})
	defer signals.Close()
	if err := p.start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
