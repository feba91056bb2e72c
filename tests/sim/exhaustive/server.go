package exhaustive

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	serverA = cluster.Endpoint("10.0.0.1:3306")
	serverB = cluster.Endpoint("10.0.0.2:3306")
)

var (
	nodes = [2]cluster.Endpoint{serverA, serverB}
	names = [2]string{"A", "B"}
	uuids = [2]string{"aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002"}
)

func indexOf(e cluster.Endpoint) int {
	if e == serverB {
		return 1
	}
	return 0
}

// set counts the transactions of each origin; each is received and applied in order.
type set [2]uint8

func (s set) has(o set) bool { return s[0] >= o[0] && s[1] >= o[1] }

func (s set) union(o set) set { return set{max(s[0], o[0]), max(s[1], o[1])} }

func (s set) String() string {
	text := ""
	for i, n := range s {
		if n == 0 {
			continue
		}
		if text != "" {
			text += ","
		}
		text += fmt.Sprintf("%s:1-%d", uuids[i], n)
	}
	return text
}

// mark is an epoch row.
type mark struct {
	epoch  uint8
	active uint8
}

// server is one MySQL server, dead or alive.
type server struct {
	up, open           bool
	executed, received set
	mark, coming       mark // in force, and received with what is not applied yet
	io, sql            bool // the replication threads are started
	down               age  // how long it has been dead
	itself             bool // it came back open
	back               bool // it came back, and was neither drained nor opened since
}

// The times that pass. However many moments an exploration may have, they are
// longer than the wait for the closing of a server that refuses, and shorter than
// every other time; a while is longer than all of them.
const (
	moment = 26 * time.Millisecond
	while  = 30 * time.Second
)

// age says how long ago something was: now, a moment or a while.
type age uint8

var ages = [3]time.Duration{0, moment, while}

func (s server) writes() bool { return s.up && s.open }

// say is what a sample of the server i shows.
func (s server) say(i int, sourceUp bool) cluster.Server {
	thread := func(on bool) cluster.Thread {
		if on {
			return cluster.ThreadYes
		}
		return cluster.ThreadNo
	}
	io := thread(s.io)
	if s.io && !sourceUp {
		io = cluster.ThreadConnecting
	}
	uptime := int64(1 << 30)
	if s.itself {
		uptime = 0
	}
	out := cluster.Server{
		Flavor: cluster.MySQL, Identity: uuids[i], UptimeS: uptime, ReadOnly: cluster.TriOf(!s.open), SuperReadOnly: cluster.TriOf(!s.open),
		GTIDMode: true, LogsReplicaUpdates: true, Executed: s.executed.String(),
		Channel: cluster.Channel{Configured: true, Source: nodes[1-i], IO: io, SQL: thread(s.sql), GTID: true, Received: s.received.String()},
		Mark:    s.mark.cluster(),
	}
	if s.open {
		out.Sessions = 1
	}
	return out
}

func (m mark) cluster() cluster.Mark {
	if m.epoch == 0 {
		return cluster.Mark{}
	}
	return cluster.Mark{Epoch: cluster.Epoch(m.epoch), Active: nodes[m.active]}
}

// observe is what the monitor publishes of the server i at now of its clock.
func (s server) observe(i int, sourceUp bool, now time.Duration) cluster.Observation {
	ms := now.Milliseconds()
	o := cluster.Observation{Monitor: "m", Run: "r", Seq: uint64(ms), Node: nodes[i], BeganMS: ms, EndedMS: ms, LastGoodMS: ms,
		SampledMS: ms, FullMS: ms, Server: s.say(i, sourceUp), ReceivedMax: s.received.String()}
	if !s.up {
		since := (now - ages[s.down]).Milliseconds()
		o.Cause, o.Broken, o.LastGoodMS, o.UnansweredMS, o.SampledMS, o.FullMS, o.Failures = cluster.CauseRefused, true, since, since, since, since, 1
	}
	return o
}

// die ends the server; its data stay.
func (s server) die() server {
	s.up, s.down = false, 0
	return s
}

// start brings it back as its option file says, with replication.
func (s server) start(open bool) server {
	s.up, s.down, s.open, s.itself, s.io, s.sql, s.back = true, 0, open, open, true, true, true
	return s
}

// hear receives everything from a live source.
func (s server) hear(source server) server {
	if s.up && s.io && source.up && !s.executed.union(s.received).has(source.executed) {
		s.received = s.received.union(source.executed)
		if source.mark.epoch > s.coming.epoch {
			s.coming = source.mark
		}
	}
	return s
}

// apply applies everything received.
func (s server) apply() server {
	if s.up && s.sql && !s.executed.has(s.received) {
		s.executed = s.executed.union(s.received)
		if s.coming.epoch > s.mark.epoch {
			s.mark = s.coming
		}
	}
	return s
}

// note writes the epoch row of the server i, its first transaction in that epoch.
func (s server) note(i int, e cluster.Epoch) server {
	if s.mark.epoch < uint8(e) {
		s.mark = mark{uint8(e), uint8(i)}
		s.executed[i]++
	}
	return s
}

func (s server) age(by age) server {
	if !s.up {
		s.down = max(s.down, by)
	}
	return s
}
