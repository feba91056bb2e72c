package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// trail is what one monitor run has seen of the active, by its own clock.
type trail struct {
	run string
	// samples are full ones, oldest first. The first is the newest that the other
	// server was seen to have all of, or else the oldest of this run.
	samples []sample
	// gone is when nobody was first found to listen there, 0 while that is not so.
	gone int64
}

// sample is a position and when the sample that brought it began.
type sample struct {
	at       int64
	executed string
}

// mostSamples bounds a trail; of a longer one every second is left out, which
// makes what is said of the time coarser and never too short.
const mostSamples = 16

// takeTrails follows the active's positions until the role is given to another.
func (st *State) takeTrails(s *cluster.Snapshot, p *Policy) {
	active := s.Assignment.Active
	if active == "" {
		active = s.Assignment.From
	}
	if active == "" {
		return
	}
	st.trails.keep(func(k voice) bool { return k.node == active })
	for _, by := range st.views.of(active) {
		o := s.Observations[active][by.voice.name]
		was, _ := st.trails.get(by.voice)
		if t, changed := was.follow(&o, s.Observations[p.Pair.Other(active)]); changed {
			st.trails.put(by.voice, t)
		}
	}
}

// follow is t with what o brings of new.
func (t trail) follow(o *cluster.Observation, other map[string]cluster.Observation) (trail, bool) {
	changed := t.run != o.Run
	if changed {
		t = trail{run: o.Run}
	}
	switch gone := o.Cause == cluster.CauseRefused || o.Cause == cluster.CauseReset; {
	case !gone && t.gone != 0:
		t.gone, changed = 0, true
	case gone && t.gone == 0:
		t.gone, changed = o.EndedMS, true
	}
	one := sample{o.FullMS, o.Server.Executed}
	last := len(t.samples) - 1
	if one.at == 0 || one.executed == "" || last >= 0 && t.samples[last] == one {
		return t, changed
	}
	if one.heldBy(other) {
		if _, err := gtid.Parse(o.Server.Flavor, one.executed); err == nil {
			t.samples = []sample{one} // it is covered, as below
			return t, true
		}
	}
	t.samples = append(slices.Clone(t.samples), one)
	var have gtid.Set
	for _, r := range other {
		for _, text := range []string{r.Server.Executed, r.ReceivedMax, r.Server.Channel.Received} {
			if set, err := gtid.Parse(o.Server.Flavor, text); err == nil && (have.IsEmpty() || have.Flavor() == set.Flavor()) {
				have = have.Union(set)
			}
		}
	}
	parse := func(text string) (gtid.Set, error) { return gtid.Parse(o.Server.Flavor, text) }
	if i := covered(t.samples, have, parse); i > 0 {
		t.samples = t.samples[i:]
	}
	if len(t.samples) > mostSamples {
		var few []sample
		for i, one := range t.samples {
			if i%2 == 0 || i == len(t.samples)-1 {
				few = append(few, one)
			}
		}
		t.samples = few
	}
	return t, true
}

// heldBy reports whether some sample of the other server names just what s does.
func (s sample) heldBy(other map[string]cluster.Observation) bool {
	for _, r := range other {
		if s.executed == r.Server.Executed || s.executed == r.ReceivedMax || s.executed == r.Server.Channel.Received {
			return true
		}
	}
	return false
}

// covered is the newest of all that have contains; -1 for none.
func covered(all []sample, have gtid.Set, parse func(string) (gtid.Set, error)) int {
	for i, one := range slices.Backward(all) {
		if set, err := parse(one.executed); err == nil && have.Contains(set) {
			return i
		}
	}
	return -1
}

// window is the time whose writes another server may lack.
type window struct {
	sampled bool          // there is a last sample
	tail    time.Duration // from it until the server stopped answering
	known   bool          // of some sample it is known that the other has all of it
	length  time.Duration // from the newest of these until then
	since   time.Duration // for how long it may have gone on after that
	listens bool          // and may do so still
	back    bool          // it was closed since, and may have been started open before that
}

// window is that of active for a server that has have: the longest that any monitor
// tells that ever had its answer, since each knows its own clock alone.
func (s *situation) window(active *member, have gtid.Set) window {
	w := window{known: true}
	if _, closed := active.closedUnder(s.rec.Order()); closed {
		w.back = !s.startsClosed(active)
	}
	parse := func(text string) (gtid.Set, error) { return s.sets.Parse(active.server.Flavor, text) }
	for _, by := range s.st.views.of(active.node) {
		o := s.v.Snapshot.Observations[active.node][by.voice.name]
		if o.FullMS == 0 || !s.p.counts(by.voice.name) {
			continue
		}
		w.sampled = true
		now := (s.now - by.value.ahead(&o)).Milliseconds()
		end, stopped := now, now
		t, ok := s.st.trails.get(by.voice)
		if !o.Answered() {
			stopped = max(o.LastGoodMS, o.UnansweredMS)
			if t.gone != 0 && !w.back {
				end = t.gone
			}
		}
		w.listens = w.listens || t.gone == 0
		w.tail = max(w.tail, milliseconds(stopped-o.FullMS))
		w.since = max(w.since, milliseconds(end-stopped))
		i := -1
		if ok && t.run == o.Run {
			i = covered(t.samples, have, parse)
		}
		if i < 0 {
			w.known = false
			continue
		}
		w.length = max(w.length, milliseconds(stopped-t.samples[i].at))
	}
	w.known = w.known && w.sampled
	return w
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// loss counts what active is known to have had and have lacks.
func (s *situation) loss(active *member, have gtid.Set) (n uint64, exact, known bool) {
	if active.unread() {
		return 0, false, false
	}
	n, exact = active.executed.Missing(have)
	return n, exact, true
}

// compared reports whether all that active has was read when it was closed for the
// change of role under way.
func (s *situation) compared(active *member) bool {
	r, ok := active.closedUnder(s.rec.Order())
	return ok && s.rec.Phase == cluster.PhaseRevoked && active.tellsAll(&r) && active.fault == ""
}

// tellsAll reports whether r, of a server that was closed, tells what it has, though
// that be nothing.
func (m *member) tellsAll(r *cluster.Report) bool {
	return r.Executed != "" || m.known && m.server.Executed == ""
}

// tooMuchLost refuses a candidate that lacks more than max_loss allows; what is
// not known is not little. What no client was told of does not count.
func (s *situation) tooMuchLost(active, candidate *member, have gtid.Set) (cluster.Reason, bool) {
	if safeguard.Off(safeguard.MaxLoss) || s.nobodyTold(active, candidate) {
		return cluster.Reason{}, true
	}
	if s.p.MaxLoss >= 0 {
		switch n, _, known := s.loss(active, have); {
		case !known:
			return why(MaxLoss, "how much %s lacks is not known, since no position of %s was ever read, and max_loss is %d", candidate.node, active.node, s.p.MaxLoss), false
		case n > uint64(s.p.MaxLoss):
			return why(MaxLoss, "%s lacks %s of %s, and max_loss is %d", candidate.node, plural(n, "transaction"), active.node, s.p.MaxLoss), false
		}
	}
	if s.p.MaxLossAge > 0 {
		return s.tooLongLost(active, candidate, have)
	}
	return cluster.Reason{}, true
}

// tooLongLost refuses a candidate that may lack what active took over a longer time
// than max_loss allows. The words hold no time that grows while it is held.
func (s *situation) tooLongLost(active, candidate *member, have gtid.Set) (cluster.Reason, bool) {
	if s.compared(active) && have.Contains(active.executed) {
		return cluster.Reason{}, true
	}
	w := s.window(active, have)
	switch limit, set := s.p.MaxLossAge, fmt.Sprintf("%gs", s.p.MaxLossAge.Seconds()); {
	case !w.known:
		return why(MaxLoss, "for how long %s has lacked what %s took is not known: no sample is at hand of which it has everything, and max_loss is %s",
			candidate.node, active.node, set), false
	case active.life == alive && s.rec.Phase != cluster.PhaseRevoked:
		if w.length-w.tail > limit { // what it lacks now; it has the rest still to receive
			return why(MaxLoss, "%s lacks what %s took longer ago than max_loss, which is %s", candidate.node, active.node, set), false
		}
	case w.length > limit:
		return why(MaxLoss, "%s may lack what %s took in the last %s, and max_loss is %s", candidate.node, active.node, round(w.length), set), false
	case w.length+w.since > limit && w.back:
		return why(MaxLoss, "%s may lack what %s took in the last %s before it stopped answering, and what that took until it was closed, for longer than max_loss, which is %s: it may have been started open",
			candidate.node, active.node, round(w.length), set), false
	case w.length+w.since > limit:
		return why(MaxLoss, "%s may lack what %s took in the last %s before it stopped answering, and what that has taken since, for longer than max_loss, which is %s: it is not proved closed",
			candidate.node, active.node, round(w.length), set), false
	}
	return cluster.Reason{}, true
}

// ofNobodyTold ends the words on a loss that no client was told of as a success.
const ofNobodyTold = "; none of it was acknowledged to anybody: commits waited for the other server"

// tellLoss says in next what its failover leaves behind on active, to which is
// added, if it was not closed and compared, what is not known of that. The words
// name the epoch, since a record rebuilt in a later one keeps them.
func (s *situation) tellLoss(next *cluster.Assignment, active, to *member, have gtid.Set) {
	n, exact, known := s.loss(active, have)
	whole := s.compared(active)
	next.Loss, next.Left, next.Estimated = "", "", !whole
	if whole && n == 0 {
		return
	}
	var text string
	if n > 0 {
		left := active.executed.Minus(have)
		next.Left = left.String()
		text = counted(n, exact)
		if whole {
			text = fmt.Sprintf("%s, found on %s when it was closed: %s", text, active.node, listed(left, exact))
		} else {
			text = fmt.Sprintf("at least %s, by the last sample of %s: %s", text, active.node, listed(left, exact))
		}
	}
	switch {
	case !known:
		text = "not known: no position of the old active was ever read"
	case !whole:
		text = s.tellTime(text, active, have)
	}
	if s.nobodyTold(active, to) {
		text += ofNobodyTold
	}
	next.Loss = fmt.Sprint(text, ofFailover, next.Epoch)
}

// tellTime adds to text, which is empty where nothing is counted, of when that is,
// and for how long active went on after its last sample.
func (s *situation) tellTime(text string, active *member, have gtid.Set) string {
	w := s.window(active, have)
	switch {
	case text == "":
		text = fmt.Sprintf("nothing by the last sample of %s", active.node)
	case w.known:
		text += fmt.Sprintf(", of the last %s before it stopped answering", round(w.length))
	default:
		text += ", how old the oldest is is not known"
	}
	if w.sampled {
		text += fmt.Sprintf("; and what it took in the %s after that sample and did not pass on", round(w.tail))
	} else {
		text += "; and what it took after that sample and did not pass on"
	}
	if w.listens {
		text += ", or since, if it is open still"
	}
	return text
}

func counted(n uint64, exact bool) string {
	if !exact {
		return "about " + plural(n, "transaction")
	}
	return plural(n, "transaction")
}

func listed(left gtid.Set, exact bool) string {
	if !exact {
		return "up to " + short(left.String())
	}
	return short(left.String())
}

// ofFailover is followed by the epoch of the failover that words on a loss tell of.
const ofFailover = "; of the failover in epoch "

// ruleLossKnown compares the old active, which is back and closed, with what the
// new one took over, and corrects the estimate: once for each failover.
func ruleLossKnown(s *situation) (Decision, bool) {
	from, to := s.member(s.rec.Passive), s.member(s.rec.Active)
	if !s.rec.Estimated || from.node != s.rec.From || !s.comparable(from, to) {
		return Decision{}, false
	}
	have := to.executed
	if s.rec.Target != "" {
		have = s.parse(to, s.rec.Target)
	}
	told := s.parse(from, s.rec.Left)
	if to.server.Identity == "" || from.fault != "" || to.fault != "" {
		return Decision{}, false
	}
	left := from.executed.WithoutOrigin(to.server.Identity).Minus(have).Union(told)
	n, exact := left.Missing(have)
	var text string
	switch gone, _ := told.Minus(from.executed).Missing(have); {
	case n == 0:
		text = fmt.Sprintf("%s is back and has nothing that %s did not take over: nothing was left behind that it has not lost itself", from.node, to.node)
	case gone > 0:
		text = fmt.Sprintf("%s is back, and %s did not take over %s of it, of which %s has lost %s itself, or was rebuilt without: %s",
			from.node, to.node, counted(n, exact), from.node, counted(gone, exact), listed(left, exact))
	default:
		text = fmt.Sprintf("%s is back and has %s that %s did not take over: %s", from.node, counted(n, exact), to.node, listed(left, exact))
	}
	// It may have been in an earlier epoch: a record that is rebuilt keeps the words.
	said, epoch, _ := strings.Cut(s.rec.Loss, ofFailover)
	if n > 0 && strings.HasSuffix(said, ofNobodyTold) {
		text += ofNobodyTold
	}
	text += ofFailover + epoch
	next := s.rec.Clone()
	next.Version++
	next.Loss, next.Left, next.Estimated = text, left.String(), false
	if n == 0 || next.IsEligible(from.node) && s.errant(to, from).IsEmpty() { // it has been made whole
		next.Loss, next.Left = "", ""
	}
	d := s.change("loss known", next, cluster.Reason{Code: Steady, Text: text}, false)
	d.Transition.Next.Reason, d.Transition.Next.Actor = s.rec.Reason, s.rec.Actor
	return d, true
}

// comparable reports whether all that from, the old active, has is known, and that
// it took its last write.
func (s *situation) comparable(from, to *member) bool {
	if from.life != alive {
		return false
	}
	_, closed := from.report(func(r cluster.Report) bool {
		return from.tellsAll(&r) && (r.Closed.Epoch == s.rec.Epoch || r.Deed == cluster.DeedQuarantine && r.Order.Epoch == s.rec.Epoch)
	})
	return closed || s.joined(from, to)
}

// joined reports whether a sample shows from closed and replicating from to that
// began after to was seen open: one from before may be of when it was the passive.
func (s *situation) joined(from, to *member) bool {
	for _, by := range s.st.views.of(from.node) {
		o := s.v.Snapshot.Observations[from.node][by.voice.name]
		if o.Answered() && o.Server.ReadOnly == cluster.Yes && o.Server.Channel.Replicates(to.node) &&
			by.value.full(&o) > s.st.phaseIn {
			return true
		}
	}
	return false
}
