package mysqlnode

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// odd are names of accounts that are hard to quote.
var odd = []string{`o'b\c@d"`, "naïve 漢字", "`tick; DROP TABLE t; --", "", "%_", "CamelCase"}

const here = "127.0.0.1"

func oddAccounts() (list []cluster.Account) {
	for _, name := range odd {
		list = append(list, cluster.Account{User: name, Host: here})
	}
	return list
}

// login logs in as an account does that knows its password, and returns the server's answer.
func (s *server) login(user, password string) uint16 {
	s.t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = user, password, "tcp", string(s.addr())
	connector, err := mysql.NewConnector(c)
	must(s.t, err)
	db := sql.OpenDB(connector)
	defer db.Close()
	err = db.PingContext(within(s.t, 5*time.Second))
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return answer.Number
	}
	must(s.t, err)
	return 0
}

// admits checks who may log in.
func (s *server) admits(want bool, users ...string) {
	s.t.Helper()
	for _, user := range users {
		n := s.login(user, "pw")
		if want && n != 0 || !want && n != errAccountLocked && n != errAccountLockedMariaDB {
			s.t.Errorf("%q logs in: answer %d, want %v", user, n, want)
		}
	}
}

// unmoved checks at its end that a session is as it was and the server too.
func (s *server) unmoved(c *Conn) func() {
	s.t.Helper()
	before := s.position()
	readOnly, super := s.closed()
	return func() {
		s.t.Helper()
		if after := s.position(); after != before {
			s.t.Errorf("position %q was %q", after, before)
		}
		if r, u := s.closed(); r != readOnly || u != super {
			s.t.Errorf("read_only %v, super_read_only %v; were %v, %v", r, u, readOnly, super)
		}
		got, err := c.query(s.t.Context(), "read sql_log_bin of", "SELECT @@sql_log_bin")
		must(s.t, err)
		if got[0].rows[0][0].text != "1" {
			s.t.Error("sql_log_bin stays off")
		}
	}
}

// state finds an account in the list.
func state(t *testing.T, c *Conn, user string) cluster.AccountState {
	t.Helper()
	list, err := c.Accounts(t.Context())
	must(t, err)
	if !slices.IsSortedFunc(list, func(a, b cluster.AccountState) int { return a.Account.Compare(b.Account) }) {
		t.Errorf("not sorted: %v", list)
	}
	for _, a := range list {
		if a.Account == (cluster.Account{User: user, Host: here}) {
			return a
		}
		if a.Account.User == "keeper" {
			t.Errorf("a role is listed: %+v", a)
		}
	}
	t.Fatalf("%q is not listed: %+v", user, list)
	return cluster.AccountState{}
}

func TestAccountsAreLockedAndReleased(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.quietly("CREATE ROLE keeper")
		for _, name := range odd {
			s.quietly("CREATE USER " + account(name, here) + " IDENTIFIED BY 'pw'")
		}
		c := s.connect(agentUser)
		gone := cluster.Account{User: "gone", Host: "%"}
		for _, open := range []bool{false, true} {
			if open {
				s.do("SET GLOBAL read_only = 0")
			}
			s.admits(true, odd...)
			still := s.unmoved(c)
			for range 2 {
				must(t, c.LockAccounts(within(t, 5*time.Second), append(oddAccounts(), gone)))
				still()
			}
			s.admits(false, odd...)
			s.admits(true, appUser)
			var states []cluster.AccountState
			for _, name := range odd {
				a := state(t, c, name)
				if !a.Locked || a.Reversed {
					t.Errorf("locked: %+v", a)
				}
				states = append(states, a)
			}
			for range 2 {
				must(t, c.ReleaseAccounts(within(t, 5*time.Second), append(states, cluster.AccountState{Account: gone, Locked: true, Reversed: true})))
				still()
			}
			s.admits(true, odd...)
			if a := state(t, c, odd[0]); a.Locked {
				t.Errorf("released: %+v", a)
			}
		}
	})
}

func TestLockedAccountsKeepTheirSessions(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		c, app := s.connect(agentUser), s.app()
		must(t, c.LockAccounts(within(t, 5*time.Second), []cluster.Account{{User: appUser, Host: here}}))
		_, err := app.ExecContext(t.Context(), "INSERT INTO t VALUES (2, 2)")
		must(t, err)
		s.admits(false, appUser)
	})
}

func TestAccountsWithoutTheRight(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		app := []cluster.Account{{User: appUser, Host: here}}
		refusal := func(what string, err error) {
			t.Helper()
			if !Refused(err) {
				t.Errorf("%s: %v", what, err)
			}
			s.admits(true, appUser)
			if r, super := s.closed(); !r || super != (kind.flavor == cluster.MySQL) {
				t.Errorf("%s: read_only %v, super_read_only %v", what, r, super)
			}
		}
		poor := s.connect(poorUser)
		_, err := poor.Accounts(t.Context())
		refusal("list", err)
		refusal("without sql_log_bin", poor.LockAccounts(t.Context(), app))

		s.quietly("REVOKE CREATE USER ON *.* FROM agent@'127.0.0.1'")
		c := s.connect(agentUser)
		still := s.unmoved(c)
		refusal("without CREATE USER", c.LockAccounts(t.Context(), app))
		still()

		through := "CONNECTION_ADMIN"
		if kind.flavor == cluster.MariaDB {
			through = "READ_ONLY ADMIN"
		}
		s.quietly("GRANT CREATE USER ON *.* TO agent@'127.0.0.1'", "REVOKE "+through+" ON *.* FROM agent@'127.0.0.1'")
		c = s.connect(agentUser)
		still = s.unmoved(c)
		refusal("without the right to write through read_only", c.LockAccounts(t.Context(), app))
		still()
		if Refused(nil) || Refused(errors.New("other")) || Refused(c.fault("x", ErrTooLate)) {
			t.Error("what is no refusal counts as one")
		}
	})
}

func TestOneAccountOutOfReachDoesNotSaveTheOthers(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	s.quietly("CREATE USER high@'127.0.0.1' IDENTIFIED BY 'pw'", "GRANT SYSTEM_USER ON *.* TO high@'127.0.0.1'")
	c := s.connect(agentUser)
	still := s.unmoved(c)
	err := c.LockAccounts(t.Context(), []cluster.Account{{User: "high", Host: here}, {User: appUser, Host: here}, {User: poorUser, Host: here}})
	if !Refused(err) || !strings.Contains(err.Error(), "'high'@'127.0.0.1'") || strings.Contains(err.Error(), appUser+"'") {
		t.Errorf("%v", err)
	}
	still()
	s.admits(true, "high")
	s.admits(false, appUser, poorUser)
}

// hold keeps account statements from going on until it is undone.
func (s *server) hold() (undo func()) {
	s.t.Helper()
	if s.flavor == cluster.MySQL {
		s.do("LOCK INSTANCE FOR BACKUP")
		return func() { s.do("UNLOCK INSTANCE") }
	}
	s.do("FLUSH TABLES WITH READ LOCK")
	return func() { s.do("UNLOCK TABLES") }
}

func TestAGivenUpLockLeavesNothingBehind(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		before := s.position()
		undo := s.hold()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		want(t, c.LockAccounts(ctx, []cluster.Account{{User: appUser, Host: here}}), cluster.CauseAnswerTimeout)
		if r, super := s.closed(); !r || super != (kind.flavor == cluster.MySQL) {
			t.Errorf("read_only %v, super_read_only %v", r, super)
		}
		if n := s.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER%'"); n != "0" {
			t.Errorf("%s orders are left", n)
		}
		if err := c.Ping(within(t, time.Second)); err == nil {
			t.Error("the session goes on")
		}
		undo()
		s.admits(true, appUser)

		if kind.flavor == cluster.MariaDB {
			return // its lock_wait_timeout does not end this wait
		}
		// The server gives up by itself before that: the session is as good as before.
		c = s.connect(agentUser)
		still := s.unmoved(c)
		undo = s.hold()
		if e := want(t, c.LockAccounts(within(t, 10*time.Second), []cluster.Account{{User: appUser, Host: here}}), cluster.CauseOther); e.Number != errLockWait {
			t.Error(e)
		}
		undo()
		still()
		if s.position() != before {
			t.Error("the position moved")
		}
	})
}

func TestAKilledLockIsSealedAgain(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	c := s.connect(agentUser)
	undo := s.hold()
	done := make(chan error, 1)
	go func() { done <- c.LockAccounts(context.Background(), []cluster.Account{{User: appUser, Host: here}}) }()
	eventually(t, 5*time.Second, "the statement waits, unsealed", func() bool {
		_, super := s.closed()
		return !super && s.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER USER%'") == "1"
	})
	s.do(fmt.Sprintf("KILL %d", c.ID()))
	if err := <-done; err == nil {
		t.Error("no error")
	}
	if r, super := s.closed(); !r || !super {
		t.Errorf("read_only %v, super_read_only %v", r, super)
	}
	undo()
	s.admits(true, appUser)
}

func TestAServerOpenedMeanwhileIsNotSealed(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	c := s.connect(agentUser)
	err := c.unlogged(t.Context(), "test on", func() error { s.do("SET GLOBAL read_only = 0"); return nil })
	if r, super := s.closed(); r || super || err == nil {
		t.Errorf("read_only %v, super_read_only %v, %v", r, super, err)
	}
}

func TestUnseal(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		c := s.connect(agentUser)
		for range 2 {
			must(t, c.Unseal(within(t, time.Second)))
			if r, super := s.closed(); !r || super {
				t.Errorf("read_only %v, super_read_only %v", r, super)
			}
		}
		if kind.flavor == cluster.MariaDB {
			return
		}
		must(t, c.SetReadOnly(within(t, 3*time.Second), time.Second))
		if _, super := s.closed(); !super {
			t.Fatal("not sealed")
		}
		must(t, c.exec(t.Context(), "limit", c.dialect.limit(20*time.Millisecond)))
		must(t, c.exec(t.Context(), "pause", "DO SLEEP(0.05)"))
		if err := tooLate(c.exec(t.Context(), "unseal", c.dialect.unsealing())); !errors.Is(err, ErrTooLate) {
			t.Errorf("late: %v", err)
		}
		if _, super := s.closed(); !super {
			t.Error("a late order unsealed the server")
		}
		if e := want(t, s.connect(monitorUser).Unseal(within(t, time.Second)), cluster.CauseOther); !Refused(e) {
			t.Error(e)
		}
	})
}

// The predecessor's hash of "pw".
const turnedPW = "221DDB02EAFE3640D05B973E6A04A186F908128D*"

func TestThePredecessorsHashesAreTurnedBackOnce(t *testing.T) {
	mariadb.need(t)
	s := startServer(t, mariadb, 1)
	multi := "{\"access\":0,\"plugin\":\"mysql_native_password\",\"authentication_string\":\"" + turnedPW + "\",\"auth_or\":[{\"plugin\":\"unix_socket\"},{}]}"
	s.quietly("SET PASSWORD FOR app@'127.0.0.1' = '"+turnedPW+"'",
		"CREATE USER empty@'127.0.0.1'", "SET PASSWORD FOR empty@'127.0.0.1' = '"+turnedEmpty+"'",
		"CREATE USER socket@'127.0.0.1' IDENTIFIED VIA unix_socket",
		"CREATE USER multi@'127.0.0.1'", "UPDATE mysql.global_priv SET Priv = '"+multi+"' WHERE User = 'multi'", "FLUSH PRIVILEGES")
	c := s.connect(agentUser)
	if s.login(appUser, "pw") != errAccessDenied || s.login("empty", "") != errAccessDenied {
		t.Fatal("a turned hash lets in")
	}
	still := s.unmoved(c)
	priv := func(user string) string {
		return s.value("SELECT Priv FROM mysql.global_priv WHERE User = '" + user + "'")
	}
	socket, both := priv("socket"), priv("multi")
	var states []cluster.AccountState
	for user, reversed := range map[string]bool{appUser: true, "empty": true, "socket": false, "multi": false, poorUser: false} {
		a := state(t, c, user)
		if a.Reversed != reversed || a.Locked {
			t.Errorf("%+v", a)
		}
		a.Reversed = true // what is right is never turned, whoever asks
		states = append(states, a)
	}
	for range 2 {
		err := c.ReleaseAccounts(t.Context(), states)
		if err == nil || !strings.Contains(err.Error(), "'multi'") {
			t.Errorf("accounts that were never turned: %v", err)
		}
		still()
		if s.login(appUser, "pw") != 0 || s.login("empty", "") != 0 || s.login(poorUser, "pw") != 0 {
			t.Error("not let in after the release")
		}
	}
	if a := state(t, c, appUser); a.Reversed {
		t.Errorf("%+v", a)
	}
	if priv("socket") != socket || priv("multi") != both {
		t.Error("an account of another kind was touched")
	}
	// Locked and turned at once.
	s.quietly("SET PASSWORD FOR app@'127.0.0.1' = '" + turnedPW + "'")
	must(t, c.LockAccounts(t.Context(), []cluster.Account{{User: appUser, Host: here}}))
	must(t, c.ReleaseAccounts(t.Context(), []cluster.AccountState{state(t, c, appUser)}))
	s.admits(true, appUser)
}

func TestHashesAreNeverTurnedOnMySQL(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	c := s.connect(agentUser)
	before := s.value("SELECT authentication_string FROM mysql.user WHERE User = 'app'")
	must(t, c.ReleaseAccounts(t.Context(), []cluster.AccountState{{Account: cluster.Account{User: appUser, Host: here}, Reversed: true}}))
	if s.value("SELECT authentication_string FROM mysql.user WHERE User = 'app'") != before {
		t.Error("it changed")
	}
}

func TestTurn(t *testing.T) {
	hash := "*D821809F681A40A6E379B50D0463EFAE20BDD122"
	for _, tt := range []struct{ hash, turned string }{{hash, turnedPW}, {"", turnedEmpty}} {
		got, ok := turn(tt.hash)
		if !ok || got != tt.turned {
			t.Errorf("%q turned: %q", tt.hash, got)
		}
		if back, ok := turnBack(got); !ok || back != tt.hash {
			t.Errorf("%q turned back: %q", got, back)
		}
		if again, ok := turn(got); ok {
			t.Errorf("%q turned twice: %q", got, again)
		}
		if again, ok := turnBack(tt.hash); ok {
			t.Errorf("%q turned back though it is right: %q", tt.hash, again)
		}
	}
	for _, other := range []string{"*", "invalid", strings.ToLower(hash), hash + "0", turnedEmpty + "?", "$A$005$" + hash, "6f8c114b58f2ce9e"} {
		if _, ok := turn(other); ok {
			t.Errorf("%q was turned", other)
		}
		if _, ok := turnBack(other); ok {
			t.Errorf("%q was turned back", other)
		}
	}
}

func TestAccountsOfMySQL56(t *testing.T) {
	list := result{columns: map[string]int{"user": 0, "host": 1, "locked": 2, "role": 3, "hash": 4, "native": 5}}
	for _, r := range [][]string{{"b", "%", "0", "0", turnedPW, "1"}, {"a", "%", "0", "0", turnedEmpty, "1"}, {"c", "%", "0", "0", turnedPW, "0"}} {
		var row []value
		for _, text := range r {
			row = append(row, value{text, true})
		}
		list.rows = append(list.rows, row)
	}
	var got []bool
	for _, a := range readAccounts(list) {
		got = append(got, a.Reversed)
	}
	if !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("%v", got)
	}
	if d := mysql56; d.lock || !d.turned || !strings.Contains(d.accounts, "Password AS hash") || mysql57.turned || !mysql57.lock {
		t.Error("the rows of 5.6 and 5.7")
	}
}
