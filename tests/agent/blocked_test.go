package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const epochTable = "mmm_meta.epoch"

// blockApp blocks the application's user and no other.
var blockApp = map[string]string{"block_user": "^" + harness.AppUser + "$", "block_host": "^%$"}

func withTable(r cluster.Assignment) cluster.Assignment {
	r.EpochTable = epochTable
	return r
}

// logIn logs in once as an ordinary user; locked reports that the account is kept out.
func (s *stage) logIn(server *harness.Server, user string) (locked bool, err error) {
	pool, err := server.Open(user)
	if err != nil {
		return false, err
	}
	defer pool.Close()
	err = pool.PingContext(s.within(3 * time.Second))
	var answer *mysql.MySQLError
	if errors.As(err, &answer) && slices.Contains([]uint16{1045, 3118, 4151}, answer.Number) {
		return true, nil
	}
	return false, err
}

func (s *stage) wantLocked(server *harness.Server, user string, want bool) {
	s.Helper()
	s.must(harness.Until(s.within(15*time.Second), fmt.Sprintf("%s locked on %s: %v", user, server.Addr(), want), func(context.Context) (bool, string) {
		locked, err := s.logIn(server, user)
		return err == nil && locked == want, fmt.Sprint(locked, err)
	}))
}

// history is everything that ever entered the server's binary log.
func (s *stage) history(server *harness.Server) string {
	s.Helper()
	query := "SELECT @@global.gtid_binlog_state"
	if lab.Flavor() == harness.MySQL {
		query = "SELECT @@global.gtid_executed"
	}
	text, err := server.Value(s.within(5*time.Second), query)
	s.must(err)
	return text
}

// alike waits until both servers have the same transactions: whoever wrote
// something that did not replicate, or did not come from the active, has more.
func (s *stage) alike() {
	s.Helper()
	s.must(harness.Until(s.within(15*time.Second), "both servers have the same transactions", func(context.Context) (bool, string) {
		a, b := s.history(s.a), s.history(s.b)
		return a == b, a + " and " + b
	}))
}

func (s *stage) super(server *harness.Server, want string) {
	s.Helper()
	if lab.Flavor() != harness.MySQL {
		return
	}
	s.must(harness.Until(s.within(10*time.Second), "super_read_only of "+string(server.Addr())+" is "+want, func(ctx context.Context) (bool, string) {
		got, err := server.Value(ctx, "SELECT @@global.super_read_only")
		return err == nil && got == want, fmt.Sprint(got, err)
	}))
}

func (s *stage) epoch(server *harness.Server, want string) {
	s.Helper()
	s.must(harness.Until(s.within(10*time.Second), "epoch row of "+string(server.Addr())+" says "+want, func(ctx context.Context) (bool, string) {
		got, err := server.Value(ctx, "SELECT CONCAT(epoch, ' ', active) FROM "+epochTable+" WHERE uniqsign = ?", string(s.UniqSign))
		return err == nil && got == want, fmt.Sprint(got, err)
	}))
}

// failover moves the role from a dead server; it returns the report of the opening.
func (s *stage) failover(epoch cluster.Epoch, from, to *harness.Server) cluster.Report {
	s.Helper()
	s.put(withTable(record(epoch, 1, cluster.PhaseRevoked, from, to)))
	s.deed(to, cluster.Order{Epoch: epoch, Version: 1}, cluster.DeedDrained)
	rec := withTable(record(epoch, 2, cluster.PhaseOpening, from, to))
	rec.Proof = cluster.RiskRefused
	s.put(rec)
	opened := s.deed(to, rec.Order(), cluster.DeedOpen)
	rec.Version, rec.Phase = 3, cluster.PhaseSteady
	s.put(rec)
	return opened
}

func TestUsersAndEpochFollowTheRole(t *testing.T) {
	s := prepareWith(t, programs, blockApp)
	s.put(withTable(record(1, 1, cluster.PhaseSteady, s.b, s.a)))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.wantLocked(s.b, harness.AppUser, true)
	s.wantLocked(s.a, harness.AppUser, false)
	s.wantLocked(s.b, harness.StrangerUser, false)
	s.super(s.b, "1")
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
	s.epoch(s.b, "1 "+string(s.a.Addr()))
	s.alike()
	if r := s.report(s.b, "locked", func(r cluster.Report) bool { return len(r.Locked) > 0 }); len(r.Notes) > 0 {
		t.Errorf("notes: %v", r.Notes)
	}

	s.a.Kill()
	r := s.failover(2, s.a, s.b)
	if locked, err := s.logIn(s.b, harness.AppUser); locked || err != nil {
		t.Errorf("the application cannot log in on the new active: locked %v, %v", locked, err)
	}
	if len(r.Notes) > 0 {
		t.Errorf("notes: %v", r.Notes)
	}
	t.Logf("steps of the opening: %+v", r.Steps)
	s.epoch(s.b, "2 "+string(s.b.Addr()))

	s.must(s.a.Start(s.within(20 * time.Second)))
	s.deed(s.a, cluster.Order{Epoch: 2, Version: 3}, cluster.DeedClosed)
	s.wantLocked(s.a, harness.AppUser, true)
	s.super(s.a, "1")
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	s.epoch(s.a, "2 "+string(s.b.Addr()))
	s.alike()
	if kept, err := s.Bus().Locked(s.within(time.Second), s.UniqSign, s.b.Addr()); err != nil || len(kept) > 0 {
		s.must(harness.Until(s.within(10*time.Second), "the released accounts are off the record", func(ctx context.Context) (bool, string) {
			kept, err := s.Bus().Locked(ctx, s.UniqSign, s.b.Addr())
			return err == nil && len(kept) == 0, fmt.Sprint(kept, err)
		}))
	}
}

// The agent dies between any two steps, and another one takes its place, with
// its state file or only with what Redis knows: whoever is active can be logged
// in to, whoever is not can not, and both servers have the same transactions.
func TestAKilledAgentLeavesNobodyLockedOut(t *testing.T) {
	for _, point := range []string{"lock.recorded", "lock.done", "close.locked", "open.unsealed", "open.released"} {
		t.Run(point, func(t *testing.T) {
			s := prepareWith(t, failpoints, blockApp)
			s.put(withTable(record(1, 1, cluster.PhaseSteady, s.b, s.a)))
			first := s.start()
			s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
			s.wantLocked(s.b, harness.AppUser, true)
			s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
			s.epoch(s.b, "1 "+string(s.a.Addr()))
			s.must(first.Quit(s.within(5 * time.Second)))

			paused := s.start("MMM_FAILPOINT=" + point + ":stop")
			sw := s.put(withTable(record(1, 2, cluster.PhaseSwitching, s.a, s.b)))
			op := withTable(record(2, 1, cluster.PhaseOpening, s.a, s.b))
			if point[:4] == "open" {
				ready := s.report(s.b, "caught up", func(r cluster.Report) bool { return r.Ready == sw.Order() })
				op.Target = ready.Executed
				s.put(op)
			}
			s.must(harness.Until(s.within(20*time.Second), "the agent pauses itself", func(context.Context) (bool, string) {
				return paused.Stopped(), "it runs"
			}))
			paused.Kill()
			s.start()
			if point[:4] != "open" {
				ready := s.report(s.b, "caught up", func(r cluster.Report) bool { return r.Ready == sw.Order() })
				op.Target = ready.Executed
				s.put(op)
			}
			s.report(s.b, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
			if locked, err := s.logIn(s.b, harness.AppUser); locked || err != nil {
				t.Errorf("the application cannot log in on the new active: locked %v, %v", locked, err)
			}
			s.put(withTable(record(2, 2, cluster.PhaseSteady, s.a, s.b)))
			s.wantLocked(s.a, harness.AppUser, true)
			s.super(s.a, "1")
			s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
			s.alike()

			// And back: what was locked by an agent that is dead is released.
			sw = s.put(withTable(record(2, 3, cluster.PhaseSwitching, s.b, s.a)))
			ready := s.report(s.a, "caught up", func(r cluster.Report) bool { return r.Ready == sw.Order() })
			op = withTable(record(3, 1, cluster.PhaseOpening, s.b, s.a))
			op.Target = ready.Executed
			s.put(op)
			s.report(s.a, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
			if locked, err := s.logIn(s.a, harness.AppUser); locked || err != nil {
				t.Errorf("the application cannot log in on the old active: locked %v, %v", locked, err)
			}
			s.put(withTable(record(3, 2, cluster.PhaseSteady, s.b, s.a)))
			s.wantLocked(s.b, harness.AppUser, true)
			s.alike()
		})
	}
}

// A refused switchover and one that is rolled back leave nobody locked out.
func TestASwitchoverThatDoesNotHappenReleasesTheUsers(t *testing.T) {
	s := prepareWith(t, programs, blockApp)
	s.put(withTable(record(1, 1, cluster.PhaseSteady, s.b, s.a)))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.wantLocked(s.b, harness.AppUser, true)

	holder, err := s.a.Open(harness.StrangerUser)
	s.must(err)
	defer holder.Close()
	conn, err := holder.Conn(s.within(5 * time.Second))
	s.must(err)
	defer conn.Close()
	_, err = conn.ExecContext(s.within(5*time.Second), "LOCK TABLES entry WRITE")
	s.must(err)
	sw := s.put(withTable(record(1, 2, cluster.PhaseSwitching, s.a, s.b)))
	s.report(s.a, "refused", func(r cluster.Report) bool { return r.Order == sw.Order() && r.Deed == cluster.DeedRefused })
	if locked, err := s.logIn(s.a, harness.AppUser); locked || err != nil {
		t.Errorf("after the refusal: locked %v, %v", locked, err)
	}
	_, err = conn.ExecContext(s.within(5*time.Second), "UNLOCK TABLES")
	s.must(err)
	s.put(withTable(record(1, 3, cluster.PhaseSteady, s.b, s.a)))

	sw = s.put(withTable(record(1, 4, cluster.PhaseSwitching, s.a, s.b)))
	s.report(s.b, "caught up", func(r cluster.Report) bool { return r.Ready == sw.Order() })
	back := s.put(withTable(record(1, 5, cluster.PhaseSteady, s.b, s.a)))
	s.report(s.a, "open", func(r cluster.Report) bool { return r.Opened == back.Order() })
	if locked, err := s.logIn(s.a, harness.AppUser); locked || err != nil {
		t.Errorf("after the roll-back: locked %v, %v", locked, err)
	}
	s.wantLocked(s.b, harness.AppUser, true)
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	s.alike()
}

// A pair comes from the predecessor's agent with reversed hashes on its passive.
func TestThePredecessorsReversedHash(t *testing.T) {
	if lab.Flavor() == harness.MySQL {
		t.Skip("MySQL has no hash that could be set reversed")
	}
	s := prepareWith(t, programs, blockApp)
	hash, err := s.b.Value(s.within(5*time.Second), "SELECT REVERSE(PASSWORD(?))", harness.Password)
	s.must(err)
	s.must(s.b.Write(s.within(5*time.Second), false, fmt.Sprintf("SET PASSWORD FOR '%s'@'%%' = '%s'", harness.AppUser, hash)))
	s.wantLocked(s.b, harness.AppUser, true)
	s.put(withTable(record(1, 1, cluster.PhaseSteady, s.b, s.a)))
	s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.must(s.Pair.WaitReplicating(s.within(10 * time.Second)))
	s.a.Kill()
	s.failover(2, s.a, s.b)
	if locked, err := s.logIn(s.b, harness.AppUser); locked || err != nil {
		t.Errorf("on the new active: locked %v, %v", locked, err)
	}
	s.must(s.a.Start(s.within(20 * time.Second)))
	s.wantLocked(s.a, harness.AppUser, true)
	s.must(s.Pair.WaitReplicating(s.within(20 * time.Second)))
	s.alike()
}

// Redis loses everything while the agent is away as well: the record that the
// agent finds is not obeyed, and what it has locked is not forgotten.
func TestRedisIsEmptiedAndTheAgentStartedAgain(t *testing.T) {
	s := prepareWith(t, programs, blockApp)
	s.put(withTable(record(1, 1, cluster.PhaseSteady, s.b, s.a)))
	agent := s.start()
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen)
	s.put(withTable(record(4, 1, cluster.PhaseSteady, s.b, s.a)))
	s.deed(s.a, cluster.Order{Epoch: 4, Version: 1}, cluster.DeedOpen)
	s.wantLocked(s.b, harness.AppUser, true)
	s.must(agent.Quit(s.within(5 * time.Second)))

	s.must(s.Redis.Client().FlushAll(s.within(5 * time.Second)).Err())
	s.must(s.Bus().PublishPair(s.within(5*time.Second), cluster.Pair{Tag: harness.ServiceTag, UniqSign: s.UniqSign,
		Primary: s.a.Addr(), Secondary: s.b.Addr(), ServiceMode: cluster.ActivePassive}))
	var held bool
	var err error
	s.token, held, _, err = s.Bus().Lead(s.within(5*time.Second), s.UniqSign, identify, time.Hour)
	s.must(err)
	if !held {
		t.Fatal("the lease is not ours")
	}
	// Somebody who knows nothing elects the other server, in an older epoch.
	s.put(withTable(record(1, 1, cluster.PhaseSteady, s.a, s.b)))
	s.must(agent.Start())
	r := s.report(s.b, "frozen", func(r cluster.Report) bool { return r.Remembers.Epoch == 4 })
	s.must(harness.Holds(s.within(10*time.Second), 2*time.Second, "the roles stay", func(context.Context) (bool, string) {
		return s.closed(s.b) && !s.closed(s.a), r.Reason
	}))
	s.put(withTable(record(5, 1, cluster.PhaseSwitching, s.a, s.b)))
	ready := s.report(s.b, "caught up", func(r cluster.Report) bool { return r.Ready == (cluster.Order{Epoch: 5, Version: 1}) })
	op := withTable(record(6, 1, cluster.PhaseOpening, s.a, s.b))
	op.Target = ready.Executed
	s.put(op)
	s.report(s.b, "open", func(r cluster.Report) bool { return r.Opened == op.Order() })
	if locked, err := s.logIn(s.b, harness.AppUser); locked || err != nil {
		t.Errorf("on the new active: locked %v, %v", locked, err)
	}
}
