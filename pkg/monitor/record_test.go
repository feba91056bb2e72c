package monitor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestRestartIsRecognised(t *testing.T) {
	for name, c := range map[string]struct {
		uptime int64
		away   time.Duration
		ro     cluster.Tri
		want   cluster.Tri
		text   string
	}{
		"seen in its first second":           {0, 900 * time.Millisecond, cluster.Yes, cluster.Yes, "the server was restarted; at the first contact read_only was on"},
		"crash recovery took long":           {50, 100 * time.Millisecond, cluster.No, cluster.No, "the server was restarted; at the first contact read_only was off"},
		"open at start-up":                   {2, 5 * time.Second, cluster.No, cluster.No, "the server was restarted; at the first contact read_only was off"},
		"seen too late to know":              {50, time.Minute, cluster.Yes, cluster.Unknown, "the server was restarted"},
		"up longer than before, still a new": {1500, 2000 * time.Second, cluster.Yes, cluster.Unknown, "the server was restarted"},
		"only the session was ended":         {1001, time.Second, cluster.Yes, cluster.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cluster.CauseRefused, "refused"})
			r.give(5*time.Millisecond, Tick{})
			link := only[Dial](r).Link
			r.now += c.away
			r.w.armed = r.now
			r.give(0, Connected{link})
			s := replica(nodeB)
			s.UptimeS, s.ReadOnly, s.SuperReadOnly = c.uptime, c.ro, c.ro
			r.give(time.Millisecond, Answered{Link: link, Op: OpSample, Server: s})
			if o := only[Publish](r).Observation; o.ReadOnlyAtStart != c.want || o.SuperReadOnlyAtStart != c.want {
				t.Errorf("read_only at start %v, super_read_only %v, want %v", o.ReadOnlyAtStart, o.SuperReadOnlyAtStart, c.want)
			}
			got := ""
			for _, s := range of[Say](r) {
				if s.Text != "the server answers" {
					got = s.Text
				}
			}
			if got != c.text {
				t.Errorf("said %q, want %q", got, c.text)
			}
		})
	}
}

// A monitor that has just begun believes that a young server came up closed, and
// not that it came up open: a person may have been quicker.
func TestAYoungServerOpenAtTheFirstSight(t *testing.T) {
	for ro, want := range map[cluster.Tri]cluster.Tri{cluster.Yes: cluster.Yes, cluster.No: cluster.Unknown} {
		r := newRig(t).give(0, Tick{}).give(time.Millisecond, Connected{1})
		s := replica(nodeB)
		s.UptimeS, s.ReadOnly, s.SuperReadOnly = 1, ro, ro
		r.give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: s})
		if o := only[Publish](r).Observation; o.ReadOnlyAtStart != want || o.SuperReadOnlyAtStart != want {
			t.Errorf("read_only %v: at start %v, super_read_only %v, want %v", ro, o.ReadOnlyAtStart, o.SuperReadOnlyAtStart, want)
		}
	}
}

// How the server comes up stands until it is started again.
func TestStartsClosedIsKept(t *testing.T) {
	r := healthy(t)
	sample := func(uptime int64, told, want cluster.Tri) {
		t.Helper()
		r.w.nextSample = 0
		s := replica(nodeB)
		s.UptimeS, s.StartsClosed = uptime, told
		r.give(time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: s})
		if got := only[Publish](r).Observation.Server.StartsClosed; got != want {
			t.Errorf("told %v after %d s: %v, want %v", told, uptime, got, want)
		}
	}
	sample(1001, cluster.Unknown, cluster.Unknown)
	sample(1002, cluster.Yes, cluster.Yes)
	sample(1003, cluster.Unknown, cluster.Yes)
	sample(1, cluster.Unknown, cluster.Unknown)
	sample(0, cluster.No, cluster.No)
	sample(1, cluster.Yes, cluster.Yes)
}

func TestReceivedMaxNeverFalls(t *testing.T) {
	r := healthy(t)
	for _, step := range []struct{ received, want string }{
		{"0-2-9", "0-2-9"}, {"0-2-7", "0-2-9"}, {"0-1-8", "0-1-8,0-2-9"}, {"", "0-1-8,0-2-9"},
	} {
		r.w.nextSample = 0
		s := replica(nodeB)
		s.Channel.Received = step.received
		r.give(time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: s})
		if got := only[Publish](r).Observation.ReceivedMax; got != step.want {
			t.Errorf("after %q: %q, want %q", step.received, got, step.want)
		}
	}
	s := replica(nodeB)
	s.Identity, s.Channel.Received = "9", "0-2-1"
	r.w.nextSample = 0
	r.give(time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: s})
	if got := only[Publish](r).Observation.ReceivedMax; got != "0-2-1" {
		t.Errorf("another server inherits %q", got)
	}
}

// A copy of another server lists no origin but the last, and is beyond what its predecessor had received.
func TestAServerThatWasSetUpAnewOwesNothing(t *testing.T) {
	for _, c := range []struct{ executed, received, want string }{
		{"0-2-20", "0-2-21", "0-2-21"},
		{"0-2-7", "0-2-7", "0-1-8,0-2-7"}, // it has lost what it had received in a crash
		{"0-1-7,0-2-20", "0-2-21", "0-1-8,0-2-21"},
	} {
		r := healthy(t)
		var o cluster.Observation
		for _, at := range [][2]string{{"0-1-8", "0-1-8"}, {c.executed, c.received}} {
			r.w.nextSample = 0
			s := replica(nodeB)
			s.Executed, s.Channel.Received = at[0], at[1]
			r.give(time.Millisecond, Tick{}).give(time.Millisecond, Answered{Link: 1, Op: OpSample, Server: s})
			o = only[Publish](r).Observation
		}
		if o.ReceivedMax != c.want {
			t.Errorf("executed %s, received %s: %q in all, want %q", c.executed, c.received, o.ReceivedMax, c.want)
		}
	}
}

func TestEachChangeIsSaidOnce(t *testing.T) {
	r := healthy(t).give(98*time.Millisecond, Ended{1}).give(time.Millisecond, ConnectFailed{2, cluster.CauseRefused, "refused"})
	if s := only[Say](r); !s.Warn || s.Hint == "" {
		t.Errorf("%+v", s)
	}
	for range 50 {
		r.give(PingEvery, Tick{})
		none[Say](r)
		for _, d := range of[Dial](r) {
			r.give(time.Millisecond, ConnectFailed{d.Link, cluster.CauseRefused, "refused"})
			none[Say](r)
		}
	}
	r.give(PingEvery, Tick{})
	s := replica("10.0.0.9:3306")
	r.give(time.Millisecond, Connected{only[Dial](r).Link})
	r.give(time.Millisecond, Answered{Link: only[Ask](r).Link, Op: OpSample, Server: s})
	if got := of[Say](r); len(got) != 2 || got[0].Warn || got[1].Text != "its source 10.0.0.9:3306 is not the other member" {
		t.Errorf("%+v", got)
	}
}

func TestLegacyWords(t *testing.T) {
	base := replica(nodeB)
	for name, c := range map[string]struct {
		edit func(*cluster.Server)
		want cluster.LegacyCheck
	}{
		"caught up":         {func(s *cluster.Server) {}, cluster.LegacyCheck{Ping: true, ReplCheck: "OK"}},
		"behind":            {func(s *cluster.Server) { s.Channel.Delay = 7 }, cluster.LegacyCheck{Ping: true, ReplCheck: "Delay 7 Seconds", DelaySec: 7}},
		"stopped":           {func(s *cluster.Server) { s.Channel.SQL, s.Channel.Delay = cluster.ThreadNo, -1 }, cluster.LegacyCheck{Ping: true, ReplCheck: "Error", DelaySec: -1}},
		"delay not known":   {func(s *cluster.Server) { s.Channel.Delay = -1 }, cluster.LegacyCheck{Ping: true, ReplCheck: "Error", DelaySec: -1}},
		"foreign source":    {func(s *cluster.Server) { s.Channel.Source = "10.0.0.9:3306" }, cluster.LegacyCheck{Ping: true, ReplCheck: "Error"}},
		"similar address":   {func(s *cluster.Server) { s.Channel.Source = "10.0.0.2:33061" }, cluster.LegacyCheck{Ping: true, ReplCheck: "Error"}},
		"not a replica":     {func(s *cluster.Server) { s.Channel = cluster.Channel{} }, cluster.LegacyCheck{Ping: true, ReplCheck: "Error", DelaySec: -1}},
		"read only, in use": {func(s *cluster.Server) { s.ReadOnly, s.Sessions = cluster.Yes, 12 }, cluster.LegacyCheck{Ping: true, ReplCheck: "OK", ReadOnly: 1, ConnNums: 12}},
		"nothing known":     {func(s *cluster.Server) { s.ReadOnly, s.Sessions = cluster.Unknown, -1 }, cluster.LegacyCheck{Ping: true, ReplCheck: "OK", ReadOnly: -1, ConnNums: -1}},
	} {
		s := base
		c.edit(&s)
		if diff := cmp.Diff(c.want, legacyOf(s, nodeB)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
