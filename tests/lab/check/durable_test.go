package check

import (
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

func TestDurable(t *testing.T) {
	for _, c := range []struct {
		name    string
		round   func(*Round)
		lost    int
		finding string
	}{
		{"nothing is lost", func(*Round) {}, 0, ""},
		{"rows are lost that were acknowledged alone", func(*Round) {}, 3, "3 rows are lost"},
		{"commits wait for nobody", func(r *Round) { r.Durability = cluster.Async }, 3, ""},
		{"Redis was set back", func(r *Round) { r.Loose = true }, 3, ""},
		{"an operator gave them up", func(r *Round) {
			e := event(3, 3, 1, cluster.PhaseSteady, a, cluster.ProofOperator)
			e.Assignment.Cause = cluster.CauseForced
			r.Trail.Add(1, e)
		}, 3, ""},
		{"acknowledged while the other has no process", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(50), at(300)}}
		}, 0, "db1:3306 acknowledged 1 writes while db2:3306 had no process"},
		{"without a promise for that time", func(r *Round) { r.Down = []Down{{b, at(50), at(300)}} }, 0, ""},
		{"invoked before it ended", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(150), at(300)}}
		}, 0, ""},
		{"told after it was started", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(50), at(150)}}
		}, 0, ""},
		{"by the same server before it ended", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{a, at(50), at(300)}}
		}, 0, ""},
	} {
		s := newStory()
		s.Durability = cluster.SemiSync
		s.op(history.Transfer, a, 100, 200, history.OK)
		c.round(&s.Round)
		expect(t, c.name, Durable(s.Round, Sums{LostUnpromised: c.lost}), c.finding)
	}
}
