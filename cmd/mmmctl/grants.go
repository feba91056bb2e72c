package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/control"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

// redisUser is one user of Redis and what it needs.
type redisUser struct {
	Role  redisbus.Role `json:"role"`
	Name  string        `json:"name"`
	Rules []string      `json:"rules"`
}

func (p *program) grantsCommand() *cobra.Command {
	var redis bool
	var agentConf string
	cmd := &cobra.Command{
		Use:   "grants --redis [--agent-conf FILE]",
		Short: "Print the users of Redis with the least rights",
		Long: `grants prints what redis-cli takes to make one user of Redis (7 or newer) for each
daemon, and one for mmm-status and mmmctl, with the rights that it needs and no
others. A user has the name that its file gives in username, else mmm-monitor,
mmm-identify, mmm-agent or mmm-tools; the rights of several under one name add up, as
they must where they share a file. Nothing is changed in Redis.

No password is printed: give each user one, as with ACL SETUSER mmm-agent '>secret',
and write name and password into section [redis]. ACL SAVE, or CONFIG REWRITE, keeps
them. The grants on the servers are what mmmctl check prints.`,
		Example: `  mmmctl grants --redis | redis-cli`,
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&redis, "redis", false, "users of Redis")
	cmd.Flags().StringVar(&agentConf, "agent-conf", daemon.DefaultAgentConf, "the agent's `FILE`, for its user and topic")
	_ = cmd.MarkFlagFilename("agent-conf", "conf")
	cmd.RunE = p.verb(func(_ context.Context, _ []string) error {
		if !redis {
			return daemon.Usagef("which grants? give --redis; those on the servers are what mmmctl check prints")
		}
		users, err := p.redisUsers(agentConf, cmd.Flags().Changed("agent-conf"))
		if err != nil {
			return err
		}
		if p.form == "json" {
			return control.PrintJSON(p.out, "users", users)
		}
		for _, u := range users {
			fmt.Fprintf(p.out, "ACL SETUSER %s on %s\n", u.Name, strings.Join(u.Rules, " "))
		}
		return nil
	})
	return cmd
}

// redisUsers reads names and topic from both files. Without its file an agent
// has the usual name and the topic of the others.
func (p *program) redisUsers(agentConf string, asked bool) ([]redisUser, error) {
	pairs, faults := config.LoadPairs(p.flags.Conf)
	if len(pairs.Names()) == 0 {
		if err := faults.Err(); err != nil {
			return nil, err
		}
	}
	agents := config.Redis{Topic: pairs.Redis.Topic}
	if _, err := os.Stat(agentConf); err == nil || asked {
		agent, err := p.agentLogin(agentConf, asked)
		if err != nil {
			return nil, err
		}
		if agent != nil {
			agents = agent.Redis
		}
	}
	var users []redisUser
	for _, role := range redisbus.Roles {
		r := pairs.Redis
		if role == redisbus.RoleAgent {
			r = agents
		}
		users = append(users, redisUser{role, cmp.Or(r.Username, "mmm-"+string(role)), redisbus.Rules(role, r.Topic)})
	}
	return users, nil
}
