package mysqlnode

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// mayWait gives the agent's account what waiting for acknowledgements needs.
func (s *server) mayWait() {
	s.t.Helper()
	for _, g := range s.connect(agentUser).dialect.acks[RoleAgent] {
		s.quietly("GRANT " + g.privilege + " ON " + g.on + " TO " + account(agentUser, here))
	}
}

// acks are what a server says at the moment.
func acks(t *testing.T, c *Conn) cluster.Acks {
	t.Helper()
	got, err := c.Observe(within(t, 5*time.Second), nil)
	must(t, err)
	return got.Acks
}

// write has a client commit a row, and answers when it is told of that.
func write(t *testing.T, s *server, id int) <-chan error {
	t.Helper()
	app, answer := s.app(), make(chan error, 1)
	go func() {
		_, err := app.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO t VALUES (%d, 1)", id))
		answer <- err
	}()
	return answer
}

// told waits for the answer to a write.
func told(t *testing.T, answer <-chan error) {
	t.Helper()
	select {
	case err := <-answer:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the commit waits on")
	}
}

func (s *server) rows(id int) string {
	s.t.Helper()
	return s.value(fmt.Sprintf("SELECT COUNT(*) FROM app.t WHERE id = %d", id))
}

// source is the beginning of the names of the waiting end.
func (s *server) source() string {
	if s.flavor == cluster.MySQL {
		return sourceEnd
	}
	return masterEnd
}

// acknowledgedPair is a pair whose servers have what commits that wait need.
func acknowledgedPair(t *testing.T, kind *brand) (a, b *server) {
	a, b = startPair(t, kind)
	a.mayWait()
	b.mayWait()
	return a, b
}

// restartReceiver has the receiving thread start once more, and the applier run on.
func restartReceiver(t *testing.T, c *Conn) {
	t.Helper()
	must(t, c.StopIOThread(within(t, 10*time.Second)))
	must(t, c.StartIOThread(within(t, 10*time.Second)))
}

func TestCommitsWaitUntilThePassiveHasThem(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := acknowledgedPair(t, kind)
		active, passive := a.connect(agentUser), b.connect(agentUser)
		absent := cluster.Acks{Source: cluster.No, Replica: cluster.No}
		if kind.flavor == cluster.MySQL {
			absent = cluster.Acks{}
		}
		if got := acks(t, passive); got != absent {
			t.Errorf("before all: %+v", got)
		}

		must(t, active.AwaitCommits(within(t, 5*time.Second)))
		first := write(t, a, 2)
		eventually(t, 5*time.Second, "a commit waits, for nobody acknowledges", func() bool { return acks(t, active).Waiting == 1 })
		if got := acks(t, active); got.Source != cluster.Yes || got.Clients != 0 {
			t.Errorf("alone: %+v", got)
		}
		if n := a.rows(2); n != "0" {
			t.Error("others see what nobody has acknowledged")
		}
		if open, err := active.Writers(within(t, 5*time.Second)); err != nil || len(open) != 1 {
			t.Errorf("a commit that waits is no open transaction: %v, %v", open, err)
		}
		// Neither stands in the way of the other.
		want(t, active.SetReadOnly(within(t, 5*time.Second), time.Second), cluster.CauseOther)
		must(t, active.AwaitCommits(within(t, time.Second)))

		eventually(t, 10*time.Second, "the passive has the row", func() bool { return b.rows(2) == "1" })
		does, err := passive.Acknowledge(within(t, 5*time.Second))
		must(t, err)
		if does {
			t.Error("a receiver that ran before acknowledges")
		}
		if ro, super := b.closed(); !ro || super != (kind.flavor == cluster.MySQL) {
			t.Errorf("the passive is left open: read_only %v, super_read_only %v", ro, super)
		}
		restartReceiver(t, passive)
		eventually(t, 10*time.Second, "the receiver acknowledges", func() bool {
			does, err := passive.Acknowledge(within(t, 5*time.Second))
			must(t, err)
			return does && acks(t, passive).Replica == cluster.Yes && acks(t, active).Clients == 1
		})
		second := write(t, a, 3)
		told(t, second)
		told(t, first)
		if n := a.rows(2) + a.rows(3); n != "11" {
			t.Errorf("rows %s", n)
		}
		if got := acks(t, active); got != (cluster.Acks{Source: cluster.Yes, Clients: 1, Replica: absent.Replica}) {
			t.Errorf("with a passive: %+v", got)
		}
		if after := b.position(); strings.Contains(after, b.upTo(1)) {
			t.Errorf("the passive has a transaction of its own: %s", after)
		}
	})
}

func TestCommitsWaitOnWhileThePassiveIsKilledAndRestarted(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := acknowledgedPair(t, kind)
		active, passive := a.connect(agentUser), b.connect(agentUser)
		must(t, active.AwaitCommits(within(t, 5*time.Second)))
		_, err := passive.Acknowledge(within(t, 5*time.Second))
		must(t, err)
		restartReceiver(t, passive)
		eventually(t, 10*time.Second, "it acknowledges", func() bool { return acks(t, active).Clients == 1 })
		b.freeze()
		answer := write(t, a, 2)
		eventually(t, 5*time.Second, "a commit waits", func() bool { return acks(t, active).Waiting == 1 })
		b.kill()
		b.start()
		passive = b.connect(agentUser)
		// Before the receiver starts, so that it acknowledges all that it receives.
		_, err = passive.Acknowledge(within(t, 5*time.Second))
		must(t, err)
		select {
		case err := <-answer:
			t.Fatalf("acknowledged while nobody could: %v", err)
		default:
		}
		must(t, passive.StartReplication(within(t, 5*time.Second)))
		eventually(t, 10*time.Second, "it acknowledges again", func() bool { return acks(t, active).Clients == 1 && acks(t, passive).Replica == cluster.Yes })
		told(t, write(t, a, 3))
		told(t, answer)
	})
}

func TestOnlyAnOrderLetsCommitsGo(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, _ := acknowledgedPair(t, kind)
		active := a.connect(agentUser)
		must(t, active.LetCommitsGo(within(t, 5*time.Second)))
		must(t, active.AwaitCommits(within(t, 5*time.Second)))
		answer := write(t, a, 2)
		eventually(t, 5*time.Second, "a commit waits", func() bool { return acks(t, active).Waiting == 1 })
		// An order that comes too late is void.
		must(t, active.exec(t.Context(), "limit", active.dialect.limit(-time.Second)))
		if err := active.exec(t.Context(), "late", fmt.Sprintf(setInTime, a.source()+"_enabled")); !errors.Is(tooLate(err), ErrTooLate) {
			t.Errorf("late: %v", err)
		}
		if got := acks(t, active); got.Source != cluster.Yes || got.Waiting != 1 {
			t.Errorf("after a late order: %+v", got)
		}
		must(t, active.LetCommitsGo(within(t, 5*time.Second)))
		told(t, answer)
		if got := acks(t, active); got.Source != cluster.No || got.Waiting != 0 {
			t.Errorf("let go: %+v", got)
		}
		told(t, write(t, a, 3))
	})
}

func TestASetUpByHandIsLeftAloneAndOursIsTakenBack(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, _, enabled := semisync(t, kind)
		s.mayWait()
		c := s.connect(agentUser)
		timeout := "@@global." + s.source() + "_timeout"
		must(t, c.LetOurCommitsGo(within(t, 5*time.Second)))
		if v := s.value("SELECT "+enabled) + " " + s.value("SELECT "+timeout); v != "1 3600000" {
			t.Errorf("by hand: %s", v)
		}
		// Commits wait already, by a timeout that would let all go.
		answer := write(t, s, 2)
		eventually(t, 5*time.Second, "a commit waits", func() bool { return acks(t, c).Waiting == 1 })
		must(t, c.AwaitCommits(within(t, 5*time.Second)))
		told(t, answer)
		if v := s.value("SELECT "+enabled) + " " + s.value("SELECT "+timeout); v != "1 "+forEver {
			t.Errorf("ours: %s", v)
		}
		must(t, c.LetOurCommitsGo(within(t, 5*time.Second)))
		if v := s.value("SELECT "+enabled) + " " + s.value("SELECT "+timeout); v != "0 "+defaultTimeout {
			t.Errorf("taken back: %s", v)
		}
	})
}

// Of what a server came to before, nothing lets commits go.
func TestCommitsWaitWhateverWasSetBefore(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, _ := acknowledgedPair(t, kind)
		c := a.connect(agentUser)
		must(t, c.AwaitCommits(within(t, 5*time.Second)))
		end := a.source()
		unattended := strings.Replace(end+"_wait_no_slave", "source_wait_no_slave", "source_wait_no_replica", 1)
		for i, other := range []string{end + "_enabled = OFF", end + "_timeout = 100", end + "_wait_point = AFTER_COMMIT", unattended + " = OFF"} {
			if strings.HasSuffix(other, "AFTER_COMMIT") && kind.flavor == cluster.MySQL {
				a.do("SET GLOBAL " + end + "_enabled = OFF")
			}
			a.do("SET GLOBAL " + other)
			if strings.HasSuffix(other, "timeout = 100") {
				told(t, write(t, a, 100+i)) // and it does not wait any more
				if got := acks(t, c); got.Source != cluster.No {
					t.Fatalf("after the timeout: %+v", got)
				}
			}
			must(t, c.AwaitCommits(within(t, 5*time.Second)))
			answer := write(t, a, 10+i)
			eventually(t, 5*time.Second, other+": a commit waits", func() bool { return acks(t, c).Waiting == 1 })
			if n := a.rows(10 + i); n != "0" {
				t.Errorf("%s: others see what nobody has acknowledged", other)
			}
			must(t, c.LetCommitsGo(within(t, 5*time.Second)))
			told(t, answer)
			must(t, c.AwaitCommits(within(t, 5*time.Second)))
		}
	})
}

func TestWaitingTellsTheMissingGrant(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		err := c.AwaitCommits(within(t, 5*time.Second))
		if !Refused(err) || !strings.HasSuffix(err.Error(), "(mmmctl check shows the GRANT)") {
			t.Errorf("the waiting end: %v", err)
		}
		list, err := c.Check(t.Context(), CheckOptions{Role: RoleAgent, Durability: cluster.SemiSync})
		must(t, err)
		const item = "grants of the agent"
		f := find(t, list, item)
		if f.Severity != SeverityFail {
			t.Fatalf("%+v", f)
		}
		if list, err = c.Check(t.Context(), CheckOptions{Role: RoleAgent}); err != nil || find(t, list, item).Severity != SeverityOK {
			t.Errorf("async needs more: %v, %+v", err, list)
		}
		s.quietly(strings.Split(f.Fix, "\n")...)
		c = s.connect(agentUser)
		must(t, c.AwaitCommits(within(t, 5*time.Second)))
		_, err = c.Acknowledge(within(t, 5*time.Second))
		must(t, err)
		must(t, c.LetOurCommitsGo(within(t, 5*time.Second)))
		list, err = c.Check(t.Context(), CheckOptions{Role: RoleAgent, Durability: cluster.SemiSync})
		must(t, err)
		severities(t, list, map[string]Severity{item: SeverityOK})
	})
}

func TestEndsAreReadByNewAndOldNames(t *testing.T) {
	for _, end := range [][2]string{{masterEnd, slaveEnd}, {sourceEnd, replicaEnd}} {
		s := readEnds(map[string]string{end[0] + "_enabled": "ON", end[0] + "_timeout": settling, end[1] + "_enabled": "ON"},
			map[string]string{end[0] + "_status": "ON", end[0] + "_clients": "2", end[0] + "_wait_sessions": "3", end[1] + "_status": "OFF"})
		if s.source != end[0] || s.replica != end[1] || !s.enabled() || !s.ours() ||
			s.acks != (cluster.Acks{Source: cluster.Yes, Clients: 2, Waiting: 3, Replica: cluster.No}) {
			t.Errorf("%s: %+v", end[0], s)
		}
	}
	if s := readEnds(nil, nil); s.source+s.replica != "" || s.acks != (cluster.Acks{}) {
		t.Errorf("nothing installed: %+v", s)
	}
	for release, want := range map[string][]string{
		"5.7.44": {"INSTALL PLUGIN rpl_semi_sync_master SONAME 'semisync_master.so'", "INSTALL PLUGIN rpl_semi_sync_slave SONAME 'semisync_slave.so'"},
		"8.0.25": {"INSTALL PLUGIN rpl_semi_sync_master SONAME 'semisync_master.so'", "INSTALL PLUGIN rpl_semi_sync_slave SONAME 'semisync_slave.so'"},
		"8.4.0":  {"INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'", "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'"},
	} {
		d := chooseDialect(parseVersion(release, ""))
		if got := []string{installing(d.source), installing(d.acknowledger)}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", release, got)
		}
	}
}
