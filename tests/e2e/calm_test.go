package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// Neither an application that does nothing nor a stranger on the passive moves the role.
func TestIdleApplicationAndStranger(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	s.client(s.b, harness.StrangerUser)
	s.unmoved(3*time.Second, before)
	idle := s.client(s.a, harness.AppUser)
	s.unmoved(3*time.Second, before)
	if _, err := idle.ExecContext(s.short(), "INSERT INTO entry VALUES (1, 1)"); err != nil {
		t.Errorf("the idle application can no longer write: %v", err)
	}
	check, err := s.Redis.Client().HGetAll(s.short(), "mysql-"+string(s.UniqSign)+"-"+string(s.b.Addr())+"-check").Result()
	s.must(err)
	if check["conn_nums"] != "1" {
		t.Errorf("the passive's check says conn_nums %q, want the one stranger", check["conn_nums"])
	}
}

// A server that answers "no" is alive: wrong passwords and a full house are told, not acted on.
func TestRefusedLoginsAreNotDeath(t *testing.T) {
	for _, c := range []struct {
		name        string
		cause       cluster.Cause
		spoil, mend func(*stage)
	}{
		{"wrong password", cluster.CauseAccessDenied,
			func(s *stage) {
				s.local(s.a, "ALTER USER '"+harness.WatcherUser+"'@'%' IDENTIFIED BY 'another'")
				s.cut(s.a, harness.WatcherUser)
			},
			func(s *stage) {
				s.local(s.a, "ALTER USER '"+harness.WatcherUser+"'@'%' IDENTIFIED BY '"+harness.Password+"'")
			}},
		{"wrong password of every daemon", cluster.CauseAccessDenied,
			func(s *stage) {
				for _, user := range []string{harness.WatcherUser, harness.ManagerUser} {
					s.local(s.a, "ALTER USER '"+user+"'@'%' IDENTIFIED BY 'another'")
					s.cut(s.a, user)
				}
			},
			func(s *stage) {
				for _, user := range []string{harness.WatcherUser, harness.ManagerUser} {
					s.local(s.a, "ALTER USER '"+user+"'@'%' IDENTIFIED BY '"+harness.Password+"'")
				}
			}},
		{"too many connections", cluster.CauseTooMany,
			func(s *stage) {
				// The monitor is held while strangers take its places.
				monitor := s.Daemon(harness.Monitor)
				s.must(monitor.Freeze())
				s.must(s.a.Exec(s.short(), "SET GLOBAL max_connections=10"))
				s.cut(s.a, harness.WatcherUser)
				s.await(10*time.Second, func(ctx context.Context) error {
					return harness.Until(ctx, "strangers fill the server", func(ctx context.Context) (bool, string) {
						for {
							pool, err := s.a.Open(harness.StrangerUser)
							if err != nil {
								return false, err.Error()
							}
							s.Cleanup(func() { _ = pool.Close() })
							if _, err = pool.Conn(ctx); err != nil {
								break
							}
						}
						n, err := s.a.Sessions(ctx, harness.WatcherUser)
						return n == 0 && err == nil, fmt.Sprintf("%d sessions of the watcher, %v", n, err)
					})
				})
				s.must(monitor.Thaw())
			},
			func(s *stage) { s.must(s.a.Exec(s.short(), "SET GLOBAL max_connections=80")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := raise(t, options{leastGrants: true})
			w := s.write(1, 5*time.Millisecond)
			before := s.record()
			c.spoil(s)
			s.await(10*time.Second, func(ctx context.Context) error {
				return harness.Until(ctx, "the monitor names the cause", func(ctx context.Context) (bool, string) {
					snap, err := s.Snapshot(ctx)
					if err != nil {
						return false, err.Error()
					}
					var seen []string
					for _, o := range snap.Observations[s.a.Addr()] {
						if o.Cause == c.cause {
							return true, ""
						}
						seen = append(seen, string(o.Cause)+" "+o.Error)
					}
					return false, strings.Join(seen, "; ")
				})
			})
			s.unmoved(4*time.Second, before)
			s.more(w, 20)
			s.told("not-death")
			s.shown("tree", string(c.cause))
			c.mend(s)
			s.await(15*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.b) })
			s.unmoved(time.Second, before)
			if n := len(w.Unknown()); n > 0 {
				t.Errorf("the application lost its connection %d times", n)
			}
		})
	}
}

// pause holds a failover back, resume lets it happen.
func TestPause(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	out, err := s.Tool(s.short(), "mmmctl", "pause", "--tag", harness.ServiceTag, "--reason", "moving racks")
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl pause: %s", out)
	}
	s.told("paused")
	s.shown("tree", "moving racks")
	s.a.Kill()
	s.must(harness.Holds(s.Context(), 4*time.Second, "nobody opens the other server", func(ctx context.Context) (bool, string) {
		closed, err := s.b.ReadOnly(ctx)
		return err == nil && closed, "it is open"
	}))
	s.told("paused")
	out, err = s.Tool(s.short(), "mmmctl", "resume", "--tag", harness.ServiceTag)
	s.must(err)
	if out.Code != 0 {
		t.Fatalf("mmmctl resume: %s", out)
	}
	s.moved(before, s.b)
}

// After an automatic failover no other one happens until the pair has been whole for failover_block.
func TestFailoverBlock(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"failover_block": "4"}})
	before := s.record()
	s.a.Kill()
	change := s.moved(before, s.b)
	if !change.Record.Blocked {
		t.Errorf("the record of the failover is not blocked: %+v", change.Record)
	}
	s.must(s.a.Start(s.short()))
	s.whole(s.b)
	s.told("failover-block")
	s.b.Kill()
	s.must(harness.Holds(s.Context(), 3*time.Second, "nobody opens the other server", func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && closed, "it is open"
	}))
	s.must(s.b.Start(s.short()))
	s.whole(s.b)
	s.await(20*time.Second, func(ctx context.Context) error { return s.WaitReady(ctx, s.a) })
	before = s.record()
	s.b.Kill()
	s.moved(before, s.a)
}

// servicemode=0 is observed and reported, never acted on.
func TestActiveActiveIsOnlyObserved(t *testing.T) {
	s := prepare(t, options{tag: map[string]string{"servicemode": "0"}})
	s.told("active-active")
	for _, server := range s.Pair.Servers() {
		s.must(server.Exec(s.short(), "SET GLOBAL read_only=0"))
	}
	s.opts.bothOpenUntil = time.Hour
	s.must(harness.Holds(s.Context(), 2*time.Second, "both stay open", func(ctx context.Context) (bool, string) {
		for _, server := range s.Pair.Servers() {
			if closed, err := server.ReadOnly(ctx); err != nil || closed {
				return false, string(server.Addr()) + " is closed"
			}
		}
		return true, ""
	}))
	if a := s.record(); a.Exists() {
		t.Errorf("there is a record: %+v", a)
	}
}

// A pair without GTID replication is refused, with the reason.
func TestNoGTIDIsRefused(t *testing.T) {
	s := prepare(t, options{daemons: []string{}})
	s.must(s.b.LeaveGTID(s.short()))
	s.must(s.StartAll())
	s.told("no-gtid")
}
