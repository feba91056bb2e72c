package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Opening is what an agent has told of opening a server.
type Opening struct {
	Agent  string
	Server cluster.Endpoint
	Order  cluster.Order
	At     time.Time
	Risk   string // in words; empty for none
}

// Trail is the audit trail of a run with the openings that agents told of. Events belong
// to a generation, which the caller numbers: a Redis that was emptied, set back or
// replaced by one that lagged begins another one, since its record may be older than what was
// decided before.
//
// In each generation orders only rise, each epoch has one active at most, and who is named
// after another, or after nobody was, has a proof or a named risk; a failover that nobody asked
// for is not blocked by the one before, and goes to a server that the record has as eligible. What agents open is held
// across generations, as they remember: each opening belongs to a record that
// had its order and named that server, an epoch opens one server, and no agent goes back. A
// generation with two masters excuses what is opened in its epochs. An order that
// no event tells of is excused where the trail may have lost it: before the first event of
// a generation, and after the last one.
type Trail struct {
	generations map[int]*generation
	openings    []Opening
	faults      []Finding
	told        map[string]bool
}

type generation struct {
	events map[string]entry
	forked bool
}

// entry is an event with its place in the stream.
type entry struct {
	cluster.Event
	ms, seq uint64
}

// NewTrail makes an empty trail.
func NewTrail() *Trail {
	return &Trail{generations: map[int]*generation{}, told: map[string]bool{}}
}

func (t *Trail) generation(n int) *generation {
	g := t.generations[n]
	if g == nil {
		g = &generation{events: map[string]entry{}}
		t.generations[n] = g
	}
	return g
}

// Add adds events of a generation; those that are there already change nothing.
func (t *Trail) Add(n int, events ...cluster.Event) {
	g := t.generation(n)
	for _, e := range events {
		first, second, _ := strings.Cut(e.ID, "-")
		ms, err := strconv.ParseUint(first, 10, 64)
		seq, err2 := strconv.ParseUint(second, 10, 64)
		switch was, ok := g.events[e.ID]; {
		case err != nil || err2 != nil:
			t.fault("event %q of generation %d has no id of a stream", e.ID, n)
		case !e.Assignment.Exists():
			t.fault("event %s of generation %d, %q, tells of no record: %s", e.ID, n, e.Kind, e.Reason)
		case ok && !was.Assignment.Same(e.Assignment):
			t.fault("event %s of generation %d tells of %s, and told of %s", e.ID, n, e.Assignment.Order(), was.Assignment.Order())
		default:
			g.events[e.ID] = entry{e, ms, seq}
		}
	}
}

// Opened adds what agents told of openings.
func (t *Trail) Opened(openings ...Opening) { t.openings = append(t.openings, openings...) }

// Fork tells that there were two masters of Redis in a generation.
func (t *Trail) Fork(n int) { t.generation(n).forked = true }

func (t *Trail) fault(format string, args ...any) {
	t.faults = append(t.faults, Finding{"epochs", fmt.Sprintf(format, args...)})
}

// Check judges all that was added so far, and tells each finding once.
func (t *Trail) Check() []Finding {
	kept := len(t.faults)
	all := t.inOrder()
	for _, s := range all {
		t.records(s)
	}
	t.opened(all)
	var fresh []Finding
	for _, f := range t.faults {
		if !t.told[f.Text] {
			t.told[f.Text] = true
			fresh = append(fresh, f)
		}
	}
	t.faults = t.faults[:kept]
	return fresh
}

// stream is one generation in the order of its ids.
type stream struct {
	number int
	events []entry
	forked bool
	// lostUntil: what agents opened before may belong to records at the end of this
	// generation that were lost with it; zero for the last generation.
	lostUntil time.Time
}

func (s stream) first() cluster.Order { return s.events[0].Assignment.Order() }

func (s stream) last() cluster.Order { return s.events[len(s.events)-1].Assignment.Order() }

// lateOpening is how long an agent that was held up may open by what it read before.
const lateOpening = 10 * time.Second

// inOrder gives the generations that have events.
func (t *Trail) inOrder() []stream {
	var all []stream
	for _, n := range slices.Sorted(maps.Keys(t.generations)) {
		g := t.generations[n]
		events := slices.SortedFunc(maps.Values(g.events), func(a, b entry) int {
			return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.seq, b.seq))
		})
		if len(events) == 0 {
			continue
		}
		if len(all) > 0 {
			before := &all[len(all)-1]
			for _, e := range events {
				if _, ok := t.generations[before.number].events[e.ID]; !ok {
					before.lostUntil = time.UnixMilli(int64(e.ms)).Add(lateOpening)
					break
				}
			}
		}
		all = append(all, stream{number: n, events: events, forked: g.forked})
	}
	return all
}

// records judges the events of one generation.
func (t *Trail) records(s stream) {
	actives := map[cluster.Epoch]cluster.Endpoint{}
	var before entry
	var holder cluster.Endpoint
	for i, e := range s.events {
		a := e.Assignment
		if i > 0 && !before.Assignment.Order().Before(a.Order()) {
			t.fault("the record goes from %s to %s (events %s and %s of generation %d)", before.Assignment.Order(), a.Order(), before.ID, e.ID, s.number)
		}
		if !s.forked {
			t.byItself(before.Assignment, e, s.number)
		}
		if a.Active != "" {
			if was, ok := actives[a.Epoch]; ok && was != a.Active {
				t.fault("epoch %d has %s as its active, and had %s (event %s of generation %d)", a.Epoch, a.Active, was, e.ID, s.number)
			}
			actives[a.Epoch] = a.Active
			named := before.Assignment.Phase == cluster.PhaseRevoked || holder != a.Active
			known := i > 0 || a.Order() == cluster.Order{Epoch: 1, Version: 1}
			// Rebuilt after a switchover had begun it says again what was decided before.
			again := e.Kind == kindRebuilt && a.Proof == cluster.ProofNone
			if known && named && !again && !isNamed(a.Proof) {
				t.fault("%s names %s after %q with the proof %q (event %s of generation %d)", a.Order(), a.Active, holder, a.Proof, e.ID, s.number)
			}
			holder = a.Active
		}
		before = e
	}
}

// byItself judges that a failover that nobody asked for was allowed by the record before it.
func (t *Trail) byItself(before cluster.Assignment, e entry, generation int) {
	a := e.Assignment
	if a.Phase != cluster.PhaseRevoked || !strings.HasPrefix(a.Cause, cluster.CauseDeath) || !before.Exists() {
		return
	}
	why := ""
	switch {
	case before.Blocked:
		why = "though the last failover still blocked it"
	case before.Phase == cluster.PhaseOpening || a.Cause == cluster.CauseTail:
		// Who was to be opened died, or who is active has lost what the other has: it has all that is left.
	case !before.IsEligible(a.To):
		why = "which was not eligible"
	}
	if why != "" {
		t.faults = append(t.faults, Finding{"failovers", fmt.Sprintf("%s gives the role of %s to %s, %s, by %s (event %s of generation %d)",
			a.Order(), a.From, a.To, why, before.Order(), e.ID, generation)})
	}
}

// kindRebuilt is the event of a record that Redis had lost.
const kindRebuilt = "rebuilt"

// isNamed reports whether p is one of the proofs or risks that there are.
func isNamed(p cluster.Proof) bool {
	switch p {
	case cluster.ProofFenced, cluster.ProofGone, cluster.ProofLease, cluster.ProofAcks, cluster.ProofEnded, cluster.ProofOperator, cluster.ProofLegacy,
		cluster.RiskRefused, cluster.RiskEnded, cluster.RiskHung, cluster.RiskHungUnasked, cluster.RiskSilent, cluster.RiskUnseen, cluster.RiskBothOpen, cluster.RiskWaited:
		return true
	}
	return false
}

// opened judges what agents opened.
func (t *Trail) opened(all []stream) {
	openings := slices.SortedStableFunc(slices.Values(t.openings), func(a, b Opening) int { return a.At.Compare(b.At) })
	last := map[string]Opening{}
	by := map[cluster.Epoch]Opening{}
	for _, o := range openings {
		if was, ok := last[o.Agent]; ok && o.Order.Before(was.Order) {
			t.fault("agent %s opens %s under %s after %s under %s", o.Agent, o.Server, o.Order, was.Server, was.Order)
		}
		last[o.Agent] = o
		forked := forkedAt(all, o.Order.Epoch)
		if was, ok := by[o.Order.Epoch]; ok && was.Server != o.Server && !forked {
			t.fault("agent %s opens %s in epoch %d, and agent %s opened %s", o.Agent, o.Server, o.Order.Epoch, was.Agent, was.Server)
		}
		by[o.Order.Epoch] = o
		if !forked {
			t.recorded(all, o)
		}
	}
}

// recorded judges that a record had the order of an opening.
func (t *Trail) recorded(all []stream, o Opening) {
	covered := false
	var other cluster.Assignment
	for i, s := range all {
		if s.last().Before(o.Order) && (i == len(all)-1 || o.At.Before(s.lostUntil)) {
			return // not read yet, or lost
		}
		covered = covered || !o.Order.Before(s.first()) && !s.last().Before(o.Order)
		for _, e := range s.events {
			switch {
			case e.Assignment.Order() != o.Order:
			case e.Assignment.Active == o.Server:
				return
			default:
				other = e.Assignment
			}
		}
	}
	switch {
	case other.Exists():
		t.fault("agent %s opens %s under %s, which names %q as the active", o.Agent, o.Server, o.Order, other.Active)
	case covered:
		t.fault("agent %s opens %s under %s, and no record had that order", o.Agent, o.Server, o.Order)
	}
}

// forkedAt reports whether a generation with two masters may have had the epoch: each
// may have gone on for some epochs from where they parted.
func forkedAt(all []stream, epoch cluster.Epoch) bool {
	return slices.ContainsFunc(all, func(s stream) bool {
		return s.forked && s.first().Epoch <= epoch && epoch <= s.last().Epoch+1
	})
}

// risk reports whether the active of an epoch was named by less than a proof, and
// whether the trail knows that epoch.
func (t *Trail) risk(epoch cluster.Epoch, weak []cluster.Proof) (risk, known bool) {
	if t == nil {
		return false, false
	}
	for _, g := range t.generations {
		for _, e := range g.events {
			if e.Assignment.Epoch == epoch && e.Assignment.Active != "" {
				known = true
				risk = risk || e.Assignment.Proof.IsRisk() || slices.Contains(weak, e.Assignment.Proof)
			}
		}
	}
	for _, o := range t.openings {
		risk = risk || o.Order.Epoch == epoch && o.Risk != ""
	}
	return risk || known && forkedAt(t.inOrder(), epoch), known
}

// forced reports whether an operator has gone on although not all could be applied.
func (t *Trail) forced() bool {
	if t == nil {
		return false
	}
	for _, g := range t.generations {
		for _, e := range g.events {
			if e.Assignment.Forced() {
				return true
			}
		}
	}
	return false
}
