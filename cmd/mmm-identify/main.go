// Command mmm-identify decides which server of a pair is active and publishes
// the assignment in Redis.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/identify"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

func main() {
	daemon.UseProcessors(4)
	daemon.CollectGarbage(200)
	os.Exit(daemon.Main(command()))
}

func command() *cobra.Command {
	var flags *daemon.Flags
	var table bool
	cmd := &cobra.Command{
		Use:   "mmm-identify --tag TAG[,TAG...]",
		Short: "Decide which server of a pair is active, and publish it",
		Long: `Decide which server of a pair is active, and publish it.

Run it on two machines if you like: one leads by a lease, the other takes over.
INT and TERM are ignored unless signals=graceful is set; QUIT stops, HUP reads
the configuration again and reopens the logs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if table {
				fmt.Fprint(cmd.OutOrStdout(), failover.Table())
				return nil
			}
			return tags.Run(cmd.Context(), tags.Options{Program: "mmm-identify", Flags: flags, Listen: true,
				LogFile: func(t config.Tag) string { return t.IdentifyLog }, New: service})
		},
	}
	flags = daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultConf, Tag: true, Complete: config.Complete})
	cmd.Flags().BoolVar(&table, "transitions", false, "print the table by which it decides, and stop")
	return cmd
}

func service(m tags.Making) (tags.Service, error) {
	t := m.Tag
	return identify.New(identify.Options{
		ID: m.ID, Bus: m.Bus, Wake: m.Wake, Loop: m.Loop, Logger: m.Log, Probe: prober(t), Policy: policyOf(t), Runtime: runtime,
	}), nil
}

// runtime is of all tags.
var runtime = sched.Shared(sched.Real())

// policyOf is what the tag says to package failover.
func policyOf(t config.Tag) failover.Policy {
	return failover.Policy{
		Pair: t.Pair, Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes,
		Unfenced: failover.Unfenced(t.Unfenced), FailoverBlock: t.FailoverBlock, MaxLoss: t.LossLimit(), MaxLossAge: t.LossAge(),
		Failback: failover.Failback(t.Failback), FailbackAfter: t.FailbackAfter, EpochTable: t.EpochTable,
		Monitors: t.Monitors, Durability: t.Durability, RestartGrace: t.RestartGrace, WriteProbe: t.WriteProbe,
	}
}

// prober asks a server itself, over a connection made for the question.
func prober(t config.Tag) identify.Prober {
	return func(ctx context.Context, node cluster.Endpoint) (cluster.Server, error) {
		n, err := mysqlnode.New(mysqlnode.Options{Addr: node, User: t.User, Password: t.Password,
			Database: t.Database, Charset: t.Charset, ConnectTimeout: t.ConnectTimeout, Name: "mmm-identify",
			Epoch: mysqlnode.EpochAt{Table: t.EpochTable, UniqSign: t.UniqSign}})
		if err != nil {
			return cluster.Server{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, 3*t.ConnectTimeout)
		defer cancel()
		conn, err := n.Connect(ctx)
		if err != nil {
			return cluster.Server{}, err
		}
		defer func() { _ = conn.Close() }()
		return conn.Observe(ctx, t.ExcludeUsers)
	}
}
