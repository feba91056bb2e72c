package world

import (
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// FinalServer is what one server is after the heal.
type FinalServer struct {
	Up, Open bool
	// IO and SQL report whether the threads of its channel run.
	IO, SQL bool
	// Locked: the application's account cannot log in.
	Locked bool
	// Quarantined: the newest report of some agent says so; Reason is its reason.
	Quarantined bool
	Reason      string
}

// FinalFacts are what the world is after the heal, when it has converged or its
// time is over.
type FinalFacts struct {
	Record  cluster.Assignment
	Verdict string
	// Servers are in the order of Promise.Members.
	Servers [2]FinalServer
}

// Final tells what the world is at its end.
func (j *Judge) Final(now time.Duration, f FinalFacts) {
	a := f.Record
	if a.Phase != cluster.PhaseSteady || a.Active == "" || a.Passive == "" {
		j.unsettled(now, f)
		return
	}
	i := 0
	if a.Active != j.p.Members[0] {
		i = 1
	}
	active, passive := f.Servers[i], f.Servers[1-i]
	switch {
	case !active.Up || !passive.Up:
		j.fail(now, "I5", "a server is down after the heal: %+v", f.Servers)
	case !active.Open && passive.Open:
		j.fail(now, "I5", "%s is active under %s and closed, %s is open", a.Active, a.Order(), a.Passive)
	case !active.Open || active.Locked && !j.unnoted && !(j.unwritten && j.lost):
		j.fail(now, "L1", "%s is active under %s, and takes no writes: %+v; %s", a.Active, a.Order(), active, f.Verdict)
	case passive.Open:
		j.fail(now, "I5", "%s is passive under %s and open", a.Passive, a.Order())
	case j.p.Blocks && !passive.Locked:
		j.fail(now, "I5", "%s is passive under %s and lets the application log in", a.Passive, a.Order())
	}
	j.whole(now, a, active, passive)
	if a.Estimated && a.IsEligible(a.Passive) {
		j.fail(now, "I15", "%s is back and closed, and what was left behind on it is not known under %s: %s", a.Passive, a.Order(), a.Loss)
	}
	j.present(now, a.Active, active.SQL, a.Order())
}

// present judges that e, which was the last to have the role, has what was acknowledged.
func (j *Judge) present(now time.Duration, e cluster.Endpoint, applies bool, o cluster.Order) {
	own, _ := j.god.Extra(e, j.other(e))
	applying := applies && j.god.Unapplied(e) > 0
	barred := own > 0 && j.god.Stuck(e)
	for n, r := range j.rows {
		if r&waits != 0 && (applying || barred) {
			continue
		}
		if r&(acked|gone) == acked && !j.god.Has(e, uint64(n)) {
			j.fail(now, "I2", "row %d was acknowledged, no change of role has left it behind, and %s, the last active under %s, lacks it", n, e, o)
			return
		}
	}
}

// unsettled judges a pair that has no active after the heal.
func (j *Judge) unsettled(now time.Duration, f FinalFacts) {
	a, b := j.p.Members[0], j.p.Members[1]
	if i := slices.Index(j.p.Members[:], j.lastOpen); i >= 0 {
		j.present(now, j.lastOpen, f.Servers[i].SQL, f.Record.Order())
	}
	_, ab := j.god.Extra(a, b)
	_, ba := j.god.Extra(b, a)
	diverged := ab > 0 && ba > 0
	for i, s := range f.Servers {
		if e := j.p.Members[i]; s.Open && j.m[i].how == ByAgent {
			j.fail(now, "I5", "nobody is active after the heal (%s %s), and %s is open", f.Record.Order(), f.Record.Phase, e)
			return
		} else if diverged && !f.Record.Exists() && !strings.Contains(f.Verdict, string(e)) {
			j.fail(now, "L1", "nobody was ever active, both servers have what the other lacks, and the reason does not name %s: %s", e, f.Verdict)
			return
		}
	}
	switch {
	case f.Verdict == "":
	case diverged && (j.split || j.strayed()):
		j.Seen.Count(SawHeldAtTheEnd)
		return
	case j.brokenByPerson(f):
		j.Seen.Count(SawHeldForAPerson)
		return
	}
	j.fail(now, "L1", "nobody is active after the heal: %s %s; %s", f.Record.Order(), f.Record.Phase, f.Verdict)
}

// strayed reports whether a server holds alone what it acknowledged when its option file
// had opened it: both may have done so one after the other.
func (j *Judge) strayed() bool {
	for i, r := range j.rows {
		if r&(byBoot0|byBoot1) != 0 && j.god.Has(j.p.Members[0], uint64(i)) != j.god.Has(j.p.Members[1], uint64(i)) {
			return true
		}
	}
	return false
}

// brokenByPerson reports whether the pair is held by what a person has broken and
// left so: a row that only one server has, or a candidate that does not replicate.
func (j *Judge) brokenByPerson(f FinalFacts) bool {
	for _, f := range j.foreign {
		if j.god.Has(j.p.Members[0], f.row) != j.god.Has(j.p.Members[1], f.row) {
			return true
		}
	}
	for i, s := range f.Servers {
		if j.m[i].halted && f.Record.Phase == cluster.PhaseRevoked && f.Record.To == j.p.Members[i] && !(s.IO && s.SQL) {
			return true
		}
	}
	return false
}

// whole judges the replication of a settled pair.
func (j *Judge) whole(now time.Duration, a cluster.Assignment, active, passive FinalServer) {
	rows, all := j.god.Extra(a.Passive, a.Active)
	switch {
	case !passive.Quarantined && rows > 0:
		j.fail(now, "I8", "%s has %d transactions that %s, the active under %s, lacks, and is not in quarantine", a.Passive, rows, a.Active, a.Order())
	case !passive.Quarantined:
		if !passive.IO || !passive.SQL || !active.IO || !active.SQL {
			j.fail(now, "L2", "the servers do not replicate from each other under %s: %s %+v, %s %+v", a.Order(), a.Active, active, a.Passive, passive)
		}
	case all == 0:
		j.fail(now, "L2", "%s is in quarantine under %s and has nothing that %s lacks: %s", a.Passive, a.Order(), a.Active, passive.Reason)
	case passive.IO || active.IO:
		j.fail(now, "I8", "%s is in quarantine under %s, and replication runs: %s %+v, %s %+v", a.Passive, a.Order(), a.Active, active, a.Passive, passive)
	case passive.Reason == "":
		j.fail(now, "L2", "%s is in quarantine under %s without a reason", a.Passive, a.Order())
	default:
		j.Seen.Count(SawQuarantinedAtTheEnd)
	}
}
