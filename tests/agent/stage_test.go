package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

const identify = "test identify"

// stage is one real pair with Redis; the test decides, agents act.
type stage struct {
	*testing.T
	*harness.Site
	token uint64
	a, b  *harness.Server
}

// The laboratory, and the programs: as built, and with failpoints.
var (
	lab        *harness.Lab
	programs   harness.Programs
	failpoints harness.Programs
)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	if missing := harness.Missing(); len(missing) > 0 {
		fmt.Printf("SKIPPED: every test of the agent on %s: not installed: %s; make test gets what is missing\n", harness.ChosenFlavor(), strings.Join(missing, ", "))
		if harness.MissingIsFailure() {
			return 1
		}
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if lab, err = harness.NewLab(harness.Options{}); err != nil {
		fmt.Println(err)
		return 1
	}
	defer lab.Close()
	if programs, err = lab.Build(ctx, harness.BuildOptions{}); err == nil {
		failpoints, err = lab.Build(ctx, harness.BuildOptions{Tags: []string{"failpoint"}})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// prepare starts a pair and a Redis where the test holds identify's lease.
func prepare(t *testing.T, bin harness.Programs) *stage {
	t.Helper()
	return prepareWith(t, bin, nil)
}

// prepareWith is prepare with further keys of the agent's file.
func prepareWith(t *testing.T, bin harness.Programs, agent map[string]string) *stage {
	t.Helper()
	s := &stage{T: t}
	ctx := s.within(time.Minute)
	var err error
	s.Site, err = lab.NewSite(ctx, harness.SiteOptions{Programs: bin, Agent: agent})
	s.must(err)
	s.a, s.b = s.Pair.A, s.Pair.B
	witness, err := s.Pair.Watch()
	s.must(err)
	t.Cleanup(func() {
		witness.Stop()
		if seen := witness.BothOpen(); len(seen) > 0 {
			t.Errorf("both servers were open at the same time, seen %d times", len(seen))
		}
		if t.Failed() {
			t.Log(s.Log(harness.Agent, 80))
		}
		s.Close()
	})
	s.must(s.Bus().PublishPair(ctx, cluster.Pair{Tag: harness.ServiceTag, UniqSign: s.UniqSign,
		Primary: s.a.Addr(), Secondary: s.b.Addr(), ServiceMode: cluster.ActivePassive}))
	var held bool
	s.token, held, _, err = s.Bus().Lead(ctx, s.UniqSign, identify, time.Hour)
	s.must(err)
	if !held {
		t.Fatal("the lease is not ours")
	}
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	s.Cleanup(cancel)
	return ctx
}

func (s *stage) start(env ...string) *harness.Daemon {
	s.Helper()
	d, err := s.Start(harness.Agent, env...)
	s.must(err)
	return d
}

// put writes next after the order in force, and returns it as written.
func (s *stage) put(next cluster.Assignment) cluster.Assignment {
	s.Helper()
	ctx := s.within(5 * time.Second)
	now, err := s.Bus().Assignment(ctx, s.UniqSign)
	s.must(err)
	written, err := s.Bus().Transition(ctx, s.UniqSign, identify, s.token, cluster.Transition{
		Expect: now.Order(), Next: next, Announce: next.Active != "" && next.Phase != cluster.PhaseSwitching,
		Event: cluster.Event{Kind: "test", Assignment: next}})
	s.must(err)
	return written
}

func record(epoch cluster.Epoch, version uint64, phase cluster.Phase, from, to *harness.Server) cluster.Assignment {
	r := cluster.Assignment{Epoch: epoch, Version: version, Phase: phase, From: from.Addr(), To: to.Addr(),
		Proof: cluster.ProofFenced, Actor: identify}
	switch phase {
	case cluster.PhaseSwitching:
		r.Active, r.Passive = from.Addr(), to.Addr()
	case cluster.PhaseSteady, cluster.PhaseOpening:
		r.Active, r.Passive = to.Addr(), from.Addr()
	}
	return r
}

// report waits until an agent's report of the server satisfies cond.
func (s *stage) report(server *harness.Server, what string, cond func(cluster.Report) bool) cluster.Report {
	s.Helper()
	r, err := s.WaitReport(s.within(20*time.Second), server, what, cond)
	s.must(err)
	return r
}

func (s *stage) deed(server *harness.Server, o cluster.Order, d cluster.Deed) cluster.Report {
	s.Helper()
	return s.report(server, fmt.Sprintf("%s under %s", d, o), func(r cluster.Report) bool { return r.Order == o && r.Deed == d })
}

func (s *stage) closed(server *harness.Server) bool {
	s.Helper()
	ro, err := server.ReadOnly(s.within(5 * time.Second))
	s.must(err)
	return ro
}
