package mysqlnode

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// open makes an open server with a session of the agent on it.
func open(t *testing.T, kind *brand) (*server, *Conn) {
	t.Helper()
	s := startServer(t, kind, 1)
	c := s.connect(agentUser)
	must(t, c.SetWritable(within(t, time.Second)))
	if s.value("SELECT @@global.read_only") != "0" {
		t.Fatal("SetWritable did not open")
	}
	return s, c
}

func TestCloseAndOpen(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c := open(t, kind)
		app := s.app()
		_, err := app.ExecContext(t.Context(), "INSERT INTO t VALUES (2, 2)")
		must(t, err)
		for range 2 {
			must(t, c.SetReadOnly(within(t, 3*time.Second), time.Second))
			if ro, _, err := c.ReadOnly(t.Context()); err != nil || ro != cluster.Yes {
				t.Fatalf("read_only %d, %v", ro, err)
			}
		}
		if _, err := app.ExecContext(t.Context(), "INSERT INTO t VALUES (3, 3)"); err == nil {
			t.Error("a closed server took a write")
		}
		for range 2 {
			must(t, c.SetWritable(within(t, time.Second)))
		}
		_, err = app.ExecContext(t.Context(), "INSERT INTO t VALUES (3, 3)")
		must(t, err)
	})
}

func TestAGivenUpClosingOrderLeavesNothingBehind(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c := open(t, kind)
		app := s.app()
		_, err := app.ExecContext(t.Context(), "LOCK TABLES t WRITE")
		must(t, err)
		waiting := func() string {
			return s.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET GLOBAL%read_only%' AND INFO NOT LIKE 'SELECT%'")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		seen := make(chan struct{})
		go func() {
			defer close(seen)
			eventually(t, 5*time.Second, "the order waits", func() bool { return waiting() == "1" })
		}()
		err = c.SetReadOnly(ctx, time.Minute)
		<-seen
		want(t, err, cluster.CauseAnswerTimeout)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := waiting(); n != "0" {
			t.Errorf("%s closing orders wait on", n)
		}
		_, err = app.ExecContext(t.Context(), "UNLOCK TABLES")
		must(t, err)
		_, err = app.ExecContext(t.Context(), "INSERT INTO t VALUES (2, 2)")
		must(t, err)
		if s.value("SELECT @@global.read_only") != "0" {
			t.Error("the server closed itself after the order was given up")
		}
	})
}

func TestAWithdrawalSparesStrangers(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c, other := s.connect(agentUser), s.connect(agentUser)
		// As after a restart of the server: the number is another session's now.
		lost := &Conn{node: c.node, id: other.ID()}
		must(t, lost.withdraw(t.Context()))
		must(t, other.Ping(within(t, time.Second)))
	})
}

func TestLockWaitThenKillThenRetry(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c := open(t, kind)
		app := s.app()
		_, err := app.ExecContext(t.Context(), "LOCK TABLES t WRITE")
		must(t, err)
		began := time.Now()
		err = c.SetReadOnly(within(t, 5*time.Second), time.Second)
		if !errors.Is(err, ErrLockWait) || CauseOf(err) != cluster.CauseOther {
			t.Fatalf("held up by LOCK TABLES: %v", err)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 3*time.Second {
			t.Errorf("waited %s", took)
		}
		if ro, _, err := c.ReadOnly(t.Context()); err != nil || ro != cluster.No {
			t.Fatalf("read_only %d after a lock wait, %v", ro, err)
		}
		list, err := c.Sessions(t.Context())
		must(t, err)
		for _, v := range list {
			if v.Kind == KindApplication && v.User == appUser {
				must(t, c.Kill(t.Context(), v.ID))
			}
		}
		must(t, c.SetReadOnly(within(t, 5*time.Second), time.Second))
	})
}

func TestAnOpenTransactionDoesNotHoldUpButShows(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c := open(t, kind)
		app := s.app()
		if list, err := c.Writers(t.Context()); err != nil || len(list) != 0 {
			t.Fatalf("writers of an idle server: %v, %v", list, err)
		}
		opened := time.Now()
		_, err := app.ExecContext(t.Context(), "BEGIN")
		must(t, err)
		_, err = app.ExecContext(t.Context(), "SELECT * FROM t")
		must(t, err)
		<-time.After(120 * time.Millisecond)
		if list, err := c.Writers(t.Context()); err != nil || len(list) != 0 {
			t.Fatalf("a reader is listed: %v, %v", list, err)
		}
		_, err = app.ExecContext(t.Context(), "UPDATE t SET v = v + 1")
		must(t, err)
		var w []Writer
		began := time.Now()
		// The server repeats its last answer when asked within 100 ms.
		poll(t, 120*time.Millisecond, 5*time.Second, "the transaction is more than 1.2 s old", func() bool {
			w, err = c.Writers(t.Context())
			must(t, err)
			if lived := time.Since(opened); len(w) == 1 && w[0].Age > lived+100*time.Millisecond {
				t.Fatalf("age %s after %s", w[0].Age, lived)
			}
			return len(w) == 1 && w[0].Age > 1200*time.Millisecond
		})
		if w[0].User != appUser || w[0].ID == 0 {
			t.Errorf("%+v", w[0])
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("an idle transaction of 1.2 s showed after %s", took)
		}
		must(t, c.SetReadOnly(within(t, 5*time.Second), time.Second))
		if _, err := app.ExecContext(t.Context(), "COMMIT"); err == nil {
			t.Error("a commit passed a closed server")
		}
	})
}

func TestAQueuedOrderClosesAHungServerWhenItWakes(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, spare := open(t, kind)
		watch := s.connect(monitorUser)
		s.freeze()
		done, err := spare.QueueReadOnly()
		must(t, err)
		want(t, spare.Ping(within(t, time.Second)), cluster.CauseOther)
		want(t, watch.Ping(within(t, 200*time.Millisecond)), cluster.CauseAnswerTimeout)
		select {
		case err := <-done:
			t.Fatalf("answered while it hung: %v", err)
		default:
		}
		s.signal(syscall.SIGCONT)
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("the order was not carried out")
		}
		// The session is free again, for what follows a closing.
		if ro, _, err := spare.ReadOnly(within(t, time.Second)); err != nil || ro != cluster.Yes {
			t.Errorf("read_only %d, %v", ro, err)
		}
	})
}

func TestAQueuedOrderOutlivesItsSession(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, spare := open(t, kind)
		s.freeze()
		done, err := spare.QueueReadOnly()
		must(t, err)
		must(t, spare.Close())
		if err := <-done; err == nil {
			t.Error("answered without a session")
		}
		if _, err := spare.QueueReadOnly(); err == nil {
			t.Error("a closed session took an order")
		}
		s.signal(syscall.SIGCONT)
		eventually(t, 5*time.Second, "the server has closed itself", func() bool { return s.value("SELECT @@global.read_only") == "1" })
	})
}

func TestAnOpeningOrderThatComesTooLateChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		must(t, c.exec(t.Context(), "limit", c.dialect.limit(20*time.Millisecond)))
		// What a program or server does that is paused between the two steps.
		must(t, c.exec(t.Context(), "pause", "DO SLEEP(0.05)"))
		err := c.openGate(t.Context())
		if !errors.Is(err, ErrTooLate) {
			t.Errorf("late opening: %v", err)
		}
		if s.value("SELECT @@global.read_only") != "1" {
			t.Error("it opened")
		}
		must(t, c.SetWritable(within(t, time.Second)))
	})
}

func TestOpeningNeedsTheRight(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(monitorUser)
		if e := want(t, c.SetWritable(within(t, time.Second)), cluster.CauseOther); e.Number != errSpecificDenied {
			t.Error(e)
		}
		if e := want(t, c.SetReadOnly(within(t, time.Second), time.Second), cluster.CauseOther); e.Number != errSpecificDenied {
			t.Error(e)
		}
	})
}

func TestAGivenUpClosingOrderOfAHungServer(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s, c := open(t, kind)
		s.freeze()
		woken := make(chan struct{})
		go func() {
			defer close(woken)
			<-time.After(400 * time.Millisecond)
			_ = s.cmd.Process.Signal(syscall.SIGCONT)
		}()
		// The order lies unread with the server when it is given up.
		if err := c.SetReadOnly(within(t, 200*time.Millisecond), time.Minute); err == nil {
			t.Error("closed in time")
		}
		<-woken
		eventually(t, 5*time.Second, "no session of ours is left", func() bool {
			return s.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'agent'") == "0"
		})
	})
}

func TestClosingStopsWhoeverWritesThroughReadOnly(t *testing.T) {
	mysql9.need(t)
	s, c := open(t, mysql9)
	s.do("GRANT CONNECTION_ADMIN ON *.* TO app@'127.0.0.1'")
	app := s.app()
	_, err := app.ExecContext(t.Context(), "BEGIN")
	must(t, err)
	_, err = app.ExecContext(t.Context(), "UPDATE t SET v = 7")
	must(t, err)
	must(t, c.SetReadOnly(within(t, 3*time.Second), time.Second))
	if _, err := app.ExecContext(t.Context(), "COMMIT"); err == nil {
		t.Error("a commit passed super_read_only")
	}
	if _, super, err := c.ReadOnly(t.Context()); err != nil || super != cluster.Yes {
		t.Errorf("super_read_only %d, %v", super, err)
	}
	// What was queued is bounded, and the session's own bound is back.
	got, err := c.query(t.Context(), "read", "SELECT @@lock_wait_timeout")
	must(t, err)
	if got[0].rows[0][0].text != "2" {
		t.Errorf("lock_wait_timeout %s", got[0].rows[0][0].text)
	}
}
