package agent_test

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// A start of replication of which nobody saw the end, since the next failover
// came first, must not make the server wait longer and longer at each return.
func TestRejoinIsNotSlowerEachTime(t *testing.T) {
	for _, agents := range [][]string{{"one"}, {"one", "two"}} {
		play(t, func(s *stage) {
			s.w.a().change(func(a *fakeServer) { a.readOnly, a.super, a.dialling = false, false, true })
			s.w.b().change(func(b *fakeServer) { b.dialling = true })
			s.put(steady(1, 1, hostA, hostB))
			for _, id := range agents {
				s.agent(id)
			}
			s.pass(3 * time.Second)
			active, passive := hostA, hostB
			for epoch := cluster.Epoch(2); epoch < 9; epoch++ {
				s.w.servers[active].kill()
				s.put(revoked(epoch, active, passive))
				s.pass(300 * time.Millisecond)
				s.put(opening(epoch, 2, passive, active, ""))
				s.pass(300 * time.Millisecond)
				last := steady(epoch, 3, passive, active)
				last.Proof = cluster.RiskRefused
				s.put(last)
				s.w.servers[active].start(true)
				s.pass(1500 * time.Millisecond)
				var sql cluster.Thread
				s.w.servers[active].change(func(f *fakeServer) { sql = f.ch.SQL })
				if sql != cluster.ThreadYes {
					t.Errorf("%d agents, epoch %d: %s does not replicate 1.5 s after it is back", len(agents), epoch, active)
				}
				active, passive = passive, active
			}
			s.neverBothOpen()
		})
	}
}

// The same without a change of role.
func TestAPassiveThatIsRestartedOftenRejoinsEachTime(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.readOnly, a.super = false, false })
		s.w.b().change(func(b *fakeServer) { b.dialling = true })
		s.put(steady(1, 1, hostA, hostB))
		s.agent("one")
		for n := range 6 {
			s.w.b().kill()
			s.pass(200 * time.Millisecond)
			s.w.b().start(true)
			s.pass(1500 * time.Millisecond)
			var sql cluster.Thread
			s.w.b().change(func(b *fakeServer) { sql = b.ch.SQL })
			if sql != cluster.ThreadYes {
				t.Errorf("restart %d: it does not replicate 1.5 s after it is back", n+1)
			}
		}
	})
}

// The active's channel goes on after the passive was rebuilt and does not know its position any more.
func TestARefusedPositionOfTheActiveIsMended(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flavor  cluster.Flavor
		stale   func(*stage) *fakeServer
		replica bool
	}{
		{"of the active", cluster.MariaDB, func(s *stage) *fakeServer { return s.w.a() }, true},
		{"of the passive", cluster.MariaDB, func(s *stage) *fakeServer { return s.w.b() }, false},
		{"of MySQL", cluster.MySQL, func(s *stage) *fakeServer { return s.w.a() }, false},
	} {
		play(t, func(s *stage) {
			for _, f := range s.w.servers {
				f.flavor, f.super = tt.flavor, tt.flavor == cluster.MySQL
				if tt.flavor == cluster.MariaDB {
					f.executed = "0-1-10"
				}
			}
			s.w.a().change(func(a *fakeServer) { a.readOnly, a.super = false, false })
			tt.stale(s).change(func(f *fakeServer) { f.stale, f.ch.IO = true, cluster.ThreadConnecting })
			s.put(steady(1, 1, hostA, hostB))
			s.agent("one")
			s.pass(20 * time.Second)
			var replicates, open bool
			tt.stale(s).change(func(f *fakeServer) {
				replicates = f.ch.IO == cluster.ThreadYes && f.ch.SQL == cluster.ThreadYes
			})
			s.w.a().change(func(a *fakeServer) { open = !a.readOnly })
			if replicates != tt.replica || !open {
				t.Errorf("%s: replicates %v, want %v; the active is open: %v", tt.name, replicates, tt.replica, open)
			}
		})
	}
}
