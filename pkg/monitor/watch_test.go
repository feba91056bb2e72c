package monitor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	nodeA = cluster.Endpoint("10.0.0.1:3306")
	nodeB = cluster.Endpoint("10.0.0.2:3306")
)

// rig drives one watch as its server's connections would.
type rig struct {
	t    *testing.T
	w    *Watch
	now  time.Duration
	acts []Action
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, now: time.Second, w: NewWatch(Settings{Monitor: "m", Run: "r", Node: nodeA, Other: nodeB,
		Interval: 3 * time.Second, ConnectTimeout: time.Second, TryTimes: 2})}
}

// give hands ev over d after the last event, running every tick that is due before.
func (r *rig) give(d time.Duration, ev Event) *rig {
	r.t.Helper()
	until := r.now + d
	r.acts = nil
	for r.w.Next() != 0 && r.w.Next() < until {
		r.now = r.w.Next()
		r.acts = append(r.acts, r.w.Handle(r.now, Tick{})...)
	}
	r.now = until
	r.acts = append(r.acts, r.w.Handle(r.now, ev)...)
	return r
}

// healthy is a rig whose server has answered its first sample at 1.002 s.
func healthy(t *testing.T) *rig {
	r := newRig(t).give(0, Tick{})
	r.give(time.Millisecond, Connected{1})
	return r.give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: replica(nodeB)})
}

func replica(source cluster.Endpoint) cluster.Server {
	return cluster.Server{Flavor: cluster.MariaDB, Identity: "1", UptimeS: 1000, ReadOnly: cluster.No, GTIDMode: true,
		Channel: cluster.Channel{Configured: true, Source: source, IO: cluster.ThreadYes, SQL: cluster.ThreadYes, GTID: true, Received: "0-2-5"}}
}

func of[T Action](r *rig) []T {
	var found []T
	for _, a := range r.acts {
		if a, ok := a.(T); ok {
			found = append(found, a)
		}
	}
	return found
}

func only[T Action](r *rig) T {
	r.t.Helper()
	found := of[T](r)
	if len(found) != 1 {
		r.t.Fatalf("got %d actions %T, want one; all: %+v", len(found), *new(T), r.acts)
	}
	return found[0]
}

func none[T Action](r *rig) {
	r.t.Helper()
	if found := of[T](r); len(found) != 0 {
		r.t.Fatalf("got %+v, want none", found)
	}
}

func TestFirstContact(t *testing.T) {
	r := newRig(t).give(0, Tick{})
	if got := only[Dial](r); got.Link != 1 {
		t.Fatalf("dialled %+v", got)
	}
	r.give(time.Millisecond, Connected{1})
	if got := only[Ask](r); got != (Ask{1, OpSample}) {
		t.Fatalf("asked %+v", got)
	}
	none[Publish](r)
	r.give(2*time.Millisecond, Answered{Link: 1, Op: OpSample, Server: replica(nodeB)})
	p := only[Publish](r)
	want := cluster.Observation{Monitor: "m", Run: "r", Seq: 1, Node: nodeA, BeganMS: 1001, EndedMS: 1003, LastGoodMS: 1003,
		Server: replica(nodeB), SampledMS: 1001, FullMS: 1001, ReceivedMax: "0-2-5"}
	if diff := cmp.Diff(want, p.Observation); diff != "" {
		t.Error(diff)
	}
	if !p.Wake || p.TTL != 9*time.Second {
		t.Errorf("wake %v, ttl %v", p.Wake, p.TTL)
	}
	if diff := cmp.Diff(&cluster.LegacyCheck{Ping: true, ReplCheck: "OK", ReadOnly: 0}, p.Legacy); diff != "" {
		t.Error(diff)
	}
}

func TestPingsBetweenSamplesPublishNothing(t *testing.T) {
	r := healthy(t)
	pings, samples := 0, 0
	for end := r.now + 6100*time.Millisecond; r.now < end; {
		r.give(r.w.Next()-r.now, Tick{})
		none[Dial](r)
		for _, a := range of[Ask](r) {
			if a.Op == OpSample {
				samples++
				r.give(2*time.Millisecond, Answered{Link: 1, Op: OpSample, Server: replica(nodeB)})
				if only[Publish](r).Wake {
					t.Error("a sample without news wakes the readers")
				}
			} else {
				pings++
				r.give(time.Millisecond, Answered{Link: 1, Op: a.Op})
				none[Publish](r)
			}
		}
	}
	if samples != 2 || pings < 20 || pings > 24 {
		t.Errorf("%d samples and %d pings in 6.1 s", samples, pings)
	}
}

func TestEndedConnectionAndRefusedConnectArePublishedBackToBack(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, Ended{1})
	broke := r.now
	if only[Dial](r).Link != 2 || only[Drop](r).Link != 1 || !only[Tell](r).Unwell {
		t.Fatalf("%+v", r.acts)
	}
	none[Publish](r)
	r.give(time.Millisecond, ConnectFailed{2, cluster.CauseRefused, "connection refused"})
	p := only[Publish](r)
	o := p.Observation
	if o.Cause != cluster.CauseRefused || !o.Broken || !p.Wake || o.UnansweredMS != ms(broke) || o.LastGoodMS != 1002 || o.Failures != 2 {
		t.Errorf("%+v", o)
	}
	if o.Server.ReadOnly != cluster.No || o.SampledMS != 1001 {
		t.Errorf("what was known is forgotten: %+v", o.Server)
	}
	if p.Legacy == nil || p.Legacy.Ping {
		t.Errorf("legacy %+v", p.Legacy)
	}
	r.give(5*time.Millisecond, Tick{})
	if only[Dial](r).Link != 3 {
		t.Fatal("no further connect")
	}
	r.give(time.Millisecond, ConnectFailed{3, cluster.CauseRefused, "connection refused"})
	none[Publish](r)
}

func TestKilledSessionIsNoNews(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, Connected{2})
	none[Publish](r)
	if only[Tell](r).Unwell || only[Ask](r) != (Ask{2, OpSample}) {
		t.Fatalf("%+v", r.acts)
	}
	r.give(time.Millisecond, Answered{Link: 2, Op: OpSample, Server: replica(nodeB)})
	if o := only[Publish](r).Observation; o.Broken || !o.Answered() || o.UnansweredMS != 0 {
		t.Errorf("%+v", o)
	}
}

func TestSlowConfirmationPublishesTheBrokenConnection(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, Ended{1}).give(breakGrace, Tick{})
	if o := only[Publish](r).Observation; o.Cause != cluster.CauseReset || !o.Broken {
		t.Errorf("%+v", o)
	}
	if only[Publish](r).Legacy != nil {
		t.Error("a broken connection alone is death for the predecessor")
	}
}

func TestHungServer(t *testing.T) {
	r := healthy(t)
	r.give(249*time.Millisecond, Tick{})
	if only[Ask](r).Op != OpPing {
		t.Fatal("no ping")
	}
	asked := 1250 * time.Millisecond
	r.give(asked+suspectAfter-r.now, Tick{})
	if only[Dial](r).Link != 2 || !only[Tell](r).Unwell {
		t.Fatalf("%+v", r.acts)
	}
	none[Publish](r)
	r.give(time.Second, ConnectFailed{2, cluster.CauseAnswerTimeout, "no greeting"})
	o := only[Publish](r).Observation
	if o.Cause != cluster.CauseAnswerTimeout || o.Broken || o.UnansweredMS != ms(asked) || o.LastGoodMS != 1002 {
		t.Errorf("%+v", o)
	}
	none[Drop](r)
	mark := 1002*time.Millisecond + 2*time.Second
	r.give(mark-r.now-1, Tick{})
	for _, p := range of[Publish](r) {
		if p.Legacy != nil {
			t.Error("dead for the predecessor too early")
		}
	}
	r.give(1, Tick{})
	p := only[Publish](r)
	if p.Observation.SilentMS() != 2000 || !p.Wake || p.Legacy == nil || p.Legacy.Ping {
		t.Errorf("at the mark: %+v", p)
	}
	r.give(time.Second, Tick{})
	if got := len(of[Publish](r)); got != 4 {
		t.Errorf("%d records in a second of silence", got)
	}

	r.give(10*time.Millisecond, Ponged{1})
	p = only[Publish](r)
	if !p.Observation.Answered() || !p.Wake || p.Observation.BeganMS != 1001 {
		t.Errorf("it woke: %+v", p.Observation)
	}
	if only[Ask](r).Op != OpSample || only[Tell](r).Unwell {
		t.Errorf("%+v", r.acts)
	}
}

func TestSilenceIsPublishedAtItsInstantWhateverConnectsSay(t *testing.T) {
	r := newRig(t)
	r.w.set.TryTimes = 1
	r.give(0, Tick{}).give(time.Millisecond, Connected{1}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: replica(nodeB)})
	r.give(time.Second-1, Tick{})
	none[Publish](r)
	r.give(1, Tick{})
	if o := only[Publish](r).Observation; o.SilentMS() != 1000 || o.Cause != cluster.CauseConnectTimeout {
		t.Errorf("%+v", o)
	}
}

func TestErrorRepliesAreLife(t *testing.T) {
	for _, cause := range []cluster.Cause{cluster.CauseAccessDenied, cluster.CauseTooMany, cluster.CauseHostBlocked, cluster.CauseOther} {
		r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cause, "no"})
		p := only[Publish](r)
		o := p.Observation
		if o.Cause != cause || o.LastGoodMS != ms(r.now) || o.UnansweredMS != 0 || o.Failures != 0 {
			t.Errorf("%s: %+v", cause, o)
		}
		if p.Legacy == nil || !p.Legacy.Ping || p.Legacy.ReplCheck != "Error" {
			t.Errorf("%s: legacy %+v", cause, p.Legacy)
		}
		r.give(10*time.Minute, Tick{})
		if n := len(of[Dial](r)); n != 1 {
			t.Errorf("%s: %d connects at once", cause, n)
		}
	}
}

func TestSilenceAfterAnErrorReplyCountsFromThatReply(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cluster.CauseTooMany, "full"})
	for range 100 {
		r.give(time.Second, Tick{})
		r.give(0, ConnectFailed{only[Dial](r).Link, cluster.CauseTooMany, "full"})
	}
	replied := r.now
	r.give(time.Second, Tick{}).give(time.Second, ConnectFailed{only[Dial](r).Link, cluster.CauseAnswerTimeout, "hung"})
	pubs := of[Publish](r)
	o := pubs[len(pubs)-1].Observation
	if o.LastGoodMS != ms(replied) || o.Cause != cluster.CauseAnswerTimeout || o.SilentMS() > 2000 {
		t.Errorf("%+v", o)
	}
}

func TestPingThatFailsForAnyReasonIsTriedOnANewConnection(t *testing.T) {
	r := healthy(t).give(249*time.Millisecond, Tick{}).give(time.Millisecond, Failed{Link: 1, Op: OpPing, Cause: cluster.CauseOther, Text: "the session is closed"})
	if only[Drop](r).Link != 1 || only[Dial](r).Link != 2 {
		t.Fatalf("%+v", r.acts)
	}
	none[Publish](r)
	r.give(time.Millisecond, ConnectFailed{2, cluster.CauseRefused, "refused"})
	if o := only[Publish](r).Observation; o.Cause != cluster.CauseRefused || o.LastGoodMS != 1002 || o.Broken {
		t.Errorf("%+v", o)
	}
}

func TestErrorReplyToASampleKeepsTheConnection(t *testing.T) {
	r := healthy(t)
	r.w.nextSample = 0
	r.give(time.Millisecond, Tick{}).give(time.Millisecond, Failed{Link: 1, Op: OpSample, Cause: cluster.CauseAccessDenied, Text: "needs SLAVE MONITOR"})
	p := only[Publish](r)
	if p.Observation.Cause != cluster.CauseAccessDenied || p.Observation.LastGoodMS != ms(r.now) || !p.Legacy.Ping {
		t.Errorf("%+v", p)
	}
	none[Drop](r)
	r.give(250*time.Millisecond, Tick{}).give(time.Millisecond, Ponged{1})
	none[Publish](r)
	r.w.nextSample = 0
	r.give(time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: replica(nodeB)})
	if p := only[Publish](r); !p.Observation.Answered() || !p.Wake {
		t.Errorf("%+v", p)
	}
}

// denied is a rig whose sample was just refused for want of a privilege.
func denied(t *testing.T) *rig {
	r := healthy(t)
	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	if got := only[Ask](r); got != (Ask{1, OpSample}) {
		t.Fatalf("asked %+v", got)
	}
	return r.give(time.Millisecond, Failed{Link: 1, Op: OpSample, Cause: cluster.CauseOther, Text: "needs SLAVE MONITOR", Denied: true})
}

// pinged runs the pings of the pinned connection until d has passed.
func (r *rig) pinged(d time.Duration) {
	r.t.Helper()
	for until := r.now + d; r.w.Next() < until; {
		r.give(r.w.Next()-r.now, Tick{})
		none[Dial](r)
		for _, a := range of[Ask](r) {
			if a.Op != OpPing {
				r.t.Fatalf("asked %+v", a)
			}
			r.give(time.Millisecond, Ponged{a.Link})
		}
	}
}

// The connect that is to replace a session is answered as any other: the silence
// of a server that hangs afterwards counts from there.
func TestAnErrorReplyToARenewalIsAnAnswer(t *testing.T) {
	r := denied(t)
	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	renewal := only[Dial](r).Link
	for _, a := range of[Ask](r) {
		r.give(0, Answered{Link: a.Link, Op: a.Op})
	}
	asked := r.now
	r.give(200*time.Millisecond, ConnectFailed{renewal, cluster.CauseTooMany, "full"})
	replied := r.now
	if got := only[Ask](r); got != (Ask{1, OpSample}) {
		t.Fatalf("asked %+v", got)
	}
	for r.now < replied+r.w.set.Silence()+time.Second {
		r.give(r.w.Next()-r.now, Tick{})
		for _, d := range of[Dial](r) {
			r.give(time.Second, ConnectFailed{d.Link, cluster.CauseAnswerTimeout, "hung"})
		}
	}
	if o := r.w.last; o.Cause != cluster.CauseAnswerTimeout || o.LastGoodMS != ms(replied) || o.UnansweredMS < ms(replied) {
		t.Errorf("asked at %d, replied at %d: %+v", ms(asked), ms(replied), o)
	}
}

func TestASessionThatLacksAPrivilegeIsReplacedAtTheNextSample(t *testing.T) {
	r := denied(t)
	p := only[Publish](r)
	if p.Observation.Cause != cluster.CauseOther || p.Observation.LastGoodMS != ms(r.now) || p.Observation.UnansweredMS != 0 || !p.Legacy.Ping {
		t.Errorf("%+v", p)
	}
	if s := only[Say](r); s.Text != "the server denies our user a privilege" {
		t.Errorf("%+v", s)
	}
	none[Drop](r)
	none[Dial](r)
	refused := r.now

	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	if got := only[Dial](r); got.Link != 2 || r.now-refused > r.w.set.Interval {
		t.Fatalf("dialled %+v after %v", got, r.now-refused)
	}
	none[Drop](r)
	for _, a := range of[Ask](r) {
		if a.Op == OpSample {
			t.Error("the old session is sampled beside the new one")
		}
		r.give(0, Answered{Link: a.Link, Op: a.Op})
	}
	r.give(time.Millisecond, Connected{2})
	if d, a := only[Drop](r), only[Ask](r); d.Link != 1 || a != (Ask{2, OpSample}) {
		t.Errorf("%+v", r.acts)
	}
	none[Publish](r)
	// Still denied: no sooner than an interval later again.
	r.give(time.Millisecond, Failed{Link: 2, Op: OpSample, Cause: cluster.CauseOther, Text: "needs SLAVE MONITOR", Denied: true})
	none[Dial](r)
	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	for _, a := range of[Ask](r) {
		r.give(0, Answered{Link: a.Link, Op: a.Op})
	}
	r.give(time.Millisecond, Connected{3})
	r.give(time.Millisecond, Answered{Link: 3, Op: OpSample, Server: replica(nodeB)})
	if p := only[Publish](r); !p.Observation.Answered() || !p.Wake {
		t.Errorf("%+v", p)
	}
	for range 12 {
		r.give(r.w.Next()-r.now, Tick{})
		none[Dial](r)
		for _, a := range of[Ask](r) {
			r.give(time.Millisecond, Answered{Link: a.Link, Op: a.Op, Server: replica(nodeB)})
		}
	}
}

func TestANewSessionThatCannotBeHadLeavesTheOldOne(t *testing.T) {
	r := denied(t)
	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	dialled := r.now
	for _, a := range of[Ask](r) {
		r.give(0, Answered{Link: a.Link, Op: a.Op})
	}
	r.give(time.Millisecond, ConnectFailed{2, cluster.CauseTooMany, "full"})
	if a := only[Ask](r); a != (Ask{1, OpSample}) {
		t.Errorf("%+v", r.acts)
	}
	none[Drop](r)
	r.give(time.Millisecond, Failed{Link: 1, Op: OpSample, Cause: cluster.CauseOther, Text: "needs SLAVE MONITOR", Denied: true})
	if o := only[Publish](r).Observation; o.Error != "needs SLAVE MONITOR" || o.UnansweredMS != 0 {
		t.Errorf("%+v", o)
	}
	none[Dial](r)
	again := dialled + r.w.set.Interval
	r.pinged(again - r.now)
	r.give(again-r.now, Tick{})
	if got := only[Dial](r); got.Link != 3 {
		t.Errorf("%+v", got)
	}
	// It dies on the way: the break is confirmed as ever.
	r.give(0, Ended{1}).give(time.Millisecond, ConnectFailed{3, cluster.CauseRefused, "refused"})
	if o := only[Publish](r).Observation; o.Cause != cluster.CauseRefused || !o.Broken {
		t.Errorf("%+v", o)
	}
}

func TestASessionThatSeesOnlyItsOwnIsReplacedToo(t *testing.T) {
	blind := replica(nodeB)
	blind.Sessions = -1
	r := newRig(t).give(0, Tick{}).give(time.Millisecond, Connected{1}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: blind})
	if p := only[Publish](r); !p.Observation.Answered() {
		t.Errorf("%+v", p)
	}
	r.pinged(r.w.nextSample - r.now)
	r.give(r.w.nextSample-r.now, Tick{})
	if only[Dial](r).Link != 2 {
		t.Errorf("%+v", r.acts)
	}
}

func TestSilentHostThatBecomesUnreachableStaysSilent(t *testing.T) {
	r := healthy(t).give(249*time.Millisecond, Tick{}).give(suspectAfter, Tick{})
	r.give(time.Second, ConnectFailed{2, cluster.CauseConnectTimeout, "no TCP answer"})
	link := only[Dial](r).Link
	r.give(900*time.Millisecond, ConnectFailed{link, cluster.CauseUnreachable, "no route to host"})
	for _, p := range of[Publish](r) {
		if p.Observation.Cause != cluster.CauseConnectTimeout {
			t.Errorf("%+v", p.Observation)
		}
	}
	r = healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cluster.CauseUnreachable, "network is unreachable"})
	if p := only[Publish](r); p.Observation.Cause != cluster.CauseUnreachable || p.Legacy != nil {
		t.Errorf("our own network: %+v", p)
	}
}

func TestErrorReplyBesideAPendingPingIsLife(t *testing.T) {
	r := healthy(t).give(249*time.Millisecond, Tick{}).give(suspectAfter, Tick{})
	r.give(time.Millisecond, ConnectFailed{only[Dial](r).Link, cluster.CauseTooMany, "full"})
	replied := r.now
	r.give(suspectAfter, Tick{}).give(time.Second, ConnectFailed{only[Dial](r).Link, cluster.CauseAnswerTimeout, "hung"})
	pubs := of[Publish](r)
	o := pubs[len(pubs)-1].Observation
	if o.LastGoodMS != ms(replied) || o.UnansweredMS < o.LastGoodMS || o.Cause != cluster.CauseAnswerTimeout {
		t.Errorf("%+v", o)
	}
}

func TestTheOtherMembersTroubleIsWatchedClosely(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, OtherMember{true})
	since := r.now
	if only[Ask](r).Op != OpChannel {
		t.Fatalf("%+v", r.acts)
	}
	c := replica(nodeB).Channel
	r.give(time.Millisecond, Answered{Link: 1, Op: OpChannel, Channel: c})
	p := only[Publish](r)
	if !p.Wake || p.Observation.BeganMS != ms(since) || p.Observation.FullMS != 1001 {
		t.Errorf("the first sample since: %+v", p)
	}
	r.give(4*time.Millisecond, Tick{})
	if only[Ask](r).Op != OpChannel {
		t.Fatal("no second light sample after 5 ms")
	}
	r.give(time.Millisecond, Answered{Link: 1, Op: OpChannel, Channel: c})
	none[Publish](r)
	c.IO = cluster.ThreadConnecting
	r.give(7*time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpChannel, Channel: c})
	if p := only[Publish](r); !p.Wake || p.Observation.Server.Channel.IO != cluster.ThreadConnecting {
		t.Errorf("lost its source: %+v", p)
	}
	samples, records := 0, 0
	for end := r.now + 2*time.Second; r.now < end; {
		r.give(r.w.Next()-r.now, Tick{})
		for _, a := range of[Ask](r) {
			samples++
			r.give(time.Millisecond, Answered{Link: 1, Op: a.Op, Channel: c})
			records += len(of[Publish](r))
		}
	}
	if samples < 10 || samples > 20 || records < 6 || records > 9 {
		t.Errorf("%d samples, %d records in 2 s", samples, records)
	}
	r.give(time.Millisecond, OtherMember{false}).give(PingEvery, Tick{})
	if only[Ask](r).Op != OpPing {
		t.Errorf("%+v", r.acts)
	}
}

func TestATroubleWithoutNewsSoonWakesNobody(t *testing.T) {
	records, last := 0, time.Duration(0)
	heard := func(r *rig) {
		for _, p := range of[Publish](r) {
			records++
			if p.Wake {
				last = r.now
			}
		}
	}
	r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cluster.CauseRefused, "refused"})
	for end := r.now + 20*time.Second; r.now < end; {
		r.give(r.w.Next()-r.now, Tick{})
		heard(r)
		for _, d := range of[Dial](r) {
			r.give(time.Millisecond, ConnectFailed{d.Link, cluster.CauseRefused, "refused"})
			heard(r)
		}
	}
	// Its silence, which is news, has lasted for 2 s at 3.002 s.
	if records < 75 || last < 3700*time.Millisecond || last > 4100*time.Millisecond {
		t.Errorf("%d records, the last that wakes anybody at %s", records, last)
	}

	records, last = 0, 0
	r = healthy(t).give(98*time.Millisecond, OtherMember{true})
	since, server := r.now, replica(nodeB)
	for end := r.now + 20*time.Second; r.now < end; {
		if asked := of[Ask](r); len(asked) > 0 {
			r.give(time.Millisecond, Answered{Link: 1, Op: asked[0].Op, Server: server, Channel: server.Channel})
		} else {
			r.give(r.w.Next()-r.now, Tick{})
		}
		heard(r)
	}
	if took := last - since; records < 75 || took < 4700*time.Millisecond || took > 5100*time.Millisecond {
		t.Errorf("%d records of the other one, the last that wakes anybody after %s", records, took)
	}
	server.Channel.IO = cluster.ThreadConnecting
	for len(of[Ask](r)) == 0 {
		r.give(r.w.Next()-r.now, Tick{})
	}
	r.give(time.Millisecond, Answered{Link: 1, Op: only[Ask](r).Op, Server: server, Channel: server.Channel})
	if !only[Publish](r).Wake {
		t.Error("news after a quiet time wakes nobody")
	}
}

func TestHeldBackSampleIsNotPiledUpon(t *testing.T) {
	r := healthy(t)
	r.give(200*time.Millisecond, OtherMember{true})
	if only[Ask](r).Op != OpChannel {
		t.Fatal("no light sample")
	}
	r.give(suspectAfter, Tick{}).give(time.Millisecond, Connected{only[Dial](r).Link})
	none[Drop](r)
	asked, other := 0, 0
	for end := r.now + stuckFirst - time.Second; r.now < end; {
		r.give(r.w.Next()-r.now, Tick{})
		other += len(of[Dial](r))
		for _, p := range of[Publish](r) {
			if o := p.Observation; o.Cause != cluster.CauseOther || !p.Legacy.Ping {
				t.Fatalf("%+v", o)
			}
			asked = 1
		}
		for _, a := range of[Ask](r) {
			if a.Op != OpPing || a.Link != 2 {
				t.Fatalf("asked %+v", a)
			}
			r.give(time.Millisecond, Ponged{2})
		}
	}
	if asked == 0 || other != 0 {
		t.Errorf("told %d, %d connects", asked, other)
	}
	r.give(0, Answered{Link: 1, Op: OpChannel, Channel: replica(nodeB).Channel})
	if only[Drop](r).Link != 1 {
		t.Errorf("%+v", r.acts)
	}
}

func TestHeldBackSampleIsGivenUpLaterEachTime(t *testing.T) {
	r := healthy(t)
	r.w.nextSample = 0
	var drops []time.Duration
	var asked time.Duration
	r.give(time.Millisecond, Tick{})
	asked = r.now
	for len(drops) < 3 {
		r.give(r.w.Next()-r.now, Tick{})
		for _, a := range append([]Action{}, r.acts...) {
			switch a := a.(type) {
			case Dial:
				r.give(time.Millisecond, Connected(a))
			case Ask:
				if a.Op == OpPing {
					r.give(time.Millisecond, Answered{Link: a.Link, Op: a.Op})
				} else {
					asked = r.now
				}
			case Drop:
				drops = append(drops, (r.now - asked).Round(time.Second))
			}
		}
	}
	if diff := cmp.Diff([]time.Duration{30 * time.Second, 60 * time.Second, 120 * time.Second}, drops); diff != "" {
		t.Error(diff)
	}
}

func TestPauseOfTheMonitorIsNoSilence(t *testing.T) {
	r := healthy(t).give(249*time.Millisecond, Tick{})
	if only[Ask](r).Op != OpPing {
		t.Fatal("no ping")
	}
	// The process stands still for a minute with the ping under way.
	r.now += time.Minute
	r.acts = r.w.Handle(r.now, Tick{})
	none[Publish](r)
	if only[Say](r).Warn != true {
		t.Error("the pause is not told")
	}
	r.give(time.Second, ConnectFailed{only[Dial](r).Link, cluster.CauseAnswerTimeout, "hung"})
	pubs := of[Publish](r)
	if o := pubs[len(pubs)-1].Observation; o.SilentMS() > 1600 {
		t.Errorf("%+v", o)
	}
}

func TestConnectThatSpansAPauseSaysNothing(t *testing.T) {
	r := newRig(t).give(0, Tick{})
	r.now += time.Minute
	r.acts = r.w.Handle(r.now, ConnectFailed{1, cluster.CauseConnectTimeout, "time-out"})
	none[Publish](r)
	if only[Dial](r).Link != 2 {
		t.Errorf("%+v", r.acts)
	}
}
