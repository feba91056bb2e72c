package mysql

import (
	"slices"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const now = time.Hour

// both runs a test on each flavor.
func both(t *testing.T, test func(t *testing.T, f cluster.Flavor)) {
	for _, f := range []cluster.Flavor{cluster.MariaDB, cluster.MySQL} {
		t.Run(string(f), func(t *testing.T) { test(t, f) })
	}
}

// server makes one that is open.
func server(f cluster.Flavor, edit ...func(*Options)) *Server {
	o := Options{Addr: "10.0.0.1:3306", ID: 1, Flavor: f, Accounts: []cluster.Account{{User: "app", Host: "%"}}}
	for _, e := range edit {
		e(&o)
	}
	s := New(o)
	s.Start(now)
	return s
}

func login(t *testing.T, s *Server, user string) *Session {
	t.Helper()
	x, err := s.Login(user, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// outcomes notes what is answered, by name and in order.
type outcomes []string

func (o *outcomes) of(name string) func(Outcome) {
	return func(r Outcome) {
		*o = append(*o, name+" "+[...]string{"acknowledged", "refused", "unknown"}[r.Result])
	}
}

func (o *outcomes) err(name string) func(error) {
	return func(err error) {
		text := " done"
		if err != nil {
			text = " " + err.Error()[:11]
		}
		*o = append(*o, name+text)
	}
}

func (o *outcomes) are(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*o, want) {
		t.Errorf("%q, want %q", []string(*o), want)
	}
	*o = nil
}

func TestClosingWaitsForARunningWrite(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		a, b, m := login(t, s, "app"), login(t, s, "app"), login(t, s, "mmm")
		var got outcomes
		a.Write(now, 1, 6*time.Second, got.of("long"))
		m.SetReadOnly(now+time.Second, time.Second, got.err("first"))
		b.Write(now+time.Second, 2, 0, got.of("behind"))
		got.are(t)
		s.Advance(now + 2*time.Second)
		got.are(t, "first Error 1205:", "behind acknowledged")
		m.SetReadOnly(now+3*time.Second, 30*time.Second, got.err("second"))
		b.Write(now+3*time.Second, 3, 0, got.of("behind"))
		if due := s.Due(); due != now+6*time.Second {
			t.Errorf("due at %s", due-now)
		}
		s.Advance(now + 6*time.Second)
		got.are(t, "long acknowledged", "second done", "behind refused")
		if s.Open() || !s.Has(1) || !s.Has(2) || s.Has(3) {
			t.Errorf("open %v, rows %v %v %v", s.Open(), s.Has(1), s.Has(2), s.Has(3))
		}
	})
}

func TestAnOpenTransactionDoesNotHoldUpClosing(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		a, m := login(t, s, "app"), login(t, s, "mmm")
		var got outcomes
		a.Begin(now)
		a.Write(now, 1, 0, got.of("write"))
		m.SetReadOnly(now, time.Second, got.err("close"))
		a.Commit(now, got.of("commit"))
		got.are(t, "write acknowledged", "close done", "commit refused")
		if s.Has(1) || a.InTransaction() {
			t.Error("the transaction was not rolled back")
		}
	})
}

func TestTheClientOfAWaitingOrderIsGone(t *testing.T) {
	for f, closed := range map[cluster.Flavor]bool{cluster.MariaDB: false, cluster.MySQL: true} {
		s := server(f)
		a, m := login(t, s, "app"), login(t, s, "mmm")
		var got outcomes
		a.LockTables(now, got.of("lock"))
		m.SetReadOnly(now, time.Minute, got.err("close"))
		s.Hangup(now, m)
		a.UnlockTables(now)
		if s.Open() == closed {
			t.Errorf("%s: open %v", f, s.Open())
		}
		if !m.Ended() {
			t.Errorf("%s: the session outlives its statement", f)
		}
	}
}

func TestATableLockHoldsUpTheWritesOfOthers(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		a, b := login(t, s, "app"), login(t, s, "app")
		var got outcomes
		b.Begin(now)
		b.Write(now, 1, 0, got.of("earlier"))
		a.LockTables(now, got.of("lock"))
		got.are(t, "earlier acknowledged")
		b.Commit(now, got.of("commit"))
		got.are(t, "commit acknowledged", "lock acknowledged")
		b.Write(now, 2, 0, got.of("other"))
		a.Write(now, 3, 0, got.of("holder"))
		got.are(t, "holder acknowledged")
		a.UnlockTables(now)
		got.are(t, "other acknowledged")
	})
}

func TestKillsCutWhatASessionDoes(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		var got outcomes
		ended := 0
		a, err := s.Login("app", false, func() { ended++ })
		if err != nil {
			t.Fatal(err)
		}
		a.Write(now, 1, time.Second, got.of("write"))
		if err := s.KillSession(now, a.ID()); err != nil {
			t.Fatal(err)
		}
		got.are(t, "write unknown")
		if s.Has(1) || ended != 1 || s.Due() != Never {
			t.Errorf("row %v, ended %d, due %s", s.Has(1), ended, s.Due())
		}
		if s.KillSession(now, a.ID()) == nil {
			t.Error("killed twice")
		}
	})
}

func TestACommitWaitsForItsAcknowledgement(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f, func(o *Options) { o.AckWait = 5 * time.Second })
		a, b, m := login(t, s, "app"), login(t, s, "app"), login(t, s, "mmm")
		var got outcomes
		a.Write(now, 1, 0, got.of("first"))
		m.SetReadOnly(now, time.Second, got.err("close"))
		s.Advance(now + time.Second)
		got.are(t, "close Error 1205:")
		s.Acknowledged(now, 1)
		got.are(t, "first acknowledged")
		a.Write(now, 2, 0, got.of("second"))
		s.Advance(now + 5*time.Second)
		b.Write(now, 3, 0, got.of("third"))
		got.are(t, "second acknowledged", "third acknowledged")
		s.Acknowledged(now, 3)
		a.Write(now, 4, 0, got.of("fourth"))
		if err := s.KillSession(now, a.ID()); err != nil {
			t.Fatal(err)
		}
		got.are(t, "fourth unknown")
		if !s.Has(4) {
			t.Error("a commit whose session was killed while it waited is gone")
		}
		m.SetReadOnly(now, time.Second, got.err("close"))
		if f == cluster.MariaDB {
			got.are(t, "close done")
			return
		}
		s.Advance(now + time.Second)
		got.are(t, "close Error 1205:") // MySQL waits on for whom it has cut off
		m.SetReadOnly(now, time.Second, got.err("close"))
		login(t, s, "mmm").ReleaseCommits(now, got.err("release"))
		got.are(t, "close done")
		if !a.Ended() || s.Open() {
			t.Errorf("ended: %v, open: %v", a.Ended(), s.Open())
		}
		login(t, s, "mmm").ReleaseCommits(now, got.err("second release"))
		if s.Awaits() {
			t.Error("commits wait while waits are released")
		}
		s.AwaitCommits(now)
		if !s.Awaits() {
			t.Error("commits do not wait since they were told to, while waits are released")
		}
		s.Advance(now + releaseFor)
		got.are(t, "release done", "second release done")
	})
}

// What the applier commits waits as everybody's does: it is in the binary log alone, and keeps the server open.
func TestWhatIsAppliedWaitsForItsAcknowledgement(t *testing.T) {
	begin := func(t *testing.T, f cluster.Flavor) (*Server, *Session) {
		t.Helper()
		a, b, _ := pair(t, f)
		m := login(t, b, "mmm")
		m.Limit(now, time.Second)
		if err := m.SetWritable(now); err != nil {
			t.Fatal(err)
		}
		b.AwaitCommits(now)
		m.StopThreads(now, true, true, func(error) {})
		m.StartThreads(now, true, true, func(error) {})
		receive(t, a, b)
		if !b.ApplyOne(now) || b.ApplyOne(now) {
			t.Fatal("not one is applied")
		}
		if len(b.History()) != 1 || rowsOf(b) != 0 || len(b.Received()) != 3 || b.waiting() != 1 {
			t.Fatalf("%d in the binary log, %d rows, %d received, %d wait", len(b.History()), rowsOf(b), len(b.Received()), b.waiting())
		}
		if got := b.Observe(now, nil, "", "").Executed; (f == cluster.MySQL) != (got == "") {
			t.Errorf("executed %q", got)
		}
		return b, m
	}
	applied := func(t *testing.T, b *Server, rows int, sql cluster.Thread) {
		t.Helper()
		if ch := b.Channel(now); rowsOf(b) != rows || ch.SQL != sql || ch.SQLErrno != 0 || len(b.Received()) != 3-rows {
			t.Errorf("%d rows, SQL %s %d, %d received", rowsOf(b), ch.SQL, ch.SQLErrno, len(b.Received()))
		}
	}
	both(t, func(t *testing.T, f cluster.Flavor) {
		var got outcomes
		b, m := begin(t, f)
		m.SetReadOnly(now, time.Second, got.err("close"))
		b.Advance(now + time.Second)
		got.are(t, "close Error 1205:")
		b.Acknowledged(now, 1)
		applied(t, b, 1, "Yes")

		b, m = begin(t, f)
		m.StopThreads(now, true, true, got.err("stop"))
		login(t, b, "mmm").StartThreads(now, true, false, got.err("start"))
		got.are(t)
		if ch := b.Channel(now); ch.IO != "Yes" || ch.SQL != "Yes" || !m.Stopping() {
			t.Errorf("IO %s, SQL %s, stopping %v", ch.IO, ch.SQL, m.Stopping())
		}
		b.LetCommitsGo(now, false)
		if f == cluster.MySQL { // MariaDB has thrown away the rest
			applied(t, b, 1, "No")
		}
		got.are(t, "stop done", "start done")

		b, m = begin(t, f)
		m.LockTables(now, got.of("lock"))
		root := login(t, b, Root)
		root.Write(now, 9, 0, got.of("write"))
		got.are(t)
		id, _ := b.Applier()
		if err := b.KillSession(now, id); err != nil {
			t.Fatal(err)
		}
		if f == cluster.MySQL {
			if _, awaits := b.Applier(); !awaits {
				t.Error("a killed applier does not wait on")
			}
			login(t, b, "mmm").ReleaseCommits(now, got.err("release"))
			got.are(t, "lock acknowledged", "write acknowledged")
			if rowsOf(b) != 2 || b.ApplyOne(now) {
				t.Errorf("%d rows, or applied under a table lock", rowsOf(b))
			}
		} else {
			got.are(t, "lock acknowledged")
			if ch := b.Channel(now); rowsOf(b) != 2 || ch.SQL != "No" || ch.SQLErrno != 0 {
				t.Errorf("%d rows, SQL %s %d", rowsOf(b), ch.SQL, ch.SQLErrno)
			}
		}

		b, _ = begin(t, f)
		b.Kill(now)
		if rowsOf(b) != 1 || len(b.Received()) != 2 {
			t.Errorf("%d rows, %d received after a crash", rowsOf(b), len(b.Received()))
		}
		b.Start(now)
		if _, awaits := b.Applier(); awaits || b.Observe(now, nil, "", "").Executed == "" {
			t.Errorf("the applier awaits: %v", awaits)
		}
	})
}

// An epoch row that the applier waits with is locked.
func TestAnEpochRowThatAwaitsIsLocked(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		a, b, _ := pair(t, f)
		login(t, a, "mmm").WriteMark(now, "mmm.epoch", "u", cluster.Mark{Epoch: 3}, func(error) {})
		m, n := login(t, b, "mmm"), login(t, b, "mmm")
		m.StopThreads(now, true, true, func(error) {})
		m.StartThreads(now, true, true, func(error) {})
		receive(t, a, b)
		for len(b.Received()) > 1 {
			b.ApplyOne(now)
		}
		b.AwaitCommits(now)
		b.ApplyOne(now)
		m.Limit(now, time.Second)
		if err := m.SetWritable(now); err != nil {
			t.Fatal(err)
		}
		var got outcomes
		write := func(x *Session) {
			x.WriteMark(now, "mmm.epoch", "u", cluster.Mark{Epoch: 3, Active: "elsewhere:1"}, got.err("mark"))
		}
		write(m)
		b.Advance(now + 2*time.Second)
		got.are(t, "mark Error 1205:")
		write(n)
		b.LetCommitsGo(now, false)
		got.are(t, "mark done")
		if got := b.MarkOf("mmm.epoch", "u"); got.Active != "" {
			t.Errorf("%+v", got)
		}
	})
}

// A server that is started anew is as its option file says, whatever an agent had it wait for.
func TestCommitsWaitForEverUntilAStart(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f, func(o *Options) { o.AckWait = 5 * time.Second })
		var got outcomes
		login(t, s, "app").Write(now, 1, 0, got.of("first"))
		s.AwaitCommits(now)
		got.are(t, "first acknowledged")
		waiting := login(t, s, "app")
		waiting.Write(now, 2, 0, got.of("second"))
		s.AwaitCommits(now)
		s.Advance(now + time.Minute)
		got.are(t)
		if !s.Awaits() || s.waiting() != 1 {
			t.Errorf("awaits: %v, %d wait", s.Awaits(), s.waiting())
		}
		s.Kill(now)
		got.are(t, "second unknown")
		s.opt.AckWait = 0
		s.Start(now)
		if login(t, s, "app").Write(now, 3, 0, got.of("third")); s.Awaits() {
			t.Error("commits wait after a start")
		}
		got.are(t, "third acknowledged")
	})
}

func TestOrdersThatOpenAreVoidAfterTheirTime(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f, func(o *Options) { o.ReadOnly, o.SuperReadOnly = true, true })
		m := login(t, s, "mmm")
		m.Limit(now, 2*time.Second)
		if err := m.SetWritable(now + 2*time.Second); err == nil || s.Open() {
			t.Errorf("opened too late: %v", err)
		}
		if err := m.SetWritable(now + time.Second); err != nil || !s.Open() {
			t.Errorf("not opened: %v", err)
		}
	})
}

func TestLockedAccountsDoNotLogIn(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		a, m := login(t, s, "app"), login(t, s, "mmm")
		if err := m.AlterAccounts([]cluster.Account{{User: "app", Host: "%"}}, true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Login("app", false, nil); err == nil {
			t.Error("a locked account logs in")
		}
		var got outcomes
		a.Write(now, 1, 0, got.of("write"))
		got.are(t, "write acknowledged")
		if len(s.History()) != 1 {
			t.Error("the lock is in the binary log")
		}
	})
}

// pair makes an open source and its replica, which receives and does not apply.
func pair(t *testing.T, f cluster.Flavor, edit ...func(*Options)) (a, b *Server, m *Session) {
	t.Helper()
	a = server(f)
	b = server(f, append(edit, func(o *Options) { o.ID, o.ReadOnly, o.SuperReadOnly = 2, true, true })...)
	b.Replicate(a.Addr(), time.Second)
	m = login(t, b, "mmm")
	m.StartThreads(now, true, false, func(error) {})
	receive(t, a, b)
	x := login(t, a, "app")
	for row := range uint64(3) {
		x.Write(now, row, 0, func(Outcome) {})
	}
	return a, b, m
}

// receive connects b's receiver to a and receives all.
func receive(t *testing.T, a, b *Server) {
	t.Helper()
	n, dialling := b.Attempt()
	if !dialling {
		t.Fatal("the receiver does not dial")
	}
	d, err := a.Dump(b.Hello())
	if err != nil {
		t.Fatal(err)
	}
	b.Joined(now, n)
	for tx := d.Next(); tx != nil; tx = d.Next() {
		b.Receive(n, tx)
	}
}

func rowsOf(s *Server) (n int) {
	for row := range uint64(10) {
		n += s.Count(row)
	}
	return n
}

func TestWhatARelayLogOutlasts(t *testing.T) {
	stops := map[string]func(*Server, *Session){
		"both threads stopped": func(b *Server, m *Session) { m.StopThreads(now, true, false, func(error) {}) },
		"killed":               func(b *Server, m *Session) { b.Kill(now); b.Start(now) },
	}
	recovery := func(on bool) func(*Options) { return func(o *Options) { o.RelayLogRecovery = on } }
	for _, c := range []struct {
		f        cluster.Flavor
		recovery bool
		stop     string
		rows     int
	}{
		{cluster.MariaDB, false, "both threads stopped", 0},
		{cluster.MariaDB, false, "killed", 0},
		{cluster.MySQL, false, "both threads stopped", 3},
		{cluster.MySQL, true, "both threads stopped", 3},
		{cluster.MySQL, false, "killed", 3},
		{cluster.MySQL, true, "killed", 0},
	} {
		a, b, m := pair(t, c.f, recovery(c.recovery))
		n, _ := b.Attempt()
		d, err := a.Dump(b.Hello())
		if err != nil {
			t.Fatal(err)
		}
		for tx := d.Next(); tx != nil; tx = d.Next() {
			b.Receive(n, tx)
		}
		if got := b.Channel(now).Received; got == "" || rowsOf(b) != 0 {
			t.Fatalf("%v: received %q, %d rows", c, got, rowsOf(b))
		}
		a.Kill(now)
		stops[c.stop](b, m)
		if m.Ended() {
			m = login(t, b, "mmm")
		}
		m.StartThreads(now, false, true, func(error) {})
		for b.ApplyOne(now) {
		}
		if got := rowsOf(b); got != c.rows {
			t.Errorf("%v: %d rows, want %d", c, got, c.rows)
		}
	}
}

func TestStoppingAReceiverWhoseSourceHangs(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		b := server(f)
		b.Replicate("10.0.0.2:3306", time.Second)
		m, other := login(t, b, "mmm"), login(t, b, "mmm")
		var got outcomes
		m.StartThreads(now, true, true, got.err("start"))
		n, _ := b.Attempt()
		m.StopThreads(now, true, false, got.err("stop"))
		other.StartThreads(now, true, false, got.err("start again"))
		got.are(t, "start done")
		if !m.Stopping() || b.Channel(now).IO != cluster.ThreadConnecting {
			t.Errorf("stopping %v, IO %s", m.Stopping(), b.Channel(now).IO)
		}
		b.Joined(now, n)
		got.are(t, "stop done", "start again done")
		if again, dialling := b.Attempt(); again == n || !dialling {
			t.Errorf("attempt %d after %d, dialling %v", again, n, dialling)
		}
	})
}

func TestATableLockHoldsUpTheApplier(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		a, b, m := pair(t, f)
		if err := b.KillSession(now, m.ID()); err != nil {
			t.Fatal(err)
		}
		m = login(t, b, "mmm")
		m.LockTables(now, func(Outcome) {})
		if f == cluster.MySQL { // super_read_only refuses the lock
			m.Limit(now, time.Second)
			if err := m.Unseal(now); err != nil {
				t.Fatal(err)
			}
			m.LockTables(now, func(Outcome) {})
		}
		x := login(t, b, "mmm")
		x.StopThreads(now, true, true, func(error) {})
		x.StartThreads(now, true, true, func(error) {})
		receive(t, a, b)
		if b.ApplyOne(now) {
			t.Error("applied under a table lock")
		}
		told := false
		b.Relayed = func() { told = true }
		if err := b.KillSession(now, m.ID()); err != nil {
			t.Fatal(err)
		}
		if !told || !b.ApplyOne(now) || rowsOf(b) != 1 {
			t.Errorf("told %v, %d rows", told, rowsOf(b))
		}
	})
}

func TestMarksAreRaisedAndReplicate(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		a, b, _ := pair(t, f)
		x := login(t, a, "mmm")
		m := cluster.Mark{Epoch: 3, Active: "10.0.0.1:3306"}
		before := len(a.History())
		for _, mark := range []cluster.Mark{m, {Epoch: 2, Active: "elsewhere:1"}, {Epoch: 3, Active: "elsewhere:1"}} {
			x.WriteMark(now, "mmm.epoch", "u", mark, func(err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if n := len(a.History()) - before; n != 3 {
			t.Errorf("%d transactions: schema, table and row are three, a repetition none", n)
		}
		y := login(t, b, "mmm")
		y.StopThreads(now, true, true, func(error) {})
		y.StartThreads(now, true, true, func(error) {})
		receive(t, a, b)
		for b.ApplyOne(now) {
		}
		if got := b.Observe(now, nil, "mmm.epoch", "u").Mark; got != m {
			t.Errorf("%+v", got)
		}
	})
}

// Where each server has made the row itself, neither applies that of the other.
func TestARowThatBothHaveMadeStopsTheApplier(t *testing.T) {
	a, b, _ := pair(t, cluster.MySQL)
	for _, s := range []*Server{a, b} {
		x := login(t, s, "mmm")
		x.Limit(now, time.Second)
		if err := x.SetWritable(now); err != nil {
			t.Fatal(err)
		}
		x.WriteMark(now, "mmm.epoch", "u", cluster.Mark{Epoch: 3, Active: s.Addr()}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	m := login(t, b, "mmm")
	m.StopThreads(now, true, true, func(error) {})
	m.StartThreads(now, true, true, func(error) {})
	receive(t, a, b)
	for b.ApplyOne(now) {
	}
	if ch := b.Channel(now); ch.SQL != cluster.ThreadNo || ch.SQLErrno != ErrDuplicate {
		t.Errorf("%+v", ch)
	}
	if got := b.MarkOf("mmm.epoch", "u"); got.Active != b.Addr() {
		t.Errorf("%+v", got)
	}
}

func TestDivergedServersOfMariaDBStopApplying(t *testing.T) {
	a, b, _ := pair(t, cluster.MariaDB)
	root := login(t, b, Root)
	root.Write(now, 9, 0, func(Outcome) {})
	x := login(t, b, "mmm")
	x.StopThreads(now, true, true, func(error) {})
	x.StartThreads(now, true, true, func(error) {})
	receive(t, a, b)
	b.ApplyOne(now)
	if ch := b.Channel(now); ch.SQL != cluster.ThreadNo || ch.SQLErrno != ErrOutOfOrder {
		t.Errorf("%+v", ch)
	}
}

func TestOwnTransactionsThatComeBack(t *testing.T) {
	a, b, _ := pair(t, cluster.MariaDB)
	m := login(t, b, "mmm")
	m.StopThreads(now, true, true, func(error) {})
	m.StartThreads(now, true, true, func(error) {})
	receive(t, a, b)
	for b.ApplyOne(now) {
	}
	// What the source wrote itself comes back and moves its position.
	a.Replicate(b.Addr(), time.Second)
	ma := login(t, a, "mmm")
	ma.StartThreads(now, true, true, func(error) {})
	receive(t, b, a)
	position := func(want pos) {
		t.Helper()
		for a.ApplyOne(now) {
		}
		if a.ch.applied != want {
			t.Errorf("at %s, want %s", a.ch.applied, want)
		}
	}
	position(pos{1, 3})
	app := login(t, a, "app")
	// round has a's next row come back, with one of b's behind it.
	round := func(row uint64, between func()) {
		t.Helper()
		ma.StopThreads(now, true, true, func(error) {})
		app.Write(now, row, 0, func(Outcome) {})
		m.StopThreads(now, true, true, func(error) {})
		m.StartThreads(now, true, true, func(error) {})
		receive(t, a, b)
		for b.ApplyOne(now) {
		}
		between()
		login(t, b, Root).Write(now, row+1, 0, func(Outcome) {})
		ma.StartThreads(now, true, true, func(error) {})
		receive(t, b, a)
	}
	round(4, func() {})
	position(pos{2, 5})
	// What cannot be applied keeps what came before it from being noted.
	round(6, func() { app.Write(now, 8, 0, func(Outcome) {}) })
	position(pos{2, 5})
	if ch := a.Channel(now); ch.SQLErrno != ErrOutOfOrder || ch.Received != "0-2-7" {
		t.Errorf("%+v", ch)
	}
}

func TestSamplesAreNeverStale(t *testing.T) {
	both(t, func(t *testing.T, f cluster.Flavor) {
		s := server(f)
		x := login(t, s, "app")
		first := s.Observe(now, nil, "", "")
		x.Write(now, 1, 0, func(Outcome) {})
		if second := s.Observe(now, nil, "", ""); second.Executed == first.Executed || second.Executed == "" {
			t.Errorf("executed %q, then %q", first.Executed, second.Executed)
		}
		if got := s.Observe(now, []string{"app"}, "", ""); got.Sessions != 0 || got.Users != nil {
			t.Errorf("excluded: %d, %v", got.Sessions, got.Users)
		}
		if got := s.Observe(now+3*time.Second, nil, "", ""); got.Sessions != 1 || !slices.Equal(got.Users, []string{"app"}) || got.UptimeS != 3 {
			t.Errorf("%d sessions of %v, up %d s", got.Sessions, got.Users, got.UptimeS)
		}
		y := login(t, s, "app")
		if got := s.Observe(now, nil, "", ""); got.Sessions != 2 {
			t.Errorf("%d sessions after a log-in", got.Sessions)
		}
		s.Hangup(now, x)
		s.Hangup(now, y)
		if got := s.Observe(now, nil, "", ""); got.Sessions != 0 || got.Users != nil {
			t.Errorf("after the last has left: %d, %v", got.Sessions, got.Users)
		}
	})
}
