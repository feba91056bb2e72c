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

// semisync makes an open server whose commits wait for the acknowledgement of a
// replica that is not there, and tells the switch of that.
func semisync(t *testing.T, kind *brand) (s *server, c *Conn, enabled string) {
	t.Helper()
	s, c = open(t, kind)
	source := "rpl_semi_sync_master"
	if kind.flavor == cluster.MySQL {
		source = "rpl_semi_sync_source"
		s.do("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
	}
	for _, name := range []string{"_wait_point = AFTER_SYNC", "_timeout = 3600000", "_enabled = 1"} {
		s.do("SET GLOBAL " + source + name)
	}
	return s, c, "@@global." + source + "_enabled"
}

// awaits has a client of s wait for an acknowledgement and returns its session.
func awaits(t *testing.T, s *server, c *Conn) (id uint64, ended <-chan error) {
	t.Helper()
	app := s.app()
	must(t, app.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id))
	answer := make(chan error, 1)
	go func() {
		_, err := app.ExecContext(t.Context(), "INSERT INTO t VALUES (2, 2)")
		answer <- err
	}()
	eventually(t, 5*time.Second, "the commit waits", func() bool {
		found, ok := listed(t, c, id)
		return ok && found.Awaits() && !found.Killed()
	})
	return id, answer
}

func listed(t *testing.T, c *Conn, id uint64) (Session, bool) {
	t.Helper()
	all, err := c.Sessions(within(t, time.Second))
	must(t, err)
	for _, s := range all {
		if s.ID == id {
			return s, true
		}
	}
	return Session{}, false
}

func TestCommitsAreReleasedAndWaitAsBefore(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c, enabled := semisync(t, kind)
		id, ended := awaits(t, s, c)
		must(t, c.Kill(t.Context(), id))
		if kind.flavor == cluster.MySQL {
			for _, other := range []string{"ON", "OFF"} {
				s.do("SET GLOBAL performance_schema_show_processlist = " + other)
				if found, _ := listed(t, c, id); !found.Killed() || !found.Awaits() {
					t.Errorf("a killed session does not wait on, with the other list %s: %+v", other, found)
				}
			}
		}
		must(t, c.ReleaseCommits(within(t, 5*time.Second)))
		eventually(t, 5*time.Second, "the session is gone", func() bool { _, there := listed(t, c, id); return !there })
		if err := <-ended; err == nil {
			t.Error("a client that was cut off heard of a success")
		}
		if v := s.value("SELECT " + enabled); v != "1" {
			t.Errorf("%s is %s", enabled, v)
		}
	})
}

// Whoever ends the session that releases has the switch put back over another, or is
// told that it is off where nobody else gets in.
func TestTheSwitchIsPutBackOrToldToBeOff(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		if kind.flavor != cluster.MySQL {
			t.Skip("nothing is switched there")
		}
		s, _, enabled := semisync(t, kind)
		if err := cutOff(t, s, several(s), enabled); strings.Contains(err.Error(), "switched off") {
			t.Errorf("the answer is %v", err)
		}
		if v := s.value("SELECT " + enabled); v != "1" {
			t.Errorf("%s is %s", enabled, v)
		}
		opened := several(s)
		s.quietly("ALTER USER " + agentUser + "@'127.0.0.1' ACCOUNT LOCK")
		if err := cutOff(t, s, opened, enabled); !strings.Contains(err.Error(), "rpl_semi_sync_source_enabled is left switched off") {
			t.Errorf("the answer is %v", err)
		}
		if v := s.value("SELECT " + enabled); v != "0" {
			t.Errorf("%s is %s", enabled, v)
		}
	})
}

// Commits wait as soon as they are told to, though an order from before still releases others.
func TestCommitsWaitWhileOthersAreReleased(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		if kind.flavor != cluster.MySQL {
			t.Skip("nothing is switched there")
		}
		s, _, enabled := semisync(t, kind)
		for _, c := range several(s) {
			answer := make(chan error, 1)
			go func() { answer <- c.ReleaseCommits(within(t, 5*time.Second)) }()
			poll(t, time.Millisecond, 5*time.Second, "it is switched off", func() bool { return s.value("SELECT "+enabled) == "0" || len(answer) > 0 })
			must(t, s.connect(agentUser).AwaitCommits(within(t, 5*time.Second)))
			inTime := len(answer) == 0
			if v := s.value("SELECT " + enabled); v != "1" {
				t.Errorf("%s is %s", enabled, v)
			}
			must(t, <-answer)
			if v := s.value("SELECT " + enabled); v != "1" {
				t.Errorf("%s is %s in the end", enabled, v)
			}
			if inTime {
				return
			}
			s.do("SET GLOBAL rpl_semi_sync_source_timeout = 10000") // it was too slow for that: the next
		}
		t.Fatal("no order was given in time")
	})
}

func several(s *server) (all []*Conn) {
	for range 10 {
		all = append(all, s.connect(agentUser))
	}
	return all
}

// cutOff has a session release commits and ends it in between. One that was too fast
// for that makes room for the next.
func cutOff(t *testing.T, s *server, all []*Conn, enabled string) error {
	t.Helper()
	for _, c := range all {
		answer := make(chan error, 1)
		go func() { answer <- c.ReleaseCommits(within(t, 5*time.Second)) }()
		poll(t, time.Millisecond, 5*time.Second, "it is switched off", func() bool { return s.value("SELECT "+enabled) == "0" || len(answer) > 0 })
		s.do(fmt.Sprintf("KILL %d", c.ID()))
		if err := <-answer; err != nil {
			return err
		}
	}
	t.Fatal("no session was ended in time")
	return nil
}

// What the server applies itself waits for an acknowledgement as everybody's commits do, and
// keeps it from being closed as long.
func TestAnApplierThatAwaitsIsReleased(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		c := b.connect(agentUser)
		b.do("SET GLOBAL read_only = 0")
		source := "rpl_semi_sync_master"
		if kind.flavor == cluster.MySQL {
			source = "rpl_semi_sync_source"
			b.quietly("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
		}
		for _, name := range []string{"_timeout = 3600000", "_enabled = 1"} {
			b.do("SET GLOBAL " + source + name)
		}
		a.do("INSERT INTO app.t (v) VALUES (7)")
		eventually(t, 5*time.Second, "the applier waits", func() bool {
			all, err := c.Sessions(within(t, time.Second))
			must(t, err)
			return slices.ContainsFunc(all, func(s Session) bool { return s.Kind == KindSystem && s.Awaits() })
		})
		if err := c.SetReadOnly(within(t, 5*time.Second), time.Second); !errors.Is(err, ErrLockWait) {
			t.Errorf("closing it beside that: %v", err)
		}
		must(t, c.ReleaseCommits(within(t, 5*time.Second)))
		must(t, c.SetReadOnly(within(t, 5*time.Second), time.Second))
		b.do("SET GLOBAL " + source + "_enabled = 0")
		a.do("INSERT INTO app.t (v) VALUES (7)")
		eventually(t, 5*time.Second, "it goes on", func() bool {
			must(t, c.StartReplication(within(t, 5*time.Second)))
			return rows(b) == "2"
		})
	})
}
