// Command mmm-monitor samples the servers of pairs and publishes what it saw
// in Redis.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/monitor"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
	"github.com/mmm-manager/mmm-manager/pkg/tags"
)

func main() {
	daemon.UseProcessors(1)
	os.Exit(daemon.Main(command()))
}

func command() *cobra.Command {
	var flags *daemon.Flags
	cmd := &cobra.Command{
		Use:   "mmm-monitor --tag TAG[,TAG...]",
		Short: "Sample the servers of pairs and publish what it saw",
		Long: `Sample the servers of pairs and publish what it saw.

It goes on when a server or Redis dies. INT and TERM are ignored unless
signals=graceful is set; QUIT stops, HUP reads the configuration again and
reopens the logs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return tags.Run(cmd.Context(), tags.Options{Program: "mmm-monitor", Flags: flags,
				LogFile: func(t config.Tag) string { return t.MonitorLog },
				Needs:   func(t config.Tag) any { return workOf(t) }, New: service})
		},
	}
	flags = daemon.NewFlags(cmd, daemon.FlagOptions{Conf: daemon.DefaultConf, Tag: true, RequireTag: true, Complete: config.Complete})
	return cmd
}

// work is what of a tag the monitor works with.
type work struct {
	tag   monitor.Tag
	login mysqlnode.Options // without the address
}

func workOf(t config.Tag) work {
	return work{
		tag: monitor.Tag{Pair: t.Pair, Monitor: t.MonitorID, Legacy: t.WritesChecks(), Exclude: t.ExcludeUsers,
			Interval: t.Interval, ConnectTimeout: t.ConnectTimeout, TryTimes: t.TryTimes},
		login: mysqlnode.Options{User: t.User, Password: t.Password, Database: t.Database, Charset: t.Charset,
			ConnectTimeout: t.ConnectTimeout, Name: "mmm-monitor",
			Epoch: mysqlnode.EpochAt{Table: t.EpochTable, UniqSign: t.UniqSign}},
	}
}

func service(m tags.Making) (tags.Service, error) {
	w := workOf(m.Tag)
	return monitor.New(monitor.Options{Tag: w.tag, Run: newRun(), Bus: m.Bus, Open: w.open, Cause: mysqlnode.CauseOf, Denied: mysqlnode.Refused,
		Loop: m.Loop, Wall: time.Now, Runtime: sched.Phased(clock, m.Nth), Log: m.Log})
}

// clock is of all tags, so that one waking of the process probes for all of a few of them.
var clock = sched.Shared(sched.Real())

func (w work) open(e cluster.Endpoint) (monitor.Node, error) {
	w.login.Addr = e
	n, err := mysqlnode.New(w.login)
	if err != nil {
		return nil, err
	}
	return node{n}, nil
}

// node gives a mysqlnode.Node the monitor's words.
type node struct{ *mysqlnode.Node }

func (n node) Connect(ctx context.Context) (monitor.Conn, error) {
	c, err := n.Node.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// newRun names one run of one tag's sampling.
func newRun() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
