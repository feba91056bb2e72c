package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// What a former run closed and somebody opened since is closed, whatever that run said.
func TestAFormerClosingClosesNothingThatWasOpenedSince(t *testing.T) {
	for _, phase := range []string{"steady", "revoked", "switching"} {
		for _, how := range []string{"by hand before", "restart before", "by hand after", "by hand in between and closed again"} {
			t.Run(phase+" "+how, func(t *testing.T) {
				play(t, func(s *stage) {
					rec := steady(6, 3, hostA, hostB)
					rec.Proof = cluster.RiskRefused
					closed := hostB
					open := s.w.b()
					switch phase {
					case "revoked":
						rec, closed, open = revoked(6, hostA, hostB), hostA, s.w.a()
					case "switching":
						rec, closed, open = switching(6, 2, hostA, hostB), hostA, s.w.a()
					}
					s.bus.put(rec)
					stop := s.agent("one")
					s.pass(time.Second)
					if r := s.bus.report(s.T, closed, "one"); r.Closed != rec.Order() {
						s.Fatalf("set-up: closed under %s (%s)", r.Closed, r.Reason)
					}
					stop()
					byHand := func(f *fakeServer) { f.readOnly, f.super = false, false }
					switch how {
					case "by hand before":
						open.change(byHand)
					case "restart before":
						open.kill()
						open.start(false)
					case "by hand in between and closed again":
						open.change(byHand)
						open.change(func(f *fakeServer) { f.executed = union(f.flavor, f.executed, uuidA+":11-12") })
						open.change(func(f *fakeServer) { f.readOnly, f.super = true, true })
					}
					s.bus.mu.Lock()
					s.bus.slow = 50 * time.Millisecond
					s.bus.mu.Unlock()
					s.agent("one")
					if how == "by hand after" {
						s.pass(time.Second)
						open.change(byHand)
					}
					s.pass(3 * time.Second)
					if open.open() {
						s.Errorf("%s is still open", closed)
					}
					r := s.bus.report(s.T, closed, "one")
					if r.Closed != rec.Order() {
						s.Errorf("closed under %s (%s)", r.Closed, r.Reason)
					}
					if how == "by hand in between and closed again" && phase == "switching" && !strings.Contains(r.Executed, "1-12") {
						s.Errorf("acknowledged with %s", r.Executed)
					}
				})
			})
		}
	}
}
