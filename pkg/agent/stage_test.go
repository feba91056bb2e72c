package agent_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// stage is a world, a bus and the agents on it, inside one synctest bubble.
type stage struct {
	*testing.T
	w    *world
	bus  *fakeBus
	logs syncLog
	stop []func()
}

// syncLog is a log that several goroutines write.
type syncLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *syncLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func play(t *testing.T, f func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, w: newWorld(), bus: newFakeBus()}
		defer func() {
			for _, stop := range s.stop {
				stop()
			}
			if t.Failed() {
				t.Log(s.logs.String())
			}
		}()
		f(s)
	})
}

// agent starts an agent and lets it settle.
func (s *stage) agent(id string, with ...func(*agent.Options)) (stop func()) {
	s.Helper()
	o := agent.Options{ID: id, Bus: s.bus, Node: s.w.node, Cause: causeOf, TryOnFailure: 3,
		Log: zerolog.New(&s.logs).With().Str("agent", id).Logger()}
	for _, f := range with {
		f(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			s.Errorf("Run = %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	s.stop = append(s.stop, stop)
	s.pass(100 * time.Millisecond)
	return stop
}

// pass lets d go by and everything come to rest.
func (s *stage) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (s *stage) put(rec cluster.Assignment) {
	s.bus.put(rec)
	synctest.Wait()
}

func (s *stage) want(node cluster.Endpoint, id string, deed cluster.Deed) cluster.Report {
	s.Helper()
	r := s.bus.report(s.T, node, id)
	if r.Deed != deed {
		s.Errorf("%s reports %s as %q (%s), want %q", id, node, r.Deed, r.Reason, deed)
	}
	return r
}

func (s *stage) wantOpen(a, b bool) {
	s.Helper()
	if gotA, gotB := s.w.a().open(), s.w.b().open(); gotA != a || gotB != b {
		s.Errorf("open: a=%v b=%v, want a=%v b=%v", gotA, gotB, a, b)
	}
}

func (s *stage) neverBothOpen() {
	s.Helper()
	if s.w.bothOpen {
		s.Error("both servers were open at one moment")
	}
}

func steady(epoch cluster.Epoch, version uint64, active, passive cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseSteady,
		Active: active, Passive: passive, From: passive, To: active, Proof: cluster.ProofFenced}
}

func revoked(epoch cluster.Epoch, from, to cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: 1, Phase: cluster.PhaseRevoked, From: from, To: to}
}

func opening(epoch cluster.Epoch, version uint64, active, passive cluster.Endpoint, target string) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseOpening,
		Active: active, Passive: passive, From: passive, To: active, Target: target, Proof: cluster.RiskRefused}
}

func switching(epoch cluster.Epoch, version uint64, from, to cluster.Endpoint) cluster.Assignment {
	return cluster.Assignment{Epoch: epoch, Version: version, Phase: cluster.PhaseSwitching,
		Active: from, Passive: to, From: from, To: to}
}
