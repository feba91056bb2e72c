// Command mmm-monitor samples the servers of pairs and publishes what it saw
// in Redis.
package main

import (
	"context"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func main() {
	if os.Getenv("GOMAXPROCS") == "" {
		// It waits nearly all the time: waking a second processor for each
		// answer would cost more than the answer.
		runtime.GOMAXPROCS(1)
	}
	os.Exit(daemon.Main(command()))
}

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mmm-monitor --tag TAG[,TAG...]",
		Short: "Sample the servers of pairs and publish what it saw",
		Long: `Sample the servers of pairs and publish what it saw.

It goes on when a server or Redis dies. INT and TERM are ignored unless
signals=graceful is set; QUIT stops, HUP reads the configuration again and
reopens the logs.`,
		Args: cobra.NoArgs,
	}
	flags := daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultConf, Tag: true, RequireTag: true, Complete: tagNames})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		return run(ctx, flags)
	}
	return cmd
}

func tagNames(conf string) []string {
	pairs, _ := config.LoadPairs(conf)
	names := make([]string, 0, len(pairs.Tags))
	for _, t := range pairs.Tags {
		names = append(names, string(t.Tag))
	}
	return names
}

func run(parent context.Context, flags *daemon.Flags) error {
	p, err := newProgram(flags)
	if err != nil {
		return err
	}
	defer p.close()
	ctx, signals := daemon.NewSignals(parent, daemon.SignalOptions{
		Graceful: config.GracefulSignals(p.tags), Terminal: daemon.OnTerminal(), Reload: p.reload, Log: p.log.Logger})
	defer signals.Close()
	p.start(ctx, signals)
	<-ctx.Done()
	return nil
}
