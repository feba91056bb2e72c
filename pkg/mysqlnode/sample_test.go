package mysqlnode

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestObserveAPair(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := b.connect(monitorUser)
		a.do("INSERT INTO app.t VALUES (2, 2)")
		var got cluster.Server
		executed := a.upTo(1)
		if kind.flavor == cluster.MariaDB {
			executed += "," + executed // committed and applied
		}
		eventually(t, 10*time.Second, "both threads run and the row has arrived", func() bool {
			var err error
			got, err = c.Observe(t.Context(), []string{"root"})
			must(t, err)
			return got.Channel.Replicates(a.addr()) && got.Channel.Received == a.upTo(1) && got.Channel.Delay == 0 &&
				got.Channel.Heartbeats > 0 && got.Executed == executed
		})
		if got.UptimeS < 0 || got.Channel.Heartbeats == 0 {
			t.Errorf("%+v", got)
		}
		rest := got
		rest.UptimeS, rest.Channel.Heartbeats = 0, 0
		want := cluster.Server{
			Flavor: kind.flavor, Version: b.value("SELECT VERSION()"), Identity: b.identity(), UID: b.uid(),
			ReadOnly: cluster.Yes, SuperReadOnly: b.super(), GTIDMode: true, LogsReplicaUpdates: true, Executed: executed,
			Channel: cluster.Channel{Configured: true, Source: a.addr(), SourceIdentity: a.identity(), IO: cluster.ThreadYes, SQL: cluster.ThreadYes, GTID: true,
				User: "repl", Received: a.upTo(1), HeartbeatPeriodMS: 200},
		}
		if kind.flavor == cluster.MariaDB { // elsewhere a plugin tells
			want.Acks = cluster.Acks{Source: cluster.No, Replica: cluster.No}
		}
		if diff := cmp.Diff(want, rest); diff != "" {
			t.Error(diff)
		}

		light, err := c.Channel(t.Context())
		must(t, err)
		if light.Heartbeats < got.Channel.Heartbeats || light.Source != a.addr() {
			t.Errorf("light sample %+v", light)
		}
		ro, super, err := c.ReadOnly(t.Context())
		must(t, err)
		if ro != cluster.Yes || super != b.super() {
			t.Errorf("read_only %d, super %d", ro, super)
		}
		b.do("STOP REPLICA")
		light, err = c.Channel(t.Context())
		must(t, err)
		if !light.Stopped() || light.Delay != -1 {
			t.Errorf("stopped channel %+v", light)
		}
		b.do("RESET REPLICA ALL")
		light, err = c.Channel(t.Context())
		must(t, err)
		if light.Configured {
			t.Errorf("no channel: %+v", light)
		}
	})
}

// Who the server is stands in every full sample; a release without the variable is asked for it once.
func TestAReleaseWithoutServerUIDIsSampled(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		for range 2 {
			got, err := c.Observe(t.Context(), nil)
			must(t, err)
			if got.Identity != s.identity() || got.UID != s.uid() {
				t.Errorf("%q %q, want %q %q", got.Identity, got.UID, s.identity(), s.uid())
			}
		}
		old := *c.dialect
		old.uid = ", @@global.no_such_variable AS uid"
		c.dialect = &old
		for range 2 {
			got, err := c.Observe(t.Context(), nil)
			must(t, err)
			if got.Identity != s.identity() || got.UID != "" {
				t.Errorf("without the variable: %q %q", got.Identity, got.UID)
			}
			if !c.unknown[old.uid] {
				t.Error("every sample asks again")
			}
		}
		must(t, c.Ping(t.Context()))
	})
}

func TestObserveCountsSessionsByThePredecessorsRule(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		s.connect(monitorUser)
		app := s.app()
		s.app()
		count := func(exclude ...string) (int, []string) {
			t.Helper()
			got, err := c.Observe(t.Context(), append(exclude, "root"))
			must(t, err)
			return got.Sessions, got.Users
		}
		if n, users := count(); n != 3 || !slices.Equal(users, []string{appUser, monitorUser}) {
			t.Errorf("%d of %v", n, users)
		}
		if n, users := count(monitorUser); n != 2 || !slices.Equal(users, []string{appUser}) {
			t.Errorf("without the monitor's: %d of %v", n, users)
		}
		if n, _ := count(monitorUser, appUser); n != 0 {
			t.Errorf("without all: %d", n)
		}
		if _, err := app.ExecContext(t.Context(), "USE information_schema"); err != nil {
			t.Fatal(err)
		}
		if n, _ := count(monitorUser); n != 1 {
			t.Errorf("without the server's own schemas: %d", n)
		}
		// Without PROCESS the others are invisible, which is not the same as absent.
		s.quietly(map[cluster.Flavor]string{cluster.MariaDB: "GRANT SLAVE MONITOR ON *.* TO poor@'127.0.0.1'",
			cluster.MySQL: "GRANT REPLICATION CLIENT ON *.* TO poor@'127.0.0.1'"}[kind.flavor])
		got, err := s.connect(poorUser).Observe(t.Context(), nil)
		must(t, err)
		if got.Sessions != -1 {
			t.Errorf("without PROCESS: %d", got.Sessions)
		}
	})
}

// Who has one account for everything has it for replication too.
func TestAnApplicationOnTheAccountOfReplicationIsCounted(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, _ := startPair(t, kind)
		a.quietly("GRANT SELECT ON app.* TO repl@'127.0.0.1'")
		c := a.connect(monitorUser)
		count := func(what string, n, shared int, users ...string) {
			t.Helper()
			var got cluster.Server
			eventually(t, 10*time.Second, what, func() bool {
				var err error
				got, err = c.Observe(t.Context(), []string{"root", monitorUser})
				must(t, err)
				return got.Sessions == n && got.SharedSessions == shared && slices.Equal(got.Users, users)
			})
		}
		count("the replica reads, and is no application", 0, 0)
		app := a.connect("repl")
		count("it may be an application", 1, 1)
		must(t, app.exec(t.Context(), "use", "USE app"))
		count("no replica has a default schema", 1, 0, "repl")
	})
}

func TestObserveSaysWhatIsNotGranted(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		_, err := s.connect(poorUser).Observe(t.Context(), nil)
		e := want(t, err, cluster.CauseOther)
		privilege := map[cluster.Flavor]string{cluster.MariaDB: "SLAVE MONITOR", cluster.MySQL: "REPLICATION CLIENT"}[kind.flavor]
		if e.Number != errSpecificDenied || !strings.Contains(err.Error(), privilege) || !strings.HasSuffix(err.Error(), "(mmmctl check shows the GRANT)") {
			t.Errorf("%v", err)
		}
	})
}

func TestCountSessions(t *testing.T) {
	list := result{columns: map[string]int{"id": 0, "user": 1, "db": 2, "command": 3}}
	for _, r := range [][]string{
		{"1", "me", "", "Query"}, {"2", "system user", "", "Slave_IO"}, {"3", "event_scheduler", "", "Daemon"}, {"4", "unauthenticated user", "", "Connect"},
		{"5", "repl", "", "Binlog Dump"}, {"6", "repl", "", "Binlog Dump GTID"}, {"7", "x", "mysql", "Sleep"}, {"8", "x", "PERFORMANCE_SCHEMA", "Sleep"},
		{"9", "x", "shop", "Sleep"}, {"10", "root", "", "Sleep"}, {"11", "me", "", "Sleep"},
		// Replicas that log in, register, and are ended; an application with their account.
		{"12", "repl", "", "Sleep"}, {"13", "repl", "", "Register Slave"}, {"14", "channel", "", "Killed"}, {"15", "repl", "shop", "Sleep"},
	} {
		list.rows = append(list.rows, []value{{r[0], true}, {r[1], true}, {r[2], r[2] != ""}, {r[3], true}})
	}
	c := &Conn{node: &Node{}, id: 1}
	all := c.sessions(list)
	n, shared, users := countSessions(all, []string{"root"}, c.replicaUsers(all, "channel"), "13")
	if n != 5 || shared != 2 || !slices.Equal(users, []string{"me", "repl", "x"}) {
		t.Errorf("%d, %d shared, of %v", n, shared, users)
	}
	// Its reading session is gone, and it logs in again.
	list.rows = slices.DeleteFunc(list.rows, func(r []value) bool { return strings.HasPrefix(r[3].text, "Binlog") || r[3].text == "Register Slave" })
	again := c.sessions(list)
	if n, shared, users := countSessions(again, []string{"root"}, c.replicaUsers(again, "channel"), "10"); n != 5 || shared != 2 || len(users) != 3 {
		t.Errorf("%d, %d shared, of %v once nobody reads", n, shared, users)
	}
	// Ended are all but those that replicate by their own word.
	for _, s := range all {
		if ends, wants := s.Kind == KindApplication, !slices.Contains([]uint64{2, 3, 4, 5, 6, 11, 13}, s.ID); ends != wants {
			t.Errorf("session %d of %s is %s", s.ID, s.User, s.Kind)
		}
	}
}

func TestChannelOfMySQLIsReadByNewAndOldNames(t *testing.T) {
	named := func(names ...string) result {
		r := result{columns: map[string]int{}, rows: [][]value{nil, nil}}
		for i, name := range append([]string{"channel_name"}, names...) {
			r.columns[name] = i
		}
		r.rows[0] = make([]value, len(r.columns))
		r.rows[0][0] = value{"group_replication_applier", true}
		for _, text := range []string{"", "db1", "3306", "Yes", "No", "1", "uuid:1-5,\nother:1", "", "7", "why"} {
			r.rows[1] = append(r.rows[1], value{text, true})
		}
		return r
	}
	want := cluster.Channel{Configured: true, Source: "db1:3306", IO: "Yes", SQL: "No", GTID: true, Received: "uuid:1-5,other:1", Delay: -1,
		SQLErrno: 7, SQLError: "why", Heartbeats: 12, HeartbeatPeriodMS: 1500}
	tail := []string{"auto_position", "retrieved_gtid_set"}
	later := named(slices.Concat([]string{"source_host", "source_port", "replica_io_running", "replica_sql_running"}, tail,
		[]string{"seconds_behind_source", "last_sql_errno", "last_sql_error"})...)
	heartbeats := result{columns: map[string]int{"slave_received_heartbeats": 0, "slave_heartbeat_period": 1}, rows: [][]value{{{"12", true}, {"1.500", true}}}}
	if diff := cmp.Diff(want, readChannel(cluster.MySQL, []result{later, heartbeats}, nil)); diff != "" {
		t.Error("8.0.22 and later: " + diff)
	}
	earlier := named(slices.Concat([]string{"master_host", "master_port", "slave_io_running", "slave_sql_running"}, tail,
		[]string{"seconds_behind_master", "last_sql_errno", "last_sql_error"})...)
	status := map[string]string{"slave_received_heartbeats": "12", "slave_heartbeat_period": "1.5"}
	if diff := cmp.Diff(want, readChannel(cluster.MySQL, []result{earlier}, status)); diff != "" {
		t.Error("5.6: " + diff)
	}
}

func TestOneSessionServesOneCallAtATime(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		done := make(chan error, 1)
		go func() {
			_, err := c.query(context.Background(), "sleep on", "SELECT SLEEP(30)")
			done <- err
		}()
		eventually(t, 5*time.Second, "the first call is on its way", func() bool {
			return s.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'") == "1"
		})
		want(t, c.Ping(t.Context()), cluster.CauseOther)
		must(t, c.Close())
		if err := <-done; err == nil {
			t.Error("the call went on after Close")
		}
	})
}

func TestHeartbeatsWithoutPerformanceSchema(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		b.kill()
		b.start("--performance-schema=OFF")
		b.do("START REPLICA")
		c := b.connect(monitorUser)
		var got cluster.Server
		defer func() {
			if t.Failed() {
				t.Logf("last seen: %+v", got.Channel)
			}
		}()
		eventually(t, 30*time.Second, "heartbeats are counted", func() bool {
			var err error
			got, err = c.Observe(t.Context(), nil)
			must(t, err)
			return got.Channel.Replicates(a.addr()) && got.Channel.Heartbeats > 1 && got.Channel.HeartbeatPeriodMS == 200
		})
	})
}

func TestHeartbeatsWithoutTheRight(t *testing.T) {
	mysql9.need(t)
	a, b := startPair(t, mysql9)
	b.quietly("REVOKE SELECT ON performance_schema.* FROM monitor@'127.0.0.1'")
	c := b.connect(monitorUser)
	eventually(t, 10*time.Second, "b replicates", func() bool {
		got, err := c.Observe(t.Context(), nil)
		must(t, err)
		if got.Channel.Heartbeats != 0 || got.Channel.HeartbeatPeriodMS != 0 {
			t.Errorf("%+v", got.Channel)
		}
		return got.Channel.Replicates(a.addr())
	})
	if !time.Now().Before(c.heartbeatsAfter) {
		t.Error("every sample asks again")
	}
	b.quietly("GRANT SELECT ON performance_schema.* TO monitor@'127.0.0.1'")
	c.heartbeatsAfter = time.Now()
	eventually(t, 10*time.Second, "heartbeats are read on the same session once they are granted", func() bool {
		got, err := c.Observe(t.Context(), nil)
		must(t, err)
		return got.Channel.Heartbeats > 0 && got.Channel.HeartbeatPeriodMS == 200
	})
}

// A glance is both of what it stands for, of every server, open and closed, replicating and not.
func TestGlance(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		_, b := startPair(t, kind)
		c := b.connect(agentUser)
		same := func(io cluster.Thread, closed cluster.Tri) {
			t.Helper()
			ro, super, ch, err := c.Glance(t.Context())
			must(t, err)
			wantRO, wantSuper, err := c.ReadOnly(t.Context())
			must(t, err)
			want, err := c.Channel(t.Context())
			must(t, err)
			if ro != wantRO || super != wantSuper || ro != closed {
				t.Errorf("read_only %v, super_read_only %v; want %v, %v", ro, super, wantRO, wantSuper)
			}
			want.Heartbeats, ch.Heartbeats = 0, 0 // they go on
			if ch != want || ch.IO != io {
				t.Errorf("%+v\nwant %+v", ch, want)
			}
		}
		must(t, c.SetReadOnly(t.Context(), time.Second))
		eventually(t, 20*time.Second, "it replicates", func() bool {
			ch, err := c.Channel(t.Context())
			must(t, err)
			return ch.IO == cluster.ThreadYes
		})
		same(cluster.ThreadYes, cluster.Yes)
		must(t, c.StopReplication(t.Context()))
		must(t, c.SetWritable(t.Context()))
		same(cluster.ThreadNo, cluster.No)
	})
}
