package mysqlnode

import (
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// lagging makes a pair whose passive has received rows that it has not applied,
// and whose active is then killed.
func lagging(t *testing.T, kind *brand) (b *server, c *Conn, received string) {
	t.Helper()
	a, b := startPair(t, kind)
	c = b.connect(agentUser)
	must(t, c.StopReplication(t.Context()))
	must(t, c.StartIOThread(t.Context()))
	for range 20 {
		a.do("INSERT INTO app.t (v) VALUES (7)")
	}
	eventually(t, 10*time.Second, "everything is received", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		received = ch.Received
		return ch.Received == a.upTo(20) && ch.SQL == cluster.ThreadNo
	})
	a.kill()
	return b, c, received
}

func rows(s *server) string { s.t.Helper(); return s.value("SELECT COUNT(*) FROM app.t WHERE v = 7") }

func TestDrainAppliesWhatWasReceived(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		b, c, received := lagging(t, kind)
		applied, err := c.WaitApplied(t.Context(), received, 200*time.Millisecond)
		if applied || err != nil {
			t.Fatalf("applied without an applier: %v, %v", applied, err)
		}
		for range 2 {
			must(t, c.StartSQLThread(t.Context()))
		}
		for range 2 {
			must(t, c.StopIOThread(t.Context()))
		}
		ch, err := c.Channel(t.Context())
		must(t, err)
		if ch.IO != cluster.ThreadNo || ch.Received != received {
			t.Errorf("after the drain began: %+v", ch)
		}
		for range 2 {
			applied, err = c.WaitApplied(t.Context(), received, 5*time.Second)
			must(t, err)
			if !applied {
				t.Fatal("not applied within 5 s")
			}
		}
		if n := rows(b); n != "20" {
			t.Errorf("%s of 20 rows are there", n)
		}
		if ro, _, err := c.ReadOnly(t.Context()); err != nil || ro != cluster.Yes {
			t.Errorf("read_only %d, %v", ro, err)
		}
		for range 2 {
			must(t, c.StopReplication(t.Context()))
		}
		for range 2 {
			must(t, c.StartReplication(t.Context()))
		}
	})
}

func TestWaitAppliedCountsOwnTransactions(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		s.do("SET GLOBAL read_only = 0")
		s.do("INSERT INTO app.t (v) VALUES (7)")
		own := s.upTo(1)
		// What the server committed itself is in MariaDB's replication position no more than in a foreign one.
		targets := map[string]bool{"": true, own: true, own + "," + s.foreign(1): false, s.upTo(2): false, s.foreign(3): false}
		for target, want := range targets {
			began := time.Now()
			applied, err := c.WaitApplied(t.Context(), target, 100*time.Millisecond)
			must(t, err)
			if applied != want {
				t.Errorf("%q: %v, want %v", target, applied, want)
			}
			if took := time.Since(began); want && took > 90*time.Millisecond {
				t.Errorf("%q: waited %s for nothing", target, took)
			}
		}
		if _, err := c.WaitApplied(t.Context(), "0-1-1'); SELECT ('", time.Second); err == nil {
			t.Error("took a target that is no position")
		}
	})
}

func TestWaitAppliedEndsBeforeItsContext(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		applied, err := c.WaitApplied(within(t, 300*time.Millisecond), s.foreign(9), time.Hour)
		if applied || err != nil {
			t.Errorf("%v, %v", applied, err)
		}
		must(t, c.Ping(within(t, time.Second)))
	})
}

func TestStartingWhatIsNotConfiguredIsAnError(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		if e := want(t, c.StartReplication(t.Context()), cluster.CauseOther); e.Number != errNotReplica {
			t.Error(e)
		}
	})
}

func TestStoppingTheReceiverOfAHungSource(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := b.connect(agentUser)
		eventually(t, 10*time.Second, "the passive replicates", func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.Replicates(a.addr())
		})
		a.freeze()
		began := time.Now()
		must(t, c.StopIOThread(within(t, 5*time.Second)))
		t.Logf("stopped in %s", time.Since(began))
		a.signal(syscall.SIGCONT)
	})
}

func TestAReceiverThatHasGivenUpIsStartedAgain(t *testing.T) {
	mysql9.need(t)
	a, b := startPair(t, mysql9)
	c := b.connect(agentUser)
	b.do("STOP REPLICA")
	b.change("%[1]s_RETRY_COUNT=1, %[1]s_CONNECT_RETRY=1, %[1]s_HEARTBEAT_PERIOD=0.2")
	b.do("START REPLICA")
	is := func(what string, state cluster.Thread) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.IO == state && ch.SQL == cluster.ThreadYes && (state == cluster.ThreadYes || ch.IOErrno == 2003 || ch.IOErrno == 2013)
		})
	}
	is("b replicates", cluster.ThreadYes)
	a.kill()
	is("the receiver has given up", cluster.ThreadNo)
	a.start()
	must(t, c.StartIOThread(t.Context()))
	is("b replicates again", cluster.ThreadYes)
}

// Who was rebuilt from the active does not know the position that the active has of before, and refuses it.
func TestRepositionAfterTheReplicaWasRebuilt(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := a.connect(agentUser)
		if kind.flavor == cluster.MySQL {
			if err := c.Reposition(t.Context()); err == nil {
				t.Error("MySQL has no such position")
			}
			return
		}
		running := func(s *server, source *server) {
			t.Helper()
			eventually(t, 15*time.Second, "the channel runs", func() bool {
				ch, err := s.connect(agentUser).Channel(t.Context())
				must(t, err)
				return ch.Replicates(source.addr())
			})
		}
		running(a, b)
		for range 3 {
			a.do("INSERT INTO app.t (v) VALUES (7)")
		}
		running(b, a)
		backup := a.value("SELECT @@gtid_binlog_pos")
		eventually(t, 10*time.Second, "it came back", func() bool { return a.value("SELECT @@gtid_slave_pos") == backup })
		a.do("STOP SLAVE")
		b.do("STOP SLAVE")
		b.do("RESET MASTER")
		b.do("SET GLOBAL gtid_slave_pos = '" + backup + "'")
		b.do("START SLAVE")
		a.do("INSERT INTO app.t (v) VALUES (7)")
		eventually(t, 10*time.Second, "b has it", func() bool {
			return b.value("SELECT @@gtid_slave_pos") == a.value("SELECT @@gtid_binlog_pos")
		})
		a.do("START SLAVE")
		eventually(t, 10*time.Second, "the position is refused", func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.IO == cluster.ThreadNo && ch.IOErrno == 1236
		})
		must(t, c.StopReplication(t.Context()))
		must(t, c.Reposition(t.Context()))
		must(t, c.StartReplication(t.Context()))
		running(a, b)

		a.do("SET GLOBAL read_only = 1")
		b.do("SET GLOBAL read_only = 0")
		b.do("INSERT INTO app.t (v) VALUES (7)")
		eventually(t, 10*time.Second, "a has what b wrote", func() bool {
			return a.value("SELECT @@gtid_slave_pos") == b.value("SELECT @@gtid_binlog_pos")
		})
		if err := c.Reposition(t.Context()); err == nil {
			t.Error("the position of a channel that runs was set")
		}
	})
}

// An active whose server_id was changed does not know its own transactions, when they come back to it.
func TestRepositionAfterTheServerIDWasChanged(t *testing.T) {
	mariadb.need(t)
	a, b := startPair(t, mariadb)
	c := a.connect(agentUser)
	has := func(s *server) string { return s.value("SELECT @@gtid_binlog_pos") }
	same := func() {
		t.Helper()
		eventually(t, 10*time.Second, "b has what a wrote", func() bool { return has(a) == has(b) })
	}
	same()
	a.do("STOP SLAVE")
	a.do("INSERT INTO app.t (v) VALUES (7)")
	a.do("SET GLOBAL server_id = 101")
	a.do("SET SESSION server_id = 101") // a session keeps the one that it began with
	a.do("INSERT INTO app.t (v) VALUES (7)")
	same()
	a.do("START SLAVE")
	eventually(t, 10*time.Second, "what comes back is refused", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		return ch.SQL == cluster.ThreadNo && ch.SQLErrno == 1950
	})
	must(t, c.StopReplication(t.Context()))
	must(t, c.Reposition(t.Context()))
	must(t, c.StartReplication(t.Context()))
	a.do("INSERT INTO app.t (v) VALUES (7)")
	same()
	eventually(t, 10*time.Second, "the channel runs", func() bool {
		ch, err := c.Channel(t.Context())
		must(t, err)
		return ch.Replicates(b.addr()) && ch.SQLErrno == 0
	})
}

func TestBeatEachSecond(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		_, b := startPair(t, kind)
		c := b.connect(agentUser)
		period := func() int64 {
			srv, err := c.Observe(t.Context(), nil)
			must(t, err)
			return srv.Channel.HeartbeatPeriodMS
		}
		change := "CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=30"
		if kind.flavor == cluster.MySQL {
			change = "CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=30"
		}
		if err := c.BeatEachSecond(t.Context()); err == nil {
			t.Error("the period of a channel that runs was changed")
		}
		must(t, c.StopReplication(t.Context()))
		b.do(change)
		if got := period(); got != 30_000 {
			t.Fatalf("a heartbeat each %d ms", got)
		}
		must(t, c.BeatEachSecond(t.Context()))
		must(t, c.StartReplication(t.Context()))
		if got := period(); got != 1000 {
			t.Errorf("a heartbeat each %d ms", got)
		}
		eventually(t, 20*time.Second, "it receives heartbeats", func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.Replicates(ch.Source) && ch.Heartbeats >= 3
		})
	})
}
