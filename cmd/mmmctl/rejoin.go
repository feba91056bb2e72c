package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

// rejoinTime bounds a whole rejoin, the answer of a person included.
const rejoinTime = 30 * time.Minute

// passwordVariable holds the password of --user, as the servers' own clients read it.
const passwordVariable = "MYSQL_PWD"

func (p *program) rejoinCommand() *cobra.Command {
	var node, user, agentConf string
	var discard, yes bool
	cmd := &cobra.Command{
		Use:   "rejoin --tag TAG --node HOST:PORT [--user NAME] [--discard [--yes]]",
		Short: "Tell why a server does not replicate; end its quarantine",
		Long: `rejoin compares a closed server with the active and says what holds it up, and the way
out. Of transactions that the active lacks it shows time, tables and rows as the
binary log of the server has them.

With --discard these transactions are taken back on that server, the last first, in one
transaction that no binary log sees; each statement must find exactly the row that
was left behind, or nothing is changed at all. Then the server forgets its binary logs and these transactions,
and its agent starts replication. What is lost is shown first. Nothing is opened, and the active is not
touched. It is refused where the logs do not tell everything: DDL, statements, images
with columns left out, tables with triggers, without InnoDB, or altered since; where later transactions that both
have changed the same tables; where the server is open or not in quarantine.

It logs in as the agent does, or as --user, whose password is in MYSQL_PWD or asked for:
for the rows REPLICATION SLAVE, SELECT and TRIGGER on *.* are needed, for --discard also INSERT, UPDATE and DELETE
on the tables, CREATE and DROP on the schema of epoch_table, and what an agent has.

Exit codes: 0 it replicates, 1 it has discarded and does not replicate yet, 3 something holds it up, 5 refused by a safety rule or nothing to discard,
6 not finished: the same command goes on, 69 a server or the bus is not reached.`,
		Example: `  mmmctl rejoin --tag mysql3308 --node 10.0.21.5:3308
  mmmctl rejoin --tag mysql3308 --node 10.0.21.5:3308 --user root --discard`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&node, "node", "", "the server that is to rejoin, `HOST:PORT`")
	f.StringVar(&user, "user", "", "log in to the servers as `NAME` (default the agent's user)")
	f.StringVar(&agentConf, "agent-conf", daemon.DefaultAgentConf, "the agent's `FILE`, for its login")
	f.BoolVar(&discard, "discard", false, "take back what the active lacks")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	_ = cmd.MarkFlagFilename("agent-conf", "conf")
	_ = cmd.RegisterFlagCompletionFunc("node", p.completeNode)
	cmd.RunE = p.verb(func(ctx context.Context, _ []string) error {
		if node == "" {
			return daemon.Usagef("which server? give --node HOST:PORT")
		}
		at, err := cluster.ParseEndpoint(node)
		if err != nil {
			return daemon.Usagef("read --node: %v", err)
		}
		pairs, tag, err := p.one()
		if err != nil {
			return err
		}
		login, err := p.rejoinLogin(ctx, agentConf, user)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, rejoinTime)
		defer cancel()
		with := newReturner(tag, at, login)
		defer with.close()
		service, done := p.service(ctx, pairs)
		defer done()
		out, err := service.Rejoin(ctx, control.Rejoin{
			Pair: tag.Pair, Node: at, With: with, Discard: discard,
			Confirm: func(q control.Quarantine) error {
				_ = control.PrintQuarantine(p.err, q)
				fmt.Fprintln(p.err, lostFor(q))
				return p.sure(ctx, yes, "nothing was changed")
			},
			Progress: func(text string) { fmt.Fprintln(p.err, text) },
		})
		if err != nil {
			return err
		}
		if p.form == "json" {
			err = control.PrintJSON(p.out, "rejoin", out)
		} else {
			err = control.PrintQuarantine(p.out, out)
		}
		if err != nil || out.State == "replicates" {
			return err
		}
		return silently(daemon.ExitDegraded)
	})
	return cmd
}

// lostFor says what a discard loses.
func lostFor(q control.Quarantine) string {
	if q.State == "unfinished" {
		return fmt.Sprintf("what is in the binary logs of %s alone will be lost for good; its rows are taken back already", q.Node)
	}
	return fmt.Sprintf("%d transactions of %s will be lost for good, and what is in its binary logs alone", q.Count, q.Node)
}

// rejoinLogin is how the servers are logged in to: as the agent, or as user.
func (p *program) rejoinLogin(ctx context.Context, path, user string) (config.Agent, error) {
	agent, err := loadAgent(path)
	if user == "" {
		return *agent, err
	}
	login := config.Agent{User: user, Database: agent.Database, Charset: agent.Charset, ConnectTimeout: cmp.Or(agent.ConnectTimeout, time.Second)}
	if password, given := os.LookupEnv(passwordVariable); given {
		login.Password = cluster.Secret(password)
		return login, nil
	}
	login.Password, err = p.password(ctx, user)
	return login, err
}
