package mysqlnode

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const pairLock = "mmm:0123456789abcdef0123456789abcdef"

// take takes a lock that must be free.
func (c *Conn) take(t *testing.T, name string, idle time.Duration) {
	t.Helper()
	l, err := c.TakeLock(t.Context(), name, idle)
	must(t, err)
	if l != (Lock{Mine: true, Holder: c.ID()}) {
		t.Fatalf("took %+v as session %d", l, c.ID())
	}
}

// holder is the session that another sees with the lock.
func (c *Conn) holder(t *testing.T) uint64 {
	t.Helper()
	id, err := c.LockHolder(t.Context(), pairLock)
	must(t, err)
	return id
}

// A closed server, and an account without any privilege.
func TestALockLastsWhileItsSessionIsAsked(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		first, second := s.connect(poorUser), s.connect(poorUser)
		if h := second.holder(t); h != 0 {
			t.Fatalf("session %d has it before anybody", h)
		}
		first.take(t, pairLock, time.Second)
		if h := first.holder(t); h != first.ID() {
			t.Errorf("session %d has it for its own session", h)
		}

		var asked time.Time
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for range 7 {
			<-tick.C
			asked = time.Now()
			must(t, first.Ping(t.Context()))
			l, err := second.TakeLock(t.Context(), pairLock, time.Hour)
			must(t, err)
			if l.Mine || l.Holder != first.ID() {
				t.Fatalf("the other session gets %+v", l)
			}
		}
		eventually(t, 3*time.Second, "the other session gets it", func() bool {
			l, err := second.TakeLock(t.Context(), pairLock, time.Hour)
			must(t, err)
			return l.Mine
		})
		if took := time.Since(asked); took < time.Second || took > 2*time.Second {
			t.Errorf("got it %s after the last question", took)
		}
		select {
		case <-first.Broken():
		case <-time.After(time.Second):
			t.Error("the session with the lock was not ended")
		}
		want(t, first.Ping(t.Context()), cluster.CauseReset)
	})
}

// Whoever did not get it is bound as well, and a fraction of a second counts as a whole one.
func TestTakingALockLimitsTheSession(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		first, second := s.connect(agentUser), s.connect(agentUser)
		first.take(t, pairLock, 1500*time.Millisecond)
		_, err := second.TakeLock(t.Context(), pairLock, 9*time.Second)
		must(t, err)
		for c, seconds := range map[*Conn]int64{first: 2, second: 9} {
			got, err := c.query(t.Context(), "ask", "SELECT @@session.wait_timeout AS seconds")
			must(t, err)
			if n, _ := got[0].row(0).integer("seconds"); n != seconds {
				t.Errorf("ended after %d s, want %d", n, seconds)
			}
		}
	})
}

func TestWhatEndsALock(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		watch := s.connect(agentUser)
		for _, tt := range []struct {
			what string
			do   func(c *Conn)
			ends bool
		}{
			{"KILL QUERY", func(c *Conn) { s.do(fmt.Sprintf("KILL QUERY %d", c.ID())) }, false},
			{"KILL QUERY during a statement", func(c *Conn) {
				ended := make(chan error, 1)
				go func() { ended <- c.exec(t.Context(), "sleep on", "DO SLEEP(20)") }()
				eventually(t, 5*time.Second, "it sleeps", func() bool {
					return s.value(fmt.Sprintf("SELECT COUNT(*) FROM information_schema.processlist WHERE ID = %d AND INFO LIKE '%%SLEEP%%'", c.ID())) == "1"
				})
				s.do(fmt.Sprintf("KILL QUERY %d", c.ID()))
				<-ended // MariaDB gives an error, MySQL an answer
			}, false},
			{"KILL", func(c *Conn) { must(t, watch.Kill(t.Context(), c.ID())) }, true},
			{"a reset", func(c *Conn) { must(t, c.link.SetLinger(0)); must(t, c.link.Close()) }, true},
			{"Close", func(c *Conn) { must(t, c.Close()) }, true},
		} {
			c := s.connect(agentUser)
			c.take(t, pairLock, time.Hour)
			tt.do(c)
			if tt.ends {
				eventually(t, 2*time.Second, "the lock is free after "+tt.what, func() bool { return watch.holder(t) == 0 })
				continue
			}
			must(t, c.Ping(t.Context()))
			if h := watch.holder(t); h != c.ID() {
				t.Errorf("session %d has it after %s", h, tt.what)
			}
			must(t, c.Close())
			eventually(t, 2*time.Second, "the lock is free", func() bool { return watch.holder(t) == 0 })
		}
	})
}

func TestNamesOfLocks(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		long := "mmm:" + strings.Repeat("x", 128)
		for _, name := range []string{pairLock, "mmm:Old-Name", "mmm:old-name", "mmm:it's", `mmm:\`, "mmm:é", "mmm:e", long, long + "y"} {
			s.connect(agentUser).take(t, name, time.Hour)
		}
		if s.value("SELECT IS_USED_LOCK('"+pairLock+"')") == "" {
			t.Error("a plain name is not kept")
		}
	})
}

func TestIdleIsNeverTooMuch(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		holder, watch := s.connect(agentUser), s.connect(agentUser)
		holder.take(t, pairLock, time.Hour)
		for range 2 {
			asked := time.Now()
			must(t, holder.Ping(t.Context()))
			eventually(t, 10*time.Second, "2 s are told", func() bool {
				l, err := watch.TakeLock(t.Context(), pairLock, time.Hour)
				must(t, err)
				if took := time.Since(asked); l.Holder != holder.ID() || l.Idle > took || took > l.Idle+3*time.Second {
					t.Fatalf("%s after the last question: %+v", took, l)
				}
				return l.Idle == 2*time.Second
			})
		}
	})
}

func TestALockOnAServerThatWasStopped(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		quiet, asked, watch := s.connect(agentUser), s.connect(agentUser), s.connect(agentUser)
		asked.take(t, "mmm:asked", 2*time.Second)
		quiet.take(t, pairLock, 2*time.Second)
		<-time.After(time.Second) // of the time of both
		s.freeze()
		answer := make(chan error, 1)
		go func() { answer <- asked.Ping(t.Context()) }()
		<-time.After(1500 * time.Millisecond)
		s.signal(syscall.SIGCONT)
		woken := time.Now()
		if err := <-answer; err != nil {
			t.Errorf("a question that waited came too late: %v", err)
		}
		poll(t, time.Millisecond, 3*time.Second, "the lock is free", func() bool { return watch.holder(t) == 0 })
		// MySQL gives the second that was left.
		if took := time.Since(woken); kind == mysql9 && took < 900*time.Millisecond || took > 1500*time.Millisecond || kind == mariadb && took > 500*time.Millisecond {
			t.Errorf("free %s after the wake", took)
		}
	})
}
