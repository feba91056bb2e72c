package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKindOf(t *testing.T) {
	const agent = "[mysql]\nuser=u\npassword=hunter2\n[redis]\nhost=127.0.0.1:6379\n"
	for name, c := range map[string]struct {
		file string
		text string
		mode os.FileMode
		want Kind
	}{
		"an agent's file that everyone can read":       {"one.conf", agent, 0o644, KindAgent},
		"an agent's file with faults":                  {"one.conf", "stray\n[mysql]\nuzer=u\n[log", 0o666, KindAgent},
		"a file of pairs that everyone can read":       {"agent.conf", "[a]\n" + goodPair, 0o644, KindPairs},
		"a tag called mysql":                           {"agent.conf", "[mysql]\n" + goodPair, 0o600, KindPairs},
		"an agent's file with a pair by mistake":       {"one.conf", agent + "[a]\n" + goodPair, 0o600, KindPairs},
		"the shared sections alone, named for agents":  {"my-agent.conf", "[redis]\nhost=h:1\n", 0o600, KindAgent},
		"the shared sections alone, named for nothing": {"x.conf", "[redis]\nhost=h:1\n", 0o644, KindPairs},
		"an empty file":                                {"x.conf", "", 0o644, KindPairs},
	} {
		path := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := KindOf(path); got != c.want {
			t.Errorf("%s: taken for %s", name, got)
		}
	}
	if got := KindOf("/nonexistent/mmm-agent.conf"); got != KindAgent {
		t.Errorf("a file that is not there: taken for %s", got)
	}
}
