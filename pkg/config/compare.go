package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// usualRedis is where a program without host and --redis turns to.
const usualRedis = "127.0.0.1:6379"

// Compare reads mmm.conf and mmm-agent.conf and gives what they say differently,
// as faults of the latter: another Redis or topic, so that the agent would not hear
// the others, and a block of users for whom failback=follow waits. What is wrong
// within one of them is not among these; a file that cannot be read is compared
// with nothing.
func Compare(pairsPath, agentPath string) *Faults {
	conf, _ := open(pairsPath)
	file, _ := open(agentPath)
	pairs, _ := conf.pairs(0)
	agent, _ := file.agent(0)
	if conf.unusable() || file.unusable() {
		return &Faults{}
	}
	broken := conf.faults.hasErrorIn("redis") || file.faults.hasErrorIn("redis")
	file.faults = &Faults{}
	if !broken {
		file.sameRedis(agent.Redis, pairs.Redis, conf)
	}
	file.followBlocked(agent, pairs)
	file.faults.sort()
	return file.faults
}

func (f *file) sameRedis(mine, others Redis, conf *file) {
	differ := func(key, mine, others string, warning bool) {
		sec := f.section("redis")
		if sec == nil {
			sec = &section{name: "redis"}
		}
		f.reader(sec).add(Fault{Key: key, Text: fmt.Sprintf("%s, but %s in %s", mine, others, conf.at("redis", key)), Warning: warning,
			Hint: "all programs of a pair meet in one Redis and topic: write the same in both files"})
	}
	if mine.Topic != others.Topic {
		differ("topic", mine.Topic, others.Topic, false)
	}
	if len(mine.Sentinels)+len(others.Sentinels) > 0 {
		// Any sentinels of the same master will do, and host is the address that they name.
		if (len(mine.Sentinels) == 0) != (len(others.Sentinels) == 0) {
			differ("sentinels", mine.String(), others.String(), true)
		} else if mine.MasterName != others.MasterName {
			differ("master_name", mine.MasterName, others.MasterName, false)
		}
		return
	}
	here, there := cmp.Or(mine.Addr, usualRedis), cmp.Or(others.Addr, usualRedis)
	if sameServer(cluster.Endpoint(here)) != sameServer(cluster.Endpoint(there)) {
		// Without an address --redis counts, which is not in the files.
		differ("host", here, there, mine.Addr == "" || others.Addr == "")
	}
}

// at names the place of a key in the file.
func (f *file) at(section, key string) string {
	sec := f.section(section)
	if sec == nil {
		return f.path
	}
	line := sec.line
	if e, ok := sec.entries[key]; ok {
		line = e.line
	}
	return fmt.Sprintf("%s:%d", f.path, line)
}

// followBlocked warns of tags whose clients cannot return before the role has.
func (f *file) followBlocked(a *Agent, pairs *Pairs) {
	if a.BlockUser == nil || f.section("mysql") == nil {
		return
	}
	var tags []string
	for _, t := range pairs.Tags {
		if t.Failback == FailbackFollow && t.ServiceMode == cluster.ActivePassive && (a.Members == nil || has(a.Members, t.UniqSign)) {
			tags = append(tags, fmt.Sprintf("[%s]", t.Tag))
		}
	}
	if len(tags) > 0 {
		f.reader(f.section("mysql")).warn("block_user",
			fmt.Sprintf("users who are locked on a closed primary host cannot return to it first, as failback=follow of %s in %s waits for", strings.Join(tags, ", "), pairs.Path),
			"failback=auto, or manual, in "+pairs.Path)
	}
}
