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

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/daemon"
	"github.com/mmm-manager/mmm-manager/pkg/redisbus"
)

const (
	nodeA = cluster.Endpoint("10.0.21.5:3308")
	nodeB = cluster.Endpoint("10.0.21.7:3308")
)

func section(tag, sign string, a, b cluster.Endpoint) string {
	return fmt.Sprintf("[%s]\nprimaryhost=%s\nsecondaryhost=%s\nuser=mmm\npassword=canary\nuniqsign=%s\n", tag, a, b, sign)
}

func file(t *testing.T, redis string, sections ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mmm.conf")
	text := strings.Join(sections, "") + "[redis]\nhost=" + redis + "\npassword=\ntopic=t\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = daemon.Execute(newCommand(), args, &out, &err)
	return code, out.String(), err.String()
}

// pair writes the records of a predecessor's pair: enough for an exit code of 0.
func pair(t *testing.T, r *miniredis.Miniredis, sign string, a, b cluster.Endpoint) {
	t.Helper()
	bus := redisbus.New(redisbus.Options{Addr: r.Addr(), Topic: "t"})
	defer func() { _ = bus.Close() }()
	p := cluster.Pair{UniqSign: cluster.UniqSign(sign), Primary: a, Secondary: b, ServiceMode: cluster.ActivePassive}
	if err := bus.PublishPair(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r.HSet("mysql-"+sign+"-mode", "active", string(a), "passive", string(b))
	for i, n := range []cluster.Endpoint{a, b} {
		r.HSet("mysql-"+sign+"-"+string(n)+"-check", "ping", "1", "repl_check", "OK", "read_only", fmt.Sprint(i),
			"delay_sec", "-1", "conn_nums", "3", "last_check", fmt.Sprint(time.Now().Unix()))
	}
}

func TestLegacyFormIsThePredecessors(t *testing.T) {
	r := miniredis.RunT(t)
	pair(t, r, "u1", nodeA, nodeB)
	pair(t, r, "u2", "h1:1", "h2:2")
	conf := file(t, r.Addr(), section("mysql3309", "u2", "h1:1", "h2:2"), section("mysql3308", "u1", nodeA, nodeB))
	first := "Current multi master status:\n[mysql3308]\n  active: 10.0.21.5:3308(alive readonly: 0)\n  +- passive: 10.0.21.7:3308(alive readonly: 1)\n\n"
	second := "Current multi master status:\n[mysql3309]\n  active: h1:1(alive readonly: 0)\n  +- passive: h2:2(alive readonly: 1)\n\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-conf", conf}, first + second},
		{[]string{"--conf", conf, "-tag", "all"}, first + second},
		{[]string{"-c", conf, "--tag=mysql3308"}, first},
		{[]string{"--config", conf, "--tag", "mysql3309,mysql3308", "--format", "legacy"}, second + first},
	} {
		code, out, err := run(c.args...)
		if code != 0 || out != c.want || err != "" {
			t.Errorf("%v: exit %d\n%s\n%s", c.args, code, out, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	r := miniredis.RunT(t)
	pair(t, r, "u1", nodeA, nodeB)
	good := section("mysql3308", "u1", nodeA, nodeB)
	conf := file(t, r.Addr(), good)
	bad := file(t, r.Addr(), good, "[mysql3309]\nprimaryhost=h1:1\nuniqsign=u2\n")
	empty := file(t, r.Addr(), section("mysql3310", "u3", nodeA, nodeB))
	away := file(t, "127.0.0.1:1", good)
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"good", []string{"-c", conf}, 0, "[mysql3308]", ""},
		{"a tag that there is not beside one that there is", []string{"-c", conf, "--tag", "nope,mysql3308"}, 7, "[mysql3308]", "nope"},
		{"a broken section hides no other", []string{"-c", bad}, 78, "[mysql3308]", "[mysql3309] secondaryhost"},
		{"nor counts when it is not asked for", []string{"-c", bad, "--tag", "mysql3308"}, 0, "[mysql3308]", ""},
		{"broken alone", []string{"-c", bad, "--tag", "mysql3309"}, 78, "", "secondaryhost"},
		{"nobody is active", []string{"-c", empty}, 4, "active: none(", ""},
		{"bus away", []string{"-c", away}, 69, "", "127.0.0.1:1"},
		{"bus away, tree", []string{"-c", away, "-o", "tree"}, 69, "BUS UNREACHABLE", "127.0.0.1:1"},
		{"no file", []string{"-c", "/nonexistent.conf"}, 78, "", "/nonexistent.conf"},
		{"wrong form", []string{"-c", conf, "-o", "xml"}, 2, "", "xml"},
		{"wrong colour", []string{"-c", conf, "--color", "mauve"}, 2, "", "mauve"},
		{"stray argument", []string{"-c", conf, "mysql3308"}, 2, "", "mysql3308"},
		{"wrong interval", []string{"-c", conf, "--watch", "soon"}, 2, "", "soon"},
		{"unknown flag", []string{"--bogus"}, 2, "", "bogus"},
	} {
		code, out, err := run(c.args...)
		if code != c.code || !strings.Contains(out, c.stdout) || c.stdout == "" && out != "" || !strings.Contains(err, c.stderr) {
			t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", c.name, code, c.code, out, err)
		}
		if strings.Contains(out+err, "canary") {
			t.Errorf("%s: shows a password", c.name)
		}
	}
}

func TestJSONHasErrorsToo(t *testing.T) {
	for name, args := range map[string][]string{
		"no file":  {"-o", "json", "-c", "/nonexistent.conf"},
		"bus away": {"-o", "json", "-c", file(t, "127.0.0.1:1", section("mysql3308", "u1", nodeA, nodeB))},
	} {
		code, out, _ := run(args...)
		var doc struct {
			Exit  int `json:"exit_code"`
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Exit != code || doc.Error.Code == "" || doc.Error.Message == "" {
			t.Errorf("%s: exit %d, %v: %s", name, code, err, out)
		}
	}
}

func TestCompletionOfTags(t *testing.T) {
	conf := file(t, "127.0.0.1:1", section("mysql3308", "u1", nodeA, nodeB))
	_, out, _ := run("__complete", "--conf", conf, "--tag", "")
	if !strings.HasPrefix(out, "mysql3308\nall\n") {
		t.Errorf("completes to %q", out)
	}
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{"2": 2 * time.Second, "0.5": 500 * time.Millisecond, "3s": 3 * time.Second, "1m": time.Minute} {
		var i interval
		if err := i.Set(text); err != nil || time.Duration(i) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(i), err)
		}
	}
	for _, text := range []string{"", "0", "-1", "NaN", "1ms", "1e9", "x"} {
		var i interval
		if err := i.Set(text); err == nil {
			t.Errorf("%q is taken as %s", text, time.Duration(i))
		}
	}
}

func TestHelpNamesTheDefaultOfTag(t *testing.T) {
	if _, out, _ := run("--help"); !strings.Contains(out, "or all (default all)") {
		t.Errorf("the help of --tag:\n%s", out)
	}
}
