package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// override runs mmmctl failover to server.
func (s *stage) override(server *harness.Server, more ...string) harness.Output {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 60*time.Second)
	defer cancel()
	out, err := s.Tool(ctx, "mmmctl", append([]string{"failover", "--tag", harness.ServiceTag, "--to", string(server.Addr()), "--reason", "the test wants it", "--yes"}, more...)...)
	s.must(err)
	s.Logf("mmmctl failover: %s", out)
	return out
}

// A dies, B takes over, B dies, A is back: an operator opens A, paused and
// blocked as the pair is. He is told what is lost; B comes back closed and stays out.
func TestOverrideOpensTheOldActive(t *testing.T) {
	for _, left := range []leftover{redisKept, fileKept, rowsOnly} {
		t.Run(string(left), func(t *testing.T) {
			s := raise(t, options{tag: map[string]string{"failover_block": "60"}})
			record, _ := outage(s, left)
			s.must(s.a.Start(s.short()))
			s.held(2 * time.Second)
			if left == redisKept {
				out, err := s.Tool(s.short(), "mmmctl", "pause", "--tag", harness.ServiceTag, "--reason", "fire")
				s.must(err)
				if out.Code != 0 {
					t.Fatalf("mmmctl pause: %s", out)
				}
			}
			out := s.override(s.a)
			if out.Code != 0 {
				t.Fatalf("exit %d", out.Code)
			}
			want := []string{string(s.b.Addr()), "is not closed unless an agent still reaches it"}
			if left == redisKept {
				want = append(want, "overruled: automatic changes are paused", "overruled: failover_block", "lost: at least ")
			} else {
				want = append(want, "unknown: what "+string(s.b.Addr())+" has")
			}
			for _, text := range want {
				if !strings.Contains(out.Stderr, text) {
					t.Errorf("it does not say %q beforehand", text)
				}
			}
			after := s.open(s.a)
			if after.Proof != cluster.ProofOperator || !strings.Contains(after.Actor, "@") || !strings.Contains(after.Reason, "the test wants it") || after.Epoch <= record.Epoch || after.Blocked {
				t.Errorf("the record of the override: %+v", after)
			}
			s.more(s.write(1, 5*time.Millisecond), 20)
			s.must(s.b.Start(s.short()))
			if !s.rejoined(s.b, s.a) {
				t.Error("b replicates as if nothing were: it had rows that a lacks")
			}
			s.unmoved(2*time.Second, after)
		})
	}
}

// What an override does not do.
func TestOverrideIsRefused(t *testing.T) {
	s := raise(t, options{})
	before := s.record()
	refused := func(server *harness.Server, because string, more ...string) {
		t.Helper()
		out := s.override(server, more...)
		if out.Code != 5 || !strings.Contains(out.Stderr, because) {
			t.Errorf("exit %d, want 5 and %q", out.Code, because)
		}
	}
	refused(s.b, "is alive: use mmmctl switchover")
	refused(s.b, "is alive: use mmmctl switchover", "--force")
	refused(s.a, "is active already")
	s.b.Kill()
	s.told("candidate-down")
	refused(s.b, "is alive: use mmmctl switchover")
	s.unmoved(time.Second, before)
	out, err := s.Tool(s.short(), "mmmctl", "failover", "--tag", harness.ServiceTag, "--to", "127.0.0.1:1", "--reason", "x", "--yes")
	s.must(err)
	if out.Code != 7 {
		t.Errorf("a stranger: exit %d, want 7", out.Code)
	}
	out, err = s.Tool(s.short(), "mmmctl", "failover", "--tag", harness.ServiceTag, "--to", string(s.b.Addr()), "--reason", "x")
	s.must(err)
	if out.Code != 2 {
		t.Errorf("without a terminal: exit %d, want 2", out.Code)
	}
	// Without its agent a server is opened by nobody.
	s.must(s.b.Start(s.short()))
	s.whole(s.a)
	s.Daemon(harness.Agent).Kill()
	s.a.Kill()
	s.told("no-agent")
	refused(s.b, "no agent reports on")
}

// With unfenced=wait a failover waits for a proof that a killed server never
// gives; the operator's word takes its place.
func TestOverrideEndsTheWaitForAProof(t *testing.T) {
	s := raise(t, options{tag: map[string]string{"unfenced": "wait"}})
	before := s.record()
	s.a.Kill()
	s.await(15*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the failover waits for a proof", func(context.Context) (bool, string) {
			a := s.record()
			return a.Phase == cluster.PhaseRevoked, a.Reason
		})
	})
	s.told("wait-proof")
	if out := s.override(s.b); out.Code != 0 {
		t.Fatalf("exit %d", out.Code)
	}
	after := s.open(s.b)
	if after.Proof != cluster.ProofOperator || after.Epoch != before.Epoch+2 {
		t.Errorf("the record of the override: %+v", after)
	}
	s.must(s.a.Start(s.short()))
	s.rejoined(s.a, s.b)
}
