package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// blockApps blocks every account whose name begins as the application's does.
var blockApps = map[string]string{"block_user": "^" + harness.AppUser, "block_host": "^%$"}

// Accounts that the tests make.
const (
	laterUser = harness.AppUser + "_later" // made while the daemons run
	ownedUser = harness.AppUser + "_owned" // locked by its owner
)

// shutOut reports whether a log-in was refused because of the account.
func shutOut(err error) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && slices.Contains([]uint16{1045, 3118, 4151}, answer.Number)
}

func (s *stage) logIn(ctx context.Context, server *harness.Server, user string) error {
	pool, err := server.Open(user)
	if err != nil {
		return err
	}
	defer pool.Close()
	return pool.PingContext(ctx)
}

func (s *stage) wantShutOut(server *harness.Server, user string, want bool) {
	s.Helper()
	s.await(15*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, fmt.Sprintf("%s is shut out of %s: %v", user, server.Addr(), want), func(ctx context.Context) (bool, string) {
			err := s.logIn(ctx, server, user)
			return shutOut(err) == want && (want || err == nil), fmt.Sprint(err)
		})
	})
}

// staysOpenFor is how long after a refused log-in a server must still be open
// for the refusal to count: one that is being closed shuts accounts out first.
const staysOpenFor = 300 * time.Millisecond

// doorman logs in on every server over and over, and notes each server that
// shut the application out, was open before and stayed open.
type doorman struct {
	stop context.CancelFunc
	wait sync.WaitGroup
	mu   sync.Mutex
	shut []string
	ins  int
}

func (s *stage) doorman(user string) *doorman {
	ctx, cancel := context.WithCancel(context.Background())
	d := &doorman{stop: cancel}
	for _, server := range s.Pair.Servers() {
		pool, err := server.Open(user)
		s.must(err)
		pool.SetMaxIdleConns(0)
		d.wait.Go(func() {
			defer pool.Close()
			for ctx.Err() == nil {
				d.knock(ctx, server, pool)
			}
		})
	}
	s.Cleanup(d.end)
	return d
}

func (d *doorman) knock(ctx context.Context, server *harness.Server, pool *sql.DB) {
	pause := time.NewTimer(2 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return
	case <-pause.C:
	}
	if closed, err := server.ReadOnly(ctx); err != nil || closed {
		return
	}
	err := pool.PingContext(ctx)
	if !shutOut(err) {
		d.mu.Lock()
		if err == nil {
			d.ins++
		}
		d.mu.Unlock()
		return
	}
	at := time.Now()
	open := harness.Holds(ctx, staysOpenFor, "the server stays open", func(ctx context.Context) (bool, string) {
		closed, readErr := server.ReadOnly(ctx)
		return readErr == nil && !closed, ""
	})
	if open == nil && ctx.Err() == nil {
		d.mu.Lock()
		d.shut = append(d.shut, fmt.Sprintf("%s at %s: %v", server.Addr(), at.Format("15:04:05.000"), err))
		d.mu.Unlock()
	}
}

func (d *doorman) end() {
	d.stop()
	d.wait.Wait()
}

func (s *stage) noneShutOut(d *doorman) {
	s.Helper()
	d.end()
	if len(d.shut) > 0 {
		s.Errorf("shut out of an open server %d times: %q", len(d.shut), d.shut)
	}
	if d.ins < 10 {
		s.Errorf("the doorman got in %d times: it proves nothing", d.ins)
	}
	s.Logf("the doorman got in %d times", d.ins)
}

// alike waits until both servers hold the same transactions.
func (s *stage) alike() {
	s.Helper()
	query := "SELECT @@global.gtid_binlog_state"
	if lab.Flavor() == harness.MySQL {
		query = "SELECT @@global.gtid_executed"
	}
	s.await(15*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "both servers have the same transactions", func(ctx context.Context) (bool, string) {
			a, errA := s.a.Value(ctx, query)
			b, errB := s.b.Value(ctx, query)
			return errA == nil && errB == nil && a == b, fmt.Sprint(a, errA, " and ", b, errB)
		})
	})
}

func (s *stage) switchTo(to *harness.Server) {
	s.Helper()
	s.await(15*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, to) })
	before := s.record()
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--to", string(to.Addr()), "--yes")
	s.must(err)
	if out.Code != 0 {
		s.Fatalf("mmmctl switchover: %s", out)
	}
	s.moved(before, to)
	s.whole(to)
}

// Users are shut out of the passive and never out of an open server, whatever
// moves the role; nothing of it replicates, and what is its owner's stays.
func TestBlockedUsersFollowTheRole(t *testing.T) {
	s := raise(t, options{agent: blockApps})
	w := s.write(2, 5*time.Millisecond)
	d := s.doorman(harness.AppUser)
	s.wantShutOut(s.b, harness.AppUser, true)
	s.wantShutOut(s.b, harness.StrangerUser, false)

	for _, user := range []string{laterUser, ownedUser} {
		s.must(s.a.Exec(s.short(), fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", user, harness.Password)))
		s.must(s.a.Exec(s.short(), fmt.Sprintf("GRANT SELECT ON %s.* TO '%s'@'%%'", harness.AppDB, user)))
	}
	s.wantShutOut(s.b, laterUser, true)
	s.wantShutOut(s.b, ownedUser, true)
	s.wantShutOut(s.a, laterUser, false)
	s.must(s.a.Exec(s.short(), fmt.Sprintf("ALTER USER '%s'@'%%' ACCOUNT LOCK", ownedUser)))
	s.await(20*time.Second, func(ctx context.Context) error {
		_, err := s.WaitReport(ctx, s.b, "without the lock that is its owner's", func(r cluster.Report) bool {
			return len(r.Locked) == 2 && !slices.Contains(r.Locked, cluster.Account{User: ownedUser, Host: "%"})
		})
		return err
	})

	s.switchTo(s.b)
	if err := s.logIn(s.short(), s.b, harness.AppUser); err != nil {
		t.Errorf("the application cannot log in on the new active: %v", err)
	}
	s.wantShutOut(s.a, harness.AppUser, true)
	s.wantShutOut(s.a, laterUser, true)
	s.wantShutOut(s.b, laterUser, false)
	s.wantShutOut(s.b, ownedUser, true)
	s.more(w, 20)
	s.nothingOwn(s.a, s.b)

	// A switchover that is rolled back leaves the active as it was.
	before := s.record()
	holder := s.client(s.b, harness.StrangerUser)
	_, err := holder.ExecContext(s.short(), "LOCK TABLES entry WRITE")
	s.must(err)
	s.await(15*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	out, err := s.Tool(s.short(), "mmmctl", "switchover", "--tag", harness.ServiceTag, "--yes")
	s.must(err)
	if out.Code != 1 {
		t.Errorf("mmmctl switchover beside LOCK TABLES: %s; want exit 1, rolled back", out)
	}
	_, err = holder.ExecContext(s.short(), "UNLOCK TABLES")
	s.must(err)
	s.open(s.b)
	s.unmoved(time.Second, before)
	s.wantShutOut(s.b, harness.AppUser, false)
	s.wantShutOut(s.a, harness.AppUser, true)
	s.more(w, 20)

	// The active dies, and comes back as the passive.
	before = s.record()
	s.b.Kill()
	s.moved(before, s.a)
	if err := s.logIn(s.short(), s.a, harness.AppUser); err != nil {
		t.Errorf("the application cannot log in on the new active: %v", err)
	}
	s.wantShutOut(s.a, laterUser, false)
	s.wantShutOut(s.a, ownedUser, true)
	s.more(w, 20)
	s.must(s.b.Start(s.short()))
	quarantine := s.rejoined(s.b, s.a)
	s.wantShutOut(s.b, harness.AppUser, true)
	s.wantShutOut(s.b, ownedUser, true)
	tally := s.settle(s.a, w)
	s.lossExplained(tally, quarantine)
	if !quarantine {
		s.alike()
	}
	s.noneShutOut(d)
}

// nothingOwn waits until the active knows everything that the passive ever wrote.
func (s *stage) nothingOwn(passive, active *harness.Server) {
	s.Helper()
	own, err := passive.OwnTransactions(s.short(), passive)
	s.must(err)
	s.await(15*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the active has all of the passive's own transactions", func(ctx context.Context) (bool, string) {
			known, err := active.OwnTransactions(ctx, passive)
			return err == nil && known == own, fmt.Sprint(known, " of ", own, err)
		})
	})
}

// The agent is told of other users by HUP: those of before are let in, others shut out.
func TestReloadedPatterns(t *testing.T) {
	s := raise(t, options{agent: blockApps})
	s.wantShutOut(s.b, harness.AppUser, true)
	s.wantShutOut(s.b, harness.StrangerUser, false)
	s.opts.agent = map[string]string{"block_user": "^" + harness.StrangerUser + "$", "block_host": "^%$"}
	s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag, Agent: s.opts.agent}))
	s.must(s.Daemon(harness.Agent).Signal(syscall.SIGHUP))
	s.wantShutOut(s.b, harness.AppUser, false)
	s.wantShutOut(s.b, harness.StrangerUser, true)
	s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag}))
	s.must(s.Daemon(harness.Agent).Signal(syscall.SIGHUP))
	s.wantShutOut(s.b, harness.StrangerUser, false)
	s.alike()
	// A pattern that matches everybody shuts out neither us nor replication.
	s.must(s.WriteFiles(harness.SiteOptions{Tag: s.opts.tag, Agent: map[string]string{"block_user": ".", "block_host": "."}}))
	s.must(s.Daemon(harness.Agent).Signal(syscall.SIGHUP))
	s.wantShutOut(s.b, harness.AppUser, true)
	s.await(10*time.Second, func(ctx context.Context) error {
		_, err := s.WaitReport(ctx, s.b, "told that our own account matches", func(r cluster.Report) bool {
			return slices.ContainsFunc(r.Notes, func(n cluster.Reason) bool { return n.Code == cluster.NoteAccounts })
		})
		return err
	})
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	s.whole(s.b)
}

// Redis loses everything while the daemons are away: the active stays the
// active, in a higher epoch, since the agent's disk remembers it, and the accounts
// that were locked are released when the role moves on.
func TestRedisIsEmptiedWhileTheDaemonsAreAway(t *testing.T) {
	s := raise(t, options{agent: blockApps})
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	s.must(s.a.Start(s.short()))
	before = s.whole(s.b)
	s.wantShutOut(s.a, harness.AppUser, true)
	for _, d := range s.Daemons() {
		d.Kill()
	}
	s.Redis.Kill()
	s.must(s.Redis.Forget())
	s.must(s.Redis.Start(s.short()))
	for _, d := range s.Daemons() {
		s.must(d.Start())
	}
	after := s.whole(s.b)
	if after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after Redis was emptied, %d before", after.Epoch, before.Epoch)
	}
	s.wantShutOut(s.a, harness.AppUser, true)
	s.wantShutOut(s.b, harness.AppUser, false)
	s.switchTo(s.a)
	s.wantShutOut(s.a, harness.AppUser, false)
	s.wantShutOut(s.b, harness.AppUser, true)
	s.alike()
}
