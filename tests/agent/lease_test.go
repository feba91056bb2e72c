package agent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// leaseOf is how long the leases of these tests last.
const leaseOf = 4 * time.Second

// local starts the agent of a server's own host.
func (s *stage) local(of *harness.Server) *harness.Daemon {
	s.Helper()
	s.must(s.WriteFiles(harness.SiteOptions{Agent: map[string]string{
		"scope": "local", "local": string(of.Addr()), "lease": fmt.Sprint(int(leaseOf.Seconds())),
		"state_file": fmt.Sprintf("%s.%d", s.AgentConf, of.ID()),
	}}))
	return s.start()
}

func (s *stage) lease(l cluster.Lease) {
	s.Helper()
	s.report(s.a, "kept open by "+string(l), func(r cluster.Report) bool {
		return r.Lease == l && r.LeaseMS == leaseOf.Milliseconds()
	})
}

func (s *stage) stays(what string, open bool, d time.Duration) {
	s.Helper()
	s.must(harness.Holds(s.within(d+10*time.Second), d, what, func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && closed != open, fmt.Sprint("closed: ", closed, " ", err)
	}))
}

// becomes waits until the first server is open or closed, and returns for how long.
func (s *stage) becomes(what string, open bool) time.Duration {
	s.Helper()
	began := time.Now()
	s.must(harness.Until(s.within(20*time.Second), what, func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && closed != open, fmt.Sprint("closed: ", closed, " ", err)
	}))
	return time.Since(began)
}

func (s *stage) leased() (a, b *harness.Daemon) {
	s.Helper()
	s.put(record(1, 1, cluster.PhaseSteady, s.b, s.a))
	a = s.local(s.a)
	s.deed(s.a, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedOpen) // it has read its file
	b = s.local(s.b)
	s.deed(s.b, cluster.Order{Epoch: 1, Version: 1}, cluster.DeedClosed)
	s.lease(cluster.LeaseBoth)
	return a, b
}

// The active outlives Redis by the lock on its passive, and the passive by the grant
// of Redis. Without both it is closed within its lease, under writes, by an agent
// that then has nobody to ask; and it is opened again when Redis is back.
func TestTheActiveIsOpenByItsLeases(t *testing.T) {
	s := prepare(t, programs)
	s.leased()
	s.Redis.Kill()
	s.stays("open by the lock", true, 3*leaseOf/2)

	holder, err := s.a.Open(harness.StrangerUser)
	s.must(err)
	defer holder.Close()
	conn, err := holder.Conn(s.within(5 * time.Second))
	s.must(err)
	defer conn.Close()
	_, err = conn.ExecContext(s.within(5*time.Second), "LOCK TABLES entry WRITE")
	s.must(err)
	s.must(s.b.Process().Freeze())
	if took := s.becomes("closed without a lease", false); took > leaseOf*9/10 {
		t.Errorf("closed after %s, with leases of %s", took, leaseOf)
	} else {
		t.Logf("closed %s after the second loss", took)
	}
	s.stays("nobody to open it", false, leaseOf)
	s.must(s.b.Process().Thaw())
	s.stays("a lock does not open it", false, leaseOf/2)
	s.must(s.Redis.Start(s.within(10 * time.Second)))
	t.Logf("opened %s after Redis came back", s.becomes("open again", true))
	s.lease(cluster.LeaseBoth)
	r := s.report(s.a, "open", func(r cluster.Report) bool { return r.Deed == cluster.DeedOpen })
	if r.Closed != (cluster.Order{}) {
		t.Errorf("acknowledged as closed under %s", r.Closed)
	}

	s.must(s.b.Process().Freeze())
	s.stays("open by the grant", true, 3*leaseOf/2)
	s.lease(cluster.LeaseRedis)
	s.must(s.b.Process().Thaw())
	s.lease(cluster.LeaseBoth)
}

// Somebody has commits wait for the passive's acknowledgement, without an end. Cut off, the
// active is closed within its lease all the same, no client hears of a success, and
// commits are to wait as before.
func TestTheActiveClosesOverCommitsThatWait(t *testing.T) {
	s := prepare(t, programs)
	s.leased()
	source := "rpl_semi_sync_master"
	if harness.ChosenFlavor() == harness.MySQL {
		source = "rpl_semi_sync_source"
		s.must(s.a.Exec(s.within(5*time.Second), "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"))
	}
	for _, name := range []string{"_wait_point = AFTER_SYNC", "_timeout = 3600000", "_enabled = 1"} {
		s.must(s.a.Exec(s.within(5*time.Second), "SET GLOBAL "+source+name))
	}
	app, err := s.a.Open(harness.StrangerUser)
	s.must(err)
	defer app.Close()
	const clients = 20
	ended := make(chan error, clients)
	for i := range clients {
		go func() {
			_, err := app.ExecContext(s.Context(), "INSERT INTO entry (client, seq) VALUES (?, 1)", i)
			ended <- err
		}()
	}
	s.must(harness.Until(s.within(5*time.Second), "commits wait", func(ctx context.Context) (bool, string) {
		var n int
		err := s.a.Admin().QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ? AND state <> '' AND command <> 'Sleep'",
			harness.StrangerUser).Scan(&n)
		return n == clients, fmt.Sprint(n, " sessions, ", err)
	}))
	s.Redis.Kill()
	s.must(s.b.Process().Freeze())
	if took := s.becomes("closed without a lease", false); took > leaseOf*9/10 {
		t.Errorf("closed after %s, with leases of %s", took, leaseOf)
	} else {
		t.Logf("closed %s after the loss", took)
	}
	for range clients {
		if err := <-ended; err == nil {
			t.Error("a client heard of a success that the passive does not know of")
		}
	}
	s.must(harness.Until(s.within(5*time.Second), "set up as before", func(ctx context.Context) (bool, string) {
		var name, value string
		err := s.a.Admin().QueryRowContext(ctx, "SHOW GLOBAL VARIABLES LIKE '"+source+"_enabled'").Scan(&name, &value)
		return value == "ON", fmt.Sprint(value, " ", err)
	}))
	s.must(s.b.Process().Thaw())
}

// The agent of the active is frozen with its sessions: the other agent says that the
// lock is over a lease after its last question, not before. An agent that is killed
// and started again takes over.
func TestTheLockIsOverAfterItsLease(t *testing.T) {
	s := prepare(t, programs)
	a, _ := s.leased()
	a.Kill()
	a = s.local(s.a)
	s.lease(cluster.LeaseBoth)
	s.stays("open while its agent is started again", true, leaseOf)

	s.must(a.Freeze())
	began := time.Now()
	rec := s.put(record(2, 1, cluster.PhaseRevoked, s.a, s.b))
	r := s.report(s.b, "drained", func(r cluster.Report) bool { return r.Ready == rec.Order() })
	if r.LockOver || r.LeaseMS != leaseOf.Milliseconds() {
		t.Errorf("over at once: %v, leases of %d ms", r.LockOver, r.LeaseMS)
	}
	s.report(s.b, "the lock is over", func(r cluster.Report) bool { return r.LockOver && r.Order == rec.Order() })
	if took := time.Since(began); took < leaseOf-time.Second || took > leaseOf+3*time.Second {
		t.Errorf("over after %s, want %s", took, leaseOf)
	} else {
		t.Logf("over after %s", took)
	}
	s.must(a.Thaw())
	s.report(s.a, "closed", func(r cluster.Report) bool { return r.Closed == rec.Order() })
	if !s.closed(s.a) {
		t.Error("want the old active closed")
	}
}
