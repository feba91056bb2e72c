package status

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/failover"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// Policy is what the configuration says about a tag, as far as status shows it.
type Policy struct {
	Durability    cluster.Durability
	Unfenced      string
	MaxLoss       string
	FailoverBlock time.Duration
	// Failback is follow, auto or manual; empty counts as manual.
	Failback      string
	FailbackAfter time.Duration
	Interval      time.Duration
}

// Subject is one tag to report on.
type Subject struct {
	Pair   cluster.Pair
	Policy Policy
}

// viewLife is how long a monitor lets its records live.
func (p Policy) viewLife() time.Duration { return max(3*time.Second, 3*p.Interval) }

// Build makes the report of one tag from what was read; refused is why the bus
// takes no writes, nil when it does. It is a function of its arguments; now is this
// machine's clock, used for sequence numbers and for the predecessor's form only.
func Build(sub Subject, s cluster.Snapshot, refused *Failure, seen *Tracker, now time.Time) Tag {
	p := sub.Pair
	t := Tag{Tag: p.Tag, UniqSign: p.UniqSign, ServiceMode: "active-passive", Faults: s.Faults, refused: refused}
	if p.ServiceMode == cluster.ActiveActive {
		t.ServiceMode = "active-active"
	}
	a := s.Assignment
	switch {
	case a.Exists():
		t.Source = FromRecord
		t.Active, t.Passive = a.Active, a.Passive
		if t.Active != "" && t.Passive == "" {
			t.Passive = p.Other(t.Active)
		}
		t.Assignment = assignmentOf(a, s.RedisMS)
	case s.Legacy.Active != "":
		t.Source = FromPredecessor
		t.Active, t.Passive = s.Legacy.Active, s.Legacy.Passive
	default:
		t.Source = FromNothing
	}

	for _, node := range nodesOf(p, t.Active, t.Passive) {
		srv := serverOf(sub, s, seen, now, node, t.roleOf(node), p.Other(node))
		srv.hearAgents(a, t.Assignment, s.Reports[node])
		t.Servers = append(t.Servers, srv)
	}
	if t.Assignment != nil {
		t.Assignment.ClosedSince = t.Assignment.Risk && t.closedSince(a, s.Reports[t.Passive])
	}
	if s.Verdict != nil {
		v := s.Verdict
		t.Verdict = &Verdict{
			Leader: v.Leader, Order: v.Order.String(), Reason: v.Reason, Candidate: v.Candidate, Held: v.Held,
			Blockers: v.Blockers, Notes: v.Notes,
			WayOut:        failover.WayOut(p.Tag, s),
			WouldFailOver: len(v.Blockers) == 0 && p.ServiceMode == cluster.ActivePassive && refused == nil && s.Leader.ID != "" && s.Pause == nil,
		}
	}
	if s.Pause != nil {
		t.Pause = &Pause{Actor: s.Pause.Actor, Reason: s.Pause.Reason}
		t.Pause.Since, t.Pause.ForSeconds = redisTime(s.Pause.SinceMS, s.RedisMS)
	}
	t.Request = s.Request
	t.Daemons = daemonsOf(s, t.Servers)
	t.Protection = protectionOf(sub, a)
	t.protect(sub, s)
	t.legacy = legacyOf(t, s, now)
	judge(&t, sub, s)
	return t
}

// closedSince reports whether the passive was seen closed after the role had moved.
func (t *Tag) closedSince(a cluster.Assignment, reports map[string]cluster.Report) bool {
	passive := t.server(t.Passive)
	if a.Phase != cluster.PhaseSteady || passive == nil {
		return false
	}
	for _, r := range reports {
		if r.Closed.Epoch >= a.Epoch {
			return true
		}
	}
	return a.IsEligible(passive.Node) || passive.State == Alive && passive.ReadOnly != nil && *passive.ReadOnly
}

// normal is a position as its flavour writes it: MariaDB lists what a replica
// has applied twice.
func normal(f cluster.Flavor, text string) string {
	set, err := gtid.Parse(f, text)
	if err != nil {
		return text
	}
	return set.String()
}

// nodesOf lists the active first, then the passive, then what else is known.
func nodesOf(p cluster.Pair, active, passive cluster.Endpoint) []cluster.Endpoint {
	var out []cluster.Endpoint
	for _, n := range []cluster.Endpoint{active, passive, p.Primary, p.Secondary} {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func (t *Tag) roleOf(node cluster.Endpoint) string {
	switch node {
	case t.Active:
		return "active"
	case t.Passive:
		return "passive"
	}
	return "none"
}

// server gives the server's part; nil when node is empty or no part of the pair.
func (t *Tag) server(node cluster.Endpoint) *Server {
	for i := range t.Servers {
		if t.Servers[i].Node == node && node != "" {
			return &t.Servers[i]
		}
	}
	return nil
}

// redisTime turns a time of Redis's clock into a date and how long ago it was by the same clock.
func redisTime(ms, nowMS int64) (*time.Time, *Seconds) {
	at := cluster.DateOf(ms)
	if at == nil || nowMS == 0 {
		return at, nil
	}
	return at, secondsOf(time.Duration(max(0, nowMS-ms)) * time.Millisecond)
}

func assignmentOf(a cluster.Assignment, nowMS int64) *Assignment {
	out := &Assignment{
		Epoch: a.Epoch, Version: a.Version, Phase: a.Phase, From: a.From, To: a.To,
		Cause: a.Cause, Proof: a.Proof, Risk: a.Proof.IsRisk(), Reason: a.Reason, Actor: a.Actor,
		Loss: a.Loss, Left: a.Left, Estimated: a.Estimated, Eligible: a.Eligible, Blocked: a.Blocked,
	}
	out.Since, out.ForSeconds = redisTime(a.SinceMS, nowMS)
	return out
}

func serverOf(sub Subject, s cluster.Snapshot, seen *Tracker, now time.Time, node cluster.Endpoint, role string, other cluster.Endpoint) Server {
	out := Server{Node: node, Role: role, State: Unseen}
	for _, name := range slices.Sorted(maps.Keys(s.Observations[node])) {
		o := s.Observations[node][name]
		v := MonitorView{Name: name, Answered: o.Answered(), Cause: o.Cause}
		if age, exact := seen.age(s, node, name, sub.Policy.viewLife(), now); exact {
			v.Age = secondsOf(age)
		}
		out.Monitors = append(out.Monitors, v)
	}
	if o, ok := bestView(s.Observations[node]); ok {
		fillFromView(&out, o, other)
		age, exact := seen.age(s, node, o.Monitor, sub.Policy.viewLife(), now)
		if exact {
			// The record is refreshed by probes too; the sample in it may be older.
			full := o.FullMS
			if full == 0 {
				full = o.SampledMS
			}
			out.fullAge = age + time.Duration(max(0, o.EndedMS-full))*time.Millisecond
			if o.SampledMS > 0 {
				out.SampleAge = secondsOf(age + time.Duration(max(0, o.EndedMS-o.SampledMS))*time.Millisecond)
			}
			if !o.Answered() {
				out.SilentSeconds = secondsOf(age + time.Duration(o.SilentMS())*time.Millisecond)
			}
		} else {
			out.SampleAtMost = secondsOf(age + time.Duration(max(0, o.EndedMS-o.SampledMS))*time.Millisecond)
			if !o.Answered() {
				out.SilentSeconds = secondsOf(time.Duration(o.SilentMS()) * time.Millisecond)
			}
		}
	} else if c, ok := s.Checks[node]; ok {
		fillFromCheck(&out, c, now)
	}
	goesOn := func(r cluster.Report) bool { return r.Seq != lastWord }
	followed := slices.ContainsFunc(slices.Collect(maps.Values(s.Reports[node])), goesOn)
	for _, name := range slices.Sorted(maps.Keys(s.Reports[node])) {
		r := s.Reports[node][name]
		if goesOn(r) || !followed {
			out.Agents = append(out.Agents, AgentView{
				Name: name, Heard: triBool(seen.heard(s.UniqSign, node, name, now)), stopped: !goesOn(r),
				Order: r.Order.String(), Deed: r.Deed, Reason: r.Reason, Errant: r.Errant, Notes: r.Notes,
			})
		}
		for _, l := range r.Locked {
			if !slices.Contains(out.Locked, l) {
				out.Locked = append(out.Locked, l)
			}
		}
	}
	slices.SortFunc(out.Locked, cluster.Account.Compare)
	return out
}

// bestView picks the view that is shown of a server: one that was answered
// before one that was not, and of several that of the monitor whose name comes first.
func bestView(views map[string]cluster.Observation) (cluster.Observation, bool) {
	all := slices.Collect(maps.Values(views))
	if len(all) == 0 {
		return cluster.Observation{}, false
	}
	slices.SortFunc(all, func(a, b cluster.Observation) int {
		if a.Answered() != b.Answered() {
			if a.Answered() {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Monitor, b.Monitor)
	})
	return all[0], true
}

func fillFromView(out *Server, o cluster.Observation, other cluster.Endpoint) {
	switch {
	case o.Answered():
		out.State = Alive
	case o.Cause.MayBeDead():
		out.State = Down
	default:
		out.State = Unreadable
	}
	out.Cause, out.Error = o.Cause, o.Error
	if o.SampledMS == 0 {
		return
	}
	srv := o.Server
	out.ReadOnly, out.SuperReadOnly = triBool(srv.ReadOnly), triBool(srv.SuperReadOnly)
	out.Flavor, out.Version, out.Users, out.Executed = srv.Flavor, srv.Version, srv.Users, normal(srv.Flavor, srv.Executed)
	out.UptimeSeconds = &srv.UptimeS
	if srv.Mark.Epoch > 0 {
		out.EpochRow = &srv.Mark
	}
	if srv.Sessions >= 0 {
		out.Sessions, out.SharedSessions = &srv.Sessions, srv.SharedSessions
	}
	ch := srv.Channel
	out.Replication = &Replication{
		Source: ch.Source, IO: ch.IO, SQL: ch.SQL, GTID: ch.GTID, Received: ch.Received,
		Text: channelWords(ch, other),
	}
	if ch.Configured && ch.Delay >= 0 {
		out.Replication.Delay = &ch.Delay
	}
}

// fillFromCheck is all there is to know where the predecessor's monitor runs.
func fillFromCheck(out *Server, c cluster.LegacyCheck, now time.Time) {
	switch age, _ := checkAge(c, now); {
	case age >= LegacyStale:
		out.State = Unseen
	case c.Ping:
		out.State = Alive
	default:
		out.State = Down
	}
	if c.ReadOnly == 0 || c.ReadOnly == 1 {
		ro := c.ReadOnly == 1
		out.ReadOnly = &ro
	}
	if c.ConnNums >= 0 {
		out.Sessions = &c.ConnNums
	}
	if c.ReplCheck != "" {
		out.Replication = &Replication{Text: plain("replication: " + c.ReplCheck)}
	}
}

// settling is how long after a record was written a sample may still be older
// than what an agent did for that record.
const settling = 2 * time.Second

// hearAgents takes an agent's word for read_only where the last sample was made
// before or just after the record was written: a monitor samples every few
// seconds, an agent reports what it has just done. A later sample is believed.
func (s *Server) hearAgents(a cluster.Assignment, record *Assignment, reports map[string]cluster.Report) {
	if s.State != Alive || record == nil || record.ForSeconds == nil || s.SampleAge == nil ||
		s.fullAge < record.ForSeconds.duration()-settling {
		return
	}
	for _, v := range s.Agents {
		if v.Heard != nil && !*v.Heard {
			continue
		}
		r := reports[v.Name]
		var readOnly bool
		switch {
		case s.Node == a.Active && r.Deed == cluster.DeedOpen && r.Opened.Epoch == a.Epoch:
		case s.Node != a.Active && (r.Deed == cluster.DeedClosed || r.Deed == cluster.DeedDrained || r.Deed == cluster.DeedCaughtUp) && r.Closed.Epoch == a.Epoch:
			readOnly = true
		default:
			continue
		}
		if s.ReadOnly == nil || *s.ReadOnly != readOnly {
			s.ReadOnly, s.ReadOnlyBy = &readOnly, "agent"
		}
		return
	}
}

func triBool(t cluster.Tri) *bool {
	if t == cluster.Unknown {
		return nil
	}
	b := t == cluster.Yes
	return &b
}

func daemonsOf(s cluster.Snapshot, servers []Server) *Daemons {
	d := &Daemons{Identify: s.Leader.ID}
	for _, srv := range servers {
		for _, m := range srv.Monitors {
			if !slices.Contains(d.Monitors, m.Name) {
				d.Monitors = append(d.Monitors, m.Name)
			}
		}
		for _, a := range srv.Agents {
			if (a.Heard == nil || *a.Heard) && !slices.Contains(d.Agents, a.Name) {
				d.Agents = append(d.Agents, a.Name)
			}
		}
	}
	slices.Sort(d.Monitors)
	slices.Sort(d.Agents)
	return d
}
