package agent_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/agent"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomRecord(r *rand.Rand) cluster.Assignment {
	who := func() cluster.Endpoint {
		return pick(r, hostA, hostB, hostA, hostB, hostA, hostB, "", "6.6.6.6:1", "rubbish")
	}
	return cluster.Assignment{
		Epoch: cluster.Epoch(r.IntN(6)), Version: uint64(r.IntN(4)),
		Phase:  pick(r, cluster.PhaseSteady, cluster.PhaseSteady, cluster.PhaseOpening, cluster.PhaseRevoked, cluster.PhaseSwitching, "", "melting"),
		Active: who(), Passive: who(), From: who(), To: who(),
		Target:     pick(r, "", "", uuidA+":1-10", uuidA+":1-1000000", "rubbish", "0-1-2", "aaaa:-"),
		Proof:      pick(r, cluster.ProofNone, cluster.ProofFenced, cluster.RiskHung),
		EpochTable: pick(r, "", "mmm_meta.epoch"),
	}
}

// TestAnythingOnTheBus puts rubbish and valid records in any order on the bus,
// while servers die, hang and return: the agents go on, and whoever opens is
// the active of the record that was there.
func TestAnythingOnTheBus(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			play(t, func(s *stage) {
				r := rand.New(rand.NewPCG(seed, 1))
				for _, name := range []string{"app@%", "app2@10.%"} {
					s.w.account(s.w.a(), name, nil)
				}
				s.w.account(s.w.a(), "app3@%", func(a *fakeAccount) { a.locked, a.owners = true, true })
				s.w.account(s.w.b(), "mmm@%", nil)
				s.agent("one", blocks, on(&fakeStore{}))
				s.agent("two", blocks)
				for range 40 {
					before := map[cluster.Endpoint]bool{hostA: s.w.a().open(), hostB: s.w.b().open()}
					srv := pick(r, s.w.a(), s.w.b())
					rec := s.bus.snap.Assignment
					crashed := cluster.Endpoint("")
					switch r.IntN(12) {
					case 0:
						srv.kill()
					case 1:
						srv.start(r.IntN(2) == 0)
						crashed = srv.addr
					case 2:
						if srv.up && srv.hung == nil {
							srv.hang()
							s.pass(time.Duration(r.IntN(3000)) * time.Millisecond)
							srv.awake()
						}
					case 3:
						s.bus.setAway(true)
						s.pass(time.Duration(r.IntN(5000)) * time.Millisecond)
						s.bus.setAway(false)
					case 4:
						s.bus.say(agent.Wake{UniqSign: pick(r, uniq, "", "x"), Kind: pick(r, agent.WakeMessage, "view", "", agent.WakeReport),
							Named: []cluster.Endpoint{"rubbish"}, Message: "\x00"})
					case 5:
						_ = s.bus.SaveReport(t.Context(), uniq, cluster.Report{Node: pick(r, hostA, hostB, "x"), Agent: pick(r, "", "three"),
							Closed: rec.Order(), Ready: rec.Order(), Executed: pick(r, "", "rubbish", uuidA+":1-10")}, true)
					default:
						rec = randomRecord(r)
						s.bus.put(rec)
					}
					s.pass(time.Duration(r.IntN(2500)) * time.Millisecond)
					for e, was := range before {
						may := rec.Exists() && rec.Active == e && (rec.Phase == cluster.PhaseSteady || rec.Phase == cluster.PhaseOpening)
						if s.w.servers[e].open() && !was && !may && crashed != e {
							t.Fatalf("%s was opened under %+v", e, rec)
						}
					}
				}
				s.pass(3 * time.Second)
				s.nobodyWaitsOutside()
				for _, srv := range s.w.servers {
					if srv.canLogIn("app3@%") {
						t.Error("an account was released that its owner has locked")
					}
					if !srv.canLogIn("mmm@%") {
						t.Error("our own account is locked")
					}
				}
			})
		})
	}
}
