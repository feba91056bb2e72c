package failover

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// manager is a world with several monitors, in which Redis answers how many pairs
// are silent, as identify asks it: the decision is taken anew with the answer.
type manager struct {
	*world
	monitors map[string]*eyes
	count    *Silence // nil: Redis does not answer
}

// eyes are what one monitor knows.
type eyes struct {
	lastGood, failing map[cluster.Endpoint]int64
	servers           map[cluster.Endpoint]cluster.Server
}

// by runs a line as one monitor sees it.
func (m *manager) by(name string, words []string) error {
	if m.monitors[name] == nil {
		m.monitors[name] = &eyes{map[cluster.Endpoint]int64{}, map[cluster.Endpoint]int64{}, map[cluster.Endpoint]cluster.Server{}}
	}
	e := m.monitors[name]
	m.lastGood, m.failing, m.servers = e.lastGood, e.failing, e.servers
	all := m.view.Snapshot.Observations
	node := endpoint(words[1])
	kept := maps.Clone(all[node])
	if words[0] == "expire" {
		delete(all[node], name)
		return nil
	}
	delete(all, node)
	if err := m.line(words); err != nil {
		return err
	}
	o := all[node]["m"]
	o.Monitor = name
	if kept == nil {
		kept = map[string]cluster.Observation{}
	}
	kept[name] = o
	all[node] = kept
	return nil
}

func (m *manager) command(words []string) error {
	switch words[0] {
	case "monitors":
		m.policy.Monitors = words[1:]
		return nil
	case "by": // by x,y see ...
		for name := range strings.SplitSeq(words[1], ",") {
			if err := m.by(name, words[2:]); err != nil {
				return err
			}
		}
		return nil
	case "silent": // silent 7 of 10
		m.count = &Silence{}
		_, err := fmt.Sscan(words[1]+" "+words[3], &m.count.Silent, &m.count.Pairs)
		return err
	case "deaf":
		m.count = nil
		return nil
	case "acknowledge":
		m.view.Snapshot.Request = &cluster.Request{ID: "1", Verb: VerbAcknowledge, Actor: "me", State: cluster.RequestFiled, Reason: "seen"}
		return nil
	case "decide":
		return m.ask(words)
	}
	return m.line(words)
}

// ask decides as identify does.
func (m *manager) ask(words []string) error {
	var rest []string
	want := ""
	for _, w := range words {
		if tells, ok := strings.CutPrefix(w, "tells="); ok {
			want = tells
			continue
		}
		rest = append(rest, w)
	}
	m.view.Silence = nil
	var d Decision
	m.state, d = Decide(m.state, m.view, m.policy, m.now)
	if got := [...]string{"nothing", "silent", "over"}[d.Tell]; want != "" && got != want {
		return fmt.Errorf("it tells %q, want %q (%s)", got, want, d.Verdict.Reason)
	}
	if d.Tell == TellSilent {
		m.view.Silence = m.count
	}
	return m.line(rest)
}

// Scripts with several monitors, and with the breaker of several pairs.
func TestScriptsOfSeveral(t *testing.T) {
	files, err := filepath.Glob("testdata/several/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			m := &manager{world: newWorld(), monitors: map[string]*eyes{}}
			lines := bufio.NewScanner(f)
			for n := 1; lines.Scan(); n++ {
				words := strings.Fields(strings.SplitN(lines.Text(), "#", 2)[0])
				if len(words) == 0 {
					continue
				}
				if err := m.command(words); err != nil {
					t.Fatalf("%s:%d: %s: %v", file, n, lines.Text(), err)
				}
			}
		})
	}
}
