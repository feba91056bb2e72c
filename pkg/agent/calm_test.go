package agent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestMariaDBIsNeverStartedOverUnappliedRelayLog(t *testing.T) {
	play(t, func(s *stage) {
		for _, srv := range s.w.servers {
			srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.bus.setAway(true)
		s.pass(2 * time.Second)
		s.w.b().change(func(b *fakeServer) {
			b.held = true
			b.ch.Received = "0-1-20"
			b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo
		})
		s.w.a().kill()
		s.bus.snap.Assignment = revoked(6, hostA, hostB)
		s.bus.setAway(false)
		s.pass(3 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedFailed); !strings.Contains(r.Reason, "throw the rest away") {
			s.Errorf("reason %q", r.Reason)
		}
		if got := s.w.b().stops; len(got) != 0 {
			s.Errorf("threads changed: %v", got)
		}
	})
}

// A person has stopped both threads, and the source hangs: the receiving one has not ended yet.
func TestMariaDBIsNotStartedBehindAStopOfAPersonThatLasts(t *testing.T) {
	play(t, func(s *stage) {
		for _, srv := range s.w.servers {
			srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(2 * time.Second)
		s.w.a().kill()
		s.w.b().change(func(b *fakeServer) {
			b.held = true
			b.ch.Received = "0-1-20"
			b.ch.IO, b.ch.SQL = cluster.ThreadConnecting, cluster.ThreadNo
			b.clients[7001] = agent.Session{ID: 7001, User: "root", Kind: agent.SessionApplication, Stopping: true}
		})
		s.put(revoked(6, hostA, hostB))
		s.pass(3 * time.Second)
		if r := s.want(hostB, "one", cluster.DeedFailed); !strings.Contains(r.Reason, "throw the rest away") {
			s.Errorf("reason %q", r.Reason)
		}
		if got := s.w.b().stops; len(got) != 0 {
			s.Errorf("threads changed: %v", got)
		}
	})
}

func TestAStoppedApplierIsStartedBeforeReceivingIsStopped(t *testing.T) {
	play(t, func(s *stage) {
		for _, srv := range s.w.servers {
			srv.flavor, srv.executed = cluster.MariaDB, "0-1-10"
		}
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.w.b().change(func(b *fakeServer) { b.ch.SQL = cluster.ThreadNo })
		s.w.a().change(func(a *fakeServer) { a.executed = "0-1-20" })
		s.w.a().kill()
		s.put(revoked(6, hostA, hostB))
		s.pass(100 * time.Millisecond)
		if r := s.want(hostB, "one", cluster.DeedDrained); r.Executed != "0-1-20" {
			s.Errorf("executed %q", r.Executed)
		}
		if got := s.w.b().stops; len(got) != 2 || got[0] != "start sql" || got[1] != "stop io" {
			s.Errorf("threads changed: %v", got)
		}
	})
}

func TestThePredecessorsModeIsObeyed(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.putMode(hostA, hostB)
		s.agent("one")
		s.wantOpen(true, false)
		s.w.a().change(func(a *fakeServer) { a.executed = uuidA + ":1-30" })
		s.bus.putMode(hostB, hostA)
		s.pass(time.Second)
		s.wantOpen(false, true)
		s.neverBothOpen()
		if !s.w.b().has(uuidA + ":1-30") {
			s.Error("opened before it had everything of the old active")
		}
		s.w.b().kill()
		s.bus.putMode(hostA, hostB)
		s.pass(2 * time.Second)
		s.wantOpen(true, false)
		if r := s.bus.report(s.T, hostA, "one"); r.Deed != cluster.DeedOpen {
			s.Errorf("deed %q (%s)", r.Deed, r.Reason)
		}
	})
}

func TestWithoutARecordNothingIsDone(t *testing.T) {
	play(t, func(s *stage) {
		s.w.a().change(func(a *fakeServer) { a.readOnly = false })
		s.w.b().change(func(b *fakeServer) { b.ch.IO, b.ch.SQL = cluster.ThreadNo, cluster.ThreadNo })
		s.agent("one")
		s.pass(5 * time.Second)
		s.wantOpen(true, false)
		if len(s.w.b().stops) != 0 {
			s.Error("replication was touched")
		}
		if r := s.bus.report(s.T, hostA, "one"); r.Reason == "" || r.Seq < 3 {
			s.Errorf("report %+v: want a reason and a growing number", r)
		}
	})
}

func TestAnIdlePairIsLeftAlone(t *testing.T) {
	play(t, func(s *stage) {
		s.bus.put(steady(5, 3, hostA, hostB))
		s.agent("one")
		s.pass(3 * time.Second)
		s.w.mu.Lock()
		dials := fmt.Sprint(s.w.dials)
		s.w.mu.Unlock()
		saved := s.bus.savedReports()
		s.pass(60 * time.Second)
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if now := fmt.Sprint(s.w.dials); now != dials {
			s.Errorf("dials %s, before %s", now, dials)
		}
		if n := s.bus.savedReports() - saved; n > 125 {
			s.Errorf("%d reports in a minute, want about two a second", n)
		}
		if len(s.w.a().stops)+len(s.w.b().stops) != 0 {
			s.Errorf("replication was touched: %v %v", s.w.a().stops, s.w.b().stops)
		}
	})
}
