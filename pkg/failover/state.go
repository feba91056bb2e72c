package failover

import (
	"maps"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
	"github.com/mmm-manager/mmm-manager/pkg/safeguard"
)

// View is everything known at one instant.
type View struct {
	Snapshot cluster.Snapshot
	// Probed are samples that identify took itself, of servers that only the
	// predecessor's monitor watches.
	Probed map[cluster.Endpoint]Probe
	// ID is this identify; Leading reports whether it holds the lease now.
	ID      string
	Leading bool
	// Token is that of the lease: another one tells that it was lost meanwhile.
	Token uint64
	// Silence is what Redis answered when it was told that this pair is silent; nil
	// when it was not told for this decision, or gave no answer.
	Silence *Silence
	// Desk is where it is worked on; nil is one for this decision alone.
	Desk *Desk
}

// Desk is what a loop that decides again and again keeps to do so at less cost:
// the room for the working paper, and positions that were parsed. Nothing that
// is decided depends on it. One decision at a time uses it; the zero value is ready.
type Desk struct {
	paper situation
	sets  gtid.Memo
}

// Probe is a sample that identify took itself; Seq differs from that of the one before.
type Probe struct {
	Server cluster.Server
	Seq    uint64
}

// State is what identify remembers of one tag from one decision to the next.
// The zero value knows nothing.
type State struct {
	remember  cluster.Assignment // newest record ever seen
	inForce   time.Duration      // when it was last seen in force
	ledSince  time.Duration      // leading since; 0 when not leading
	seenSince time.Duration      // since when samples are in Redis; 0 when none is
	led       time.Duration      // when it last led
	token     uint64             // under which it led then
	alone     time.Duration      // since when nobody else can have changed the record; 0 when not leading
	lostSince time.Duration      // the record has been missing or old since
	views     table[heard]
	reports   table[heard]
	// newer and newerReports are the views and reports behind which Redis has gone back.
	newer, newerReports passed
	closings            table[closing]
	endings             table[ending]
	checks              table[checkCount] // by nobody
	witness             table[witness]    // by monitor and replica
	trails              table[trail]      // of the active
	agents              bool              // some agent of ours has reported
	readAt              time.Duration     // when everything was read last
	found               cluster.Order     // the record that was there when this process began to look, or did again
	foundAt             time.Duration
	whole               time.Duration // the pair has been whole since; 0 when it is not
	goal                goal
	// startedAt is when each member was started, as far as samples tell; vouchedAt since
	// when the passive is known to hold all that the active acknowledged, and vouching
	// what that will be once it is recorded; 0 when not.
	startedAt           [2]time.Duration
	vouchedAt, vouching time.Duration
	starts              [2]start // of each member
	watched             bool     // there was a look at a record before this one
	// mute is since when nothing has been acknowledged of what waits in epoch muteIn, 0 when it is not
	// so or another leads, and heardOf what the passive had received then; awaitAt when commits may be made to wait again,
	// though they do when it has received more.
	mute    time.Duration
	muteIn  cluster.Epoch
	heardOf gtid.Set
	awaitAt time.Duration
	// awaitedAt is when an agent was first heard to have commits wait under awaited.
	awaited   cluster.Order
	awaitedAt time.Duration
	remind    time.Duration // not before this the predecessor's agent is reminded
	phase     cluster.Phase
	phaseIn   time.Duration // when the present phase was first seen
	phaseOf   cluster.Order // the order at which it was first seen
	grant     grantSeen
	home      home
	told      told
	marks     []mark
}

// Remembered is the newest assignment that the state knows.
func (st State) Remembered() cluster.Assignment { return st.remember }

// Wrote is st after the record a was written: it is remembered though nobody may
// ever read it again.
func (st State) Wrote(a cluster.Assignment) State {
	if st.remember.Order().Before(a.Order()) {
		st.remember, st.inForce = a.Clone(), st.led
	}
	return st
}

// AnyGone reports whether a report is a last word, which is numbered 0, or has not
// moved for at least age.
func (st State) AnyGone(age, now time.Duration) bool {
	return slices.ContainsFunc(st.reports, func(r row[heard]) bool { return r.value.seq == 0 || now-r.value.at >= age })
}

// Gone are the reports in snap that have not moved for at least age, of nodes
// that another agent reports on now: a pair whose last agent is away must not
// look like one that never had any.
func (st State) Gone(snap cluster.Snapshot, age, now time.Duration) []cluster.Report {
	var gone []cluster.Report
	for node, byAgent := range snap.Reports {
		var old []cluster.Report
		lives := false
		for agent, r := range byAgent {
			h, known := st.reports.get(voice{node, agent})
			lives = lives || known && now-h.at <= AgentAway
			if known && now-h.at >= age {
				r.Node, r.Agent = node, agent
				old = append(old, r)
			}
		}
		if lives {
			gone = append(gone, old...)
		}
	}
	return gone
}

// closing is the newest closing that an agent reports, when all was last read
// before it, and what the views were then: they are of before.
type closing struct {
	order cluster.Order
	after time.Duration
	views table[heard]
}

// ending is the end of a server's process that an agent reports, when that was first read,
// and what the views were then.
type ending struct {
	uptime int64
	at     time.Duration
	views  table[heard]
}

// checkCount counts successive values of a predecessor's check with ping 0.
type checkCount struct {
	last  int64
	zeros int
	at    time.Duration
}

// witness follows what a replica receives while its source does not answer.
type witness struct {
	run        string
	since      int64 // UnansweredMS of the source, on the monitor's clock
	began      int64 // of the newest replica sample taken in
	samples    int
	received   string
	heartbeats uint64
	advanced   time.Duration // when it last advanced, on our clock
	stillSince time.Duration // first sample since which nothing advanced
}

// goal is what a passive must have before it may take over: all that the active
// had when the passive was first seen replicating.
type goal struct {
	epoch cluster.Epoch // 0 for none
	set   gtid.Set
	at    time.Duration // when the sample began, where commits wait
}

type mark struct {
	name string
	at   time.Duration
	note string
}

// take enters a snapshot into the memory: it dates what changed.
func (st *State) take(v *View, p *Policy, now time.Duration) {
	s := &v.Snapshot
	// Who leads on has missed nothing.
	if on := v.Leading && st.ledSince > 0 && st.token == v.Token; st.readAt == 0 || !on && now-st.readAt >= StartGrace {
		st.found, st.foundAt = s.Assignment.Order(), now
	}
	st.lead(v.Leading, v.Token, now)
	switch a := s.Assignment; {
	case st.remember.Order().Before(a.Order()):
		st.remember, st.inForce = a.Clone(), now
	case st.remember.Order() == a.Order() && a.SameRoles(st.remember):
		st.inForce = now
	}
	if s.Assignment.Phase != st.phase || s.Assignment.Epoch != st.phaseOf.Epoch {
		st.phase, st.phaseIn, st.phaseOf = s.Assignment.Phase, now, s.Assignment.Order()
	}
	st.takeGrant(s, now)
	before, heardOf := st.views, 0
	var older []voice
	for node, byMonitor := range s.Observations {
		for name, o := range byMonitor {
			k := voice{node, name}
			h, known := st.views.get(k)
			if st.newer.behind(k, h, known, o.Run, o.Seq) {
				older = append(older, k)
				continue
			}
			heardOf++
			if !known || h.run != o.Run || h.seq != o.Seq {
				at := now
				if !known { // it may be older than this process
					at = now - p.ageOf(s.ViewLeft(node, name))
				}
				st.views.put(k, h.view(&o, at))
			}
		}
	}
	s.Observations, older = without(s.Observations, older), nil
	switch {
	case heardOf+len(s.Checks) == 0:
		st.seenSince = 0
	case st.seenSince == 0:
		st.seenSince = now
	}
	reported := 0
	for node, byAgent := range s.Reports {
		for name, r := range byAgent {
			k := voice{node, name}
			h, known := st.reports.get(k)
			if st.newerReports.behind(k, h, known, "", r.Seq) { // an agent has another name in each run
				older = append(older, k)
				continue
			}
			reported++
			st.agents = true
			if !known || h.seq != r.Seq {
				st.reports.put(k, heard{seq: r.Seq, at: now})
			}
			if c, _ := st.closings.get(k); c.order != r.Closed {
				st.closings.put(k, closing{r.Closed, st.readAt, before})
			}
			if e, _ := st.endings.get(k); e.uptime != r.EndedUptimeS {
				st.endings.put(k, ending{r.EndedUptimeS, now, before})
			}
		}
	}
	s.Reports = without(s.Reports, older)
	for node, c := range s.Checks {
		k, known := st.checks.get(voice{node: node})
		if known && k.last == c.LastCheck {
			continue
		}
		k.last, k.at = c.LastCheck, now
		if c.Ping {
			k.zeros = 0
		} else {
			k.zeros++
		}
		st.checks.put(voice{node: node}, k)
	}
	st.readAt = now
	// Each record has its row now: as many rows are the rows of these alone.
	if len(st.views) != heardOf {
		st.views.keep(func(k voice) bool { _, there := s.Observations[k.node][k.name]; return there })
	}
	if len(st.reports) != reported {
		there := func(k voice) bool { _, there := s.Reports[k.node][k.name]; return there }
		st.reports.keep(there)
		st.closings.keep(there)
		st.endings.keep(there)
	}
	st.takeTrails(s, p)
	st.takeWitness(s, p.Pair.Primary, p.Pair.Secondary, now)
	st.takeWitness(s, p.Pair.Secondary, p.Pair.Primary, now)
}

// passed is what was read of those behind whom Redis has gone back since.
type passed struct{ table[heard] }

// behind reports whether what k says in run under the number seq is of before last, or of
// before what was passed: it tells of what was, and counts as not there. A last word, which
// is numbered 0, never is.
func (p *passed) behind(k voice, last heard, known bool, run string, seq uint64) bool {
	if !known {
		last, known = p.get(k)
	}
	if known && last.run == run && seq < last.seq && seq != 0 && !safeguard.Off(safeguard.OlderLeftOut) {
		p.put(k, last)
		return true
	}
	if len(p.table) > 0 {
		p.keep(func(v voice) bool { return v != k })
	}
	return false
}

// without is all without some.
func without[T any](all map[cluster.Endpoint]map[string]T, some []voice) map[cluster.Endpoint]map[string]T {
	if len(some) == 0 {
		return all
	}
	all = maps.Clone(all)
	for _, k := range some {
		all[k.node] = maps.Clone(all[k.node])
		delete(all[k.node], k.name)
	}
	return all
}

// lead keeps since when this identify leads, and since when it leads alone: who
// takes the lead waits for StartGrace before he rebuilds anything, so that a
// shorter gap lets nobody in.
func (st *State) lead(leading bool, token uint64, now time.Duration) {
	if !leading {
		st.ledSince = 0
		return
	}
	if st.ledSince == 0 || st.token != token {
		st.ledSince = now
		if st.alone == 0 || now-st.led >= StartGrace {
			st.alone = now
		}
	}
	st.led, st.token = now, token
}

// takeWitness follows the replica's received position through samples that
// began after source stopped answering.
func (st *State) takeWitness(s *cluster.Snapshot, source, replica cluster.Endpoint, now time.Duration) {
	sources := s.Observations[source]
	for _, by := range st.views.of(source) {
		name := by.voice.name
		k := voice{replica, name}
		if sources[name].Cause == cluster.CauseNone {
			if _, known := st.witness.get(k); known {
				st.witness.keep(func(o voice) bool { return o != k })
			}
			continue
		}
		o := sources[name]
		r, ok := s.Observations[replica][name]
		if !ok || r.Run != o.Run || !r.Answered() || r.BeganMS < o.UnansweredMS || r.Server.Channel.Source != source {
			continue
		}
		w, known := st.witness.get(k)
		if !known || w.run != r.Run || w.since != o.UnansweredMS {
			st.witness.put(k, witness{run: r.Run, since: o.UnansweredMS, began: r.BeganMS, samples: 1,
				received: r.Server.Channel.Received, heartbeats: r.Server.Channel.Heartbeats, stillSince: now})
			continue
		}
		if r.BeganMS <= w.began {
			continue
		}
		w.began = r.BeganMS
		w.samples++
		if r.Server.Channel.Heartbeats > w.heartbeats || grown(r.Server.Flavor, w.received, r.Server.Channel.Received) {
			w.advanced, w.stillSince = now, now
		}
		w.heartbeats, w.received = r.Server.Channel.Heartbeats, r.Server.Channel.Received
		st.witness.put(k, w)
	}
}

func grown(f cluster.Flavor, before, after string) bool {
	if before == after {
		return false
	}
	b, err1 := gtid.Parse(f, before)
	a, err2 := gtid.Parse(f, after)
	return err1 == nil && err2 == nil && !b.Contains(a)
}

func (st *State) mark(name, note string, at time.Duration) {
	for _, m := range st.marks {
		if m.name == name {
			return
		}
	}
	st.marks = append(slices.Clip(st.marks), mark{name, at, note})
}

// timeline gives the marks as steps, milliseconds after the first.
func (st *State) timeline() []cluster.Step {
	if len(st.marks) == 0 {
		return nil
	}
	steps := make([]cluster.Step, 0, len(st.marks))
	for _, m := range st.marks {
		steps = append(steps, cluster.Step{Name: m.name, Err: m.note,
			MS: float64(m.at-st.marks[0].at) / float64(time.Millisecond)})
	}
	return steps
}
