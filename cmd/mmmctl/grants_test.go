package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

func TestGrantsOfRedis(t *testing.T) {
	conf := write(t, "mmm.conf", strings.Replace(pairs("127.0.0.1:1"), "topic=t", "topic=t\nusername=watcher", 1))
	agent := write(t, "mmm-agent.conf", strings.Replace(agentText, "topic=t", "topic=u", 1))
	code, out, errs := run("grants", "--redis", "--conf", conf, "--agent-conf", agent)
	var want []string
	for i, name := range []string{"watcher", "watcher", "mmm-agent", "watcher"} {
		topic := "t"
		if name == "mmm-agent" {
			topic = "u"
		}
		want = append(want, "ACL SETUSER "+name+" on "+strings.Join(redisbus.Rules(redisbus.Roles[i], topic), " ")+"\n")
	}
	if code != 0 || out != strings.Join(want, "") || errs != "" {
		t.Errorf("exit %d\n%s%s\nwant\n%s", code, out, errs, strings.Join(want, ""))
	}
	code, out, _ = run("grants", "--redis", "--conf", conf, "--agent-conf", agent, "-o", "json")
	var answer struct{ Users []redisUser }
	if err := json.Unmarshal([]byte(out), &answer); code != 0 || err != nil || len(answer.Users) != 4 || answer.Users[2].Name != "mmm-agent" || len(answer.Users[2].Rules) == 0 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"grants", "--conf", conf}, 2},
		{[]string{"grants", "--redis", "--conf", conf, "--agent-conf", conf + "x"}, 78},
		{[]string{"grants", "--redis", "--conf", conf + "x"}, 78},
	} {
		if code, out, errs := run(c.args...); code != c.code || strings.Contains(out, "ACL") {
			t.Errorf("%v: exit %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
	}
}
