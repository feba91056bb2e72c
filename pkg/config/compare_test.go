package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	const (
		redis     = "[redis]\nhost=10.0.21.17:6379\npassword=hunter2\ntopic=t\n"
		sentinels = "[redis]\nsentinels=10.0.21.1:26379\nmaster_name=m1\ntopic=t\n"
		pair      = "[mysql3308]\n" + goodPair
		login     = "[mysql]\nuser=u\npassword=hunter2\n"
		block     = "block_user=^app$\nblock_host=^%$\n"
		meet      = " (all programs of a pair meet in one Redis and topic: write the same in both files)"
		locked    = "agent:4: warning: [mysql] block_user: users who are locked on a closed primary host cannot return to it first, as failback=follow of "
		way       = " in conf waits for (failback=auto, or manual, in conf)"
	)
	second := strings.NewReplacer("21.5", "21.8", "21.7", "21.9", "8d9a", "9999").Replace("[mysql3309]\n" + goodPair)
	for _, c := range []struct {
		name, conf, agent string
		want              []string
		bad               bool
	}{
		{"the same", pair + redis, login + redis, nil, false},
		{"another password of Redis", pair + redis, login + strings.Replace(redis, "hunter2", "hunter22", 1), nil, false},
		{"another topic", pair + redis, login + strings.Replace(redis, "topic=t", "topic=u", 1), []string{"agent:7: [redis] topic: u, but t in conf:10" + meet}, true},
		{"the usual topic", pair + redis, login + strings.Replace(redis, "topic=t", "", 1), []string{"agent:4: [redis] topic: mmm-switch-channel, but t in conf:10" + meet}, true},
		{"another port", pair + redis, login + strings.Replace(redis, "6379", "6380", 1), []string{"agent:5: [redis] host: 10.0.21.17:6380, but 10.0.21.17:6379 in conf:8" + meet}, true},
		{"another host", pair + redis, login + strings.Replace(redis, "21.17", "21.18", 1), []string{"agent:5: [redis] host: 10.0.21.18:6379, but 10.0.21.17:6379 in conf:8" + meet}, true},
		{"no host", pair + redis, login + "[redis]\ntopic=t\n", []string{"agent:4: warning: [redis] host: 127.0.0.1:6379, but 10.0.21.17:6379 in conf:8" + meet}, false},
		{"no section", pair + strings.Replace(redis, "topic=t", "", 1), login, []string{"agent: warning: [redis] host: 127.0.0.1:6379, but 10.0.21.17:6379 in conf:8" + meet}, false},
		{"other sentinels of the same master", pair + sentinels, login + strings.Replace(sentinels, "21.1:", "21.2:", 1), nil, false},
		{"another master", pair + sentinels, login + strings.Replace(sentinels, "=m1", "=m2", 1), []string{"agent:6: [redis] master_name: m2, but m1 in conf:9" + meet}, true},
		{"sentinels in one only", pair + redis, login + sentinels, []string{"agent:5: warning: [redis] sentinels: m1 of the sentinels 10.0.21.1:26379, but 10.0.21.17:6379 in conf:7" + meet}, false},
		{"spelt otherwise", pair + strings.Replace(redis, "10.0.21.17", "localhost", 1), login + strings.Replace(redis, "10.0.21.17", "127.0.0.1", 1), nil, false},
		{"a fault that is told already", pair + redis, login + strings.Replace(redis, "6379", "redis", 1), nil, false},
		{"no such file", "", login + redis, nil, false},
		{"blocked users", pair + second + redis, login + block + redis, []string{locked + "[mysql3308], [mysql3309]" + way}, false},
		{"half a block", pair + redis, login + "block_user=^app$\n" + redis, nil, false},
		{"with auto", pair + "failback=auto\n" + second + redis, login + block + redis, []string{locked + "[mysql3309]" + way}, false},
		{"of other servers", pair + second + redis, login + block + "members=8d9a4b2924dc40baa792d742cb786345 10.0.21.5:3308 10.0.21.7:3308\n" + redis, []string{locked + "[mysql3308]" + way}, false},
		{"where nothing returns", pair + "servicemode=0\n" + redis, login + block + redis, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for name, text := range map[string]string{"conf": c.conf, "agent": c.agent} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(".", name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			faults := Compare("conf", "agent")
			var got []string
			for _, f := range faults.All() {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" || (faults.Err() != nil) != c.bad {
				t.Errorf("err %v; want -, got +:\n%s", faults.Err(), diff)
			}
		})
	}
}
