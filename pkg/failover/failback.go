package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// FailbackRetry is the least time between a fail-back that was rolled back and the next.
const FailbackRetry = 10 * time.Second

// Failback says when the role returns to the primary host by itself.
type Failback string

// The answers; anything else counts as manual.
const (
	FailbackFollow Failback = "follow" // when its clients have returned there
	FailbackAuto   Failback = "auto"   // after a quiet time
	FailbackManual Failback = "manual" // never
)

const failbackRolledBack = cluster.CauseFailback + " rolled back"

// home is what a leader remembers of an active that is not the primary host.
// It is learnt anew by a new leader and in each epoch.
type home struct {
	epoch cluster.Epoch
	users map[string]bool // seen on the open active in this epoch
	// samples are the newest of the primary host by monitor. In every one since
	// first all conditions held; newest is when the last of them was read.
	samples       map[string]sampleID
	first, newest time.Duration
	client        string          // a user of the newest sample who counts
	waits         *cluster.Reason // why the condition does not hold; nil when it does
}

// sampleID names one full sample.
type sampleID struct {
	run string
	n   uint64
}

// numbered is what a fail-back asks of a server's sample, with its name.
type numbered struct {
	by       string
	id       sampleID
	readOnly cluster.Tri
	users    []string
}

// samples are the answered samples of m, by monitor.
func (s *situation) samples(m *member) []numbered {
	if m.legacy {
		p, ok := s.v.Probed[m.node]
		if !ok || m.life != alive {
			return nil
		}
		return []numbered{{"probe", sampleID{"", p.Seq}, p.Server.ReadOnly, p.Server.Users}}
	}
	var all []numbered
	observations := s.v.Snapshot.Observations[m.node]
	for _, by := range s.st.views.of(m.node) {
		name := by.voice.name
		o := observations[name]
		if !o.Answered() || !s.p.counts(name) {
			continue
		}
		all = append(all, numbered{name, sampleID{o.Run, uint64(o.FullMS)}, o.Server.ReadOnly, o.Server.Users})
	}
	return all
}

// dateHome follows the conditions of a fail-back through the samples.
func (s *situation) dateHome() {
	h := &s.st.home
	if !s.v.Leading || s.rec.Phase != cluster.PhaseSteady || s.rec.Active == s.p.Pair.Primary || !s.returns() {
		*h = home{}
		return
	}
	if h.epoch != s.rec.Epoch {
		*h = home{epoch: s.rec.Epoch, users: map[string]bool{}, samples: map[string]sampleID{}}
	}
	active, primary := s.member(s.rec.Active), s.member(s.p.Pair.Primary)
	for _, n := range s.samples(active) {
		if n.readOnly == cluster.No || active.legacy && active.server.ReadOnly == cluster.No {
			for _, u := range n.users {
				if !h.users[u] {
					h.users = maps.Clone(h.users)
					h.users[u] = true
				}
			}
		}
	}
	var fresh []numbered
	all := s.samples(primary)
	for _, n := range all {
		if h.samples[n.by] != n.id {
			fresh = append(fresh, n)
		}
	}
	if no, ok := s.returnable(active, primary); !ok {
		if never, is := s.lockedOut(primary); is {
			no = never
		}
		h.waits, h.first = &no, 0
		h.note(all)
		return
	}
	if len(fresh) == 0 {
		if h.first != 0 && s.now-h.newest > s.p.sampleLost() {
			h.first = 0
		}
		return
	}
	h.note(all)
	for _, n := range fresh {
		if no, ok := s.asksFor(primary, n.users); !ok {
			h.waits, h.first = &no, 0
			return
		}
	}
	if h.first == 0 || s.now-h.newest > s.p.sampleLost() {
		h.first = s.now
	}
	h.waits, h.newest = nil, s.now
}

func (h *home) note(all []numbered) {
	h.samples = map[string]sampleID{}
	for _, n := range all {
		h.samples[n.by] = n.id
	}
}

// sampleLost is the age of a sample after which the next one must have been missed.
func (p Policy) sampleLost() time.Duration { return max(3*p.Interval, 3*time.Second) }

// returns reports whether the role may ever return by itself.
func (s *situation) returns() bool {
	return s.p.Pair.ServiceMode == cluster.ActivePassive && (s.p.Failback == FailbackFollow || s.p.Failback == FailbackAuto)
}

// returnable checks what must hold in every sample, whoever asks for the change.
func (s *situation) returnable(active, primary *member) (cluster.Reason, bool) {
	if pause := s.v.Snapshot.Pause; pause != nil {
		return paused(*pause), false
	}
	if s.rec.Blocked && s.p.FailoverBlock > 0 {
		return s.blocked(), false
	}
	if len(active.reports)+len(primary.reports) == 0 {
		return why(NoAgent, "the predecessor's agent acknowledges nothing, and a role is not moved on purpose without an acknowledgement"), false
	}
	if no, ok := s.movable(active, primary); !ok {
		return no, false
	}
	if !s.rec.IsEligible(primary.node) {
		return why(NotEligible, "%s; mmmctl switchover moves it earlier", s.notSeen(active, primary)), false
	}
	if d := primary.server.Channel.Delay; d < 0 || d > WholeLag {
		return behind(primary), false
	}
	return cluster.Reason{}, true
}

// asksFor reports whether one sample of the primary host, with sessions of users, asks
// for the role: by one of a user who uses the active too, or always where nobody is followed.
func (s *situation) asksFor(primary *member, users []string) (cluster.Reason, bool) {
	h := &s.st.home
	if s.p.Failback == FailbackAuto {
		return cluster.Reason{}, true
	}
	for _, u := range users {
		if h.users[u] {
			h.client = u
			return cluster.Reason{}, true
		}
	}
	if no, ok := s.lockedOut(primary); ok {
		return no, false
	}
	return why(FailbackWaits, "the role returns to %s when a client of %s has been seen there for %s", primary.node, s.rec.Active, s.p.FailbackAfter), false
}

// lockedOut reports whether nobody is left whom failback=follow could follow.
func (s *situation) lockedOut(primary *member) (cluster.Reason, bool) {
	if s.p.Failback != FailbackFollow {
		return cluster.Reason{}, false
	}
	return LockedOut(s.rec.Active, primary.node, slices.Collect(maps.Keys(s.st.home.users)), primary.reports)
}

// LockedOut says why failback=follow cannot bring the role from active back to
// primary: agents report that block_user locks the users of active. Where none
// of these is known yet, it says so of those that are locked.
func LockedOut(active, primary cluster.Endpoint, users []string, reports map[string]cluster.Report) (cluster.Reason, bool) {
	locked := map[string]bool{}
	for _, r := range reports {
		for _, a := range r.Locked {
			locked[a.User] = true
		}
	}
	const instead = "use failback=auto, or mmmctl switchover"
	switch {
	case len(locked) == 0:
		return cluster.Reason{}, false
	case len(users) == 0:
		return why(FailbackLocked, "failback=follow cannot happen for the users that block_user locks on %s (%s): none of them can show itself there; %s",
			primary, short(strings.Join(slices.Sorted(maps.Keys(locked)), ", ")), instead), true
	case slices.ContainsFunc(users, func(u string) bool { return !locked[u] }):
		return cluster.Reason{}, false
	}
	return why(FailbackLocked, "failback=follow cannot happen: block_user locks the users of %s (%s) on %s, so that none can show itself there; %s",
		active, short(strings.Join(slices.Sorted(slices.Values(users)), ", ")), primary, instead), true
}

// failbackDue reports whether the conditions have held long enough, and how long is left.
func (s *situation) failbackDue() (left time.Duration, due bool) {
	h := &s.st.home
	if h.first == 0 {
		return 0, false
	}
	left = s.p.FailbackAfter - (h.newest - h.first)
	if s.rec.Cause == failbackRolledBack {
		left = max(left, max(FailbackRetry, s.p.FailbackAfter)-(s.now-s.st.phaseIn))
	}
	return left, left <= 0
}

// ruleFailback begins a planned switchover to the primary host.
func ruleFailback(s *situation) (Decision, bool) {
	left, due := s.failbackDue()
	if r := s.v.Snapshot.Request; !due || r != nil && !r.State.Ended() {
		if s.st.home.first != 0 {
			s.again(max(left, 100*time.Millisecond))
			s.again(max(s.p.Interval/2, 100*time.Millisecond))
		}
		return Decision{}, false
	}
	active, primary := s.member(s.rec.Active), s.member(s.p.Pair.Primary)
	because := fmt.Sprintf("failback=%s: it has been well for %s", s.p.Failback, s.p.FailbackAfter)
	if s.p.Failback == FailbackFollow {
		because = fmt.Sprintf("failback=%s: %s, who uses %s too, has been there for %s", s.p.Failback, s.st.home.client, active.node, s.p.FailbackAfter)
	}
	return s.beginSwitch(cluster.CauseFailback, "", why(Steady, "the role returns from %s to the primary host %s: %s", active.node, primary.node, because)), true
}

// failbackNote says what a fail-back waits for.
func (s *situation) failbackNote() (cluster.Reason, bool) {
	h := &s.st.home
	primary := s.p.Pair.Primary
	switch {
	case s.rec.Active == primary || !s.returns() || h.epoch == 0:
		return cluster.Reason{}, false
	case h.waits != nil && (h.waits.Code == FailbackLocked || h.waits.Code == FailbackWaits):
		return *h.waits, true
	case h.waits != nil:
		return plainly(FailbackWaits, "the role does not return to "+string(primary)+" yet: "+h.waits.Text), true
	case h.first == 0:
		return why(FailbackWaits, "the role returns to %s when it has been seen well for %s", primary, s.p.FailbackAfter), true
	}
	left, _ := s.failbackDue()
	text := fmt.Sprintf("the role returns to %s in %s", primary, max(left, 0).Round(time.Second))
	if s.p.Failback == FailbackFollow {
		text += fmt.Sprintf(": %s, who uses %s too, is there", h.client, s.rec.Active)
	}
	return why(FailbackDue, "%s", text), true
}
