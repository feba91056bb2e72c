package mysqlnode

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestCheckOfAPairWhoseCommitsWait(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		const item = "semi-synchronous replication"
		s := startServer(t, kind, 1)
		s.mayWait()
		c := s.connect(agentUser)
		atStart := s.source() + "_enabled at start"
		look := func(active cluster.Endpoint) []Finding {
			t.Helper()
			list, err := c.Check(t.Context(), CheckOptions{Durability: cluster.SemiSync, Active: active})
			must(t, err)
			return list
		}
		named := func(list []Finding, item string) (n int) {
			for _, f := range list {
				if f.Item == item {
					n++
				}
			}
			return n
		}
		if list, err := c.Check(t.Context(), CheckOptions{}); err != nil || named(list, item) != 0 {
			t.Errorf("async: %v, %+v", err, list)
		}
		want := SeverityOK
		if kind.flavor == cluster.MySQL {
			want = SeverityWarn
		}
		list := look(s.addr())
		severities(t, list, map[string]Severity{item: want})
		lines := strings.Fields(find(t, list, item).Fix)
		if kind.flavor == cluster.MariaDB {
			severities(t, list, map[string]Severity{"init_rpl_role": SeverityUnknown})
		}
		_, err := c.Acknowledge(within(t, 5*time.Second))
		must(t, err)
		must(t, c.AwaitCommits(within(t, 5*time.Second)))
		list = look(s.addr())
		severities(t, list, map[string]Severity{item: SeverityOK})
		if named(list, atStart) != 0 {
			t.Errorf("what the agent has set comes back at the next start: %+v", find(t, list, atStart))
		}
		severities(t, look("other:1"), map[string]Severity{atStart: SeverityWarn})
		must(t, c.LetOurCommitsGo(within(t, 5*time.Second)))
		s.do("SET GLOBAL " + s.source() + "_wait_point = AFTER_COMMIT")
		s.do("SET GLOBAL " + s.source() + "_enabled = 1")
		severities(t, look(s.addr()), map[string]Severity{item: SeverityWarn})

		// As the option file would have it, plugins too.
		s.kill()
		var args []string
		for _, line := range lines {
			args = append(args, "--"+line)
		}
		s.start(append(args, "--"+s.source()+"-enabled=1")...)
		c = s.connect(agentUser)
		severities(t, look(s.addr()), map[string]Severity{atStart: SeverityWarn})
		if kind.flavor == cluster.MySQL {
			s.kill()
			s.start()
			c = s.connect(agentUser)
			s.do("SET PERSIST " + s.source() + "_enabled = 1")
			severities(t, look(s.addr()), map[string]Severity{atStart: SeverityWarn})
		}
	})
}

func TestCheckCountsWhoAcknowledges(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := acknowledgedPair(t, kind)
		third := startServer(t, kind, 3)
		third.mayWait()
		active := a.connect(agentUser)
		must(t, active.AwaitCommits(within(t, 5*time.Second)))
		for _, s := range []*server{b, third} {
			_, err := s.connect(agentUser).Acknowledge(within(t, 5*time.Second))
			must(t, err)
		}
		restartReceiver(t, b.connect(agentUser))
		third.replicateFrom(a)
		eventually(t, 10*time.Second, "both acknowledge", func() bool { return acks(t, active).Clients == 2 })
		list, err := active.Check(t.Context(), CheckOptions{Durability: cluster.SemiSync})
		must(t, err)
		severities(t, list, map[string]Severity{"replicas that acknowledge": SeverityWarn})
	})
}
