package mysqlnode

import (
	"strings"
	"testing"
	"time"
)

// A channel that does not run is a fault where a failover would lead, and no more
// than a warning on the active, whose channel nobody is told to start.
func TestCheckOfAStoppedChannel(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := b.connect(agentUser)
		running := func() {
			t.Helper()
			eventually(t, 10*time.Second, "b replicates", func() bool {
				ch, err := c.Channel(t.Context())
				must(t, err)
				return ch.Replicates(a.addr())
			})
		}
		running()
		asPassive := CheckOptions{Peer: a.addr(), Active: a.addr()}
		asActive := CheckOptions{Peer: a.addr(), Active: b.addr()}
		unknown := CheckOptions{Peer: a.addr()}
		quarantined := asPassive
		quarantined.Quarantine = b.foreign(5)
		start := "START " + c.dialect.replica + ";"
		expect := func(when string, o CheckOptions, s Severity, text, fix string) {
			t.Helper()
			list, err := c.Check(t.Context(), o)
			must(t, err)
			f := find(t, list, "replication channel")
			if f.Severity != s || !strings.Contains(f.Text, text) || !strings.HasPrefix(f.Fix, fix) || fix == "" && f.Fix != "" || f.Replicates {
				t.Errorf("%s: %+v, want %s, %q, fix %q", when, f, s, text, fix)
			}
			if rests := s == SeverityWarn || o.Quarantine != "" && s == SeverityFail; rests && strings.Contains(f.Fix, start) {
				t.Errorf("%s: it is to be started: %q", when, f.Fix)
			}
			for _, x := range list {
				setting := x.Item == "pause between retries" && x.Severity == SeverityWarn
				if setting && strings.Contains(x.Fix, start) == (s == SeverityWarn || s == SeverityFail && o.Quarantine != "") {
					t.Errorf("%s: a change of its settings starts what rests, or does not start what ran: %q", when, x.Fix)
				}
			}
		}
		expect("running", asPassive, SeverityOK, "IO Yes, SQL Yes", "")
		// What an agent that is away once said is no fault of a channel that runs.
		expect("after a rebuild", quarantined, SeverityOK, "IO Yes, SQL Yes", "")

		b.do("STOP " + c.dialect.replica + " SQL_THREAD")
		expect("applying nothing", asPassive, SeverityFail, "SQL No: no failover can lead here", start)
		b.do("STOP " + c.dialect.replica)
		b.change("%[1]s_CONNECT_RETRY=60")
		expect("stopped", asPassive, SeverityFail, "IO No, SQL No: no failover can lead here", start)
		expect("stopped on the active", asActive, SeverityWarn, "this server is active", "# nothing by hand")
		expect("stopped, active unknown", unknown, SeverityFail, "no failover can lead here", "# find out which server is active")
		expect("stopped in quarantine", quarantined, SeverityFail, "quarantine, it holds transactions that the active lacks: "+b.foreign(5), "# do not start replication")

		list, err := c.Check(t.Context(), asPassive)
		must(t, err)
		statement, _, _ := strings.Cut(find(t, list, "replication channel").Fix, ";")
		b.do(statement)
		running()

		b.do("STOP " + c.dialect.replica)
		b.change("%[1]s_PASSWORD='wrong'")
		b.do(start)
		eventually(t, 10*time.Second, "the source refuses b", func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.IOErrno != 0
		})
		expect("refused by its source", asPassive, SeverityFail, "IO error 1045: ", "# mend what the error names, then: "+start)
	})
}
