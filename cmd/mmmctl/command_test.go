package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

const (
	nodeA = cluster.Endpoint("127.0.0.1:1")
	nodeB = cluster.Endpoint("127.0.0.1:2")
	sign  = cluster.UniqSign("u1")
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pairs(redis string) string {
	return fmt.Sprintf("[mysql3308]\nprimaryhost=%s\nsecondaryhost=%s\nuser=mmm\npassword=canary\nuniqsign=%s\n[redis]\nhost=%s\ntopic=t\n", nodeA, nodeB, sign, redis)
}

const agentText = "[mysql]\nuser=mmm\npassword=canary\n[redis]\nhost=127.0.0.1:1\ntopic=t\n"

func run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = daemon.Execute(newCommand(), args, &out, &err)
	return code, out.String(), err.String()
}

// stage is a bus on which an identify leads a pair; it answers requests with answer.
func stage(t *testing.T, answer cluster.RequestState) string {
	t.Helper()
	r := miniredis.RunT(t)
	bus := redisbus.New(redisbus.Options{Addr: r.Addr(), Topic: "t"})
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(bus.PublishPair(ctx, cluster.Pair{UniqSign: sign, Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive}))
	token, _, _, err := bus.Lead(ctx, sign, "ident/1", time.Hour)
	check(err)
	a := cluster.Assignment{Epoch: 1, Version: 1, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, Reason: "the only writable server"}
	_, err = bus.Transition(ctx, sign, "ident/1", token, cluster.Transition{Next: a, Announce: true, Event: cluster.Event{Kind: "started", Assignment: a}})
	check(err)
	sub := bus.Subscribe(ctx, redisbus.Channels{UniqSigns: []cluster.UniqSign{sign}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range sub.C() {
			if q, err := bus.Request(ctx, sign); err == nil && q != nil && q.State == cluster.RequestFiled {
				q.State, q.Answer = answer, "identify's own words"
				_ = bus.SaveRequest(ctx, sign, "ident/1", token, *q)
			}
		}
	}()
	t.Cleanup(func() {
		_ = bus.Close()
		<-ended
	})
	return write(t, "mmm.conf", pairs(r.Addr()))
}

func TestSwitchover(t *testing.T) {
	for state, want := range map[cluster.RequestState]int{
		cluster.RequestDone: 0, cluster.RequestRefused: 5, cluster.RequestRolledBack: 1, cluster.RequestFailed: 6,
	} {
		t.Run(string(state), func(t *testing.T) {
			conf := stage(t, state)
			code, out, err := run("switchover", "-conf", conf, "--tag", "mysql3308", "--yes")
			if code != want || !strings.Contains(out+err, "identify's own words") || (out == "identify's own words\n") != (want == 0) {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, want, out, err)
			}
			if !strings.Contains(err, "127.0.0.1:1 (active in epoch 1) -> 127.0.0.1:2") {
				t.Errorf("does not say what will happen: %s", err)
			}
		})
	}
}

func TestVerbs(t *testing.T) {
	conf := stage(t, cluster.RequestDone)
	away := write(t, "mmm.conf", pairs("127.0.0.1:3"))
	agent := write(t, "mmm-agent.conf", agentText)
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"switchover --tag mysql3308", 2, "", "--yes"}, // standard input is no terminal
		{"switchover --yes", 2, "", "--tag"},
		{"switchover --tag all --yes", 2, "", "--tag"},
		{"switchover --tag nope --yes", 7, "", "nope"},
		{"switchover --tag mysql3308 --to 127.0.0.1:9 --yes", 7, "", "127.0.0.1:9"},
		{"switchover --tag mysql3308 --to nonsense --yes", 2, "", "--to"},
		{"switchover --tag mysql3308 --to 127.0.0.1:1 --yes", 0, "active already", ""},
		{"pause", 2, "", "--tag"},
		{"pause --tag mysql3308 --reason kernel", 0, ": kernel; 127.0.0.1:1 stays active", ""},
		{"list", 3, "mysql3308  u1        127.0.0.1:1  steady  1      by ", ""},
		{"list -o json", 3, `"paused": true`, ""},
		{"resume --tag all", 0, "it was paused by", ""},
		{"resume --tag mysql3308", 0, "was not paused", ""},
		{"list", 0, "no", ""},
		{"history", 0, "the only writable server", ""},
		{"history -o json -n 1", 0, `"kind": "started"`, ""},
		{"history -n 0", 2, "", "--count"},
		{"list --conf " + away, 69, "mysql3308", "connection refused (is Redis at 127.0.0.1:3 up, and reachable from here? Section [redis] of " + away},
		{"list -o json --conf " + away, 69, `"code": "bus-unreachable"`, "127.0.0.1:3"},
		{"switchover --tag mysql3308 --yes --conf " + away, 69, "", "127.0.0.1:3"},
		{"durability --tag mysql3308 --conf " + away, 69, "", "127.0.0.1:3"},
		{"check --tag mysql3308", 69, "as monitor: connect to 127.0.0.1:1", "agent's grants are not checked"},
		{"check --tag mysql3308 -o json --agent-conf " + agent, 69, `"agent": "connect to 127.0.0.1:1`, ""},
		{"check --agent-conf /nonexistent.conf", 78, "", "give the right one with --agent-conf"},
		{"rejoin --tag mysql3308 --node 127.0.0.1:2 --agent-conf /nonexistent.conf", 78, "", "give the right one with --agent-conf"},
		{"list -o xml", 2, "", "xml"},
		{"frobnicate", 2, "", "frobnicate"},
		{"list --conf /nonexistent.conf", 78, "", "/nonexistent.conf"},
		{"list -o json --conf /nonexistent.conf", 78, `"code": "configuration"`, "/nonexistent.conf"},
	} {
		args := strings.Fields(c.args)
		if !strings.Contains(c.args, "--conf") {
			args = append([]string{"--conf", conf}, args...)
		}
		code, out, err := run(args...)
		if code != c.code || !strings.Contains(out, c.stdout) || c.stdout == "" && out != "" || !strings.Contains(err, c.stderr) {
			t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", c.args, code, c.code, out, err)
		}
		if strings.Contains(c.args, "json") && !json.Valid([]byte(out)) {
			t.Errorf("%s: no JSON: %s", c.args, out)
		}
		if strings.Contains(out+err, "canary") {
			t.Errorf("%s: shows a password", c.args)
		}
	}
}

// What others have written on the bus is shown, never obeyed by the terminal, and where it
// keeps a request from being filed that is said.
func TestTextsOfOthers(t *testing.T) {
	conf := stage(t, cluster.RequestDone)
	pairs, _ := config.LoadPairs(conf)
	client := redis.NewClient(&redis.Options{Addr: pairs.Redis.Addr})
	t.Cleanup(func() { _ = client.Close() })
	for _, c := range []struct {
		key, value, args string
		code             int
		says             string
	}{
		{"mmm:{u1}:pause", `{"actor":"eve\u001b[31m","reason":"x\ny"}`, "pause --tag mysql3308", 0, "eve[31m: x y"},
		{"mmm:{u1}:request", `{"id":"1","verb":"acknowledge","actor":"eve\u001b[31m","state":"filed"}`, "acknowledge --tag mysql3308", 5, "acknowledge by eve[31m is filed"},
		{"mmm:{u1}:request", "garbage", "acknowledge --tag mysql3308", 1, "redis-cli DEL 'mmm:{u1}:request'; nothing was filed"},
		{"mmm:{u1}:events", "garbage", "history --tag mysql3308", 69, "redis-cli DEL 'mmm:{u1}:events'\n"},
	} {
		if err := client.Set(t.Context(), c.key, c.value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		code, out, err := run(append(strings.Fields(c.args), "--conf", conf)...)
		if text := out + err; code != c.code || !strings.Contains(text, c.says) || strings.Contains(text, "\x1b") {
			t.Errorf("%s with %s: exit %d, want %d\n%q", c.args, c.value, code, c.code, text)
		}
	}
}

// A tag whose history cannot be read keeps nobody from the others'.
func TestHistoryOfSeveral(t *testing.T) {
	conf := stage(t, cluster.RequestDone)
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	more := "[broken3309]\nprimaryhost=127.0.0.1:3\nsecondaryhost=127.0.0.1:4\nuser=mmm\npassword=canary\nuniqsign=u2\n"
	if err := os.WriteFile(conf, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	all, _ := config.LoadPairs(conf)
	client := redis.NewClient(&redis.Options{Addr: all.Redis.Addr})
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(t.Context(), "mmm:{u2}:events", "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for args, shown := range map[string]bool{"history": true, "history -o json": false, "history --tag broken3309": false} {
		code, out, said := run(append(strings.Fields(args), "--conf", conf)...)
		if code != 69 || strings.Contains(out, "the only writable server") != shown || !strings.Contains(said, "redis-cli DEL 'mmm:{u2}:events'") {
			t.Errorf("%s: exit %d\n%s%s", args, code, out, said)
		}
	}
}

func TestCheckConfig(t *testing.T) {
	conf, agent := write(t, "one.conf", pairs("127.0.0.1:1")), write(t, "two.conf", agentText)
	typo := write(t, "typo.conf", strings.Replace(pairs("127.0.0.1:1"), "user=", "intervall=3\nuser=", 1))
	beside := write(t, "beside.conf", pairs("127.0.0.1:1")+"[other]\nprimaryhost=127.0.0.1\nintervall=3\n")
	open := write(t, "three.conf", agentText)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere := write(t, "elsewhere.conf", strings.Replace(agentText, "topic=t", "topic=mine", 1))
	poor := write(t, "poor.conf", strings.Replace(agentText, "user=mmm", "try_on_failure=x", 1))
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{conf, agent}, 0, []string{conf + ": good (mmm.conf)", agent + ": good (mmm-agent.conf)"}},
		{[]string{open}, 0, []string{"everyone on this machine can read it", open + ": good (mmm-agent.conf)"}},
		{[]string{"--conf", conf}, 0, []string{"good (mmm.conf)"}},
		{[]string{"--agent-conf", agent}, 0, []string{"good (mmm-agent.conf)"}},
		{[]string{"--agent-conf", agent, "--conf", typo}, 78, []string{"good (mmm-agent.conf)", `"interval"`, "1 error (mmm.conf)"}},
		{[]string{"--agent-conf", elsewhere, "--conf", conf}, 78, []string{conf + ": good", elsewhere + ":6: [redis] topic: mine, but t in " + conf + ":9", "1 error (mmm-agent.conf)"}},
		{[]string{elsewhere, conf}, 78, []string{"topic: mine, but t"}},
		{[]string{elsewhere}, 0, []string{elsewhere + ": good"}},
		{[]string{typo, conf}, 78, []string{"intervall", conf + ": good"}},
		{[]string{poor}, 78, []string{"user", "try_on_failure", "2 errors (mmm-agent.conf)"}},
		{[]string{"--conf", beside}, 78, []string{"[other] primaryhost", "[other] intervall"}},
		{[]string{"--conf", beside, "--tag", "mysql3308"}, 0, []string{beside + ": good (mmm.conf)"}},
		{[]string{"--conf", beside, "-tag", "other"}, 78, []string{"[other] primaryhost", "[other] intervall"}},
		{[]string{"--conf", beside, "--tag", "all"}, 78, []string{"[other] primaryhost"}},
		{[]string{"--conf", typo, "--tag", "mysql3308"}, 78, []string{"intervall"}},
		{[]string{"--conf", conf, "--tag", "none"}, 7, nil},
		{[]string{"--conf", "/nonexistent", "--tag", "a"}, 78, []string{"/nonexistent"}},
		{[]string{"--conf", conf, "--tag", "mysql3308", agent}, 2, nil},
		{[]string{"--conf", conf, "--tag", "mysql3308", "--agent-conf", agent}, 2, nil},
		{[]string{"/nonexistent"}, 78, []string{"/nonexistent"}},
		{[]string{"-o", "json", typo}, 78, []string{`"key": "intervall"`, `"severity": "error"`, `"good": false`}},
	} {
		code, out, err := run(append([]string{"check-config"}, c.args...)...)
		if code != c.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", c.args, code, c.code, out, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v does not say %q:\n%s", c.args, w, out)
			}
		}
		if strings.Contains(out+err, "canary") {
			t.Errorf("%v: shows a password", c.args)
		}
	}
}

// Without arguments the usual files are read, of which a host may have one only.
func TestCheckConfigOfTheUsualFiles(t *testing.T) {
	dir := t.TempDir()
	conf, agent := filepath.Join(dir, "mmm.conf"), filepath.Join(dir, "mmm-agent.conf")
	told := func() string {
		var all []string
		for _, f := range checkUsual(conf, agent) {
			all = append(all, fmt.Sprint(filepath.Base(f.File), " ", f.Good))
			for _, x := range f.Faults {
				all = append(all, x.line)
			}
		}
		return strings.Join(all, "\n")
	}
	const hint = ": there is no such file (name another: mmmctl check-config FILE)"
	if got, want := told(), "mmm.conf false\n"+conf+hint+"\nmmm-agent.conf false\n"+agent+hint; got != want {
		t.Errorf("neither is there: %s", got)
	}
	if err := os.WriteFile(agent, []byte(agentText), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "mmm-agent.conf true" {
		t.Errorf("on a host of agents: %s", got)
	}
	if err := os.WriteFile(conf, []byte(pairs("127.0.0.1:1")), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "mmm.conf true\nmmm-agent.conf true" {
		t.Errorf("both are there: %s", got)
	}
}

func TestCompletion(t *testing.T) {
	conf := write(t, "mmm.conf", pairs("127.0.0.1:1"))
	for want, args := range map[string][]string{
		"mysql3308\nall\n":           {"pause", "--tag", ""},
		"127.0.0.1:1\n127.0.0.1:2\n": {"switchover", "--tag", "mysql3308", "--to", ""},
	} {
		_, out, _ := run(append([]string{"__complete", "--conf", conf}, args...)...)
		if !strings.HasPrefix(out, want) {
			t.Errorf("%v completes to %q", args, out)
		}
	}
}
