package check

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/lab/history"
)

func TestDurable(t *testing.T) {
	for _, c := range []struct {
		name    string
		round   func(*Round)
		sums    Sums
		finding string
	}{
		{"nothing is lost", func(*Round) {}, Sums{}, ""},
		{"rows are lost that were acknowledged alone", func(*Round) {}, Sums{LostUnpromised: 3}, "3 rows are lost"},
		{"two servers acknowledge", func(*Round) {}, Sums{DualRows: 2, Dual: time.Second}, "2 rows were acknowledged by one server in the 1000.0 ms"},
		{"commits wait for nobody", func(r *Round) { r.Durability = cluster.Async }, Sums{LostUnpromised: 3}, ""},
		{"Redis was set back", func(r *Round) { r.Loose = true }, Sums{LostUnpromised: 3}, ""},
		{"an operator gave them up", func(r *Round) {
			e := event(3, 3, 1, cluster.PhaseSteady, a, cluster.ProofOperator)
			e.Assignment.Cause = cluster.CauseForced
			r.Trail.Add(1, e)
		}, Sums{LostUnpromised: 3}, ""},
		{"acknowledged while the other has no process", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(50), at(300)}}
		}, Sums{}, "db1:3306 acknowledged 1 writes while db2:3306 had no process"},
		{"without a promise for that time", func(r *Round) { r.Down = []Down{{b, at(50), at(300)}} }, Sums{}, ""},
		{"invoked before it ended", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(150), at(300)}}
		}, Sums{}, ""},
		{"told after it was started", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{b, at(50), at(150)}}
		}, Sums{}, ""},
		{"by the same server before it ended", func(r *Round) {
			r.Durability = cluster.SemiSyncStrict
			r.Down = []Down{{a, at(50), at(300)}}
		}, Sums{}, ""},
	} {
		s := newStory()
		s.Durability = cluster.SemiSync
		s.op(history.Transfer, a, 100, 200, history.OK)
		c.round(&s.Round)
		expect(t, c.name, Durable(s.Round, c.sums), c.finding)
	}
}
