package exhaustive

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

// agent is what the agents of the pair, taken as one, know and remember.
type agent struct {
	rec, remembers uint32
	seen           [2]sight
	memory         [2]memory
	reports        [2]uint32 // the newest of each server
}

// sight is a sample of a server, taken before or after the order in force was read.
type sight struct {
	server   uint32
	sourceUp bool
	before   bool
}

type memory struct {
	closed, opened, ready cluster.Order
	suspect, errant       string
	confirmed             bool // suspect is older than the time to confirm it
}

// late is a step that was begun when the record wanted it and is held up on a
// session of its own, which ends with the server and with a full closing.
type late struct {
	kind   kind
	server uint8
	rec    uint32
	target uint32
}

// kind is a step in one byte; 0 is none.
type kind uint8

var kinds = []reconcile.Kind{"", reconcile.Close, reconcile.CloseGently, reconcile.Open, reconcile.Drain, reconcile.CatchUp,
	reconcile.StopIO, reconcile.StopReplication, reconcile.StartIO, reconcile.StartSQL, reconcile.StartReplication, reconcile.WriteMark}

func kindOf(k reconcile.Kind) kind {
	for i, o := range kinds {
		if o == k {
			return kind(i)
		}
	}
	panic("the exploration has no step " + string(k))
}

// look has the agent read the record.
func (l *lab) look(who, rec uint32) (uint32, string) {
	a := l.agents.of(who)
	now, before, remembers := l.recordAt(rec), l.recordAt(a.rec), l.recordAt(a.remembers)
	if now.Order() != before.Order() || now.Active != before.Active || now.Phase != before.Phase {
		for i := range a.seen {
			a.seen[i].before = true
		}
	}
	a.rec = rec
	fault := ""
	if _, frozen := l.o.Frozen(now, remembers); !frozen && now.Exists() {
		a.remembers = rec
		if now.Order().Before(remembers.Order()) {
			fault = "I3: the agents obey the record " + now.Order().String() + " after " + remembers.Order().String()
		}
	}
	return l.agents.number(a, a), fault
}

type workKey struct {
	agent, live uint32
	srv         [2]uint32
	i           uint8
	how         how
	late        late
}

// how an agent works.
type how uint8

const (
	acting  how = iota // it does the first step that it wants
	holding            // it begins that and is held up
	telling            // it says what it sees
)

// worked is what comes of one look of the agent at one server.
type worked struct {
	agent  uint32
	srv    uint32
	report uint32
	held   late
	// kills: the sessions of others on the server were ended.
	kills bool
	// opened is the server at the instant at which it was opened, whatever
	// became of it then; 0 when it was not.
	opened uint32
	under  uint32 // the record under which it was opened
	back   bool   // it had come back and was not drained since
	did    reconcile.Kind
	says   cluster.Reason
}

// task is one look in the making.
type task struct {
	l    *lab
	i    int
	a    agent
	srv  [2]server
	live cluster.Assignment
	in   reconcile.Input
	plan reconcile.Plan
	out  worked
	fail bool
}

func (l *lab) newTask(k workKey) *task {
	return &task{l: l, i: int(k.i), a: l.agents.of(k.agent), live: l.recordAt(k.live),
		srv: [2]server{l.servers.of(k.srv[0]), l.servers.of(k.srv[1])}}
}

// work has the agent sample the server i and do, begin or leave the first step
// that it then wants.
func (l *lab) work(k workKey) worked {
	return l.works.get(k, func() worked {
		t := l.newTask(k)
		t.decide()
		switch k.how {
		case holding:
			t.hold()
		case acting:
			if t.step() {
				t.decide()
			}
		}
		t.tell()
		return t.end()
	})
}

// resume carries out what was held up.
func (l *lab) resume(k workKey) worked {
	return l.works.get(k, func() worked {
		t := l.newTask(k)
		t.sample()
		then := l.recordAt(k.late.rec)
		t.do(kinds[k.late.kind], l.texts[k.late.target], then, k.late.rec, true)
		t.sample()
		t.in.Record = l.recordAt(t.a.rec)
		t.report(cluster.DeedNone)
		return t.end()
	})
}

func (t *task) end() worked {
	t.out.agent = t.l.agents.number(t.a, t.a)
	t.out.srv = t.l.servers.number(t.srv[t.i], t.srv[t.i])
	return t.out
}

// sample reads the server itself.
func (t *task) sample() { t.a.seen[t.i] = t.sight(t.i) }

func (t *task) sight(i int) sight { return t.l.sight(t.srv, i) }

func (l *lab) sight(srv [2]server, i int) sight {
	return sight{server: l.servers.number(srv[i], srv[i]), sourceUp: srv[1-i].up}
}

// Ticks of one look, in the order in which what they date happens.
const (
	tickBefore = 1 + 10*iota
	tickOrder
	tickAfter
	tickMine
	tickAsked
)

func (l *lab) sampleOf(s sight, i int, began uint64) reconcile.Sample {
	srv := l.servers.of(s.server)
	out := reconcile.Sample{Server: srv.say(i, s.sourceUp), Began: began, Ended: began + 1, PosBegan: began, PosEnded: began + 1, At: time.Hour}
	if !srv.up {
		out.Cause, out.Failures = cluster.CauseRefused, 1
	}
	return out
}

// input is what the agent decides upon.
func (t *task) input(peerAt uint64) reconcile.Input {
	l, i, m := t.l, t.i, t.a.memory[t.i]
	in := reconcile.Input{
		Self: nodes[i], Peer: nodes[1-i], Known: true,
		Record: l.recordAt(t.a.rec), Remembers: l.recordAt(t.a.remembers), OrderTick: tickOrder, ReportsTick: tickAfter,
		Mine: l.sampleOf(t.a.seen[i], i, tickMine), Theirs: l.sampleOf(t.a.seen[1-i], 1-i, peerAt),
		Memory: reconcile.Memory{Closed: m.closed, Opened: m.opened, Ready: m.ready, Connected: t.srv[i].up, Suspect: m.suspect,
			Errant: m.errant, SuspectAt: time.Hour, SuspectTick: tickAsked + 9, Marked: cluster.Epoch(t.srv[i].mark.epoch)},
		Tries: 1, Now: time.Hour,
		Accounts: reconcile.Accounts{Shared: true},
	}
	if m.confirmed {
		in.Memory.SuspectAt, in.Memory.SuspectTick = time.Hour-while, 0
	}
	if r := t.a.reports[1-i]; r != 0 {
		in.PeerReports = []cluster.Report{l.reports.of(r)}
	}
	return in
}

// decide samples the server, asks what to do and notes what that says.
func (t *task) decide() {
	t.sample()
	peerAt := uint64(tickAfter)
	if t.a.seen[1-t.i].before {
		peerAt = tickBefore
	}
	t.in = t.input(peerAt)
	t.plan = t.l.o.Reconcile(t.in)
	t.note()
	if t.plan.AskPeer {
		t.a.seen[1-t.i] = t.sight(1 - t.i)
		t.in = t.input(tickAsked)
		t.plan = t.l.o.Reconcile(t.in)
		t.note()
	}
	t.out.says = t.plan.Reason
}

// note is what an agent's worker does with a plan before it carries it out.
func (t *task) note() {
	m, p, order := &t.a.memory[t.i], t.plan, t.in.Record.Order()
	if p.Closed && m.closed.Before(order) {
		m.closed = order
	}
	if p.Opened && m.opened.Before(order) {
		m.opened = order
	}
	if p.Suspect != m.suspect {
		m.suspect, m.confirmed = p.Suspect, false
	}
	switch {
	case p.Errant != "":
		m.errant = p.Errant
	case p.Verified || p.Opened:
		m.errant = ""
	}
}

// first is the first step that is more than a reading; what it would read is fresh.
func (t *task) first() (reconcile.Step, bool) {
	for _, s := range t.plan.Steps {
		if s.Kind != reconcile.Read {
			return s, true
		}
	}
	return reconcile.Step{}, false
}

func (t *task) step() bool {
	s, ok := t.first()
	if !ok {
		return false
	}
	t.out.did = s.Kind
	return t.do(s.Kind, s.Target, t.in.Record, t.a.rec, false)
}

// hold begins the first step up to where the record has been checked.
func (t *task) hold() {
	s, ok := t.first()
	if !ok || !t.srv[t.i].up || !t.l.o.Wants(s.Kind, nodes[t.i], t.in.Record, t.live) {
		return
	}
	if s.Kind == reconcile.Open && !t.has(s.Target) {
		return
	}
	t.out.did = s.Kind
	t.out.held = late{kind: kindOf(s.Kind), server: uint8(t.i), rec: t.a.rec, target: t.l.text(s.Target)}
}

func (t *task) has(target string) bool {
	ok, err := reconcile.Contains(cluster.MySQL, t.srv[t.i].executed.String(), target)
	must(err)
	return ok
}

// do carries out one step under the record then, as an agent's worker does; of a
// late one the beginning is done. It reports whether the step came to its end.
func (t *task) do(k reconcile.Kind, target string, then cluster.Assignment, rec uint32, late bool) bool {
	l, e, s, m := t.l, nodes[t.i], &t.srv[t.i], &t.a.memory[t.i]
	if !late && !l.o.Wants(k, e, then, t.live) {
		return false
	}
	order := then.Order()
	switch k {
	case reconcile.Close, reconcile.CloseGently:
		s.open, s.itself = false, false
		if late && !l.o.Wants(k, e, then, t.live) {
			return false
		}
		t.out.kills = true
		m.ready = cluster.Order{}
		if m.closed.Before(order) {
			m.closed = order
		}
	case reconcile.Open:
		if !late && !t.has(target) {
			t.fail = true
			return false
		}
		*s = s.note(t.i, then.Epoch)
		back := s.back
		s.open, s.itself, s.back = true, false, false
		t.out.opened, t.out.under, t.out.back = l.servers.number(*s, *s), rec, back
		if late && !l.o.Wants(k, e, then, t.live) {
			s.open = false
			return false
		}
		if m.opened.Before(order) {
			m.opened = order
		}
	case reconcile.Drain:
		if !late || !order.Before(m.ready) {
			m.ready = cluster.Order{}
		}
		s.sql, s.io = true, false
		if !t.has(target) || !s.executed.has(s.received) {
			return false
		}
		s.back = false
		if m.ready.Before(order) {
			m.ready = order
		}
	case reconcile.CatchUp:
		if !t.has(target) {
			return false
		}
		if m.ready.Before(order) {
			m.ready = order
		}
	case reconcile.StopIO:
		s.io = false
	case reconcile.StopReplication:
		s.io, s.sql = false, false
	case reconcile.StartIO:
		s.io = true
	case reconcile.StartSQL:
		s.sql = true
	case reconcile.StartReplication:
		s.io, s.sql = true, true
	case reconcile.WriteMark:
		*s = s.note(t.i, then.Epoch)
	default:
		panic("the exploration has no step " + string(k))
	}
	return true
}

// tell saves what the agent then says of the server.
func (t *task) tell() {
	deed := t.plan.Deed
	if t.fail {
		deed = cluster.DeedFailed
	} else if _, more := t.first(); more && deed == cluster.DeedNone {
		deed = cluster.DeedWorking
	}
	t.report(deed)
}

func (t *task) report(deed cluster.Deed) {
	l, m, srv := t.l, t.a.memory[t.i], t.srv[t.i]
	r := cluster.Report{Agent: "agent", Node: nodes[t.i], Order: t.in.Record.Order(), Deed: deed, Closed: m.closed, Opened: m.opened,
		Ready: m.ready, Executed: srv.executed.String(), Errant: m.errant, Remembers: l.recordAt(t.a.remembers)}
	if !srv.up {
		r.Cause = cluster.CauseRefused
	}
	if old := t.a.reports[t.i]; deed == cluster.DeedNone && old != 0 && l.reports.of(old).Order == r.Order {
		r.Deed = l.reports.of(old).Deed
	}
	t.a.reports[t.i] = l.reports.number(keyOf(r, 0), r)
	t.out.report = t.a.reports[t.i]
}
