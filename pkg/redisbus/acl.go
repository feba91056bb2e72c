package redisbus

import "strings"

// Role is a program, or several, with rights of its own in Redis.
type Role string

// The roles.
const (
	RoleMonitor  Role = "monitor"
	RoleIdentify Role = "identify"
	RoleAgent    Role = "agent"
	RoleTools    Role = "tools" // mmm-status and mmmctl
)

// Roles are all of them.
var Roles = []Role{RoleMonitor, RoleIdentify, RoleAgent, RoleTools}

const rulesHint = "mmmctl grants --redis prints what each program needs"

// right is what a role needs. Keys are patterns.
type right struct {
	writes, reads, commands string
	announces               bool // on the predecessor's channel, or listens to it
}

var rights = map[Role]right{
	RoleMonitor: {
		writes: "mysql-*-servicemode mysql-*-primaryhost mysql-*-secondaryhost mysql-*-members mysql-*-check " +
			"mmm:pairs mmm:{*}:monitors mmm:{*}:view:*",
		commands: "client|setname multi exec set del sadd sismember hset publish info",
	},
	RoleIdentify: {
		writes: "mysql-*-mode mysql-*-master mmm:{*}:leader mmm:{*}:token mmm:{*}:assignment mmm:{*}:incarnation " +
			"mmm:{*}:events mmm:{*}:request mmm:{*}:verdict mmm:{*}:report:* mmm:silent",
		reads: "mysql-* mmm:{*}:* mmm:pairs",
		commands: "client|setname ping subscribe eval evalsha multi exec type time get set del incr exists pexpire pttl " +
			"hset hmget hgetall hdel smembers sismember scard zadd zrem zrange zremrangebyscore xadd publish",
		announces: true,
	},
	RoleAgent: {
		writes: "mmm:{*}:report:* mmm:{*}:locked:* mmm:{*}:grant mmm:{*}:notice:* mmm:{*}:held",
		reads:  "mysql-* mmm:{*}:* mmm:pairs",
		commands: "client|setname ping subscribe psubscribe eval evalsha multi exec type time scan get del pexpire pttl " +
			"hset hget hmget hgetall hdel sadd srem smembers xrange publish wait",
		announces: true,
	},
	RoleTools: {
		writes:   "mmm:{*}:request mmm:{*}:pause",
		reads:    "mysql-* mmm:{*}:*",
		commands: "client|setname ping subscribe eval evalsha type time get set del pttl hgetall smembers xrevrange multi exec publish",
	},
}

// Rules are the least that a user of Redis 7 or newer needs for role, as ACL
// SETUSER takes them. Those of several roles add up.
func Rules(role Role, topic string) []string {
	r := rights[role]
	var rules []string
	add := func(prefix, words string) {
		for word := range strings.FieldsSeq(words) {
			rules = append(rules, prefix+word)
		}
	}
	add("~", r.writes)
	add("%R~", r.reads)
	add("&", lookPattern)
	if r.announces && topic != "" {
		add("&", topic)
	}
	add("+", r.commands)
	return rules
}
